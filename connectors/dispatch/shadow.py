"""Shadow: commands of a kind, or of a whole target, are looked up and never written.

So a firm sees beside a person, or an older integration, what would be done, before it is. What a
command would do is the problem of its exception, as of one that waits for an approval: there is one
a natural key, it outlives restarts, it is looked at again from time to time, and once the shadow is
over it is looked up before anything is sent. That no write leaves is not left to the order of
steps: in shadow the sink itself has a client that sends reads alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, NoReturn

from connectors.dispatch.commands import Command, Problem
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.lease import Check
from connectors.dispatch.sink import Applied, Sink
from connectors.dispatch.verdicts import rejected
from connectors.toolkit.faults import Reason
from connectors.toolkit.http import Limiter
from schemas.errors import ConfigError, RecordError

SHADOWED: Final = "SHADOWED"
"""Code of a problem before it was looked what the command would do."""
WOULD_CREATE: Final = "WOULD_CREATE"
WOULD_CHANGE: Final = "WOULD_CHANGE"
WOULD_DELETE: Final = "WOULD_DELETE"
WOULD_BE_REFUSED: Final = "WOULD_BE_REFUSED"
PLANS: Final[Mapping[str, str]] = {
    WOULD_CREATE: "create",
    WOULD_CHANGE: "change",
    WOULD_DELETE: "delete",
    WOULD_BE_REFUSED: "refused",
}
"""What metrics call it, by the code of the exception. What is there already is adopted."""
_READS: Final = frozenset({"GET", "HEAD", "POST"})
"""Methods of reads: a question of some vendors is a POST that its sink declares to be one."""
_DELETES: Final = "delete_"
_CHANGES: Final = "update_"


class ShadowWriteError(RecordError):
    """A sink in shadow was about to send something else than a read: nothing was sent."""

    code = "record.shadow_write"


class ReadsAlone(Limiter):
    """An allowance of reads, out of one that is shared with those who may write."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    def admit(self, method: str, *, is_read: bool) -> AbstractAsyncContextManager[None]:
        """Return the slot of a read. Raises ShadowWriteError for anything else."""
        if is_read and method in _READS:
            return self._limiter.admit(method, is_read=is_read)
        raise ShadowWriteError(
            f"a {method} was about to be sent in shadow",
            hint="a fault of the sink, whose look-ups are to read alone; nothing was sent",
            context={"method": method},
        )

    async def __aenter__(self) -> NoReturn:
        """Raise ShadowWriteError: whoever does not say what it sends may write."""
        raise ShadowWriteError(
            "something was about to be sent in shadow that nobody says is a read",
            hint="a sink sends by connectors.toolkit.http, which says of each request what it is",
        )

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing was taken."""


class Shadowing:
    """A sink that writes no command of some kinds: those have one of their own, which reads."""

    def __init__(self, kinds: Collection[str], writer: Sink, reader: Sink) -> None:
        self._kinds = kinds
        self._writer = writer
        self._reader = reader

    async def execute(self, command: Command, known_id: str | None) -> Applied:
        """See Sink. Raises ShadowWriteError for a kind in shadow that would write."""
        return await self._of(command).execute(command, known_id)

    async def look(self, command: Command, known_id: str | None) -> Applied | None:
        """See Sink."""
        return await self._of(command).look(command, known_id)

    async def newest(self) -> Mapping[str, Sequence[str]]:
        """See Sink."""
        return await self._reader.newest()

    async def close(self) -> None:
        """Release the connections of both."""
        await self._writer.close()
        await self._reader.close()

    def _of(self, command: Command) -> Sink:
        return self._reader if command.kind in self._kinds else self._writer


def make_sink(config: SinkConfig, check: Check) -> Sink:
    """Make the sink of a file; what it has in shadow is sent by nothing that can write.

    `check` raises where no request may be sent any more. Opens nothing. Raises ConfigError where
    the credentials cannot be used, or a sink cannot be kept from writing.
    """
    kinds = config.shadow_kinds
    if not kinds:
        return config.make_sink(check)
    limiter = config.make_limiter(check)
    limited = config.limited_by(ReadsAlone(limiter))
    reader = limited.make_sink(check)
    if not limited.is_limited:
        raise ConfigError(
            f"shadow: the sink of {config.target} does not send by the allowance of its file",
            hint="make_sink of its configuration gives make_limiter(check) to its client; stop its"
            " dispatcher, or its kinds (stopped), to have nothing written",
        )
    if None in kinds:
        return reader
    writer = config.limited_by(limiter).make_sink(check)
    return Shadowing([kind for kind in kinds if kind is not None], writer, reader)


def shadowed(command: Command, kinds: Collection[str | None]) -> Problem | None:
    """Return why a command is not sent where its kind is in shadow; None in `kinds`: all are."""
    if None in kinds or command.kind in kinds:
        return Problem(SHADOWED, "its kind is in shadow", reason=Reason.SHADOW, is_held=True)
    return None


def is_shadow(problem: Problem | None) -> bool:
    """Whether shadow is why a command is not sent."""
    return problem is not None and problem.reason is Reason.SHADOW


def has_come(waited: Problem, withheld: Problem | None) -> bool:
    """Whether what a command waited for is there, a person's word or the end of its shadow.

    `withheld` is why it may not be sent now. For anything else a command waits in other ways.
    """
    if is_shadow(waited):
        return not is_shadow(withheld)
    is_asked = waited.reason is Reason.APPROVAL
    return is_asked and (withheld is None or withheld.code != waited.code)


def planned(command: Command, found: Applied | None, refusal: RecordError | None = None) -> Problem:
    """Return what a command would do, by what the target shows, or what it refuses to show."""
    field = None
    if refusal is not None:
        problem = rejected(0, refusal).problem
        assert problem is not None
        code, field = WOULD_BE_REFUSED, problem.field
        detail = f"would be refused: {problem.code}: {problem.detail}"
    elif command.kind.startswith(_DELETES):
        record = found.target_id if found else None
        code, detail = WOULD_DELETE, f"would delete record {record or 'of this id'}"
    elif found is None and not command.kind.startswith(_CHANGES):
        code, detail = WOULD_CREATE, "would create it: there is none"
    else:
        code, detail = WOULD_CHANGE, _said(found)
    if found is not None and found.warning is not None:
        detail = f"{detail}; {found.warning.detail}"
    return Problem(code, detail, field, Reason.SHADOW, is_held=True)


def _said(found: Applied | None) -> str:
    record = f" {found.target_id}" if found and found.target_id else ""
    if found is None or not found.changes:
        return f"would change record{record}, which holds something else"
    return f"would change record{record}: {'; '.join(map(str, found.changes))}"
