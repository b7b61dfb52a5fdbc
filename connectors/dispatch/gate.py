"""When a target as a whole takes no command: told to wait, or not able to answer.

An allowance gone, a request to slow down: the target says so itself, and all wait. Credentials
refused: all of one kind wait, since it may be that kind alone that the account may not use; each
other kind learns for itself. That it is down the target does not say: it is down once several
commands in a row have failed with no good answer between. Then one command at a time asks (the
probe), after pauses that grow; the first good answer lets all others follow.

The same goes for one kind of command while others are answered: a script of the account stands on
its records, or the vendor says to each of them what nobody has written down. As that may be said of
single records, too, it takes as many commands as make a refusal one of the whole kind.

A person may stop a target, or kinds of its commands: then nothing of it is sent, whatever else is.

Some records make a target fail that is well. Who is known to fail alone does not count, and each
kind has its turn as probe, in it whoever has failed the least: so what a target would take is asked
for soon, though a thousand others fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import structlog

from connectors.dispatch.refusals import HOLD_AFTER

_log = structlog.get_logger()

DOWN_AFTER: Final = 3
"""Commands that fail without a good answer between until the target is held to be down."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    kind: str
    failures: int  # in a row
    go: asyncio.Future[None]


class Gate:
    """Holds back all commands of a target, or of a kind, of which none is taken at present."""

    def __init__(
        self, target: str, pause_s: Callable[[int], float], *, kind: str | None = None
    ) -> None:
        """`pause_s` is how long to wait after so many probes in vain (from 1)."""
        self._name = {"target": target} if kind is None else {"target": target, "kind": kind}
        self._down_after = DOWN_AFTER if kind is None else HOLD_AFTER
        self._pause_s = pause_s
        # By kind, None for all, of the event loop's clock.
        self._opens_at_s: dict[str | None, float] = {}
        self._awaits_answer = False
        self._failed: set[str] = set()  # natural keys, since the last good answer
        self._is_shut = False
        self._is_stopped = False
        self._is_down = False
        self._probes = 0
        self._probe_at_s = 0.0
        self._probe: str | None = None
        self._waiting: dict[str, _Waiting] = {}  # by natural key
        self._turns: dict[str, int] = {}  # kind → its last probe
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the target has told all to wait."""
        return asyncio.get_running_loop().time() < self._opens_at_s.get(None, 0.0)

    @property
    def is_paused(self) -> bool:
        """Whether anything is held back."""
        now_s = asyncio.get_running_loop().time()
        is_told = any(now_s < at_s for at_s in self._opens_at_s.values())
        return self._is_shut or self._is_stopped or self._is_down or is_told

    @property
    def is_stopped(self) -> bool:
        """Whether a person lets nothing be sent."""
        return self._is_stopped

    @property
    def awaits_answer(self) -> bool:
        """Whether somebody was told to wait, and there was no good answer since."""
        return self._awaits_answer

    @property
    def is_down(self) -> bool:
        """Whether the target is held to be unable to answer."""
        return self._is_down

    @property
    def probes(self) -> int:
        """How many have asked in vain since it is down, with those that showed it as one."""
        return self._probes

    @property
    def waiting(self) -> Collection[str]:
        """The natural keys that wait to be let go."""
        return self._waiting.keys()

    def lets(self, natural_key: str, kind: str) -> bool:
        """Whether a command may be sent now."""
        now_s = asyncio.get_running_loop().time()
        if self._is_shut or self._is_stopped or now_s < self._opens_for_s(kind):
            return False
        return not self._is_down or self._probe == natural_key

    def shut(self) -> None:
        """Take nothing until `open`."""
        self._is_shut = True

    def open(self) -> None:
        """Take what nothing else holds back."""
        self._is_shut = False
        self._let_go()

    def stop(self, *, is_stopped: bool) -> None:
        """Take nothing as long as a person wants that."""
        self._is_stopped = is_stopped
        self._let_go()

    def close_for(self, seconds: float, kind: str | None = None) -> None:
        """Take nothing, or nothing of a kind, for so long from now on, at least."""
        opens_at_s = asyncio.get_running_loop().time() + seconds
        self._opens_at_s[kind] = max(self._opens_at_s.get(kind, 0.0), opens_at_s)
        self._awaits_answer = True

    def _opens_for_s(self, kind: str) -> float:
        return max(self._opens_at_s.get(None, 0.0), self._opens_at_s.get(kind, 0.0))

    def failed(self, natural_key: str, *, is_for_all: bool) -> None:
        """Take in that a command met no good answer; `is_for_all`: any other might meet the same.

        A probe in vain keeps the gate closed, whatever it met.
        """
        if natural_key == self._probe:
            self._pause()
        elif is_for_all and not self._is_down:
            self._failed.add(natural_key)
            if len(self._failed) >= self._down_after:
                self._is_down = True
                self._pause()
                _log.error(
                    "dispatch.target_down",
                    **self._name,
                    hint="one command at a time asks until it answers; all others wait",
                )

    def answered(self) -> None:
        """Take in a good answer: a command was carried out, found to be, or refused."""
        self._failed.clear()
        self._awaits_answer = False
        if self._is_down:
            _log.info("dispatch.target_up", **self._name, probes=self._probes)
            self._is_down, self._probe, self._probes = False, None, 0
            self._let_go()

    def leave(self, natural_key: str) -> None:
        """Take in that a natural key has nothing to ask any more: it is another one's turn."""
        if natural_key == self._probe:
            self._probe = None
            self._let_go()

    async def wait(self, natural_key: str, kind: str, failures: int) -> None:
        """Wait until a command may be sent; `failures` of it in a row so far."""
        go = asyncio.get_running_loop().create_future()
        self._waiting[natural_key] = _Waiting(kind, failures, go)
        if (at_s := self._may_go_s(kind)) > asyncio.get_running_loop().time():
            self._come_back(at_s)
        else:
            self._let_go()
        try:
            await go
        finally:
            self._waiting.pop(natural_key, None)

    def _let_go(self) -> None:
        """Let go whoever may go now; come back when somebody may."""
        if self._is_shut or self._is_stopped:
            return
        if self._probe is not None and self._probe not in self._waiting:
            return  # its answer is awaited
        now_s = asyncio.get_running_loop().time()
        may_go_s = {key: self._may_go_s(waiting.kind) for key, waiting in self._waiting.items()}
        ready = [key for key, at_s in may_go_s.items() if at_s <= now_s]
        if self._is_down:
            if self._probe is None and ready:
                self._probe = min(ready, key=self._rank)
                kind = self._waiting[self._probe].kind
                self._turns[kind] = max(self._turns.values(), default=0) + 1
            ready = [key for key in ready if key == self._probe]
        for natural_key in ready:
            waiting = self._waiting.pop(natural_key)
            if not waiting.go.done():  # it may have been cancelled
                waiting.go.set_result(None)
        if later := [at_s for at_s in may_go_s.values() if at_s > now_s]:
            self._come_back(min(later))

    def _come_back(self, at_s: float) -> None:
        """Let go whoever may go then, unless that is done before."""
        if self._timer is not None and self._timer.when() <= at_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at_s, self._time_has_come)

    def _time_has_come(self) -> None:
        self._timer = None
        self._let_go()

    def _may_go_s(self, kind: str) -> float:
        opens_at_s = self._opens_for_s(kind)
        return max(opens_at_s, self._probe_at_s) if self._is_down else opens_at_s

    def _rank(self, natural_key: str) -> tuple[int, int]:
        waiting = self._waiting[natural_key]
        return self._turns.get(waiting.kind, 0), waiting.failures

    def _pause(self) -> None:
        self._probe = None
        self._probes += 1
        self._probe_at_s = asyncio.get_running_loop().time() + self._pause_s(self._probes)
        self._let_go()


class Gates:
    """The gate of a target and those of its kinds: a command passes that of its kind first."""

    def __init__(self, target: str, pause_s: Callable[[int], float]) -> None:
        """`pause_s` is how long to wait after so many probes in vain (from 1)."""
        self._target = target
        self._pause_s = pause_s
        self._of_all = Gate(target, pause_s)
        self._of_kinds: dict[str, Gate] = {}

    @property
    def is_closed(self) -> bool:
        """Whether the target has told all to wait."""
        return self._of_all.is_closed

    @property
    def is_paused(self) -> bool:
        """Whether anything is held back."""
        return self._of_all.is_paused or any(gate.is_down for gate in self._of_kinds.values())

    @property
    def awaits_answer(self) -> bool:
        """Whether somebody was told to wait, and there was no good answer since."""
        return self._of_all.awaits_answer

    @property
    def is_down(self) -> bool:
        """Whether the target is held to be unable to answer."""
        return self._of_all.is_down

    def in_vain(self, kind: str) -> int:
        """Return how often a kind has been asked for in vain that is down, 0 where it is not."""
        gate = self._of(kind)
        return gate.probes if gate.is_down else 0

    @property
    def held_back(self) -> list[str]:
        """The natural keys that wait for what concerns their kind alone."""
        gates = self._of_kinds.values()
        return [key for gate in gates if gate.is_down or gate.is_stopped for key in gate.waiting]

    def lets(self, natural_key: str, kind: str) -> bool:
        """Whether a command may be sent now."""
        return self._of(kind).lets(natural_key, kind) and self._of_all.lets(natural_key, kind)

    def shut(self) -> None:
        """Take nothing until `open`."""
        self._of_all.shut()

    def open(self) -> None:
        """Take what nothing else holds back."""
        self._of_all.open()

    def stop(self, stopped: Collection[str | None]) -> None:
        """Take nothing of these kinds, and of all others what nothing else holds back.

        None stands for all kinds.
        """
        for kind in filter(None, stopped):
            self._of(kind)
        for kind, gate in self._of_kinds.items():
            gate.stop(is_stopped=kind in stopped)
        self._of_all.stop(is_stopped=None in stopped)

    def is_stopped(self, kind: str) -> bool:
        """Whether a person lets nothing of a kind be sent."""
        return self._of_all.is_stopped or self._of(kind).is_stopped

    def close_for(self, seconds: float, kind: str | None = None) -> None:
        """Take nothing, or nothing of a kind, for so long from now on, at least."""
        self._of_all.close_for(seconds, kind)

    def failed(self, natural_key: str, kind: str, *, is_for_all: bool, is_for_kind: bool) -> None:
        """Take in that a command met no good answer, and who else might meet the same."""
        self._of_all.failed(natural_key, is_for_all=is_for_all)
        self._of(kind).failed(natural_key, is_for_all=is_for_kind)

    def answered(self, kind: str) -> None:
        """Take in a good answer to a command of a kind."""
        self._of_all.answered()
        self._of(kind).answered()

    def leave(self, natural_key: str) -> None:
        """Take in that a natural key has nothing to ask any more: it is another one's turn."""
        for gate in (self._of_all, *self._of_kinds.values()):
            gate.leave(natural_key)

    async def wait(
        self, natural_key: str, kind: str, failures: int, *, is_first: bool = False
    ) -> None:
        """Wait until a command may be sent; `failures` of it in a row so far.

        One that `is_first` asks before all others of its kind. Who waits for its kind is not the
        probe of the target: others may ask.
        """
        if not self._of(kind).lets(natural_key, kind):
            self._of_all.leave(natural_key)
        await self._of(kind).wait(natural_key, kind, -1 if is_first else failures)
        await self._of_all.wait(natural_key, kind, failures)

    def _of(self, kind: str) -> Gate:
        if kind not in self._of_kinds:
            self._of_kinds[kind] = Gate(self._target, self._pause_s, kind=kind)
        return self._of_kinds[kind]
