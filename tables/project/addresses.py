"""Whose hours are booked under an e-mail address: hours name their worker by address only.

Addresses change and are given to others later, so an address is a person's from a day on, until
it is the next person's. Resolved late, when totals are published: hours that come before their
person count under the address, and move to the person once it is known.

State: `al:<address>` who claims an address.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import lru_cache

from pydantic import BaseModel, Field

from tables.foundation.documents import Documents
from tables.project.people import Person


class Address(BaseModel):
    """Who claims an address: source row → its days, each with the person from that day on."""

    claims: dict[str, list[tuple[date, str]]] = Field(default_factory=dict)

    def owner(self, day: date) -> str | None:
        """Return the person an address belongs to on a day; the first one before all claims."""
        claims = sorted(
            (starts_on, row, person)
            for row, each in self.claims.items()
            for starts_on, person in each
        )
        earlier = [claim for claim in claims if claim[0] <= day]
        latest = earlier[-1] if earlier else claims[0] if claims else None
        return latest and latest[2]


class Addresses:
    """The addresses of a partition, for one chunk."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._former: dict[str, Address] = {}
        self._changed: dict[str, Address] = {}

    def reassign(self, row: str, former: Person | None, now: Person | None) -> set[str]:
        """Take in a change of a person; return the addresses whose claims have changed."""
        old, new = _claims(former), _claims(now)
        changed = {each for each in old.keys() | new.keys() if old.get(each) != new.get(each)}
        for address in sorted(changed):
            if address not in self._changed:
                self._changed[address] = self._load([address])[0]
                self._former[address] = self._changed[address].model_copy(deep=True)
            document = self._changed[address]
            document.claims.pop(row, None)
            if address in new:
                document.claims[row] = new[address]
        return changed

    def settle(self) -> None:
        """Store what changed; once, last. A chunk may bring thousands who have one address."""
        for address, document in self._changed.items():
            self._documents.keep(f"al:{address}", document, Address())

    def present_owner(self, address: str) -> str | None:
        """Return the person whose an address is since its last claim."""
        return self._load([address])[0].owner(date.max)

    def owners(self, keys: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return whose each (address, ISO week) was before the chunk, and whose it is now.

        An address nobody claims stands for itself. A week is whoever's it is on its last day.
        """
        keys = list(keys)
        names = list(dict.fromkeys(address for address, _ in keys))
        now = dict(zip(names, self._load(names), strict=True))
        found = []
        for address, week in keys:
            day = _last_day(week)
            current = now[address]
            former = self._former.get(address, current)
            found.append((former.owner(day) or address, current.owner(day) or address))
        return found

    def _load(self, addresses: list[str]) -> list[Address]:
        stored = self._documents.raw_many([f"al:{address}" for address in addresses])
        return [
            self._changed.get(address) or (Address.model_validate_json(data) if data else Address())
            for address, data in zip(addresses, stored, strict=True)
        ]


def _claims(person: Person | None) -> dict[str, list[tuple[date, str]]]:
    claims: dict[str, list[tuple[date, str]]] = {}
    for address, starts_on in person.claims() if person else ():
        assert person is not None
        claims.setdefault(address, []).append((starts_on, person.resource.resource_id))
    return claims


@lru_cache(4096)
def _last_day(iso_week: str) -> date:
    return date.fromisocalendar(int(iso_week[:4]), int(iso_week[6:]), 7)
