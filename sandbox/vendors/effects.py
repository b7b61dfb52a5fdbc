"""The log of every effect an API write had, so that doubled effects can be counted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sandbox.vendors import wire

Operation = Literal["create", "update", "delete"]


@dataclass(frozen=True, slots=True)
class Effect:
    """One executed write. `content` identifies the body written ("" for a deletion)."""

    vendor: str
    record_type: str
    external_id: str | None
    operation: Operation
    content: str
    at: str


class EffectLog:
    """Effects in the order they were executed. Set-up through the admin API is not listed."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []

    def record(self, effect: Effect) -> None:
        self._effects.append(effect)

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(effect) for effect in self._effects]


def content_of(body: Mapping[str, object]) -> str:
    """Identity of a body: equal bodies have equal content."""
    ordered = {name: body[name] for name in sorted(body)}
    return hashlib.sha256(wire.dumps(ordered)).hexdigest()[:16]
