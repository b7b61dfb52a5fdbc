"""Pages of flows: what each declares, and a picture of what the loop does of it.

The picture is found by trying: every change of what is wanted and of what is shown, from every
state that is reached, by the loop itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from types import NoneType
from typing import Any, Final, get_args, get_type_hints

from schemas.commands import CommandContent
from tables.flows.catalogue import FLOWS
from tables.flows.flow import Flow, Orders, Place
from tables.foundation.effects import Outbox
from tables.foundation.ledger import GONE, LedgerEntry

STEPS: Final = 4
"""Changes in a row that are tried; more find no other states, nor ways between them."""
NEW: Final = LedgerEntry()

Held = CommandContent | Place | None


@dataclass
class Moment:
    """A thing in a target as a flow sees it."""

    wanted: CommandContent | None = None
    held: Held = None
    identity: str = "x"
    origin_key: str = "x"
    correlation_id: str | None = None


def page() -> str:
    """Return what each flow declares, with its picture."""
    return "\n\n".join("\n".join(_section(flow)) for flow in FLOWS)


def _section(flow: Flow[Any]) -> Iterator[str]:
    doc = import_module(flow.wanted.__module__).__doc__ or ""
    yield f"## {flow.noun.replace('_', ' ')} ({flow.role.value})"
    yield ""
    yield " ".join(doc.split())
    yield ""
    yield f"- natural key: `<system>:{flow.noun}:<id>`"
    yield f"- sends {', '.join(f'`{each.kind}`' for each in flow.contents)}"
    yield f"- keeps equal {', '.join(f'`{name}`' for name in flow.kept_equal)}"
    yield f"- shown by {', '.join(f'`psa.{entity}`' for entity in flow.shown_by)}"
    yield ""
    yield "```mermaid"
    yield from picture(flow)
    yield "```"


def picture(flow: Flow[Any]) -> Iterator[str]:
    """Yield the lines of a state diagram: https://mermaid.js.org/syntax/stateDiagram.html."""
    ways: dict[tuple[str, str], set[str]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the contents that are tried have no real values
        for before, label, after in _ways(flow):
            ways.setdefault((before, after), set()).add(label)
    yield "stateDiagram-v2"
    yield "  [*] --> unordered"
    for (before, after), labels in sorted(ways.items()):
        yield f"  {before} --> {after}: {'<br>'.join(sorted(labels))}"


def _ways(flow: Flow[Any]) -> set[tuple[str, str, str]]:
    """Return the changes of state, with what led to each and what was sent."""
    bare: Flow[Moment] = replace(
        flow,
        wanted=lambda moment, _: moment.wanted,
        held=lambda moment, _: moment.held,
        worth=lambda _: (None, None),
    )
    wishes, shown = _wishes(flow), _shown(flow)
    found: set[tuple[str, str, str]] = set()
    seen = [(Moment(wanted=wishes[0], held=shown[0]), NEW)]
    ahead = list(seen)
    for now_ms in range(1, 1 + STEPS):
        behind, ahead = ahead, []
        for moment, entry in behind:
            for changed in (
                *(replace(moment, wanted=each) for each in wishes if each is not moment.wanted),
                *(replace(moment, held=each) for each in shown if each is not moment.held),
            ):
                ledgers, outbox = {} if entry == NEW else {"x": entry}, Outbox()
                Orders(ledgers, outbox, now_ms).keep(bare, changed, "t", "x")
                after = ledgers.get("x", NEW)
                sent = [str((emit.record or {})["kind"]) for emit in outbox.emits]
                if sent or _state(after) != _state(entry):
                    event = _event(bare, moment, changed, entry)
                    found.add((_state(entry), " / ".join([event, *sent]), _state(after)))
                if (changed, after) not in seen:
                    seen.append((changed, after))
                    ahead.append((changed, after))
    return found


def _wishes(flow: Flow[Any]) -> list[CommandContent | None]:
    """Return what the flow may want, by its type: first what is wanted of nothing."""
    kinds = get_args(get_type_hints(flow.wanted)["return"])
    wishes: list[CommandContent | None] = [None] if NoneType in kinds else []
    if flow.delete in kinds:
        wishes.append(flow.delete.model_construct())
    return wishes + list(_contents(flow))


def _shown(flow: Flow[Any]) -> list[Held]:
    """Return what the flow may find in a target, by its type: first nothing."""
    places = [Place.MISSING] if Place in get_args(get_type_hints(flow.held)["return"]) else []
    return [*places, None, *_contents(flow)]


def _contents(flow: Flow[Any]) -> Iterator[CommandContent]:
    for each in ("a", "b"):
        yield flow.upsert.model_construct(**dict.fromkeys(flow.kept_equal, each))


def _state(entry: LedgerEntry) -> str:
    if not entry.ordered:
        return "unordered"
    if entry.ordered == GONE:
        return "gone" if entry.is_confirmed else "deleting"
    return "held" if entry.is_confirmed else "ordered"


def _event(flow: Flow[Moment], before: Moment, now: Moment, entry: LedgerEntry) -> str:
    if now.wanted is not before.wanted:
        if now.wanted is None:
            return "no wish any more"
        return "to be gone" if flow.deletes(now.wanted) else "wanted"
    if now.held is Place.MISSING:
        return "its row gone"
    is_ordered = flow.shown(now.held) == entry.ordered
    shown = (
        "not there" if now.held is None else f"shown {'as ordered' if is_ordered else 'otherwise'}"
    )
    if now.wanted is None:
        return f"{shown}, no wish"
    return f"{shown}, to be gone" if flow.deletes(now.wanted) else shown
