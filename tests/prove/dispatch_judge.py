"""Judges what targets wrote and hold against the commands. Trusts nothing of dispatch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from sandbox.vendors.effects import Effect
from tests.prove.dispatch_plan import Step


@dataclass(frozen=True, slots=True)
class Form:
    """What one command does to a target that is well: how many writes, and how many rows are there.

    `contents` is how many of the writes differ: in each of several companies one writes the same.
    """

    writes: int
    contents: int
    held: Mapping[str, int]


Forms = Mapping[tuple[str, str], Form]
"""By target and form of command."""
Books = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
"""What the targets hold: target, table, rows."""
Names = Mapping[str, Mapping[str, str | None]]
"""In which field of which table of a target a record bears our id (`TwinTarget.tables`)."""


@dataclass(slots=True)
class Verdict:
    """What a target did, against what was ordered."""

    duplicates: int = 0
    missing: int = 0
    commands: int = 0

    def add(self, other: Verdict) -> None:
        """Count another one in."""
        self.duplicates += other.duplicates
        self.missing += other.missing
        self.commands += other.commands


def judge(
    effects: Sequence[Effect],
    books: Books,
    names: Names,
    forms: Forms,
    chains: Sequence[Sequence[Step]],
) -> dict[str, Verdict]:
    """Count by target.

    Duplicate: a write that came before with the same content, or was not ordered; a row that is
    there too often, or again. Missing: a command whose writes, or whose rows, are not there.
    """
    written: dict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    for effect in effects:
        key = effect.vendor, folded(effect.external_id)
        written[key][effect.record_type, effect.content] += 1
    held = held_by_id(books, names)
    ordered: dict[tuple[str, str], list[Step]] = defaultdict(list)
    for chain in chains:
        for step in chain:
            ordered[step.target, folded(step.identity)].append(step)
    verdicts = {target: Verdict() for target in names}
    for key, steps in ordered.items():
        done = [forms[step.target, step.form] for step in steps]
        verdicts[key[0]].add(_verdict(done, written[key], held[key]))
    return verdicts


def held_by_id(books: Books, names: Names) -> Mapping[tuple[str, str], Mapping[str, int]]:
    """Count the rows that bear an id of ours: by target and id, then by table."""
    held: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for target, tables in names.items():
        for table, path in tables.items():
            for row in books[target][table] if path else ():
                for name in _names(row, (path or "").split(".")):
                    held[target, folded(name)][table] += 1
    return held


def _verdict(
    done: Sequence[Form], written: Mapping[tuple[str, str], int], held: Mapping[str, int]
) -> Verdict:
    """Judge one record by the forms of its commands, in order."""
    due = list(accumulate(each.contents for each in done))
    alike = sum(each.writes - each.contents for each in done)
    wanted = done[-1].held
    too_many = sum(max(0, count - wanted.get(table, 0)) for table, count in held.items())
    is_absent = any(held.get(table, 0) < count for table, count in wanted.items())
    return Verdict(
        duplicates=max(0, sum(written.values()) - alike - min(len(written), due[-1]), too_many),
        missing=max(sum(len(written) < each for each in due), is_absent),
        commands=len(done),
    )


def _names(value: Any, path: Sequence[str]) -> Iterator[str]:
    """Yield what stands at the end of a path, in each item of a list on the way."""
    if isinstance(value, list):
        for each in value:
            yield from _names(each, path)
    elif not path:
        yield str(value)
    elif isinstance(value, Mapping):
        yield from _names(value.get(path[0]), path[1:])


def folded(name: str | None) -> str:
    """Return our id in a text, which may come after other words, and in capitals."""
    return str(name).lower().rpartition(" ")[2]
