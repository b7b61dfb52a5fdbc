"""What is ordered: commands like the samples of the targets' folders, each about its own record."""

from __future__ import annotations

import json
import random
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from connectors.systems import Systems
from connectors.toolkit.vendor import Idempotency
from psastream.conformance.suite import read_sink_subject
from psastream.conformance.targets import Order, SinkSubject
from sandbox.vendors.target import TwinTarget
from tests.support.commands import command_record

LETTERS: Final = "abcdefgh"
_DIGITS: Final = 12
REHEARSED: Final = 8 ** (_DIGITS - 1)
"""Number of the first record of a rehearsal, which no proof reaches."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command, as the tables write it. Those of one `form` are alike but for the record."""

    record: Mapping[str, Any]
    identity: str
    form: str

    @property
    def target(self) -> str:
        """The system it is for."""
        return str(self.record["target"])

    @property
    def command_id(self) -> str:
        """Its id."""
        return str(self.record["command_id"])

    @property
    def is_delete(self) -> bool:
        """Whether it takes its record away."""
        return str(self.record["kind"]).startswith("delete")


Chain = deque[Step]
"""Commands about one record: each is published once the one before it was carried out."""


def subjects() -> list[SinkSubject]:
    """Return every system with a sink."""
    systems = Systems()
    found = []
    for name in systems.names():
        vendor = systems.vendor(name)
        if vendor.sink is not None:
            folder = Path(str(files(f"connectors.vendors.{name}")))
            subject = read_sink_subject(folder, systems.read(name), vendor)
            assert subject is not None, f"{name} has a sink, and no sample commands"
            found.append(subject)
    return found


def target_class(subject: SinkSubject) -> type[TwinTarget]:
    """Return the simulated target of a system."""
    module, _, name = subject.written.server.partition(":")
    found = getattr(import_module(module), name)
    assert issubclass(found, TwinTarget), f"what {subject.system} holds cannot be counted"
    return found


def makers(subject: SinkSubject) -> list[Order]:
    """Return the sample commands that make a record, else the first about what people have made."""
    changes = {
        content.kind
        for content, why in subject.vendor.commands.items()
        if why is Idempotency.CHANGE
    }
    found = [order for order in subject.orders if order.kind not in changes]
    return found or list(subject.orders[:1])


def identity_of(order: Order) -> str:
    """Return the id of the record that an order is about."""
    return order.key.split(":", 2)[2]


def samples(all_subjects: Sequence[SinkSubject]) -> list[Chain]:
    """Return the sample commands that make what the others name."""
    return [
        deque(_steps(subject, order, identity_of(order), _like(subject, order)[:1]))
        for subject in all_subjects
        for order in makers(subject)
    ]


def rehearsal(all_subjects: Sequence[SinkSubject]) -> list[Chain]:
    """Return one command of each form."""
    pairs = [(subject, order) for subject in all_subjects for order in makers(subject)]
    return [
        deque(_steps(subject, order, _named(order, REHEARSED + place), _like(subject, order)))
        for place, (subject, order) in enumerate(pairs)
    ]


def about(chain: Chain, deal_id: str) -> Chain:
    """Return the same commands about what people have made."""
    found: Chain = deque()
    for step in chain:
        content = json.loads(step.record["payload"]) | {"deal_id": deal_id}
        record = {**step.record, "payload": json.dumps(content, separators=(",", ":"))}
        found.append(replace(step, record=record, identity=deal_id))
    return found


def chain_of(subject: SinkSubject, order: Order, number: int, rng: random.Random) -> Chain:
    """Return commands about a record of its own: it is made, and perhaps changed and deleted."""
    first, *later = _like(subject, order)
    chosen = [first, *(each for each in later if rng.random() < 0.3)]
    return deque(_steps(subject, order, _named(order, number), chosen))


def chains_of(all_subjects: Sequence[SinkSubject], commands: int, seed: int) -> list[Chain]:
    """Return as many commands as asked for, shared evenly by the targets and their kinds."""
    rng = random.Random(f"commands {seed}")
    chains: list[Chain] = []
    for place, subject in enumerate(all_subjects):
        share = commands // len(all_subjects) + (place < commands % len(all_subjects))
        orders = makers(subject)
        number = 0
        while share > 0:
            chain = chain_of(subject, orders[number % len(orders)], number, rng)
            while len(chain) > share:
                chain.pop()
            share -= len(chain)
            number += 1
            chains.append(chain)
    rng.shuffle(chains)
    return chains


@dataclass(frozen=True, slots=True)
class _Said:
    """What a sample command says."""

    order: Order
    content: Mapping[str, Any]
    form: str


def _like(subject: SinkSubject, order: Order) -> list[_Said]:
    """Return what the samples say of the record that an order makes, in order."""
    said = [_Said(order, order.content, order.kind)]
    if order.changed is not None:
        said.append(_Said(order, order.changed, f"{order.kind} changed"))
    made = makers(subject)
    mine = identity_of(order)
    others = [it for it in subject.orders if identity_of(it) == mine and it not in made]
    return said + [_Said(other, other.content, other.kind) for other in others]


def _named(order: Order, number: int) -> str:
    """Return the id of a record like the one an order is about."""
    prefix, _, *rest = identity_of(order).split("-", 2)
    letters = "".join(LETTERS[number >> 3 * place & 7] for place in range(_DIGITS))
    return "-".join((prefix, letters, *rest))


def _steps(
    subject: SinkSubject, order: Order, identity: str, chosen: Sequence[_Said]
) -> Iterator[Step]:
    """Yield commands that say the same of another record."""
    mine = identity_of(order)
    revisions: Counter[str] = Counter()
    for said in chosen:
        key = said.order.key.split(":", 2)[1] + ":" + identity
        content = {name: identity if it == mine else it for name, it in said.content.items()}
        revisions[key] += 1
        record = command_record(subject.system, said.order.kind, key, revisions[key], content)
        yield Step(record, identity, said.form)
