"""What the tables must say, recomputed from the final canonical rows in plain Python.

Independent of `tables` and `streams` on purpose: dictionaries and `Decimal`, one definition a
measure, no increments. Slow is fine, wrong is not.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

from schemas.identity import project_id, time_bill_id

Row = Mapping[str, Any]
Table = dict[str, dict[str, Any]]

MICRO = Decimal("0.000001")
ZERO = Decimal(0)
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
    ) -> None:
        self._rows = rows
        self._refused = refused or {}  # canonical project id → why the ERP refuses its last order

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
        sums: dict[tuple[str, str, str], list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 3)
        for entry in self.counted():
            currency = entry["currency"] or NO_CURRENCY
            total = sums[entry["project_ref"], f"{entry['work_on']:%Y-%m}", currency]
            hours = worked(entry)
            total[0] += hours
            if entry["is_billable"]:
                total[1] += hours * Fraction(entry["bill_rate"] or 0)
            total[2] += hours * Fraction(entry["cost_rate"] or 0)
        for expense in self.of("expense"):
            if expense["status"] == "approved" and self.project_ref(expense["project_ref"]):
                month = f"{expense['spent_on']:%Y-%m}"
                total = sums[expense["project_ref"], month, expense["currency"]]
                total[1] += Fraction(expense["amount"] if expense["is_billable"] else 0)
                total[2] += Fraction(expense["amount"])
        table: Table = {}
        for (reference, period, currency), (hours, revenue, cost) in sums.items():
            if not (hours == revenue == cost == 0):
                project = self.project_ref(reference) or {}
                table[f"{reference}|{period}|{currency}"] = {
                    "project_id": project.get("project_id") or reference,
                    "project_ref": reference,
                    "period": period,
                    "currency": currency,
                    "variant": "actual_approved",
                    "hours": rounded(hours, 2),
                    "seconds": int(hours * 3600),
                    "revenue": rounded(revenue, 6),
                    "cost": rounded(cost, 6),
                    "margin": rounded(revenue, 6) - rounded(cost, 6),
                    "margin_ratio": _ratio(revenue - cost, revenue),
                }
        return table

    def utilization(self) -> Table:
        """Billable hours over the hours a person is employed for, by person and ISO week."""
        sums: dict[tuple[str, str], list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 2)
        for entry in self.counted():
            year, week, _ = entry["work_on"].isocalendar()
            total = sums[entry["resource_id"], f"{year:04d}-W{week:02d}"]
            total[0] += worked(entry) if entry["is_billable"] else 0
            total[1] += worked(entry)
        table: Table = {}
        for (resource, week), (billable, total_hours) in sums.items():
            if total_hours:
                available = self._available(resource, week)
                table[f"{resource}|{week}"] = {
                    "resource_id": resource,
                    "iso_week": week,
                    "variant": "billable_availability",
                    "billable_hours": rounded(billable, 2),
                    "total_hours": rounded(total_hours, 2),
                    "billable_seconds": int(billable * 3600),
                    "total_seconds": int(total_hours * 3600),
                    "available_hours": available,
                    "utilization_ratio": _ratio(billable, Fraction(available or 0)),
                }
        return table

    def _available(self, resource: str, week: str) -> Decimal | None:
        """Hours of the person; of several rows of one person the first active one counts."""
        people = [row for row in self.of("resource") if row["resource_id"] == resource]
        if not people:
            return None
        person = next((row for row in people if row["is_active"]), people[0])
        hours = ZERO
        for weekday in range(1, 8):
            day = date.fromisocalendar(int(week[:4]), int(week[-2:]), weekday)
            if (person["starts_on"] or day) <= day <= (person["ends_on"] or day):
                hours += person["work_hours"][weekday - 1]
        return hours

    def billing_state(self, entry: Row) -> str:
        """Return the one state an approved entry of a known project is in."""
        if not entry["is_billable"]:
            return "non_billable"

        def shows(row: Row) -> bool:
            return (row["time_entry_id"], row["project_ref"]) == (entry["id"], entry["project_ref"])

        if any(shows(line) and line["status"] != "void" for line in self.of("invoice")):
            return "invoiced"
        if any(shows(bill) for bill in self.of("time_bill")):
            return "transferred"
        return "ready" if self._can_be_billed(entry) else "blocked"

    def _can_be_billed(self, entry: Row) -> bool:
        is_priced = entry["bill_rate"] is not None and entry["currency"] is not None
        return is_priced and self._is_in_erp(entry["project_ref"])

    def _is_in_erp(self, reference: str) -> bool:
        identity = (self.project_ref(reference) or {}).get("project_id")
        return identity is not None and self._linked(identity, "netsuite") is not None

    def billing(self) -> Table:
        """Approved hours by source project, currency and billing state."""
        sums: dict[tuple[str, str, str], list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 3)
        for entry in self.counted():
            state, currency = self.billing_state(entry), entry["currency"] or NO_CURRENCY
            total = sums[entry["project_ref"], currency, state]
            total[0] += worked(entry)
            if entry["is_billable"]:
                total[1] += worked(entry) * Fraction(entry["bill_rate"] or 0)
            total[2] += 1
        return {
            f"{reference}|{currency}|{state}": {
                "project_ref": reference,
                "project_id": (self.project_ref(reference) or {}).get("project_id"),
                "currency": currency,
                "state": state,
                "hours": rounded(hours, 2),
                "seconds": int(hours * 3600),
                "amount": rounded(amount, 6),
                "entries": int(entries),
            }
            for (reference, currency, state), (hours, amount, entries) in sums.items()
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

    def _customer(self, identity: str | None, *, in_crm: bool) -> Row | None:
        """Return the row of a customer in a system: the oldest active one, else the oldest."""
        systems = ("salesforce",) if in_crm else ("netsuite",)
        rows = [
            row
            for row in self.of("customer")
            if row["customer_id"] == identity and row["source_system"] in systems
        ]
        active = [row for row in rows if row["is_active"] is not False]
        return next(iter([*active, *rows]), None)

    def customers(self) -> Table:
        """Every customer the CRM or the ERP knows."""
        table: Table = {}
        for identity in {row["customer_id"] for row in self.of("customer")}:
            crm = self._customer(identity, in_crm=True)
            erp = self._customer(identity, in_crm=False)
            deals = [deal for deal in self.of("opportunity") if deal["customer_id"] == identity]
            is_won = any(deal["stage"] == "won" for deal in deals)
            status = "active" if erp else "requested" if is_won else "prospect"
            table[identity] = {
                "customer_id": identity,
                "name": (crm or erp or {})["name"],
                "status": status,
                "crm_id": crm and crm["id"],
                "erp_id": erp and erp["id"],
                "engagements": len(deals),
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

    def wanted(self) -> dict[str, list[Row]]:
        """Return the lines that ask for each project: those of won deals, by country."""
        projects: dict[str, list[Row]] = defaultdict(list)
        for line in self.of("opportunity_line"):
            deal = self._deal(line["engagement_id"])
            if deal and deal["stage"] == "won" and line["country_code"]:
                projects[project_id(line["engagement_id"], line["country_code"])].append(line)
        return projects

    def _legal_entity(self, identity: str) -> Row | None:
        """Return the entity a project has in the ERP, if it still serves; else the oldest."""
        country = identity.rpartition("-")[2].upper()
        entities = [
            row
            for row in self.of("legal_entity")
            if row["is_active"] and row["country_code"] == country
        ]
        erp = self._linked(identity, "netsuite") or {}
        kept = [row for row in entities if row["native_id"] == erp.get("legal_entity_id")]
        return next(iter([*kept, *entities]), None)

    def projects(self) -> Table:
        """Every project that a won deal asks for or that a system holds under our id."""
        wanted = self.wanted()
        linked = {row["project_id"] for row in self.of("project") if row["project_id"]}
        return {key: self._project(key, wanted.get(key)) for key in linked | wanted.keys()}

    def _project(self, identity: str, lines: list[Row] | None) -> dict[str, Any]:
        engagement, _, country = identity.rpartition("-")
        deal = self._deal(engagement)
        rows = {each: self._linked(identity, each) for each in ("netsuite", "float", "inhouse")}
        planned = self._plan_of(rows["float"]) or {}
        status, reason = self._project_status(identity, lines, deal, rows["netsuite"])
        return {
            "project_id": identity,
            "engagement_id": engagement,
            "customer_id": deal and deal["customer_id"],
            "country_code": country.upper(),
            "name": f"{deal['name']} ({country.upper()})" if deal and lines else None,
            "status": status,
            "reason": reason,
            "erp_ref": (rows["netsuite"] or {}).get("id"),
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
            return "withdrawn", "the deal no longer asks for it"
        if erp is not None:
            return "active", None
        if self._customer(deal["customer_id"], in_crm=False) is None:
            return "waiting_customer", "the ERP does not hold the customer yet"
        if self._legal_entity(identity) is None:
            return "waiting_legal_entity", f"no active legal entity in {country}"
        if identity in self._refused:
            return "rejected", self._refused[identity]
        return "requested", None

    def _plan(self, assignment: Row) -> dict[str, Any]:
        """What an assignment plans; without both rates and their currency nothing has a price."""
        days = (assignment["ends_on"] - assignment["starts_on"]).days + 1
        dates = (assignment["starts_on"] + timedelta(days=offset) for offset in range(days))
        hours = assignment["hours_per_day"] * sum(day.isoweekday() <= 5 for day in dates)
        rate = self._rows.get("psa.rate_card", {}).get(assignment["resource_ref"])
        plan = {"hours": hours, "cost": None, "revenue": None, "currency": None}
        if rate and rate["cost_rate"] is not None and rate["bill_rate"] is not None:
            revenue = hours * rate["bill_rate"] if assignment["is_billable"] else ZERO
            plan.update(cost=hours * rate["cost_rate"], revenue=revenue, currency=rate["currency"])
        return plan

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
            rate = self._rows.get("psa.rate_card", {}).get(row["resource_ref"])
            table[f"{row['project_ref']}|{row['id']}"] = {
                "id": row["id"],
                "project_ref": row["project_ref"],
                "project_id": (self.project_ref(row["project_ref"]) or {}).get("project_id"),
                "resource_id": rate and rate["resource_id"],
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
            if row["source_system"] == "netsuite":
                fields = ("name", "country_code", "currency", "tax_number")
                found[f"netsuite:customer:{row['customer_id']}"] = _fields(row, fields)
        for identity in {row["project_id"] for row in self.of("project") if row["project_id"]}:
            if erp := self._linked(identity, "netsuite"):
                found[f"netsuite:project:{identity}"] = _fields(erp, OBSERVED_PROJECT)
                budget = [f"budget_{name}" for name in ("hours", "cost", "revenue", "currency")]
                if erp.get("budget_hours") is not None:
                    found[f"netsuite:project_budget:{identity}"] = _fields(erp, budget)
            if rm := self._linked(identity, "float"):
                found[f"float:project:{identity}"] = _fields(rm, ("name", "starts_on"))
        for bill in self.of("time_bill"):
            if bill["time_bill_id"] is not None:
                content = ("project_id", "work_on", "hours", "bill_rate", "currency")
                found[f"netsuite:time_bill:{bill['time_bill_id']}"] = _fields(bill, content)
        return found

    def _desired_customers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for deal in self.of("opportunity"):
            crm = self._customer(deal["customer_id"], in_crm=True)
            if deal["stage"] == "won" and crm is not None:
                fields = ("name", "country_code", "currency", "tax_number")
                yield (
                    f"netsuite:customer:{crm['customer_id']}",
                    {name: crm[name] for name in fields},
                )

    def _desired_projects(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in self.of("project"):
            if row["project_id"] and self._linked(row["project_id"], "netsuite"):
                plan = self._plan_of(self._linked(row["project_id"], "float"))
                if plan is not None:
                    budget = {f"budget_{name}": value for name, value in plan.items()}
                    yield f"netsuite:project_budget:{row['project_id']}", budget
        for identity, lines in self.wanted().items():
            engagement, _, country = identity.rpartition("-")
            deal, entity = self._deal(engagement), self._legal_entity(identity)
            assert deal is not None
            name = f"{deal['name']} ({country.upper()})"
            if self._linked(identity, "netsuite"):
                content = {"name": name, "starts_on": deal["starts_on"]}
                yield f"float:project:{identity}", content
            if entity and self._customer(deal["customer_id"], in_crm=False):
                service_lines = {line["service_line"] for line in lines} - {None}
                yield (
                    f"netsuite:project:{identity}",
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

    def _desired_time_bills(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for entry in self.counted():
            if entry["is_billable"] and self._can_be_billed(entry):
                project = self.project_ref(entry["project_ref"]) or {}
                identity = time_bill_id(entry["id"], entry["project_ref"])
                fields = ("work_on", "bill_rate", "currency")
                yield (
                    f"netsuite:time_bill:{identity}",
                    {
                        "project_id": project["project_id"],
                        "hours": rounded(worked(entry), 2),
                        **{name: entry[name] for name in fields},
                    },
                )


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
    """Return a published table by row identity, without the fields of NOT_COMPARED."""
    return {
        key: {name: value for name, value in row.items() if name not in NOT_COMPARED}
        for key, row in table.items()
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
    """Return the time of an entry in hours: its seconds, or the hours of one without."""
    seconds = entry.get("seconds")
    return Fraction(entry["hours"]) if seconds is None else Fraction(seconds, 3600)


def rounded(value: Fraction, digits: int) -> Decimal:
    """Return a fraction as a decimal, half-even."""
    return Decimal(round(value * 10**digits)).scaleb(-digits)


def _by_number(row_id: str) -> tuple[str, int]:
    kind, _, number = row_id.rpartition(":")
    return kind, int(number)


def _ratio(part: Fraction, whole: Fraction) -> Decimal | None:
    return rounded(part / whole, 6) if whole else None


def _fields(row: Row, names: Iterable[str]) -> dict[str, Any]:
    return {name: row.get(name) for name in names}


def _sum(values: Any) -> Decimal:
    return sum((value or ZERO for value in values), ZERO)
