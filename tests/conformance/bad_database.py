"""A folder of a database, and a normalizer, with faults to choose from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from connectors.systems import Systems
from psastream.conformance.databases import DatabaseSubject, Registry
from psastream.conformance.suite import normalizers, read_database_subject
from schemas.codec.framing import frame, unframe
from schemas.codec.record import RecordCodec
from schemas.errors import PsaStreamError
from schemas.landscape import Landscape
from schemas.mapping.compiled import ObjectMapping
from streams.engine import Chunk, ChunkHandler, Effects, State
from tests.support.folders import folder_of

SETTINGS: Final[Mapping[str, dict[str, str | None]]] = {
    "captures too little": {"table.include.list": "inhouse.projects"},
    "reads no rows": {"snapshot.mode": "no_data"},
    "tells numbers as bytes": {"decimal.handling.mode": None},
    "cuts texts": {"column.truncate.to.10.chars": "inhouse[.].*[.].*"},
    "tells no deletes": {"skipped.operations": "d"},
    "tells no truncations": {"skipped.operations": None},
    "calls its topics otherwise": {"topic.prefix": "source"},
    "tells JSON": {"value.converter": "org.apache.kafka.connect.json.JsonConverter"},
}
"""Faults of connector files: what they set, None where they leave it out."""
MAPPINGS: Final[Mapping[str, tuple[str, str]]] = {
    "takes another key": (
        "key: id\n    personal_data: [worker_email, n",
        "key: worker_email\n    personal_data: [worker_email, n",
    ),
    "drops a column": ("notes: {from: notes}", "notes: {from: currency}"),
    "keeps no texts": ("        unset_kept: [notes]\n", ""),
    "takes one for another": ("bill_rate: {from: bill_rate}", "bill_rate: {from: cost_rate}"),
    "declares another type": (
        "project_id: long\n      task_id", "project_id: int\n      task_id"
    ),
}  # fmt: skip
"""Faults of mappings: what stands there, and what stands in its place."""
CODE: Final = (
    "forgets", "takes reads for changes", "expects values", "knows its columns", "absent is null",
    "drops what it cannot read", "publishes placeholders", "never looks again",
)  # fmt: skip
"""Faults of the normalizer."""


def subject_with(fault: str, parent: Path, system: str = "inhouse") -> DatabaseSubject:
    """The in-house PSA, with a fault."""
    folder = folder_of(parent, system, system)
    connector = json.loads((folder / "connector.json").read_text())
    for name, value in SETTINGS.get(fault, {}).items():
        connector["config"].pop(name, None)
        connector["config"] |= {} if value is None else {name: value}
    (folder / "connector.json").write_text(json.dumps(connector))
    if fault in MAPPINGS:
        text = (folder / "mapping.yaml").read_text()
        old, new = MAPPINGS[fault]
        assert old in text
        (folder / "mapping.yaml").write_text(text.replace(old, new))
    return faulty(read_database_subject(folder, _read(folder)), fault)


def _read(folder: Path) -> Any:
    systems = Systems()
    systems._packages.pop(folder.name)
    systems._folders[folder.name] = folder
    return systems.read(folder.name)


def faulty(subject: DatabaseSubject, fault: str) -> DatabaseSubject:
    """A database whose normalizer has a fault, if it is one."""

    def make(
        mappings: Sequence[ObjectMapping], registry: Registry, landscape: Landscape
    ) -> Mapping[str, ChunkHandler]:
        handlers = normalizers(mappings, registry, landscape)
        return {
            topic: _Bad(handler, fault, registry)
            for topic, handler in handlers.items()
            if fault != "never looks again" or topic.startswith("src.")
        }

    return replace(subject, make_handlers=make) if fault in CODE else subject


class _Nothing:
    """A state that was lost."""

    def get(self, key: bytes) -> None:
        return None

    def get_many(self, keys: Sequence[bytes]) -> list[None]:
        return [None for _ in keys]

    def scan(self, prefix: bytes) -> list[Any]:
        return []


class _Bad:
    def __init__(self, handler: ChunkHandler, fault: str, registry: Registry) -> None:
        self._handler = handler
        self._fault = fault
        self._registry = registry
        self._columns: dict[int, list[str]] = {}

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        values = [self._edited(value) for value in chunk.values]
        if self._fault == "drops what it cannot read":
            values = [value if value is None or self._reads(value) else None for value in values]
        lost: Any = _Nothing()
        is_lost = self._fault == "forgets"
        return self._handler(replace(chunk, values=values), lost if is_lost else state)

    def _reads(self, value: bytes) -> bool:
        try:
            schema_id, payload = unframe(value)
            event: Any = RecordCodec(self._registry.schema(schema_id)).decode(payload)
        except PsaStreamError:
            return False
        return event["after"] is not None or event["op"] in ("d", "t")

    def _edited(self, value: bytes | None) -> bytes | None:
        edits: Mapping[str, Callable[[Any], None]] = {
            "takes reads for changes": _as_change,
            "expects values": _expect_values,
            "knows its columns": _expect_columns,
            "publishes placeholders": _as_text,
        }
        if value is None or not self._reads(value):
            return value
        schema_id, payload = unframe(value)
        codec = RecordCodec(self._registry.schema(schema_id))
        event: Any = codec.decode(payload)
        if self._fault == "absent is null" and event["after"] is not None:
            return self._filled(schema_id, value, event)
        if self._fault in edits:
            edits[self._fault](event)
            return frame(schema_id, codec.encode(event))
        return value

    def _filled(self, schema_id: int, value: bytes, event: Any) -> bytes:
        """An event with the columns of the first, of which those it lacks are null."""
        first = min(self._columns, default=schema_id)
        self._columns.setdefault(schema_id, list(event["after"]))
        if schema_id == first:
            return value
        missing = set(self._columns[first]) - event["after"].keys()
        event["after"] |= dict.fromkeys(missing)
        try:
            return frame(first, RecordCodec(self._registry.schema(first)).encode(event))
        except (PsaStreamError, TypeError, ValueError):
            return value


def _as_change(event: Any) -> None:
    event["source"]["snapshot"] = "false"
    event["op"] = "u" if event["op"] == "r" else event["op"]


def _expect_values(event: Any) -> None:
    if event["after"] is not None and None in event["after"].values():
        raise ValueError("a column is null")


def _expect_columns(event: Any) -> None:
    if event["after"] is not None and "brand_new" in event["after"]:
        raise ValueError("a column is unknown")


def _as_text(event: Any) -> None:
    if event["after"] is not None and "__debezium_unavailable_value" in event["after"].values():
        event["after"]["notes"] = "__debezium_unavailable_value "
