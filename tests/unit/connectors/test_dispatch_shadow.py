"""Commands in shadow: each is looked up and told, none is written, and none is forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from connectors.dispatch.approval import content_of
from connectors.dispatch.commands import Command, OpenException, Problem, Settled
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.content import Difference
from connectors.dispatch.decisions import Approvals, Decision, Stops, Verb
from connectors.dispatch.exceptions import open_record, read_refusal
from connectors.dispatch.intake import Withdrawal
from connectors.dispatch.journal import Memory
from connectors.dispatch.lease import Check
from connectors.dispatch.main import load_sink
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.pace import HOUR_S
from connectors.dispatch.refusals import Refusal, RetryRequest
from connectors.dispatch.session import Session, Target
from connectors.dispatch.shadow import (
    WOULD_BE_REFUSED,
    WOULD_CHANGE,
    WOULD_CREATE,
    WOULD_DELETE,
    ReadsAlone,
    ShadowWriteError,
    make_sink,
    planned,
)
from connectors.dispatch.sink import Applied
from connectors.toolkit.faults import ErrorPolicy, Meaning, Reason, VendorRejectedError, rule
from connectors.toolkit.faults import Fault as VendorFault
from connectors.toolkit.http import Limiter, VendorClient
from schemas.errors import ConfigError, InvalidEntityError
from tests.support.sinks import FakeTarget, MemoryJournal, make_command, not_available
from tests.support.vendor_server import NoCredentials, serving
from tests.support.virtual_time import START, now, run_virtually
from tests.unit.connectors.test_dispatch_executor import DEADLINE_S, reached
from tests.unit.connectors.test_dispatch_gate import AT_FIRST, PROBES_AN_HOUR
from tests.unit.connectors.test_dispatch_session import PLACES, committable, config, delivery
from tests.unit.connectors.test_dispatch_stops import idle

EXCEPTION = "netsuite:netsuite:project:a"
ALL = ("all",)
OTHER = make_command("netsuite:customer:b", kind="upsert_customer")


class Desk:
    """A session of one target, and what it left behind."""

    def __init__(
        self, it: Session, sink: FakeTarget, journal: MemoryJournal, registry: CollectorRegistry
    ) -> None:
        self.session, self.sink, self.journal, self.registry = it, sink, journal, registry
        self._offset = 0

    def send(self, *contents: Command | Withdrawal) -> None:
        for content in contents:
            self.session.accept(delivery("netsuite", self._offset, content))
            self._offset += 1

    async def settled(self) -> None:
        await committable(self.session, {PLACES["netsuite"]: self._offset})

    def plan(self, identity: str = EXCEPTION) -> tuple[str, str, bool]:
        problem = self.journal.open[identity].problem
        assert problem.reason is Reason.SHADOW
        return problem.code, problem.detail, problem.is_held

    def memory(self) -> Memory:
        """What the next session reads of it."""
        settled = {
            command_id.partition("#")[0]: Settled(
                int(command_id.partition("#")[2]), outcome.attempts, outcome.target_id,
                outcome.status,
            )
            for command_id, outcome in self.journal.outcomes
        }  # fmt: skip
        return Memory(settled, refusals=tuple(self.journal.open.values()))


@asynccontextmanager
async def desk(
    shadow: tuple[str, ...] = ALL,
    memory: Memory | None = None,
    *,
    sink: FakeTarget | None = None,
    journal: MemoryJournal | None = None,
    approvals: Approvals | None = None,
    stops: Stops | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> AsyncIterator[Desk]:
    sink, journal = sink or FakeTarget(), journal or MemoryJournal()
    target = Target(config("netsuite").model_copy(update={"shadow": shadow}), sink)
    registry = CollectorRegistry()
    async with asyncio.TaskGroup() as group:
        it = Session(
            {"netsuite": target}, memory or Memory(), journal, metrics=DispatchMetrics(registry),
            spawn=group.create_task, approvals=approvals, stops=stops, now=clock,
        )  # fmt: skip
        yield Desk(it, sink, journal, registry)
        await it.drain(DEADLINE_S)


@pytest.mark.asyncio
async def test_nothing_is_written_and_what_would_be_is_told() -> None:
    async with desk() as at:
        at.send(make_command(), OTHER)
        await at.settled()

        assert (at.sink.calls, at.sink.held, at.journal.intents) == (0, {}, [])
        assert at.plan() == (WOULD_CREATE, "would create it: there is none", True)
        assert at.plan("netsuite:netsuite:customer:b")[0] == WOULD_CREATE
        labels = {"target": "netsuite", "kind": "upsert_project", "status": "shadowed"}
        assert at.registry.get_sample_value("psastream_commands_total", labels) == 1


@pytest.mark.asyncio
async def test_what_the_target_holds_already_is_adopted() -> None:
    command = make_command()
    async with desk() as at:
        at.sink.held[command.natural_key] = command.payload
        at.send(command)
        await at.settled()

        assert at.journal.statuses() == {command.command_id: "adopted"}
        assert (at.sink.calls, at.journal.intents, at.journal.open) == (0, [], {})


@pytest.mark.asyncio
async def test_other_kinds_of_the_target_are_sent() -> None:
    async with desk(("upsert_project",)) as at:
        at.send(make_command(), OTHER)
        await at.settled()

        assert at.sink.effects == [("netsuite:customer:b", 1)]
        assert at.plan()[0] == WOULD_CREATE


@pytest.mark.asyncio
async def test_a_look_that_fails_is_repeated() -> None:
    async with desk() as at:
        at.sink.look_errors.extend([not_available(), not_available()])
        at.send(make_command())
        await at.settled()

        assert (len(at.sink.looks), at.sink.calls) == (3, 0)
        assert at.plan()[0] == WOULD_CREATE


@pytest.mark.asyncio
async def test_what_the_target_refuses_to_show_would_be_refused_however_often_it_is_asked() -> None:
    refusal = VendorRejectedError(
        400, [VendorFault("USER_ERROR", "no such currency", "currency")], context={}
    )
    async with desk() as at:
        at.sink.look_errors.append(refusal)
        at.send(make_command())
        await at.settled()

        code, detail, _ = at.plan()
        assert (code, detail) == (
            WOULD_BE_REFUSED, "would be refused: USER_ERROR: no such currency",
        )  # fmt: skip

        at.sink.look_errors.append(refusal)
        at.session.hear(RetryRequest(EXCEPTION))
        await reached(lambda: len(at.journal.outcomes) == 2)
        assert at.plan() == (code, detail, True)


@pytest.mark.fault("D1", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("shown", ["nothing", "a refusal", "the content"])
def test_d1_looks_in_shadow_say_nothing_about_writes_that_fail(shown: str) -> None:
    """Maintenance: what is in shadow is answered all the time, and nothing is written."""
    refusal = VendorRejectedError(400, [], context={})

    async def story() -> None:
        async with desk(("upsert_project",), clock=now) as at:
            keys = [f"netsuite:customer:{number}" for number in range(50)]
            for key in keys:
                at.sink.will(key, *[not_available() for _ in range(1_000)])
            at.send(*(make_command(key, kind="upsert_customer") for key in keys))
            for number in range(360):
                command = make_command(f"netsuite:project:{number}")
                at.sink.look_errors.extend([refusal] * (shown == "a refusal"))
                if shown == "the content":
                    at.sink.held[command.natural_key] = command.payload
                at.send(command)
                await asyncio.sleep(10)

            assert at.sink.calls <= AT_FIRST + PROBES_AN_HOUR
            assert all(key.startswith("netsuite:netsuite:project:") for key in at.journal.open)
            at.sink.script.clear()
            await asyncio.sleep(HOUR_S)
            assert {key for key, _ in at.sink.effects} == set(keys)
            assert len(at.journal.open) == (0 if shown == "the content" else 360)

    run_virtually(story())


@pytest.mark.asyncio
async def test_a_newer_version_takes_the_place_of_what_waits_and_a_withdrawal_ends_it() -> None:
    async with desk() as at:
        at.send(make_command())
        await at.settled()
        at.send(make_command(revision=2))
        await at.settled()
        assert at.journal.open[EXCEPTION].command.revision == 2

        at.send(Withdrawal("netsuite:project:a", 3))
        await at.settled()
        assert (at.journal.open, at.sink.calls) == ({}, 0)


@pytest.mark.asyncio
async def test_what_another_system_has_done_meanwhile_is_seen_when_it_is_looked_at_again() -> None:
    command = make_command()
    async with desk() as at:
        at.send(command)
        await at.settled()
        at.session.hear(RetryRequest(EXCEPTION))
        await reached(lambda: len(at.journal.outcomes) == 2)
        assert (at.plan()[0], len(at.sink.looks)) == (WOULD_CREATE, 2)

        at.sink.held[command.natural_key] = command.payload
        at.session.hear(RetryRequest(EXCEPTION))
        await reached(lambda: at.journal.open == {})
        assert at.journal.outcomes[-1][1].status.value == "adopted"
        assert (at.sink.calls, at.journal.intents) == (0, [])


@pytest.mark.asyncio
async def test_after_it_each_is_looked_up_and_only_what_is_not_there_is_sent_once() -> None:
    same, other = make_command("netsuite:project:same"), make_command("netsuite:project:other", 1)
    newer = make_command("netsuite:project:other", 2)
    async with desk() as at:
        at.send(same, other)
        await at.settled()
        at.send(newer)
        await at.settled()
    sink = FakeTarget()
    sink.held[same.natural_key] = same.payload
    async with desk((), at.memory(), sink=sink, journal=at.journal) as later:
        await reached(lambda: later.journal.open == {})

        assert sink.effects == [(other.natural_key, 2)]
        assert sink.looks[0] and set(sink.looks) >= {same.command_id, newer.command_id}
        assert [each.value for each in _last(later.journal)] == ["adopted", "succeeded"]


def _last(journal: MemoryJournal) -> list[Any]:
    last = {command_id: outcome.status for command_id, outcome in journal.outcomes}
    return [last["netsuite:project:same#1"], last["netsuite:project:other#2"]]


@pytest.mark.asyncio
async def test_a_shadow_that_goes_on_sends_nothing_after_a_restart() -> None:
    async with desk() as at:
        at.send(make_command())
        await at.settled()
    async with desk(ALL, at.memory(), sink=at.sink, journal=at.journal) as later:
        await idle()
        assert (later.sink.calls, later.journal.intents) == (0, [])
        assert later.plan()[0] == WOULD_CREATE


@pytest.mark.asyncio
async def test_an_approval_sends_nothing_that_is_in_shadow() -> None:
    command = replace(make_command(), amount=Decimal(1), currency="EUR")
    approvals = Approvals()
    async with desk(approvals=approvals) as at:
        at.send(command)
        await at.settled()
        word = Decision(
            Verb.APPROVED, "netsuite", command.kind, natural_key=command.natural_key,
            content=content_of(command),
        )  # fmt: skip
        approvals.take(word)
        at.session.heed(word)
        await reached(lambda: len(at.journal.outcomes) == 2)
        assert (at.sink.calls, at.plan()[0]) == (0, WOULD_CREATE)


@pytest.mark.asyncio
async def test_what_is_stopped_is_not_even_looked_at() -> None:
    stops = Stops([Decision(Verb.STOPPED, "netsuite")])
    async with desk(stops=stops) as at:
        at.send(make_command())
        await idle()
        assert (at.sink.looks, at.journal.outcomes) == ([], [])


@pytest.mark.parametrize(
    ("kind", "found", "code", "said"),
    [
        ("upsert_project", None, WOULD_CREATE, "there is none"),
        ("update_project_budget", None, WOULD_CHANGE, "holds something else"),
        ("delete_project", Applied("7", differs=True), WOULD_DELETE, "would delete record 7"),
        (
            "upsert_project",
            Applied("7", differs=True, changes=(Difference("name", "Tern", "Tern Ltd"),)),
            WOULD_CHANGE,
            "would change record 7: name: Tern → Tern Ltd",
        ),
    ],
)
def test_a_plan_says_what_differs(kind: str, found: Applied | None, code: str, said: str) -> None:
    problem = planned(make_command(kind=kind), found)
    assert problem.code == code and said in problem.detail
    assert problem.is_held and problem.reason is Reason.SHADOW


def test_a_fault_of_the_content_is_told_as_one() -> None:
    problem = planned(make_command(), None, InvalidEntityError("no currency"))
    assert (problem.code, problem.detail) == (
        WOULD_BE_REFUSED, "would be refused: record.invalid_entity: no currency",
    )  # fmt: skip


def test_an_exception_keeps_the_plan() -> None:
    problem = planned(make_command(), None)
    refusal = _refusal(make_command(), problem)
    record = open_record(refusal, {})
    assert (record["reason"], record["error_code"]) == ("shadow", WOULD_CREATE)
    assert "shadow" in record["hint"] and "exceptions retry" not in record["hint"]
    assert read_refusal(record) == refusal


def _refusal(command: Command, problem: Problem) -> Refusal:
    return Refusal(EXCEPTION, command, problem, 0, 0, 0.0, 0.0, 0.0)


def test_shadow_has_gauges_of_its_own() -> None:
    registry = CollectorRegistry()
    waits = OpenException("netsuite", "netsuite:project:a", Decimal(7), "EUR", START, "k")
    planned_ = replace(waits, plan="create")
    totals = DispatchMetrics(registry).show_exceptions([planned_, planned_])

    def shown() -> list[float | None]:
        of = {"target": "netsuite", "kind": "k", "plan": "create"}
        money = {"target": "netsuite", "plan": "create", "currency": "EUR"}
        return [
            registry.get_sample_value("psastream_commands_shadowed", of),
            registry.get_sample_value("psastream_commands_shadowed_money", money),
            registry.get_sample_value("psastream_exceptions_open", {"system": "netsuite"}),
        ]

    assert shown() == [2, 14, None]
    totals.change(planned_, waits)
    assert shown() == [1, 7, 1]


POLICY = ErrorPolicy("any", lambda _body: [], (rule(200, Meaning.ACCEPTED, evidence="a test"),))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "is_read", "goes"),
    [
        ("GET", None, True),
        ("HEAD", None, True),
        ("POST", True, True),
        ("POST", None, False),
        ("POST", False, False),
        ("GET", False, False),
        *(
            (method, is_read, False)
            for method in ("PUT", "PATCH", "DELETE")
            for is_read in (None, True)
        ),
    ],
)
async def test_a_client_in_shadow_sends_reads_alone(
    method: str, is_read: bool | None, goes: bool
) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.method)
        return web.json_response({})

    async with serving(answer) as url:
        limiter = ReadsAlone(Limiter(1))
        async with VendorClient(
            url, NoCredentials(), POLICY, user_agent="t", timeout_s=5, limiter=limiter
        ) as client:
            request = client.request(method, "/x", is_read=is_read, retry=False)
            if goes:
                await request
            else:
                with pytest.raises(ShadowWriteError):
                    await request
    assert asked == [method] * goes


@pytest.mark.asyncio
async def test_who_does_not_say_what_it_sends_sends_nothing() -> None:
    with pytest.raises(ShadowWriteError):
        async with ReadsAlone(Limiter(1)):
            raise AssertionError("it may send")


class Limited(SinkConfig):
    """A sink that is its allowance."""

    def make_sink(self, check: Check) -> Any:
        return _Sink(self.make_limiter(check))


class _Sink(FakeTarget):
    def __init__(self, limiter: Limiter) -> None:
        super().__init__()
        self.limiter = limiter


@pytest.mark.asyncio
@pytest.mark.parametrize("shadow", [(), ALL, ("upsert_project",)])
async def test_what_may_write_and_what_may_not_share_one_allowance(shadow: tuple[str, ...]) -> None:
    values: Mapping[str, Any] = config("netsuite").model_dump(by_alias=True)
    sink = make_sink(Limited.model_validate({**values, "shadow": shadow}), lambda: None)
    routes: dict[tuple[str, ...], Callable[[], tuple[Any, Any]]] = {
        (): lambda: (sink, sink),
        ALL: lambda: (sink, sink),
        ("upsert_project",): lambda: (sink._of(make_command()), sink._of(OTHER)),  # type: ignore[attr-defined]
    }
    project, customer = routes[shadow]()
    may_write = [not isinstance(each.limiter, ReadsAlone) for each in (project, customer)]
    assert may_write == {(): [True, True], ALL: [False, False]}.get(shadow, [False, True])
    if may_write == [False, True]:
        assert project.limiter.admit("GET", is_read=True) is customer.limiter
    await sink.close()


class Unlimited(SinkConfig):
    """A sink that sends by whatever it likes."""

    def make_sink(self, check: Check) -> Any:
        return FakeTarget()


@pytest.mark.parametrize("shadow", [ALL, ("upsert_project",)])
def test_a_sink_that_nothing_keeps_from_writing_is_refused(shadow: tuple[str, ...]) -> None:
    values: Mapping[str, Any] = config("netsuite").model_dump(by_alias=True)
    unlimited = Unlimited.model_validate({**values, "shadow": shadow})
    with pytest.raises(ConfigError, match="shadow: the sink of netsuite"):
        make_sink(unlimited, lambda: None)


def test_kinds_that_a_target_does_not_take_are_refused_at_the_start(tmp_path: Path) -> None:
    document = json.loads(Path("connectors/vendors/float/sink.json").read_text())
    path = tmp_path / "sink.json"
    path.write_text(json.dumps({**document, "shadow": ["upsert_time_bill"]}))
    with pytest.raises(ConfigError, match="shadow: float carries out no upsert_time_bill"):
        load_sink(path, {"FLOAT_URL": "http://f", "FLOAT_TOKEN": "t"})
