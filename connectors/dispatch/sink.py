"""The contract between dispatch and a target system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from connectors.dispatch.commands import Command, Problem
from connectors.dispatch.content import Difference

NEWEST_SHOWN: Final = 20
"""Records of a noun that `newest` tells: as many may be deleted before older ones show."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The target holds the content of a command; where it `differs`, the record with another one.

    `target_id` is the record's id inside the target, where the target tells it; `is_gone` says that
    there is no record any more. `warning` tells of something a person must tidy up although the
    command has been carried out, such as a doubled record. `changes` are the fields that differ,
    where the sink tells them.
    """

    target_id: str | None = None
    warning: Problem | None = None
    is_gone: bool = False
    differs: bool = False
    changes: Sequence[Difference] = field(default=(), compare=False)

    def differing(self, changes: Sequence[Difference]) -> Applied:
        """Return it with the fields that differ, if there are any."""
        return replace(self, differs=bool(changes), changes=tuple(changes))


class Sink(Protocol):
    """One target system. Both methods make one attempt; retries are the executor's business.

    `known_id` is the record's id by an earlier result of the same natural key. A target that is
    searched by anything else shows a new record late; by its id it is found at once.
    """

    async def execute(self, command: Command, known_id: str | None) -> Applied:
        """Bring the target to the content of the command.

        Raises TransientError, with `outcome_unknown` set where the target may have carried it
        out, CommandRejectedError where the content is refused, AuthenticationError where the whole
        account is.
        """
        ...

    async def look(self, command: Command, known_id: str | None) -> Applied | None:
        """Return what `execute` would have, if the target already holds the content.

        Where it holds the record with another one, or one that is to be deleted, what is returned
        `differs`. None where it holds none.
        Has no effect on the target. Raises TransientError, AuthenticationError.
        """
        ...

    async def newest(self) -> Mapping[str, Sequence[str]]:
        """Return ids of the records that bear ids of ours, by the noun of their natural keys.

        The newest first, `NEWEST_SHOWN` of each: `{"project": ["eng-abcdefghijkl-de"]}`. A target
        that does not tell which is the newest has them in an order that lasts; then a ledger of an
        older day is not found out, one that is empty is. Has no effect on the target. Raises
        TransientError, AuthenticationError, CommandRejectedError.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
