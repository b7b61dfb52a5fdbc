"""Whatever finance does to invoices and credit memos, time is offered for billing once.

A small ERP that knows which time bill each line has used up, as the real one does and its rows do
not say. It carries out what is ordered and shows its rows at once, to the partitions that the
catalogue of topics sends them to. The entry moves between projects of one partition and of two.
What a partition keeps may be computed anew from the rows, read in any order; what it orders
meanwhile is carried out when it has read them all, the last order of each time bill.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.identity import time_bill_id
from schemas.topics import Route
from tables.flows.time_bill import Billable
from tables.foundation.effects import Outbox
from tables.foundation.facts import InvoiceLine, TimeBill
from tables.project.bill_orders import order_bills
from tables.project.billing import BillingDocument
from tables.project.billing_difference import EntryNow, difference
from tests.support.catalogue import BY_NAME
from tests.support.examples import examples

ENTRY, PROJECT = "x:e", "p1"
PARTITION_OF = {PROJECT: 0, "p2": 1, "p3": 0}
PROJECTS = tuple(PARTITION_OF)
HOUR = 3_600
RATE = 100


@dataclass
class Paper:
    """A line of an invoice or of the credit memo made from it."""

    bill: str
    project: str
    hours: int
    kind: str
    status: str = "open"
    is_credited: bool = False

    @property
    def uses(self) -> int:
        return self.hours if self.kind == "invoice" and self.status != "void" else 0


@dataclass
class Erp:
    """Time bills by their own id, and papers."""

    bills: dict[str, dict[str, Any]] = field(default_factory=dict)
    papers: dict[str, Paper] = field(default_factory=dict)
    count: int = 0

    def new_id(self) -> str:
        self.count += 1
        return f"{self.count:03d}"

    def used(self, bill: str) -> int:
        return sum(paper.uses for paper in self.papers.values() if paper.bill == bill)

    def left(self, bill: str) -> int:
        return int(self.bills[bill]["hours"]) - self.used(bill)

    def offers(self) -> int:
        """Return the hours that the next invoice would take."""
        return sum(self.left(bill) for bill in self.bills if self.bills[bill]["is_billable"])

    def execute(self, kind: str, payload: dict[str, Any]) -> None:
        """Carry out a command; one on time that an invoice line has used must never come.

        Unless it asks for what is there: a rebuild may order a time bill before it has read it.
        """
        own = [
            bill
            for bill, row in self.bills.items()
            if row["time_bill_id"] == payload.get("time_bill_id")
        ]
        is_there = any(
            (self.bills[bill]["project"], self.bills[bill]["hours"])
            == (payload["project_ref"], Decimal(payload["hours"]))
            for bill in own
            if kind == "upsert_time_bill"
        )
        if is_there:
            return
        for bill in own:
            assert self.used(bill) == 0, f"{kind} of a time bill that is invoiced"
        if kind == "delete_time_bill":
            for bill in own:
                del self.bills[bill]
        elif kind == "upsert_time_bill":
            bill = own[0] if own else self.new_id()
            self.bills[bill] = {
                "time_bill_id": payload["time_bill_id"],
                "project": payload["project_ref"],
                "hours": Decimal(payload["hours"]),
                "is_billable": True,
            }

    # -- what finance does ----------------------------------------------------------------

    def invoice(self, number: int, hours: int) -> None:
        """Invoice up to so many hours of a bill that has some left."""
        some = [bill for bill in sorted(self.bills) if self.left(bill) > 0]
        some = [bill for bill in some if self.bills[bill]["is_billable"]]
        if some:
            bill = some[number % len(some)]
            hours = min(hours, self.left(bill))
            project = self.bills[bill]["project"]
            self.papers[self.new_id()] = Paper(bill, project, hours, "invoice")

    def credit(self, number: int) -> None:
        """Credit all of an invoice line: the time stays billed."""
        some = [
            paper
            for _, paper in sorted(self.papers.items())
            if paper.uses and not paper.is_credited
        ]
        if some:
            paper = some[number % len(some)]
            paper.is_credited = True
            memo = Paper(paper.bill, paper.project, -paper.hours, "credit_memo")
            self.papers[self.new_id()] = memo

    def delete(self, number: int) -> None:
        """Delete any paper: what an invoice line has used is free again."""
        if self.papers:
            del self.papers[sorted(self.papers)[number % len(self.papers)]]

    def void(self, number: int) -> None:
        """Void any paper."""
        if self.papers:
            self.papers[sorted(self.papers)[number % len(self.papers)]].status = "void"

    def close(self, number: int) -> None:
        """Clear Billable on a bill that an invoice line has used."""
        some = [bill for bill in sorted(self.bills) if self.used(bill)]
        if some:
            self.bills[some[number % len(some)]]["is_billable"] = False


@dataclass
class World:
    """The ERP, what each partition keeps of it, and what is approved of the entry."""

    erp: Erp = field(default_factory=Erp)
    documents: list[BillingDocument] = field(
        default_factory=lambda: [BillingDocument() for _ in set(PARTITION_OF.values())]
    )
    project: str = PROJECT
    hours: int = 8
    clock: int = 0

    def settle(self) -> None:
        """Show the ERP's rows and carry out what follows, until nothing does."""
        offered = self.erp.offers()
        for _ in range(20):
            self.show()
            has_ordered = [self.order(partition) for partition in self.partitions()]
            if not any(has_ordered):
                assert self.erp.offers() <= max(offered, self.open_hours()), "we made it more"
                return
        raise AssertionError("commands without end")

    def partitions(self) -> list[int]:
        """Return all partitions; the one that is ahead of the others changes with time."""
        all_of_them = list(range(len(self.documents)))
        return all_of_them if self.clock // 10 % 2 else all_of_them[::-1]

    def show(self) -> None:
        """Bring the rows in one by one, as the topics do; papers first."""
        for partition in self.partitions():
            papers = {
                key: _line(key, paper)
                for key, paper in self.erp.papers.items()
                if _reaches("psa.invoice", paper.project, partition)
            }
            for key in sorted(self.documents[partition].lines.keys() - papers.keys()):
                del self.documents[partition].lines[key]
                self.order(partition)
            for key in sorted(papers):
                if self.documents[partition].lines.get(key) != papers[key]:
                    self.documents[partition].lines[key] = papers[key]
                    self.order(partition)
        for partition in self.partitions():
            self.documents[partition].bills = {
                key: _bill(key, row)
                for key, row in self.erp.bills.items()
                if _reaches("psa.time_bill", row["project"], partition)
            }

    def rebuild(self, partition: int, seed: int) -> None:
        """Forget what a partition keeps, and have it read its rows again in an order of chance.

        All of them are of the present, as the engine tells their times.
        """
        known = self.documents[partition]
        self.documents[partition] = BillingDocument()
        rows = [*known.bills.values(), *known.lines.values(), None]
        random.Random(seed).shuffle(rows)
        last: dict[str, Mapping[str, Any]] = {}
        is_entry_read = False
        self.clock += 10
        for row in rows:
            match row:
                case TimeBill():
                    self.documents[partition].bills[row.id] = row
                case InvoiceLine():
                    self.documents[partition].lines[row.id] = row
                case None:
                    is_entry_read = True
            for command in self.derive(partition, is_entry_read=is_entry_read, takes=0):
                last[str(command["natural_key"])] = command
        self.execute(list(last.values()))

    def order(self, partition: int) -> bool:
        """Carry out what a partition orders now; return whether it ordered anything."""
        commands = self.derive(partition)
        self.execute(commands)
        return bool(commands)

    def execute(self, commands: list[Mapping[str, Any]]) -> None:
        """Have the ERP carry out commands."""
        for command in commands:
            self.erp.execute(str(command["kind"]), json.loads(str(command["payload"])))

    def derive(
        self, partition: int, *, is_entry_read: bool = True, takes: int = 10
    ) -> list[Mapping[str, Any]]:
        """Return what a partition orders now."""
        outbox = Outbox()
        self.clock += takes
        wanted = None
        if is_entry_read and self.hours and PARTITION_OF[self.project] == partition:
            day, seconds = date(2026, 11, 2), self.hours * HOUR
            wanted = Billable(
                "netsuite", self.project, "eng-a-de", day, seconds, Decimal(RATE), "EUR"
            )
        order_bills(
            self.documents[partition],
            ENTRY,
            wanted,
            is_read=is_entry_read,
            erp_of=lambda _: "netsuite",
            owns=lambda project: PARTITION_OF[project] == partition,
            correlation=None,
            outbox=outbox,
            timestamp_ms=self.clock,
        )
        # What is kept between two changes is what the state store holds.
        kept = self.documents[partition].model_dump_json()
        self.documents[partition] = BillingDocument.model_validate_json(kept)
        return [emit.record for emit in outbox.emits if emit.record is not None]

    def is_told(self) -> bool:
        """Whether an exception is open on any of the projects."""
        now = EntryNow(
            "approved" if self.hours else "draft",
            True,
            True,
            (self.hours or 8) * HOUR,
            Decimal(RATE),
            "EUR",
            None,
        )
        return any(
            difference(
                self.documents[partition], ENTRY, project, now if project == self.project else None
            )
            for project, partition in PARTITION_OF.items()
        )

    def open_hours(self) -> int:
        """Return the hours that have still to be billed, on whatever project.

        A credit of what is invoiced no more is the customer's, and nothing to bill again, neither
        to that customer nor to the one of another project.
        """
        owed = dict.fromkeys(PROJECTS, 0)
        for paper in self.erp.papers.values():
            owed[paper.project] += paper.hours if paper.status != "void" else 0
        return self.hours - sum(max(hours, 0) for hours in owed.values())

    def check(self) -> None:
        """The ERP offers what is open, neither more nor less; or a person is told."""
        if self.is_told():
            return
        is_written_off = any(not row["is_billable"] for row in self.erp.bills.values())
        offered = self.erp.offers()
        assert offered == self.open_hours() or (is_written_off and offered < self.open_hours())


def _reaches(topic: str, project: str, partition: int) -> bool:
    return BY_NAME[topic].route is Route.BROADCAST or PARTITION_OF[project] == partition


def _line(key: str, paper: Paper) -> InvoiceLine:
    return InvoiceLine(
        id=key,
        kind=paper.kind,
        status=paper.status,
        project_ref=paper.project,
        time_entry_id=ENTRY,
        seconds=paper.hours * HOUR,
        amount=Decimal(paper.hours * RATE) if paper.status != "void" else Decimal(0),
        currency="EUR",
    )


def _bill(key: str, row: dict[str, Any]) -> TimeBill:
    return TimeBill(
        id=key,
        time_bill_id=row["time_bill_id"],
        project_ref=row["project"],
        time_entry_id=ENTRY,
        project_id="eng-a-de",
        work_on=date(2026, 11, 2),
        hours=row["hours"],
        bill_rate=Decimal(RATE),
        currency="EUR",
        is_billable=None if row["is_billable"] else False,
    )


Step = tuple[str, tuple[int | None, ...]]


def play(world: World, step: Step) -> None:
    """One act of finance; or `work`: so many hours are approved now; or `move`: somewhere else.

    `rebuild` of partition and seed; meanwhile so many hours are approved, or somewhere else.
    """
    name, arguments = step
    if name == "rebuild":
        partition, seed, *changes = arguments
    else:
        changes = {"work": [arguments[0], None], "move": [None, arguments[0]]}.get(name, [])
    for hours, project in [changes] if changes else []:
        world.hours = world.hours if hours is None else hours
        world.project = world.project if project is None else PROJECTS[project]
    if name == "rebuild":
        world.rebuild(partition, seed)
    elif not changes:
        getattr(world.erp, name)(*arguments)
    world.settle()
    world.check()


numbers = st.integers(0, 5)
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("work"), st.tuples(st.sampled_from([8, 8, 6, 0]))),
    st.tuples(st.just("move"), st.tuples(st.integers(0, len(PROJECTS) - 1))),
    st.tuples(st.just("invoice"), st.tuples(numbers, st.sampled_from([8, 8, 5]))),
    st.tuples(st.sampled_from(["credit", "credit", "delete", "void", "close"]), st.tuples(numbers)),
    st.tuples(
        st.just("rebuild"),
        st.tuples(
            st.integers(0, 1),
            st.integers(0, 99),
            st.sampled_from([None, None, 8, 6, 0]),
            st.sampled_from([None, None, 0, 1, 2]),
        ),
    ),
)


@settings(max_examples=examples(60), deadline=None)
@pytest.mark.fault("C7", place="tables/project/billing.py")
@given(st.lists(steps, min_size=3, max_size=14))
@example(  # the last invoice may have used either of two bills
    [
        *[("invoice", (0, 8)), ("credit", (0,))] * 2,
        ("delete", (0,)),
        ("work", (6,)),
        ("invoice", (0, 8)),
    ]
)
@example(  # a credit memo outlives its invoice
    [
        *[("invoice", (0, 8)), ("credit", (0,)), ("invoice", (0, 8)), ("work", (0,))],
        *[("delete", (0,)), ("work", (8,))],
    ]
)
@example([("invoice", (0, 5)), ("invoice", (0, 8)), ("credit", (0,))])  # credited in part
@example([("invoice", (0, 5)), ("credit", (0,)), ("move", (1,))])  # 3 h are left where it was
@example([("invoice", (0, 5)), ("credit", (0,)), ("move", (2,))])
@example([("invoice", (0, 5)), ("move", (1,)), ("credit", (0,)), ("close", (0,))])
@example([("invoice", (0, 8)), ("rebuild", (0, 0, None, None)), ("move", (1,)), ("void", (0,))])
def test_c7_time_is_offered_once_whatever_happens_to_papers(history: list[Step]) -> None:
    world = World()
    world.settle()
    world.check()
    for step in history:
        play(world, step)


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize("name", ["delete", "void"])
def test_c7_papers_of_two_bills_that_go_leave_one_bill(name: str) -> None:
    world = World()
    world.settle()
    for _ in range(2):
        world.erp.invoice(0, 8)
        world.settle()
        world.erp.credit(0)
        world.settle()
    assert len(world.erp.bills) == 3
    for number in range(4):
        play(world, (name, (number if name == "void" else 0,)))
    assert [row["time_bill_id"] for row in world.erp.bills.values()] == [
        time_bill_id(ENTRY, PROJECT)
    ]
    assert world.erp.offers() == 8
    assert not world.is_told()


def outcome(world: World) -> list[tuple[Any, ...]]:
    """What the ERP holds."""
    rows = world.erp.bills.values()
    return sorted((row["time_bill_id"], row["project"], row["hours"]) for row in rows)


changes = st.one_of(
    st.tuples(st.just("work"), st.tuples(st.sampled_from([8, 6, 3, 0]))),
    st.tuples(st.just("move"), st.tuples(st.integers(0, len(PROJECTS) - 1))),
)


@settings(max_examples=examples(30), deadline=None)
@pytest.mark.fault("C7", place="tables/project/billing.py")
@given(st.lists(changes, min_size=1, max_size=6), st.integers(0, 5), st.integers(0, 99))
def test_c7_state_that_is_lost_at_any_point_ends_with_the_same_bills(
    history: list[Step], lost: int, seed: int
) -> None:
    """The change at that point comes while no worker runs; all partitions are lost."""
    worlds = World(), World()
    for world in worlds:
        world.settle()
    for at, step in enumerate(history):
        play(worlds[0], step)
        if at != min(lost, len(history) - 1):
            play(worlds[1], step)
            continue
        name, (value,) = step
        during = (value, None) if name == "work" else (None, value)
        for partition in range(len(worlds[1].documents)):
            play(worlds[1], ("rebuild", (partition, seed, *during)))
    assert outcome(worlds[1]) == outcome(worlds[0])
    assert not worlds[1].is_told()
