"""Targets and journals for tests of dispatch, and a dispatcher process that kills itself.

`python -m tests.support.sinks --config sink.json [--kill-at POINT --kill-on KIND]` runs the
dispatcher as shipped, but for a journal that ends the process with SIGKILL at the point named.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from connectors.dispatch.commands import Command, Outcome, Payload, Status
from connectors.dispatch.exceptions import exception_id, warning_id
from connectors.dispatch.journal import DeadLetter, Journal
from connectors.dispatch.main import run_dispatcher
from connectors.dispatch.refusals import Refusal
from connectors.dispatch.sink import Applied
from connectors.toolkit.faults import VendorUnavailableError
from runtime.logs import configure_logs
from runtime.settings import Settings


def make_command(
    key: str = "netsuite:project:a", revision: int = 1, payload: str | None = None, **fields: str
) -> Command:
    """A command whose content differs by revision unless given."""
    return Command(
        command_id=fields.pop("command_id", f"{key}#{revision}"),
        target=fields.pop("target", "netsuite"),
        kind=fields.pop("kind", "upsert_project"),
        natural_key=key,
        revision=revision,
        payload=payload or f'{{"revision":{revision}}}',
        origin_key=key,
        **fields,  # type: ignore[arg-type]  # the remaining fields are optional texts
    )


class Fault(StrEnum):
    """What happens to one call of a `FakeTarget`."""

    COMMIT_THEN_TIMEOUT = "carried out, no answer"
    LOST = "not carried out, no answer"


class FakeTarget:
    """A target system in memory that can carry a command out and then not answer.

    `script` gives the fates of the coming calls of each natural key: a fault, an error to raise
    instead, or an event to wait for before carrying it out.
    """

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.effects: list[tuple[str, int]] = []
        self.looks: list[str] = []
        self.known_ids: list[str | None] = []
        self.calls = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.script: dict[str, deque[Fault | Exception | asyncio.Event]] = {}
        self.look_errors: deque[Exception] = deque()
        self.shown: dict[str, list[str]] = {}
        self.shown_errors: deque[Exception] = deque()

    def will(self, key: str, *fates: Fault | Exception | asyncio.Event) -> None:
        self.script.setdefault(key, deque()).extend(fates)

    async def execute(self, command: Command, known_id: str | None) -> Applied:
        self.calls += 1
        self.known_ids.append(known_id)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._execute(command)
        finally:
            self.in_flight -= 1

    async def _execute(self, command: Command) -> Applied:
        fates = self.script.get(command.natural_key)
        fate = fates.popleft() if fates else None
        match fate:
            case Exception():
                raise fate
            case asyncio.Event():
                await fate.wait()
            case Fault.LOST:
                raise no_answer()
        self.held[command.natural_key] = command.payload
        self.effects.append((command.natural_key, command.revision))
        if fate is Fault.COMMIT_THEN_TIMEOUT:
            raise no_answer()
        return Applied(target_id="1")

    async def look(self, command: Command, known_id: str | None) -> Applied | None:
        self.looks.append(command.command_id)
        if self.look_errors:
            raise self.look_errors.popleft()
        holds = self.held.get(command.natural_key) == command.payload
        return Applied(target_id="1") if holds else None

    async def newest(self) -> Mapping[str, Sequence[str]]:
        if self.shown_errors:
            raise self.shown_errors.popleft()
        return self.shown

    async def close(self) -> None:
        """Nothing to release."""


def no_answer() -> VendorUnavailableError:
    """What a sink raises when a write may have been carried out."""
    return VendorUnavailableError("no answer", outcome_unknown=True, context={})


def not_available() -> VendorUnavailableError:
    """What a sink raises when it is known that nothing was carried out."""
    return VendorUnavailableError("not available", outcome_unknown=False, context={})


class MemoryJournal:
    """A journal in memory."""

    def __init__(self) -> None:
        self.intents: list[tuple[str, int]] = []
        self.outcomes: list[tuple[str, Outcome]] = []
        self.open: dict[str, Refusal] = {}
        self.letters: list[DeadLetter] = []
        self.holds: list[Payload] = []
        self.failure: Exception | None = None

    async def intend(self, command: Command, attempt: int) -> None:
        if self.failure is not None:
            raise self.failure
        self.intents.append((command.command_id, attempt))

    async def settle(
        self, command: Command, outcome: Outcome, refusals: Sequence[Refusal] = ()
    ) -> None:
        if outcome.status in (Status.SUCCEEDED, Status.ADOPTED, Status.WITHDRAWN):
            self.open.pop(exception_id(command), None)
            if outcome.status is not Status.WITHDRAWN:
                self.open.pop(warning_id(command), None)
        for refusal in refusals:
            await self.tell(refusal)
        self.outcomes.append((command.command_id, outcome))

    async def tell(self, refusal: Refusal) -> None:
        self.open[refusal.exception_id] = refusal

    async def resolve(self, leftover: Refusal) -> None:
        self.open.pop(leftover.exception_id)

    async def tell_hold(self, record: Payload) -> None:
        self.holds.append(record)

    async def bury(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    def statuses(self) -> dict[str, str]:
        """Status by command id; a command settled twice fails the test that asks."""
        assert len({command_id for command_id, _ in self.outcomes}) == len(self.outcomes)
        return {command_id: outcome.status.value for command_id, outcome in self.outcomes}


class KillPoint(StrEnum):
    """Where a dispatcher process ends or freezes itself."""

    BEFORE_INTENT = "before-intent"
    AFTER_INTENT = "after-intent"
    BEFORE_RESULT = "before-result"  # the call has been answered
    AFTER_RESULT = "after-result"  # the offset is not committed


class MarkedJournal:
    """Passes on to a journal and tells of each point it gets to."""

    def __init__(self, journal: Journal, reached: Callable[[KillPoint, Command], None]) -> None:
        self._journal = journal
        self._reached = reached

    async def intend(self, command: Command, attempt: int) -> None:
        self._reached(KillPoint.BEFORE_INTENT, command)
        await self._journal.intend(command, attempt)
        self._reached(KillPoint.AFTER_INTENT, command)

    async def settle(
        self, command: Command, outcome: Outcome, refusals: Sequence[Refusal] = ()
    ) -> None:
        self._reached(KillPoint.BEFORE_RESULT, command)
        await self._journal.settle(command, outcome, refusals)
        self._reached(KillPoint.AFTER_RESULT, command)

    async def tell(self, refusal: Refusal) -> None:
        await self._journal.tell(refusal)

    async def resolve(self, leftover: Refusal) -> None:
        await self._journal.resolve(leftover)

    async def tell_hold(self, record: Payload) -> None:
        await self._journal.tell_hold(record)

    async def bury(self, letter: DeadLetter) -> None:
        await self._journal.bury(letter)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", action="append", type=Path, required=True)
    parser.add_argument("--kill-at", type=KillPoint)
    parser.add_argument("--kill-on", default="")
    options = parser.parse_args()

    def kill(point: KillPoint, command: Command) -> None:
        if point is options.kill_at and command.kind == options.kill_on:
            os.kill(os.getpid(), signal.SIGKILL)

    configure_logs(json=False)
    settings = Settings.from_env(os.environ)
    return run_dispatcher(
        settings, options.config, wrap_journal=lambda journal: MarkedJournal(journal, kill)
    )


if __name__ == "__main__":
    sys.exit(main())
