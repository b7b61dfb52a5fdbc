"""The SuiteQL of every object: columns named as the Avro contracts name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Query:
    """A selection with its cursor. `stamp` is empty where the record has no time of change.

    `script_id` names the record type in the delete log; empty where deletes are not logged.
    """

    columns: tuple[str, ...]
    source: str
    where: str = ""
    stamp: str = ""
    id: str = ""
    script_id: str = ""

    @property
    def has_stamp(self) -> bool:
        """Whether rows can be selected by time of change."""
        return bool(self.stamp)

    @property
    def stamp_label(self) -> str:
        """Name of the stamp in an answer."""
        return self.stamp.rpartition(".")[2]

    @property
    def id_label(self) -> str:
        """Name of the id in an answer."""
        return self.id.rpartition(".")[2]

    def text(self, condition: str) -> str:
        """Return the query narrowed by `condition`, in a unique total order."""
        conditions = " AND ".join(part for part in (self.where, condition) if part)
        where = f" WHERE {conditions}" if conditions else ""
        order = ", ".join(part for part in (self.stamp, self.id) if part)
        return f"SELECT {', '.join(self.columns)} FROM {self.source}{where} ORDER BY {order}"  # noqa: S608


def _stamp(alias: str) -> str:
    return f"TO_CHAR({alias}.lastmodifieddate, 'YYYY-MM-DD HH24:MI:SS') AS lastmodifieddate"


def _date(alias: str, column: str) -> str:
    return f"TO_CHAR({alias}.{column}, 'YYYY-MM-DD') AS {column}"


def _plain(alias: str, *columns: str) -> tuple[str, ...]:
    return tuple(f"{alias}.{column} AS {column}" for column in columns)


QUERIES: Final[Mapping[str, Query]] = {
    "subsidiary": Query(
        columns=_plain(
            "s", "id", "name", "country", "currency", "custrecord_psa_tax_code", "isinactive"
        ),
        source="subsidiary s",
        id="s.id",
    ),
    "customer": Query(
        columns=(
            *_plain("c", "id", "entityid", "companyname", "externalid", "country", "currency"),
            *_plain("c", "vatregnumber", "isinactive"),
            _stamp("c"),
        ),
        source="customer c",
        stamp="c.lastmodifieddate",
        id="c.id",
        script_id="customer",
    ),
    "project": Query(
        columns=(
            *_plain("j", "id", "entityid", "companyname", "externalid", "subsidiary", "currency"),
            "c.externalid AS customer_externalid",
            _date("j", "startdate"),
            "j.custentity_psa_billing_type AS billing_type",
            *_plain("j", "custentity_psa_tax_code", "custentity_psa_service_lines"),
            *_plain("j", "custentity_psa_contract_value", "custentity_psa_budget_hours"),
            *_plain("j", "estimatedcost", "estimatedrevenue", "custentity_psa_budget_currency"),
            *_plain("j", "custentity_psa_correlation_id"),
            _stamp("j"),
        ),
        source="job j LEFT JOIN customer c ON c.id = j.parent",
        stamp="j.lastmodifieddate",
        id="j.id",
        script_id="job",
    ),
    "time_bill": Query(
        columns=(
            *_plain("b", "id", "externalid"),
            "j.externalid AS job_externalid",
            _date("b", "trandate"),
            *_plain("b", "hours", "rate", "currency", "custcol_psa_time_entry"),
            *_plain("b", "custcol_psa_project", "custcol_psa_correlation_id"),
            _stamp("b"),
        ),
        source="timebill b LEFT JOIN job j ON j.id = b.job",
        stamp="b.lastmodifieddate",
        id="b.id",
        script_id="timebill",
    ),
}

INVOICE_HEADERS: Final = Query(
    columns=("t.id AS id", _stamp("t")),
    source="transaction t",
    where="t.type = 'CustInvc'",
    stamp="t.lastmodifieddate",
    id="t.id",
    script_id="invoice",
)

INVOICE_LINES: Final = Query(
    columns=(
        "t.id || '-' || l.id AS id",
        "t.id AS transaction",
        "l.linesequencenumber AS line",
        "t.tranid AS tranid",
        _date("t", "trandate"),
        "t.status AS status",
        "c.externalid AS customer_externalid",
        "j.externalid AS job_externalid",
        "t.currency AS currency",
        *_plain("l", "quantity", "netamount", "custcol_psa_time_entry", "custcol_psa_project"),
        _stamp("t"),
    ),
    source=(
        "transaction t JOIN transactionline l ON l.transaction = t.id"
        " LEFT JOIN customer c ON c.id = t.entity LEFT JOIN job j ON j.id = l.entity"
    ),
    where="l.mainline = 'F'",
    id="t.id, l.id",
)
