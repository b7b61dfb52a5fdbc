"""Sinks on ERPs whose records bear numbers of ours, in the companies that they belong to.

Such an ERP has no upsert and no idempotency key. A record is found by its number and written then,
as it was read or not at all. A customer is kept in each of the companies; a project is in the one
of its legal entity, and what belongs to it is written there.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from connectors.dispatch.commands import Command, Payload, Problem
from connectors.dispatch.content import Difference, differences, holds
from connectors.dispatch.sink import Applied
from connectors.toolkit.faults import Fault, Reason, VendorRejectedError
from connectors.toolkit.http import VendorClient
from schemas.commands import (
    DeleteProject,
    DeleteTimeBill,
    UpdateProjectBudget,
    UpsertCustomer,
    UpsertProject,
    UpsertTimeBill,
)
from schemas.errors import InvalidEntityError

NO_PROJECT: Final = "PROJECT_MISSING"
NUMBER_MAX: Final = 20
"""Characters of a number."""
_BAD_REQUEST: Final = 400
_HOUR_S: Final = 3600
_DELETES: Final = frozenset({DeleteProject.kind, DeleteTimeBill.kind})


class Wish(Protocol):
    """What a command wants of one record; without content, that it is gone.

    `made` is False where there must be one already.
    """

    @property
    def number(self) -> str:
        """Number of the record."""

    @property
    def content(self) -> Payload | None:
        """What it holds."""

    @property
    def made(self) -> bool:
        """Whether one is made where there is none."""


class Held(Protocol):
    """A record as it was found."""

    @property
    def id(self) -> str:
        """The ERP's own id of it."""

    @property
    def row(self) -> Mapping[str, Any]:
        """What it shows."""


WishT = TypeVar("WishT", bound=Wish)
HeldT = TypeVar("HeldT", bound=Held)


class NumberedSink(ABC, Generic[WishT, HeldT]):
    """What all such sinks do of a command. `title` is what people call the ERP."""

    system: ClassVar[str]
    title: ClassVar[str]
    project_field: ClassVar[str]
    """Field of a project's number, of which a refusal for want of one is told."""

    def __init__(self, client: VendorClient) -> None:
        self._client = client

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def execute(self, command: Command, known_id: str | None = None) -> Applied:
        """Find the record by its number, in each of its companies, and write what differs."""
        ids, doubles = [], []
        for wish in await self._wishes(command):
            found = await self.find(wish)
            if wish.content is None:
                await self.delete(found)
                continue
            ids.append(await self._put(wish, wish.content, found))
            doubles += found[1:]
        return Applied(is_gone=True) if not ids else Applied(ids[0], self.warning(ids[0], doubles))

    async def look(self, command: Command, known_id: str | None = None) -> Applied | None:
        """Read the record by its number and compare it with the content of the command."""
        ids, doubles, changes = [], [], list[Difference]()
        is_lacking = False
        for wish in await self._wishes(command, is_look=True):
            found = await self.find(wish)
            if wish.content is None:
                if found:
                    return Applied(found[0].id, differs=True)
                continue
            if not found:
                is_lacking = True  # where another of its companies has it
                continue
            changes += differences(found[0].row, wish.content)
            ids.append(found[0].id)
            doubles += found[1:]
        if not ids:
            return Applied(is_gone=True) if command.kind in _DELETES else None
        applied = Applied(ids[0], self.warning(ids[0], doubles)).differing(changes)
        return replace(applied, differs=applied.differs or is_lacking)

    @abstractmethod
    async def find(self, wish: WishT) -> list[HeldT]:
        """Return the records with the number, in an order that lasts.

        The number is compared here: what a vendor ignores of a question must not look like a match.
        """

    @abstractmethod
    async def create(self, wish: WishT, content: Payload) -> str:
        """Make the record; return its id."""

    @abstractmethod
    async def change(self, record: HeldT, content: Payload) -> str:
        """Write the record as it was read, or not at all; return its id."""

    @abstractmethod
    async def delete(self, found: list[HeldT]) -> None:
        """Delete the records as they were read, or not at all."""

    @abstractmethod
    def is_there(self, error: VendorRejectedError) -> bool:
        """Whether a record was refused because its number is taken."""

    @abstractmethod
    def warning(self, kept: str, doubles: Sequence[HeldT]) -> Problem | None:
        """Say that a number is there twice, where no key keeps it single."""

    @abstractmethod
    async def upsert_customer(self, command: Command) -> list[WishT]:
        """A customer in each company."""

    @abstractmethod
    async def upsert_project(self, command: Command) -> list[WishT]:
        """A project, in the company that is its legal entity."""

    @abstractmethod
    async def update_project_budget(self, command: Command) -> list[WishT]:
        """The budget of a project, wherever it is."""

    @abstractmethod
    async def delete_project(self, command: Command) -> list[WishT]:
        """A project that is nowhere."""

    @abstractmethod
    async def upsert_time_bill(self, command: Command) -> list[WishT]:
        """What bills time, in the company that has the project."""

    @abstractmethod
    async def delete_time_bill(self, command: Command) -> list[WishT]:
        """What bills time, in no company."""

    def number_of(self, canonical_id: str) -> str:
        """Return the number of a record of ours. Raises InvalidEntityError."""
        return number_of(canonical_id, self.title)

    def rejected(self, fault: Fault, reason: Reason) -> VendorRejectedError:
        """Return a refusal that is ours: the ERP was not asked."""
        context = {"system": self.system}
        return VendorRejectedError(_BAD_REQUEST, [fault], context=context, reason=reason)

    def no_project(self, number: str) -> VendorRejectedError:
        """Return the refusal of what belongs to a project that is nowhere."""
        fault = Fault(NO_PROJECT, f"no company holds the project {number}", self.project_field)
        return self.rejected(fault, Reason.REFERENCE)

    async def _wishes(self, command: Command, *, is_look: bool = False) -> list[WishT]:
        """What the command wants, a record each.

        Nothing, where a look finds no project. Raises InvalidEntityError for a kind or a number
        that cannot be, VendorRejectedError where a project is nowhere.
        """
        makers: Mapping[str, Callable[[Command], Awaitable[list[WishT]]]] = {
            UpsertCustomer.kind: self.upsert_customer,
            UpsertProject.kind: self.upsert_project,
            UpdateProjectBudget.kind: self.update_project_budget,
            DeleteProject.kind: self.delete_project,
            UpsertTimeBill.kind: self.upsert_time_bill,
            DeleteTimeBill.kind: self.delete_time_bill,
        }
        make = makers.get(command.kind)
        if make is None:
            raise InvalidEntityError(
                f"{self.title} has no command of kind {command.kind}",
                context={"command_id": command.command_id},
            )
        try:
            return await make(command)
        except VendorRejectedError as error:
            if is_look and error.vendor_code == NO_PROJECT:
                return []
            raise

    async def _put(self, wish: WishT, content: Payload, found: list[HeldT]) -> str:
        if not found:
            if not wish.made:
                raise self.no_project(wish.number)
            try:
                return await self.create(wish, content)
            except VendorRejectedError as error:
                # It has come to be since it was looked for: by an earlier attempt, or by hand.
                if not self.is_there(error) or not (found := await self.find(wish)):
                    raise
        if holds(found[0].row, content):
            return found[0].id
        return await self.change(found[0], content)


def number_of(canonical_id: str, title: str) -> str:
    """Return the number of a record of ours: its canonical id in capitals.

    Raises InvalidEntityError for one that the ERP would cut, or that a filter could not quote.

    >>> number_of("eng-abcdefghijkl-de", "the ERP")
    'ENG-ABCDEFGHIJKL-DE'
    """
    if len(canonical_id) > NUMBER_MAX or not re.fullmatch(r"[a-z0-9-]+", canonical_id):
        raise InvalidEntityError(
            f"an id of {len(canonical_id)} characters is no number of {title}",
            hint=f"a number has {NUMBER_MAX} at most: small letters, digits and hyphens",
        )
    return canonical_id.upper()


def hours_of(seconds: int, digits: int) -> Decimal:
    """Return time at the digits of an hour that are kept: of five, whole seconds come back exactly.

    >>> hours_of(3000, 6)
    Decimal('0.833333')
    """
    return (Decimal(seconds) / _HOUR_S).quantize(Decimal(1).scaleb(-digits))
