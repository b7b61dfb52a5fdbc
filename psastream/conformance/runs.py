"""Clauses about runs of a Singer tap: what it writes is rows, a failure, or told as neither."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from psastream.conformance.answers import needs_person, passes
from psastream.conformance.bench import Bench, BrokenClauseError
from psastream.conformance.clauses import tap_clause
from psastream.conformance.lists import require_each_once
from psastream.conformance.tapped import DocumentedTap, Edit

LINES: Final = range(1, 12)
BROKEN: Final[Mapping[str, bytes]] = {
    "a traceback": b"Traceback (most recent call last):",
    "half a message": b'{"type": "REC',
    "a list": b"[1]",
    "a message without a type": b'{"record": {}}',
    "a STATE that is none": b'{"type": "STATE", "value": 7}',
    "a batch": b'{"type": "BATCH", "stream": "x", "manifest": []}',
}


def _tap(bench: Bench) -> DocumentedTap:
    assert isinstance(bench.account, DocumentedTap)
    return bench.account


def _put_in(line: bytes) -> Edit:
    """A line behind the first of a run."""
    return lambda lines: [*lines[:1], line, *lines[1:]]


@tap_clause(
    "failed runs", "A run that ends with a failure loses no row, and tells none as deleted."
)
async def failed_runs(bench: Bench) -> None:
    """At each line of a full run, and of one that goes on from a state."""
    for number in LINES:
        await bench.spread(5)
        _tap(bench).fails_at = number
        error = await bench.poll()
        if _tap(bench).written < number:
            break
        if error is None or not passes(error):
            raise BrokenClauseError(f"a run that fails at line {number} ends a poll by {error!r}")
        _tap(bench).fails_at = None
        await bench.settle()
        bench.require_truth()
        await _fails_later(bench, number)


async def _fails_later(bench: Bench, number: int) -> None:
    bench.tick(minutes=1)
    bench.account.put(bench.obj, bench.key(2), "changed")
    bench.account.put(bench.obj, bench.key(6), "new")
    for is_sweep in (False, True):
        _tap(bench).fails_at = number
        if is_sweep:
            bench.tick_sweep()
        await bench.poll_however()
        if bench.log.deleted():
            raise BrokenClauseError(f"a run that fails at line {number} tells rows as deleted")
        _tap(bench).fails_at = None
    await bench.settle()
    bench.require_truth()


@tap_clause("restarted runs", "A process that ends at any commit leaves nothing out, repeats none.")
async def restarted_runs(bench: Bench) -> None:
    """Each commit of two polls is the last of its process."""
    for number in range(1, 30):
        await bench.spread(5)
        bench.log.fails_at = number
        await bench.poll_however()
        await bench.restart()
        await bench.settle()
        for changed in (1, 2, 3):
            bench.tick(minutes=1)
            bench.account.put(bench.obj, bench.key(changed), "changed")
        await bench.poll_however()
        await bench.restart()
        await bench.settle()
        bench.require_truth()
        require_each_once(bench)
        if bench.log.tried < number:
            return


@tap_clause(
    "broken output", "Output that is no message stops the object, says so, and deletes none."
)
async def broken_output(bench: Bench) -> None:
    """Each kind, in a full run."""
    for name, line in BROKEN.items():
        await bench.fresh(5)
        await bench.settle()
        _tap(bench).edit = _put_in(line)
        bench.tick_sweep()
        error = await bench.poll()
        if not needs_person(error):
            raise BrokenClauseError(f"{name} ends a poll by {error!r}, which tells nobody")
        if bench.log.deleted():
            raise BrokenClauseError(f"{name}: told as deleted: {bench.log.deleted()}")
        _tap(bench).edit = lambda lines: lines
        await bench.settle()
        bench.require_truth()


@tap_clause("lost stream", "A full run that ends well without its stream is no empty one.")
async def lost_stream(bench: Bench) -> None:
    """Nothing is written, or a stream that nobody asked for."""
    edits: tuple[Callable[[list[bytes]], list[bytes]], ...] = (lambda _: [], _renamed)
    for edit in edits:
        await bench.fresh(5)
        await bench.settle()
        _tap(bench).edit = edit
        for _ in range(2):
            bench.tick_sweep()
            if await bench.poll() is None:
                raise BrokenClauseError("the poll is complete, as if nothing were wrong")
        if bench.log.deleted():
            raise BrokenClauseError(f"told as deleted: {bench.log.deleted()}")


def _renamed(lines: list[bytes]) -> list[bytes]:
    told = [json.loads(line) for line in lines]
    return [json.dumps(each | {"stream": "another"}).encode() for each in told if "stream" in each]


@tap_clause("other messages", "Streams and messages that nobody asked for are passed over.")
async def other_messages(bench: Bench) -> None:
    """Among the lines of each run."""
    await bench.fresh(5)
    for line in (
        b'{"type": "RECORD", "stream": "another", "record": {"id": 1}}',
        b'{"type": "ACTIVATE_VERSION", "stream": "another", "version": 1}',
        b'{"type": "METRIC", "value": 1}',
    ):
        _tap(bench).edit = _put_in(line)
        bench.tick_sweep()
        await bench.settle()
        bench.require_truth()
    if bench.log.rejected:
        raise BrokenClauseError(f"a row of another stream is refused: {bench.log.rejected[0]}")


@tap_clause("broken rows", "A row that cannot be parsed is refused alone, and deletes none.")
async def broken_rows(bench: Bench) -> None:
    """In the place of a row that is known."""
    await bench.fresh(5)
    await bench.settle()
    _tap(bench).edit = lambda lines: [
        line[:-3] if bench.key(2).encode() in line and b"RECORD" in line else line for line in lines
    ]
    for _ in range(2):
        bench.tick_sweep()
        await bench.poll_however()
    if bench.log.deleted():
        raise BrokenClauseError(f"told as deleted: {bench.log.deleted()}")
    _tap(bench).edit = lambda lines: lines
    await bench.settle()
    bench.require_truth()
