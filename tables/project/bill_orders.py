"""Which time bills of an entry are kept right in an ERP, and which are left alone.

An approved billable entry of a project the ERP holds should be a time bill in the ERP; anything
else should not be one (`tables.flows.time_bill`). The natural key is the entry on its project, so
an entry that moves to another project is one deletion and one creation, in whichever partitions
they happen. What the ERP shows locks bills (`tables.project.billing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tables.flows.flow import Orders
from tables.flows.time_bill import TIME_BILL, Billable, BillView
from tables.foundation.effects import Outbox
from tables.foundation.ledger import LedgerEntry
from tables.project.billing import BillingDocument


def order_bills(
    document: BillingDocument,
    entry_id: str,
    wanted: Billable | None,
    *,
    erp_of: Callable[[str], str | None],
    is_read: bool,
    owns: Callable[[str], bool],
    correlation: str | None,
    outbox: Outbox,
    timestamp_ms: int,
) -> bool:
    """Order what ERPs should hold of an entry; return whether the document has changed.

    `erp_of` tells whose a row of a time bill is, `owns` whether the time bills of a source project
    are ordered here, `is_read` whether this state has read of the entry, be it that it is gone:
    that nobody has told of it is no reason to take a bill back. Nothing more while it is invoiced
    by a line that names no project: any bill may be the one it used.
    """
    orders = Orders(document.ledgers, outbox, timestamp_ms)
    projects = document.named_projects() | ({wanted.project_ref} if wanted else set())
    uses = document.uses
    has_changed = False
    if is_read:
        has_changed = _adopt_forgotten(
            document, entry_id, filter(owns, projects), erp_of, timestamp_ms
        )
    has_changed |= document.remember_uses(entry_id) or document.uses != uses
    has_changed |= _withdraw_used_up(document, entry_id, orders, correlation)
    if document.is_locked(None):
        return has_changed
    if wanted is not None and document.is_billed_elsewhere(entry_id, wanted.project_ref):
        wanted = None
    for project_ref in sorted(projects):
        if document.is_locked(project_ref):
            continue
        here = wanted if wanted is not None and wanted.project_ref == project_ref else None
        current, surplus = document.slots(entry_id, project_ref, here.erp if here else None)
        contents: dict[str, Billable | None] = dict.fromkeys(surplus)
        is_there = document.bill_in(entry_id, current) is not None
        is_offered = document.is_offered(entry_id, project_ref, current)
        if here is None or not is_offered or not is_there:
            contents[current] = None if is_offered else here
        # Else neither of the bills is rewritten until a person has chosen.
        for slot, content in contents.items():
            before = document.ledgers.get(slot)
            if content is not None:
                document.erps[slot] = content.erp
            elif before is None:
                continue  # nothing of ours is there
            view = BillView(document, entry_id, slot, content, correlation)
            orders.keep(TIME_BILL, view, document.erps[slot], name=slot)
            has_changed |= document.ledgers[slot] != before
    return has_changed


def _adopt_forgotten(
    document: BillingDocument,
    entry_id: str,
    project_refs: Iterable[str],
    erp_of: Callable[[str], str | None],
    timestamp_ms: int,
) -> bool:
    """Know time bills of ours again that state which was lost had ordered.

    They are ours to correct and to delete, whatever has become of the entry since. Returns
    whether the document has changed, but for which bills lines may have used.
    """
    found = {
        slot: document.bill_in(entry_id, slot)
        for slot in document.forgotten(entry_id, project_refs)
    }
    owners = {slot: erp_of(bill.id) for slot, bill in found.items() if bill is not None}
    slots = {slot: erp for slot, erp in owners.items() if erp is not None}
    for slot, erp in slots.items():
        held = TIME_BILL.shown(found[slot])
        document.erps[slot] = erp
        before = document.ledgers.get(slot, LedgerEntry())
        update = {"observed": held, "is_confirmed": False}
        document.ledgers[slot] = before.model_copy(update=update)
        document.adopted_ms = timestamp_ms
    if timestamp_ms <= document.adopted_ms:
        document.guess_uses(entry_id)
    return bool(slots)


def _withdraw_used_up(
    document: BillingDocument, entry_id: str, orders: Orders, correlation: str | None
) -> bool:
    """Take back what is still open of bills that invoice lines name by now.

    A correction or a deletion that the ERP refused is tried again: it must not come through once
    the bill is invoiced. Returns whether the document has changed.
    """
    before = dict(document.ledgers)
    for slot in document.used_up():
        view = BillView(document, entry_id, slot, None, correlation)
        orders.take_back(TIME_BILL, view, document.erps[slot], slot)
    return document.ledgers != before
