"""A capped (not to exceed) contract whose time goes beyond its value, as an exception.

So is a value or a budget below zero, from which no fee can follow.

What counts is what the customer is billed or is to be billed: approved time at its rates until it
is invoiced, then the lines of its invoices less those of credit memos. Time that the ERP has
written off is not billed. Only the contract's currency compares.

No bill is withheld. Which hours lie beyond the value depends on which come first, and a correction
of an early one moves the border: bills of all later ones would be deleted and ordered again, or
are invoiced already. So all are ordered, and a person decides.

State: `cap:<project>` hash of the exception that is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tables.foundation import exceptions
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.project.document import Standing
from tables.project.hours import BLOCKED, CREDITED, INVOICED, READY, TRANSFERRED, money_of

KIND: Final = "contract_over_cap"
CODE: Final = "billing.over_cap"
BILLED: Final = (BLOCKED, READY, TRANSFERRED, INVOICED, CREDITED)
"""States of time and money that the customer has to pay, or is to pay once it can be billed."""

_HINT: Final = (
    "agree on a higher contract value in the CRM; or write off or credit what lies beyond it in "
    "the ERP, or make the time non-billable at its source; until then all of it is billed"
)
_HINT_FAULT: Final = (
    "correct the contract value or the budget at its source; until then no revenue follows from it"
)


def told(documents: Documents, projects: Sequence[str]) -> list[str]:
    """Return the hash of the open exception of each source project, "" where none is open."""
    stored = documents.raw_many([f"cap:{project}" for project in projects])
    return [(value or b"").decode() for value in stored]


def remember(documents: Documents, project: str, before: str, now: str) -> None:
    """Keep what is told now."""
    if now and now != before:
        documents.put_raw(f"cap:{project}", now.encode())
    elif before and not now:
        documents.delete(f"cap:{project}")


def tell(
    outbox: Outbox, project: str, standing: Standing, billed: int, *, told: str, timestamp_ms: int
) -> str:
    """Open, change or resolve the exception of a source project; return what is told now.

    `billed`: what `BILLED` states hold in the contract's currency, in `MONEY_UNITS`.
    """
    subject = exceptions.Subject(
        exception_id=f"billing:{project}",
        system=project.partition(":")[0],
        kind=KIND,
        natural_key=project,
        correlation_id=None,
    )
    finding = _finding(project, standing, billed)
    return exceptions.tell(outbox, subject, finding, told, timestamp_ms)


def _finding(project: str, standing: Standing, billed: int) -> exceptions.Finding | None:
    contract = standing.contract
    if contract.fault is not None:
        return exceptions.Finding(
            code=f"billing.{contract.fault}",
            detail=f"the contract has a value of {contract.value} {contract.currency} "
            f"and a budget of {contract.budget_hours} h",
            hint=_HINT_FAULT,
            payload={
                "project_ref": project,
                "project_id": standing.project_id,
                "contract_value": contract.value,
                "budget_hours": contract.budget_hours,
            },
            amount=None,
            currency=None,
        )
    if contract.cap is None or billed <= contract.cap:
        return None
    value, total = money_of(contract.cap), money_of(billed)
    return exceptions.Finding(
        code=CODE,
        detail=f"{total:.2f} {contract.currency} are billed or to be billed, "
        f"the contract is capped at {value:.2f}",
        hint=_HINT,
        payload={
            "project_ref": project,
            "project_id": standing.project_id,
            "contract_value": value,
            "billed": total,
        },
        amount=money_of(billed - contract.cap),
        currency=contract.currency,
    )
