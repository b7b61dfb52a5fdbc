"""The outcome table of a declared API: what its answers mean, in every connector's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from connectors.rest.declaration import Errors, Outcome, RestConfig
from connectors.rest.paths import at
from connectors.toolkit.faults import ErrorPolicy, Fault, rule, text_or_none


def policy_of(system: str, config: RestConfig) -> ErrorPolicy:
    """Return the outcome table of a system."""
    return ErrorPolicy(
        system=system,
        read_faults=_reader_of(config.errors),
        rules=tuple(map(_rule, config.outcomes)),
    )


def _rule(outcome: Outcome) -> Any:
    return rule(
        outcome.status,
        outcome.means.meaning,
        *outcome.code,
        words=outcome.words,
        evidence=outcome.evidence,
    )


def _reader_of(errors: Errors) -> Callable[[object], Sequence[Fault]]:
    """Return what reads the faults of a body of any shape."""

    def read(body: object) -> Sequence[Fault]:
        found = body if errors.list is None else at(body, errors.list)
        entries = found if isinstance(found, list) else [found]
        return [
            Fault(code=_text(entry, errors.code), detail=_text(entry, errors.detail) or "")
            for entry in entries
            if isinstance(entry, dict)
        ]

    return read


def _text(entry: dict[str, Any], path: str | None) -> str | None:
    return None if path is None else text_or_none(at(entry, path))
