"""Clauses about reading: every row is captured, once, whatever the pages and the times."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from psastream.conformance.answers import cut
from psastream.conformance.bench import PAGE, Bench, BrokenClauseError
from psastream.conformance.clauses import clause
from psastream.conformance.documented import Link, Token

COUNTS = (1, PAGE, PAGE + 1, 3 * PAGE + 1)


def _without_stamps(bench: Bench) -> str:
    return "" if bench.documented.changed_at else "its rows have no time of change"


def _without_pages(bench: Bench) -> str:
    return "all rows come in one answer" if bench.paging.type == "single" else ""


def _without_window(bench: Bench) -> str:
    has_window = any(listed.window for listed in bench.documented.lists)
    return "" if has_window else "no list of it ends early"


@clause("whole list", "Every row is captured, however many there are to a page.", per_object=True)
async def whole_list(bench: Bench) -> None:
    """None, one, a page, a page and one, several pages."""
    for count in COUNTS:
        await bench.fresh(count)
        await bench.settle()
        bench.require_truth()


@clause(
    "short pages", "A page shorter than asked for is no end of the list.", spared=_without_pages
)
async def short_pages(bench: Bench) -> None:
    """The vendor gives one row a page where more are asked for."""
    await bench.fresh(5)
    bench.account.quirks.page_rows = 1
    await bench.settle()
    bench.require_truth()


@clause(
    "moving pages",
    "A row that goes while pages are read hides none of those behind it.",
    spared=_without_pages,
)
async def moving_pages(bench: Bench) -> None:
    """The first row is deleted between the first page and the second."""
    await bench.fresh(7)
    first = bench.account.first(bench.obj)

    async def remove(request: web.Request) -> None:
        if bench.account.pages == 1 and first in bench.account.texts(bench.obj):
            bench.account.remove(bench.obj, first)

    bench.network.fault = remove
    await bench.settle()
    if first in bench.account.texts(bench.obj):
        raise BrokenClauseError("nothing was asked after the first page")
    texts = bench.account.texts(bench.obj)
    if lost := sorted(texts.keys() - bench.held().keys()):
        raise BrokenClauseError(
            f"rows slid past: {', '.join(lost)}; the list is to be read again until it shows "
            "nothing new, as rest.yaml has it with `slides: true` of the paginator"
        )


@clause(
    "ties",
    "Rows that share their time of change with the last one read are captured when they come.",
    spared=_without_stamps,
)
async def ties(bench: Bench) -> None:
    """A row of the same second comes after the poll that read the others; nothing overlaps."""
    await bench.fresh(0, **{"overlap.ms": 0})
    stamp = bench.now().replace(microsecond=0)
    for number in range(3):
        bench.account.put(bench.obj, bench.key(number), f"text-{number}", stamp=stamp)
    for _ in range(2):
        await bench.settle()
    bench.account.put(bench.obj, bench.key(3), "text-3", stamp=stamp)
    await bench.settle()
    bench.require_truth()


@clause(
    "late rows",
    "A row that becomes visible within `overlap.ms` after its time of change is captured.",
    spared=_without_stamps,
)
async def late_rows(bench: Bench) -> None:
    """Others move the bookmark on before the late one shows."""
    await bench.fresh(3)
    await bench.settle()
    overlap_s = bench.config.overlap.total_seconds()
    bench.tick(seconds=3 * overlap_s)
    bench.account.put(bench.obj, bench.key(7), "newer")
    await bench.settle()
    late = bench.now().timestamp() - 0.8 * overlap_s
    stamp = bench.now().fromtimestamp(late, bench.now().tzinfo)
    bench.account.put(bench.obj, bench.key(8), "late", stamp=stamp)
    await bench.settle()
    bench.require_truth()


@clause(
    "silent changes",
    "A change that moves no time of change, or was missed, is found by the next sweep.",
)
async def silent_changes(bench: Bench) -> None:
    """A text changes; its stamp stays; a sweep comes."""
    await bench.spread(5)
    await bench.settle()
    bench.account.put(bench.obj, bench.key(1), "changed-in-silence", silent=True)
    bench.tick_sweep()
    await bench.settle()
    bench.require_truth()


@clause(
    "changes",
    "A changed row and a new one are captured by the next poll, without a sweep.",
    per_object=True,
)
async def changes(bench: Bench) -> None:
    """One row changes and one comes."""
    await bench.fresh(4)
    await bench.settle()
    for minutes in (1, 100):
        bench.tick(minutes=minutes)
        bench.account.put(bench.obj, bench.key(1), f"changed-{minutes}")
        bench.account.put(bench.obj, bench.key(minutes + 5), "new")
        await bench.settle()
        bench.require_truth()


@clause("told once", "A row that did not change is published once, whatever reads it again.")
async def told_once(bench: Bench) -> None:
    """Polls, a sweep, and a new process."""
    await bench.fresh(4)
    await bench.settle()
    before = len(bench.log.changes)
    await bench.settle()
    bench.tick_sweep()
    await bench.settle()
    await bench.restart()
    await bench.settle()
    if again := [change.row_id for change in bench.log.changes[before:]]:
        raise BrokenClauseError(f"published again: {', '.join(sorted(again))}")


@clause("one id", "A row keeps its id whatever else of it changes.", per_object=True)
async def one_id(bench: Bench) -> None:
    """The text of a row changes; it is an update under the vendor's own id."""
    await bench.fresh(2)
    await bench.settle()
    before = len(bench.log.changes)
    bench.tick(minutes=1)
    bench.account.put(bench.obj, bench.key(1), "another-text")
    await bench.settle()
    told = {change.row_id for change in bench.log.changes}
    if strange := sorted(told - bench.account.texts(bench.obj).keys()):
        raise BrokenClauseError(f"ids are not the vendor's: {', '.join(strange)}")
    if [change for change in bench.log.changes[before:] if change.op != "u"]:
        raise BrokenClauseError("a row that changed is told as another one")


@clause("doubled rows", "A row that a list shows twice is published once, and hides no other.")
async def doubled_rows(bench: Bench) -> None:
    """Each page shows its last row twice."""
    await bench.fresh(5)
    bench.account.quirks.reshape = lambda rows: [*rows, *rows[-1:]]
    await bench.poll()
    await bench.poll()
    bench.account.quirks.reshape = lambda rows: rows
    await bench.settle()
    told = [change.row_id for change in bench.log.changes if change.op != "d"]
    if twice := sorted({key for key in told if told.count(key) > 1}):
        raise BrokenClauseError(f"published twice: {', '.join(twice)}")
    bench.require_truth()


@clause(
    "window",
    "More changes than a list of changes shows are captured all the same.",
    spared=_without_window,
)
async def window(bench: Bench) -> None:
    """Every row changes, and the list of changes ends after a page."""
    await bench.fresh(7)
    await bench.settle()
    bench.account.quirks.window_rows = PAGE
    bench.tick(hours=5)
    for number in range(7):
        bench.account.put(bench.obj, bench.key(number), f"changed-{number}")
    await bench.settle()
    bench.require_truth()


@clause(
    "endless paging",
    "Pages that lead nowhere end the poll with an error, not with requests for ever.",
    spared=_without_pages,
)
async def endless_paging(bench: Bench) -> None:
    """The page after the second is the second again."""
    await bench.fresh(3 * PAGE)
    bench.account.quirks.repeats = True
    if await bench.poll() is None and isinstance(bench.paging, Link | Token):
        raise BrokenClauseError("a list whose next page is always the same is taken for whole")


@clause("deletes", "A deleted row is told as deleted once, and no other row is.")
async def deletes(bench: Bench) -> None:
    """One of eight goes, in each way that the vendor documents; then it is shown no more."""
    for number, way in enumerate(bench.documented.deletes):
        gone = bench.key(3 + number)
        await bench.fresh(8)
        await bench.settle()
        if way == "delta":
            await bench.settle()  # a sweep follows all rows, which would find it
        bench.tick(hours=2)
        bench.account.remove(bench.obj, gone, way)
        await bench.settle()
        if way == "absence" or number:
            bench.tick_sweep()
            await bench.settle()
        require_deleted(bench, [gone])
        bench.account.purge(bench.obj, gone)
        for _ in range(2):
            bench.tick_sweep()
            await bench.settle()
        await bench.restart()
        await bench.settle()
        require_deleted(bench, [gone])
        bench.require_truth()


@clause("restored rows", "A deleted row that comes back is captured again, and stays.")
async def restored_rows(bench: Bench) -> None:
    """A row is deleted, its delete is told, and it comes back under its id."""
    await bench.fresh(8)
    await bench.settle()
    bench.tick(hours=2)
    bench.account.remove(bench.obj, bench.key(3))
    for _ in range(2):
        bench.tick_sweep()
        await bench.settle()
    bench.tick(hours=2)
    bench.account.put(bench.obj, bench.key(3), "back")
    await bench.settle()
    for _ in range(2):
        bench.tick_sweep()
        await bench.settle()
    bench.require_truth()


@clause("emptied list", "A list that shows no rows, or few of those there were, deletes none.")
async def emptied_list(bench: Bench) -> None:
    """A right is lost: lists show nothing, then one row."""
    await bench.fresh(16)
    await bench.settle()
    for kept in (0, 1):
        bench.account.quirks.shown_rows = kept
        for _ in range(2):
            bench.tick_sweep()
            await bench.poll()
        require_deleted(bench, [])


def require_deleted(bench: Bench, expected: list[str]) -> None:
    """Raises BrokenClauseError unless just these were told as deleted, each once."""
    if (told := bench.log.deleted()) != expected:
        raise BrokenClauseError(
            f"told as deleted: {', '.join(told) or 'nothing'};"
            f" deleted: {', '.join(expected) or 'nothing'}"
        )


@clause(
    "restart", "A process that ends at any request or commit leaves nothing out and repeats none."
)
async def restart(bench: Bench) -> None:
    """Each request of two polls is the last of its process; so is each commit."""
    for at in range(1, 30):
        if not await _ends_at_request(bench, at):
            break
    for at in range(1, 30):
        await _two_polls(bench, fails_at=at)
        if bench.log.tried < at:
            return


async def _ends_at_request(bench: Bench, at: int) -> bool:
    """Whether two polls have that many requests."""
    await bench.spread(5)
    asked = 0

    async def end(request: web.Request) -> web.StreamResponse | None:
        nonlocal asked
        asked += 1
        return await cut(request) if asked >= at else None

    bench.network.fault = end
    await bench.poll_however()
    if asked < at:
        bench.tick(minutes=1)
        bench.account.put(bench.obj, bench.key(2), "changed")
        bench.account.put(bench.obj, bench.key(6), "new")
        await bench.poll_however()
    is_met = asked >= at
    bench.network.fault = None
    await bench.restart()
    await bench.settle()
    bench.require_truth()
    require_each_once(bench)
    return is_met


async def _two_polls(bench: Bench, fails_at: int) -> None:
    await bench.spread(5)
    bench.log.fails_at = fails_at
    await bench.poll()
    await bench.restart()
    await bench.settle()
    bench.tick(minutes=1)
    bench.account.put(bench.obj, bench.key(2), "changed")
    await bench.poll()
    await bench.restart()
    await bench.settle()
    bench.require_truth()
    require_each_once(bench)


def require_each_once(bench: Bench) -> None:
    """Raises BrokenClauseError where a row was published again as it was."""
    last: dict[str, Mapping[str, object] | None] = {}
    for change in bench.log.changes:
        if change.row_id in last and last[change.row_id] == change.after:
            raise BrokenClauseError(f"published again without a change: {change.row_id}")
        last[change.row_id] = change.after
