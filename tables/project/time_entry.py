"""Time entries of a partition: rows, and what a change of rows or of their project moves.

A change is retracted and added again: contributions of the old row under the old standing of its
project, less; contributions of the new row under the new standing, more. So updates, deletions,
moves between projects, re-deliveries and a project that appears late are one operation, and the
totals equal a recomputation from the rows.

State: `t:<id>` the row as received; `i:<project>|<id>` rows that wait for their project to be
known or to reach the ERP; `o:<id>` what the ERP shows of an entry (`tables.project.billing`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import polars as pl

from tables.flows.time_bill import Billable
from tables.foundation.columns import Column, Get, known, named, negated, those
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox, Tally
from tables.project.bill_orders import order_bills
from tables.project.billing import BillingDocument
from tables.project.billing_difference import EntryNow, report
from tables.project.document import Standing, load_standings
from tables.project.hours import (
    APPROVED,
    TRANSFERRED,
    WRITTEN_OFF,
    contributions,
    each_contribution,
    exact_seconds,
    is_counted,
    is_priced,
)
from tables.project.totals import Totals

FULL_SCAN_BATCH: Final = 20_000


class RowReader(Protocol):
    """Decodes stored and received rows; owned here, implemented on the chunk codec."""

    def __call__(self, values: Sequence[bytes]) -> pl.DataFrame:
        """Return one row a value with the columns of `canonical/time_entry`, in order."""


@dataclass(frozen=True, slots=True)
class EntryChanges:
    """Changes of one chunk in offset order: `ids[i]` has the new value `values[i]` or is gone."""

    ids: Sequence[str]
    values: Sequence[bytes | None]
    frame: pl.DataFrame  # decoded values, tombstones left out, in order


class TimeEntries:
    """The time entries of one partition, for one chunk."""

    def __init__(
        self,
        documents: Documents,
        totals: Totals,
        outbox: Outbox,
        read_rows: RowReader,
        *,
        erp_of: Callable[[str], str | None],
        owns: Callable[[str], bool],
    ) -> None:
        """`owns` tells whether a source project belongs to this partition, `erp_of` whose a row
        of a time bill is."""
        self._owns = owns
        self._erp_of = erp_of
        self._documents = documents
        self._totals = totals
        self._outbox = outbox
        self._read_rows = read_rows

    def apply(self, changes: EntryChanges, timestamp_ms: int) -> Tally:
        """Take in changes; every one is counted as applied, stale or parked."""
        ids = list(dict.fromkeys(changes.ids))
        stored = self._documents.raw_many([f"t:{entry}" for entry in ids])
        old = self._read_rows([value for value in stored if value is not None])
        latest = latest_of(changes, old)
        if not old.is_empty() and len(latest.index) < len(ids):
            old = old.filter(pl.col("id").is_in(list(latest.index)))
        gone_unseen = []
        for entry, value in zip(ids, stored, strict=True):
            if entry in latest.removed:
                if value is not None:
                    self._documents.delete(f"t:{entry}")
                else:
                    self._documents.put_raw(f"g:{entry}", b"1")
                    gone_unseen.append(entry)
        new = standing_rows(changes, latest)
        for entry in new["id"].to_list():
            self._documents.put_raw(f"t:{entry}", changes.values[latest.index[entry]] or b"")
        parked = self._move(old, new, gone_unseen, timestamp_ms)
        applied = len(changes.ids) - latest.stale - parked
        return Tally(applied=applied, stale=latest.stale, parked=parked)

    def projects_changed(
        self, changed: Mapping[str, tuple[Standing, Standing]], timestamp_ms: int
    ) -> None:
        """Count the entries of projects under their new standings: before and after, by project.

        All projects of a chunk at once, since a snapshot brings thousands of them.
        """
        ids: list[str] = []
        everything: set[str] = set()
        for project_ref, (before, after) in changed.items():
            if before.project_id != after.project_id:
                self._totals.republish(project_ref)
            if before.contract != after.contract or before.is_known != after.is_known:
                self._totals.republish(project_ref)
            is_worse = before.is_known > after.is_known or before.is_in_erp > after.is_in_erp
            was = before.project_id, before.erp
            is_other = before.is_in_erp and was != (after.project_id, after.erp)
            # Before the ERP holds a project, the index has all that its contract may bill.
            is_priced_anew = before.is_in_erp and before.contract.rule != after.contract.rule
            if is_worse or is_other or is_priced_anew:
                everything.add(project_ref)
            else:
                ids += self._waiting(project_ref)
        ids += self._all_of(everything)
        if not ids:
            return
        stored = self._documents.raw_many([f"t:{entry}" for entry in ids])
        rows = self._read_rows([value for value in stored if value is not None])
        billed = self._billing(ids)
        former = {ref: old for ref, (old, _) in changed.items()}
        retracted = self._with_context(rows, former, billed, [-1] * rows.height)
        standings = {ref: new for ref, (_, new) in changed.items()}
        added = self._with_context(rows, standings, billed, [1] * rows.height)
        self._count(pl.concat([retracted, added]), billed, billed)
        self._index(added)
        self._order(added, standings, billed, lambda _: timestamp_ms)

    def billing_changed(
        self, changed: Mapping[str, BillingDocument], at: Mapping[str, int]
    ) -> None:
        """Count entries under what the ERP shows of them now, and order what follows.

        All entries of a chunk at once, since a snapshot brings thousands of them. `at` is when each
        has changed, in milliseconds.
        """
        before = dict.fromkeys(changed, BillingDocument()) | self._billing(list(changed))
        for entry, after in changed.items():
            self._documents.put(f"o:{entry}", after)
            for project_ref in filter(self._owns, before[entry].projects() | after.projects()):
                for sign, document in ((-1, before[entry]), (1, after)):
                    for key, amounts in document.totals(project_ref).items():
                        self._totals.add_billing(key, tuple(sign * each for each in amounts))
        stored = self._documents.raw_many([f"t:{entry}" for entry in changed])
        rows = self._read_rows([value for value in stored if value is not None])
        standings = load_standings(
            self._documents, list(dict.fromkeys(rows["project_ref"].to_list()))
        )
        added = self._with_context(rows, standings, changed, [1] * rows.height)
        if not rows.is_empty():
            retracted = self._with_context(rows, standings, before, [-1] * rows.height)
            self._count(pl.concat([retracted, added]), before, changed)
        unread = changed.keys() - set(rows["id"])
        marks = self._documents.raw_many([f"g:{entry}" for entry in sorted(unread)])
        unread -= {entry for entry, mark in zip(sorted(unread), marks, strict=True) if mark}
        self._order(added, standings, changed, at.__getitem__, unread)

    # -- steps of a change ------------------------------------------------------------------

    def _move(
        self, old: pl.DataFrame, new: pl.DataFrame, gone_unseen: list[str], timestamp_ms: int
    ) -> int:
        """Replace old rows by new ones in the totals; return how many wait for their project.

        `gone_unseen` are entries of which this state has read nothing but that they are gone.
        """
        rows = pl.concat([old, new])
        ids = list(dict.fromkeys([*rows["id"].to_list(), *gone_unseen]))
        projects = list(dict.fromkeys(rows["project_ref"].to_list()))
        standings = load_standings(self._documents, projects)
        billed = self._billing(ids)
        rows = self._with_context(rows, standings, billed, [-1] * old.height + [1] * new.height)
        retracted, added = rows[: old.height], rows[old.height :]
        self._count(rows, billed, billed)
        self._unindex(retracted)
        self._index(added)
        self._order(added, standings, billed, lambda _: timestamp_ms)
        return len(self._those(added, _is_unknown, named("id")))

    def _count(
        self,
        rows: pl.DataFrame,
        before: Mapping[str, BillingDocument],
        after: Mapping[str, BillingDocument],
    ) -> None:
        """Add what rows contribute, and what of their invoices they cover.

        `before` is what the ERP shows of those that are retracted, `after` of the others.
        """
        is_few = rows.height <= self._outbox.few
        self._totals.add(each_contribution(rows) if is_few else contributions(rows))
        if not (before or after):
            return
        columns = named("sign"), named("id"), named("project_ref"), exact_seconds
        for sign, entry, project_ref, seconds in self._those(rows, is_counted, *columns):
            document = (before if sign < 0 else after).get(entry)
            if document is not None:
                for key, amounts in document.cover(project_ref, seconds).items():
                    self._totals.add_billing(key, tuple(sign * each for each in amounts))

    def _those(self, rows: pl.DataFrame, rule: Column, *columns: Column) -> list[tuple[Any, ...]]:
        return those(rows, rule, columns, self._outbox.few)

    def _billing(self, ids: Sequence[str]) -> dict[str, BillingDocument]:
        stored = self._documents.raw_many([f"o:{entry}" for entry in ids])
        return {
            entry: BillingDocument.model_validate_json(value)
            for entry, value in zip(ids, stored, strict=True)
            if value is not None
        }

    def _order(
        self,
        rows: pl.DataFrame,
        standings: Mapping[str, Standing],
        billed: Mapping[str, BillingDocument],
        at: Callable[[str], int],
        unread: Collection[str] = (),
    ) -> None:
        """Order time bills for rows of projects in the ERP; take back those no longer wanted.

        Time that is invoiced is left alone; what it disagrees about is reported. `unread` are
        entries of which nothing has been read yet.
        """
        wanted: dict[str, tuple[Billable, str | None]] = {}
        columns = (
            *map(named, ("correlation_id", "id", "project_ref", "work_on")),
            exact_seconds,
            *map(named, ("bill_rate", "currency")),
        )
        for correlation, entry, project, *content in self._those(rows, _is_due, *columns):
            project_id, erp = standings[project].project_id, standings[project].erp
            if project_id is not None and erp is not None:
                wanted[entry] = (Billable(erp, project, project_id, *content), correlation)
        now = _entries_now(rows, billed)
        for entry in dict.fromkeys([*wanted, *billed]):
            document = billed.get(entry) or BillingDocument()
            billable, correlation = wanted.get(entry, (None, None))
            timestamp_ms = at(entry)
            has_changed = order_bills(
                document,
                entry,
                billable,
                erp_of=self._erp_of,
                is_read=entry not in unread,
                owns=self._owns,
                correlation=correlation,
                outbox=self._outbox,
                timestamp_ms=timestamp_ms,
            )
            for project_ref in sorted(document.reported()):
                if self._owns(project_ref or entry):  # every partition has every line
                    has_changed |= report(
                        document,
                        entry,
                        project_ref,
                        now.get((entry, project_ref)),
                        outbox=self._outbox,
                        timestamp_ms=timestamp_ms,
                    )
            if has_changed:
                self._documents.put(f"o:{entry}", document)

    # -- the index of waiting rows ----------------------------------------------------------

    def _index(self, rows: pl.DataFrame) -> None:
        """Remember rows that wait: their project is unknown, or is not in the ERP to bill them."""
        columns = named("project_ref"), named("id")
        for project, entry in self._those(rows, _is_waiting, *columns):
            self._documents.put_raw(f"i:{project}|{entry}", b"1")

    def _unindex(self, rows: pl.DataFrame) -> None:
        columns = named("project_ref"), named("id")
        for project, entry in self._those(rows, _might_wait, *columns):
            self._documents.delete(f"i:{project}|{entry}")

    def _with_context(
        self,
        rows: pl.DataFrame,
        standings: Mapping[str, Standing],
        billed: Mapping[str, BillingDocument],
        signs: list[int],
    ) -> pl.DataFrame:
        is_few = rows.height <= self._outbox.few
        return (_each_with_context if is_few else _with_context)(rows, standings, billed, signs)

    def _waiting(self, project_ref: str) -> list[str]:
        """Take the waiting rows of a project out of the index."""
        prefix = f"i:{project_ref}|"
        keys = self._documents.keys(prefix)
        for key in keys:
            self._documents.delete(key)
        return [key.removeprefix(prefix) for key in keys]

    def _all_of(self, project_refs: set[str]) -> list[str]:
        """Find every entry of projects by reading the whole partition: rare and unhurried."""
        if not project_refs:
            return []
        keys = self._documents.keys("t:")
        found: list[str] = []
        for start in range(0, len(keys), FULL_SCAN_BATCH):
            stored = self._documents.raw_many(keys[start : start + FULL_SCAN_BATCH])
            rows = self._read_rows([value for value in stored if value is not None])
            found += rows.filter(pl.col("project_ref").is_in(project_refs))["id"].to_list()
        return found


def _is_due(get: Get) -> Any:
    """Whether an entry is to be billed."""
    is_approved = known(get("is_in_erp"), False) & (get("status") == APPROVED)
    return is_approved & get("is_billable") & known(get("is_hourly"), False) & is_priced(get)


def _is_waiting(get: Get) -> Any:
    is_approved = (get("status") == APPROVED) & get("is_billable")
    is_outside = negated(known(get("is_in_erp"), False)) & is_approved
    return _is_unknown(get) | is_outside


def _is_unknown(get: Get) -> Any:
    return negated(known(get("is_known"), False))


def _might_wait(get: Get) -> Any:
    return negated(known(get("is_in_erp"), False))


def _each_with_context(
    rows: pl.DataFrame,
    standings: Mapping[str, Standing],
    billed: Mapping[str, BillingDocument],
    signs: list[int],
) -> pl.DataFrame:
    """As `_with_context`, row by row."""
    of_projects = [standings.get(ref) for ref in rows["project_ref"].to_list()]
    of_entries: list[tuple[str | None, int | None, bool | None]] = [
        _shown(billed[entry], entry, ref) if entry in billed else (None, None, None)
        for entry, ref in zip(rows["id"].to_list(), rows["project_ref"].to_list(), strict=True)
    ]
    columns: dict[str, tuple[list[Any], type[pl.DataType]]] = {
        "is_known": ([each and each.is_known for each in of_projects], pl.Boolean),
        "is_in_erp": ([each and each.is_in_erp for each in of_projects], pl.Boolean),
        "is_hourly": ([each and each.contract.rule.is_hourly for each in of_projects], pl.Boolean),
        "is_paid": ([each and each.contract.rule.is_paid for each in of_projects], pl.Boolean),
        "billed": ([each[0] for each in of_entries], pl.String),
        "invoiced": ([each[1] for each in of_entries], pl.Int64),
        "is_locked": ([each[2] for each in of_entries], pl.Boolean),
        "sign": (signs, pl.Int64),
    }
    found = rows.hstack(
        [pl.Series(name, values, dtype=dtype) for name, (values, dtype) in columns.items()]
    )
    if not found["is_billable"].null_count():
        return found
    return found.with_columns(pl.col("is_billable").fill_null(value=False))


def _with_context(
    rows: pl.DataFrame,
    standings: Mapping[str, Standing],
    billed: Mapping[str, BillingDocument],
    signs: list[int],
) -> pl.DataFrame:
    """Add what contributions depend on beside the row: standing, billing and `signs`."""
    of_project = pl.DataFrame(
        {
            "project_ref": list(standings),
            "is_known": [each.is_known for each in standings.values()],
            "is_in_erp": [each.is_in_erp for each in standings.values()],
            "is_hourly": [each.contract.rule.is_hourly for each in standings.values()],
            "is_paid": [each.contract.rule.is_paid for each in standings.values()],
        },
        schema={
            "project_ref": pl.String,
            "is_known": pl.Boolean,
            "is_in_erp": pl.Boolean,
            "is_hourly": pl.Boolean,
            "is_paid": pl.Boolean,
        },
    )
    of_entry = pl.DataFrame(
        [
            (entry, project_ref, *_shown(billed[entry], entry, project_ref))
            for entry, project_ref in dict.fromkeys(rows.select("id", "project_ref").iter_rows())
            if entry in billed
        ]
        if billed
        else [],
        schema={
            "id": pl.String,
            "project_ref": pl.String,
            "billed": pl.String,
            "invoiced": pl.Int64,
            "is_locked": pl.Boolean,
        },
        orient="row",
    )
    return (
        rows.join(of_project, on="project_ref", how="left", maintain_order="left")
        .join(of_entry, on=["id", "project_ref"], how="left", maintain_order="left")
        .with_columns(
            pl.Series("sign", signs, dtype=pl.Int64),
            pl.col("is_billable").fill_null(value=False),
        )
    )


def _shown(document: BillingDocument, entry: str, project_ref: str) -> tuple[str | None, int, bool]:
    """Return what the ERP shows of an entry on a project: bill, invoiced seconds, lock."""
    bill = document.bill(entry, project_ref)
    state = None
    if bill is not None:
        state = WRITTEN_OFF if bill.is_billable is False else TRANSFERRED
    invoiced = sum(net.seconds for net in document.invoiced(project_ref).values())
    is_locked = (
        document.is_locked(project_ref)
        or document.is_billed_elsewhere(entry, project_ref)
        or document.left_over(entry, project_ref) != 0
    )
    return state, invoiced, is_locked


def _entries_now(
    rows: pl.DataFrame, billed: Mapping[str, BillingDocument]
) -> dict[tuple[str, str], EntryNow]:
    """Return the entries that something can disagree with, by id and source project."""
    reported = [entry for entry, document in billed.items() if document.reported()]
    if not reported:
        return {}
    columns = (
        *("id", "project_ref", "status", "is_billable", "is_hourly"),
        exact_seconds(pl.col),
        *("bill_rate", "currency", "correlation_id"),
    )
    some = rows.filter(pl.col("id").is_in(reported)).select(columns)
    return {(entry, ref): EntryNow(*rest) for entry, ref, *rest in some.iter_rows()}


@dataclass(frozen=True, slots=True)
class Latest:
    """The last change of each changed entry: index into the chunk, and those that are gone."""

    index: dict[str, int]
    removed: set[str]
    stale: int  # changes at or below a position that was already there


def latest_of(changes: EntryChanges, old: pl.DataFrame) -> Latest:
    """Pick the change of each entry that stands at the end of the chunk. Upholds I3."""
    positions = iter(changes.frame["source_position"].to_list())
    newest = dict(zip(old["id"].to_list(), old["source_position"].to_list(), strict=True))
    index: dict[str, int] = {}
    removed: set[str] = set()
    stale = 0
    for row, (entry, value) in enumerate(zip(changes.ids, changes.values, strict=True)):
        if value is None:
            index[entry] = row
            removed.add(entry)
            newest.pop(entry, None)
            continue
        position = next(positions) or 0
        if entry in newest and position <= (newest[entry] or 0):
            stale += 1
            continue
        newest[entry] = position
        index[entry] = row
        removed.discard(entry)
    return Latest(index, removed, stale)


def standing_rows(changes: EntryChanges, latest: Latest) -> pl.DataFrame:
    """Return the rows that stand at the end of the chunk."""
    row_of_value: dict[int, int] = {}
    for row, value in enumerate(changes.values):
        if value is not None:
            row_of_value[row] = len(row_of_value)
    chosen = [
        row_of_value[row] for entry, row in latest.index.items() if entry not in latest.removed
    ]
    if chosen == list(range(changes.frame.height)):
        return changes.frame
    return changes.frame[chosen]
