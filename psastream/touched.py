"""What hangs on a field of a source: canonical fields, flows, commands, measures. Pure.

It follows from what is declared: mappings say what is made of a field, the wiring of the groups who
reads that, and the modules of a group which flows it keeps and which measures it counts.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Final

from connectors.polled.fingerprint import Difference, DriftKind
from psastream.access.users import Reads
from psastream.check.metadata import made_of
from psastream.landscape import FirmSystems
from schemas.system import SystemBundle
from schemas.topics import INTERNAL, PUBLIC_PREFIX
from tables import measures
from tables.flows.catalogue import FLOWS
from tables.flows.flow import Flow
from tables.measures.measure import Measure

_STOPS: Final = (DriftKind.VANISHED, DriftKind.RENAMED, DriftKind.CHANGED_TYPE)
"""After these no row may be read any more, whatever it is made into."""


@dataclass(frozen=True, slots=True)
class Touched:
    """What a difference touches.

    `fields` are made of its field, as `entity.field`, and `entities` of the rows that may be read
    no more. `flows` and `measures`, the latter by their topics, are those of the groups that read
    them; `behind` are groups that read what those hand on.
    """

    fields: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()

    def told(self) -> Iterator[str]:
        """Yield what is touched, a line for each sort of it."""
        shown = {
            "fields": self.fields,
            "records": self.entities,
            "flows": self.flows,
            "commands": self.commands,
            "measures": self.measures,
            "and what is made of it by": self.behind,
        }
        yield from (f"{name} {', '.join(each)}" for name, each in shown.items() if each)


def touched(
    firm: FirmSystems, reads: Reads, system: SystemBundle, obj: str, difference: Difference
) -> Touched:
    """Return what a difference of an object touches; nothing where no mapping reads the field."""
    if difference.kind is DriftKind.NEW_FIELD:
        return Touched()
    fields = list(_fields(system, obj, difference.field))
    entities = dict.fromkeys(field.partition(".")[0] for field in fields)
    if difference.kind in _STOPS:
        own = (target.entity for target in system.objects[obj].targets)
        entities = dict.fromkeys((*own, *entities))
    groups = _readers(reads, [f"{PUBLIC_PREFIX}{entity}" for entity in entities])
    kept = [flow for group in groups for flow in _flows_of(group)]
    flows = [flow for flow in kept if firm.landscape.takers(flow.role)]
    counted = [measure.topic for group in groups for measure in _measures_of(group)]
    counted += [own.topic.name for own in firm.measures if own.of in entities]
    kinds = (content.kind for flow in flows for content in flow.contents)
    return Touched(
        fields=tuple(fields),
        entities=tuple(entities),
        flows=tuple(f"{flow.noun} ({flow.role.value})" for flow in flows),
        commands=tuple(dict.fromkeys(kinds)),
        measures=tuple(dict.fromkeys(counted)),
        behind=tuple(_behind(reads, groups)),
    )


def _fields(system: SystemBundle, obj: str, column: str) -> Iterator[str]:
    """Yield what is made of a column, by rows of other objects that look it up, too."""
    found = dict.fromkeys(made_of(system.objects[obj], column))
    for mapped in system.objects.values():
        for name, lookup in mapped.lookups.items():
            if lookup.object == obj and column in lookup.columns:
                found |= dict.fromkeys(made_of(mapped, f"{name}.{column}"))
    yield from found


def _readers(reads: Reads, topics: Iterable[str]) -> list[str]:
    wanted = set(topics)
    return [group for group, read in reads.items() if wanted & set(read)]


def _behind(reads: Reads, groups: Collection[str]) -> list[str]:
    """Return groups that read, at whatever remove, what these hand on."""
    found, todo = dict.fromkeys(groups), list(groups)
    while todo:
        group = todo.pop()
        handed = [topic.name for topic in INTERNAL if group in topic.owner.split(", ")]
        new = [each for each in _readers(reads, handed) if each not in found]
        found |= dict.fromkeys(new)
        todo += new
    return [group for group in reads if group in found and group not in groups]


def _flows_of(group: str) -> list[Flow[Any]]:
    """Return the flows that a group keeps: those that its modules name."""
    named = [value for module in _modules(group) for value in vars(module).values()]
    return [flow for flow in FLOWS if any(value is flow for value in named)]


def _measures_of(group: str) -> list[Measure]:
    """Return the measures that a group counts: those from whose modules its own take anything."""
    used = {
        getattr(value, "__module__", None)
        for module in _modules(group)
        for value in vars(module).values()
    }
    return [measure for name, measure in _measures().items() if name in used]


@cache
def _measures() -> dict[str, Measure]:
    """Return the measures of the product by the name of their module."""
    names = [f"{measures.__name__}.{each.name}" for each in pkgutil.iter_modules(measures.__path__)]
    return {
        name: value
        for name in names
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, Measure)
    }


@cache
def _modules(group: str) -> tuple[ModuleType, ...]:
    """Return the modules of a group's tables; none where it has no room of its own."""
    try:
        package = importlib.import_module(f"tables.{group}")
    except ModuleNotFoundError:
        return ()
    names = [each.name for each in pkgutil.iter_modules(getattr(package, "__path__", ()))]
    return (package, *(importlib.import_module(f"tables.{group}.{name}") for name in names))
