"""Whatever a tap loses, whenever anything is killed: after a sweep the topic holds the truth."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.singer.lines import Lines
from connectors.singer.process import TapFailedError
from schemas.errors import SchemaMismatchError, TransientError
from tests.support.examples import examples
from tests.support.polled import Clock, MemoryLog, MemoryTable
from tests.support.singer import CATALOG, MemoryTap, poller_of, reader_of, record, schema, state

SWEEP_S = 1_000
ROW_IDS = st.integers(1, 6)


@dataclass(frozen=True)
class Write:
    number: int
    late_s: float


@dataclass(frozen=True)
class Purge:
    number: int


@dataclass(frozen=True)
class Tick:
    seconds: float


@dataclass(frozen=True)
class Poll:
    """`ends_after`: messages after which the tap dies. `fails`: which commits fail."""

    fails: tuple[bool, ...] = ()
    ends_after: int | None = None
    restarts: bool = False
    states_every: int = 2


Step = Write | Purge | Tick | Poll
COLUMNS = ["text", "changed_at", "rate"]


def row(number: int) -> dict[str, object]:
    return {"id": number, "text": "first", "changed_at": None, "rate": None}


steps = st.one_of(
    st.builds(Write, ROW_IDS, st.sampled_from([0.0, 0.0, 3.0, 100.0])),
    st.builds(Purge, ROW_IDS),
    st.builds(Tick, st.sampled_from([0.0, 1.0, 5.0, 30.0])),
    st.builds(
        Poll,
        st.lists(st.booleans(), max_size=4).map(tuple),
        st.none() | st.integers(0, 8),
        st.booleans(),
        st.integers(1, 4),
    ),
)


class World:
    """A table, a tap that reads it as taps do, and the poller that runs the tap."""

    def __init__(self, page_size: int) -> None:
        self.clock = Clock()
        self.table = MemoryTable(self.clock)
        self.log = MemoryLog()
        self.tap = MemoryTap(self._play)
        self.reader = reader_of(self.tap, page_size=page_size)
        self.poll = Poll()
        self._number = 0
        self._start()

    def _start(self) -> None:
        self.poller = poller_of(
            self.reader,
            self.log,
            self.clock,
            **{"sweep.interval.ms": SWEEP_S * 1000, "max.delete.ratio": 1},
        )

    def _play(self, files: Mapping[str, Any]) -> Sequence[object]:
        """Rows in order of change, from the state on; nothing that is stamped before it."""
        [entry] = [each for each in files["catalog"]["streams"] if each["selected"]]
        is_full = entry["replication_method"] == "FULL_TABLE"
        since = "" if is_full else files.get("state", {}).get("at", "")
        rows = sorted(
            (version.stamp.isoformat(), int(version.row_id), version.text)
            for version in self.table.visible().values()
        )
        said: list[object] = [schema()]
        for number, (stamp, row_id, text) in enumerate(rows, 1):
            if stamp >= since:
                said.append(record({"id": row_id, "text": text, "changed_at": stamp, "rate": None}))
            if number % self.poll.states_every == 0:
                said.append(state({"at": max(stamp, since)}))
        if rows:
            said.append(state({"at": max(rows[-1][0], since)}))
        if self.poll.ends_after is not None:
            said = [*said[: self.poll.ends_after], TapFailedError("the tap failed: exit code 1")]
        return said

    def run(self, step: Step) -> None:
        match step:
            case Tick(seconds):
                self.clock.tick(seconds)
            case Write(number, late_s):
                self._number += 1
                self.table.write(str(number), f"text {self._number}", late_s=late_s)
            case Purge(number):
                self.table.purge(str(number))
            case Poll():
                self.poll = step
                if step.restarts:
                    self._start()
                self.log.failures = iter(step.fails)
                try:
                    asyncio.run(self.poller.poll())
                except TransientError:
                    self._start()

    def held(self) -> dict[int, object]:
        return {int(row_id): row["text"] for row_id, row in self.log.state().items()}

    def truth(self) -> dict[int, object]:
        return {int(row_id): version.text for row_id, version in self.table.visible().items()}


@settings(max_examples=examples(60), deadline=None)
@given(page_size=st.integers(1, 4), steps=st.lists(steps, max_size=20))
def test_i2_after_a_sweep_the_topic_holds_what_the_tap_s_source_holds(
    page_size: int, steps: list[Step]
) -> None:
    world = World(page_size)
    for step in steps:
        world.run(step)
    world.run(Tick(SWEEP_S + 100))
    world.run(Poll())
    world.run(Poll())
    assert world.held() == world.truth()
    positions = [change.position for change in world.log.changes]
    assert positions == sorted(set(positions))
    published = len(world.log.changes)
    world.run(Poll(restarts=True))
    assert len(world.log.changes) == published, "what was published came again"
    assert world.tap.closed == len(world.tap.runs), "a run was left open"


@settings(max_examples=examples(60), deadline=None)
@given(page_size=st.integers(1, 4), steps=st.lists(steps, max_size=20))
def test_i2_a_state_is_kept_with_the_rows_before_it_and_never_without(
    page_size: int, steps: list[Step]
) -> None:
    """What the log holds at each moment covers all that was visible when the state was written."""
    world = World(page_size)
    for step in steps:
        world.run(step)
    held: set[str] = set()
    for batch in world.log.batches:
        held |= {str(change.after["changed_at"]) for change in batch.changes if change.after}
        token = batch.bookmark.token
        assert token is None or json.loads(token)["at"] in held


@settings(max_examples=examples(60), deadline=None)
@given(
    lines=st.lists(st.binary(max_size=12).filter(lambda line: b"\n" not in line), max_size=8),
    cuts=st.lists(st.integers(0, 100), max_size=8),
    is_ended=st.booleans(),
)
def test_lines_are_the_same_however_the_output_is_cut_into_pieces(
    lines: list[bytes], cuts: list[int], is_ended: bool
) -> None:
    output = b"\n".join(lines) + (b"\n" if is_ended else b"")
    places = sorted({min(cut, len(output)) for cut in cuts} | {0, len(output)})
    pieces = [output[a:b] for a, b in pairwise(places)]
    reader = Lines(line_bytes_max=8)
    found = [line for piece in pieces for line in reader.feed(piece)] + [*reader.end()]
    told = [line for line in output.split(b"\n") if line.strip() or len(line) > 8]
    assert len(found) == len(told)
    for line, whole in zip(found, told, strict=True):
        if len(whole) <= 8:
            assert (line.data, line.is_cut) == (whole, False)
        else:
            assert line.is_cut and whole.startswith(line.data) and len(line.data) > 8


words = st.sampled_from(
    ["type", "stream", "record", "schema", "value", "key_properties", "properties", "anyOf",
     "streams", "tap_stream_id", "metadata", "breadcrumb", "visits", "id", "text"]
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
types = st.sampled_from(["RECORD", "SCHEMA", "STATE", "BATCH", "ACTIVATE_VERSION", "Record", "x"])
messages = st.builds(
    lambda kind, stream, rest: {**rest, "type": kind, "stream": stream},
    types,
    st.just("visits") | json_values,
    st.dictionaries(words, json_values, max_size=6),
)
outputs = st.lists(
    messages.map(lambda it: json.dumps(it).encode()) | st.binary(max_size=30), max_size=6
)


@settings(max_examples=examples(80), deadline=None)
@given(output=outputs, catalog=json_values | st.just(CATALOG), ends=st.booleans())
def test_whatever_a_tap_writes_is_taken_or_told(
    output: list[bytes], catalog: object, ends: bool
) -> None:
    """Rows before are published, rows that are bad refused; the rest has one of two types."""
    told = [] if ends else [TapFailedError("the tap failed: exit code 1")]
    tap = MemoryTap(lambda files: [schema(), record(row(1)), *output, *told], catalog)
    log = MemoryLog()
    try:
        asyncio.run(poller_of(reader_of(tap, optional=COLUMNS), log, Clock()).poll())
    except (TapFailedError, SchemaMismatchError):
        pass
    else:
        assert ends
    if tap.runs:
        assert ("r", "1") in log.operations()
    assert tap.closed == len(tap.runs)
