"""Dispatch under every interleaving of deliveries, replays, faults, crashes and freezes. I8.

First the ledger alone, then whole dispatchers on a vendor whose list lags (`dispatch_world`).
"""

from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from connectors.dispatch.commands import Command, Intent, Settled
from connectors.dispatch.ledger import Attempt, Ledger, Look, Supersede
from tests.support.dispatch_world import live
from tests.support.examples import examples
from tests.support.virtual_time import run_virtually

KEYS = ("netsuite:project:a", "netsuite:project:b")

FAULTS = st.sampled_from(
    [
        "none",
        "refused before it was carried out",
        "carried out, no answer",
        "lost, no answer",
        "crash before the intent",
        "crash after the intent",
        "crash after the call",
        "crash after the result",
    ]
)


class Crash(Exception):
    """The process dies: everything but journal, target and committed offset is gone."""


class World:
    """A command topic, a target, a journal, and one dispatcher that may die at any step."""

    def __init__(self, log: list[Command]) -> None:
        self.log = log
        self.committed = 0
        self.intents: dict[str, Intent] = {}
        self.settled: dict[str, Settled] = {}
        self.results: list[tuple[str, int, str]] = []
        self.held: dict[str, str] = {}
        self.effects: list[tuple[str, int]] = []
        self.start()

    def start(self) -> None:
        self.ledger = Ledger(self.settled, self.intents)
        self.position = self.committed
        self.unfinished: dict[int, Command] = {}

    def deliver(self) -> None:
        if self.position == len(self.log):
            return
        command = self.log[self.position]
        if self.ledger.deliver(command) or self.ledger.is_waiting(command):
            self.unfinished[self.position] = command
        self.position += 1

    def commit(self) -> None:
        self.committed = min([*self.unfinished, self.position])

    def replay(self) -> None:
        """Somebody resets the offsets of the group; the dispatcher starts anew."""
        self.committed = 0
        self.start()

    def results_of(self, key: str) -> list[str]:
        return [status for result_key, _, status in self.results if result_key == key]

    def busy_keys(self) -> list[str]:
        return sorted({command.natural_key for command in self.unfinished.values()})

    def step(self, key: str, fault: str) -> None:
        try:
            self._step(key, fault)
        except Crash:
            self.start()

    def _step(self, key: str, fault: str) -> None:
        match self.ledger.next(key):
            case Supersede(command):
                self._settle(command, 0, "superseded", fault)
            case Look(command, attempts):
                if fault == "lost, no answer":
                    self.ledger.unknown(key)
                elif self.held.get(key) == command.payload:
                    self._settle(command, attempts, "adopted", fault)
                else:
                    self.ledger.not_applied(key)
            case Attempt(command, number):
                self._attempt(command, number, fault)

    def _attempt(self, command: Command, number: int, fault: str) -> None:
        crash_if("crash before the intent", fault)
        key = command.natural_key
        self.intents[key] = Intent(command.command_id, command.revision, number)
        crash_if("crash after the intent", fault)
        if fault == "refused before it was carried out":
            self.ledger.not_applied(key)
        elif fault == "lost, no answer":
            self.ledger.unknown(key)
        else:
            self.held[key] = command.payload
            self.effects.append((key, command.revision))
            crash_if("crash after the call", fault)
            if fault == "carried out, no answer":
                self.ledger.unknown(key)
            else:
                self._settle(command, number, "succeeded", fault)

    def _settle(self, command: Command, attempts: int, status: str, fault: str) -> None:
        key = command.natural_key
        self.settled[key] = Settled(command.revision, attempts)
        self.results.append((key, command.revision, status))
        crash_if("crash after the result", fault)
        self.ledger.settled(command, attempts, None)
        for offset, known in list(self.unfinished.items()):
            if known.command_id == command.command_id:
                del self.unfinished[offset]


def crash_if(point: str, fault: str) -> None:
    if fault == point:
        raise Crash


def command(key: str, revision: int) -> Command:
    return Command(
        command_id=f"{key}#{revision}",
        target="netsuite",
        kind="upsert_project",
        natural_key=key,
        revision=revision,
        payload=f'{{"revision":{revision}}}',
        origin_key=key,
    )


def quiesce(world: World) -> None:
    """Let the dispatcher run undisturbed to the end."""
    while world.position < len(world.log):
        world.deliver()
    while keys := world.busy_keys():
        world.step(keys[0], "none")
    world.commit()


def topic(counts: dict[str, int]) -> list[Command]:
    """Commands of all keys, revisions ascending, the keys taking turns."""
    longest = max(counts.values(), default=0)
    return [
        command(key, revision)
        for revision in range(1, longest + 1)
        for key in KEYS
        if revision <= counts[key]
    ]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.just("none")),
        st.tuples(st.sampled_from(KEYS), FAULTS),
        st.tuples(st.sampled_from(["commit", "replay", "restart"]), st.just("none")),
    ),
    max_size=80,
)


def run(counts: dict[str, int], actions: list[tuple[str, str]]) -> World:
    world = World(topic(counts))
    others: dict[str, Callable[[], None]] = {
        "deliver": world.deliver,
        "commit": world.commit,
        "replay": world.replay,
        "restart": world.start,
    }
    for action, fault in actions:
        if action in others:
            others[action]()
        elif action in world.busy_keys():
            world.step(action, fault)
    quiesce(world)
    return world


@given(counts=st.fixed_dictionaries({key: st.integers(0, 5) for key in KEYS}), actions=ACTIONS)
@settings(max_examples=examples(120), deadline=None)
def test_i8_every_command_has_at_most_one_effect_in_revision_order(
    counts: dict[str, int], actions: list[tuple[str, str]]
) -> None:
    world = run(counts, actions)

    for key in KEYS:
        revisions = [revision for effect_key, revision in world.effects if effect_key == key]
        assert revisions == sorted(set(revisions))


@given(counts=st.fixed_dictionaries({key: st.integers(0, 5) for key in KEYS}), actions=ACTIONS)
@settings(max_examples=examples(120), deadline=None)
def test_every_command_is_settled_and_the_target_ends_with_the_newest(
    counts: dict[str, int], actions: list[tuple[str, str]]
) -> None:
    world = run(counts, actions)

    assert world.committed == len(world.log)
    for key in KEYS:
        settled = [revision for result_key, revision, _ in world.results if result_key == key]
        assert settled == list(range(1, counts[key] + 1)), "each once, in order"
        if counts[key]:
            assert world.held[key] == command(key, counts[key]).payload
            assert world.results_of(key)[-1] != "superseded"


@given(counts=st.fixed_dictionaries({key: st.integers(1, 5) for key in KEYS}), actions=ACTIONS)
@settings(max_examples=examples(40), deadline=None)
def test_i8_a_replay_of_the_whole_topic_has_no_effect(
    counts: dict[str, int], actions: list[tuple[str, str]]
) -> None:
    world = run(counts, actions)
    before = (list(world.effects), list(world.results))

    world.replay()
    quiesce(world)

    assert (world.effects, world.results) == before


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
@pytest.mark.fault("A4", place="connectors/dispatch/retry.py")
@pytest.mark.fault("A6", place="connectors/dispatch/lease.py")
@given(seed=st.integers(0, 2**32))
@settings(max_examples=examples(60), deadline=None, phases=[Phase.explicit, Phase.generate])
def test_a1_a4_a6_whatever_disturbs_two_dispatchers_each_desire_has_one_effect(seed: int) -> None:
    """A seed decides everything: a smaller one is no simpler story, so none is looked for."""
    ending = run_virtually(live(seed))

    assert set(ending.created.values()) <= {1}, "nothing is made twice"
    assert ending.open_while_refused == ending.refused, "open exactly where a desire is unmet"
    assert ending.open_at_last == set()
    for name, content in ending.wanted.items():
        assert ending.held.get(name) == content, "the last revision wins"
        assert name in ending.refused or ending.held_while_refused.get(name) == content
    for name in ending.withdrawn:
        held = ending.held_while_refused.get(name)
        assert ending.held.get(name) == held, "what nobody wants is not made later"
    assert ending.committed == ending.orders, "nothing is lost"
    assert ending.asked_while_stopped == [], "what a person has stopped is not called"
