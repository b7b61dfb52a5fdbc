"""Histories of canonical changes for property tests, and the feeder that plays them.

The domain is small on purpose: few ids and values meet often, so that moves, relinks, deletions
and coincidences are common. The feeder does what the normalizer does: positions and moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from schemas import identity
from schemas.topics import Route
from tests.support.catalogue import BY_NAME
from tests.support.oracle import rounded
from tests.support.topology import Topology

ACCOUNTS = tuple(f"salesforce:account:{n}" for n in range(3))
DEALS = tuple(f"salesforce:opportunity:{n}" for n in range(3))
CUSTOMERS = tuple(identity.customer_id(account) for account in ACCOUNTS)
ENGAGEMENTS = tuple(identity.engagement_id(deal) for deal in DEALS)
COUNTRIES = ("DE", "FR")
PROJECT_IDS = tuple(identity.project_id(e, c) for e in ENGAGEMENTS for c in COUNTRIES)
PSA_PROJECTS = tuple(f"inhouse:project:{n}" for n in range(4))
RM_PROJECTS = tuple(f"float:project:{n}" for n in range(4))
PEOPLE = tuple(f"float:person:{n}" for n in range(3))
RESOURCES = tuple(identity.resource_id(person) for person in PEOPLE)
ADDRESSES = tuple(identity.resource_id(f"{name}@example.com") for name in "ab")
REGIONS = ("float:region:1", "float:region:2")
ENTRIES = tuple(f"inhouse:time_entry:{n}" for n in range(4))
ERP = "netsuite"
OTHER_ERP = "odoo"  # of a firm that has two; its ids are those of the first, too
FIRST_DAY = date(2026, 12, 24)  # what follows crosses a month, a year and ISO week 2026-W53

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a canonical row. `record` None deletes it.

    `repeat`: deliver the version that many steps back again, instead of a new one.
    """

    entity: str
    id: str
    record: Record | None = None
    repeat: int | None = None


def _pick(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def _decimal(low: int, high: int, scale: int) -> st.SearchStrategy[Decimal]:
    factor = 10**scale
    return st.integers(low * factor, high * factor).map(lambda n: Decimal(n).scaleb(-scale))


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(strategy, strategy, st.none())


_days = st.integers(0, 15).map(lambda offset: FIRST_DAY + timedelta(days=offset))
_instants = _days.map(lambda day: datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
_week = st.lists(st.sampled_from([0, 0, 14_400, 28_800]), min_size=7, max_size=7)
_currency = _pick("EUR", "EUR", "USD")
_billing_type = _pick(
    *("fixed_fee", "fixed_fee", "capped", "milestone", "retainer", "non_billable"),
    *("time_and_materials", None, None),
)
_name = _pick("Acme", "Globex", None)
_project_id = _maybe(st.sampled_from(PROJECT_IDS))


def _row(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(fields)


def _project(system: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return _row(
        source_system=st.just(system),
        project_id=_project_id,
        name=_pick("Deal (DE)", "Deal (FR)", "x"),
        starts_on=_pick(FIRST_DAY, None),
        **fields,
    ).map(
        lambda row: {
            **row,
            "engagement_id": row["project_id"] and identity.engagement_of(row["project_id"]),
        }
    )


_customer = {
    "name": _name,
    "country_code": _pick("DE", "FR"),
    "currency": _currency,
    "tax_number": _pick("DE1", None),
    "is_active": _pick(True, True, False, None),
}
_bill = _row(
    time_entry_id=_maybe(st.sampled_from(ENTRIES)),
    project_ref=st.sampled_from(PSA_PROJECTS),
    project_id=_project_id,
    work_on=_days,
    hours=_decimal(0, 2, 0),
    bill_rate=_decimal(0, 2, 0),
    currency=_currency,
    is_billable=_pick(True, None, None, False),
    slot=_pick("", "", "", "#1"),  # the second bill of an entry follows a credit
)


# What a source counts in: hundredths of hours, minutes, seconds. Rows of before had no seconds.
_times = st.one_of(
    _decimal(0, 24, 2).map(lambda hours: {"hours": hours, "seconds": None}),
    _decimal(0, 2, 0).map(lambda hours: {"hours": hours, "seconds": int(hours * 3600)}),
    st.one_of(st.integers(-1_440, 1_440).map(lambda n: 60 * n), st.integers(-9_999, 9_999)).map(
        lambda seconds: {"hours": rounded(Fraction(seconds, 3600), 2), "seconds": seconds}
    ),
)


def _timed(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "time"} | row["time"]


def _signed(line: dict[str, Any]) -> dict[str, Any]:
    """A credit memo is negative, as the customer owes it."""
    sign = -1 if line["kind"] == "credit_memo" else 1
    return {**line, "hours": sign * line["hours"], "amount": sign * line["amount"]}


def _with_identity(bill: dict[str, Any]) -> dict[str, Any]:
    entry, slot = bill["time_entry_id"], bill["project_ref"] + bill["slot"]
    content = {name: value for name, value in bill.items() if name != "slot"}
    return {**content, "time_bill_id": entry and identity.time_bill_id(entry, slot)}


_Rows = list[tuple[tuple[str, ...], st.SearchStrategy[dict[str, Any]]]]
_RECORDS: dict[str, _Rows] = {
    "customer": [
        ((a,), _row(source_system=st.just("salesforce"), customer_id=st.just(c), **_customer))
        for a, c in zip(ACCOUNTS, CUSTOMERS, strict=True)
    ]
    + [  # accounts that were merged into others, one older and one younger than those
        (
            (f"salesforce:account:{n}",),
            _row(
                source_system=st.just("salesforce"),
                customer_id=st.sampled_from(CUSTOMERS),
                **_customer,
            ),
        )
        for n in (9, 10)
    ],
    "opportunity": [
        (
            (deal,),
            _row(
                engagement_id=st.just(engagement),
                customer_id=_maybe(st.sampled_from(CUSTOMERS)),
                name=st.just("Deal"),
                stage=_pick("won", "won", "proposed", "lost"),
                probability_ratio=_maybe(_decimal(0, 1, 6)),
                amount=_maybe(_decimal(0, 1000, 4)),
                currency=_maybe(_currency),
                starts_on=_pick(FIRST_DAY, None),
                billing_type=_billing_type,
            ),
        )
        for deal, engagement in zip(DEALS, ENGAGEMENTS, strict=True)
    ],
    "opportunity_line": [
        (
            tuple(f"salesforce:opportunity_line_item:{n}" for n in range(5)),
            _row(
                engagement_id=st.sampled_from(ENGAGEMENTS),
                service_line=_pick("advisory", "build", None),
                country_code=_maybe(st.sampled_from(COUNTRIES)),
                amount=_maybe(_decimal(0, 1000, 4)),
            ),
        )
    ],
    "legal_entity": [],
    "project": [
        (
            PSA_PROJECTS,
            _project("inhouse", status=_pick("active", "closed"), currency=_currency),
        ),
        (RM_PROJECTS, _project("float", status=st.just("active"))),
    ],
    "rate_card": [
        (
            (person,),
            _row(
                resource_id=st.just(resource),
                cost_rate=_maybe(_decimal(0, 99, 4)),
                cost_rates=st.one_of(
                    st.none(),
                    st.none(),
                    st.lists(
                        _row(starts_on=_days, rate=_maybe(_decimal(0, 99, 4))),
                        max_size=2,
                        unique_by=lambda each: each["starts_on"],
                    ),
                ),
                bill_rate=_maybe(_decimal(0, 99, 4)),
                currency=_maybe(_currency),
                source_at=_maybe(_instants),
            ),
        )
        for person, resource in zip(PEOPLE, RESOURCES, strict=True)
    ],
    "assignment": [
        (
            tuple(f"float:allocation:{n}" for n in range(4)),
            _row(
                project_ref=st.sampled_from(RM_PROJECTS),
                resource_ref=st.sampled_from(PEOPLE),
                starts_on=_days,
                ends_on=_days,
                hours_per_day=_decimal(0, 24, 2),
                seconds_per_day=st.one_of(st.none(), st.integers(0, 86_400)),
                status=_pick("approved", "completed", "tentative"),
                is_billable=_maybe(st.booleans()),
            ),
        )
    ],
    "time_entry": [
        (
            ENTRIES,
            _row(
                project_ref=st.sampled_from(PSA_PROJECTS),
                resource_id=st.sampled_from(ADDRESSES),
                work_on=_days,
                time=_times,
                bill_rate=_maybe(st.one_of(_decimal(0, 999, 4), _decimal(0, 2, 0))),
                cost_rate=_maybe(_decimal(0, 999, 4)),
                currency=_maybe(_currency),
                status=_pick("approved", "approved", "draft", "rejected"),
                is_billable=_pick(True, True, False),
            ).map(_timed),
        )
    ],
    "expense": [
        (
            tuple(f"inhouse:expense:{n}" for n in range(4)),
            _row(
                project_ref=st.sampled_from(PSA_PROJECTS),
                spent_on=_days,
                amount=_decimal(-99, 999, 4),
                currency=_currency,
                status=_pick("approved", "approved", "draft"),
                is_billable=_maybe(st.booleans()),
            ),
        )
    ],
    "time_bill": [],
    "invoice": [],
    "resource": [
        (
            (person,),
            _row(
                resource_id=st.just(resource),
                address_id=_maybe(st.sampled_from(ADDRESSES)),
                kind=_pick("employee", "employee", "contractor", "placeholder", None),
                work_hours=_maybe(st.lists(_decimal(0, 9, 2), min_size=7, max_size=7)),
                work_patterns=st.one_of(
                    st.none(),
                    st.lists(
                        _row(starts_on=_days, seconds=_week),
                        max_size=3,
                        unique_by=lambda each: each["starts_on"],
                    ),
                ),
                region_ref=_maybe(st.sampled_from(REGIONS)),
                starts_on=st.one_of(*[_days] * 15, st.none()),
                ends_on=_maybe(_days),
                is_active=st.booleans(),
                source_at=_maybe(_instants),
            ),
        )
        for person, resource in zip(PEOPLE, RESOURCES, strict=True)
    ],
    "absence": [
        (
            tuple(f"float:timeoff:{n}" for n in range(3)),
            _row(
                kind=st.just("leave"),
                resource_refs=st.lists(st.sampled_from(PEOPLE), max_size=3, unique=True),
                starts_on=_days,
                ends_on=_days,
                is_whole_day=_pick(True, False, None),
                seconds_per_day=_pick(None, 3600, 14_400),
                status=_pick("approved", "approved", "tentative", "rejected", None),
            ),
        ),
        (
            tuple(f"float:holiday:{n}" for n in range(2)),
            _row(
                kind=st.just("holiday"),
                region_ref=_maybe(st.sampled_from(REGIONS)),
                dates=st.lists(_days, max_size=2),
                status=st.just("approved"),
            ),
        ),
    ],
}
ENTITIES = tuple(_RECORDS)


def _records_of(erp: str) -> dict[str, _Rows]:
    """Return the rows of an ERP, by entity."""
    return {
        "customer": [
            (
                (f"{erp}:customer:{n}",),
                _row(
                    source_system=st.just(erp),
                    customer_id=_pick(c, CUSTOMERS[0], f"cus-{n}"),
                    **_customer,
                ),
            )
            for n, c in enumerate(CUSTOMERS)
        ],
        "legal_entity": [
            (
                tuple(f"{erp}:subsidiary:{n}" for n in range(3)),
                _row(
                    source_system=st.just(erp),
                    native_id=_pick("1", "2"),
                    country_code=st.sampled_from(COUNTRIES),
                    tax_code=_pick("VAT", None),
                    is_active=st.booleans(),
                ),
            )
        ],
        "project": [
            (
                tuple(f"{erp}:project:{n}" for n in range(4)),
                _project(
                    erp,
                    currency=_currency,
                    customer_id=st.sampled_from(CUSTOMERS),
                    legal_entity_id=_pick("1", None),
                    billing_type=_billing_type,
                    contract_value=_maybe(_decimal(0, 1000, 6)),
                    budget_hours=_maybe(_decimal(0, 9, 2)),
                    budget_currency=_pick("EUR", None),
                ),
            ),
        ],
        "time_bill": [
            (tuple(f"{erp}:time_bill:{n}" for n in range(4)), _bill.map(_with_identity)),
        ],
        "invoice": [
            (
                tuple(f"{erp}:invoice:{n}" for n in range(4)),
                _row(
                    status=_pick("open", "paid", "open", "void", "draft"),
                    kind=_pick("invoice", None, "credit_memo"),
                    project_ref=_pick(*PSA_PROJECTS, PSA_PROJECTS[0], None),
                    time_entry_id=_maybe(st.sampled_from(ENTRIES)),
                    hours=_decimal(0, 2, 0),
                    # Few amounts: credits of all that was invoiced must be common.
                    amount=_pick(*map(Decimal, ("0", "9.99", "9.99", "0.01"))),
                    currency=_currency,
                ).map(_signed),
            )
        ],
    }


_OF_ERPS = {erp: _records_of(erp) for erp in (ERP, OTHER_ERP)}
VERSIONED = ("time_entry", "expense")  # their tables refuse older positions


def changes(*entities: str, erps: Sequence[str] = (ERP,)) -> st.SearchStrategy[Change]:
    """Return single changes of these entities: mostly upserts, some deletions and repeats."""

    def of(entity: str) -> st.SearchStrategy[Change]:
        rows = [*_RECORDS[entity], *(row for erp in erps for row in _OF_ERPS[erp].get(entity, ()))]
        upserts = [
            st.builds(Change, st.just(entity), st.sampled_from(ids), record) for ids, record in rows
        ]
        ids = [each for some, _ in rows for each in some]
        other = st.builds(Change, st.just(entity), st.sampled_from(ids), st.none())
        again = st.builds(
            Change, st.just(entity), st.sampled_from(ids), st.none(), st.integers(0, 3)
        )
        return st.one_of(*upserts, *upserts, *upserts, *upserts, other, again)

    return st.one_of(*(of(entity) for entity in entities or ENTITIES))


class Feeder:
    """Plays changes into a topology as the normalizer would; remembers the final rows."""

    def __init__(self, topology: Topology, erps: tuple[str, ...] = (ERP,)) -> None:
        self.topology = topology
        self.erps = erps
        self.rows: dict[str, dict[str, dict[str, Any]]] = {}
        self.position = 0
        self._versions: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}

    def versions(self, topic: str, key: str) -> list[dict[str, Any]]:
        """Return the versions a row has had since it was there, in order."""
        return [row for _, row in self._versions.get((topic, key), [])]

    def feed(self, change: Change) -> None:
        """Play one change."""
        topic = f"psa.{change.entity}"
        if change.repeat is not None:
            self._repeat(topic, change)
        elif change.record is None:
            self.delete(topic, change.id)
        else:
            self.upsert(topic, change.id, change.record)

    def upsert(self, topic: str, key: str, record: Record) -> None:
        """Write a new version of a row; delete it under its former co-partition key."""
        self.position += 1
        row = {"id": key, **record}
        if topic != "psa.role":
            row["source_position"] = self.position
        route = self._route(topic, row)
        old = self.rows.get(topic, {}).get(key)
        if old is not None and self._route(topic, old) != route:
            self.topology.put(topic, key, None, self._route(topic, old))
        self.topology.put(topic, key, row, route)
        self.rows.setdefault(topic, {})[key] = row
        self._versions.setdefault((topic, key), []).append((route, row))

    def delete(self, topic: str, key: str) -> None:
        """Delete a row, if it is there."""
        row = self.rows.get(topic, {}).pop(key, None)
        if row is not None:
            self.topology.put(topic, key, None, self._route(topic, row))
            self._versions.pop((topic, key), None)

    def _repeat(self, topic: str, change: Change) -> None:
        """Deliver a version again: an older one where the table must refuse it."""
        row = self.rows.get(topic, {}).get(change.id)
        if row is None:
            return
        versions = self._versions[topic, change.id]
        back = min(change.repeat or 0, len(versions) - 1) if change.entity in VERSIONED else 0
        route, version = versions[-1 - back]
        if route == self._route(topic, row):
            self.topology.put(topic, change.id, version, route)

    @staticmethod
    def _route(topic: str, row: Record) -> str:
        definition = BY_NAME[topic]
        if definition.route is Route.BROADCAST:
            return ""
        return str(row.get(definition.route_field or "id") or row["id"])
