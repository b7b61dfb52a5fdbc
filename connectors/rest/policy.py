"""The outcome table of a declared API: what its answers mean, in every connector's words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from connectors.rest.declaration import Errors, Outcome, RestConfig
from connectors.rest.paths import at
from connectors.toolkit.faults import ErrorPolicy, Fault, Rule, rule, text_or_none


def policy_of(system: str, config: RestConfig) -> ErrorPolicy:
    """Return the outcome table of a system."""
    return ErrorPolicy(
        system=system,
        read_faults=_reader_of(config.errors),
        rules=tuple(row for outcome in config.outcomes for row in _rules(outcome)),
        wait_header=config.rate_limit.wait_header,
    )


def _rules(outcome: Outcome) -> Iterator[Rule]:
    """A row for each status."""
    found = outcome.status if isinstance(outcome.status, tuple) else (outcome.status,)
    for status in found:
        yield rule(
            status,
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
