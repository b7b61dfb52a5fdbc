"""The small pure parts of dispatch: offsets, waiting times, content, exceptions, records."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dispatch.commands import Command, Problem
from connectors.dispatch.content import holds
from connectors.dispatch.exceptions import exception_id, open_record, read_refusal
from connectors.dispatch.offsets import OffsetTracker
from connectors.dispatch.refusals import Refusal
from connectors.dispatch.retry import RetryPolicy
from connectors.dispatch.verdicts import rejected
from connectors.toolkit.faults import Reason, VendorRejectedError
from connectors.vendors.netsuite.auth import read_faults
from schemas.codec.record import RecordCodec
from schemas.contracts import value_schema
from schemas.errors import AuthenticationError, InvalidEntityError, RateLimitedError, TransientError
from tests.support.catalogue import BY_NAME
from tests.support.sinks import make_command, no_answer, not_available

PLACE = ("psa.command.netsuite", 0)
AT = datetime(2026, 3, 2, tzinfo=UTC)
POLICY = RetryPolicy(settle_s=30, backoff_s=1, backoff_max_s=60, auth_retry_s=45)


@given(st.sets(st.integers(0, 50), min_size=1), st.data())
def test_i1_no_unfinished_offset_is_ever_committable(
    offsets: set[int], data: st.DataObject
) -> None:
    tracker = OffsetTracker()
    for offset in sorted(offsets):
        tracker.take(PLACE, offset)
    finished = data.draw(st.sets(st.sampled_from(sorted(offsets))))
    for offset in data.draw(st.permutations(sorted(finished))):
        tracker.finish(PLACE, offset)

    [(_, committable)] = tracker.committable()

    unfinished = offsets - finished
    assert committable == min(unfinished, default=max(offsets) + 1)


def test_an_offset_is_committed_once() -> None:
    tracker = OffsetTracker()
    tracker.take(PLACE, 7)
    tracker.finish(PLACE, 7)
    assert list(tracker.committable()) == [(PLACE, 8)]
    tracker.committed(PLACE, 8)

    assert list(tracker.committable()) == []


@pytest.mark.parametrize(
    ("error", "failures", "delay_s"),
    [
        (not_available(), 1, 1.0),
        (not_available(), 4, 8.0),
        (not_available(), 1_000, 60.0),
        (RateLimitedError("slow down", retry_after_s=17.0), 1, 17.0),
        (RateLimitedError("slow down"), 2, 2.0),
        (no_answer(), 1, 30.0),
        (no_answer(), 7, 60.0),
        (AuthenticationError("no"), 1, 45.0),
    ],
)
def test_waits_grow_and_honour_what_is_asked(
    error: TransientError | AuthenticationError, failures: int, delay_s: float
) -> None:
    assert POLICY.delay_s(error, failures, chance=1.0) == delay_s


def test_chance_spreads_the_wait_over_its_upper_half() -> None:
    assert POLICY.delay_s(not_available(), 5, chance=0.0) == 8.0


@pytest.mark.parametrize(
    ("held", "wanted", "expected"),
    [
        ({"hours": Decimal("8.0")}, {"hours": Decimal("8.00")}, True),
        ({"hours": "8.0"}, {"hours": Decimal("8.00")}, True),
        ({"hours": Decimal("8.1")}, {"hours": Decimal("8.00")}, False),
        ({"hours": "NaN"}, {"hours": Decimal("8.00")}, False),
        ({"hours": [8]}, {"hours": Decimal("8.00")}, False),
        ({"id": 7}, {"id": "7"}, True),
        ({"currency": {"id": "1", "refName": "EUR"}}, {"currency": "EUR"}, True),
        ({"currency": {"id": "1", "refName": "USD"}}, {"currency": "EUR"}, False),
        ({"job": {"id": "7", "externalId": "p"}}, {"job": {"externalId": "p"}}, True),
        ({"job": {"id": "7"}}, {"job": {"externalId": "p"}}, False),
        ({}, {"tax": None}, True),
        ({"tax": "DE"}, {"tax": None}, False),
        ({}, {"tax": "DE"}, False),
        ({"name": "a", "more": 1}, {"name": "a"}, True),
        ({"active": True}, {"active": "True"}, False),
        ({"tax": "None"}, {"tax": None}, False),
    ],
)
def test_content_is_compared_by_value_not_by_spelling(
    held: dict[str, object], wanted: dict[str, object], expected: bool
) -> None:
    assert holds(held, wanted) is expected


@pytest.mark.fault("A7", place="connectors/dispatch/content.py")
@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ("7", "007"),
        ("007", "7"),
        (7, "007"),
        ("1e2", "100"),
        ("1.0", "1"),
        ("+7", "7"),
        (" 7", "7"),
    ],
)
def test_a7_a_text_that_looks_like_another_number_is_another_text(
    held: object, wanted: str
) -> None:
    assert not holds({"name": held}, {"name": wanted})


@pytest.mark.fault("A7", place="connectors/dispatch/content.py")
@given(st.text(max_size=6), st.text(max_size=6))
def test_a7_texts_are_held_only_if_they_are_equal(held: str, wanted: str) -> None:
    assert holds({"name": held}, {"name": wanted}) is (held == wanted)


@pytest.mark.fault("A7", place="connectors/dispatch/content.py")
@given(st.decimals(-(10**20), 10**20, places=4), st.integers(0, 3))
def test_a7_numbers_are_held_in_whatever_spelling(number: Decimal, zeros: int) -> None:
    spelling = f"{number:f}" + "0" * zeros

    assert holds({"hours": spelling}, {"hours": number})
    assert not holds({"hours": spelling}, {"hours": number + Decimal("0.0001")})


def test_an_open_exception_holds_all_that_trying_again_needs() -> None:
    command = make_command(correlation_id="cor-1", currency="EUR")
    command = replace(command, amount=Decimal("125000.50"), issued_at=AT)
    problem = Problem("USER_ERROR", "Please enter value(s) for: Tax Code", "tax", Reason.VALIDATION)
    at_s = AT.timestamp()
    refusal = Refusal(exception_id(command), command, problem, 2, 1, at_s, at_s + 1, at_s + 900)

    record = open_record(refusal, {})

    assert (record["exception_id"], record["status"]) == ("netsuite:netsuite:project:a", "open")
    assert read_refusal(record) == refusal


def test_an_exception_of_a_table_is_no_refusal() -> None:
    record = dict.fromkeys(open_record(refusal_of(make_command()), {}))

    assert read_refusal(record) is None


def refusal_of(command: Command) -> Refusal:
    return Refusal(exception_id(command), command, Problem("X", "no"), 1, 1, 0.0, 0.0, 0.0)


def test_a_refusal_whose_reason_a_newer_version_wrote_is_still_one() -> None:
    record = {**open_record(refusal_of(make_command()), {}), "reason": "of_tomorrow"}

    refusal = read_refusal(record)

    assert refusal is not None
    assert refusal.problem.reason is Reason.UNCLEAR


@pytest.mark.fault("B4", place="connectors/toolkit/faults.py")
@pytest.mark.parametrize(
    "fault",
    [
        {"o:errorCode": "INVALID_CONTENT", "detail": "the name is Caf\ud83d"},
        {"o:errorCode": "INVALID_\udc00CONTENT", "detail": "no"},
        {"o:errorCode": "INVALID_CONTENT", "detail": "no", "o:errorPath": "\ud83d"},
    ],
)
def test_b4_whatever_a_target_says_against_a_command_can_be_written(fault: dict[str, str]) -> None:
    faults = read_faults({"o:errorDetails": [fault] * 9_000})
    problem = rejected(1, VendorRejectedError(400, faults, context={})).problem
    assert problem is not None
    refusal = replace(refusal_of(make_command()), problem=problem)

    data = RecordCodec(value_schema(BY_NAME["psa.exception"])).encode(open_record(refusal, {}))

    assert len(data) < 64 * 1024


def test_a_command_without_identity_is_no_command() -> None:
    with pytest.raises(InvalidEntityError, match="lacks natural_key, revision"):
        Command.from_record(
            {
                "command_id": "c",
                "target": "netsuite",
                "kind": "upsert_project",
                "payload": "{}",
                "origin_key": "o",
            }
        )


@pytest.mark.parametrize("payload", ["{", "[]", "1"])
def test_a_payload_that_is_no_object_is_refused(payload: str) -> None:
    with pytest.raises(InvalidEntityError):
        make_command(payload=payload).content()


def test_i7_numbers_of_a_payload_are_exact() -> None:
    assert make_command(payload='{"hours":0.1}').content() == {"hours": Decimal("0.1")}
