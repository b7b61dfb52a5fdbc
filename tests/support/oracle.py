"""What the tables must say, recomputed from the final canonical rows in plain Python.

Independent of `tables` and `streams` on purpose: dictionaries and `Decimal`, one definition a
measure, no increments. Slow is fine, wrong is not.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

from schemas.identity import project_id, time_bill_id

Row = Mapping[str, Any]
Table = dict[str, dict[str, Any]]
Versions = Callable[[str, str], list[dict[str, Any]]]
"""The versions a row of a topic has had, in order."""

MICRO = Decimal("0.000001")
ZERO = Decimal(0)
TINY = Fraction(1, 200)
"""By how many hours an ERP's line may differ from its time: half a hundredth."""
NO_CURRENCY = "XXX"
OUTPUTS = (
    "psa.metric.project_margin",
    "psa.metric.utilization",
    "psa.metric.pipeline_health",
    "psa.status.customer",
    "psa.status.project",
    "psa.status.assignment",
    "psa.status.billing",
)
NOT_COMPARED = ("version", "as_of", "source_position")


class Oracle:
    """Outputs and desired contents for canonical rows, given as topic → row id → row."""

    def __init__(
        self,
        rows: Mapping[str, Mapping[str, Row]],
        refused: Mapping[str, str] | None = None,
        versions: Versions | None = None,
        ordered_for: Mapping[str, tuple[str, str]] | None = None,
        bill_ids: Mapping[tuple[str, str, str], str] | None = None,
        *,
        erps: Sequence[str],
    ) -> None:
        self._rows = rows
        self._erps = erps
        self._billers: dict[str, str | None] = {}  # as computed before
        self._wanted: dict[str, list[Row]] | None = None
        self._ordered_for = ordered_for or {}
        """Canonical project id → ERP and legal entity of its last order."""
        self._bill_ids = bill_ids or {}
        """ERP, entry and source project → time bill in the last order."""
        self._versions = versions or (lambda topic, key: [rows[topic][key]])
        self._refused = refused or {}  # natural key → why an ERP refuses the last order of it

    def tables(self) -> dict[str, Table]:
        """Return every output table by topic and key, without the fields of NOT_COMPARED."""
        return {
            "psa.metric.project_margin": self.margins(),
            "psa.metric.utilization": self.utilization(),
            "psa.metric.pipeline_health": self.pipeline(),
            "psa.status.customer": self.customers(),
            "psa.status.project": self.projects(),
            "psa.status.assignment": self.assignments(),
            "psa.status.billing": self.billing(),
        }

    def of(self, entity: str) -> list[Row]:
        """Return the rows of a canonical topic, in order of their ids."""
        rows = self._rows.get(f"psa.{entity}", {})
        return [rows[key] for key in sorted(rows, key=_by_number)]

    def project_ref(self, reference: str) -> Row | None:
        """Return a source project."""
        return self._rows.get("psa.project", {}).get(reference)

    # -- hours and expenses -----------------------------------------------------------------

    def counted(self) -> Iterator[Row]:
        """Yield approved time entries of known projects."""
        for entry in self.of("time_entry"):
            if entry["status"] == "approved" and self.project_ref(entry["project_ref"]):
                yield entry

    def margins(self) -> Table:
        """Approved hours and expenses by source project, month and currency."""
        sums: dict[tuple[str, str, str], list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 4)
        for entry in self.counted():
            currency = entry["currency"] or NO_CURRENCY
            total = sums[entry["project_ref"], f"{entry['work_on']:%Y-%m}", currency]
            hours = worked(entry)
            total[0] += hours
            if entry["is_billable"] and self._is_hourly(entry["project_ref"]):
                total[3] += hours * Fraction(entry["bill_rate"] or 0)
            total[2] += hours * Fraction(entry["cost_rate"] or 0)
        for expense in self.of("expense"):
            if expense["status"] == "approved" and self.project_ref(expense["project_ref"]):
                month = f"{expense['spent_on']:%Y-%m}"
                total = sums[expense["project_ref"], month, expense["currency"]]
                total[1] += Fraction(expense["amount"] if expense["is_billable"] else 0)
                total[2] += Fraction(expense["amount"])
        fees = {reference: self.fees(reference, sums) for reference in {key[0] for key in sums}}
        for reference, (earned, _) in fees.items():
            for period, currency in earned:
                sums[reference, period, currency] += []  # months of fees have a row, too
        table: Table = {}
        for (reference, period, currency), (hours, expenses, cost, charged) in sums.items():
            earned, reason = fees[reference]
            fee = earned.get((period, currency), Fraction(0))
            if reason == "not_in_contract_currency":
                reason = reason if fee is None else None
            revenue = None if reason else expenses + (fee or 0)
            if not (hours == expenses == cost == charged == (fee or 0) == 0):
                project = self.project_ref(reference) or {}
                table[f"{reference}|{period}|{currency}"] = {
                    "project_id": project.get("project_id") or reference,
                    "project_ref": reference,
                    "period": period,
                    "currency": currency,
                    "variant": "actual_approved",
                    "hours": rounded(hours, 2),
                    "seconds": int(hours * 3600),
                    "revenue": None if revenue is None else rounded(revenue, 6),
                    "revenue_reason": reason,
                    "cost": rounded(cost, 6),
                    "margin": None if revenue is None else rounded(revenue, 6) - rounded(cost, 6),
                    "margin_ratio": None if revenue is None else _ratio(revenue - cost, revenue),
                }
        return table

    # -- contracts --------------------------------------------------------------------------

    def contract(self, reference: str) -> Row:
        """What was agreed for a source project: its deal's, the ERP's, or what its row says."""
        project = self.project_ref(reference) or {}
        identity = project.get("project_id")
        if identity is not None:
            deal = self._deal(identity.rpartition("-")[0])
            erp = self._in_erp(identity) or {}
            plan = self._plan_of(self._linked(identity, "float"))
            lines = self.wanted().get(identity)
            billing_type = (deal or {}).get("billing_type") or erp.get("billing_type")
            if billing_type:
                return {
                    "billing_type": billing_type,
                    "value": _sum(line["amount"] for line in lines)
                    if lines
                    else erp.get("contract_value"),
                    "currency": (deal or {}).get("currency") if lines else erp.get("currency"),
                    "budget": plan["hours"] if plan else erp.get("budget_hours"),
                }
        return {
            "billing_type": project.get("billing_type"),
            "value": project.get("contract_value"),
            "currency": project.get("currency"),
            "budget": project.get("budget_hours"),
        }

    def fees(
        self, reference: str, sums: Mapping[tuple[str, str, str], list[Fraction]]
    ) -> tuple[dict[tuple[str, str], Fraction | None], str | None]:
        """Return the fees of a project by month and currency, or why nobody knows them."""
        contract = self.contract(reference)
        own = {key[1:]: total for key, total in sums.items() if key[0] == reference}
        value, currency = Fraction(contract["value"] or 0), contract["currency"]
        kind, reason = contract["billing_type"], None
        months = sorted({month for month, _ in own})
        by_now: list[Fraction] = []
        found: dict[tuple[str, str], Fraction | None] = {}
        if kind in (None, "time_and_materials"):
            return {key: total[3] for key, total in own.items()}, None
        if kind not in ("fixed_fee", "milestone", "capped", "retainer", "non_billable"):
            reason = "unknown_billing_type"
        elif kind == "retainer":
            reason = "no_fee_schedule"
        elif kind != "non_billable" and self._negative(contract):
            reason = self._negative(contract)
        elif kind != "non_billable" and (value == 0 or currency is None):
            reason = "no_contract_currency" if value else "no_contract_value"
        elif kind == "capped":
            for key, total in own.items():
                found |= {key: None} if key[1] != currency and total[3] else {}
            by_now = [
                min(value, _upto(own, month, lambda key, total: total[3] * (key[1] == currency)))
                for month in months
            ]
            reason = "not_in_contract_currency"
        elif kind != "non_billable" and not contract["budget"]:
            reason = "no_budget"
        elif kind != "non_billable":
            for month in months:
                share = _upto(own, month, lambda _, total: total[0]) / Fraction(contract["budget"])
                by_now.append(Fraction(rounded(value * max(0, min(1, share)), 6)))
        steps = zip(months, by_now, [Fraction(0), *by_now], strict=False)
        found |= {(month, currency): now - before for month, now, before in steps}
        return found, reason

    @staticmethod
    def _negative(contract: Row) -> str | None:
        """Return which number of a fee is below zero, which is none to reckon with."""
        if contract["billing_type"] not in ("fixed_fee", "milestone", "capped"):
            return None
        if (contract["value"] or 0) < 0:
            return "negative_contract_value"
        is_spread = contract["billing_type"] != "capped"
        return "negative_budget" if is_spread and (contract["budget"] or 0) < 0 else None

    def impossible_contracts(self) -> dict[str, str]:
        """Return exception id → code of contracts with a value or a budget below zero."""
        codes = {row["id"]: self._negative(self.contract(row["id"])) for row in self.of("project")}
        return {f"billing:{key}": f"billing.{code}" for key, code in codes.items() if code}

    def _is_hourly(self, reference: str) -> bool:
        return self.contract(reference)["billing_type"] in (None, "time_and_materials", "capped")

    def is_billable(self, entry: Row) -> bool:
        """Whether the customer pays for an entry at all."""
        billing_type = self.contract(entry["project_ref"])["billing_type"]
        return bool(entry["is_billable"]) and billing_type != "non_billable"

    def utilization(self) -> Table:
        """Billable hours over the hours a person is there for, by person and ISO week."""
        sums: dict[tuple[str, str], list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 2)
        for entry in self.counted():
            year, week, _ = entry["work_on"].isocalendar()
            sunday = date.fromisocalendar(year, week, 7)
            person = self._owner(entry["resource_id"], sunday) or entry["resource_id"]
            total = sums[person, f"{year:04d}-W{week:02d}"]
            total[0] += worked(entry) if self.is_billable(entry) else 0
            total[1] += worked(entry)
        people = {row["resource_id"]: Days(self, row) for row in self.of("resource")}
        keys = {key for key, total in sums.items() if any(total)}
        for person, days in people.items():
            for offset in range(WEEKS):
                monday = LATEST_WEEK - timedelta(weeks=offset)
                year, week, _ = monday.isocalendar()
                if days.is_person and any(map(days.is_employed, week_of(monday))):
                    keys.add((person, f"{year:04d}-W{week:02d}"))
        table: Table = {}
        for person, week in keys:
            billable, total_hours = sums[person, week]
            available = None
            reason = "unknown_person"
            if person in people:
                monday = date.fromisocalendar(int(week[:4]), int(week[-2:]), 1)
                held = [people[person].capacity(day) for day in week_of(monday)]
                available = (
                    None if None in held else Fraction(sum(each or 0 for each in held), 3600)
                )
                reason = "no_availability" if available is not None else "unknown_hours"
            ratio = _ratio(billable, available or Fraction(0))
            table[f"{person}|{week}"] = {
                "resource_id": person,
                "iso_week": week,
                "variant": "billable_availability",
                "billable_hours": rounded(billable, 2),
                "total_hours": rounded(total_hours, 2),
                "billable_seconds": int(billable * 3600),
                "total_seconds": int(total_hours * 3600),
                "available_hours": None if available is None else rounded(available, 2),
                "utilization_ratio": ratio,
                "ratio_reason": reason if ratio is None else None,
            }
        return table

    def versions(self, topic: str, key: str) -> list[dict[str, Any]]:
        """Return the versions a row has had, in order."""
        return self._versions(topic, key)

    def _owner(self, address: str, day: date) -> str | None:
        """The person who has claimed an address last by a day, else the first one who will."""
        claims = []
        for row in self.of("resource"):
            versions = self.versions("psa.resource", row["id"])
            history = dated(versions, "address_id")
            for index, (starts_on, each) in enumerate(history):
                hired_on = spells(versions)[0][0]
                if each == address:
                    first = starts_on if index else hired_on or date.min
                    claims.append((first, row["id"], row["resource_id"]))
        by_then = [claim for claim in claims if claim[0] <= day]
        chosen = max(by_then) if by_then else min(claims, default=None)
        return chosen and chosen[2]

    def shared_addresses(self) -> set[str]:
        """Return the addresses that people employed at the same time have at present."""
        found = set()
        held: dict[str, list[tuple[date, date]]] = defaultdict(list)
        for row in self.of("resource"):
            versions = self.versions("psa.resource", row["id"])
            address = dated(versions, "address_id")[-1][1]
            first, last = spells(versions)[-1]
            if address is None or row["kind"] == "placeholder":
                continue
            if row["is_active"] is False and last is None:
                continue
            spell = (first or date.min, last or date.max)
            if any(max(spell[0], each[0]) <= min(spell[1], each[1]) for each in held[address]):
                found.add(address)
            held[address].append(spell)
        return found

    def _lines(self, entry_id: str, *references: str | None) -> list[Row]:
        """Return the lines that name an entry on one of these projects and are not void.

        None: no project.
        """
        return [
            line
            for line in self.of("invoice")
            if line["time_entry_id"] == entry_id
            and line["status"] != "void"
            and line["project_ref"] in references
        ]

    def locked_on(self, entry_id: str) -> set[str | None]:
        """Return the projects on which an entry is invoiced and not credited in full.

        In full: all of its time and all of its money, in each currency. None: on no project.
        """
        projects = {
            line["project_ref"] for line in self.of("invoice") if line["time_entry_id"] == entry_id
        }
        return {
            reference
            for reference in projects
            if any(line["kind"] != "credit_memo" for line in self._lines(entry_id, reference))
            and any(
                sum(worked(line) for line in some) or sum(line["amount"] or 0 for line in some)
                for some in self._of_currencies(self._lines(entry_id, reference))
            )
        }

    def _of_currencies(self, lines: list[Row]) -> list[list[Row]]:
        """Return the lines of each currency."""
        names = {line["currency"] for line in lines}
        return [[line for line in lines if line["currency"] == name] for name in names]

    def _used(self, entry_id: str, reference: str) -> int:
        """Return how many bills of an entry on a project may be used up by invoice lines."""
        lines = self._lines(entry_id, reference, None)
        return sum(line["kind"] != "credit_memo" for line in lines)

    def _slot(self, entry_id: str, reference: str) -> str:
        used = self._used(entry_id, reference)
        return f"{reference}#{used}" if used else reference

    def _bill(self, entry: Row) -> Row | None:
        """Return the time bill of what is open of an entry."""
        reference = entry["project_ref"]
        bills = [
            bill
            for bill in self.of("time_bill")
            if (bill["time_entry_id"], bill["project_ref"]) == (entry["id"], reference)
        ]
        if self._used(entry["id"], reference) and not self.locked_on(entry["id"]) & {
            reference,
            None,
        }:
            return self._open_bill(entry["id"], reference)
        return bills[0] if bills else None

    def _open_bill(self, entry_id: str, reference: str) -> Row | None:
        """Return our bill of what is open, where no line locks: the next one, or else any later."""
        count = self._used(entry_id, reference)
        names = [f"{reference}#{number}" if number else reference for number in range(count + 1)]
        *used, following = (time_bill_id(entry_id, name) for name in names)
        bills = [
            bill
            for bill in self.of("time_bill")
            if (bill["time_entry_id"], bill["project_ref"]) == (entry_id, reference)
            and bill["time_bill_id"] not in (None, *used)
        ]
        return next(
            (bill for bill in bills if bill["time_bill_id"] == following), *bills[:1] or [None]
        )

    def left_over(
        self, entry_id: str, reference: str, rest_open: Fraction | None = None
    ) -> Fraction:
        """Return the hours that finance can still invoice of bills beside the open one's.

        Of an entry that was invoiced and has left the project, no bill is the open one's.
        """
        left, coarse = self._rest_of_bills(entry_id, reference)
        total = sum((part for part, bill in left if bill["is_billable"] is not False), Fraction(0))
        return total if abs(total) > abs(rest_open or 0) + coarse else Fraction(0)

    def _rest_of_bills(
        self, entry_id: str, reference: str
    ) -> tuple[list[tuple[Fraction, Row]], Fraction]:
        """Return what invoices leave of the bills beside the open one's, and how exact that is.

        An invoice uses time up, also when it is credited; which bill it uses nobody says.
        """
        lines = self._lines(entry_id, reference)
        current = self._open_bill(entry_id, reference) or {"id": None}
        if self._used(entry_id, reference) and not self._is_on(entry_id, reference):
            current = {"id": None}
        is_named = self._used(entry_id, reference) > 0 or any(
            (line["time_entry_id"], line["project_ref"]) == (entry_id, reference)
            for line in self.of("invoice")
        )
        old = [
            bill
            for bill in self.of("time_bill")
            if (bill["time_entry_id"], bill["project_ref"]) == (entry_id, reference)
            and (reference in self.locked_on(entry_id) or bill["id"] != current["id"])
            and (is_named or bill["time_bill_id"])
        ]
        rest = [worked(bill) for bill in old]
        for line in lines:
            hours = worked(line)
            if line["kind"] == "credit_memo" or hours == 0:
                continue
            alike = [
                number for number, each in enumerate(rest) if each and (each < 0) == (hours < 0)
            ]
            fits = [number for number in alike if abs(rest[number]) + TINY >= abs(hours)]
            for number in fits[:1] or alike:
                part = min(rest[number], hours, key=abs)
                rest[number], hours = rest[number] - part, hours - part
        coarse = len(lines) * TINY + Fraction(len(old), 120)  # each bill to half a minute
        return list(zip(rest, old, strict=True)), coarse

    def _is_on(self, entry_id: str, reference: str) -> bool:
        entry = self._rows.get("psa.time_entry", {}).get(entry_id)
        return entry is not None and entry["project_ref"] == reference

    def billing_differences(self) -> dict[str, str]:
        """Return exception id → code of every invoiced entry that is not as it was billed."""
        found = {}
        entries = self._rows.get("psa.time_entry", {})
        for identity in {line["time_entry_id"] for line in self.of("invoice")} - {None}:
            for reference in self.locked_on(identity):
                if reference is None:
                    continue
                entry = entries.get(identity)
                if entry is None or not self._is_on(identity, reference):
                    code: str | None = "billing.entry_gone"
                else:
                    code = self._difference(entry, self._lines(identity, reference))
                if code is not None:
                    found[f"billing:{identity}|{reference}"] = code
        for identity in {line["time_entry_id"] for line in self.of("invoice")} - {None}:
            unnamed = self._of_currencies(self._lines(identity, None))
            if any(
                sum(map(worked, some)) or sum(line["amount"] or 0 for line in some)
                for some in unnamed
            ):
                found[f"billing:{identity}"] = "billing.no_project"
        sides = {
            (row["time_entry_id"], row["project_ref"])
            for row in (*self.of("invoice"), *self.of("time_bill"))
        }
        for identity, reference in sides:
            if identity is None or reference is None:
                continue
            if self.locked_on(identity) & {reference, None}:
                continue
            if self.left_over(identity, reference):
                found[f"billing:{identity}|{reference}"] = "billing.left_over"
        return found

    def _difference(self, entry: Row, lines: list[Row]) -> str | None:  # noqa: PLR0911
        if entry["status"] != "approved":
            return "billing.not_approved"
        if not entry["is_billable"] or not self._is_hourly(entry["project_ref"]):
            return "billing.not_billable"
        hours, bill = worked(entry), self._bill(entry)
        net = sum((worked(line) for line in lines), Fraction(0))
        if net == 0:
            return "billing.no_hours"
        # Each line is rounded to a hundredth of an hour.
        if abs(hours - net) > len(lines) * TINY:
            is_less = 0 < abs(net) < abs(hours) and net * hours > 0
            if not is_less:
                is_twice = sum(line["kind"] != "credit_memo" for line in lines) > 1
                return "billing.invoiced_twice" if is_twice else "billing.fewer_hours"
            if bill is None or bill["hours"] != rounded(hours, 2):
                return "billing.more_hours"
            rest, coarse = self._rest_of_bills(entry["id"], entry["project_ref"])
            if abs(sum(part for part, _ in rest)) + coarse < abs(hours - net):
                return "billing.more_hours"
        if self.left_over(entry["id"], entry["project_ref"], _open(hours, net)):
            return "billing.left_over"
        if bill is None:
            return None
        is_same = (bill["bill_rate"], bill["currency"]) == (entry["bill_rate"], entry["currency"])
        return None if is_same else "billing.rate_changed"

    def over_caps(self) -> dict[str, tuple[str, Decimal, str]]:
        """Return exception id → code, amount, currency of capped contracts that are exceeded.

        A customer owes what is invoiced less credited, and has still to be billed for the rest of
        the approved billable time, but for what the ERP has written off.
        """
        found = {}
        for project in self.of("project"):
            contract = self.contract(project["id"])
            value, currency = contract["value"], contract["currency"]
            if contract["billing_type"] != "capped" or not value or value < 0 or currency is None:
                continue
            owed = Fraction(0)
            invoiced: dict[str, Fraction] = defaultdict(Fraction)
            for line in self.of("invoice"):
                is_sent = line["status"] in ("open", "paid") and line["time_entry_id"] is not None
                if is_sent and line["project_ref"] == project["id"]:
                    invoiced[line["time_entry_id"]] += worked(line)
                    owed += Fraction(line["amount"] or 0) if line["currency"] == currency else 0
            for entry in self.counted():
                if entry["project_ref"] != project["id"] or not entry["is_billable"]:
                    continue
                bill = self._bill(entry)
                is_written_off = bill is not None and bill.get("is_billable") is False
                if entry["currency"] == currency and not is_written_off:
                    rest = _open(worked(entry), invoiced[entry["id"]])
                    owed += rest * Fraction(entry["bill_rate"] or 0)
            if owed > Fraction(value):
                over = rounded(owed - Fraction(value), 6)
                found[f"billing:{project['id']}"] = ("billing.over_cap", over, currency)
        return found

    def open_state(self, entry: Row) -> str:
        """Return the state of what is not invoiced of an approved entry of a known project."""
        if not self.is_billable(entry):
            return "non_billable"
        if not self._is_hourly(entry["project_ref"]):
            return "covered"
        bill = self._bill(entry)
        if bill is not None:
            return "written_off" if bill.get("is_billable") is False else "transferred"
        return "ready" if self._can_be_billed(entry) else "blocked"

    def _can_be_billed(self, entry: Row) -> bool:
        is_priced = entry["bill_rate"] is not None and entry["currency"] is not None
        is_free = not self.locked_on(entry["id"])
        bills = [bill for bill in self.of("time_bill") if bill["time_entry_id"] == entry["id"]]
        projects = {entry["project_ref"], *(bill["project_ref"] for bill in bills)}
        is_free = is_free and not any(self.left_over(entry["id"], each) for each in projects)
        return is_priced and is_free and self._is_in_erp(entry["project_ref"])

    def _is_in_erp(self, reference: str) -> bool:
        identity = (self.project_ref(reference) or {}).get("project_id")
        return identity is not None and self._in_erp(identity) is not None

    def billing(self) -> Table:
        """Time by source project, currency and billing state."""
        parts: dict[tuple[str, str, str], list[tuple[Fraction, Fraction]]] = defaultdict(list)
        invoiced: dict[tuple[str, str], dict[str, list[Fraction]]] = defaultdict(
            lambda: defaultdict(lambda: [Fraction(0)] * 2)
        )
        for name, sign in (("invoiced", False), ("credited", True)):
            of: dict[tuple[str, str, str], list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 2)
            for line in self.of("invoice"):
                is_named = line["time_entry_id"] and line["project_ref"]
                if (
                    is_named
                    and line["status"] not in ("void", "draft")
                    and (line["kind"] == "credit_memo") is sign
                ):
                    reference, currency = line["project_ref"], line["currency"] or NO_CURRENCY
                    net = invoiced[line["time_entry_id"], reference][currency]
                    for total in (of[line["time_entry_id"], reference, currency], net):
                        total[0] += worked(line)
                        total[1] += Fraction(line["amount"] or 0)
            for (_, reference, currency), (hours, amount) in of.items():
                parts[reference, currency, name].append((hours, amount))
        for entry in self.counted():
            nets = invoiced[entry["id"], entry["project_ref"]]
            net_hours = sum((net[0] for net in nets.values()), Fraction(0))
            rest = _open(worked(entry), net_hours)
            covered = worked(entry) - rest
            for currency in sorted(nets):
                hours, amount = nets[currency]
                if covered * hours > 0:
                    taken = min(covered, hours, key=abs)
                    share = Fraction(rounded(amount * taken / hours, 6))
                    nets[currency] = [hours - taken, amount - share]
                    covered -= taken
            state = self.open_state(entry)
            is_charged = state not in ("non_billable", "covered")
            price = Fraction(entry["bill_rate"] or 0) if is_charged else Fraction(0)
            # "Time entries with time in the state" (`status/billing`); one of no time while nobody
            # has invoiced any of it: then it is the whole entry that is open.
            if rest or not net_hours:
                currency = entry["currency"] or NO_CURRENCY
                parts[entry["project_ref"], currency, state].append((rest, rest * price))
        for (_, reference), nets in invoiced.items():
            for currency, (hours, amount) in nets.items():
                if hours or amount:
                    parts[reference, currency, "unmatched"].append((-hours, -amount))
        return {
            f"{reference}|{currency}|{state}": {
                "project_ref": reference,
                "project_id": (self.project_ref(reference) or {}).get("project_id"),
                "currency": currency,
                "state": state,
                "hours": rounded(sum(hours for hours, _ in some), 2),
                "seconds": int(sum(hours for hours, _ in some) * 3600),
                "amount": rounded(sum(amount for _, amount in some), 6),
                "entries": len(some),
            }
            for (reference, currency, state), some in parts.items()
        }

    # -- deals and customers ----------------------------------------------------------------

    def pipeline(self) -> Table:
        """Deals with an amount by stage and currency."""
        table: Table = {}
        for deal in self.of("opportunity"):
            if deal["amount"] is None or deal["currency"] is None:
                continue
            row = table.setdefault(
                f"{deal['stage']}|{deal['currency']}",
                {
                    "stage": deal["stage"],
                    "currency": deal["currency"],
                    "opportunities": 0,
                    "amount": ZERO,
                    "weighted_amount": ZERO,
                },
            )
            weighted = deal["amount"] * (deal["probability_ratio"] or ZERO)
            row["opportunities"] += 1
            row["amount"] += deal["amount"]
            row["weighted_amount"] += weighted.quantize(MICRO, rounding=ROUND_HALF_EVEN)
        return table

    def _customer(self, identity: str | None, system: str | None) -> Row | None:
        """Return the row of a customer in a system: the oldest active one, else the oldest."""
        rows = [
            row
            for row in self.of("customer")
            if row["customer_id"] == identity and row["source_system"] == system
        ]
        active = [row for row in rows if row.get("is_active") is not False]
        return next(iter([*active, *rows]), None)

    def customers(self) -> Table:
        """Every customer the CRM or the ERP knows."""
        table: Table = {}
        for identity in {row["customer_id"] for row in self.of("customer")}:
            crm = self._customer(identity, CRM)
            held = {each: self._customer(identity, each) for each in self._erps}
            erp = next((row for row in held.values() if row), None)
            deals = [deal for deal in self.of("opportunity") if deal["customer_id"] == identity]
            needing = {each for deal in deals for each in self._billers_of(deal)}
            status = "active" if erp else "prospect"
            if any(held[each] is None for each in needing):
                status = "requested"
            table[identity] = {
                "customer_id": identity,
                "name": (crm or erp or {})["name"],
                "status": status,
                "crm_id": crm and crm["id"],
                "erp_id": erp and erp["id"],
                "erp_ids": [row["id"] for row in held.values() if row],
                "engagements": len(deals),
                "sealed": None,
            }
        return table

    # -- projects and plans -----------------------------------------------------------------

    def _deal(self, engagement: str) -> Row | None:
        deals = (deal for deal in self.of("opportunity") if deal["engagement_id"] == engagement)
        return next(deals, None)

    def _linked(self, identity: str, system: str) -> Row | None:
        """Return the row that stands for a project in a system: the first by source id."""
        rows = (
            row
            for row in self.of("project")
            if row["project_id"] == identity and row["source_system"] == system
        )
        return next(rows, None)

    def _billers_of(self, deal: Row) -> set[str]:
        """Return the ERPs that must know the customer of a deal: a firm's only one at once."""
        if deal["stage"] != "won":
            return set()
        if len(self._erps) == 1:
            return set(self._erps)
        projects = [each for each in self.wanted() if each.startswith(deal["engagement_id"])]
        return {each for each in map(self.biller, projects) if each is not None}

    def biller(self, identity: str) -> str | None:
        """Return the ERP of a project: its legal entity's; where nobody knows it, a holder.

        Of several holders the one it was ordered in last, or else the first of the landscape.
        """
        if identity not in self._billers:
            self._billers[identity] = self._biller(identity)
        return self._billers[identity]

    def _biller(self, identity: str) -> str | None:
        if len(self._erps) == 1:
            return self._erps[0]
        entity = self._legal_entity(identity) if identity in self.wanted() else None
        if entity is not None:
            system: str = entity["source_system"]
            return system
        holders = [each for each in self._erps if self._linked(identity, each)]
        last = [each for each in holders if each == self._ordered_for.get(identity, ("", ""))[0]]
        return next(iter([*last, *holders]), None)

    def _in_erp(self, identity: str) -> Row | None:
        """Return the row of a project in its ERP."""
        erp = self.biller(identity)
        return self._linked(identity, erp) if erp else None

    def wanted(self) -> dict[str, list[Row]]:
        """Return the lines that ask for each project: those of won deals, by country."""
        if self._wanted is None:
            self._wanted = self._asked_for()
        return self._wanted

    def _asked_for(self) -> dict[str, list[Row]]:
        projects: dict[str, list[Row]] = defaultdict(list)
        for line in self.of("opportunity_line"):
            deal = self._deal(line["engagement_id"])
            if deal and deal["stage"] == "won" and line["country_code"]:
                projects[project_id(line["engagement_id"], line["country_code"])].append(line)
        return projects

    def _legal_entity(self, identity: str) -> Row | None:
        """Return the entity a project has in the ERP, or was ordered for, if it still serves.

        Else the oldest one.
        """
        country = identity.rpartition("-")[2].upper()
        entities = [
            row
            for row in self.of("legal_entity")
            if row["is_active"] and row["country_code"] == country
        ]
        ordered = self._ordered_for.get(identity)
        held = [
            (each, (self._linked(identity, each) or {}).get("legal_entity_id"))
            for each in self._erps
        ]
        for choice in [*([ordered] if ordered in held else []), *held, ordered]:
            for row in entities:
                if (row["source_system"], row["native_id"]) == choice:
                    return row
        is_unclear = len({row["source_system"] for row in entities}) > 1
        return None if is_unclear else next(iter(entities), None)

    def projects(self) -> Table:
        """Every project that a won deal asks for or that a system holds under our id."""
        wanted = self.wanted()
        linked = {row["project_id"] for row in self.of("project") if row["project_id"]}
        return {key: self._project(key, wanted.get(key)) for key in linked | wanted.keys()}

    def unsettled_projects(self) -> dict[str, tuple[Any, Any]]:
        """Return exception id → money and currency of what the ERP holds and nobody asks for."""
        found = {}
        for identity in self.projects():
            for erp in self._erps:
                row = self._linked(identity, erp)
                is_asked = identity in self.wanted() and erp == self.biller(identity)
                if row is not None and row.get("contract_value") != 0 and not is_asked:
                    money = row.get("contract_value"), row.get("currency")
                    found.setdefault(f"engagement:{identity}", money)
        return found

    def without_erp(self) -> set[str]:
        """Return the ids of exceptions of projects of which nobody knows the ERP."""
        return {f"biller:{each}" for each in self.wanted() if self.biller(each) is None}

    def _project(self, identity: str, lines: list[Row] | None) -> dict[str, Any]:
        engagement, _, country = identity.rpartition("-")
        deal = self._deal(engagement)
        rows = {each: self._linked(identity, each) for each in ("float", "inhouse")}
        erp = self._in_erp(identity)
        planned = self._plan_of(rows["float"]) or {}
        status, reason = self._project_status(identity, lines, deal, erp)
        return {
            "project_id": identity,
            "engagement_id": engagement,
            "customer_id": deal and deal["customer_id"],
            "country_code": country.upper(),
            "name": f"{deal['name']} ({country.upper()})" if deal and lines else None,
            "status": status,
            "reason": reason,
            "erp_ref": (erp or {}).get("id"),
            "rm_ref": (rows["float"] or {}).get("id"),
            "psa_ref": (rows["inhouse"] or {}).get("id"),
            "currency": deal and deal["currency"],
            "contract_value": _sum(line["amount"] for line in lines) if lines else None,
            **{
                f"budget_{name}": planned.get(name)
                for name in ("hours", "cost", "revenue", "currency")
            },
        }

    def _project_status(
        self, identity: str, lines: list[Row] | None, deal: Row | None, erp: Row | None
    ) -> tuple[str, str | None]:
        country = identity.rpartition("-")[2].upper()
        if not lines or deal is None:
            held = [self._linked(identity, each) for each in self._erps]
            is_unsettled = any(row and row.get("contract_value") != 0 for row in held)
            status = "needs_finance" if is_unsettled else "withdrawn"
            return status, "the deal no longer asks for it"
        if erp is not None:
            return "active", None
        biller = self.biller(identity)
        if biller and self._customer(deal["customer_id"], biller) is None:
            return "waiting_customer", "the ERP does not hold the customer yet"
        if self._legal_entity(identity) is None:
            active = [row for row in self.of("legal_entity") if row["is_active"]]
            is_there = country in {row["country_code"] for row in active}
            which = "more than one has an" if is_there else "no"
            return "waiting_legal_entity", f"{which} active legal entity in {country}"
        if f"{biller}:project:{identity}" in self._refused:
            return "rejected", self._refused[f"{biller}:project:{identity}"]
        return "requested", None

    def _plan(self, assignment: Row) -> dict[str, Any]:
        """What an assignment plans; without both rates and their currency nothing has a price."""
        count = (assignment["ends_on"] - assignment["starts_on"]).days + 1
        dates = [assignment["starts_on"] + timedelta(days=offset) for offset in range(count)]
        person = self._rows.get("psa.resource", {}).get(assignment["resource_ref"])
        days = Days(self, person) if person else None

        def is_working(day: date) -> bool:
            pattern = days.pattern(day) if days else None
            seconds = pattern[day.weekday()] if pattern else day.isoweekday() <= 5
            return bool(seconds) and not (days and any(days.whole_days_off(day)))

        planned = [day for day in dates if is_working(day)]
        if not planned:  # nothing but days of rest: planned on purpose
            planned = [day for day in dates if not (days and "leave" in days.whole_days_off(day))]
        seconds = assignment.get("seconds_per_day")
        hours = (
            Fraction(assignment["hours_per_day"]) if seconds is None else Fraction(seconds, 3600)
        )
        total = rounded(hours * len(planned), 2)
        plan: dict[str, Any] = {"hours": total, "cost": None, "revenue": None, "currency": None}
        versions = (
            self.versions("psa.rate_card", assignment["resource_ref"])
            if assignment["resource_ref"] in self._rows.get("psa.rate_card", {})
            else []
        )
        if not versions or versions[-1]["currency"] is None:
            return plan
        costs, prices = dated_costs(versions), dated(versions, "bill_rate")
        cost = revenue = Fraction(0)
        for day in dates or [assignment["starts_on"]]:
            cost_rate, bill_rate = as_of(costs, day), as_of(prices, day)
            if cost_rate is None or bill_rate is None:
                return plan
            if day in planned:
                cost += hours * Fraction(cost_rate)
                revenue += hours * Fraction(bill_rate) if assignment["is_billable"] else 0
        money = {"cost": rounded(cost, 6), "revenue": rounded(revenue, 6)}
        return {**plan, **money, "currency": versions[-1]["currency"]}

    def _plan_of(self, project: Row | None) -> dict[str, Any] | None:
        """Sum of the approved, priced assignments of a project; None if it has none at all."""
        if project is None:
            return None
        rows = [row for row in self.of("assignment") if row["project_ref"] == project["id"]]
        if not rows:
            return None
        plans = [self._plan(row) for row in rows if row["status"] in ("approved", "completed")]
        plans = [plan for plan in plans if plan["currency"] is not None]
        total: dict[str, Any] = {"hours": _sum(plan["hours"] for plan in plans)}
        currencies = {plan["currency"] for plan in plans}
        if len(currencies) > 1:
            return {**total, "cost": None, "revenue": None, "currency": None}
        return {
            **total,
            "cost": _sum(plan["cost"] for plan in plans),
            "revenue": _sum(plan["revenue"] for plan in plans),
            "currency": next(iter(currencies), None),
        }

    def assignments(self) -> Table:
        """Every assignment with what it plans."""
        table: Table = {}
        for row in self.of("assignment"):
            plan = self._plan(row)
            person = self._rows.get("psa.resource", {}).get(row["resource_ref"])
            table[f"{row['project_ref']}|{row['id']}"] = {
                "id": row["id"],
                "project_ref": row["project_ref"],
                "project_id": (self.project_ref(row["project_ref"]) or {}).get("project_id"),
                "resource_id": person and person["resource_id"],
                "status": row["status"] if plan["currency"] else "waiting_rate",
                "starts_on": row["starts_on"],
                "ends_on": row["ends_on"],
                "planned_hours": plan["hours"],
                "planned_cost": plan["cost"],
                "planned_revenue": plan["revenue"],
                "currency": plan["currency"],
            }
        return table

    # -- what the targets should hold -------------------------------------------------------

    def desired(self) -> dict[str, dict[str, Any]]:
        """Return natural key → the fields the target should hold; absent: no wish."""
        return {
            **dict(self._desired_customers()),
            **dict(self._desired_projects()),
            **dict(self._desired_time_bills()),
        }

    def observed(self) -> dict[str, dict[str, Any]]:
        """Return natural key → the fields the targets hold, of what they hold under our ids."""
        found: dict[str, dict[str, Any]] = {}
        for row in self.of("customer"):
            if row["source_system"] in self._erps:
                fields = ("name", "country_code", "currency", "tax_number")
                found[f"{row['source_system']}:customer:{row['customer_id']}"] = _fields(
                    row, fields
                )
        for identity in {row["project_id"] for row in self.of("project") if row["project_id"]}:
            for name in self._erps:
                if not (erp := self._linked(identity, name)):
                    continue
                found[f"{name}:project:{identity}"] = _fields(erp, OBSERVED_PROJECT)
                budget = [f"budget_{each}" for each in ("hours", "cost", "revenue", "currency")]
                if erp.get("budget_hours") is not None:
                    found[f"{name}:project_budget:{identity}"] = _fields(erp, budget)
            if rm := self._linked(identity, "float"):
                found[f"float:project:{identity}"] = _fields(rm, ("name", "starts_on"))
        for bill in self.of("time_bill"):
            if bill["time_bill_id"] is not None:
                content = ("project_id", "work_on", "hours", "bill_rate", "currency")
                found[f"{_system(bill)}:time_bill:{bill['time_bill_id']}"] = _fields(bill, content)
        return found

    def _desired_customers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for deal in self.of("opportunity"):
            crm = self._customer(deal["customer_id"], CRM)
            for erp in self._billers_of(deal) if crm is not None else ():
                fields = ("name", "country_code", "currency", "tax_number")
                yield f"{erp}:customer:{deal['customer_id']}", _fields(crm, fields)

    def _desired_projects(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in self.of("project"):
            if row["project_id"] and self._in_erp(row["project_id"]):
                plan = self._plan_of(self._linked(row["project_id"], "float"))
                if plan is not None:
                    budget = {f"budget_{name}": value for name, value in plan.items()}
                    erp = self.biller(row["project_id"])
                    yield f"{erp}:project_budget:{row['project_id']}", budget
        for identity, lines in self.wanted().items():
            engagement, _, country = identity.rpartition("-")
            deal, entity = self._deal(engagement), self._legal_entity(identity)
            assert deal is not None
            name = f"{deal['name']} ({country.upper()})"
            if self._in_erp(identity):
                content = {"name": name, "starts_on": deal["starts_on"]}
                yield f"float:project:{identity}", content
            biller = self.biller(identity)
            if entity and self._customer(deal["customer_id"], biller):
                service_lines = {line["service_line"] for line in lines} - {None}
                yield (
                    f"{biller}:project:{identity}",
                    {
                        "customer_id": deal["customer_id"],
                        "name": name,
                        "legal_entity_id": entity["native_id"],
                        "currency": deal["currency"],
                        "starts_on": deal["starts_on"],
                        "billing_type": deal["billing_type"],
                        "tax_code": entity["tax_code"],
                        "service_lines": ",".join(sorted(service_lines)) or None,
                        "contract_value": _sum(line["amount"] for line in lines),
                    },
                )

    def _is_of_other_erp(self, bill: Row, erp: str | None) -> bool:
        return len(self._erps) > 1 and _system(bill) != erp

    def _desired_time_bills(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for entry in self.counted():
            is_charged = entry["is_billable"] and self._is_hourly(entry["project_ref"])
            if is_charged and self._can_be_billed(entry):
                project = self.project_ref(entry["project_ref"]) or {}
                side = entry["id"], entry["project_ref"]
                erp = self.biller(project["project_id"])
                following = time_bill_id(entry["id"], self._slot(*side))
                identity = self._bill_ids.get((erp or "", *side), following)
                open_bill = self._open_bill(*side)
                if open_bill is not None and open_bill["time_bill_id"] not in (following, identity):
                    continue  # another bill that nobody ordered offers the time
                if open_bill is not None and self._is_of_other_erp(open_bill, erp):
                    continue  # it is to go there first
                fields = ("work_on", "bill_rate", "currency")
                yield (
                    f"{erp}:time_bill:{identity}",
                    {
                        "project_id": project["project_id"],
                        "hours": rounded(worked(entry), 2),
                        **{name: entry[name] for name in fields},
                    },
                )


CRM = "salesforce"
OBSERVED_PROJECT = (
    "customer_id",
    "name",
    "legal_entity_id",
    "currency",
    "starts_on",
    "billing_type",
    "tax_code",
    "service_lines",
    "contract_value",
)


def comparable(table: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return a published table by row identity, without the fields of NOT_COMPARED.

    Projects that are cancelled are left out: whether one was asked for before the deal was lost,
    or a line before it went, depends on which of the two was read first.
    """
    return {
        key: {name: value for name, value in row.items() if name not in NOT_COMPARED}
        for key, row in table.items()
        if row.get("status") != "cancelled"
    }


def plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return content as it reads in a command's payload: texts, whole numbers, null."""
    found: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Decimal):
            text = format(value, "f")
            found[name] = (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
        else:
            found[name] = value.isoformat() if isinstance(value, date) else value
    return found


def payload(command: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload of a command."""
    decoded: dict[str, Any] = json.loads(command["payload"], parse_float=Decimal)
    return decoded


def worked(entry: Row) -> Fraction:
    """Return the time of a row in hours: its seconds, or the hours of one without."""
    seconds = entry.get("seconds")
    return Fraction(entry["hours"] or 0) if seconds is None else Fraction(seconds, 3600)


def _open(hours: Fraction, invoiced: Fraction) -> Fraction:
    """Return what is left of an entry: between nothing and all of it."""
    low, high = sorted((Fraction(0), hours))
    return max(low, min(high, hours - invoiced))


def rounded(value: Fraction, digits: int) -> Decimal:
    """Return a fraction as a decimal, half-even."""
    return Decimal(round(value * 10**digits)).scaleb(-digits)


def last_entities(
    commands: Iterable[Mapping[str, Any]], erps: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """Return canonical project id → ERP and legal entity of the last order of a project.

    `commands` in the order in which they were given. A deletion takes back what was ordered there.
    """
    found: dict[str, tuple[str, str]] = {}
    for command in commands:
        target = command["target"]
        if target not in erps:
            continue
        project = command["natural_key"].rpartition(":")[2]
        if command["kind"] == "upsert_project":
            found[project] = target, payload(command)["legal_entity_id"]
        elif command["kind"] == "delete_project" and found.get(project, ("", ""))[0] == target:
            del found[project]
    return found


def last_time_bills(commands: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, str], str]:
    """Return ERP, entry and source project → id of the time bill in the last order for it."""
    found: dict[tuple[str, str, str], str] = {}
    for command in commands:
        if command["kind"] == "upsert_time_bill":
            content = payload(command)
            side = command["target"], content["time_entry_id"], content["project_ref"]
            found[side] = content["time_bill_id"]
    return found


def _system(row: Row) -> str:
    """Return the system that a row is of."""
    return str(row["id"]).partition(":")[0]


def _by_number(row_id: str) -> tuple[str, int]:
    kind, _, number = row_id.rpartition(":")
    return kind, int(number)


def _upto(
    months: Mapping[tuple[str, str], list[Fraction]],
    last: str,
    of: Callable[[tuple[str, str], list[Fraction]], Fraction],
) -> Fraction:
    """Return a sum over the months up to one, of every currency."""
    return sum((of(key, total) for key, total in months.items() if key[0] <= last), Fraction(0))


def _ratio(part: Fraction, whole: Fraction) -> Decimal | None:
    return rounded(part / whole, 6) if whole else None


def _fields(row: Row, names: Iterable[str]) -> dict[str, Any]:
    return {name: row.get(name) for name in names}


def _sum(values: Any) -> Decimal:
    return sum((value or ZERO for value in values), ZERO)


LATEST_WEEK = date(2026, 12, 28)  # of the records' timestamps
WEEKS = 260


def week_of(monday: date) -> list[date]:
    """Return the days of a week."""
    return [monday + timedelta(days=offset) for offset in range(7)]


def _learnt_on(row: Row) -> date | None:
    return row["source_at"].date() if row.get("source_at") else None


def dated(versions: list[dict[str, Any]], field: str) -> list[tuple[date, Any]]:
    """Return the values a field has had, each with the day from which it holds."""
    history: list[tuple[date, Any]] = []
    for row in versions:
        day, value = _learnt_on(row), row.get(field)
        if not history:
            history.append((day or date.min, value))
        elif history[-1][1] != value:
            is_later = day is not None and day > history[-1][0]
            first = day if is_later and day else history.pop()[0]
            history.append((first, value))
    return history


def dated_costs(versions: list[dict[str, Any]]) -> list[tuple[date, Any]]:
    """Return the cost rates: the source's history where it has one."""
    history: list[tuple[date, Any]] = []
    for row in versions:
        if row.get("cost_rates"):
            history = sorted((each["starts_on"], each["rate"]) for each in row["cost_rates"])
            continue
        day, value = _learnt_on(row), row["cost_rate"]
        if not history:
            history = [(day or date.min, value)]
        elif history[-1][1] != value:
            is_later = day is not None and day > history[-1][0]
            first = day if is_later and day else history.pop()[0]
            history.append((first, value))
    return history


def as_of(history: list[tuple[date, Any]], day: date) -> Any:
    """Return the value that holds on a day; the first one holds before its day."""
    value = history[0][1] if history else None
    for starts_on, each in history:
        if starts_on <= day:
            value = each
    return value


def spells(versions: list[dict[str, Any]]) -> list[tuple[date | None, date | None]]:
    """Return first and last day of each employment of a person."""
    found: list[tuple[date | None, date | None]] = []
    for row in versions:
        day, starts_on, ends_on = _learnt_on(row), row["starts_on"], row["ends_on"]
        if ends_on is None and row["is_active"] is False:
            ends_on = found[-1][1] if found and found[-1][1] else day
        if len(found) > 1:
            former = found[-2][1]
            assert former is not None
            if starts_on is None or starts_on <= former:
                starts_on = found[-1][0]
        left_on = found[-1][1] if found else None
        if left_on is None:
            found[-1:] = [(starts_on, ends_on)]
        elif starts_on is not None and starts_on > left_on:
            found.append((starts_on, ends_on))
        elif day is not None and day > left_on and (ends_on is None or ends_on >= day):
            found.append((day, ends_on))
        else:
            found[-1] = (starts_on, ends_on)
    return found


class Days:
    """The days of a person, computed day by day."""

    def __init__(self, oracle: Oracle, person: Row) -> None:
        versions = oracle.versions("psa.resource", person["id"])
        self._id = person["id"]
        self._spells = spells(versions)
        self._regions = dated(versions, "region_ref")
        self._patterns: list[tuple[date, Any]] = []
        for row in versions:
            weeks = row.get("work_patterns")
            if weeks:
                self._patterns = sorted((each["starts_on"], each["seconds"]) for each in weeks)
                continue
            hours = row["work_hours"]
            value = None if hours is None else [int(each * 3600) for each in hours]
            day = _learnt_on(row)
            if not self._patterns:
                self._patterns = [(day or date.min, value)]
            elif self._patterns[-1][1] != value:
                is_later = day is not None and day > self._patterns[-1][0]
                first = day if is_later and day else self._patterns.pop()[0]
                self._patterns.append((first, value))
        self._absences = oracle.of("absence")
        self.is_person = person["kind"] != "placeholder"

    def is_employed(self, day: date) -> bool:
        """Whether the person is employed on a day."""
        return any((first or day) <= day <= (last or day) for first, last in self._spells)

    def pattern(self, day: date) -> list[int] | None:
        """Return the seconds of each weekday that hold on a day."""
        value: list[int] | None = as_of(self._patterns, day)
        return value

    def off(self, day: date) -> Iterator[tuple[str, int | None]]:
        """Yield kind and seconds of each absence of a day; None is the whole day."""
        for absence in self._absences:
            if absence["kind"] == "holiday":
                region = as_of(self._regions, day)
                if absence["region_ref"] in (None, region):
                    yield from (("holiday", None) for each in absence["dates"] if each == day)
            elif (
                self._id in absence["resource_refs"]
                and absence["status"] in ("approved", None)
                and absence["starts_on"] <= day <= absence["ends_on"]
            ):
                seconds = absence["seconds_per_day"]
                yield "leave", None if absence["is_whole_day"] else seconds

    def whole_days_off(self, day: date) -> list[str]:
        """Return the kinds of absence that take the whole of a day."""
        return [kind for kind, seconds in self.off(day) if seconds is None]

    def capacity(self, day: date) -> int | None:
        """Return the seconds of work a day holds."""
        if not self.is_employed(day):
            return 0
        pattern = self.pattern(day)
        if pattern is None:
            return None
        if self.whole_days_off(day):
            return 0
        taken = sum(seconds or 0 for _, seconds in self.off(day))
        return max(0, pattern[day.weekday()] - taken)
