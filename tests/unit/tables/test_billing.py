"""Billing of one time entry: what the ERP shows, and what is ordered from it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from schemas.identity import time_bill_id
from tables.flows.time_bill import Billable
from tables.foundation.effects import Outbox
from tables.foundation.facts import InvoiceLine, TimeBill
from tables.foundation.ledger import LedgerEntry
from tables.project.bill_orders import order_bills
from tables.project.billing import BillingDocument, Invoiced, open_seconds
from tables.project.billing_difference import EntryNow, report
from tables.project.hours import MONEY_UNITS

BILLABLE = Billable(
    "netsuite", "p1", "eng-abcdefghijkl-de", date(2026, 11, 2), 27_000, Decimal(100), "EUR"
)


def bill(project_ref: str = "p1", hours: str = "7.5") -> TimeBill:
    return TimeBill(
        id=f"b-{project_ref}",
        time_bill_id=time_bill_id("e", project_ref),
        project_ref=project_ref,
        time_entry_id="e",
        project_id=BILLABLE.project_id,
        work_on=BILLABLE.work_on,
        hours=Decimal(hours),
        bill_rate=BILLABLE.bill_rate,
        currency=BILLABLE.currency,
    )


def line(
    hours: str = "7.5",
    project_ref: str | None = "p1",
    *,
    status: str = "open",
    kind: str = "invoice",
    number: int = 1,
) -> InvoiceLine:
    return InvoiceLine(
        id=f"i-{number}-{project_ref}",
        status=status,
        kind=kind,
        project_ref=project_ref,
        time_entry_id="e",
        seconds=int(Decimal(hours) * 3_600),
        amount=Decimal(hours) * 100,
        currency="EUR",
    )


CREDIT = line("-7.5", kind="credit_memo", number=2)


def shown(*rows: TimeBill | InvoiceLine) -> BillingDocument:
    return BillingDocument(
        bills={row.id: row for row in rows if isinstance(row, TimeBill)},
        lines={row.id: row for row in rows if isinstance(row, InvoiceLine)},
    )


def order(
    document: BillingDocument, wanted: Billable | None, *, is_ours: bool = True
) -> list[tuple[str, str | None]]:
    """Return the kind and the project of each command; a withdrawal names none."""
    return [
        (str(command["kind"]), json.loads(str(command["payload"])).get("project_ref"))
        for command in sent(document, wanted, is_ours=is_ours)
    ]


def sent(
    document: BillingDocument,
    wanted: Billable | None,
    *,
    is_ours: bool = True,
    timestamp_ms: int = 10,
) -> list[dict[str, Any]]:
    """Return the commands; `is_ours`: the partition is that of the projects."""
    outbox = Outbox()
    order_bills(
        document,
        "e",
        wanted,
        is_read=True,
        erp_of=lambda _: "netsuite",
        owns=lambda _: is_ours,
        correlation="c",
        outbox=outbox,
        timestamp_ms=timestamp_ms,
    )
    return [dict(emit.record) for emit in outbox.emits if emit.record is not None]


def test_a_missing_bill_is_ordered_once() -> None:
    document = shown()
    assert order(document, BILLABLE) == [("upsert_time_bill", "p1")]
    assert order(document, BILLABLE) == []


def test_an_equal_bill_is_left_alone_and_another_one_put_right() -> None:
    assert order(shown(bill()), BILLABLE) == []
    assert order(shown(bill(hours="8")), BILLABLE) == [("upsert_time_bill", "p1")]


def test_a_bill_that_was_ordered_is_taken_back() -> None:
    document = shown(bill())
    order(document, BILLABLE)
    assert order(document, None) == [("delete_time_bill", "p1")]


def test_an_entry_that_moves_is_one_deletion_and_one_creation() -> None:
    document = shown(bill())
    order(document, BILLABLE)
    moved = Billable(
        "netsuite", "p2", "eng-abcdefghijkl-fr", BILLABLE.work_on, 27_000, Decimal(100), "EUR"
    )
    assert order(document, moved) == [("delete_time_bill", "p1"), ("upsert_time_bill", "p2")]


OF_P2 = bill("p2").model_copy(update={"project_id": "eng-abcdefghijkl-fr"})


def test_an_entry_that_moves_back_is_one_deletion_and_one_creation() -> None:
    document = shown()
    order(document, MOVED)
    document.bills = {OF_P2.id: OF_P2}
    assert order(document, MOVED) == []
    assert order(document, BILLABLE) == [("upsert_time_bill", "p1"), ("delete_time_bill", "p2")]


def test_a_bill_of_somebody_else_on_another_project_keeps_nothing_from_being_ordered() -> None:
    by_hand = bill("p0").model_copy(update={"time_bill_id": None})
    assert order(shown(by_hand), BILLABLE) == [("upsert_time_bill", "p1")]


def test_a_document_has_changed_with_an_order_and_not_without_one() -> None:
    document = shown()
    changed = [
        order_bills(
            document,
            "e",
            BILLABLE,
            is_read=True,
            erp_of=lambda _: "netsuite",
            owns=lambda _: True,
            correlation="c",
            outbox=Outbox(),
            timestamp_ms=10,
        )
        for _ in range(2)
    ]
    assert changed == [True, False]


@pytest.mark.parametrize(
    ("seconds", "rate", "amount"),
    [
        (27_000, "100", "750"),
        (1_800, "0.000001", "0.000000"),  # half a millionth goes to the even neighbour
        (5_400, "0.000001", "0.000002"),
        (-3_600, "100", "-100"),
    ],
)
def test_an_order_names_what_its_hours_cost(seconds: int, rate: str, amount: str) -> None:
    wanted = replace(BILLABLE, seconds=seconds, bill_rate=Decimal(rate))
    (command,) = sent(shown(), wanted)
    assert (command["amount"], command["currency"]) == (Decimal(amount), "EUR")
    assert json.loads(command["payload"])["seconds"] == seconds


@pytest.mark.parametrize("project_ref", ["p0", "p2"])
def test_the_bill_of_another_project_bills_nothing_here(project_ref: str) -> None:
    assert shown(bill(project_ref)).bill("e", "p1") is None


def test_a_bill_that_names_no_order_of_ours_bills_the_entry_all_the_same() -> None:
    by_hand = bill().model_copy(update={"time_bill_id": None})
    assert shown(by_hand).bill("e", "p1") == by_hand


def test_after_a_credit_only_the_next_bill_stands_for_the_entry() -> None:
    document = shown(bill(), line(), CREDIT)
    assert document.bill("e", "p1") is None
    anew = bill().model_copy(update={"id": "b-2", "time_bill_id": time_bill_id("e", "p1#1")})
    document.bills[anew.id] = anew
    assert document.bill("e", "p1") == anew


MOVED = Billable(
    "netsuite", "p2", "eng-abcdefghijkl-fr", BILLABLE.work_on, 27_000, Decimal(100), "EUR"
)
LESS = replace(BILLABLE, seconds=18_000)


@pytest.mark.parametrize("identity", [None, "", "made by hand", time_bill_id("other", "p1")])
@pytest.mark.parametrize("wanted", [None, BILLABLE, MOVED])
def test_a_bill_without_an_id_that_we_give_is_never_touched(
    identity: str | None, wanted: Billable | None
) -> None:
    by_hand = bill().model_copy(update={"time_bill_id": identity})
    assert ("delete_time_bill", "p1") not in order(shown(by_hand), wanted)


@pytest.mark.parametrize("number", [0, 1, 16])
def test_a_bill_with_an_id_that_we_give_is_ours_though_nobody_knows_of_an_order(
    number: int,
) -> None:
    """State that was lost had made it: nobody else gives such ids."""
    made = in_slot(f"p1#{number}" if number else "p1")
    assert order(shown(made), BILLABLE) == []
    assert order(shown(made), LESS) == [("upsert_time_bill", "p1")]
    assert order(shown(made), None) == [("delete_time_bill", "p1")]
    assert order(shown(made), MOVED) == [
        ("delete_time_bill", "p1"),
        ("upsert_time_bill", "p2"),
    ]
    assert order(shown(made), None, is_ours=False) == []


@pytest.mark.parametrize("wanted", [BILLABLE, None])
def test_a_bill_of_ours_that_a_person_put_on_another_project_is_ours(
    wanted: Billable | None,
) -> None:
    """Found by its id as long as the project it was made for is known of; else it is told."""
    made = bill().model_copy(update={"project_ref": "p2", "project_id": "eng-x-fr"})
    first = order(shown(made, line("0", status="void")), wanted)
    assert first == [("delete_time_bill" if wanted is None else "upsert_time_bill", "p1")]


def billed(*lines: InvoiceLine) -> BillingDocument:
    """An entry whose bill was ordered and seen before the lines came."""
    document = shown(bill(), *lines)
    before = document.lines
    document.lines = {}
    assert sent(document, BILLABLE, timestamp_ms=9) == []
    document.lines = before
    return document


@pytest.mark.fault("A3", place="tables/project/billing.py")
@pytest.mark.parametrize("status", ["open", "paid", "draft"])
@pytest.mark.parametrize("wanted", [None, MOVED, LESS, replace(BILLABLE, bill_rate=Decimal(120))])
@pytest.mark.parametrize("hours", ["7.5", "5"])
def test_a3_nothing_is_ordered_of_time_that_an_invoice_names(
    status: str, wanted: Billable | None, hours: str
) -> None:
    assert order(billed(line(hours, status=status)), wanted) == []


@pytest.mark.fault("A3", place="tables/project/billing.py")
def test_a3_an_invoice_on_another_project_locks_too() -> None:
    assert order(shown(line("8", "p9")), BILLABLE) == []


@pytest.mark.fault("A3", place="tables/project/billing.py")
def test_a3_an_order_elsewhere_is_taken_back_beside_a_project_that_is_locked() -> None:
    document = shown()
    order(document, MOVED)
    document.bills = {OF_P2.id: OF_P2}
    assert order(document, MOVED) == []
    document.bills[bill().id] = bill()
    document.lines = {each.id: each for each in [line()]}
    assert order(document, MOVED) == [("delete_time_bill", "p2")]


WITHOUT_QUANTITY = line().model_copy(update={"seconds": None})
LESS_MONEY = CREDIT.model_copy(update={"amount": Decimal(-700)})


@pytest.mark.fault("A3", place="tables/project/billing.py")
@pytest.mark.parametrize("wanted", [BILLABLE, None, MOVED, LESS])
@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([WITHOUT_QUANTITY], id="no quantity"),
        pytest.param([line().model_copy(update={"seconds": 0})], id="quantity 0"),
        pytest.param([line(), LESS_MONEY], id="time credited, not all of the money"),
        pytest.param([line(), CREDIT.model_copy(update={"currency": "USD"})], id="other currency"),
        pytest.param([line().model_copy(update={"project_ref": None})], id="no project"),
        pytest.param([line().model_copy(update={"kind": None})], id="no kind"),
        pytest.param([line().model_copy(update={"status": None})], id="no status"),
    ],
)
def test_a3_money_that_is_invoiced_locks_whatever_the_line_lacks(
    lines: list[InvoiceLine], wanted: Billable | None
) -> None:
    assert order(billed(*lines), wanted) == []


@pytest.mark.fault("A3", place="tables/project/billing.py")
@pytest.mark.parametrize("wanted", [LESS, None], ids=["a correction", "a deletion"])
@pytest.mark.parametrize("status", ["open", "draft"])
@pytest.mark.parametrize("project_ref", ["p1", None])
def test_a3_what_the_erp_has_refused_so_far_does_not_come_through_once_it_is_invoiced(
    status: str, wanted: Billable | None, project_ref: str | None
) -> None:
    document = shown(bill())
    order(document, BILLABLE)
    first = sent(document, wanted)
    document.lines = {each.id: each for each in [line("7.5", project_ref, status=status)]}

    [withdrawal] = sent(document, wanted)

    assert withdrawal["kind"] == "withdraw"
    assert withdrawal["natural_key"] == first[0]["natural_key"]
    assert withdrawal["revision"] > first[0]["revision"]
    assert sent(document, wanted) == [], "once"
    document.lines = {}
    assert [each["kind"] for each in sent(document, wanted)] == [first[0]["kind"]], "unlocked"


@pytest.mark.fault("A3", place="tables/project/billing.py")
def test_a3_the_bill_of_a_standing_invoice_stays_when_older_papers_are_deleted() -> None:
    document = billed(line(), CREDIT)
    assert order(document, BILLABLE) == [("upsert_time_bill", "p1")]
    again = time_bill_id("e", document.slots("e", "p1")[0])
    document.bills["b-2"] = bill().model_copy(update={"id": "b-2", "time_bill_id": again})
    assert order(document, BILLABLE) == []
    document.lines = {"i-3": line(number=3)}
    for wanted in (BILLABLE, LESS, MOVED, None):
        assert order(document, wanted) == []


@pytest.mark.fault("A3", place="tables/project/billing.py")
def test_a3_a_void_invoice_locks_nothing() -> None:
    assert order(billed(line(status="void")), None) == [("delete_time_bill", "p1")]


@pytest.mark.fault("A3", place="tables/project/billing.py")
def test_a3_after_the_credit_what_is_right_now_is_billed_anew() -> None:
    """The bill that the invoice used up stays; the next one has an id of its own."""
    document = billed(line(), CREDIT)
    (command,) = sent(document, LESS)
    payload = json.loads(str(command["payload"]))
    assert (command["kind"], payload["hours"], payload["project_ref"]) == (
        "upsert_time_bill",
        "5",
        "p1",
    )
    assert payload["time_bill_id"] not in ("", time_bill_id("e", "p1"))
    assert order(document, LESS) == []
    assert order(billed(line(), CREDIT), MOVED) == [("upsert_time_bill", "p2")]
    assert order(billed(line(), CREDIT), None) == []


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_five_of_eight_hours_are_invoiced_and_three_open() -> None:
    document = shown(bill(), line("5"))
    seconds = 8 * 3_600
    invoiced = sum(net.seconds for net in document.invoiced("p1").values())
    assert (invoiced, open_seconds(seconds, invoiced)) == (5 * 3_600, 3 * 3_600)
    assert document.totals("p1")["p1", "EUR", "invoiced"] == (18_000, 500 * MONEY_UNITS, 1)
    assert document.cover("p1", seconds) == {
        ("p1", "EUR", "unmatched"): (18_000, 500 * MONEY_UNITS, -1)
    }


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize(
    "shown_line",
    [
        line("5"),
        line("5").model_copy(update={"kind": None}),
        line("5").model_copy(update={"seconds": None, "hours": Decimal(5)}),
    ],
    ids=["a line", "no kind", "hours alone"],
)
def test_c7_invoiced_time_is_unmatched_until_an_entry_covers_it(shown_line: InvoiceLine) -> None:
    assert shown(shown_line).totals("p1") == {
        ("p1", "EUR", "invoiced"): (18_000, 500 * MONEY_UNITS, 1),
        ("p1", "EUR", "unmatched"): (-18_000, -500 * MONEY_UNITS, 1),
    }


def in_usd(hours: str) -> InvoiceLine:
    return line(hours, number=3).model_copy(update={"currency": "USD"})


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize(
    ("lines", "hours", "covered"),
    [
        pytest.param([line("5")], 8, {"EUR": (5, -1)}, id="all of it"),
        pytest.param([line("5")], 3, {"EUR": (3, 0)}, id="a part"),
        pytest.param([line("-5")], -8, {"EUR": (-5, -1)}, id="all of a correction"),
        pytest.param([line("-5")], -3, {"EUR": (-3, 0)}, id="a part of a correction"),
        pytest.param([line("5")], 0, {}, id="nothing is approved"),
        pytest.param([line("5")], -3, {}, id="the other sign"),
        pytest.param([line("5"), in_usd("2")], 6, {"EUR": (5, -1), "USD": (1, 0)}, id="in turn"),
        pytest.param([line("5"), in_usd("2")], 5, {"EUR": (5, -1)}, id="the first takes all"),
        pytest.param([line("5"), in_usd("-2")], 8, {"EUR": (3, 0)}, id="less another currency"),
        pytest.param([line("-2"), in_usd("5")], 3, {"USD": (3, 0)}, id="two signs"),
        pytest.param([line(), CREDIT, in_usd("5")], 5, {"USD": (5, -1)}, id="one is credited"),
    ],
)
def test_c7_an_entry_covers_invoiced_time_of_its_sign_one_currency_after_the_other(
    lines: list[InvoiceLine], hours: int, covered: dict[str, tuple[int, int]]
) -> None:
    assert shown(*lines).cover("p1", hours * 3_600) == {
        ("p1", currency, "unmatched"): (time * 3_600, time * 100 * MONEY_UNITS, entries)
        for currency, (time, entries) in covered.items()
    }


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize(
    ("amount", "hours", "covered"),
    [
        ("100", 1, 33_333_333),
        ("100", 2, 66_666_667),
        ("-100", 1, -33_333_333),
        ("0.0000015", 1, 0),  # half a millionth goes to the even neighbour
        ("0.0000045", 1, 2),
    ],
)
def test_c7_the_money_of_a_part_is_rounded_half_to_even_at_six_digits(
    amount: str, hours: int, covered: int
) -> None:
    document = shown(line("3").model_copy(update={"amount": Decimal(amount)}))
    micro = MONEY_UNITS // 1_000_000
    assert document.cover("p1", hours * 3_600) == {
        ("p1", "EUR", "unmatched"): (hours * 3_600, covered * micro, 0)
    }


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_a_credit_memo_leaves_nothing_invoiced() -> None:
    document = shown(bill(), line(), CREDIT)
    assert document.invoiced("p1") == {"EUR": Invoiced()}
    assert document.totals("p1") == {
        ("p1", "EUR", "invoiced"): (27_000, 750 * MONEY_UNITS, 1),
        ("p1", "EUR", "credited"): (-27_000, -750 * MONEY_UNITS, 1),
    }
    assert document.cover("p1", 27_000) == {}


def in_slot(slot: str, hours: str = "7.5") -> TimeBill:
    changes = {"id": f"b-{slot}", "time_bill_id": time_bill_id("e", slot)}
    return bill(hours=hours).model_copy(update=changes)


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize("cure", ["deleted", "void"])
@pytest.mark.parametrize("slot", ["p1", "p1#1", "p1#2"])
def test_c7_after_a_rebuild_an_invoiced_bill_is_still_ours_to_delete(slot: str, cure: str) -> None:
    document = shown(in_slot(slot), line())
    for wanted in (MOVED, None, BILLABLE):
        assert order(document, wanted) == []
    document.lines = {} if cure == "deleted" else {"i-1-p1": line(status="void")}
    assert order(document, MOVED) == [("delete_time_bill", "p1"), ("upsert_time_bill", "p2")]


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_a_bill_without_an_id_of_ours_is_somebody_elses_after_its_invoice_too() -> None:
    document = shown(bill().model_copy(update={"time_bill_id": None}), line())
    assert order(document, None) == []
    document.lines = {}
    assert order(document, None) == []


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_bills_of_other_partitions_are_for_them_to_delete() -> None:
    document = shown(bill(), line())
    assert order(document, None, is_ours=False) == []
    document.lines = {}
    assert order(document, None, is_ours=False) == []


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_a_document_has_changed_once_where_a_rebuild_has_forgotten_a_bill() -> None:
    document = shown(bill(), line())
    changed = [
        order_bills(
            document,
            "e",
            None,
            is_read=True,
            erp_of=lambda _: "netsuite",
            owns=lambda _: True,
            correlation="c",
            outbox=Outbox(),
            timestamp_ms=10,
        )
        for _ in range(2)
    ]
    assert changed == [True, False]


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_a_rebuild_takes_each_line_for_the_oldest_bill_with_room_for_it() -> None:
    first, second = line("7.5", number=1), line("5", number=2)
    document = shown(second, first)
    assert order(document, None) == []
    for each in ("p1#1", "p1"):  # the younger one is read first
        document.bills[f"b-{each}"] = in_slot(each)
        assert order(document, None) == []
    assert document.uses == {first.id: ["p1"], second.id: ["p1#1"]}
    document.lines = {}
    assert order(document, None) == [("delete_time_bill", "p1")] * 2


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize(
    ("timestamp_ms", "used"), [(9, ["p1"]), (10, ["p1"]), (11, ["p1", "p1#1"])]
)
def test_c7_when_a_line_comes_tells_nothing_while_rows_are_read_again(
    timestamp_ms: int, used: list[str]
) -> None:
    """They are of the present in which the bills were found; then it may have used what stands."""
    document = shown(in_slot("p1"), in_slot("p1#1"))
    sent(document, BILLABLE, timestamp_ms=10)
    document.lines = {line().id: line()}
    sent(document, BILLABLE, timestamp_ms=timestamp_ms)
    assert document.uses == {line().id: used}


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_what_a_line_has_used_is_not_thought_over_when_orders_show() -> None:
    """One that was on its way, and one that is to go and has not gone yet."""
    document = shown(in_slot("p1"), in_slot("p1#1"), line())
    document.ledgers = {
        "p1": LedgerEntry(ordered="a"),
        "p1#1": LedgerEntry(ordered="gone", observed="b"),
    }
    document.erps = dict.fromkeys(document.ledgers, "netsuite")
    document.uses = {line().id: ["p1#1"]}
    order(document, None)
    assert document.uses == {line().id: ["p1#1"]}


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_a_deletion_ordered_halfway_through_a_rebuild_is_taken_back_from_an_invoiced_bill() -> (
    None
):
    """The entry and a younger bill were read before the bill that an invoice has used."""
    document = shown()
    assert order(document, BILLABLE) == [("upsert_time_bill", "p1")]
    document.bills["b-p1#1"] = in_slot("p1#1")
    assert order(document, BILLABLE) == [("delete_time_bill", "p1")]
    document.lines[CREDIT.id] = CREDIT
    assert order(document, BILLABLE) == []
    document.bills["b-p1"] = bill()
    assert order(document, BILLABLE) == [("delete_time_bill", "p1")]
    document.lines[line().id] = line()
    assert {each["natural_key"]: each["kind"] for each in sent(document, BILLABLE)} == {
        f"netsuite:time_bill:{time_bill_id('e', 'p1')}": "withdraw",
        f"netsuite:time_bill:{time_bill_id('e', 'p1#1')}": "upsert_time_bill",
    }
    assert order(document, BILLABLE) == []
    assert document.slots("e", "p1") == ("p1#1", [])


EIGHT = replace(BILLABLE, seconds=28_800)
FIVE = line("5", number=1)
FIVE_BACK = line("-5", kind="credit_memo", number=2)


def second_bill(hours: str = "8") -> TimeBill:
    """The bill that was ordered after one invoice line was credited."""
    changes = {"id": "b-second", "time_bill_id": time_bill_id("e", "p1#1")}
    return bill(hours=hours).model_copy(update=changes)


def of_seconds(seconds: int) -> TimeBill:
    return bill(hours="8").model_copy(update={"seconds": seconds})


def written_off(hours: str = "8") -> TimeBill:
    return bill(hours=hours).model_copy(update={"is_billable": False})


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize(
    ("rows", "orders", "left", "amount"),
    [
        # 5 of 8 h are invoiced and credited: the old bill offers 3 h, and 8 h more would be 11
        ([bill(hours="8"), FIVE, FIVE_BACK], [], 10_800, "300"),
        ([bill(hours="8"), line("5", status="draft"), FIVE_BACK], [], 10_800, "300"),
        ([bill(hours="8"), FIVE, line("-2", kind="credit_memo", number=2),
          line("-3", kind="credit_memo", number=3)], [], 10_800, "300"),
        ([bill(hours="8"), line("4"), line("2", number=3), line("-6", kind="credit_memo")],
         [], 7_200, "200"),
        # a line that names no project may have used any bill: none is taken as used
        ([bill(hours="8"), line("8", None), line("-8", None, kind="credit_memo", number=2)],
         [], 28_800, "800"),
        ([bill(hours="8"), FIVE, line("3", None, number=3), line("-5", kind="credit_memo"),
          line("-3", None, kind="credit_memo", number=4)], [], 10_800, "300"),
        ([written_off(), line("8", None), line("-8", None, kind="credit_memo", number=2)],
         ["p1"], 0, None),
        ([line("8", None), line("-8", None, kind="credit_memo", number=2)], ["p1"], 0, None),
        # a person has cut or closed the old bill, or all of it was invoiced
        ([bill(hours="5"), FIVE, FIVE_BACK], ["p1"], 0, None),
        ([written_off(), FIVE, FIVE_BACK], ["p1"], 0, None),
        ([bill(hours="8"), FIVE, line("3", number=3), line("-8", kind="credit_memo")],
         ["p1"], 0, None),
        # the invoice is void, before or after its credit: the old bill stands for all again
        ([bill(hours="8"), line("5", status="void")], [], 0, None),
        ([bill(hours="8"), line("5", status="void"), FIVE_BACK], [], 0, None),
        ([bill(hours="8"), line("5", status="void"),
          line("-5", kind="credit_memo", status="void", number=2)], [], 0, None),
        ([bill(hours="8"), second_bill(), FIVE, FIVE_BACK], [], 10_800, "300"),
        ([bill(hours="5"), second_bill(), FIVE, FIVE_BACK], [], 0, None),
    ],
)  # fmt: skip
def test_c7_no_bill_is_ordered_beside_time_that_the_erp_still_offers(
    rows: list[TimeBill | InvoiceLine], orders: list[str], left: int, amount: str | None
) -> None:
    lines = [row for row in rows if isinstance(row, InvoiceLine)]
    document = shown(*(row for row in rows if isinstance(row, TimeBill)))
    document.lines = {str(number): row for number, row in enumerate(lines)}
    assert order(document, EIGHT) == [("upsert_time_bill", project) for project in orders]
    assert document.left_over("e", "p1") == left
    outbox = Outbox()
    now = replace(ENTRY, seconds=28_800)
    report(document, "e", "p1", now, outbox=outbox, timestamp_ms=10)
    told = [(emit.record or {}) for emit in outbox.emits]
    if amount is None:
        assert told == []
    else:
        ((code, stake, currency),) = [
            (each["error_code"], each["amount"], each["currency"]) for each in told
        ]
        assert (code, stake, currency) == ("billing.left_over", Decimal(amount), "EUR")


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize(
    ("rows", "is_ordered", "left"),
    [
        ([bill(hours="8")], True, None),
        ([bill(hours="8"), FIVE, FIVE_BACK], False, "300"),
        ([bill(hours="8"), line("5", status="draft"), FIVE_BACK], False, "300"),
        ([bill(hours="8"), line("8", None), line("-8", None, kind="credit_memo", number=2)],
         False, "800"),
        # a person has cut or closed what was left
        ([bill(hours="5"), FIVE, FIVE_BACK], True, None),
        ([written_off(), FIVE, FIVE_BACK], True, None),
        # the one that was ordered after the credit is offered until it is gone
        ([bill(hours="5"), second_bill(), FIVE, FIVE_BACK], False, "800"),
        ([bill(hours="5"), second_bill("0"), FIVE, FIVE_BACK], True, None),
        # one that a person wrote counts where the entry was invoiced, and not otherwise
        ([bill(hours="5"), bill(hours="2").model_copy(update={"id": "b", "time_bill_id": None}),
          FIVE, FIVE_BACK], False, "200"),
        ([bill(hours="2").model_copy(update={"time_bill_id": None})], True, None),
        # an ERP shows time in hundredths of hours, and each bill as a clock shows it
        ([of_seconds(18_000 + 2 * 18 + 30), FIVE, FIVE_BACK], True, None),
        ([of_seconds(18_000 + 2 * 18 + 31), FIVE, FIVE_BACK], False, "1.861111"),
        # a correction
        ([bill(hours="-8"), line("-5"), line("5", kind="credit_memo", number=2)], False, "300"),
    ],
)  # fmt: skip
def test_c7_what_is_left_where_an_entry_was_is_billed_nowhere_else(
    rows: list[TimeBill | InvoiceLine], is_ordered: bool, left: str | None
) -> None:
    document = shown(*rows)
    moved = replace(MOVED, seconds=28_800)
    # The bills of where it was are another partition's to delete.
    assert order(document, moved, is_ours=False) == (
        [("upsert_time_bill", "p2")] if is_ordered else []
    )
    outbox = Outbox()
    for project_ref, now in (("p1", None), ("p2", replace(ENTRY, seconds=28_800))):
        report(document, "e", project_ref, now, outbox=outbox, timestamp_ms=10)
    told = [(row["exception_id"], row["error_code"], row["amount"]) for row in records(outbox)]
    expected = [] if left is None else [("billing:e|p1", "billing.left_over", Decimal(left))]
    assert told == expected


def records(outbox: Outbox) -> list[dict[str, Any]]:
    return [dict(emit.record or {}) for emit in outbox.emits]


@pytest.mark.fault("C7", place="tables/project/billing_difference.py")
def test_c7_what_is_told_of_an_invoiced_entry_is_what_is_offered_beyond_its_rest() -> None:
    """5 of 8 h are invoiced, and two bills of 8 h stand: 11 h are left, 3 of them right."""
    document, outbox = shown(bill(hours="8"), second_bill("8"), FIVE), Outbox()
    report(document, "e", "p1", replace(ENTRY, seconds=28_800), outbox=outbox, timestamp_ms=10)
    (row,) = records(outbox)
    assert (row["error_code"], row["amount"]) == ("billing.left_over", 800)
    assert row["detail"] == "8.00 h of an old time record in the ERP can still be invoiced"


@pytest.mark.fault("C7", place="tables/project/billing_difference.py")
@pytest.mark.parametrize(
    ("changes", "amount"),
    [
        ({}, "600"),
        ({"bill_rate": Decimal(120)}, None),
        ({"currency": "USD"}, None),
        ({"bill_rate": Decimal(120), "is_billable": False}, "300"),
    ],
)
def test_c7_no_amount_is_told_of_time_left_at_more_than_one_price(
    changes: dict[str, Any], amount: str | None
) -> None:
    other = second_bill("3").model_copy(update=changes)
    document, outbox = shown(bill(hours="8"), other, FIVE, FIVE_BACK), Outbox()
    report(document, "e", "p1", None, outbox=outbox, timestamp_ms=10)
    (row,) = records(outbox)
    assert row["error_code"] == "billing.left_over"
    assert row["amount"] == (None if amount is None else Decimal(amount))


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_an_order_elsewhere_is_taken_back_while_the_old_bill_offers_time() -> None:
    """The papers came first and the old bill later; then a person closes it."""
    document = shown(FIVE, FIVE_BACK)
    moved = replace(MOVED, seconds=28_800)
    assert order(document, moved) == [("upsert_time_bill", "p2")]
    document.bills["b-p1"] = bill(hours="8")
    assert order(document, moved) == [("delete_time_bill", "p2")]
    document.bills["b-p1"] = written_off()
    assert order(document, moved) == [("upsert_time_bill", "p2")]


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize(
    ("invoiced", "left"),
    [
        ("3", "7"),
        ("5", "5"),
        ("8", "2"),  # more than either of the two holds
        ("10", "0"),
        ("12", "0"),  # more than the ERP shows bills of
    ],
)
def test_c7_a_line_larger_than_a_time_bill_uses_the_next_one_too(invoiced: str, left: str) -> None:
    for sign in (1, -1):
        hours, used = f"{sign * 5}", f"{sign * int(invoiced)}"
        document = shown(bill(hours=hours), second_bill(hours), line(used))
        assert document.left_over("e", "p1") == sign * int(left) * 3_600


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize(
    ("uses", "slot"),
    [
        (["p1"], "p1#1"),
        (["p1#1"], "p1#2"),
        (["p1#4"], "p1#5"),
        (["p1#4", "p1#2"], "p1#5"),
        ([], "p1#1"),
    ],
)
def test_c7_the_next_time_bill_has_an_id_that_no_line_may_have_used(
    uses: list[str], slot: str
) -> None:
    others = "p0", "p2"
    papers = [line("5", other) for other in others]
    papers += [line("-5", other, kind="credit_memo", number=2) for other in others]
    document = shown(FIVE, FIVE_BACK, *papers)
    document.uses = {FIVE.id: uses, "i-1-p0": ["p0#9"], "i-1-p2": ["p2#7"]}
    (command,) = sent(document, EIGHT)
    assert json.loads(command["payload"])["time_bill_id"] == time_bill_id("e", slot)
    assert command["natural_key"].endswith(time_bill_id("e", slot))


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize(
    ("used", "standing", "taken"),
    [
        pytest.param({}, [], ["p1#2"], id="of what is ordered and not seen yet the last"),
        pytest.param({"p1#2"}, [], ["p1#1"], id="of what no line has used the last"),
        pytest.param({"p1", "p1#1", "p1#2"}, [], ["p1#2"], id="all used: the last"),
        pytest.param({"p1", "p1#1", "p1#2"}, ["p1"], ["p1#2"], id="whatever stands of them"),
        pytest.param({}, ["p1"], ["p1"], id="the one that stands"),
        pytest.param({}, ["p1", "p1#1"], ["p1", "p1#1"], id="any of those that stand"),
        pytest.param({"p1#1"}, ["p1", "p1#1"], ["p1"], id="of those that stand an unused one"),
    ],
)
def test_c7_what_a_line_may_have_used_when_it_comes(
    used: set[str], standing: list[str], taken: list[str]
) -> None:
    papers = {f"i-{number}": slot for number, slot in enumerate(sorted(used))}
    document = shown(*(bill_of(slot, f"b-{slot}") for slot in standing))
    document.ledgers = {slot: LedgerEntry(revision=1) for slot in ("p1#2", "p1", "p1#1", "p2")}
    document.uses = {paper: [slot] for paper, slot in papers.items()}
    document.lines = {paper: line().model_copy(update={"id": paper}) for paper in (*papers, "new")}
    assert document.remember_uses("e")
    assert document.uses == {**{paper: [slot] for paper, slot in papers.items()}, "new": taken}
    assert not document.remember_uses("e"), "once"


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_the_last_bill_is_the_one_with_the_highest_number() -> None:
    document = shown(line())
    document.ledgers = {f"p1#{number}": LedgerEntry(revision=1) for number in (10, 2, 9)}
    assert document.remember_uses("e")
    assert document.uses == {line().id: ["p1#10"]}


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_what_a_line_may_have_used_is_decided_when_it_comes_and_when_it_names_a_project() -> (
    None
):
    document = shown(line(project_ref=None).model_copy(update={"id": "i"}))
    assert document.remember_uses("e")
    assert document.uses == {"i": []}, "nothing was ordered"
    document.ledgers = {slot: LedgerEntry(revision=1) for slot in ("p1", "p2")}
    assert not document.remember_uses("e"), "what is ordered later it has not used"
    assert document.uses == {"i": []}
    document.lines = {"i": line(project_ref="p2").model_copy(update={"id": "i"})}
    assert document.remember_uses("e")
    assert document.uses == {"i": ["p2"]}
    document.lines = {"i": line(project_ref="p1").model_copy(update={"id": "i"})}
    assert document.remember_uses("e")
    assert document.uses == {"i": ["p1"]}, "corrected"
    document.lines = {}
    assert document.remember_uses("e")
    assert document.uses == {}


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize(
    ("uses", "slot"), [([], "p1"), (["p1"], "p1#1"), (["p1#9", "p1"], "p1#10"), (["p2"], "p1")]
)
def test_c7_an_id_that_was_used_is_not_given_out_again_when_its_papers_are_gone(
    uses: list[str], slot: str
) -> None:
    document = shown()
    document.uses = {"i": uses}
    assert document.slots("e", "p1") == (slot, [])


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_a_bill_is_free_again_when_the_line_turns_out_to_name_another_project() -> None:
    document = shown(bill())
    assert order(document, BILLABLE) == []
    document.lines = {"i": line(project_ref=None)}
    assert order(document, LESS) == []
    document.lines = {"i": line(project_ref="p2"), "c": line("-7.5", "p2", kind="credit_memo")}
    assert order(document, LESS) == [("upsert_time_bill", "p1")]
    assert document.slots("e", "p1") == ("p1", [])


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_an_order_that_is_on_its_way_is_taken_back_when_the_old_bill_shows() -> None:
    document = shown(FIVE, FIVE_BACK)
    assert order(document, EIGHT) == [("upsert_time_bill", "p1")]
    document.bills["b-p1"] = bill(hours="8")
    ((kind, identity),) = [
        (each["kind"], json.loads(str(each["payload"]))["time_bill_id"])
        for each in sent(document, EIGHT, timestamp_ms=20)
    ]
    assert (kind, identity) == ("delete_time_bill", time_bill_id("e", "p1#1"))


@pytest.mark.fault("C7", place="tables/project/billing_difference.py")
@pytest.mark.parametrize(
    ("rows", "entry", "code"),
    [
        ([bill(hours="0.17"), line("0.17")], 600, None),  # 10 minutes
        ([bill(hours="8"), FIVE], 28_800, None),  # the rest is what is open
        ([bill(hours="8"), FIVE], 18_000, "billing.left_over"),  # the entry is shorter now
        ([bill(hours="8"), FIVE], 36_000, "billing.more_hours"),  # or longer
        # the bill holds the rest, as exactly as the ERP shows it
        ([of_seconds(28_800 - 18 - 30), FIVE], 28_800, None),
        ([of_seconds(28_800 - 18 - 31), FIVE], 28_800, "billing.more_hours"),
        ([bill(hours="12"), FIVE], 36_000, "billing.more_hours"),  # nor does the bill hold it
        # the first invoice is void after the second bill was invoiced
        ([bill(hours="5"), second_bill(), line("8")], 28_800, "billing.left_over"),
        ([written_off("5"), second_bill(), line("8")], 28_800, None),
        # what a person closed stays closed when its successor is invoiced
        ([written_off(), second_bill(), FIVE, FIVE_BACK, line("8", number=3)], 28_800, None),
    ],
)
def test_c7_time_that_is_offered_beyond_what_is_open_is_told_while_invoiced(
    rows: list[TimeBill | InvoiceLine], entry: int, code: str | None
) -> None:
    outbox = Outbox()
    now = replace(ENTRY, seconds=entry)
    report(shown(*rows), "e", "p1", now, outbox=outbox, timestamp_ms=10)
    assert [(emit.record or {})["error_code"] for emit in outbox.emits] == ([code] if code else [])


ENTRY = EntryNow("approved", True, True, 27_000, Decimal(100), "EUR", "c")


@pytest.mark.fault("A3", place="tables/project/billing_difference.py")
@pytest.mark.parametrize(
    ("lines", "entry", "code", "amount"),
    [
        ([line()], ENTRY, None, None),
        ([line("5")], ENTRY, None, None),
        ([line(status="void")], None, None, None),
        ([line(), CREDIT], None, None, None),
        ([line()], None, "billing.entry_gone", "750"),
        ([line(status="draft")], None, "billing.entry_gone", "750"),
        ([line()], replace(ENTRY, status="submitted"), "billing.not_approved", "750"),
        ([line()], replace(ENTRY, is_billable=False), "billing.not_billable", "750"),
        ([line()], replace(ENTRY, seconds=18_000), "billing.fewer_hours", "250"),
        ([line()], replace(ENTRY, seconds=36_000), "billing.more_hours", "250"),
        ([line()], replace(ENTRY, bill_rate=Decimal(120)), "billing.rate_changed", "150"),
        ([line()], replace(ENTRY, currency="USD"), "billing.rate_changed", "750"),
        ([line(), line(number=3)], ENTRY, "billing.invoiced_twice", "750"),
        ([line("5"), line("2.5", number=3)], ENTRY, None, None),
        ([WITHOUT_QUANTITY], ENTRY, "billing.no_hours", "750"),
        ([line(), LESS_MONEY], ENTRY, "billing.no_hours", "50"),
        # what is credited in part stays used: no bill of the ERP holds the 2.5 h
        (
            [line(), line("-2.5", kind="credit_memo", number=3)],
            ENTRY,
            "billing.more_hours",
            "250",
        ),
        (
            [line(), line("-2.5", kind="credit_memo", number=3)],
            replace(ENTRY, seconds=18_000),
            None,
            None,
        ),
        ([line()], replace(ENTRY, status="aborted"), "billing.not_approved", "750"),
        ([line()], replace(ENTRY, is_hourly=False), "billing.not_billable", "750"),
        ([line()], replace(ENTRY, seconds=27_018), None, None),  # looks like 7.5 hours
        ([line()], replace(ENTRY, seconds=26_982), None, None),
        ([line()], replace(ENTRY, seconds=27_019), "billing.more_hours", "0.527778"),
        ([line()], replace(ENTRY, seconds=26_981), "billing.fewer_hours", "0.527778"),
        ([line("8.5")], ENTRY, "billing.fewer_hours", "100"),
        ([line()], replace(ENTRY, seconds=-27_000), "billing.fewer_hours", "1500"),
        ([line("-7.5")], replace(ENTRY, seconds=-18_000), "billing.fewer_hours", "250"),
        ([line()], replace(ENTRY, seconds=18_000, currency="USD"), "billing.fewer_hours", "750"),
        ([line()], replace(ENTRY, seconds=18_000, currency="AUD"), "billing.fewer_hours", "750"),
        ([line()], replace(ENTRY, seconds=0), "billing.fewer_hours", "750"),
        ([line()], replace(ENTRY, bill_rate=Decimal(90)), "billing.rate_changed", "75"),
        ([line()], replace(ENTRY, bill_rate=None), "billing.rate_changed", "750"),
        ([line()], replace(ENTRY, currency="AUD"), "billing.rate_changed", "750"),
        ([line()], replace(ENTRY, seconds=21_600, bill_rate=None), "billing.fewer_hours", "750"),
    ],
)
def test_a3_what_an_entry_and_its_invoices_disagree_about(
    lines: list[InvoiceLine], entry: EntryNow | None, code: str | None, amount: str | None
) -> None:
    own = bill().model_copy(update={"time_bill_id": time_bill_id("x:e", "p1")})
    outbox, document = Outbox(), shown(own, *lines)
    report(document, "x:e", "p1", entry, outbox=outbox, timestamp_ms=10)
    opened = [(emit.key, dict(emit.record or {})) for emit in outbox.emits]
    if code is None:
        assert opened == []
        return
    ((key, record),) = opened
    assert key == record["exception_id"] == "billing:x:e|p1"
    assert (record["status"], record["error_code"]) == ("open", code)
    assert (record["amount"], record["currency"]) == (Decimal(amount or 0), "EUR")
    assert (record["system"], record["natural_key"]) == ("x", "x:e")
    assert ("bill the rest" in record["hint"]) is (code == "billing.more_hours")


@pytest.mark.fault("A3", place="tables/project/billing_difference.py")
def test_a3_no_amount_is_told_of_invoices_in_two_currencies() -> None:
    outbox = Outbox()
    report(shown(line(), in_usd("2")), "x:e", "p1", None, outbox=outbox, timestamp_ms=10)
    ((_, record),) = [(emit.key, dict(emit.record or {})) for emit in outbox.emits]
    assert (record["amount"], record["currency"]) == (None, None)


@pytest.mark.fault("A3", place="tables/project/billing_difference.py")
def test_a3_the_rest_of_a_bill_that_the_erp_has_put_right_is_no_difference() -> None:
    """A bill of more hours than are invoiced awaits its next invoice; one of others never will."""
    more = replace(ENTRY, seconds=36_000)
    for hours, is_told in (("10", False), ("12", True), ("8", True)):
        told = report(
            shown(bill(hours=hours), line()), "e", "p1", more, outbox=Outbox(), timestamp_ms=10
        )
        assert told is is_told, hours


@pytest.mark.fault("A3", place="tables/project/billing_difference.py")
def test_a3_a_document_has_changed_where_something_else_is_told_than_before() -> None:
    document, more = shown(bill(), line()), replace(ENTRY, seconds=36_000)
    changed = [
        report(document, "e", "p1", entry, outbox=Outbox(), timestamp_ms=10)
        for entry in (ENTRY, None, None, more, None, ENTRY, ENTRY)
    ]
    assert changed == [False, True, False, True, True, True, False]


@pytest.mark.fault("A3", place="tables/project/billing_difference.py")
@pytest.mark.parametrize("is_credited", [True, False])
def test_a3_the_exception_is_resolved_by_a_credit_or_by_the_reversal(is_credited: bool) -> None:
    own = bill().model_copy(update={"time_bill_id": time_bill_id("x:e", "p1")})
    outbox, document = Outbox(), shown(own, line())
    for _ in range(2):
        report(document, "x:e", "p1", None, outbox=outbox, timestamp_ms=10)
    if is_credited:
        document.lines[CREDIT.id] = CREDIT
    now = None if is_credited else ENTRY
    for _ in range(2):
        report(document, "x:e", "p1", now, outbox=outbox, timestamp_ms=20)
    assert [(emit.record or {})["status"] for emit in outbox.emits] == ["open", "resolved"]


@pytest.mark.fault("C7", place="tables/project/billing_difference.py")
@pytest.mark.parametrize(
    ("lines", "hours", "amount"),
    [
        ([line("8", None)], "8", "800"),
        ([line("8", None), line("-5", None, kind="credit_memo", number=2)], "3", "300"),
        ([line("-8", None)], "-8", "800"),
        ([line("8", None), in_usd("2").model_copy(update={"project_ref": None})], "10", None),
        ([line("8", None), line("-8", None, kind="credit_memo", number=2)], None, None),
    ],
)
def test_c7_lines_that_name_no_project_are_told_with_their_money(
    lines: list[InvoiceLine], hours: str | None, amount: str | None
) -> None:
    outbox = Outbox()
    report(shown(*lines), "x:e", "", None, outbox=outbox, timestamp_ms=10)
    told = [(row["exception_id"], row["amount"], row["currency"]) for row in records(outbox)]
    if hours is None:
        assert told == []
        return
    money = (None, None) if amount is None else (Decimal(amount), "EUR")
    assert told == [("billing:x:e", *money)]
    (row,) = records(outbox)
    assert row["detail"].startswith(f"{Decimal(hours):.2f} h are on invoice lines")


@pytest.mark.fault("C7", place="tables/project/billing_difference.py")
@pytest.mark.parametrize(
    ("entry", "approved"),
    [
        (replace(ENTRY, seconds=28_800), None),
        (replace(ENTRY, seconds=21_600), "6.00"),
        (replace(ENTRY, seconds=36_000), "10.00"),
        (replace(ENTRY, seconds=28_800, bill_rate=Decimal(120)), "8.00"),
        (replace(ENTRY, seconds=28_800, currency="USD"), "8.00"),
        (replace(ENTRY, seconds=28_800, status="draft"), "0.00"),
        (None, "0.00"),
    ],
)
def test_c7_a_bill_that_a_line_may_have_used_is_told_where_the_entry_differs(
    entry: EntryNow | None, approved: str | None
) -> None:
    """It is neither rewritten nor deleted: the line may have used it, or the one after it."""
    document = shown(second_bill(), line("8"), line("-8", kind="credit_memo", number=2))
    document.uses = {"i-1-p1": ["p1#1", "p1#2"]}
    document.ledgers = {"p1#1": LedgerEntry()}
    document.erps = {"p1#1": "netsuite"}
    wanted = None if entry is None else EIGHT
    assert order(document, wanted) == []
    outbox = Outbox()
    report(document, "e", "p1", entry, outbox=outbox, timestamp_ms=10)
    told = [(row["error_code"], row["detail"]) for row in records(outbox)]
    detail = f"a time record of 8 h is open, {approved} h are approved to bill"
    assert told == ([] if approved is None else [("billing.unclear_bill", detail)])


UNNAMED = line("8", None)


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize(
    ("rows", "reported"),
    [
        ([], set()),
        ([bill()], set()),
        ([bill(), bill("p2")], set()),
        ([bill(), line("5", "p2")], {"p2"}),
        ([line("5", "p1"), line("5", "p2", status="void")], {"p1", "p2"}),
        ([bill(), second_bill()], {"p1"}),
        ([second_bill()], {"p1"}),  # not the one that is ordered first
        ([bill().model_copy(update={"time_bill_id": None})], set()),
        ([bill().model_copy(update={"project_ref": None})], set()),
        ([bill().model_copy(update={"time_entry_id": None, "time_bill_id": "x"})], set()),
        ([UNNAMED], {""}),
        ([UNNAMED, bill()], {"", "p1"}),
        ([UNNAMED.model_copy(update={"status": "void"}), bill()], set()),
        ([line("-8", None, kind="credit_memo"), bill()], {""}),
        ([UNNAMED, bill(), line("5", "p2")], {"", "p1", "p2"}),
    ],
)
def test_c7_something_may_be_wrong_where_papers_or_bills_stand_side_by_side(
    rows: list[TimeBill | InvoiceLine], reported: set[str]
) -> None:
    document = shown(*rows)
    assert document.reported() == reported
    document.exceptions = {"p3": "told before"}
    assert document.reported() == {*reported, "p3"}


def bill_of(slot: str, row: str) -> TimeBill:
    return bill(hours="8").model_copy(update={"id": row, "time_bill_id": time_bill_id("e", slot)})


@pytest.mark.fault("C7", place="tables/project/billing.py")
def test_c7_the_bill_after_those_that_lines_used_stands_for_the_open_hours() -> None:
    """However old it is; one that is further on does where that is missing."""
    rows = {name: bill_of(f"p1#{number}", name) for number, name in enumerate("bdac")}
    document = shown(*rows.values(), FIVE, FIVE_BACK)
    assert document.bill("e", "p1") == rows["d"]
    del document.bills["d"]
    assert document.bill("e", "p1") == rows["a"]


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize("first", [None, "line", "bill"])
def test_c7_a_line_without_a_project_used_the_bill_that_stands_in_whatever_order_they_are_read(
    first: str | None,
) -> None:
    """The ERP deletes no bill that an invoice line has used."""
    credit = line("-8", None, kind="credit_memo", number=2)
    made = bill_of("p1#2", "b")
    document = shown()
    if first == "line":
        document.lines = {UNNAMED.id: UNNAMED}
        assert order(document, EIGHT) == []
    if first == "bill":
        document.bills = {made.id: made}
        assert order(document, EIGHT) == []
    document.lines = {UNNAMED.id: UNNAMED, credit.id: credit}
    document.bills = {made.id: made}
    last = sent(document, EIGHT)[-1]
    assert last["natural_key"] == f"netsuite:time_bill:{time_bill_id('e', 'p1#3')}"
    assert document.uses == {UNNAMED.id: ["p1#2"]}
    assert document.unclear_bill("e", "p1") is None
