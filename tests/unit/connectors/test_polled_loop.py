"""A loop survives every failure but those that make going on harmful."""

import asyncio
import itertools
from collections.abc import Iterator

import pytest
import structlog

from connectors.polled import instruments
from connectors.polled.loop import (
    BEAT_S,
    LoopSettings,
    ObjectLoop,
    Poller,
    verdict_on,
)
from connectors.toolkit.faults import (
    QuotaExhaustedError,
    UnreadableBodyError,
    VendorRejectedError,
    VendorUnavailableError,
)
from runtime.health import Health
from runtime.retries import Retries
from schemas.errors import (
    AuthenticationError,
    BrokerUnavailableError,
    FatalError,
    PsaStreamError,
    RateLimitedError,
    RegistryUnavailableError,
    SchemaMismatchError,
)
from tests.support.jumping_clock import run_jumping

TIMES = LoopSettings(interval_s=0, retry_max_s=0)


def make_loop(
    poller: Poller, health: Health | None = None, times: LoopSettings = TIMES
) -> ObjectLoop:
    return ObjectLoop(
        "script", "thing", poller, times, health=health or Health(), retries=Retries()
    )


class Script:
    """A poller that fails or is paused as written and ends the loop after its last line."""

    PAUSED = False

    def __init__(self, *lines: Exception | bool | None) -> None:
        self._lines: Iterator[Exception | bool | None] = iter(lines)
        self.stopped: list[float] = []

    async def poll(self) -> bool:
        gauge = instruments.STOPPED.labels("script", "thing", "schema")
        self.stopped.append(gauge._value.get())
        line = next(self._lines, FatalError("the end"))
        if isinstance(line, Exception):
            raise line
        return line is not self.PAUSED


@pytest.mark.parametrize(
    ("error", "reason", "needs_person"),
    [
        (RateLimitedError("x"), "rate_limited", False),
        (QuotaExhaustedError("x"), "rate_limited", False),
        (VendorUnavailableError("x", outcome_unknown=False, context={}), "unavailable", False),
        (AuthenticationError("x"), "authentication", True),
        (SchemaMismatchError("x"), "schema", True),
        (UnreadableBodyError("x"), "unavailable", False),
        (VendorRejectedError(400, (), context={}), "schema", True),
    ],
)
def test_failures_have_bounded_reasons(
    error: PsaStreamError, reason: str, needs_person: bool
) -> None:
    verdict = verdict_on(error)
    assert verdict is not None
    assert (verdict.reason, verdict.needs_person) == (reason, needs_person)


def test_a_loop_goes_on_after_failures_and_ends_only_on_harm() -> None:
    script = Script(
        VendorUnavailableError("x", outcome_unknown=False, context={}),
        SchemaMismatchError("x"),
        None,
        AuthenticationError("x"),
    )
    with pytest.raises(FatalError, match="the end"):
        asyncio.run(make_loop(script).run())
    assert script.stopped == [0, 0, 1, 0, 0]


def test_a_pause_says_nothing_of_what_stopped_the_object_before() -> None:
    script = Script(SchemaMismatchError("x"), Script.PAUSED, None)
    with pytest.raises(FatalError, match="the end"):
        asyncio.run(make_loop(script).run())
    assert script.stopped == [0, 1, 1, 0]


def test_a_pause_is_no_recovery_of_a_vendor_that_was_away() -> None:
    down = VendorUnavailableError("no connection", outcome_unknown=False, context={})
    told = []
    for lines in ((down, Script.PAUSED), (down, Script.PAUSED, None)):
        with structlog.testing.capture_logs() as logged, pytest.raises(FatalError):
            asyncio.run(make_loop(Script(*lines)).run())
        told.append([line["event"] for line in logged])
    assert told == [["retry.told"], ["retry.told", "retry.recovered"]]


@pytest.mark.fault("B3", place="connectors/polled/loop.py")
@pytest.mark.parametrize("error", [KeyError("x"), RecursionError("x"), TypeError("x")])
def test_b3_a_defect_pauses_its_object_and_ends_nothing(error: Exception) -> None:
    gauge = instruments.STOPPED.labels("script", "thing", "defect")
    with pytest.raises(FatalError, match="the end"):
        asyncio.run(make_loop(Script(error)).run())
    assert gauge._value.get() == 1


def pauses_s(*errors: Exception | None) -> list[float]:
    """The pause after each poll that fails as written, or does not; the longest is 600 s."""
    polled_at: list[float] = []
    script = Script(*errors)
    poll = script.poll

    async def timed() -> bool:
        polled_at.append(asyncio.get_running_loop().time())
        return await poll()

    script.poll = timed  # type: ignore[method-assign]
    with pytest.raises(FatalError, match="the end"):
        run_jumping(make_loop(script, times=LoopSettings(interval_s=0, retry_max_s=600)).run())
    return [after - before for before, after in itertools.pairwise(polled_at)]


def test_pauses_after_failures_double_up_to_the_longest_and_vary_by_half() -> None:
    down = VendorUnavailableError("x", outcome_unknown=False, context={})
    found_s = pauses_s(*[down] * 12, None, down)
    bounds_s = [min(0.5 * 2**failures, 600) for failures in range(12)] + [0, 0.5]
    for pause_s, bound_s in zip(found_s, bounds_s, strict=True):
        assert bound_s / 2 <= pause_s <= bound_s + 30, "30: a slow machine, no pause"
    assert any(pause_s < bound_s for pause_s, bound_s in zip(found_s, bounds_s, strict=True))


@pytest.mark.parametrize(
    ("error", "pause_s"),
    [
        (AuthenticationError("x"), 600),  # a person must help
        (SchemaMismatchError("x"), 600),
        (KeyError("x"), 600),  # a defect
        (RateLimitedError("x", retry_after_s=200.0), 200),
    ],
)
def test_the_first_pause_is_long_where_quick_polls_help_nobody(
    error: Exception, pause_s: float
) -> None:
    [found_s] = pauses_s(error)
    assert pause_s - 1 <= found_s <= pause_s + 30


class Scene:
    """A poller that does as told, and the health of its process on a clock of its own."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.health = Health(clock=lambda: self.now_s)
        self.answers: list[tuple[bool, bool]] = []

    def note(self) -> None:
        self.answers.append((self.health.is_live(), self.health.is_ready()))


@pytest.mark.fault("D13", place="connectors/polled/loop.py")
def test_d13_an_object_is_ready_while_its_last_poll_was_complete() -> None:
    scene = Scene()
    script = Script(None, SchemaMismatchError("x"), Script.PAUSED, KeyError("a defect"))
    poll = script.poll

    async def noted() -> bool:
        scene.note()
        return await poll()

    script.poll = noted  # type: ignore[method-assign]
    with pytest.raises(FatalError, match="the end"):
        asyncio.run(make_loop(script, scene.health).run())
    ready = [is_ready for _, is_ready in scene.answers]
    assert ready == [False, True, False, True, False]
    assert all(is_live for is_live, _ in scene.answers)


@pytest.mark.fault("D13", place="connectors/polled/loop.py")
def test_d13_a_poll_that_hangs_is_not_live_and_a_long_pause_is() -> None:
    scene = Scene()

    class Hangs:
        async def poll(self) -> bool:
            if not scene.answers:
                scene.note()
                raise QuotaExhaustedError("x", retry_after_s=3 * 900)
            scene.now_s += 900.5
            scene.note()
            raise FatalError("the end")

    async def watch_the_pause() -> None:
        while len(scene.answers) < 3:
            scene.now_s += BEAT_S
            await asyncio.sleep(BEAT_S)
            assert scene.health.is_live()

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            pause = group.create_task(watch_the_pause())
            with pytest.raises(FatalError, match="the end"):
                await make_loop(Hangs(), scene.health).run()
            pause.cancel()

    run_jumping(run())
    assert scene.answers == [(True, False), (False, False)]


@pytest.mark.fault("D13", place="connectors/polled/loop.py")
def test_d13_a_page_may_take_a_quarter_of_an_hour_and_no_longer() -> None:
    scene = Scene()

    class Slow:
        async def poll(self) -> bool:
            for seconds in (899.5, 1.0):
                scene.now_s += seconds
                scene.note()
            raise FatalError("the end")

    with pytest.raises(FatalError, match="the end"):
        asyncio.run(make_loop(Slow(), scene.health).run())
    assert [is_live for is_live, _ in scene.answers] == [True, False]


@pytest.mark.fault("D11", place="connectors/polled/loop.py")
@pytest.mark.parametrize(
    "error",
    [
        BrokerUnavailableError("no broker"),
        RegistryUnavailableError("no registry"),
        VendorUnavailableError("no connection", outcome_unknown=False, context={}),
    ],
    ids=["broker", "registry", "vendor"],
)
def test_d11_a_part_that_does_not_answer_is_said_once(error: PsaStreamError) -> None:
    retries = Retries()

    async def run() -> None:
        for obj in ("account", "opportunity", "line"):
            loop = ObjectLoop(
                "script", obj, Script(*[error] * 5, None), TIMES, health=Health(), retries=retries
            )
            with pytest.raises(FatalError):
                await loop.run()

    with structlog.testing.capture_logs() as lines:
        asyncio.run(run())
    told = [line for line in lines if line["event"] == "retry.told"]
    recovered = [line for line in lines if line["event"] == "retry.recovered"]
    assert [line["error"] for line in told[:1]] == [error.detail]
    assert len(told) == len(recovered) == 3, "once an outage: each object met its own"
    assert not [line for line in lines if line["event"] == "poll.failed"]
