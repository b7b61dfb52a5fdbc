"""A target that is down is asked by one command at a time; a record's failure is its own."""

import asyncio
from collections.abc import Callable

import pytest

from connectors.dispatch.answers import Answer, read_answer
from connectors.dispatch.commands import Command
from connectors.dispatch.gate import Gate
from connectors.dispatch.pace import HOUR_S
from connectors.dispatch.refusals import HOLD_AFTER
from connectors.dispatch.sink import Applied
from connectors.dispatch.verdicts import UnforeseenError
from connectors.toolkit.faults import (
    Fault,
    Reason,
    UnclearAnswerError,
    UnreadableBodyError,
    VendorRejectedError,
    VendorUnavailableError,
)
from schemas.errors import AuthenticationError, RateLimitedError, TransientError
from tests.support.erp_bench import POLICY, Erp, bench, virtually
from tests.support.sinks import make_command
from tests.support.virtual_time import now

Task = asyncio.Task[None]
PLACE = "connectors/dispatch/gate.py"
COUNT = 200
PROBES_AN_HOUR = HOUR_S / (0.5 * POLICY.backoff_max_s) + 10
"""After each a pause of at least half the longest, once it has grown."""
AT_FIRST = 3 + 5
"""Calls until the target is known to be down: the three that tell, and who was under way."""


def commands(count: int) -> list[Command]:
    return [make_command(f"netsuite:project:{number}") for number in range(count)]


def down(is_unknown: bool = True) -> VendorUnavailableError:
    return VendorUnavailableError("erp answered 503", outcome_unknown=is_unknown, context={})


def page(status: int, code: str | None = None, *, is_unknown: bool = True) -> UnclearAnswerError:
    """What comes from before the target, where there is no code of the vendor's."""
    context = {"status": status, "vendor_code": code}
    return UnclearAnswerError(
        f"erp: {status}",
        outcome_unknown=is_unknown,
        context=context,
        is_in_words=code is not None,
    )


def in_words() -> UnclearAnswerError:
    """What a vendor says that has no codes, as Float."""
    return UnclearAnswerError(
        "erp: 409", outcome_unknown=True, context={"status": 409}, is_in_words=True
    )


def read_error(body: object) -> UnclearAnswerError:
    """What an answer to a write is that is no record."""
    with pytest.raises(UnclearAnswerError) as caught:
        read_answer(Row, body, system="erp", is_read=False)
    return caught.value


class Row(Answer):
    project_id: int


class Down(Erp):
    """Does not answer, or cannot, until it is well; counts its calls."""

    def __init__(self, failure: Exception | None, *, is_readable: bool = False) -> None:
        super().__init__()
        self.failure = failure
        self.is_readable = is_readable
        self.is_down = True
        self.times = list[float]()

    @property
    def calls(self) -> int:
        return len(self.times)

    async def execute(self, command: Command, known_id: str | None) -> Applied:
        await self._ask()
        return await super().execute(command, known_id)

    async def look(self, command: Command, known_id: str | None) -> Applied | None:
        if self.is_readable:
            self.times.append(now().timestamp())
        else:
            await self._ask()
        return await super().look(command, known_id)

    async def _ask(self) -> None:
        self.times.append(now().timestamp())
        if not self.is_down:
            return
        if self.failure is None:
            await asyncio.sleep(10 * HOUR_S)
        await asyncio.sleep(0.1)
        raise self.failure  # type: ignore[misc]  # it waited for ever where there is none


@pytest.mark.fault("D1", place=PLACE)
@pytest.mark.parametrize(
    "make",
    [
        lambda: Down(down()),
        lambda: Down(down(is_unknown=False)),
        lambda: Down(None),
        lambda: Down(TransientError("erp: token endpoint answered 503")),
        lambda: Down(UnreadableBodyError("a page of maintenance")),
        lambda: Down(VendorRejectedError(503, [], context={})),
        lambda: Down(page(403)),
        lambda: Down(page(404, is_unknown=False)),
        lambda: Down(page(302)),
        lambda: Down(read_error({"maintenance": True})),
    ],
    ids=[
        "503", "503 before anything is done", "silence", "no token", "a page", "rejected by 503",
        "a page with 403", "a page with 404", "a redirect", "JSON of another shape",
    ],
)  # fmt: skip
def test_d1_a_target_that_is_down_is_asked_by_one_command_at_a_time(
    make: Callable[[], Down],
) -> None:
    async def story() -> None:
        erp = make()
        async with bench(erp) as it:
            it.submit(*commands(COUNT))
            await asyncio.sleep(HOUR_S)
            assert erp.calls <= AT_FIRST + PROBES_AN_HOUR
            erp.is_down = False
            await asyncio.sleep(10 * POLICY.backoff_max_s)

            assert len(erp.held) == COUNT, "the first good answer lets all others follow"
            assert it.executor.waiting == 0
            assert it.journal.open == {}

    virtually(story)


@pytest.mark.fault("A8", place="connectors/dispatch/verdicts.py")
@pytest.mark.parametrize(
    ("failure", "told_within_s"),
    [
        (page(400, "SCRIPT"), 600),
        (UnforeseenError(ZeroDivisionError()), 600),
        (page(400), HOUR_S),
    ],
    ids=["a code of the vendor's", "a fault of ours", "a page"],
)
def test_a8_what_some_commands_meet_reaches_a_person_while_others_are_answered(
    failure: Exception, told_within_s: float
) -> None:
    """With its code or ours nobody waits; a page is its own once another one is answered."""

    async def story() -> None:
        erp = Erp()
        erp.rules["odd"] = (lambda command: command.natural_key.startswith("netsuite:odd"), failure)
        async with bench(erp) as it:
            it.submit(*(make_command(f"netsuite:odd:{number}") for number in range(4)))
            at_s = now().timestamp()
            number = 0
            while len(it.journal.open) < 4:
                assert now().timestamp() - at_s <= told_within_s
                it.submit(make_command(f"netsuite:project:{number}"))
                await asyncio.sleep(30)
                number += 1
            assert {it.removeprefix("netsuite:")[:12] for it in it.journal.open} == {"netsuite:odd"}
            it.submit(make_command())
            await asyncio.sleep(2)
            assert len(erp.held) == number + 1, "they hold up nobody"

    virtually(story)


@pytest.mark.fault("A2", place="connectors/dispatch/repeated.py")
@pytest.mark.parametrize(("count", "told"), [(2, 2), (3, 0), (300, 0)])
def test_a2_a_page_before_the_whole_target_is_no_matter_of_single_commands(
    count: int, told: int
) -> None:
    """Two that fail are too few to say that all would."""

    async def story() -> None:
        erp = Down(page(403))
        async with bench(erp) as it:
            it.submit(*commands(count))
            await asyncio.sleep(12 * HOUR_S)
            assert len(it.journal.open) == told
            erp.is_down = False
            await asyncio.sleep(10 * POLICY.backoff_max_s + told * 6 * HOUR_S)

            assert (len(erp.held), it.journal.open) == (count, {})

    virtually(story)


@pytest.mark.fault("A2", place="connectors/dispatch/verdicts.py")
@pytest.mark.parametrize("failure", [page(400, "SCRIPT"), in_words()], ids=["code", "words"])
@pytest.mark.parametrize("count", [3, HOLD_AFTER - 1])
def test_a2_what_the_vendor_says_of_a_few_commands_is_told_of_each(
    count: int, failure: Exception
) -> None:
    """Whether it has codes or not; too few have asked to say that all would meet it."""

    async def story() -> None:
        erp = Erp()
        erp.rules["odd"] = (lambda _: True, failure)
        async with bench(erp) as it:
            it.submit(*commands(count))
            await asyncio.sleep(HOUR_S)
            assert len(it.journal.open) == count
            labels = {"target": "netsuite"}
            assert it.registry.get_sample_value("psastream_target_paused", labels) == 0

    virtually(story)


@pytest.mark.fault("A2", place=PLACE)
@pytest.mark.parametrize(
    ("failure", "told_within_s"),
    [
        (page(400, "SCRIPT"), 600),
        (page(400, "SCRIPT", is_unknown=False), 600),
        (in_words(), 600),
        (UnforeseenError(ZeroDivisionError()), 600),
        (page(403), 2 * HOUR_S),
        (down(), 2 * HOUR_S),
        (AuthenticationError("erp denies access: 403"), 2 * HOUR_S),
        (RateLimitedError("slow down"), 4 * HOUR_S),
    ],
    ids=["code", "not done", "words", "ours", "page", "503", "denied", "slow down"],
)
def test_a2_what_every_command_of_a_kind_meets_is_told_once_and_asked_for_by_one(
    failure: Exception, told_within_s: float
) -> None:
    """Others are answered all the time, and none of theirs waits."""

    async def story() -> None:
        erp = Erp()
        erp.rules["odd"] = (lambda command: command.kind == "upsert_project", failure)
        number = 0

        async def others(seconds: float, step_s: float = 60.0) -> None:
            nonlocal number
            for _ in range(int(seconds / step_s)):
                it.submit(make_command(f"netsuite:customer:{number}", kind="customer"))
                number += 1
                await asyncio.sleep(step_s)

        async with bench(erp) as it:
            it.submit(*commands(COUNT))
            await others(told_within_s)
            [told] = it.journal.open.values()
            assert f"{COUNT} commands of this kind wait: " in told.problem.detail
            assert told.problem.reason is Reason.UNCLEAR
            assert it.executor.crowd <= AT_FIRST, "they keep nobody from coming"
            before = erp.writes - number
            await others(HOUR_S)
            assert erp.writes - number - before <= PROBES_AN_HOUR
            assert list(it.journal.open) == [told.exception_id]
            assert len(erp.held) == number, "the other kinds flow"
            labels = {"target": "netsuite"}
            assert it.registry.get_sample_value("psastream_target_paused", labels) == 1

            erp.rules.clear()
            await others(10 * POLICY.backoff_max_s)
            assert len(erp.held) == number + COUNT
            assert it.journal.open == {}, "also whose pause had grown to hours"
            assert it.registry.get_sample_value("psastream_target_paused", labels) == 0

    virtually(story)


@pytest.mark.fault("A2", place="connectors/dispatch/repeated.py")
def test_a2_what_a_kind_meets_is_told_anew_where_nobody_wants_the_command_that_told() -> None:
    async def story() -> None:
        erp = Erp()
        erp.rules["odd"] = (lambda _: True, page(400, "SCRIPT"))
        async with bench(erp) as it:
            it.submit(*commands(COUNT))
            await asyncio.sleep(HOUR_S)
            [told] = it.journal.open.values()
            it.executor.withdraw(told.command.natural_key, 2, lambda: None)
            await asyncio.sleep(HOUR_S)
            [other] = it.journal.open.values()
            assert other.exception_id != told.exception_id
            assert f"{COUNT - 1} commands of this kind" in other.problem.detail

    virtually(story)


@pytest.mark.fault("D1", place=PLACE)
def test_d1_a_target_that_can_be_read_and_not_written_is_down() -> None:
    """Maintenance: looks are answered all the time, and say nothing about writes."""

    async def story() -> None:
        erp = Down(down(), is_readable=True)
        async with bench(erp) as it:
            it.submit(*commands(COUNT))
            await asyncio.sleep(HOUR_S)
            assert erp.calls <= 2 * (AT_FIRST + PROBES_AN_HOUR)
            erp.is_down = False
            await asyncio.sleep(10 * POLICY.backoff_max_s)

            assert len(erp.held) == COUNT

    virtually(story)


@pytest.mark.fault("D1", place=PLACE)
def test_d1_pauses_begin_anew_with_each_time_a_target_is_down() -> None:
    async def story() -> None:
        erp = Down(down())
        async with bench(erp) as it:
            for time in range(4):
                erp.is_down = True
                it.submit(*(make_command(f"netsuite:project:{time}-{n}") for n in range(100)))
                await asyncio.sleep(4)
                before = len(erp.times)
                assert before >= 4, "asked again after a short pause"
                erp.is_down = False
                await asyncio.sleep(2 * POLICY.backoff_max_s)
                assert it.executor.waiting == 0

    virtually(story)


@pytest.mark.fault("A8", place=PLACE)
@pytest.mark.parametrize("count", [1, 2, 9])
def test_a8_records_that_fail_alone_hold_up_no_other_for_long(count: int) -> None:
    """A script of the account that breaks at some records answers like a target that is down."""
    odd = {f"netsuite:odd:{number}" for number in range(count)}

    async def story() -> None:
        erp = Erp()
        erp.rules["odd"] = (lambda command: command.natural_key in odd, down())
        async with bench(erp) as it:
            it.submit(*map(make_command, sorted(odd)))
            for number in range(48 * 6):
                it.submit(make_command(f"netsuite:project:{number}"))
                await asyncio.sleep(2 * POLICY.backoff_max_s)
                assert len(erp.held) == number + 1, "it is the next that is tried"
                await asyncio.sleep(600 - 2 * POLICY.backoff_max_s)

            assert {it.removeprefix("netsuite:") for it in it.journal.open} == odd
            erp.rules.clear()
            await asyncio.sleep(HOUR_S + 60)
            assert it.journal.open == {}

    virtually(story)


@pytest.mark.fault("A8", place=PLACE)
def test_a8_records_that_a_person_was_told_of_close_the_gate_no_more() -> None:
    odd = {f"netsuite:odd:{number}" for number in range(9)}

    async def story() -> None:
        erp = Erp()
        erp.rules["odd"] = (lambda command: command.natural_key in odd, down())
        async with bench(erp) as it:
            it.submit(*map(make_command, sorted(odd)))
            for number in range(24 * 6):
                it.submit(make_command(f"netsuite:project:{number}"))
                await asyncio.sleep(600)
            assert len(it.journal.open) == len(odd)
            for number in range(3 * 60):
                it.submit(make_command(f"netsuite:later:{number}"))
                await asyncio.sleep(1)
                assert f"netsuite:later:{number}" in erp.held
                await asyncio.sleep(59)

    virtually(story)


@pytest.mark.fault("A8", place=PLACE)
def test_a8_a_kind_that_always_fails_holds_up_no_other_kind() -> None:
    """A script stands on one kind of record: a thousand of it wait, and were never tried."""

    async def story() -> None:
        erp = Erp()
        erp.rules["script"] = (lambda command: command.kind == "upsert_project", down())
        async with bench(erp) as it:
            it.submit(*commands(100))
            await asyncio.sleep(HOUR_S)
            others = [make_command(f"netsuite:customer:{n}", kind="customer") for n in range(10)]
            it.submit(*others)
            await asyncio.sleep(3 * POLICY.backoff_max_s)

            assert len(erp.held) == len(others)

    virtually(story)


@pytest.mark.fault("D1", place=PLACE)
@pytest.mark.parametrize(
    "answer",
    [
        RateLimitedError("slow down"),
        RateLimitedError("slow down", retry_after_s=5.0),
    ],
)
def test_d1_an_answer_to_wait_is_no_good_one(answer: RateLimitedError) -> None:
    """A target under too much load says both in turns."""

    async def story() -> None:
        erp = Down(down())
        async with bench(erp) as it:
            it.submit(*commands(COUNT))
            for turn in range(60):
                erp.failure = answer if turn % 2 else down()
                await asyncio.sleep(60)
            assert erp.calls <= AT_FIRST + PROBES_AN_HOUR
            erp.is_down = False
            await asyncio.sleep(10 * POLICY.backoff_max_s)

            assert len(erp.held) == COUNT

    virtually(story)


@pytest.mark.fault("D1", place=PLACE)
@pytest.mark.parametrize("news", ["withdrawn", "superseded"])
def test_d1_who_was_to_ask_and_has_nothing_to_ask_gives_its_turn_away(news: str) -> None:
    async def story() -> None:
        erp = Down(down(is_unknown=False))
        async with bench(erp) as it:
            it.submit(*commands(20))
            await asyncio.sleep(HOUR_S)
            for number in range(19):
                key = f"netsuite:project:{number}"
                if news == "withdrawn":
                    it.executor.withdraw(key, 2, lambda: None)
                else:
                    it.submit(make_command(key, revision=2))
            before = erp.calls
            await asyncio.sleep(HOUR_S)
            assert erp.calls - before <= PROBES_AN_HOUR
            erp.is_down = False
            await asyncio.sleep(10 * POLICY.backoff_max_s)

            assert it.executor.waiting == 0
            assert len(erp.held) == (1 if news == "withdrawn" else 20)

    virtually(story)


@pytest.mark.fault("A8", place=PLACE)
def test_a8_a_refusal_is_an_answer() -> None:
    async def story() -> None:
        erp = Down(down())
        async with bench(erp) as it:
            it.submit(*commands(100))
            await asyncio.sleep(HOUR_S)
            erp.is_down = False
            refusal = VendorRejectedError(
                400, [Fault("X", "no")], context={}, reason=Reason.VALIDATION
            )
            erp.rules["rule"] = (lambda _: True, refusal)
            await asyncio.sleep(10 * POLICY.backoff_max_s)

            assert set(it.statuses()) == {"rejected"}
            assert len(it.journal.open) == 100

    virtually(story)


def waits(gate: Gate, *keys: str, kind: str = "project", failures: int = 0) -> dict[str, Task]:
    return {key: asyncio.create_task(gate.wait(key, kind, failures)) for key in keys}


async def through(tasks: dict[str, Task], after_s: float = 0.0) -> set[str]:
    """Who has been let go so long from now."""
    await asyncio.sleep(after_s)
    return {key for key, task in tasks.items() if task.done()}


def closed(pause_s: float = 8.0) -> Gate:
    gate = Gate("netsuite", lambda times: pause_s * times)
    for key in ("x", "y", "z"):
        gate.failed(key, is_for_all=True)
    return gate


@pytest.mark.fault("D1", place=PLACE)
def test_d1_pauses_between_probes_grow_and_each_begins_with_its_answer() -> None:
    async def story() -> None:
        gate = closed()
        tasks = waits(gate, "a", "b", "c")
        assert await through(tasks, 7.9) == set()
        assert await through(tasks, 0.2) == {"a"}
        assert await through(tasks, 100.0) == {"a"}, "its answer is awaited"
        gate.failed("x", is_for_all=True)  # under way since before; it says nothing new
        gate.failed("a", is_for_all=False)  # whatever it met
        assert await through(tasks, 15.9) == {"a"}
        assert await through(tasks, 0.2) == {"a", "b"}
        gate.failed("b", is_for_all=True)
        assert await through(tasks, 23.9) == {"a", "b"}
        assert await through(tasks, 0.2) == {"a", "b", "c"}
        gate.answered()

        assert gate.lets("x", "project")
        assert not gate.is_down
        for key in ("x", "y"):
            gate.failed(key, is_for_all=True)
        assert not gate.is_down, "it is counted from the good answer on"
        gate.failed("z", is_for_all=True)
        assert gate.is_down
        again = waits(gate, "d")
        assert await through(again, 7.9) == set()
        assert await through(again, 0.2) == {"d"}, "pauses begin anew"

    virtually(story)


@pytest.mark.fault("A8", place=PLACE)
def test_a8_one_command_that_fails_again_and_again_is_no_outage() -> None:
    async def story() -> None:
        gate = Gate("netsuite", lambda _: 1.0)
        for _ in range(100):
            gate.failed("x", is_for_all=True)
            gate.failed("y", is_for_all=True)
            for key in ("p", "q", "r"):
                gate.failed(key, is_for_all=False)
        assert not gate.is_down
        assert await through(waits(gate, "a")) == {"a"}

    virtually(story)


@pytest.mark.fault("D1", place=PLACE)
def test_d1_a_good_answer_of_who_was_under_way_opens_at_once() -> None:
    async def story() -> None:
        gate = closed()
        tasks = waits(gate, "a", "b")
        await asyncio.sleep(1)
        gate.answered()
        assert await through(tasks) == {"a", "b"}

    virtually(story)


@pytest.mark.fault("A8", place=PLACE)
def test_a8_kinds_take_turns_and_in_them_who_has_failed_the_least() -> None:
    async def story() -> None:
        gate = closed(pause_s=1.0)
        tasks = waits(gate, "p9", failures=9) | waits(gate, "p1", "p1b", failures=1)
        tasks |= waits(gate, "c", kind="customer", failures=20)
        order: list[str] = []
        while len(order) < 4:
            [key] = await through(tasks, 5.0) - set(order)
            order.append(key)
            gate.failed(key, is_for_all=True)

        assert order == ["p1", "c", "p1b", "p9"]

    virtually(story)


@pytest.mark.fault("D1", place=PLACE)
def test_d1_who_leaves_gives_its_turn_to_the_next_at_once() -> None:
    async def story() -> None:
        gate = closed()
        tasks = waits(gate, "a", "b")
        assert await through(tasks, 9.0) == {"a"}
        gate.leave("b")  # not its turn
        assert await through(tasks) == {"a"}
        gate.leave("a")
        assert await through(tasks) == {"a", "b"}

    virtually(story)


@pytest.mark.fault("D1", place=PLACE)
def test_d1_a_target_that_is_down_and_asked_to_wait_is_not_asked_before() -> None:
    async def story() -> None:
        gate = closed()
        gate.close_for(60.0)
        tasks = waits(gate, "a", "b")
        assert await through(tasks, 59.9) == set()
        assert await through(tasks, 0.2) == {"a"}
        gate.close_for(30.0)
        gate.close_for(10.0)  # a shorter one takes nothing back
        gate.answered()
        assert not gate.lets("b", "project")
        assert await through(tasks, 29.9) == {"a"}
        assert await through(tasks, 0.2) == {"a", "b"}

    virtually(story)


def test_who_is_cancelled_while_it_waits_holds_nobody_up() -> None:
    async def story() -> None:
        gate = closed()
        tasks = waits(gate, "a", "b")
        await asyncio.sleep(1)
        tasks["a"].cancel()
        gate.answered()
        assert await through(tasks) == {"a", "b"}
        assert tasks["a"].cancelled()

    virtually(story)


@pytest.mark.fault("A8", place=PLACE)
def test_a8_what_is_closed_for_one_kind_is_open_for_others() -> None:
    async def story() -> None:
        gate = Gate("netsuite", lambda _: 8.0)
        assert not gate.is_paused
        gate.close_for(60.0, "bill")
        gate.close_for(20.0, "bill")  # a shorter one takes nothing back
        tasks = waits(gate, "a", kind="bill") | waits(gate, "b") | waits(gate, "c", kind="rate")
        assert await through(tasks) == {"b", "c"}
        assert (gate.lets("a", "bill"), gate.lets("b", "project")) == (False, True)
        assert (gate.is_paused, gate.is_closed) == (True, False)
        gate.close_for(30.0)
        tasks |= waits(gate, "d")
        assert gate.is_closed
        assert await through(tasks, 29.9) == {"b", "c"}
        assert await through(tasks, 0.2) == {"b", "c", "d"}
        assert await through(tasks, 29.8) == {"b", "c", "d"}
        assert await through(tasks, 0.2) == {"a", "b", "c", "d"}
        assert not gate.is_paused

    virtually(story)


@pytest.mark.fault("A8", place=PLACE)
def test_a8_a_target_that_is_down_is_asked_by_a_kind_that_is_open() -> None:
    async def story() -> None:
        gate = closed()
        assert gate.is_paused
        gate.close_for(60.0, "bill")
        tasks = waits(gate, "a", kind="bill") | waits(gate, "b", "c")
        assert await through(tasks, 9.0) == {"b"}
        gate.answered()
        assert await through(tasks, 50.9) == {"b", "c"}
        assert await through(tasks, 0.2) == {"a", "b", "c"}

    virtually(story)


@pytest.mark.fault("A8", place="connectors/dispatch/executor.py")
def test_a8_one_kind_that_the_account_may_not_write_keeps_no_other_waiting() -> None:
    async def story() -> None:
        erp = Erp()
        denied = AuthenticationError("erp denies access: WS_FEATURE_REQD")
        erp.rules["feature"] = (lambda command: command.kind == "bill", denied)
        async with bench(erp) as it:
            for number in range(100):
                it.submit(make_command(f"netsuite:bill:{number}", kind="bill"))
                it.submit(make_command(f"netsuite:project:{number}"))
            await asyncio.sleep(10)
            assert len(erp.held) == 100
            labels = {"target": "netsuite"}
            assert it.registry.get_sample_value("psastream_target_paused", labels) == 1
            before = erp.writes
            await asyncio.sleep(HOUR_S)
            assert erp.writes - before <= 60 * 5

    virtually(story)


@pytest.mark.fault("D1", place="connectors/dispatch/verdicts.py")
@pytest.mark.parametrize(
    ("failure", "is_paused"),
    [(UnforeseenError(KeyError("id")), 0), (page(409, "SCRIPT"), 0), (page(409), 1)],
    ids=["a fault of ours", "a code of the vendor's", "a page"],
)
def test_d1_three_faults_of_ours_are_no_outage(failure: Exception, is_paused: int) -> None:
    async def story() -> None:
        async with bench(Down(failure)) as it:
            it.submit(*commands(3))
            await asyncio.sleep(POLICY.backoff_s / 4)
            found = it.registry.get_sample_value("psastream_target_paused", {"target": "netsuite"})
            assert found == is_paused

    virtually(story)
