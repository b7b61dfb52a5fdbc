"""Project table: one source project with its plan, its hours, its costs and its billing.

Keyed by source project id, so high-volume rows are folded under the id their source gave them;
which engagement a project belongs to only names the results. Time entries are in
`tables.project.time_entry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from schemas.canonical_json import Payload
from schemas.landscape import Landscape
from schemas.routing import partition_of
from schemas.topics import PARTITIONS
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox, Tally
from tables.foundation.facts import (
    Absence,
    Assignment,
    Expense,
    InvoiceLine,
    Project,
    ProjectContext,
    ProjectLink,
    RateCard,
    Resource,
    TimeBill,
)
from tables.foundation.owners import Owner, move
from tables.foundation.told import tell, tell_all
from tables.project.billing import BillingDocument
from tables.project.document import (
    ProjectDocument,
    Standing,
    load_project,
    load_standings,
    standing,
    store_standing,
)
from tables.project.hours import APPROVED, MONEY_UNITS
from tables.project.people import People, as_record
from tables.project.planning import COUNTED_STATUSES, Plan, plan, total
from tables.project.shared_address import SharedAddresses
from tables.project.time_entry import EntryChanges, RowReader, TimeEntries
from tables.project.totals import Totals

CALENDAR_TOPIC: Final = "psa.internal.calendar"
LINK_TOPIC: Final = "psa.internal.project_link"
ASSIGNMENT_TOPIC: Final = "psa.status.assignment"


class ProjectTable:
    """The project table over the documents of one partition, for one chunk."""

    def __init__(
        self,
        documents: Documents,
        outbox: Outbox,
        partition: int,
        read_rows: RowReader,
        landscape: Landscape,
    ) -> None:
        self._documents = documents
        self._outbox = outbox
        self._totals = Totals(documents, outbox, f"project-{partition}")
        # Standing before and after the chunk of the projects it touches.
        self._restood: dict[str, tuple[Standing, Standing]] = {}
        self._entries = TimeEntries(
            documents,
            self._totals,
            outbox,
            read_rows,
            erp_of=lambda row: landscape.erp_of(row.partition(":")[0]),
            owns=lambda project_ref: partition_of(project_ref, PARTITIONS) == partition,
        )
        self._partition = partition
        self._landscape = landscape
        self._people = People(documents)
        self._shared_addresses = SharedAddresses(documents, landscape)
        self._replanned: set[str] = set()  # people, by row
        # What the chunk has of each project, and when it was last changed.
        self._projects: dict[str, ProjectDocument] = {}
        self._changed: dict[str, int] = {}
        # What the ERP shows of entries, as the chunk has it; when and by which rows it changed.
        self._billing: dict[str, BillingDocument] = {}
        self._billing_at: dict[str, int] = {}
        self._billing_rows: set[str] = set()

    def settle(self, timestamp_ms: int) -> None:
        """Publish changed projects and totals, count hours under changed standings; once, last.

        A project may hold thousands of assignments, and a chunk all of them: they are planned once.
        """
        self._shared_addresses.settle(self._is_home, self._totals.owner, self._outbox, timestamp_ms)
        self._settle_billing()
        self._replan(timestamp_ms)
        for key, changed_at_ms in self._changed.items():
            self._store(key, self._projects[key], changed_at_ms)
        changed = {ref: each for ref, each in self._restood.items() if each[0] != each[1]}
        self._entries.projects_changed(changed, timestamp_ms)
        standings = load_standings(self._documents, sorted(self._totals.project_refs()))
        self._totals.settle(standings, timestamp_ms)

    # -- project and context ----------------------------------------------------------------

    def apply_project(self, key: str, fact: Project | None, timestamp_ms: int) -> str:
        """Take in a source project, or its deletion. Raises UnknownSystemError."""
        if fact is not None:
            self._landscape.role_of(fact.source_system)
        document = self._project(key)
        before = standing(document)
        document.project = fact
        self._restand(key, document, before, timestamp_ms)
        return "applied"

    def apply_context(self, key: str, fact: ProjectContext | None, timestamp_ms: int) -> str:
        """Take in what an engagement says of a source project; the key names both."""
        project_ref, _, project_id = key.rpartition("|")
        document = self._project(project_ref)
        before = standing(document)
        if fact is None:
            document.contexts.pop(project_id, None)
        else:
            if fact.is_in_erp and fact.erp is None and len(self._landscape.erps) == 1:
                # Told before there could be several.
                fact = fact.model_copy(update={"erp": self._landscape.erps[0]})
            document.contexts[project_id] = fact
        self._restand(project_ref, document, before, timestamp_ms)
        return "applied"

    def _restand(
        self, key: str, document: ProjectDocument, before: Standing, timestamp_ms: int
    ) -> None:
        after = standing(document)
        store_standing(self._documents, key, after)
        # At once: a row that comes and goes within a chunk has been seen, and the ledgers of
        # `tables.engagement.table` go by what was seen.
        self._store(key, document, timestamp_ms)
        first, _ = self._restood.get(key, (before, before))
        self._restood[key] = (first, after)
        if before.is_known != after.is_known:
            sign = 1 if after.is_known else -1
            for name in self._documents.keys(f"xp:{key}|"):
                expense = self._documents.get(Expense, f"x:{name.rpartition('|')[2]}")
                if expense is not None:
                    self._count_expense(expense, sign)

    # -- assignments ------------------------------------------------------------------------

    def apply_assignment(self, key: str, fact: Assignment | None, timestamp_ms: int) -> str:
        """Take in an assignment, or its deletion."""
        for project_ref in move(self._documents, f"a:{key}", fact.project_ref if fact else None):
            former = self._project(project_ref).assignments.pop(key, None)
            if former is not None:
                self._documents.delete(f"ra:{former.resource_ref}|{key}")
            self._changed[project_ref] = timestamp_ms
        if fact is not None:
            self._documents.put_raw(f"ra:{fact.resource_ref}|{key}", b"1")
            self._project(fact.project_ref).assignments[key] = fact
        return "applied"

    # -- people -----------------------------------------------------------------------------

    def apply_rate_card(self, key: str, fact: RateCard | None, _: int) -> str:
        """Take in a person's rates."""
        self._people.apply_rate_card(key, fact)
        self._replanned.add(key)
        return "applied"

    def apply_resource(self, key: str, fact: Resource | None, _: int) -> str:
        """Take in a person: their working days, and the address their hours carry."""
        former, now = self._people.apply_resource(key, fact)
        reassigned = self._totals.reassign(key, former, now)
        self._shared_addresses.take_in(key, former, now, reassigned)
        self._replanned.add(key)
        if former is not None and now is None and self._is_home(former.resource.resource_id):
            self._outbox.add(CALENDAR_TOPIC, former.resource.resource_id, None)
        return "applied"

    def apply_absence(self, key: str, fact: Absence | None, _: int) -> str:
        """Take in leave or a holiday."""
        self._replanned |= self._people.apply_absence(key, fact)
        return "applied"

    def _replan(self, timestamp_ms: int) -> None:
        """Tell the days of people whose days or rates have changed; plan their projects again."""
        for row in sorted(self._replanned):
            person = self._people.person(row)
            if person is not None and self._is_home(person.resource.resource_id):
                calendar = self._people.calendar(row)
                if calendar is not None:
                    self._outbox.add(CALENDAR_TOPIC, calendar.resource_id, as_record(calendar))
            for name in self._documents.keys(f"ra:{row}|"):
                owner = self._documents.get(Owner, f"a:{name.partition('|')[2]}")
                if owner is not None:
                    self._project(owner.of)
                    self._changed[owner.of] = timestamp_ms

    def _is_home(self, resource_id: str) -> bool:
        """Whether this partition tells a person's days; all of them know every person."""
        return partition_of(resource_id, PARTITIONS) == self._partition

    def _plan(self, assignment: Assignment) -> Plan:
        row = assignment.resource_ref
        return plan(assignment, self._people.calendar(row), self._people.rates(row))

    # -- expenses ---------------------------------------------------------------------------

    def apply_expense(self, key: str, fact: Expense | None, timestamp_ms: int) -> str:
        """Take in an expense, or its deletion."""
        old = self._documents.get(Expense, f"x:{key}")
        if fact and old and (fact.source_position or 0) <= (old.source_position or 0):
            return "stale"
        if old is not None:
            if self._is_known(old.project_ref):
                self._count_expense(old, -1)
            self._documents.delete(f"x:{key}")
            self._documents.delete(f"xp:{old.project_ref}|{key}")
        if fact is None:
            return "applied"
        self._documents.put(f"x:{key}", fact)
        self._documents.put_raw(f"xp:{fact.project_ref}|{key}", b"1")
        if not self._is_known(fact.project_ref):
            return "parked"
        self._count_expense(fact, 1)
        return "applied"

    def _is_known(self, project_ref: str) -> bool:
        return load_standings(self._documents, [project_ref])[project_ref].is_known

    def _count_expense(self, expense: Expense, sign: int) -> None:
        """Add or retract an expense; only approved ones count."""
        if expense.status != APPROVED:
            return
        amount = int(expense.amount * MONEY_UNITS)
        revenue = amount if expense.is_billable else 0
        self._totals.add_margin(
            f"{expense.project_ref}|{expense.spent_on:%Y-%m}|{expense.currency}",
            (0, 0, sign * revenue, sign * amount),
            expense.source_position or 0,
        )

    # -- hours and their billing ------------------------------------------------------------

    def apply_time_entries(self, changes: EntryChanges, timestamp_ms: int) -> Tally:
        """Take in a chunk of time entries."""
        return self._entries.apply(changes, timestamp_ms)

    def apply_time_bill(self, key: str, fact: TimeBill | None, timestamp_ms: int) -> str:
        """Take in a billing transaction of the ERP, or its deletion."""
        entry = fact.time_entry_id if fact else None
        for entry_id, document in self._billing_of(key, entry, timestamp_ms):
            document.bills.pop(key, None)
            if fact is not None and entry_id == entry:
                document.bills[key] = fact
        return "applied"

    def apply_invoice_line(self, key: str, fact: InvoiceLine | None, timestamp_ms: int) -> str:
        """Take in a line of an invoice, or its deletion; every partition gets every line."""
        entry = fact.time_entry_id if fact else None
        for entry_id, document in self._billing_of(key, entry, timestamp_ms):
            document.lines.pop(key, None)
            if fact is not None and entry_id == entry:
                document.lines[key] = fact
        return "applied"

    def _billing_of(
        self, key: str, entry: str | None, timestamp_ms: int
    ) -> list[tuple[str, BillingDocument]]:
        """Return the documents to change of the entries an ERP row touches, former one first.

        An entry may have thousands of rows, and a chunk all of them: they are counted and ordered
        for once. What a row of the chunk said before is taken in first: a bill that comes and
        goes has been seen, and ledgers go by what was seen.
        """
        if key in self._billing_rows:
            self._settle_billing()
        self._billing_rows.add(key)
        touched = move(self._documents, f"b!:{key}", entry)
        for entry_id in touched:
            if entry_id not in self._billing:
                self._billing[entry_id] = (
                    self._documents.get(BillingDocument, f"o:{entry_id}") or BillingDocument()
                )
            self._billing_at[entry_id] = timestamp_ms
        return [(entry_id, self._billing[entry_id]) for entry_id in touched]

    def _settle_billing(self) -> None:
        """Count and order for the entries whose rows in the ERP have changed."""
        if self._billing:
            self._entries.billing_changed(self._billing, self._billing_at)
        self._billing.clear()
        self._billing_at.clear()
        self._billing_rows.clear()

    # -- the project document ---------------------------------------------------------------

    def _project(self, key: str) -> ProjectDocument:
        """Return the document of a project as the chunk has it; name it in `_changed` then."""
        if key not in self._projects:
            self._projects[key] = load_project(self._documents, key)
        return self._projects[key]

    def _store(self, key: str, document: ProjectDocument, timestamp_ms: int) -> None:
        """Publish what follows from the document, and store it."""
        plans = {name: self._plan(each) for name, each in document.assignments.items()}
        self._publish_assignments(key, document, plans, timestamp_ms)
        self._publish_link(key, document, plans)
        self._documents.keep(f"p:{key}", document, ProjectDocument())

    def _publish_link(self, key: str, document: ProjectDocument, plans: Mapping[str, Plan]) -> None:
        project = document.project
        route = project.engagement_id if project and project.project_id else None
        if document.link_route and document.link_route != route:
            former, document.link_route = document.link_route, ""
            document.link = tell(self._outbox, LINK_TOPIC, key, None, document.link, route=former)
        if project is None or route is None:
            return
        link = ProjectLink(**project.model_dump())
        if document.assignments:
            counted = [n for n, a in document.assignments.items() if a.status in COUNTED_STATUSES]
            sums = total([plans[name] for name in counted if plans[name].currency is not None])
            link = link.model_copy(
                update={
                    "assigned_hours": sums.hours,
                    "assigned_cost": sums.cost,
                    "assigned_revenue": sums.revenue,
                    "assigned_currency": sums.currency,
                }
            )
        content, document.link_route = link.model_dump(), route
        document.link = tell(self._outbox, LINK_TOPIC, key, content, document.link, route=route)

    def _publish_assignments(
        self, key: str, document: ProjectDocument, plans: Mapping[str, Plan], timestamp_ms: int
    ) -> None:
        rows: dict[str, Payload] = {}
        for identity, assignment in document.assignments.items():
            person = self._people.person(assignment.resource_ref)
            planned = plans[identity]
            rows[identity] = {
                "id": identity,
                "project_ref": key,
                "project_id": document.project.project_id if document.project else None,
                "resource_id": person.resource.resource_id if person else None,
                "status": assignment.status if planned.currency else "waiting_rate",
                "starts_on": assignment.starts_on,
                "ends_on": assignment.ends_on,
                "planned_hours": planned.hours,
                "planned_cost": planned.cost,
                "planned_revenue": planned.revenue,
                "currency": planned.currency,
            }
        # The project is part of the key: one that moves has a writer on both partitions, and the
        # tombstone of the former must not remove the row of the new one.
        tell_all(
            self._outbox,
            ASSIGNMENT_TOPIC,
            rows,
            document.published,
            key=lambda identity: f"{key}|{identity}",
            as_of_ms=timestamp_ms,
        )
