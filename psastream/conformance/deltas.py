"""Clauses about lists whose changes are told from a token on: it stands for all before it."""

from __future__ import annotations

from aiohttp import web

from psastream.conformance.bench import PAGE, Bench, BrokenClauseError
from psastream.conformance.clauses import clause
from psastream.conformance.documented import Tracked
from psastream.conformance.lists import require_deleted, require_each_once
from psastream.conformance.server import DocumentedApi

ROWS = 9
CUTS = range(1, 12)


def _tracked(bench: Bench) -> Tracked | None:
    account = bench.account
    return account.tracked_of(bench.obj) if isinstance(account, DocumentedApi) else None


def _without_token(bench: Bench) -> str:
    return "" if _tracked(bench) else "no list of it tells changes from a token on"


async def _begun(bench: Bench) -> None:
    """All rows are published, and compared; what is polled next goes on from a token."""
    await bench.fresh(ROWS)
    await bench.settle()
    await bench.settle()
    bench.tick(minutes=1)


@clause(
    "kept token",
    "Where reading goes on is kept only once all that comes before it is published.",
    spared=_without_token,
)
async def kept_token(bench: Bench) -> None:
    """Several pages of changes and a delete; each commit is the last of its process."""
    for number in CUTS:
        await _begun(bench)
        for changed in range(2 * PAGE):
            bench.account.put(bench.obj, bench.key(changed), f"changed-{changed}")
        bench.account.put(bench.obj, bench.key(ROWS + 1), "new")
        bench.account.remove(bench.obj, bench.key(ROWS - 1))
        bench.log.fails_at = bench.log.tried + number
        await bench.poll_however()
        is_met = bench.log.tried >= bench.log.fails_at
        await bench.restart()
        await bench.settle()
        bench.require_truth()
        require_each_once(bench)
        require_deleted(bench, [bench.key(ROWS - 1)])
        if not is_met:
            return


@clause(
    "lost token",
    "A token that the vendor does not take any more costs no change and no delete.",
    spared=_without_token,
)
async def lost_token(bench: Bench) -> None:
    """A row changes, one comes and one goes; then the token is refused, as documented."""
    tracked = _tracked(bench)
    assert tracked is not None and isinstance(bench.account, DocumentedApi)
    for lost in tracked.lost:
        await _begun(bench)
        bench.account.put(bench.obj, bench.key(1), "changed")
        bench.account.put(bench.obj, bench.key(ROWS + 1), "new")
        bench.account.remove(bench.obj, bench.key(3))
        assert isinstance(bench.account, DocumentedApi)
        bench.account.lose_tokens(lost)
        await bench.settle()
        bench.require_truth()
        require_deleted(bench, [bench.key(3)])
        bench.tick(minutes=1)
        bench.account.put(bench.obj, bench.key(2), "changed-again")
        asked = len(bench.network.asked)
        await bench.settle()
        bench.require_truth()
        if len(bench.network.asked) - asked > 1:
            raise BrokenClauseError("reading does not go on from the token that came instead")


@clause(
    "young token",
    "What changes between the first page of all rows and their token is captured.",
    spared=_without_token,
)
async def young_token(bench: Bench) -> None:
    """A row of the first page changes and another goes, before the last page gives a token."""
    await bench.fresh(ROWS)
    changed, gone = bench.key(0), bench.key(1)

    async def change(request: web.Request) -> None:
        if bench.account.pages == 1 and gone in bench.account.texts(bench.obj):
            bench.account.put(bench.obj, changed, "changed-meanwhile")
            bench.account.remove(bench.obj, gone)

    bench.network.fault = change
    await bench.settle()
    await bench.settle()
    if gone in bench.account.texts(bench.obj):
        raise BrokenClauseError("nothing was asked after the first page")
    bench.require_truth()
    require_deleted(bench, [gone])
