"""Two people at one address: rows of the resource tool that may be one human, as an exception.

A person is a row of the resource tool. Hours name their worker by address only, so where two rows
have the same present address and their employments overlap, the hours count for one of them
alone, and nobody but the firm knows whether the other is a second row of the same human or has a
wrong address. Rows that follow each other in time are no such case: the address has moved on.

State: `sh:<address>` who has an address at present.
"""

from __future__ import annotations

from datetime import date
from itertools import combinations
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from tables.documents import Documents
from tables.effects import Outbox
from tables.exceptions import Finding, Subject, tell
from tables.people import Person

KIND: Final = "shared_address"
CODE: Final = "person.shared_address"
_PLACEHOLDER: Final = "placeholder"
_HINT: Final = (
    "if they are one human, archive one row from the day on which the other begins; "
    "if not, correct the address of one of them in the resource tool"
)


class Holder(BaseModel):
    """Days of employment, both included, on which a person has an address."""

    model_config = ConfigDict(frozen=True)

    starts_on: date
    ends_on: date


class Holders(BaseModel):
    """Who has an address at present, by row, and the hash of the exception that is open."""

    holders: dict[str, Holder] = Field(default_factory=dict)
    told: str = ""

    def at_once(self) -> list[str]:
        """Return the rows that have the address while another one has it, too."""
        found: set[str] = set()
        for (one, its), (other, others) in combinations(sorted(self.holders.items()), 2):
            # Not for somebody whose last day is before the first: that is no day at all.
            if max(its.starts_on, others.starts_on) <= min(its.ends_on, others.ends_on):
                found |= {one, other}
        return sorted(found)


def present(person: Person | None) -> tuple[str, Holder] | None:
    """Return the address a person has at present, and when; None for nobody and placeholders."""
    if person is None or person.resource.kind == _PLACEHOLDER or not person.addresses:
        return None
    address = person.addresses[-1][1]
    last = person.employments[-1]
    has_left_unknown_when = person.resource.is_active is False and last.ends_on is None
    if address is None or has_left_unknown_when:
        return None
    return address, Holder(starts_on=last.starts_on or date.min, ends_on=last.ends_on or date.max)


def take_in(documents: Documents, row: str, former: Person | None, now: Person | None) -> list[str]:
    """Take in a change of a person; return the addresses it touches."""
    before, after = present(former), present(now)
    if before == after:
        return []
    for held, is_gone in ((before, True), (after, False)):
        if held is None:
            continue
        address, holder = held
        document = _load(documents, address)
        if is_gone:
            document.holders.pop(row, None)
        else:
            document.holders[row] = holder
        _store(documents, address, document)
    return sorted({held[0] for held in (before, after) if held is not None})


def report(
    documents: Documents,
    address: str,
    owner: str | None,
    *,
    system: str,
    outbox: Outbox,
    timestamp_ms: int,
) -> None:
    """Open, change or resolve the exception of an address of the resource tool `system`.

    `owner` is whose its hours are.
    """
    document = _load(documents, address)
    rows = document.at_once()
    subject = Subject(f"person:{address}", system, KIND, address, None)
    finding = Finding(
        code=CODE,
        detail=f"{' and '.join(rows)} have one address; its hours count for {owner}",
        hint=_HINT,
        payload={"people": ",".join(rows)},
        amount=None,
        currency=None,
    )
    told = tell(outbox, subject, finding if rows else None, document.told, timestamp_ms)
    if told != document.told:
        document.told = told
        _store(documents, address, document)


def _load(documents: Documents, address: str) -> Holders:
    return documents.get(Holders, f"sh:{address}") or Holders()


def _store(documents: Documents, address: str, document: Holders) -> None:
    if document == Holders():
        documents.delete(f"sh:{address}")
    else:
        documents.put(f"sh:{address}", document)
