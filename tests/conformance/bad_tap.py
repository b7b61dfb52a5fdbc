"""A folder of a Singer tap, and code between the tap and its reader, with faults to choose from."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from connectors.polled.config import PolledConfig
from connectors.polled.source import PolledSource
from connectors.singer.lines import Line
from connectors.singer.process import TapFailedError
from connectors.singer.source import SingerConnectorConfig, SingerSource
from connectors.systems import Systems
from psastream.conformance.bench import Subject
from psastream.conformance.suite import read_subject
from psastream.conformance.tapped import DocumentedTap
from psastream.system import read_system
from tests.support.singer import SINGER, write_folder

MAPPING: Final = """\
system: visits
vendor: singer
capture: polled
objects:
  visit:
    kind: visit
    key: id
    targets:
      - entity: project
        fields:
          name: {from: text, text: trim}
          status: {constant: active}
          correlation_id: {mint: correlation, of: "visits:visit", from: id}
        required: [status]
"""
DOCUMENTED: Final = """\
objects:
  visit:
    id: id
    vary: text
    changed_at: {paths: [changed_at]}
    order: oldest
    nullable: [rate]
    lists: [{table: visits}]
"""
ROW: Final = {"id": 12, "text": "Harbour", "changed_at": "2026-03-02T08:00:00Z", "rate": 12.5}
SOURCE: Final = {
    "name": "visits", "connector.class": "connectors.singer.source.SingerSource",
    "topic.prefix": "src.visits", "object.include.list": "visit", "config.rows": "rows.json",
    "secret.token": "${env:VISITS_TOKEN}", "sweep.interval.ms": 3_600_000,
}  # fmt: skip
FOLDERS: Final[Mapping[str, tuple[str, str]]] = {
    "shows no deletes": ("    stream: visits\n", "    stream: visits\n    shows_deletes: false\n"),
    "absent is null": ("    stream: visits\n", "    stream: visits\n    null_is_absent: true\n"),
    "reads another column": (
        "    stream: visits\n",
        "    stream: visits\n    columns: {text: x}\n",
    ),
}
"""Faults of singer.yaml: what stands there, and what stands in its place."""


def write_visits(parent: Path, fault: str = "", name: str = "Harbour") -> Path:
    """The folder of the system; `name`: what a sample is said to make."""
    old, new = FOLDERS.get(fault, ("", ""))
    folder = write_folder(parent, SINGER.replace(old, new) if old else SINGER, MAPPING)
    (folder / "samples").mkdir(exist_ok=True)
    makes = {"project": {"name": name, "status": "active"}}
    (folder / "samples" / "visit.json").write_text(json.dumps([{"row": ROW, "makes": makes}]))
    (folder / "conformance.yaml").write_text(DOCUMENTED)
    (folder / "source.json").write_text(json.dumps(SOURCE))
    return folder


def subject_with(fault: str, parent: Path) -> Subject:
    """The system, with a fault."""
    folder = write_visits(parent, fault)
    subject = read_subject(folder, *read_system(folder))
    assert subject is not None
    system = Systems([folder]).read("visits")

    def tapped(config: PolledConfig, tap: DocumentedTap) -> PolledSource:
        assert isinstance(config, SingerConnectorConfig)
        bad: Any = BadTap(tap, fault)
        return SingerSource(config, system, bad)

    return subject if fault in FOLDERS else replace(subject, tapped=tapped)


class BadTap:
    """What stands between the tap and its reader."""

    def __init__(self, tap: DocumentedTap, fault: str) -> None:
        self._tap = tap
        self._fault = fault
        self._state: str | None = None

    def close(self) -> None:
        self._tap.close()

    async def discover(self) -> object:
        return await self._tap.discover()

    async def run(self, files: Mapping[str, str]) -> AsyncGenerator[Line, None]:
        lines: list[Line] = []
        failure = None
        try:
            async for line in self._tap.run(self._given(files)):
                lines.append(line)
        except TapFailedError as error:
            failure = error
        edits: Mapping[str, Callable[[list[Line], Mapping[str, str]], list[Line]]] = {
            "passes over broken output": _messages,
            "drops what it cannot read": _sound,
            "claims its stream": _claimed,
            "takes any stream": _renamed,
            "takes states early": _states_first,
            "skips ties": _after,
        }
        for line in edits.get(self._fault, _all)(lines, files):
            self._state = _value(line) or self._state
            yield line
        if failure is not None and self._fault != "hides failures":
            raise failure

    def _given(self, files: Mapping[str, str]) -> Mapping[str, str]:
        if self._fault != "sweeps the news" or self._state is None or "state" in files:
            return files
        catalog = files["catalog"].replace("FULL_TABLE", "INCREMENTAL")
        return {**files, "catalog": catalog, "state": self._state}


def _told(line: Line) -> Any:
    try:
        return json.loads(line.data)
    except ValueError:
        return None


def _value(line: Line) -> str | None:
    told = _told(line)
    is_state = isinstance(told, dict) and told.get("type") == "STATE"
    return json.dumps(told["value"]) if is_state else None


def _all(lines: list[Line], _: Mapping[str, str]) -> list[Line]:
    return lines


def _messages(lines: list[Line], _: Mapping[str, str]) -> list[Line]:
    known = ("SCHEMA", "RECORD")
    told = [(line, _told(line)) for line in lines]
    return [line for line, each in told if isinstance(each, dict) and each.get("type") in known]


def _sound(lines: list[Line], _: Mapping[str, str]) -> list[Line]:
    return [line for line in lines if b"RECORD" not in line.data or _told(line) is not None]


def _claimed(lines: list[Line], files: Mapping[str, str]) -> list[Line]:
    stream = json.loads(files["catalog"])["streams"][0]
    told = {"type": "SCHEMA", "stream": "visits", "schema": stream["schema"]}
    return [Line(json.dumps({**told, "key_properties": ["id"]}).encode()), *lines]


def _renamed(lines: list[Line], _: Mapping[str, str]) -> list[Line]:
    return [Line(line.data.replace(b'"another"', b'"visits"')) for line in lines]


def _states_first(lines: list[Line], _: Mapping[str, str]) -> list[Line]:
    states = [line for line in lines if _value(line)]
    return [*lines[:1], *states, *(line for line in lines[1:] if line not in states)]


def _after(lines: list[Line], files: Mapping[str, str]) -> list[Line]:
    if "state" not in files:
        return lines
    since = json.loads(files["state"])["bookmarks"]["visits"]
    return [line for line in lines if f'"changed_at":"{since}"'.encode() not in line.data]
