"""The books' view of an ERP, whichever it is."""

from __future__ import annotations

from decimal import Decimal

from sandbox.books.ledgers import NO_GROUPS, Ledger
from sandbox.books.projects import refusal_of
from sandbox.vendors.clock import VendorClock
from sandbox.vendors.finance_operations import finance
from sandbox.vendors.finance_operations.books import FinanceOperationsBooks
from schemas.identity import customer_id, engagement_id, project_id, time_bill_id

D = Decimal
CUSTOMER = customer_id("salesforce:account:A1")
IN_GERMANY = project_id(engagement_id("salesforce:opportunity:D1"), "DE")
BILL = time_bill_id("inhouse:time_entry:1", "inhouse:project:7")


def test_the_books_of_finance_and_operations_are_read_as_an_erps() -> None:
    erp = FinanceOperationsBooks(VendorClock())
    erp.create("LegalEntities", {"LegalEntityId": "GBMF", "Name": "GB Ltd"})
    erp.create("Ledgers", {"LegalEntityId": "GBMF", "AccountingCurrency": "GBP"})
    journal = erp.create("JournalTables", {"JournalName": "H"})["JournalBatchNumber"]
    account = {"CustomerAccount": CUSTOMER.upper(), "OrganizationName": "Acme"}
    erp.create("CustomersV3", account)
    values = {
        "ProjectID": IN_GERMANY.upper(),
        "CustomerAccount": CUSTOMER,
        "ProjectName": "Rollout",
    }
    erp.create("Projects", values | {"PsaStreamBudgetHours": 7})
    line = {"JournalId": journal, "ProjectID": IN_GERMANY, "Hours": D("0.833333")}
    line |= {"SalesPrice": D(120), "CurrencyId": "EUR", "PsaStreamTimeEntryId": "e:1"}
    written = erp.create("JournalTrans", line | {"PsaStreamTimeBillId": BILL.upper()})
    invoice = finance.invoice_project(erp, IN_GERMANY)
    assert invoice is not None
    note = finance.credit_invoice(erp, invoice)
    ledger = Ledger.of(("finance_operations",), {"finance_operations": erp.rows()})
    (entity,), (customer,), (project,) = ledger.subsidiaries, ledger.customers, ledger.jobs
    assert (entity["id"], entity["currency"], entity["needs_tax_code"]) == ("GBMF", "GBP", False)
    assert entity["company"] == customer["company"] == "gbmf"
    assert (customer["id"], customer["externalid"], customer["currency"]) == (
        f"gbmf,{CUSTOMER}", CUSTOMER, "GBP",
    )  # fmt: skip
    assert (project["externalid"], project["subsidiary"], project["startdate"]) == (
        IN_GERMANY, "GBMF", None,
    )  # fmt: skip
    assert project["custentity_psa_budget_hours"] is None
    assert project["parent"] == customer["id"]
    (bill,) = ledger.time_bills
    assert (bill["externalid"], bill["customer"], bill["custcol_psa_project"]) == (
        BILL, project["id"], None,
    )  # fmt: skip
    assert [(row["id"], row["type"], row["currency"]) for row in ledger.invoices] == [
        (invoice, "CustInvc", "EUR"), (note, "CustCred", "EUR"),
    ]  # fmt: skip
    assert [(row["quantity"], row["foreignamount"]) for row in ledger.invoice_lines] == [
        (D("-0.833333"), D("-100.00")), (D("0.833333"), D("100.00")),
    ]  # fmt: skip
    assert {row["timebill"] for row in ledger.invoice_lines} == {written["id"]}
    changes = {"PsaStreamHasBudget": "Yes", "ProjectedStartDate": "2026-03-02T12:00:00Z"}
    erp.update("Projects", erp.select("Projects")[0]["id"], changes)
    (project,) = Ledger.of(("finance_operations",), {"finance_operations": erp.rows()}).jobs
    assert (project["custentity_psa_budget_hours"], project["startdate"]) == (7, "2026-03-02")


def test_a_company_of_finance_and_operations_may_have_no_project_groups() -> None:
    erp = FinanceOperationsBooks(VendorClock())
    for company, lacks in (("FRMF", "Yes"), ("DEMF", "No")):
        entity = {"LegalEntityId": company, "Name": company, "_lacks_project_groups": lacks}
        erp.create("LegalEntities", entity)
    ledger = Ledger.of(("finance_operations",), {"finance_operations": erp.rows()})
    assert {row["id"]: refusal_of(row) for row in ledger.subsidiaries} == {
        "FRMF": NO_GROUPS, "DEMF": None,
    }  # fmt: skip
    assert [row["company"] for row in ledger.subsidiaries] == ["frmf", "demf"]
