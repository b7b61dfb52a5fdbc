"""A loop survives every failure but those that make going on harmful."""

import asyncio
from collections.abc import Iterator

import pytest

from connectors.faults import (
    QuotaExhaustedError,
    UnreadableBodyError,
    VendorRejectedError,
    VendorUnavailableError,
)
from connectors.polled import instruments
from connectors.polled.loop import LoopSettings, ObjectLoop, verdict_on
from schemas.errors import (
    AuthenticationError,
    FatalError,
    PsaStreamError,
    RateLimitedError,
    SchemaMismatchError,
)

TIMES = LoopSettings(interval_s=0, retry_max_s=0)


class Script:
    """A poller that fails as written and ends the loop after its last line."""

    def __init__(self, *errors: Exception | None) -> None:
        self._errors: Iterator[Exception | None] = iter(errors)
        self.stopped: list[float] = []

    async def poll(self) -> None:
        gauge = instruments.STOPPED.labels("script", "thing", "schema")
        self.stopped.append(gauge._value.get())
        error = next(self._errors, FatalError("the end"))
        if error is not None:
            raise error


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
        asyncio.run(ObjectLoop("script", "thing", script, TIMES).run())
    assert script.stopped == [0, 0, 1, 0, 0]


@pytest.mark.fault("B3", place="connectors/polled/loop.py")
@pytest.mark.parametrize("error", [KeyError("x"), RecursionError("x"), TypeError("x")])
def test_b3_a_defect_pauses_its_object_and_ends_nothing(error: Exception) -> None:
    gauge = instruments.STOPPED.labels("script", "thing", "defect")
    with pytest.raises(FatalError, match="the end"):
        asyncio.run(ObjectLoop("script", "thing", Script(error), TIMES).run())
    assert gauge._value.get() == 1
