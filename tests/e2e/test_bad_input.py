"""Bad input and outages while the whole product works: a clear error, and nothing lost.

One system for all tests. Each leaves everything running, and asks the books: every table, every
write to a vendor and every dead letter is what the sources' rows say, once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from runtime.kafka import read_topic
from sandbox.story import hours
from sandbox.vendors.faults import FaultKind
from schemas.codec.framing import frame
from schemas.topics import PARTITIONS
from tests.support.eventually import eventually
from tests.support.running_system import DEADLINE_S, RunningSystem, running_system

# Half of these end processes; they share one system, so they run together with `make crash`.
pytestmark = [pytest.mark.stack, pytest.mark.crash]

ENTRIES = "src.inhouse.time_entries"
OUTAGE_ENTRIES = 20


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    """A system with customers, won deals and open projects, and some hours on one of them."""
    with running_system(entries=0) as system:
        system.tell("firm", "deal", "tax", "early", "projects")
        yield system


@pytest.fixture
def refused(system: RunningSystem) -> int:
    """How many records were refused before the test."""
    return system.refused()


# -- records nobody can read ----------------------------------------------------------------------


def not_avro(_: RunningSystem) -> bytes:
    return b'{"id": 1}'


def unknown_schema(_: RunningSystem) -> bytes:
    return frame(999_999, b"\x00")


def cut_short(system: RunningSystem) -> bytes:
    whole = max((message.value() for message in read_topic(system.parts.kafka, ENTRIES)), key=len)
    return bytes(whole[:-3])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (not_avro, "not confluent framed"),
        (unknown_schema, "unknown schema id"),
        (cut_short, "not a record of schema"),
    ],
)
def test_an_unreadable_record_is_dead_lettered_and_what_follows_flows(
    system: RunningSystem, make: Callable[[RunningSystem], bytes], reason: str
) -> None:
    value = make(system)
    written = {
        (ENTRIES, partition, system.produce(ENTRIES, partition, b"key", value))
        for partition in range(PARTITIONS)
    }

    system.await_entry(system.insert_entry())  # whatever its partition, it follows one of them

    def found() -> list[dict[str, Any]]:
        letters = [letter for letter in system.dead_letters() if letter["value"] == value]
        return letters if len(letters) >= len(written) else []

    letters = eventually(found, deadline_s=DEADLINE_S)
    assert {(each["topic"], each["partition"], each["offset"]) for each in letters} == written
    assert len(letters) == len(written)
    for letter in letters:
        assert letter["error_code"] == "record.decode"
        assert reason in letter["detail"]


# -- values that cannot be ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "corrected"),
    [
        ("hours", Decimal("-745.00"), Decimal("-1.00")),
        ("hours", Decimal("25.00"), Decimal("2.50")),
        ("hours", Decimal("9999999.99"), Decimal("7.50")),
        ("currency", "EURO", "EUR"),
        ("currency", "ZZZ", "EUR"),
    ],
)
def test_an_impossible_value_is_dead_lettered_until_its_row_is_corrected(
    system: RunningSystem, refused: int, field: str, value: object, corrected: object
) -> None:
    entry = system.insert_entry(**{field: value})

    (letter,) = eventually(lambda: letters_of(system, entry), deadline_s=DEADLINE_S)

    assert letter["topic"] == ENTRIES
    assert field in letter["detail"]
    assert f"inhouse:time_entry:{entry}" not in system.published("psa.time_entry")
    system.database.update("time_entries", entry, **{field: corrected})
    assert system.await_entry(entry)[field] == corrected
    assert system.refused() == refused + 1


def letters_of(system: RunningSystem, entry: int) -> list[dict[str, Any]]:
    """Dead letters of a row of the PSA."""
    return [
        letter
        for letter in system.dead_letters()
        if letter["key"] != b"key" and system.serde.read(letter["key"]) == {"id": entry}
    ]


def test_hours_of_an_unknown_project_are_parked_until_it_appears(system: RunningSystem) -> None:
    project = system.world.cast.next_id()
    parked = parked_entries(system)

    system.await_entry(system.insert_entry(project_id=project, hours=Decimal("3.25")))
    eventually(lambda: parked_entries(system) == parked + 1, deadline_s=DEADLINE_S)
    assert margins(system, project) == []

    row = {"id": project, "name": "late", "currency": "EUR", "status": "active"}
    system.database.insert("projects", row)
    (margin,) = eventually(lambda: margins(system, project), deadline_s=DEADLINE_S)
    assert (margin["hours"], margin["revenue"]) == (Decimal("3.25"), Decimal("390"))


def parked_entries(system: RunningSystem) -> float:
    return system.metric(
        "worker", "psastream_records_total", topic="psa.time_entry", outcome="parked"
    )


def margins(system: RunningSystem, project: int) -> list[Any]:
    rows = system.published("psa.metric.project_margin").values()
    return [row for row in rows if row["project_ref"] == f"inhouse:project:{project}"]


# -- a vendor's API that fails --------------------------------------------------------------------


def add_account(system: RunningSystem) -> Callable[[], bool]:
    """Add a customer to the CRM; whether it has arrived."""
    name = f"Customer {system.world.cast.next_id()}"
    row = {"Name": name, "BillingCountryCode": "DE", "CurrencyIsoCode": "EUR"}
    account = system.admin.create("salesforce", "Account", row)["Id"]
    return lambda: f"salesforce:account:{account}" in system.published("psa.customer")


def errors(system: RunningSystem, **labels: str) -> float:
    return system.metric("poller", "psastream_source_errors_total", system="salesforce", **labels)


def stopped(system: RunningSystem) -> float:
    return system.metric("poller", "psastream_source_stopped", system="salesforce")


@pytest.mark.parametrize("kind", [FaultKind.EXPIRED_TOKEN, FaultKind.DELAY, FaultKind.HALF_PAGE])
def test_a_brief_fault_is_no_failure(system: RunningSystem, kind: FaultKind) -> None:
    failed = errors(system)
    drawn = system.admin.faults_drawn("salesforce").get(kind, 0)
    system.admin.add_fault("salesforce", kind, count=1, delay_s=60)
    is_there = add_account(system)

    eventually(
        lambda: system.admin.faults_drawn("salesforce").get(kind, 0) == drawn + 1,
        deadline_s=DEADLINE_S,
    )
    drawn_at = time.time()
    eventually(lambda: last_success(system) > drawn_at, deadline_s=DEADLINE_S)
    eventually(is_there, deadline_s=DEADLINE_S)
    assert errors(system) == failed


def last_success(system: RunningSystem) -> float:
    """When the CRM's object that was read longest ago was read, as Unix time."""
    name = "psastream_source_last_success_timestamp_seconds"
    return min(
        system.metric("poller", name, system="salesforce", object=obj)
        for obj in ("account", "opportunity", "opportunity_line_item")
    )


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FaultKind.SERVER_ERROR, "unavailable"),
        (FaultKind.CONNECTION_RESET, "unavailable"),
        (FaultKind.HALF_PAGE, "schema"),
        (FaultKind.EXPIRED_TOKEN, "authentication"),
    ],
)
def test_a_lasting_fault_is_counted_and_delays_rows(
    system: RunningSystem, kind: FaultKind, reason: str
) -> None:
    before = errors(system, reason=reason)
    system.admin.add_fault("salesforce", kind)
    try:
        is_there = add_account(system)
        eventually(lambda: errors(system, reason=reason) > before, deadline_s=DEADLINE_S)
        assert not is_there()
    finally:
        system.admin.clear_faults("salesforce")

    eventually(is_there, deadline_s=DEADLINE_S)
    eventually(lambda: stopped(system) == 0, deadline_s=DEADLINE_S)


def test_an_exhausted_quota_stops_asking_and_a_new_start_goes_on(system: RunningSystem) -> None:
    system.admin.add_fault("salesforce", FaultKind.RATE_LIMITED, path="/queryAll")
    try:
        is_there = add_account(system)
        eventually(lambda: errors(system, reason="rate_limited") >= 3, deadline_s=DEADLINE_S)
    finally:
        system.admin.clear_faults("salesforce")
    assert not is_there()

    system.stack.restart("poller")

    eventually(is_there, deadline_s=DEADLINE_S)


def test_a_new_field_is_counted_and_a_removed_one_stops_its_object_only(
    system: RunningSystem,
) -> None:
    system.admin.add_field("salesforce", "Account", "Region__c", "north")
    eventually(add_account(system), deadline_s=DEADLINE_S)
    new = {"system": "salesforce", "object": "account"}
    eventually(
        lambda: system.metric("poller", "psastream_source_new_fields_total", **new) == 1,
        deadline_s=DEADLINE_S,
    )
    system.admin.remove_field("salesforce", "Account", "Tax_Number__c")
    try:
        eventually(lambda: stopped(system) == 1, deadline_s=DEADLINE_S)
        is_there = add_account(system)
        deal = next(iter(system.world.cast.deals.values()))
        system.admin.update("salesforce", "Opportunity", deal.id, {"Name": "Renamed deal"})
        key = f"salesforce:opportunity:{deal.id}"
        eventually(
            lambda: system.published("psa.opportunity")[key]["name"] == "Renamed deal",
            deadline_s=DEADLINE_S,
        )
        assert not is_there()
    finally:
        system.admin.reset_fields("salesforce")

    eventually(is_there, deadline_s=DEADLINE_S)


# -- parts that are down --------------------------------------------------------------------------


def book_hours(system: RunningSystem) -> None:
    """Book approved hours on all projects: they end as time bills in the ERP."""
    for number in range(OUTAGE_ENTRIES):
        projects = system.world.cast.projects
        for _ in hours.book(system.world, projects[number % len(projects)], status="approved"):
            pass


def test_without_the_registry_records_wait_and_none_is_skipped(
    system: RunningSystem, refused: int
) -> None:
    system.stack.kill("registry")
    system.stack.restart("worker")  # which now knows no schema
    book_hours(system)
    eventually(
        lambda: (
            system.metric(
                "worker", "psastream_transient_retries_total", group="normalize", topic=ENTRIES
            )
            > 1
        ),
        deadline_s=DEADLINE_S,
    )
    assert system.metric("worker", "psastream_consumed_records_total", topic=ENTRIES) == 0

    system.stack.restart("registry")

    system.await_books(refused=refused)
    assert system.restarted == []  # waiting is no reason to give up


@pytest.mark.crash
def test_a_killed_database_comes_back_and_loses_nothing(
    system: RunningSystem, refused: int
) -> None:
    book_hours(system)
    system.stack.kill("postgres")
    system.stack.restart("postgres")
    system.reconnect_psa()
    book_hours(system)

    system.await_books(refused=refused)


@pytest.mark.crash
def test_a_killed_broker_comes_back_and_nothing_is_lost_or_done_twice(
    system: RunningSystem, refused: int
) -> None:
    book_hours(system)
    system.stack.kill("kafka")
    book_hours(system)
    # Long enough for Connect to give its tasks up: they must let go of what they hold.
    eventually(
        lambda: "Revoking previous assignment" in system.stack.log("connect"),
        deadline_s=DEADLINE_S,
    )
    account = next(iter(system.world.cast.accounts.values()))
    system.admin.update("salesforce", "Account", account, {"Name": "Renamed meanwhile"})
    system.stack.restart("kafka")
    book_hours(system)

    system.await_books(refused=refused)
