"""Two people at one address: rows of the resource tool that may be one human, as an exception.

A person is a row of the resource tool. Hours name their worker by address only, so where two rows
have the same present address and their employments overlap, the hours count for one of them
alone, and nobody but the firm knows whether the other is a second row of the same human or has a
wrong address. Rows that follow each other in time are no such case: the address has moved on.

State: `sh:<address>` who has an address at present.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from schemas.landscape import Landscape, Role
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.exceptions import Finding, Subject, tell
from tables.project.people import Person

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
        # Not for somebody whose last day is before the first: that is no day at all.
        days = (each for each in self.holders.items() if each[1].starts_on <= each[1].ends_on)
        found: set[str] = set()
        longest, until = "", None  # of those that began before, who has it longest
        for row, its in sorted(days, key=lambda each: (each[1].starts_on, each[0])):
            if until is not None and its.starts_on <= until:
                found |= {longest, row}
            if until is None or its.ends_on > until:
                longest, until = row, its.ends_on
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


class SharedAddresses:
    """Who has which address, for one chunk; it may bring thousands who have the same one."""

    def __init__(self, documents: Documents, landscape: Landscape) -> None:
        self._documents = documents
        self._landscape = landscape
        self._changed: dict[str, Holders] = {}

    def take_in(
        self, row: str, former: Person | None, now: Person | None, reassigned: Iterable[str]
    ) -> None:
        """Take in a change of a person that may give the hours of addresses to another one.

        It may do so where nobody's present address changes: placeholders claim addresses, too.
        """
        for address in reassigned:
            self._change(address)
        before, after = present(former), present(now)
        if before == after:
            return
        if before is not None:
            self._change(before[0]).holders.pop(row, None)
        if after is not None:
            self._change(after[0]).holders[row] = after[1]

    def settle(
        self,
        is_home: Callable[[str], bool],
        owner: Callable[[str], str | None],
        outbox: Outbox,
        timestamp_ms: int,
    ) -> None:
        """Store what changed, and tell of the addresses that are at home here; once, last.

        `owner` says whose the hours of an address are.
        """
        for address, document in sorted(self._changed.items()):
            if is_home(address):
                subject = Subject(
                    exception_id=f"person:{address}",
                    system=self._landscape.named_for(Role.RESOURCE),
                    kind=KIND,
                    natural_key=address,
                    correlation_id=None,
                )
                finding = _finding(document.at_once(), owner(address))
                document.told = tell(outbox, subject, finding, document.told, timestamp_ms)
            self._documents.keep(f"sh:{address}", document, Holders())

    def _change(self, address: str) -> Holders:
        if address not in self._changed:
            stored = self._documents.get(Holders, f"sh:{address}")
            self._changed[address] = stored or Holders()
        return self._changed[address]


def _finding(rows: list[str], owner: str | None) -> Finding | None:
    """Return what is wrong with an address of these rows, whose hours are its owner's."""
    if not rows:
        return None
    return Finding(
        code=CODE,
        detail=f"{' and '.join(rows)} have one address; its hours count for {owner}",
        hint=_HINT,
        payload={"people": ",".join(rows)},
        amount=None,
        currency=None,
    )
