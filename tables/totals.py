"""Running totals of the project table: margin, utilization partials, billing status.

Contributions of a chunk are added up here first and each total is then read, changed, written
and published once. Totals are packed integers, time in 64 bits and money in 128: seconds, and
undivided money of `tables.hours.MONEY_UNITS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from struct import Struct
from typing import Final

import polars as pl

from schemas.exact import half_even, hundredths_of_hours
from tables import contract_cap
from tables.addresses import Addresses
from tables.contract import Contract, Fees, Worked
from tables.documents import Documents
from tables.effects import EmitColumns, Outbox, instant
from tables.hours import MONEY_UNITS, Contributions, period_text, week_text
from tables.people import Person
from tables.project_document import Standing

MARGIN_TOPIC: Final = "psa.metric.project_margin"
MARGIN_VARIANT: Final = "actual_approved"
BILLING_TOPIC: Final = "psa.status.billing"
PARTIAL_TOPIC: Final = "psa.internal.partial"

_MONEY_DIGITS: Final = 6
_MONEY_UNITS_A_MICRO: Final = MONEY_UNITS // 10**_MONEY_DIGITS
_MARGIN: Final = Struct(">qqQqQqQqq")
"""Seconds; time at its rates, billable expenses and cost; version, source_position."""
_UTILIZATION: Final = Struct(">qq")  # billable seconds, total seconds
_BILLING: Final = Struct(">qqQq")  # seconds, amount, entries
_NOTHING: Final = (0,) * 6
_LOW_BITS: Final = 2**64 - 1
_RATIO: Final = Decimal("0.000001")

Amounts = tuple[int, ...]


class Totals:
    """What one chunk adds to the totals of a partition."""

    def __init__(self, documents: Documents, outbox: Outbox, source: str) -> None:
        self._documents = documents
        self._outbox = outbox
        self._source = source
        self._addresses = Addresses(documents)
        self._margin: dict[str, Amounts] = {}
        self._positions: dict[str, int] = {}
        self._republished: set[str] = set()  # projects
        self._reassigned: set[str] = set()  # addresses
        self._utilization: dict[str, Amounts] = {}
        self._billing: dict[str, Amounts] = {}

    def add(self, contributions: Contributions) -> None:
        """Take in contributions of time entries."""
        for project, period, currency, *of_time, cost, position in contributions.margin.iter_rows():
            key = f"{project}|{period_text(period)}|{currency}"
            self.add_margin(key, (*of_time, 0, cost), position)
        for resource, week, *amounts in contributions.utilization.iter_rows():
            _plus(self._utilization, f"{resource}|{week_text(week)}", tuple(amounts))
        for project, currency, state, *amounts in contributions.billing.iter_rows():
            self.add_billing((project, currency, state), tuple(amounts))

    def add_billing(self, key: tuple[str, str, str], amounts: Amounts) -> None:
        """Add (seconds, money in `MONEY_UNITS`, entries) to a source project, currency, state."""
        _plus(self._billing, "|".join(key), amounts)

    def add_margin(self, key: str, amounts: Amounts, source_position: int) -> None:
        """Add to `project_ref|period|currency`.

        `amounts`: seconds, time at its rates, billable expenses and cost in `MONEY_UNITS`.
        """
        _plus(self._margin, key, amounts)
        self._positions[key] = max(self._positions.get(key, 0), source_position)

    def republish(self, project_ref: str) -> None:
        """Publish all totals of a project again: its canonical id or its contract has changed."""
        self._republished.add(project_ref)
        for key in self._documents.keys(f"m:{project_ref}|"):
            self.add_margin(key.removeprefix("m:"), (0, 0, 0, 0), 0)
        for key in self._documents.keys(f"b:{project_ref}|"):
            _plus(self._billing, key.removeprefix("b:"), (0, 0, 0))

    def reassign(self, row: str, former: Person | None, now: Person | None) -> set[str]:
        """Publish the hours of addresses again that a change of a person gives to another one.

        Returns those addresses.
        """
        addresses = self._addresses.reassign(row, former, now)
        self._reassigned |= addresses
        return addresses

    def owner(self, address: str) -> str | None:
        """Return the person whose the hours of an address are at present."""
        return self._addresses.present_owner(address)

    def settle(self, standings: Mapping[str, Standing], timestamp_ms: int) -> None:
        """Write and publish every total the chunk changed; `standings` of `project_refs`."""
        if self._margin:
            self._settle_margin(standings, timestamp_ms)
        if self._billing:
            self._settle_billing(standings, timestamp_ms)
        self._settle_caps(standings, timestamp_ms)
        self._addresses.settle()
        for address in sorted(self._reassigned):
            for key in self._documents.keys(f"u:{address}|"):
                _plus(self._utilization, key.removeprefix("u:"), (0, 0))
        if self._utilization:
            self._settle_utilization()

    def project_refs(self) -> set[str]:
        """Return the source projects whose totals, or whose contract, the chunk changes."""
        return {
            key.partition("|")[0] for key in (*self._margin, *self._billing)
        } | self._republished

    def _settle_margin(self, standings: Mapping[str, Standing], timestamp_ms: int) -> None:
        rows, keys, removed = [], [], []
        fees = self._fees(standings)
        for key, amounts, stored in self._stored("m:", self._margin):
            old = _unpack_margin(stored) if stored else _NOTHING
            seconds, charged, expenses, cost = _sum(old[:4], amounts)
            version, position = old[4] + 1, max(old[5], self._positions[key])
            # The version outlives an empty total, so that readers never see it fall.
            money = (*_halves(charged), *_halves(expenses), *_halves(cost))
            self._documents.put_raw(f"m:{key}", _MARGIN.pack(seconds, *money, version, position))
            fee, reason = fees.get(key, Fees(charged))
            if not any((seconds, charged, expenses, cost, fee)):
                removed.append(key)
                continue
            keys.append(key)
            project, period, currency = key.split("|")
            ids = standings[project].project_id or project, project, period, currency
            revenue = None if fee is None else fee + expenses
            rows.append((*ids, seconds, revenue, reason, cost, version, position))
        schema = {
            **dict.fromkeys(("project_id", "project_ref", "period", "currency"), pl.String()),
            "seconds": pl.Int64(),
            "revenue": pl.Int128(),
            "revenue_reason": pl.String(),
            "cost": pl.Int128(),
            **dict.fromkeys(("version", "source_position"), pl.Int64()),
        }
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        exact_margin = frame.select(pl.col("revenue") - pl.col("cost")).to_series()
        earned, spent = _micros("revenue"), _micros("cost")
        frame = frame.select(
            "project_id",
            "project_ref",
            "period",
            "currency",
            pl.lit(MARGIN_VARIANT).alias("variant"),
            _hours("seconds").alias("hours"),
            "seconds",
            _as_decimal(earned, 38, _MONEY_DIGITS).alias("revenue"),
            "revenue_reason",
            _as_decimal(spent, 38, _MONEY_DIGITS).alias("cost"),
            # Of the two as they are published, so that a row adds up.
            _as_decimal(earned - spent, 38, _MONEY_DIGITS).alias("margin"),
            _ratios("margin_ratio", exact_margin, frame["revenue"]),
            "version",
            "source_position",
            pl.lit(instant(timestamp_ms)).cast(pl.Datetime("ms", "UTC")).alias("as_of"),
        )
        self._publish(MARGIN_TOPIC, keys, frame, removed)

    def _fees(self, standings: Mapping[str, Standing]) -> dict[str, Fees]:
        """Return the fees of each month of changed projects whose contract spreads them.

        A month may move the fees of others: those go out as well.
        """
        found: dict[str, Fees] = {}
        touched: dict[str, set[str]] = {}
        for key in self._margin:
            touched.setdefault(key.partition("|")[0], set()).add(key)
        for project in sorted(touched):
            contract = standings[project].contract
            if contract.rule.fees is None:
                continue
            names = self._documents.keys(f"m:{project}|")
            touched[project] |= {name.removeprefix("m:") for name in names}
            changes = {key: self._margin.get(key, _NOTHING[:4]) for key in touched[project]}
            before: dict[tuple[str, str], Worked] = {}
            after: dict[tuple[str, str], Worked] = {}
            for key, amounts, stored in self._stored("m:", changes):
                _, month, currency = key.split("|")
                old = _unpack_margin(stored)[:4] if stored else _NOTHING[:4]
                before[month, currency] = Worked(*old[:2])
                after[month, currency] = Worked(*_sum(old, amounts)[:2])
            former = {} if project in self._republished else contract.revenue(before)
            for month_and_currency, fees in contract.revenue(after).items():
                key = "|".join((project, *month_and_currency))
                found[key] = fees
                if fees != former.get(month_and_currency, Fees(0)) and key not in self._margin:
                    self.add_margin(key, _NOTHING[:4], 0)
        return found

    def _settle_billing(self, standings: Mapping[str, Standing], timestamp_ms: int) -> None:
        rows, keys, removed = [], [], []
        for key, amounts, stored in self._stored("b:", self._billing):
            total = _sum(_unpack_billing(stored) if stored else (0, 0, 0), amounts)
            if not any(total):
                self._documents.delete(f"b:{key}")
                removed.append(key)
                continue
            seconds, amount, entries = total
            self._documents.put_raw(f"b:{key}", _BILLING.pack(seconds, *_halves(amount), entries))
            keys.append(key)
            project, currency, state = key.split("|")
            rows.append((project, standings[project].project_id, currency, state, *total))
        schema = {
            **dict.fromkeys(("project_ref", "project_id", "currency", "state"), pl.String()),
            "seconds": pl.Int64(),
            "amount": pl.Int128(),
            "entries": pl.Int64(),
        }
        frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
            _hours("seconds").alias("hours"),
            _as_decimal(_micros("amount"), 38, _MONEY_DIGITS).alias("amount"),
            pl.lit(instant(timestamp_ms)).cast(pl.Datetime("ms", "UTC")).alias("as_of"),
        )
        self._publish(BILLING_TOPIC, keys, frame, removed)

    def _settle_caps(self, standings: Mapping[str, Standing], timestamp_ms: int) -> None:
        """Tell of capped contracts that are exceeded; last, for it reads the totals."""
        projects = sorted(self.project_refs())
        told = contract_cap.told(self._documents, projects)
        for project, before in zip(projects, told, strict=True):
            standing = standings[project]
            contract = standing.contract
            if before or contract.cap is not None or contract.fault is not None:
                billed = self._billed(project, contract)
                now = contract_cap.tell(
                    self._outbox, project, standing, billed, told=before, timestamp_ms=timestamp_ms
                )
                contract_cap.remember(self._documents, project, before, now)

    def _billed(self, project: str, contract: Contract) -> int:
        """Return what a capped contract bills in its currency, in `MONEY_UNITS`."""
        if contract.cap is None:
            return 0
        names = [f"b:{project}|{contract.currency}|{state}" for state in contract_cap.BILLED]
        stored = self._documents.raw_many(names)
        return sum(_unpack_billing(each)[1] for each in stored if each is not None)

    def _settle_utilization(self) -> None:
        changed = list(self._stored("u:", self._utilization))
        keys = [(address, week) for key, *_ in changed for address, _, week in [key.partition("|")]]
        rows: list[tuple[str, str, int, int]] = []  # person, address, …
        for (key, amounts, stored), (was, now) in zip(
            changed, self._addresses.owners(keys), strict=True
        ):
            billable, worked = _sum(_UTILIZATION.unpack(stored) if stored else (0, 0), amounts)
            if billable or worked:
                self._documents.put_raw(f"u:{key}", _UTILIZATION.pack(billable, worked))
            else:
                self._documents.delete(f"u:{key}")
            if was != now and stored:
                rows.append((was, key, 0, 0))
            rows.append((now, key, billable, worked))
        schema = {
            **dict.fromkeys(("person", "key"), pl.String()),
            **dict.fromkeys(("seconds", "total_seconds"), pl.Int64()),
        }
        address = pl.col("key").str.split("|").list.get(0)
        week = pl.col("key").str.split("|").list.get(1)
        frame = pl.DataFrame(rows, schema=schema, orient="row").select(
            pl.lit("utilization").alias("measure"),
            (pl.col("person") + "|" + week).alias("dimension"),
            # One partition may hold several addresses of a person.
            (pl.lit(f"{self._source}:") + address).alias("source"),
            _hours("seconds").alias("hours"),
            _hours("total_seconds").alias("total_hours"),
            "seconds",
            "total_seconds",
            pl.lit(None, dtype=pl.Int64).alias("count"),
            pl.lit(None, dtype=pl.Decimal(38, 6)).alias("amount"),
            pl.lit(None, dtype=pl.Decimal(38, 6)).alias("weighted_amount"),
        )
        names = frame.select(pl.concat_str("measure", "dimension", "source", separator="|"))
        # To the partition that holds the person.
        self._publish(
            PARTIAL_TOPIC, names.to_series().to_list(), frame, [], [row[0] for row in rows]
        )

    def _stored(
        self, prefix: str, changed: Mapping[str, Amounts]
    ) -> Iterable[tuple[str, Amounts, bytes | None]]:
        keys = sorted(changed)  # sums come in no particular order
        stored = self._documents.raw_many([f"{prefix}{key}" for key in keys])
        return zip(keys, (changed[key] for key in keys), stored, strict=True)

    def _publish(
        self,
        topic: str,
        keys: list[str],
        frame: pl.DataFrame,
        removed: list[str],
        routes: list[str] | None = None,
    ) -> None:
        if keys or removed:
            routes = keys if routes is None else routes
            self._outbox.columns.append(EmitColumns(topic, keys, routes, frame, removed))


def _plus(totals: dict[str, Amounts], key: str, amounts: Amounts) -> None:
    known = totals.get(key)
    totals[key] = amounts if known is None else _sum(known, amounts)


def _sum(left: Amounts, right: Amounts) -> Amounts:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def _as_decimal(unscaled: pl.Expr, precision: int, scale: int) -> pl.Expr:
    """Return unscaled integers as the decimals they stand for, exactly."""
    wide = unscaled.cast(pl.Decimal(38, scale)) / pl.lit(Decimal(10**scale))
    return wide.cast(pl.Decimal(precision, scale))


def _hours(seconds: str) -> pl.Expr:
    return _as_decimal(hundredths_of_hours(pl.col(seconds)), 18, 2)


def _micros(money: str) -> pl.Expr:
    """Return undivided money in millionths of the currency, half-even: the one division."""
    return half_even(pl.col(money), _MONEY_UNITS_A_MICRO)


def _halves(number: int) -> tuple[int, int]:
    """Return the high (signed) and the low 64 bits of a 128-bit integer."""
    return number >> 64, number & _LOW_BITS


def _whole(high: int, low: int) -> int:
    return (high << 64) | low


def _unpack_margin(stored: bytes) -> Amounts:
    seconds, *money, version, position = _MARGIN.unpack(stored)
    amounts = (_whole(*money[at : at + 2]) for at in (0, 2, 4))
    return seconds, *amounts, version, position


def _unpack_billing(stored: bytes) -> Amounts:
    seconds, high, low, entries = _BILLING.unpack(stored)
    return seconds, _whole(high, low), entries


def _ratios(name: str, parts: pl.Series, wholes: pl.Series) -> pl.Series:
    """Return part / whole, half-even at 6 digits; null where the whole is zero or not known."""
    values = [
        None if not whole else (Decimal(part) / Decimal(whole)).quantize(_RATIO)
        for part, whole in zip(parts, wholes, strict=True)
    ]
    return pl.Series(name, values, dtype=pl.Decimal(18, 6))
