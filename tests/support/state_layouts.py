"""The shape of each group's state, and how the topics it reads are laid out, as a stored text.

Where a shape changes, earlier state means something else, so `layout` must change with it
(`streams/groups.py`), unless it reads as it is: a field more that has a default.
Store the shapes with `python -m tests.support.state_layouts`.
"""

from __future__ import annotations

import json
import pkgutil
from importlib import import_module
from pathlib import Path
from struct import Struct
from types import ModuleType
from typing import Any, Final

from pydantic import BaseModel

import tables
from schemas.topics import Topic
from streams.engine import GroupSpec
from streams.groups import make_groups
from tables.measures.measure import Measure
from tests.support.catalogue import BY_NAME, FIRM, LANDSCAPE
from tests.support.topology import FixedRegistry

STORED: Final = Path(__file__).parents[1] / "golden" / "state_layouts.json"
MODULES: Final = {
    "normalize": (
        "streams.agents.normalize_state",
        "streams.agents.source_log",
        "tables.lookups",
    ),
    "customer": (
        "tables.customer.view",
        "tables.foundation.ledger",
        "tables.foundation.owners",
    ),
    "engagement": (
        "tables.engagement.view",
        "tables.foundation.ledger",
        "tables.foundation.owners",
        "tables.measures.pipeline",
    ),
    "project": (
        "tables.foundation.ledger",
        "tables.foundation.owners",
        "tables.measures.billing_status",
        "tables.measures.margin",
        "tables.measures.utilization",
        "tables.project.addresses",
        "tables.project.billing",
        "tables.project.document",
        "tables.project.people",
        "tables.project.shared_address",
    ),
    "rollup": ("tables.measures.pipeline", "tables.measures.utilization", "tables.rollup"),
}
"""Modules that say how state is written, by group."""


def stored_shapes() -> dict[str, Any]:
    """Return the shapes that are stored, by group."""
    return dict(json.loads(STORED.read_text()))


def shapes() -> dict[str, Any]:
    """Return the shapes of now, by group."""
    mappings = FIRM.mappings
    groups = make_groups(mappings, FixedRegistry(), LANDSCAPE)
    found = {group.name: _shape(group) for group in groups}
    # What is remembered of a row of a source: a place a target, its key where rows move, texts.
    found["normalize"]["targets"] = {
        mapping.topic: [
            f"{_laid_out(target.topic)}; keeps {', '.join(target.unset_kept) or 'nothing'}"
            for target in mapping.targets
        ]
        for mapping in mappings
    }
    return found


def shaping_modules() -> set[str]:
    """Return the modules of tables that say how a document or a packed value is written."""
    names = [each.name for each in pkgutil.walk_packages(tables.__path__, "tables.")]
    # A fact is kept as it was read; what is added to its contract is null in earlier state.
    return {
        name
        for name in names
        if name != "tables.foundation.facts" and _written(import_module(name))
    }


def _shape(group: GroupSpec) -> dict[str, Any]:
    topics = {name: _laid_out(BY_NAME[name]) for name in group.handlers() if name in BY_NAME}
    modules = {name: _written(import_module(name)) for name in MODULES[group.name]}
    return {"layout": group.layout, "topics": topics, "written": modules}


def _written(module: ModuleType) -> dict[str, Any]:
    """Return the documents and the packed values that a module defines."""
    found: dict[str, Any] = {}
    for name, value in vars(module).items():
        if isinstance(value, Struct):
            found[name] = value.format
        elif isinstance(value, Measure):
            found[name] = f"{value.prefix} {value.stored.format}"
        elif isinstance(value, type) and issubclass(value, BaseModel):
            fields = value.model_fields.items()
            found[name] = {field: str(info.annotation) for field, info in fields}
    # Of documents that a module only reads another one says how they are written.
    return {name: shape for name, shape in found.items() if _is_of(module, name)}


def _is_of(module: ModuleType, name: str) -> bool:
    value = getattr(module, name)
    return isinstance(value, Struct | Measure) or value.__module__ == module.__name__


def _laid_out(topic: Topic) -> str:
    moves = "moves" if topic.rows_move else "stays"
    return f"{topic.name} by {topic.key}, {topic.route.value}, {moves}"


if __name__ == "__main__":
    STORED.write_text(json.dumps(shapes(), indent=1, sort_keys=True) + "\n")
