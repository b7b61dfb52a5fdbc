"""The loop of all flows: it decides, remembers and sends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import pytest

from schemas.commands import CONTENTS, CommandContent, DeleteProject, StaffProject
from schemas.landscape import Role
from tables.flows.flow import Flow, Orders, Place
from tables.foundation.effects import Outbox
from tables.foundation.facts import ProjectLink
from tables.foundation.ledger import GONE, LedgerEntry

KEY: Final = "tool:project:eng-1-de"
DELETED: Final = DeleteProject(project_id="eng-1-de")


def named(name: str) -> StaffProject:
    return StaffProject(project_id="eng-1-de", correlation_id="c-1", name=name, starts_on=None)


def row(name: str) -> ProjectLink:
    return ProjectLink(id="tool:project:7", source_system="tool", name=name)


@dataclass
class View:
    wanted: CommandContent | None = None
    held: ProjectLink | Place | None = None
    identity: str = "eng-1-de"
    origin_key: str = "eng-1"
    correlation_id: str | None = "c-1"


FLOW: Final = Flow[View](
    role=Role.RESOURCE,
    noun="project",
    upsert=StaffProject,
    delete=DeleteProject,
    kept_equal=("name", "starts_on"),
    shown_by=("project",),
    wanted=lambda view, _: view.wanted,
    held=lambda view, _: view.held,
    worth=lambda _: (Decimal(5), "EUR"),
)


class Target:
    """A target that shows what it is told to, and the ledgers of what is ordered from it."""

    def __init__(self) -> None:
        self.ledgers: dict[str, LedgerEntry] = {}
        self.now = 1_000

    def sent(
        self, wanted: CommandContent | None, held: ProjectLink | Place | None = None
    ) -> list[str]:
        """Return the kinds of commands that follow."""
        self.now += 1
        outbox = Outbox()
        Orders(self.ledgers, outbox, self.now).keep(FLOW, View(wanted, held), "tool")
        return [str((emit.record or {})["kind"]) for emit in outbox.emits]


def test_a_command_says_what_is_wanted_who_asks_and_what_waits_for_it() -> None:
    ledgers: dict[str, LedgerEntry] = {}
    outbox = Outbox()
    wanted = named("Rollout")
    assert Orders(ledgers, outbox, 1_000).keep(FLOW, View(wanted), "tool") is wanted
    (emit,) = outbox.emits
    assert (emit.topic, emit.key, emit.route) == ("psa.command.tool", KEY, KEY)
    record = dict(emit.record or {})
    assert StaffProject(**json.loads(str(record.pop("payload")))) == wanted
    assert record.pop("upsert_project") == wanted.model_dump()
    assert str(record.pop("command_id")).startswith("cmd-")
    assert record == {
        "target": "tool",
        "kind": "upsert_project",
        "natural_key": KEY,
        "revision": 1_000,
        "origin_key": "eng-1",
        "correlation_id": "c-1",
        "amount": Decimal(5),
        "currency": "EUR",
        "issued_at": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
    }
    assert ledgers[KEY].revision == 1_000


def test_nothing_is_ordered_twice_and_an_edit_is_undone() -> None:
    target = Target()
    assert target.sent(named("a")) == ["upsert_project"]
    assert target.sent(named("a")) == []
    assert target.sent(named("a"), row("a")) == []
    assert target.sent(named("a"), row("edited")) == ["upsert_project"]
    assert target.sent(named("b"), row("a")) == ["upsert_project"]


def test_what_was_never_ordered_is_neither_remembered_nor_taken_back() -> None:
    target = Target()
    for wanted in (None, DELETED):
        assert target.sent(wanted, row("theirs")) == []
    assert target.sent(named("a"), Place.MISSING) == []
    assert target.ledgers == {}


def test_a_wish_that_is_gone_before_it_was_met_is_withdrawn() -> None:
    target = Target()
    target.sent(named("a"))
    before = target.ledgers[KEY].revision
    outbox = Outbox()
    Orders(target.ledgers, outbox, 2_000).keep(FLOW, View(None), "tool")
    (emit,) = outbox.emits
    record = emit.record or {}
    assert (record["kind"], record["payload"], record["amount"]) == ("withdraw", "{}", None)
    assert not record.keys() & CONTENTS.keys(), "it says nothing"
    assert record["revision"] == target.ledgers[KEY].revision == 2_000 > before
    assert target.sent(None) == []
    assert target.sent(named("a")) == ["upsert_project"]


def test_a_wish_that_was_met_and_is_gone_leaves_what_is_there() -> None:
    target = Target()
    target.sent(named("a"))
    target.sent(named("a"), row("a"))
    assert target.sent(None, row("a")) == []
    assert target.sent(named("a"), row("a")) == []


def test_what_should_not_be_there_is_deleted_without_money_waiting() -> None:
    target = Target()
    target.sent(named("a"))
    outbox = Outbox()
    ordered = Orders(target.ledgers, outbox, 2_000).keep(FLOW, View(DELETED), "tool")
    assert ordered is DELETED
    assert FLOW.deletes(ordered)
    (emit,) = outbox.emits
    record = emit.record or {}
    assert (record["kind"], record["amount"], record["currency"]) == ("delete_project", None, None)
    assert target.ledgers[KEY].ordered == GONE


def test_what_went_with_its_row_is_withdrawn_and_ordered_anew_with_the_next_row() -> None:
    target = Target()
    target.sent(named("a"))
    assert target.sent(named("a"), Place.MISSING) == ["withdraw"]
    assert target.ledgers[KEY] == LedgerEntry(revision=target.now)
    assert target.sent(named("a"), Place.MISSING) == []
    assert target.sent(named("a")) == ["upsert_project"]


@pytest.mark.parametrize(
    ("entry", "sent"),
    [
        (LedgerEntry(revision=1, ordered="a"), ["withdraw"]),
        (LedgerEntry(revision=1, ordered=GONE), ["withdraw"]),
        (LedgerEntry(revision=1, ordered="a", observed="a", is_confirmed=True), []),
        (LedgerEntry(revision=1, ordered=GONE, is_confirmed=True), []),
    ],
)
def test_what_is_taken_back_is_what_is_still_open(entry: LedgerEntry, sent: list[str]) -> None:
    ledgers, outbox = {"slot": entry}, Outbox()
    Orders(ledgers, outbox, 2_000).take_back(FLOW, View(), "tool", "slot")
    assert [(emit.record or {})["kind"] for emit in outbox.emits] == sent
    assert (ledgers["slot"] == entry) is not bool(sent)


def test_a_ledger_may_have_a_name_of_its_own() -> None:
    ledgers: dict[str, LedgerEntry] = {}
    Orders(ledgers, Outbox(), 1).keep(FLOW, View(named("a")), "tool", name="slot")
    assert list(ledgers) == ["slot"]
