"""Running totals are kept exact from one chunk to the next, however large."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from schemas.codec.columnar import frame_dtypes
from schemas.contracts import record_schema
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.measures.billing_status import BILLING
from tables.measures.margin import MARGIN
from tables.measures.measure import PARTIAL_TOPIC
from tables.project.contract import Contract
from tables.project.document import Standing
from tables.project.hours import MONEY_UNITS, money_of
from tables.project.totals import Totals
from tests.support.catalogue import BY_NAME
from tests.support.topology import MemoryState

PROJECT = "inhouse:project:1"
KEY = PROJECT, "IDR", "ready"
HOURLY = Standing(is_known=True, contract=Contract())


@pytest.mark.parametrize(
    "amount",
    [
        *(1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 3 * 2**64 + 5),
        *(-1, -(2**63) - 1, -(2**64), -(2**64) - 1),
    ],
)
def test_money_beyond_64_bits_is_the_same_when_it_is_read_again(amount: int) -> None:
    """2**63 units are 256,000 million rupiah: a large project has them."""
    documents = Documents(MemoryState())
    for added in (amount, 0):
        outbox = Outbox()
        totals = Totals(documents, outbox, "project-0")
        totals.add_margin(f"{PROJECT}|2026-11|IDR", (3_600, added, added, 3 * added), 1)
        totals.add_billing(KEY, (3_600, added, 1))
        totals.settle({PROJECT: HOURLY}, 1)
        found = {columns.topic: columns.to_dicts() for columns in outbox.columns}
        ((margin,), (billing,)) = found[MARGIN.topic], found[BILLING.topic]
        revenue, cost = money_of(2 * amount), money_of(3 * amount)  # with expenses as large
        assert (margin["revenue"], margin["cost"]) == (revenue, cost)
        assert (margin["margin"], margin["margin_ratio"]) == (revenue - cost, Decimal("-0.5"))
        assert billing["amount"] == money_of(amount)
    assert (margin["seconds"], margin["version"], billing["entries"]) == (7_200, 2, 2)


def test_a_cap_is_compared_with_what_was_billed_before_too() -> None:
    documents, cap = Documents(MemoryState()), Contract.unpack("capped|100|IDR|")
    told = []
    for hours in (60, 60, -30):
        outbox = Outbox()
        totals = Totals(documents, outbox, "project-0")
        totals.add_billing(KEY, (hours * 3_600, hours * MONEY_UNITS, 1))
        totals.settle({PROJECT: Standing(is_known=True, contract=cap)}, 1)
        told += [(emit.record or {})["status"] for emit in outbox.emits]
    assert told == ["open", "resolved"]


@pytest.mark.parametrize("terms", ["fixed_fee|-5|EUR|20", "capped|-5|EUR|"])
def test_a_contract_below_zero_is_told_until_it_is_right(terms: str) -> None:
    documents, told = Documents(MemoryState()), []
    for contract in (Contract.unpack(terms), Contract.unpack(terms), Contract()):
        outbox = Outbox()
        totals = Totals(documents, outbox, "project-0")
        totals.add_billing(KEY, (3_600, MONEY_UNITS, 1))
        totals.settle({PROJECT: Standing(is_known=True, contract=contract)}, 1)
        told.append([(emit.record or {})["status"] for emit in outbox.emits])
    assert told == [["open"], [], ["resolved"]]


class Chunks:
    """The totals of one partition, chunk by chunk."""

    def __init__(self) -> None:
        self._documents = Documents(MemoryState())

    def margin(self, *amounts: tuple[int, int]) -> dict[str, Any] | None:
        """Add seconds, each at a source position; return the row, None: removed."""
        outbox = Outbox()
        totals = Totals(self._documents, outbox, "project-0")
        for seconds, position in amounts:
            totals.add_margin(f"{PROJECT}|2026-11|EUR", (seconds, 0, 0, 0), position)
        totals.settle({PROJECT: HOURLY}, 1)
        (columns,) = outbox.columns
        rows = columns.to_dicts()
        assert len(rows) + len(columns.removed) == 1
        return rows[0] if rows else None


def test_a_month_names_the_latest_change_it_contains() -> None:
    chunks, found = Chunks(), []
    for amounts in ([(1, 7), (1, 3)], [(1, 5)], [(1, 5), (1, 9)]):
        row = chunks.margin(*amounts)
        assert row is not None
        found.append((row["seconds"], row["source_position"], row["version"]))
    assert found == [(2, 7, 1), (3, 7, 2), (5, 9, 3)]


def test_a_month_of_rows_without_a_position_has_position_zero() -> None:
    row = Chunks().margin((1, 0))
    assert row is not None
    assert row["source_position"] == 0


def test_a_month_that_is_empty_has_no_row_and_a_later_version_when_it_is_back() -> None:
    chunks = Chunks()
    rows = [chunks.margin((seconds, 1)) for seconds in (60, -60, 60)]
    assert [row and (row["seconds"], row["version"]) for row in rows] == [(60, 1), None, (60, 3)]


def test_a_billing_state_without_time_and_entries_has_no_row() -> None:
    documents, found = Documents(MemoryState()), []
    for amounts in ((0, 5, 0), (60, -5, 0), (-60, 0, 1), (0, 0, -1)):
        outbox = Outbox()
        totals = Totals(documents, outbox, "project-0")
        totals.add_billing(KEY, amounts)
        totals.settle({PROJECT: HOURLY}, 1)
        (columns,) = outbox.columns
        found.append(columns.removed)
    assert found == [[], [], [], ["|".join(KEY)]]


def test_a_project_of_another_id_is_published_anew_as_it_stands_and_no_other_one() -> None:
    documents = Documents(MemoryState())
    other = f"{PROJECT}0"  # begins like it
    worth = 3_600, 80 * MONEY_UNITS, 5 * MONEY_UNITS, 50 * MONEY_UNITS

    def chunk(identity: str, projects: list[str], sign: int) -> dict[str, Any]:
        outbox = Outbox()
        totals = Totals(documents, outbox, "project-0")
        if not projects:
            totals.republish(PROJECT)
        for project in projects:
            month = tuple(sign * each for each in worth)
            totals.add_margin(f"{project}|2026-11|EUR", month, 0)
            totals.add_billing((project, "EUR", "ready"), (*month[:2], sign))
        standing = Standing(is_known=True, project_id=identity, contract=Contract())
        totals.settle({PROJECT: standing, other: standing}, 1)
        return {columns.topic: columns for columns in outbox.columns}

    chunk("eng-a-de", [PROJECT, other], 1)
    found = chunk("eng-b-de", [], 1)
    (margin,), (billing,) = (found[it].to_dicts() for it in (MARGIN.topic, BILLING.topic))
    names = ("project_ref", "project_id", "seconds")
    assert [margin[name] for name in names] == [PROJECT, "eng-b-de", 3_600]
    assert (margin["revenue"], margin["cost"]) == (85, 50)
    assert (margin["source_position"], margin["version"]) == (0, 2)
    assert [billing[name] for name in names] == [PROJECT, "eng-b-de", 3_600]
    assert (billing["amount"], billing["entries"], billing["state"]) == (80, 1, "ready")
    found = chunk("eng-b-de", [PROJECT], -1)
    assert found[MARGIN.topic].removed == [f"{PROJECT}|2026-11|EUR"], "not a unit was added"
    assert found[BILLING.topic].removed == [f"{PROJECT}|EUR|ready"], "not a unit was added"


def of_week(billable: int, worked: int) -> pl.DataFrame:
    """What seconds of an address in a week contribute, worth nothing."""
    row = {"project_ref": PROJECT, "resource_id": "adr-1", "currency": "EUR", "state": "covered"}
    row |= {"period": 202_611, "iso_week": 202_645, "source_position": 0}
    row |= {"billable_seconds": billable, "seconds": worked}
    nothing = dict.fromkeys(("revenue", "cost", "open_seconds", "open_amount", "entries"), 0)
    return pl.DataFrame([row | nothing])


def test_hours_of_a_week_add_up_billable_or_not_and_are_sent_once() -> None:
    documents, found = Documents(MemoryState()), []
    for billable, worked in ((0, 90), (0, 30), (60, 60), (-60, -180), (60, 0)):
        outbox = Outbox()
        totals = Totals(documents, outbox, "project-0")
        totals.add(of_week(billable, worked))
        totals.settle({PROJECT: HOURLY}, 1)
        ((row,),) = (each.to_dicts() for each in outbox.columns if each.topic == PARTIAL_TOPIC)
        assert (row["dimension"], row["source"]) == ("adr-1|2026-W45", "project-0:adr-1")
        found.append((row["seconds"], row["total_seconds"]))
    assert found == [(0, 90), (0, 120), (60, 180), (0, 0), (60, 0)]


def test_what_is_published_has_the_types_of_its_topic() -> None:
    outbox = Outbox(few=0)
    totals = Totals(Documents(MemoryState()), outbox, "project-0")
    totals.add_margin(f"{PROJECT}|2026-11|IDR", (3_600, 1, 1, 1), 1)
    totals.add_billing(KEY, (3_600, 1, 1))
    totals.add(of_week(60, 90))
    totals.settle({PROJECT: HOURLY}, 1)
    assert {columns.topic for columns in outbox.columns} == {
        MARGIN.topic,
        BILLING.topic,
        PARTIAL_TOPIC,
    }
    for columns in outbox.columns:
        expected = frame_dtypes(record_schema(str(BY_NAME[columns.topic].record)))
        assert isinstance(columns.rows, pl.DataFrame)
        assert dict(columns.rows.schema) == expected, columns.topic


def test_a_month_goes_out_with_its_own_change_or_where_another_month_moves_its_fee() -> None:
    documents = Documents(MemoryState())
    contract = Contract.unpack("fixed_fee|1000|EUR|20")

    def chunk(**hours: int) -> tuple[dict[str, tuple[Decimal, int]], list[str]]:
        """Add hours of `<currency>_<month>`, none: republish; return revenue and version."""
        outbox = Outbox()
        totals = Totals(documents, outbox, "project-0")
        if not hours:
            totals.republish(PROJECT)
        for name, worked in hours.items():
            key = f"{PROJECT}|2026-{name[4:]}|{name[:3]}"
            totals.add_margin(key, (worked * 3_600, 0, 0, 0), 0)
        totals.settle({PROJECT: Standing(is_known=True, contract=contract)}, 1)
        (columns,) = outbox.columns
        positions = {row["source_position"] for row in columns.to_dicts()}
        assert positions == {0}, "no change has another one"
        rows = {
            f"{row['currency']}_{row['period'][5:]}": (row["revenue"], row["version"])
            for row in columns.to_dicts()
        }
        return rows, columns.removed

    assert chunk(EUR_10=5, EUR_11=10) == ({"EUR_10": (250, 1), "EUR_11": (500, 1)}, [])
    assert chunk(EUR_11=5) == ({"EUR_11": (750, 2)}, []), "October is as it was"
    late = {"EUR_09": (500, 1), "EUR_11": (250, 3)}
    assert chunk(EUR_09=10) == (late, []), "November earns the rest, October the same"
    used_up = {"USD_12": (0, 1)}
    assert chunk(USD_12=1) == (used_up, []), "of a fee of nothing there is no row, nor an end of it"
    every = {"EUR_09": (500, 2), "EUR_10": (250, 2), "EUR_11": (250, 4), "USD_12": (0, 2)}
    assert chunk() == (every, [])
