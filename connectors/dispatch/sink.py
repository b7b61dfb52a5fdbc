"""The contract between dispatch and a target system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from connectors.dispatch.commands import Command, Problem


@dataclass(frozen=True, slots=True)
class Applied:
    """The target holds the content of a command.

    `target_id` is the record's id inside the target. `warning` tells of something a person must
    tidy up although the command has been carried out, such as a doubled record.
    """

    target_id: str | None = None
    warning: Problem | None = None


class Sink(Protocol):
    """One target system. Both methods make one attempt; retries are the executor's business."""

    async def execute(self, command: Command) -> Applied:
        """Bring the target to the content of the command.

        Raises TransientError, with `outcome_unknown` set where the target may have carried it
        out, CommandRejectedError where the content is refused, AuthenticationError.
        """
        ...

    async def look(self, command: Command) -> Applied | None:
        """Return what `execute` would have, if the target already holds the content.

        Has no effect on the target. Raises TransientError, AuthenticationError.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
