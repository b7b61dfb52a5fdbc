"""What is found for rows that look others up, by the projections that are there."""

from __future__ import annotations

import polars as pl
import pytest

from schemas.mapping.lookups import Lookup, Way
from tables.lookups import Found, LookupTable, Reason, Seeker, Wait, read_seeker, rows_of
from tests.support.topology import MemoryState

COLUMNS = {"x": pl.String()}


def lookup(way: Way, reference: str = "", *, is_optional: bool = False) -> Lookup:
    return Lookup("up", way, "s:task:", COLUMNS, pl.lit(None), reference, is_optional)


KEY = lookup(Way.KEY)
ROOT = lookup(Way.ROOT, "parent>task")
REVERSE = lookup(Way.REVERSE, "line>line")


class Bench:
    """A partition: each step is a chunk of its own."""

    def __init__(self) -> None:
        self.state = MemoryState()

    def show(self, row: str, x: str | None = "-", **references: str) -> set[str] | None:
        """Have a task show something; return what it names and named, None if nothing changed."""
        table = LookupTable(self.state)
        named = {
            f"{name}>{'task' if name == 'parent' else name}": at for name, at in references.items()
        }
        change = table.show(row, None if x is None else {"x": x, **named})
        self.state.commit(table.changes())
        return None if change is None else change.named

    def find(self, lookup: Lookup, begins: str | None) -> Found:
        return LookupTable(self.state).find(lookup, begins)

    def x(self, lookup: Lookup, begins: str | None) -> object:
        """What is found, or why the row waits."""
        found = self.find(lookup, begins)
        if found.wait is not None:
            assert found.shows == {}
            return found.wait.reason, found.wait.detail
        return found.shows.get("x")

    def concerned(self, lookup: Lookup, row: str, x: str | None, **references: str) -> set[str]:
        """Rows that a change concerns; it is not kept."""
        table = LookupTable(self.state)
        named = {
            f"{name}>{'task' if name == 'parent' else name}": at for name, at in references.items()
        }
        change = table.show(row, None if x is None else {"x": x, **named})
        assert change is not None
        return table.seeking("s:line:", lookup, change)

    def keep(self, row: str, now: Seeker) -> None:
        table = LookupTable(self.state)
        [before] = table.seekers([row])
        table.keep(row, before, now)
        self.state.commit(table.changes())


def test_a_row_is_found_by_its_key() -> None:
    bench = Bench()
    assert bench.x(KEY, "s:task:1") == (Reason.MISSING, "s:task:1")
    assert bench.find(KEY, "s:task:1").wait == Wait("up", Reason.MISSING, "s:task:1")
    assert bench.show("s:task:1", "a") == set()
    assert bench.x(KEY, "s:task:1") == "a"
    assert bench.x(KEY, None) is None
    assert bench.show("s:task:1", "a") is None
    bench.show("s:task:1", None)
    assert bench.x(KEY, "s:task:1") == (Reason.MISSING, "s:task:1")
    assert bench.x(lookup(Way.KEY, is_optional=True), "s:task:1") is None
    assert bench.show("s:task:1", None) is None


def test_the_top_of_a_tree_is_found_from_anywhere_below() -> None:
    bench = Bench()
    bench.show("s:task:0", "top")
    for depth in range(1, 60):
        bench.show(f"s:task:{depth}", str(depth), parent=f"s:task:{depth - 1}")
    assert [bench.x(ROOT, f"s:task:{depth}") for depth in (0, 1, 59)] == ["top"] * 3
    bench.show("s:task:30", "cut")
    assert [bench.x(ROOT, f"s:task:{depth}") for depth in (29, 30, 59)] == ["top", "cut", "cut"]
    bench.show("s:task:40", None)
    assert bench.x(ROOT, "s:task:59") == (Reason.MISSING, "s:task:40")
    assert bench.x(lookup(Way.ROOT, "parent>task", is_optional=True), "s:task:59") is None


def test_a_cycle_is_told() -> None:
    bench = Bench()
    bench.show("s:task:1", parent="s:task:2")
    bench.show("s:task:2", parent="s:task:3")
    bench.show("s:task:3", parent="s:task:2")
    bench.show("s:task:4", parent="s:task:4")
    assert bench.x(ROOT, "s:task:1") == (Reason.CYCLE, "s:task:2")
    assert bench.x(ROOT, "s:task:2") == (Reason.CYCLE, "s:task:2")
    optional = lookup(Way.ROOT, "parent>task", is_optional=True)
    assert bench.x(optional, "s:task:4") == (Reason.CYCLE, "s:task:4")
    bench.show("s:task:3", "top")
    assert bench.x(ROOT, "s:task:1") == "top"


def test_a_row_is_found_by_the_one_that_names_it() -> None:
    bench = Bench()
    told = "a row that names s:line:1"
    assert bench.x(REVERSE, "s:line:1") == (Reason.MISSING, told)
    assert bench.show("s:task:1", "a", line="s:line:1") == {"s:line:1"}
    assert bench.x(REVERSE, "s:line:1") == "a"
    bench.show("s:task:1", "c", line="s:line:1")
    assert bench.x(REVERSE, "s:line:1") == "c"
    bench.show("s:task:2", "b", line="s:line:1")
    several = (Reason.SEVERAL, "s:task:1, s:task:2")
    assert bench.x(REVERSE, "s:line:1") == several
    assert bench.x(lookup(Way.REVERSE, "line>line", is_optional=True), "s:line:1") == several
    assert bench.show("s:task:1", "a", line="s:line:2") == {"s:line:1", "s:line:2"}
    assert [bench.x(REVERSE, f"s:line:{at}") for at in (1, 2)] == ["b", "a"]
    assert bench.show("s:task:2", None) == {"s:line:1"}
    assert bench.x(REVERSE, "s:line:1") == (Reason.MISSING, told)
    assert bench.x(REVERSE, "s:line:2") == "a"


def test_no_more_than_two_are_named_of_several() -> None:
    bench = Bench()
    for at in "321":
        bench.show(f"s:task:{at}", line="s:line:1")
    assert bench.x(REVERSE, "s:line:1") == (Reason.SEVERAL, "s:task:1, s:task:2")


def test_reads_see_what_the_chunk_wrote() -> None:
    table = LookupTable(MemoryState())
    table.show("s:task:1", {"x": "a", "line>line": "s:line:1"})
    table.show("s:task:1", {"x": "b", "line>line": "s:line:2"})
    table.show("s:task:2", {"x": "c", "line>line": "s:line:1"})
    assert table.find(KEY, "s:task:1").shows["x"] == "b"
    assert table.find(REVERSE, "s:line:1").shows["x"] == "c"
    assert table.find(REVERSE, "s:line:2").shows["x"] == "b"


def seek(bench: Bench, row: str, begins: str) -> None:
    bench.keep(row, Seeker(1, {"up": begins}, None, b"event"))


def test_a_change_concerns_the_rows_that_look_it_up() -> None:
    bench = Bench()
    for row, at in (("s:line:1", "s:task:1"), ("s:line:2", "s:task:2"), ("s:line:3", "s:task:1")):
        seek(bench, row, at)
    assert bench.concerned(KEY, "s:task:1", "a") == {"s:line:1", "s:line:3"}
    assert bench.concerned(KEY, "s:task:3", "a") == set()
    assert bench.concerned(KEY, "s:other:1", "a") == set()
    seek(bench, "s:line:1", "s:task:2")
    assert bench.concerned(KEY, "s:task:1", "a") == {"s:line:3"}
    assert bench.concerned(KEY, "s:task:2", "a") == {"s:line:1", "s:line:2"}
    bench.keep("s:line:2", Seeker(2))
    assert bench.concerned(KEY, "s:task:2", "a") == {"s:line:1"}


def test_a_change_concerns_all_rows_below_it_in_a_tree_and_none_beside() -> None:
    bench = Bench()
    bench.show("s:task:1")
    for child, parent in ((2, 1), (3, 2), (4, 1), (5, 6), (6, 5)):
        bench.show(f"s:task:{child}", parent=f"s:task:{parent}")
    for at in range(1, 7):
        seek(bench, f"s:line:{at}", f"s:task:{at}")
    assert bench.concerned(ROOT, "s:task:1", "new") == {f"s:line:{at}" for at in (1, 2, 3, 4)}
    assert bench.concerned(ROOT, "s:task:2", "new", parent="s:task:4") == {"s:line:2", "s:line:3"}
    assert bench.concerned(ROOT, "s:task:5", "new") == {"s:line:5", "s:line:6"}
    in_a_circle = bench.concerned(ROOT, "s:task:5", "new", parent="s:task:6")
    assert in_a_circle == {"s:line:5", "s:line:6"}


def test_a_change_concerns_the_rows_it_names_and_named() -> None:
    bench = Bench()
    bench.show("s:task:1", "a", line="s:line:1")
    assert bench.concerned(REVERSE, "s:task:1", "a", line="s:line:2") == {"s:line:1", "s:line:2"}
    assert bench.concerned(REVERSE, "s:task:1", None) == {"s:line:1"}
    bench.show("s:task:1", "a", other="s:other:1")
    assert bench.concerned(REVERSE, "s:task:1", "b", other="s:other:1") == set()


@pytest.mark.parametrize(
    "row",
    [
        Seeker(),
        Seeker(7),
        Seeker(2**62, {"up": "s:task:1"}, None, b"\x00event"),
        Seeker(1, {}, Wait("up", Reason.CYCLE, "s:task:ä"), b"x"),
    ],
)
def test_a_row_is_kept_as_it_is(row: Seeker) -> None:
    bench = Bench()
    bench.keep("s:line:1", row)
    assert LookupTable(bench.state).seekers(["s:line:2", "s:line:1"]) == [Seeker(), row]
    [stored] = [value for key, value in bench.state.rows.items() if key == b"lookr|s:line:1"]
    assert read_seeker(stored) == row


def test_rows_that_wait_are_counted_by_object_lookup_and_reason() -> None:
    bench = Bench()
    bench.keep("s:line:1", Seeker(1, {}, Wait("up", Reason.MISSING, "s:task:1"), b"x"))
    assert bench.state.rows[b"waits|s:line:1"] == b"s:line|up|missing"
    bench.keep("s:line:1", Seeker(2, {}, Wait("", Reason.UNFIT, "told"), b"x"))
    assert bench.state.rows[b"waits|s:line:1"] == b"s:line||unfit"
    bench.keep("s:line:1", Seeker(3, {}, None, b"x"))
    assert b"waits|s:line:1" not in bench.state.rows
    bench.keep("s:line:1", Seeker(4, {}, Wait("", Reason.UNFIT, "told"), b"x"))
    bench.keep("s:line:1", Seeker(5))
    assert [*bench.state.rows] == [b"lookr|s:line:1"]


def test_the_rows_of_an_object_are_told_by_their_ids() -> None:
    assert rows_of("s:line:a:b") == "s:line:"
