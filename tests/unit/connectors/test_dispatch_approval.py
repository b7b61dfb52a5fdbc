"""Commands that move much money: each waits for a person's word about what it says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from connectors.dispatch.approval import (
    APPROVAL_REFUSED,
    APPROVAL_REQUIRED,
    content_of,
    withheld,
)
from connectors.dispatch.commands import Command, Outcome, Settled
from connectors.dispatch.decisions import Approvals, Decision, Verb
from connectors.dispatch.exceptions import open_record, read_refusal
from connectors.dispatch.journal import Memory
from connectors.dispatch.main import load_sink
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.refusals import Refusal, RetryRequest
from connectors.dispatch.session import Session, Target
from schemas.errors import ConfigError
from tests.support.sinks import FakeTarget, MemoryJournal, make_command
from tests.unit.connectors.test_dispatch_executor import DEADLINE_S, reached
from tests.unit.connectors.test_dispatch_session import PLACES, committable, config, delivery
from tests.unit.connectors.test_dispatch_stops import idle

BOUNDS = {"upsert_project": {"EUR": Decimal("100000.00")}}
EXCEPTION = "netsuite:netsuite:project:a"


def order(amount: str | None = "125000.50", currency: str | None = "EUR", **fields: Any) -> Command:
    command = make_command(**fields)
    money = None if amount is None else Decimal(amount)
    return replace(command, amount=money, currency=currency)


def word(command: Command, verb: Verb = Verb.APPROVED, note: str | None = None) -> Decision:
    return Decision(
        verb, command.target, command.kind, "ada@desk", None, note, command.natural_key,
        content_of(command),
    )  # fmt: skip


class Desk:
    """A session of one target, and who approves."""

    def __init__(self, it: Session, sink: FakeTarget, journal: MemoryJournal, approvals: Approvals):
        self.session, self.sink, self.journal = it, sink, journal
        self._approvals = approvals
        self._offset = 0

    def send(self, *commands: Command) -> None:
        for command in commands:
            self.session.accept(delivery("netsuite", self._offset, command))
            self._offset += 1

    def decide(self, decision: Decision) -> None:
        """As the dispatcher does when it hears of it."""
        self._approvals.take(decision)
        self.session.heed(decision)

    async def settled(self) -> None:
        await committable(self.session, {PLACES["netsuite"]: self._offset})

    def open(self) -> tuple[str, bool]:
        problem = self.journal.open[EXCEPTION].problem
        return problem.code, problem.is_held


@asynccontextmanager
async def desk(
    memory: Memory | None = None,
    approvals: Approvals | None = None,
    bounds: dict[str, dict[str, Decimal]] = BOUNDS,
    journal: MemoryJournal | None = None,
) -> AsyncIterator[Desk]:
    sink, journal, approvals = FakeTarget(), journal or MemoryJournal(), approvals or Approvals()
    target = Target(config("netsuite").model_copy(update={"approval": bounds}), sink)
    async with asyncio.TaskGroup() as group:
        it = Session(
            {"netsuite": target}, memory or Memory(), journal,
            metrics=DispatchMetrics(CollectorRegistry()), spawn=group.create_task,
            approvals=approvals,
        )  # fmt: skip
        yield Desk(it, sink, journal, approvals)
        await it.drain(DEADLINE_S)


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("99999.999999", "EUR", None),
        ("100000.00", "EUR", APPROVAL_REQUIRED),
        ("100000.000001", "EUR", APPROVAL_REQUIRED),
        ("-100000", "EUR", APPROVAL_REQUIRED),
        ("-99999.99", "EUR", None),
        ("1", "USD", APPROVAL_REQUIRED),
        ("1", None, APPROVAL_REQUIRED),
        (None, None, None),
        (None, "USD", None),
    ],
)
def test_money_is_compared_exactly_and_in_its_own_currency(
    amount: str | None, currency: str | None, code: str | None
) -> None:
    problem = withheld(order(amount, currency), BOUNDS, Approvals())
    assert (problem and problem.code) == code
    if problem is not None:
        assert problem.is_held and ("EUR" in problem.detail or "100,000.00" in problem.detail)


def test_a_kind_has_bounds_of_its_own_or_those_of_all() -> None:
    of_all = {**BOUNDS, "all": {"EUR": Decimal("1")}}
    other = order("2", kind="upsert_customer")
    assert withheld(other, BOUNDS, Approvals()) is None
    assert withheld(other, of_all, Approvals()) is not None
    assert withheld(order("2"), of_all, Approvals()) is None


@pytest.mark.parametrize(
    "changed", ["natural_key", "kind", "revision", "payload", "amount", "currency"]
)
def test_an_approval_is_of_one_content(changed: str) -> None:
    command = order()
    values = {"revision": 2, "amount": Decimal("125000.51"), "kind": "upsert_customer"}
    other = replace(command, **{changed: values.get(changed, "GBP")})
    bounds = {"all": {"EUR": Decimal(0)}}
    approvals = Approvals([word(command)])
    assert withheld(command, bounds, approvals) is None
    assert withheld(other, bounds, approvals) is not None


def test_the_content_is_the_same_as_an_exception_keeps_it() -> None:
    command = replace(order("125000.500000"), command_id="c", origin_key="o")
    problem = withheld(command, BOUNDS, Approvals())
    assert problem is not None
    record = open_record(Refusal(EXCEPTION, command, problem, 0, 0, 0.0, 0.0, 0.0), {})
    read = read_refusal({**record, "amount": Decimal("125000.5")})
    assert read is not None and content_of(read.command) == content_of(command)
    assert "commands approve" in record["hint"] and "exceptions retry" not in record["hint"]


def test_the_last_word_counts() -> None:
    command = order()
    refused = withheld(command, BOUNDS, Approvals([word(command, Verb.REFUSED, "too much")]))
    assert refused is not None
    assert refused.code == APPROVAL_REFUSED
    assert "ada@desk" in refused.detail and "too much" in refused.detail
    both = Approvals([word(command, Verb.REFUSED), word(command)])
    assert withheld(command, BOUNDS, both) is None


@pytest.mark.asyncio
async def test_what_moves_much_money_waits_and_is_sent_once_it_is_approved() -> None:
    command, small = order(), order("5", key="netsuite:project:b")
    async with desk() as it:
        it.send(command, small)
        await it.settled()
        await idle()
        assert it.sink.effects == [(small.natural_key, 1)] and it.open() == (
            APPROVAL_REQUIRED,
            True,
        )
        it.session.hear(RetryRequest())  # asking alone sends nothing, and calls nobody
        await idle()
        assert it.sink.calls == 1 and it.sink.looks == []

        it.decide(word(command))
        await reached(lambda: not it.journal.open)

    assert it.sink.effects == [(small.natural_key, 1), (command.natural_key, 1)]


@pytest.mark.asyncio
async def test_a_newer_version_needs_its_own_and_nothing_older_follows_it() -> None:
    first, second = order(), order("130000", revision=2)
    async with desk() as it:
        it.send(first, second)
        await it.settled()
        it.decide(word(first))
        await idle()
        assert it.sink.calls == 0

        it.decide(word(second))
        await reached(lambda: not it.journal.open)
        it.decide(word(first))
        await idle()

    assert it.sink.effects == [(first.natural_key, 2)]


@pytest.mark.asyncio
async def test_a_newer_version_below_the_bound_takes_its_place() -> None:
    first, second = order(), order("10", revision=2)
    async with desk() as it:
        it.send(first)
        await it.settled()
        it.send(second)
        await it.settled()
        it.decide(word(first))
        await idle()

    assert it.sink.effects == [(first.natural_key, 2)] and it.journal.open == {}


@pytest.mark.asyncio
async def test_what_is_refused_stays_with_its_context_until_somebody_approves_it() -> None:
    command = order()
    async with desk() as it:
        it.send(command)
        await it.settled()
        it.decide(word(command, Verb.REFUSED, "not this year"))
        await reached(lambda: it.open()[0] == APPROVAL_REFUSED)
        parked = it.journal.open[EXCEPTION]
        assert parked.command == command and "not this year" in parked.problem.detail
        assert it.sink.calls == 0

        it.decide(word(command))
        await reached(lambda: not it.journal.open)

    assert it.sink.effects == [(command.natural_key, 1)]


@pytest.mark.asyncio
async def test_a_word_that_comes_while_it_is_recorded_that_it_waits_is_not_lost() -> None:
    class Slow(MemoryJournal):
        async def settle(self, command: Command, outcome: Outcome, refusals: Any = ()) -> None:
            await super().settle(command, outcome, refusals)
            if outcome.problem is not None:
                it.decide(word(command))
                await idle()

    command = order()
    async with desk(journal=Slow()) as it:
        it.send(command)
        await reached(lambda: bool(it.sink.effects))

    assert it.sink.effects == [(command.natural_key, 1)]


@pytest.mark.asyncio
async def test_what_is_refused_between_intent_and_call_is_not_sent() -> None:
    class Slow(MemoryJournal):
        async def intend(self, command: Command, attempt: int) -> None:
            await super().intend(command, attempt)
            it.decide(word(command, Verb.REFUSED))

    command = order()
    async with desk(approvals=Approvals([word(command)]), journal=Slow()) as it:
        it.send(command)
        await it.settled()
        assert it.open() == (APPROVAL_REFUSED, True)

    assert it.sink.calls == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("is_approved", [True, False], ids=["approved", "bound is gone"])
async def test_what_is_decided_while_nobody_listened_is_done_by_the_next_session(
    is_approved: bool,
) -> None:
    command = order()
    async with desk() as it:
        it.send(command)
        await it.settled()
        refusals = tuple(it.journal.open.values())
    approvals = Approvals([word(command)] if is_approved else [])
    memory = Memory(refusals=refusals, settled=_settled(it.journal, command))
    async with desk(memory, approvals, BOUNDS if is_approved else {}) as heir:
        await reached(lambda: bool(heir.sink.effects))
    assert heir.sink.effects == [(command.natural_key, 1)]

    async with desk(memory) as other:  # nothing was decided
        await idle()
        assert other.sink.calls == 0 and other.sink.looks == []


def _settled(journal: MemoryJournal, command: Command) -> dict[str, Any]:
    [(_, outcome)] = journal.outcomes
    last = Settled(command.revision, outcome.attempts, None, outcome.status)
    return {command.natural_key: last}


def test_the_file_of_a_sink_says_from_which_amount_on(tmp_path: Path) -> None:
    named = load_sink(_file(tmp_path, {"upsert_project": {"EUR": "100000.01", "USD": 5}}), {})
    assert named.approval == {"upsert_project": {"EUR": Decimal("100000.01"), "USD": Decimal(5)}}


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"upsert_projekt": {"EUR": "1"}}, "carries out no upsert_projekt"),
        ({"upsert_customer": {"EUR": "1"}}, "no command of netsuite .* is upsert_customer"),
        ({"all": {"EUR": "1"}, "delete_time_bill": {"EUR": "1"}}, "amount that is delete_time_b"),
        ({"upsert_project": {"EUR": 0.1}}, "an amount is a text"),
        ({"upsert_project": {"EUR": "-1"}}, "greater than or equal"),
        ({"upsert_project": {"EUR": "NaN"}}, "finite"),
        ({"upsert_project": {"euro": "1"}}, "pattern"),
    ],
)
def test_a_bound_that_cannot_be_meant_is_refused_at_the_start(
    tmp_path: Path, bounds: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        load_sink(_file(tmp_path, bounds), {})


def test_who_names_bounds_that_nothing_reaches_is_told_what_bears_an_amount(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_sink(_file(tmp_path, {"upsert_customer": {"EUR": "1"}}), {})
    assert caught.value.hint == "amounts are borne by upsert_project and upsert_time_bill"


@pytest.mark.parametrize("kind", ["upsert_project", "all"])
def test_a_system_that_only_plans_has_no_bounds(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"no command of float bears an amount that is {kind}"):
        load_sink(_file(tmp_path, {kind: {"EUR": "1"}}, "float", token="t"), {})


def _file(folder: Path, bounds: dict[str, Any], system: str = "netsuite", **keys: str) -> Path:
    shipped = json.loads(Path(f"connectors/vendors/{system}/sink.json").read_text())
    path = folder / "sink.json"
    secrets = {key: "x" for key, value in shipped.items() if str(value).startswith("${env:")}
    named = {**secrets, "url": "http://127.0.0.1", "approval": bounds, **keys}
    path.write_text(json.dumps(shipped | named))
    return path
