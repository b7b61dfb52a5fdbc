"""What the ERPs hold, whichever they are: their rows in one form, each with its `erp`.

The form is NetSuite's. Of a legal entity: `id`, `name`, `country`, `currency` (ISO), `isinactive`
(T or F), `custrecord_psa_tax_code`, and `needs_tax_code`: whether a project is refused without. One
that refuses projects for anything else has a `refusal`: its words and the field. Where each legal
entity has customers of its own, both have a `company`. Of customers, jobs and time bills:
`externalid` is the id that psastream gave them. Of a transaction: `type` (CustInvc, CustCred),
`status` (A open, B paid, V void). Its lines are signed as the ledger: what is sold is negative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self

Row = Mapping[str, Any]
Rows = tuple[Row, ...]
Tables = Mapping[str, Iterable[Row]]

NO_DAY: Final = "0001-01-01"
SERIES_CLOSED: Final = (
    "You may not enter numbers manually. If you want to enter numbers manually, please activate"
    " Manual Nos. in No. Series JOB."
)
NO_GROUPS: Final = (
    "Warning: The value 'TM' in field 'ProjectGroup' is not found in the related table 'Project"
    " groups'.; Warning: validateField failed on field 'ProjProjectEntity.ProjectGroup'.",
    "ProjectGroup",
)
STATUSES: Final = {"Open": "A", "Paid": "B", "Canceled": "V", "Corrective": "V"}


@dataclass(frozen=True, slots=True)
class Ledger:
    """The rows of one ERP, or of several."""

    subsidiaries: Rows = ()
    customers: Rows = ()
    jobs: Rows = ()
    time_bills: Rows = ()
    invoices: Rows = ()
    invoice_lines: Rows = ()

    @classmethod
    def of(cls, erps: Sequence[str], vendors: Mapping[str, Tables]) -> Self:
        """Read the books of several ERPs as one."""
        ledgers = [READ[erp](vendors[erp]) for erp in erps]
        return cls(
            **{
                field.name: tuple(row for each in ledgers for row in getattr(each, field.name))
                for field in fields(cls)
            }
        )


def of_netsuite(tables: Tables) -> Ledger:
    """Read the tables of SuiteQL."""
    symbols = {row["id"]: row["symbol"] for row in tables["currency"]}

    def rows(table: str) -> Rows:
        return tuple({**row, "erp": "netsuite"} for row in tables[table])

    def priced(table: str) -> Rows:
        """With the ISO symbol of the currency in place of its internal id."""
        return tuple({**row, "currency": symbols.get(row["currency"])} for row in rows(table))

    return Ledger(
        subsidiaries=tuple({**row, "needs_tax_code": True} for row in priced("subsidiary")),
        customers=priced("customer"),
        jobs=priced("job"),
        time_bills=rows("timebill"),
        invoices=priced("transaction"),
        invoice_lines=rows("transactionline"),
    )


def of_business_central(tables: Tables) -> Ledger:
    """Read the entity sets of its companies."""
    customers = {(row["company"], row["number"]): row["id"] for row in tables["customers"]}
    jobs = {(row["company"], row["number"]): row["id"] for row in tables["jobs"]}
    invoices = [*tables["salesInvoices"], *tables["salesCreditMemos"]]
    credited = {row["id"] for row in tables["salesCreditMemos"]}
    lines = [*tables["postedSalesInvoiceLines"], *tables["postedSalesCreditMemoLines"]]

    def signed(line: Row, name: str) -> Any:
        return line[name] if line["documentId"] in credited else -line[name]

    return Ledger(
        subsidiaries=tuple(
            {
                "erp": "business_central",
                "id": row["id"],
                "company": row["id"],
                "name": row["displayName"],
                "country": row["country"],
                "currency": row["currencyCode"],
                "custrecord_psa_tax_code": None,
                "needs_tax_code": False,
                "refusal": (SERIES_CLOSED, None) if row["_project_series_is_closed"] else None,
                "isinactive": "F",
            }
            for row in tables["companies"]
        ),
        customers=tuple(
            {
                "erp": "business_central",
                "id": row["id"],
                "company": row["company"],
                "externalid": row["number"].lower(),
                "companyname": row["displayName"],
                "country": row["country"],
                "currency": row["currencyCode"],
                "vatregnumber": row["taxRegistrationNumber"] or None,
            }
            for row in tables["customers"]
        ),
        jobs=tuple(
            {
                "erp": "business_central",
                "id": row["id"],
                "externalid": row["number"].lower(),
                "companyname": row["description"],
                "parent": customers.get((row["company"], row["billToCustomerNumber"])),
                "subsidiary": row["company"],
                "currency": row["currencyCode"],
                "startdate": None if row["startingDate"] == NO_DAY else row["startingDate"],
                "custentity_psa_billing_type": row["psaBillingType"] or None,
                "custentity_psa_tax_code": row["psaTaxCode"] or None,
                "custentity_psa_service_lines": row["psaServiceLines"] or None,
                "custentity_psa_contract_value": row["psaContractValue"],
                "custentity_psa_budget_hours": _budget(row, "psaBudgetHours"),
                "estimatedcost": _budget(row, "psaBudgetCost"),
                "estimatedrevenue": _budget(row, "psaBudgetRevenue"),
                "custentity_psa_budget_currency": row["psaBudgetCurrency"] or None,
            }
            for row in tables["jobs"]
        ),
        time_bills=tuple(
            {
                "erp": "business_central",
                "id": row["id"],
                "externalid": row["documentNumber"].lower(),
                "customer": jobs.get((row["company"], row["jobNumber"])),
                "trandate": row["planningDate"],
                "hours": row["quantity"],
                "rate": row["unitPrice"],
                "custcol_psa_currency": row["currencyCode"],
                "custcol_psa_time_entry": row["psaTimeEntryId"] or None,
                "custcol_psa_project": row["psaProjectRef"] or None,
            }
            for row in tables["jobPlanningLines"]
        ),
        invoices=tuple(
            {
                "erp": "business_central",
                "id": row["id"],
                "type": "CustCred" if row["id"] in credited else "CustInvc",
                "status": STATUSES[row["status"]],
                "currency": row["currencyCode"],
            }
            for row in invoices
        ),
        invoice_lines=tuple(
            {
                "erp": "business_central",
                "id": row["id"],
                "transaction": row["documentId"],
                "mainline": "F",
                "taxline": "F",
                "quantity": signed(row, "quantity"),
                "foreignamount": signed(row, "amount"),
                "timebill": row["_planning_line"],
                "custcol_psa_time_entry": row["psaTimeEntryId"] or None,
                "custcol_psa_project": row["psaProjectRef"] or None,
            }
            for row in lines
        ),
    )


def of_finance_operations(tables: Tables) -> Ledger:
    """Read the entity sets of its companies. An id is a company and a number, in small letters."""
    ledgers = {row["LegalEntityId"]: row["AccountingCurrency"] for row in tables["Ledgers"]}
    customers = {
        _key(row, "CustomerAccount"): _id(row, "CustomerAccount") for row in tables["CustomersV3"]
    }
    projects = {_key(row, "ProjectID"): _id(row, "ProjectID") for row in tables["Projects"]}
    lines = list(tables["PsaProjectInvoiceLines"])
    erp = {"erp": "finance_operations"}
    return Ledger(
        subsidiaries=tuple(
            {
                **erp,
                "id": row["LegalEntityId"].upper(),
                "company": row["LegalEntityId"].lower(),
                "name": row["Name"],
                "country": row["AddressCountryRegionISOCode"],
                "currency": ledgers.get(row["LegalEntityId"]),
                "custrecord_psa_tax_code": None,
                "needs_tax_code": False,
                "refusal": NO_GROUPS if row["_lacks_project_groups"] == "Yes" else None,
                "isinactive": "F",
            }
            for row in tables["LegalEntities"]
        ),
        customers=tuple(
            {
                **erp,
                "id": _id(row, "CustomerAccount"),
                "company": row["dataAreaId"],
                "externalid": row["CustomerAccount"].lower(),
                "companyname": row["OrganizationName"],
                "country": row["AddressCountryRegionISOCode"],
                "currency": row["SalesCurrencyCode"],
                "vatregnumber": row["TaxExemptNumber"] or None,
            }
            for row in tables["CustomersV3"]
        ),
        jobs=tuple(
            {
                **erp,
                "id": _id(row, "ProjectID"),
                "externalid": row["ProjectID"].lower(),
                "companyname": row["ProjectName"],
                "parent": customers.get(_key(row, "CustomerAccount")),
                "subsidiary": row["dataAreaId"].upper(),
                "currency": row["PsaStreamCurrency"],
                "startdate": _day(row["ProjectedStartDate"]),
                "custentity_psa_billing_type": row["PsaStreamBillingType"] or None,
                "custentity_psa_tax_code": row["PsaStreamTaxCode"] or None,
                "custentity_psa_service_lines": row["PsaStreamServiceLines"] or None,
                "custentity_psa_contract_value": row["PsaStreamContractValue"],
                "custentity_psa_budget_hours": _planned(row, "PsaStreamBudgetHours"),
                "estimatedcost": _planned(row, "PsaStreamBudgetCost"),
                "estimatedrevenue": _planned(row, "PsaStreamBudgetRevenue"),
                "custentity_psa_budget_currency": row["PsaStreamBudgetCurrency"] or None,
            }
            for row in tables["Projects"]
        ),
        time_bills=tuple(
            {
                **erp,
                "id": row["id"],
                "externalid": row["PsaStreamTimeBillId"].lower(),
                "customer": projects.get(_key(row, "ProjectID")),
                "trandate": _day(row["ProjectDate"]),
                "hours": row["Hours"],
                "rate": row["SalesPrice"],
                "custcol_psa_currency": row["CurrencyId"],
                "custcol_psa_time_entry": row["PsaStreamTimeEntryId"] or None,
                "custcol_psa_project": row["PsaStreamProjectRef"] or None,
            }
            for row in tables["JournalTrans"]
        ),
        invoices=tuple(
            {
                **erp,
                "id": number,
                "type": "CustCred" if is_credit else "CustInvc",
                "status": "A",
                "currency": currency,
            }
            for number, currency, is_credit in dict.fromkeys(
                (line["ProjInvoiceId"], line["CurrencyId"], line["LineAmount"] < 0)
                for line in lines
            )
        ),
        invoice_lines=tuple(
            {
                **erp,
                "id": row["id"],
                "transaction": row["ProjInvoiceId"],
                "mainline": "F",
                "taxline": "F",
                "quantity": -row["Qty"],
                "foreignamount": -row["LineAmount"],
                "timebill": row["_line"],
                "custcol_psa_time_entry": row["PsaStreamTimeEntryId"] or None,
                "custcol_psa_project": row["PsaStreamProjectRef"] or None,
            }
            for row in lines
        ),
    )


def _id(row: Row, name: str) -> str:
    return f"{row['dataAreaId']},{row[name]}".lower()


def _key(row: Row, name: str) -> tuple[str, str]:
    return row["dataAreaId"], row[name].lower()


def _day(text: str) -> str | None:
    return None if text.startswith("1900-01-01") else text[:10]


def _planned(row: Row, name: str) -> Any:
    return row[name] if row["PsaStreamHasBudget"] == "Yes" else None


def _budget(row: Row, name: str) -> Any:
    return row[name] if row["psaHasBudget"] else None


READ: Final[Mapping[str, Callable[[Tables], Ledger]]] = {
    "netsuite": of_netsuite,
    "business_central": of_business_central,
    "finance_operations": of_finance_operations,
}
"""By the name of the system."""
