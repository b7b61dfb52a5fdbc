"""Shadow under every order of commands, withdrawals, decisions, faults and restarts."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from connectors.dispatch.approval import content_of
from connectors.dispatch.commands import Command, Settled
from connectors.dispatch.decisions import Approvals, Decision, Stops, Verb
from connectors.dispatch.intake import Withdrawal
from connectors.dispatch.journal import Memory
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.refusals import RetryRequest
from connectors.dispatch.session import Session, Target
from connectors.toolkit.faults import Reason
from tests.support.examples import examples
from tests.support.sinks import FakeTarget, MemoryJournal, make_command, not_available
from tests.support.virtual_time import now, run_virtually
from tests.unit.connectors.test_dispatch_session import config, delivery

SHADOWED, WRITTEN = "upsert_project", "upsert_customer"
KEYS = {
    "netsuite:project:a": SHADOWED, "netsuite:project:b": SHADOWED, "netsuite:customer:c": WRITTEN,
}  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["order", "withdraw", "other writes", "retry", "approve", "stop", "start", "look fails",
             "restart", "time passes"]
        ),
        st.sampled_from(sorted(KEYS)),
    ),
    min_size=4,
    max_size=25,
)  # fmt: skip


class World:
    """A dispatcher's session after another, and a target that somebody else writes, too."""

    def __init__(self, group: asyncio.TaskGroup, kinds: Sequence[str]) -> None:
        self.target, self.journal = FakeTarget(), MemoryJournal()
        self.approvals, self.stops = Approvals(), Stops()
        self.orders: dict[str, Command | Withdrawal] = {}
        self._revision = self._offset = 0
        self._group = group
        self.start(kinds)

    def start(self, kinds: Sequence[str]) -> None:
        """Begin a session with what the last one left behind; all that is known comes again."""
        settled: dict[str, Settled] = {}
        for command_id, outcome in self.journal.outcomes:
            key, _, revision = command_id.partition("#")
            last = Settled(int(revision), outcome.attempts, outcome.target_id, outcome.status)
            if key not in settled or last.revision >= settled[key].revision:
                settled[key] = last
        self.kinds = tuple(kinds)
        self.session = Session(
            {"netsuite": Target(config("netsuite").model_copy(update={"shadow": self.kinds}),
                                self.target)},
            Memory(settled, refusals=tuple(self.journal.open.values())),
            self.journal,
            metrics=DispatchMetrics(CollectorRegistry()),
            spawn=self._group.create_task,
            now=now,
            stops=self.stops,
            approvals=self.approvals,
        )  # fmt: skip
        for content in self.orders.values():
            self._deliver(content)

    def _deliver(self, content: Command | Withdrawal) -> None:
        self.session.accept(delivery("netsuite", self._offset, content))
        self._offset += 1

    async def step(self, what: str, key: str) -> None:
        """Let one thing happen."""
        self._revision += 1
        last = self.orders.get(key)
        match what, last:
            case "order", _:
                command = make_command(key, self._revision, kind=KEYS[key])
                self.orders[key] = command
                self._deliver(command)
            case "withdraw", _:
                self.orders[key] = Withdrawal(key, self._revision)
                self._deliver(self.orders[key])
            case "other writes", Command() as command:
                self.target.held[key] = command.payload
            case "retry", _:
                self.session.hear(RetryRequest(f"netsuite:{key}"))
            case "approve", Command() as command:
                word = Decision(
                    Verb.APPROVED, "netsuite", natural_key=key, content=content_of(command)
                )
                self.approvals.take(word)
                self.session.heed(word)
            case "stop" | "start", _:
                verb = Verb.STOPPED if what == "stop" else Verb.STARTED
                self.stops.take(Decision(verb, "netsuite", KEYS[key]))
                self.session.stop(self.stops)
            case "look fails", _:
                self.target.look_errors = deque([not_available()])
            case "restart", _:
                await self.session.drain(10)
                self.start(self.kinds)
            case _:
                await asyncio.sleep(3_600)

    async def rest(self) -> None:
        """Let everything end that nobody stops."""
        for kind in KEYS.values():
            self.stops.take(Decision(Verb.STARTED, "netsuite", kind))
        self.session.stop(self.stops)
        await asyncio.sleep(3 * 86_400)


@given(steps=STEPS)
@settings(max_examples=examples(40), deadline=None)
def test_nothing_in_shadow_is_written_whatever_happens(steps: list[tuple[str, str]]) -> None:
    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            world = World(group, [SHADOWED])
            for what, key in [*(("order", key) for key in KEYS), *steps]:
                await world.step(what, key)
            await world.rest()
            assert all(KEYS[key] == WRITTEN for key, _ in world.target.effects)
            assert all(KEYS[id_.partition("#")[0]] == WRITTEN for id_, _ in world.journal.intents)
            _require_known(world)
            before = {key: world.target.held.get(key) for key in KEYS}
            world.target.effects.clear()
            await world.session.drain(10)
            world.start(())
            await world.rest()
            _require_carried_out(world, before)
            await world.session.drain(10)

    run_virtually(story())


def _require_known(world: World) -> None:
    """Each order in shadow is told with its plan, unless the target holds it."""
    for key, order in world.orders.items():
        told = world.journal.open.get(f"netsuite:{key}")
        if isinstance(order, Withdrawal):
            assert told is None, key
        elif KEYS[key] == SHADOWED and world.target.held.get(key) != order.payload:
            # Adopted, and changed by another one since, is for the tables to order again.
            was_adopted = (order.command_id, "adopted") in _statuses(world)
            assert was_adopted or (told is not None and told.problem.reason is Reason.SHADOW), key
            assert was_adopted or told is None or told.command == order


def _statuses(world: World) -> set[tuple[str, str]]:
    return {(command_id, outcome.status.value) for command_id, outcome in world.journal.outcomes}


def _require_carried_out(world: World, before: dict[str, str | None]) -> None:
    """Afterwards what is wanted last is there, written once, and not where it was before."""
    assert world.journal.open == {}
    written = [key for key, _ in world.target.effects]
    assert len(written) == len(set(written))
    for key, order in world.orders.items():
        if isinstance(order, Command) and (order.command_id, "adopted") not in _statuses(world):
            assert world.target.held[key] == order.payload
        assert not (isinstance(order, Command) and before[key] == order.payload and key in written)
