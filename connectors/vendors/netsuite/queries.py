"""The SuiteQL of every object: columns named as the Avro contracts name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Query:
    """A selection with its cursor. `stamp` is empty where the record has no time of change.

    The column itself is in the time zone of whoever asks: it is compared as `utc` only.
    `script_ids` name the record types in the delete log; empty where deletes are not logged.
    """

    columns: tuple[str, ...]
    source: str
    where: str = ""
    stamp: str = ""
    id: str = ""
    script_ids: tuple[str, ...] = ()

    @property
    def has_stamp(self) -> bool:
        """Whether rows can be selected by time of change."""
        return bool(self.stamp)

    @property
    def utc(self) -> str:
        """The stamp as the instant it is."""
        return in_utc(self.stamp)

    @property
    def labels(self) -> frozenset[str]:
        """Names of the columns in an answer."""
        return frozenset(column.rpartition(" AS ")[2] for column in self.columns)

    @property
    def stamp_label(self) -> str:
        """Name of the stamp in an answer."""
        return self.stamp.rpartition(".")[2]

    @property
    def id_label(self) -> str:
        """Name of the id in an answer."""
        return self.id.rpartition(".")[2]

    def text(self, condition: str) -> str:
        """Return the query narrowed by `condition`, in a unique total order.

        By the instant, as pages go on: local times come twice where clocks are put back.
        """
        conditions = " AND ".join(part for part in (self.where, condition) if part)
        where = f" WHERE {conditions}" if conditions else ""
        order = ", ".join(part for part in (self.utc if self.has_stamp else "", self.id) if part)
        return f"SELECT {', '.join(self.columns)} FROM {self.source}{where} ORDER BY {order}"  # noqa: S608


_CURRENCY: Final = "cur.symbol AS currency"
"""Records hold the internal id of a currency; its symbol is the ISO code."""

STAMP_MASK: Final = "YYYY-MM-DD HH24:MI:SS"


def in_utc(column: str) -> str:
    """A date-time column in UTC."""
    return f"SYS_EXTRACT_UTC({column})"


def _stamp(alias: str) -> str:
    return f"{shown_in_utc(f'{alias}.lastmodifieddate')} AS lastmodifieddate"


def shown_in_utc(column: str) -> str:
    """A date-time column as text, to the second."""
    return f"TO_CHAR({in_utc(column)}, '{STAMP_MASK}')"


def _date(alias: str, column: str) -> str:
    return f"TO_CHAR({alias}.{column}, 'YYYY-MM-DD') AS {column}"


def _seconds(column: str) -> tuple[str, str]:
    """Hours as whole seconds, and at two digits: 50 minutes have more digits than any contract."""
    name = column.rpartition(".")[2]
    return f"ROUND({column} * 3600) AS seconds", f"ROUND({column}, 2) AS {name}"


def _join_currency(alias: str) -> str:
    return f" LEFT JOIN currency cur ON cur.id = {alias}.currency"


def _plain(alias: str, *columns: str) -> tuple[str, ...]:
    return tuple(f"{alias}.{column} AS {column}" for column in columns)


QUERIES: Final[Mapping[str, Query]] = {
    "subsidiary": Query(
        columns=(
            *_plain("s", "id", "name", "country", "custrecord_psa_tax_code", "isinactive"),
            _CURRENCY,
        ),
        source=f"subsidiary s{_join_currency('s')}",
        id="s.id",
    ),
    "customer": Query(
        columns=(
            *_plain("c", "id", "entityid", "companyname", "externalid", "country"),
            *_plain("c", "vatregnumber", "isinactive"),
            _CURRENCY,
            _stamp("c"),
        ),
        source=f"customer c{_join_currency('c')}",
        stamp="c.lastmodifieddate",
        id="c.id",
        script_ids=("customer",),
    ),
    "project": Query(
        columns=(
            *_plain("j", "id", "entityid", "companyname", "externalid", "subsidiary"),
            _CURRENCY,
            "c.externalid AS customer_externalid",
            _date("j", "startdate"),
            "j.custentity_psa_billing_type AS billing_type",
            *_plain("j", "custentity_psa_tax_code", "custentity_psa_service_lines"),
            *_plain("j", "custentity_psa_contract_value", "custentity_psa_budget_hours"),
            *_plain("j", "estimatedcost", "estimatedrevenue", "custentity_psa_budget_currency"),
            *_plain("j", "custentity_psa_correlation_id"),
            _stamp("j"),
        ),
        source=f"job j LEFT JOIN customer c ON c.id = j.parent{_join_currency('j')}",
        stamp="j.lastmodifieddate",
        id="j.id",
        script_ids=("job",),
    ),
    "time_bill": Query(
        columns=(
            *_plain("b", "id", "externalid"),
            "j.externalid AS job_externalid",
            _date("b", "trandate"),
            *_seconds("b.hours"),
            *_plain("b", "rate", "isbillable", "custcol_psa_time_entry"),
            "b.custcol_psa_currency AS currency",
            *_plain("b", "custcol_psa_project", "custcol_psa_correlation_id"),
            _stamp("b"),
        ),
        source="timebill b LEFT JOIN job j ON j.id = b.customer",
        where="b.timetype = 'A'",  # done, not planned
        stamp="b.lastmodifieddate",
        id="b.id",
        script_ids=("timebill",),
    ),
}

INVOICE_HEADERS: Final = Query(
    columns=("t.id AS id", _stamp("t")),
    source="transaction t",
    where="t.type IN ('CustInvc', 'CustCred')",
    stamp="t.lastmodifieddate",
    id="t.id",
    script_ids=("invoice", "creditmemo"),
)

_NOT_SOLD: Final = ("Subtotal", "Group", "EndGroup", "Description")
"""Item types of lines that repeat, group or comment what other lines say."""

# A checkbox that was never set is null. `createdfrom` is known on the main line alone.
INVOICE_LINES: Final = Query(
    columns=(
        "t.id || '-' || l.id AS id",
        "t.id AS transaction",
        "l.linesequencenumber AS line",
        *_plain("t", "type", "tranid"),
        _date("t", "trandate"),
        *_plain("t", "status", "approvalstatus", "voided"),
        "m.createdfrom AS createdfrom",
        "c.externalid AS customer_externalid",
        "j.externalid AS job_externalid",
        _CURRENCY,
        *_seconds("l.quantity"),
        *_plain("l", "itemtype", "foreignamount", "netamount"),
        *_plain("l", "custcol_psa_time_entry", "custcol_psa_project"),
        _stamp("t"),
    ),
    source=(
        "transaction t JOIN transactionline l ON l.transaction = t.id"
        " LEFT JOIN transactionline m ON m.transaction = t.id AND m.mainline = 'T'"
        " LEFT JOIN customer c ON c.id = t.entity LEFT JOIN job j ON j.id = l.entity"
        f"{_join_currency('t')}"
    ),
    where=(
        "l.mainline = 'F' AND NVL(l.taxline, 'F') = 'F' AND NVL(l.iscogs, 'F') = 'F'"
        f" AND NVL(l.itemtype, '-') NOT IN ({', '.join(map(repr, _NOT_SOLD))})"
    ),
    id="t.id, l.id",
)
