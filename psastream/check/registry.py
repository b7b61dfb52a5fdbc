"""Are the contracts registered, and would the registry take those that are not?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from psastream.check.broker import some
from psastream.check.findings import Finding
from psastream.verdict import Verdict
from runtime.registry import Registration, Registry, subjects_of
from schemas.topics import Topic

SCHEMAS: Final = "schemas"


def ask_registry(registry: Registry, topics: Iterable[Topic]) -> dict[str, Registration]:
    """Return how each subject stands that is ours. Raises RegistryUnavailableError."""
    return {
        subject: registry.registration(subject, schema) for subject, schema in subjects_of(topics)
    }


def schema_findings(found: Mapping[str, Registration], *, are_made: bool) -> Iterator[Finding]:
    """Yield what is found of subjects; with `are_made` unregistered ones are no matter."""
    absent = [name for name, each in found.items() if each is Registration.ABSENT]
    refused = [name for name, each in found.items() if each is Registration.INCOMPATIBLE]
    for name in refused:
        yield Finding(
            SCHEMAS,
            name,
            Verdict.FAIL,
            "the registry holds schemas that this version's does not fit",
            "go back to the version that registered them, or take the subject's earlier schemas"
            " back; fields may be added with defaults, never renamed, retyped or removed",
        )
    if absent and not are_made:
        yield Finding(
            SCHEMAS,
            f"{len(absent)} of {len(found)}",
            Verdict.FAIL,
            f"are not registered: {some(absent)}",
            "psastream schemas register",
        )
    if found and not refused and not absent:
        yield Finding(SCHEMAS, f"{len(found)}", Verdict.OK, "are registered")
