"""Clauses about queues that tell changes: a message stays until what it tells is published."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from psastream.conformance.bench import Bench, BrokenClauseError
from psastream.conformance.clauses import clause
from psastream.conformance.documented import Queue
from psastream.conformance.lists import require_deleted, require_each_once
from psastream.conformance.server import DocumentedApi, respond

ROWS: Final = 3
CUTS: Final = range(1, 12)
ODD: Final[tuple[Any, ...]] = (b'{"eve', b"", 7, [], {}, "text", None, {"message": "no"})
"""Bodies of messages that tell nothing."""


def _queue(bench: Bench) -> Queue | None:
    account = bench.account
    return account.queue_of(bench.obj) if isinstance(account, DocumentedApi) else None


def _without_queue(bench: Bench) -> str:
    return "" if _queue(bench) else "no queue tells its changes"


async def _begun(bench: Bench) -> DocumentedApi:
    """All rows are published, and their messages read."""
    await bench.fresh(ROWS)
    await bench.settle()
    await bench.settle()
    bench.tick(minutes=1)
    assert isinstance(bench.account, DocumentedApi)
    if bench.account.messages:
        raise BrokenClauseError("the queue is not read to its end")
    return bench.account


@clause(
    "kept message",
    "A message of a queue is deleted only once what it tells is published.",
    spared=_without_queue,
)
async def kept_message(bench: Bench) -> None:
    """Rows change; each commit is the last of its process, and no sweep follows."""
    for number in CUTS:
        account = await _begun(bench)
        account.put(bench.obj, bench.key(1), "changed-1")
        account.put(bench.obj, bench.key(ROWS + 1), "new")
        account.put(bench.obj, bench.key(1), "changed-2")
        bench.log.fails_at = bench.log.tried + number
        await bench.poll_however()
        is_met = bench.log.tried >= bench.log.fails_at
        await bench.restart()
        await bench.settle()
        bench.require_truth()
        require_each_once(bench)
        if not is_met:
            return


@clause(
    "gone message",
    "A message that is gone when it is deleted is deleted, and one that stays is told once.",
    spared=_without_queue,
)
async def gone_message(bench: Bench) -> None:
    """The delete is done and answered 404; then it is refused for a while."""
    for is_done in (True, False):
        account = await _begun(bench)
        account.put(bench.obj, bench.key(0), "changed-0")
        account.put(bench.obj, bench.key(1), "changed-1")

        async def fault(
            request: web.Request, account: DocumentedApi = account, is_done: bool = is_done
        ) -> web.StreamResponse | None:
            if request.method != "DELETE":
                return None
            if is_done:
                account.messages.pop(next(iter(account.messages)))
            return respond(404 if is_done else 500, {}, bench.now())

        bench.network.fault = fault
        error = await bench.poll()
        if is_done and error is not None:
            raise BrokenClauseError(f"a delete that is answered 404 ends a poll by {error!r}")
        bench.network.fault = None
        await bench.settle()
        bench.require_truth()
        require_each_once(bench)
        if account.messages:
            raise BrokenClauseError("messages are left in the queue")


@clause(
    "odd messages",
    "A message that tells nothing of use is refused once and deleted: it holds up none behind it.",
    spared=_without_queue,
)
async def odd_messages(bench: Bench) -> None:
    """Bodies of any shape, and one that names a row that is not there, before a change."""
    queue = _queue(bench)
    assert queue is not None
    account = await _begun(bench)
    account.put(bench.obj, bench.key(ROWS + 2), "gone-again")
    account.rows[bench.obj].pop(bench.key(ROWS + 2))
    for body in ODD:
        account.announce(body)
    account.put(bench.obj, bench.key(1), "changed-behind-them")
    for _ in range(3):
        await bench.poll()
        bench.tick(minutes=1)
    bench.require_truth()
    if account.messages:
        raise BrokenClauseError("a message that tells nothing is left in the queue")
    refused = [row.row_id for row in bench.log.rejected]
    if len(refused) != len(ODD) + 1 or len(set(refused)) != len(refused):
        raise BrokenClauseError(f"{len(ODD) + 1} messages tell nothing, {len(refused)} are refused")
    require_deleted(bench, [])
