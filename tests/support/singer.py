"""Singer taps for tests: runs in memory, and a folder whose tap is a program."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from connectors.polled.model import ObjectReader
from connectors.polled.poller import ObjectPoller
from connectors.singer.declaration import SingerConfig, StreamConfig
from connectors.singer.lines import Line
from connectors.singer.reader import SingerReader
from connectors.singer.source import SingerConnectorConfig, SingerSource
from connectors.systems import Systems
from schemas.codec.record import AvroSchema, load_schema
from tests.support.polled import Clock, MemoryLog, make_config

CONTRACT: Final = {
    "type": "record",
    "name": "Visit",
    "namespace": "psa.source.visits",
    "fields": [
        {"name": "id", "type": ["null", "long"], "default": None},
        {"name": "text", "type": ["null", "string"], "default": None},
        {"name": "changed_at", "type": ["null", "string"], "default": None},
        {
            "name": "rate",
            "type": [
                "null",
                {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4},
            ],
            "default": None,
        },
    ],
}
SCHEMA: Final = {
    "type": "object",
    "properties": {
        "id": {"type": ["null", "integer"]},
        "text": {"type": ["null", "string"]},
        "changed_at": {"type": ["null", "string"], "format": "date-time"},
        "rate": {"type": ["null", "number"]},
    },
}
CATALOG: Final = {"streams": [{"tap_stream_id": "visits", "stream": "visits", "schema": SCHEMA}]}
MAPPING: Final = """\
system: visits
vendor: singer
capture: polled
objects:
  visit: {kind: visit, key: id}
"""
SINGER: Final = """\
executable: tap-visits
config:
  rows: ${config:rows}
  token: ${secret:token}
objects:
  visit:
    stream: visits
    replication_method: INCREMENTAL
    replication_key: changed_at
"""
SCRIPT: Final = Path(__file__).with_name("scripted_tap.py")


def schema(stream: str = "visits", of: object = SCHEMA, keys: Sequence[str] = ("id",)) -> object:
    """A SCHEMA message."""
    return {"type": "SCHEMA", "stream": stream, "schema": of, "key_properties": list(keys)}


def record(row: object, stream: str = "visits") -> object:
    """A RECORD message."""
    return {"type": "RECORD", "stream": stream, "record": row}


def state(value: object) -> object:
    """A STATE message."""
    return {"type": "STATE", "value": value}


def visit(number: int, text: str = "text", changed_at: str = "2026-05-04T12:00:00Z") -> Any:
    """A row."""
    return {"id": number, "text": text, "changed_at": changed_at, "rate": None}


@dataclass
class MemoryTap:
    """Runs of a tap, each what `play` gives for its files: messages, lines, or errors to raise."""

    play: Callable[[Mapping[str, Any]], Iterable[object]]
    catalog: object = field(default_factory=lambda: CATALOG)
    runs: list[Mapping[str, Any]] = field(default_factory=list)
    texts: list[Mapping[str, str]] = field(default_factory=list)
    discoveries: int = 0
    closed: int = 0

    async def run(self, files: Mapping[str, str]) -> AsyncGenerator[Line, None]:
        """Yield the lines of a run."""
        given = {name: json.loads(text) for name, text in files.items()}
        self.runs.append(given)
        self.texts.append(files)
        try:
            for each in self.play(given):
                match each:
                    case Exception():
                        raise each
                    case Line():
                        yield each
                    case bytes():
                        yield Line(each)
                    case _:
                        yield Line(json.dumps(each).encode())
        finally:
            self.closed += 1

    async def discover(self) -> object:
        """Return the catalog."""
        self.discoveries += 1
        return self.catalog


def reader_of(
    tap: MemoryTap,
    contract: object = CONTRACT,
    page_size: int = 3,
    clock: Callable[[], float] = time.monotonic,
    **words: object,
) -> SingerReader:
    """A reader of one stream; words as in singer.yaml."""
    stream: dict[str, object] = {
        "stream": "visits",
        "replication_method": "INCREMENTAL",
        "replication_key": "changed_at",
    }
    catalog = words.pop("catalog", "catalog")
    declared = SingerConfig.model_validate(
        {
            "executable": "tap",
            "catalog": catalog,
            "objects": {"visit": StreamConfig.model_validate({**stream, **words})},
        }
    )
    loaded: AvroSchema = load_schema(contract)
    key = "key" if "key_properties" in words else "id"
    return SingerReader(
        tap, declared, "visit", loaded, key=key, page_size=page_size, system="visits", clock=clock
    )


def poller_of(reader: ObjectReader, log: MemoryLog, clock: Clock, **keys: object) -> ObjectPoller:
    """A poller as a new process would start it on what the log holds."""
    bookmark, ledger = log.stored()
    config = make_config(
        **{"topic.prefix": "src.visits", "object.include.list": "visit", "overlap.ms": 0, **keys}
    )
    return ObjectPoller(config, "visit", reader, log, bookmark=bookmark, ledger=ledger, clock=clock)


def write_folder(
    parent: Path, singer: str = SINGER, mapping: str = MAPPING, contract: object = CONTRACT
) -> Path:
    """A folder as a firm has it."""
    folder = parent / "visits"
    (folder / "avro").mkdir(parents=True, exist_ok=True)
    (folder / "mapping.yaml").write_text(mapping)
    (folder / "avro" / "visit.avsc").write_text(json.dumps(contract))
    (folder / "singer.yaml").write_text(singer)
    return folder


def scripted(
    tmp_path: Path,
    acts: Sequence[Sequence[object]] = (["rows"],),
    more: str = "",
    **keys: object,
) -> SingerSource:
    """The source of a folder whose tap is a program, with what its rows and starts are kept in."""
    singer = SINGER.replace(
        "  token: ${secret:token}\n",
        f"  token: ${{secret:token}}\n  started: {tmp_path / 'started'}\n"
        f"  acts: {json.dumps(list(acts))}\n",
    ).replace("executable: tap-visits", f"executable: tap\narguments: [-I, -S, {SCRIPT}]")
    folder = write_folder(tmp_path, singer + more)
    document = {
        "name": "test",
        "connector.class": "none",
        "topic.prefix": "src.visits",
        "object.include.list": "visit",
        "tap.executable": sys.executable,
        "config.rows": str(tmp_path / "rows.json"),
        "secret.token": "t0kenCanary",
        "overlap.ms": 0,
        **keys,
    }
    config = SingerConnectorConfig.model_validate(document)
    return SingerSource(config, Systems([folder]).read("visits"))
