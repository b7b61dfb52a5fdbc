"""Shows who sends what to whom: rows that systems give, and commands that they take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psastream.landscape import FirmSystems
from tables.flows.catalogue import kinds_of


@dataclass(frozen=True, slots=True)
class SystemFlow:
    """What a system gives and takes: canonical entities, and kinds of commands."""

    system: str
    role: str
    gives: tuple[str, ...]
    takes: tuple[str, ...]


def flows_of(firm: FirmSystems) -> list[SystemFlow]:
    """Return the flows of a firm's systems, in the order of its landscape."""
    flows = []
    for name, bundle in firm.bundles.items():
        role = firm.landscape.role_of(name)
        gives = {
            target.topic.name.removeprefix("psa.")
            for mapping in bundle.mappings
            for target in mapping.targets
        }
        takes = kinds_of(role) if name in firm.landscape.takers(role) else ()
        flows.append(SystemFlow(name, role.value, tuple(sorted(gives)), takes))
    return flows


def as_text(flows: list[SystemFlow]) -> Iterator[str]:
    """Yield a line for what each system gives, and one for what it takes."""
    for flow in flows:
        yield f"{flow.system} ({flow.role}) gives {', '.join(flow.gives) or 'nothing'}"
        if flow.takes:
            yield f"{flow.system} ({flow.role}) takes {', '.join(flow.takes)}"


def as_mermaid(flows: list[SystemFlow]) -> Iterator[str]:
    """Yield the lines of a picture: https://mermaid.js.org/syntax/flowchart.html."""
    yield "flowchart LR"
    for flow in flows:
        yield f'  {flow.system}["{flow.system} ({flow.role})"]'
        if flow.gives:
            yield f'  {flow.system} -- "{"<br>".join(flow.gives)}" --> psastream'
        if flow.takes:
            yield f'  psastream -. "{"<br>".join(flow.takes)}" .-> {flow.system}'
