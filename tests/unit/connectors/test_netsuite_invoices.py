"""Invoices and credit memos of the ERP: from rows as SuiteQL shows them to canonical lines.

The rows here are written after public material (connectors/vendors/netsuite/README.md), not after
the simulated vendor; those of the simulated vendor have to come out the same.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.polled.conversion import Layout, RowReader
from connectors.vendors.netsuite.queries import INVOICE_HEADERS, INVOICE_LINES, QUERIES
from sandbox.vendors.clock import VendorClock
from sandbox.vendors.drift import Drift
from sandbox.vendors.netsuite.billing import bill_job, credit_invoice, void_transaction
from sandbox.vendors.netsuite.suiteql import SuiteQl
from sandbox.vendors.netsuite.tables import NetSuiteBooks
from tests.support.catalogue import contract_of
from tests.support.examples import examples
from tests.support.source_events import canonical

MAPPING = "connectors/vendors/netsuite/mapping.yaml"
QUERY = "connectors/vendors/netsuite/queries.py"
ENTRY, PROJECT = "inhouse:time_entry:9", "inhouse:project:4"

# A line of an open invoice over 8 hours at 100, with every value as text and nulls left out.
LINE = {
    "links": [],
    "id": "5012-1",
    "transaction": "5012",
    "line": "1",
    "type": "CustInvc",
    "tranid": "INV-77",
    "trandate": "2026-03-02",
    "status": "A",
    "voided": "F",
    "approvalstatus": "2",
    "currency": "EUR",
    "itemtype": "Service",
    "quantity": "-8",
    "seconds": "-28800",
    "foreignamount": "-800",
    "netamount": "-864",
    "custcol_psa_time_entry": ENTRY,
    "custcol_psa_project": PROJECT,
    "lastmodifieddate": "2026-03-02 14:05:09",
}


def reader() -> RowReader:
    layout = Layout(
        "id",
        id_form=re.compile("[0-9]+-[0-9]+"),
        modified_fields=("lastmodifieddate",),
        null_is_absent=True,
        ignored=frozenset({"links"}),
    )
    return RowReader(contract_of("netsuite", "invoice"), layout)


def invoice_of(raw: dict[str, Any]) -> dict[str, Any]:
    """The canonical line of a row, or its dead letter."""
    [row], refused = reader().read([raw])
    assert not refused
    made = canonical("src.netsuite.invoice", row.values)
    return made.get("invoice") or made["dlq"]


def facts(line: dict[str, Any]) -> tuple[Any, ...]:
    return line["kind"], line["status"], line["hours"], line["amount"], line["currency"]


@pytest.mark.fault("C2", place=MAPPING)
def test_c2_the_letter_of_an_open_invoice_is_its_status() -> None:
    assert invoice_of(LINE)["status"] == "open"


@pytest.mark.fault("C2", place=MAPPING)
@pytest.mark.parametrize(
    ("letter", "status"),
    [("A", "open"), ("B", "paid"), ("D", "draft"), ("E", "draft"), ("V", "void")],
)
@pytest.mark.parametrize(("kind", "name"), [("CustInvc", "invoice"), ("CustCred", "credit_memo")])
def test_c2_every_letter_has_its_meaning(kind: str, name: str, letter: str, status: str) -> None:
    made = invoice_of({**LINE, "type": kind, "status": letter})
    assert (made["kind"], made["status"]) == (name, status)


@pytest.mark.fault("C2", place=MAPPING)
@pytest.mark.parametrize(
    "change", [{"status": "Z"}, {"status": "open"}, {"status": None}, {"type": "VendBill"}]
)
def test_c2_a_letter_nobody_knows_is_dead_lettered_and_not_guessed(change: dict[str, Any]) -> None:
    raw = {name: value for name, value in {**LINE, **change}.items() if value is not None}
    assert "error_code" in invoice_of(raw)


@pytest.mark.fault("C2", place=MAPPING)
@pytest.mark.parametrize("letter", ["A", "B", "D", "V"])
def test_c2_what_was_voided_is_void_whatever_its_letter(letter: str) -> None:
    assert invoice_of({**LINE, "status": letter, "voided": "T"})["status"] == "void"


@pytest.mark.fault("C20", place=MAPPING)
def test_c20_what_the_ledger_credits_the_customer_owes() -> None:
    assert facts(invoice_of(LINE)) == ("invoice", "open", Decimal(8), Decimal(800), "EUR")


@pytest.mark.fault("C20", place=MAPPING)
@settings(max_examples=examples(25))
@given(
    kind=st.sampled_from(["CustInvc", "CustCred"]),
    quantity=st.decimals("-24", "24", places=2),
    amount=st.decimals("-1000000", "1000000", places=6),
    base=st.decimals("-1000000", "1000000", places=6),
)
def test_c20_signs_turn_and_nothing_else_changes(
    kind: str, quantity: Decimal, amount: Decimal, base: Decimal
) -> None:
    """Discount lines included, which have the other sign: never an absolute value."""
    money = {"foreignamount": str(amount), "netamount": str(base)}
    seconds = str(-quantity * -3600).removesuffix(".00")
    made = invoice_of({**LINE, "type": kind, "seconds": seconds, **money})
    assert (made["hours"], made["amount"]) == (-quantity, -amount)
    assert made["seconds"] == -quantity * 3600


class Account:
    """An account of the simulated vendor with one project, asked through our own queries."""

    def __init__(self, *, currency: str = "USD") -> None:
        self.books = NetSuiteBooks(VendorClock())
        subsidiary = self.books.create("subsidiary", {"name": "DE GmbH", "currency": "EUR"})
        customer = self.books.create("customer", {"companyname": "Acme", "externalid": "cus-1"})
        self.job = self.books.create(
            "job",
            {
                "externalid": "eng-1-de",
                "parent": customer["id"],
                "subsidiary": subsidiary["id"],
                "currency": currency,
            },
        )
        self._suiteql = SuiteQl(self.books.uri, Drift())

    def book(self, number: int, hours: str, rate: str = "100", **columns: Any) -> None:
        self.books.create(
            "timebill",
            {
                "externalid": f"tb-{number}",
                "customer": self.job["id"],
                "hours": hours,
                "rate": rate,
                "custcol_psa_time_entry": f"inhouse:time_entry:{number}",
                "custcol_psa_project": PROJECT,
                **columns,
            },
        )

    def time_bills(self) -> list[dict[str, Any]]:
        record = contract_of("netsuite", "time_bill")
        layout = Layout(
            "id",
            modified_fields=("lastmodifieddate",),
            null_is_absent=True,
            ignored=frozenset({"links"}),
        )
        items = self._suiteql.run(QUERIES["time_bill"].text(""), limit=100, offset=0).items
        rows, refused = RowReader(record, layout).read(items)
        assert not refused
        return [canonical("src.netsuite.time_bill", row.values)["time_bill"] for row in rows]

    def bill(self, **hours: str) -> dict[str, Any]:
        wanted = {f"tb-{name[1:]}": Decimal(amount) for name, amount in hours.items()}
        invoice = bill_job(self.books, "eng-1-de", wanted or None)
        assert invoice is not None
        return invoice

    def rows(self) -> list[dict[str, Any]]:
        headers = self._suiteql.run(INVOICE_HEADERS.text(""), limit=100, offset=0).items
        ids = ", ".join(header["id"] for header in headers)
        text = INVOICE_LINES.text(f"t.id IN ({ids})")
        return self._suiteql.run(text, limit=1000, offset=0).items

    def lines(self) -> list[tuple[Any, ...]]:
        return [facts(invoice_of(row)) for row in self.rows()]


@pytest.mark.fault("C21", place=QUERY)
@settings(max_examples=examples(25))
@given(minutes=st.integers(1, 1440), digits=st.integers(4, 12))
def test_c21_whole_minutes_arrive_whole_however_many_digits_are_shown(
    minutes: int, digits: int
) -> None:
    account = Account()
    hours = round(Decimal(minutes) / 60, digits)
    account.book(9, str(hours), rate="60")
    account.bill()
    [line] = [invoice_of(row) for row in account.rows()]
    assert (line["seconds"], line["amount"]) == (minutes * 60, minutes)
    [bill] = account.time_bills()
    assert bill["seconds"] == minutes * 60


@pytest.mark.fault("C7", place=MAPPING)
@pytest.mark.parametrize(("flag", "is_billable"), [(True, True), (False, False), (None, None)])
def test_c7_time_that_finance_will_not_bill_is_told_apart(
    flag: bool | None, is_billable: bool | None
) -> None:
    account = Account()
    account.book(9, "8", isbillable=flag)
    account.book(10, "8", timetype="P")  # planned, not done
    [bill] = account.time_bills()
    assert bill.get("is_billable") is is_billable


@pytest.mark.fault("C20", place=QUERY)
def test_c20_main_tax_and_cost_lines_are_no_work() -> None:
    account = Account()
    account.book(9, "8")
    invoice = account.bill()
    for columns in (
        {"iscogs": True, "foreignamount": Decimal("-500")},
        {"itemtype": "Subtotal", "foreignamount": Decimal("-800")},
    ):
        line = {"transaction": invoice["id"], "id": 7, **columns}
        account.books.create("transactionline", line)
    assert len(account.books.select("transactionline")) == 5
    assert account.lines() == [("invoice", "open", Decimal(8), Decimal(800), "USD")]


@pytest.mark.fault("C20", place=QUERY)
def test_c20_a_discount_lowers_what_is_owed() -> None:
    account = Account()
    account.book(9, "8")
    line = {"transaction": account.bill()["id"], "id": 7, "itemtype": "Discount"}
    account.books.create("transactionline", {**line, "foreignamount": Decimal(80)})
    [work, discount] = [invoice_of(row) for row in account.rows()]
    assert (work["amount"], discount["amount"]) == (Decimal(800), Decimal(-80))
    assert "time_entry_id" not in discount


@pytest.mark.fault("C2", place=QUERY)
def test_c2_the_amount_is_in_the_currency_of_the_invoice() -> None:
    account = Account(currency="USD")  # the legal entity keeps its books in EUR
    account.book(9, "8")
    account.bill()
    [row] = account.rows()
    assert (row["currency"], row["foreignamount"], row["netamount"]) == (
        "USD",
        "-800.00",
        "-1000.00",
    )
    assert invoice_of(row)["amount"] == Decimal(800)


@pytest.mark.fault("C7", place=QUERY)
def test_c7_an_invoice_over_some_of_the_hours_and_its_credit_memo_arrive() -> None:
    account = Account()
    account.book(9, "8")
    invoice = account.bill(h9="5")
    credit_invoice(account.books, str(invoice["id"]))
    assert account.lines() == [
        ("invoice", "open", Decimal(5), Decimal(500), "USD"),
        ("credit_memo", "open", Decimal(-5), Decimal(-500), "USD"),
    ]
    entries = [invoice_of(row)["time_entry_id"] for row in account.rows()]
    assert entries == [ENTRY, ENTRY]
    assert [row.get("createdfrom") for row in account.rows()] == [None, str(invoice["id"])]


@pytest.mark.fault("C7", place=QUERY)
def test_c7_a_voided_invoice_arrives_as_void() -> None:
    account = Account()
    account.book(9, "8")
    void_transaction(account.books, str(account.bill()["id"]))
    assert [line[1] for line in account.lines()] == ["void"]


@pytest.mark.fault("C7", place=QUERY)
@settings(max_examples=examples(25))
@given(
    booked=st.lists(st.integers(1, 24), min_size=1, max_size=4),
    credited=st.sets(st.integers(0, 3)),
    billed=st.data(),
)
def test_c7_lines_add_up_to_what_was_billed_less_what_was_credited(
    booked: list[int], credited: set[int], billed: st.DataObject
) -> None:
    account = Account()
    hours = {}
    for number, most in enumerate(booked):
        account.book(number, str(most))
        hours[f"h{number}"] = str(billed.draw(st.integers(1, most)))
    invoice = account.bill(**hours)
    lines = [number + 1 for number in sorted(credited) if number < len(booked)]
    if lines:
        credit_invoice(account.books, str(invoice["id"]), lines)
    expected = sum(
        Decimal(amount) for number, amount in enumerate(hours.values()) if number + 1 not in lines
    )
    assert sum(line[2] for line in account.lines()) == expected
    assert sum(line[3] for line in account.lines()) == expected * 100


@pytest.mark.fault("B1", place="schemas/mapping/rules.py")
@pytest.mark.parametrize("amount", [Decimal("-1E+32"), Decimal("1E+32")])
def test_b1_an_amount_whose_sign_cannot_turn_refuses_its_row_alone(amount: Decimal) -> None:
    """Bytes hold more digits than the type says, and one of them must not stop a chunk."""
    [row], _ = reader().read([LINE])
    assert "dlq" in canonical("src.netsuite.invoice", {**row.values, "foreignamount": amount})
