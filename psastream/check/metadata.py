"""Will rows still be read? What a vendor describes now, against contracts and mappings.

Before the first row that does not fit: a field that is gone, one of another type, a value of a list
of values that a rule refuses. A value that is one of several things that a field is made of
(`first_non_null`) may be made up for by the others, and is not told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from connectors.toolkit.metadata import Described, Kind
from psastream.check.findings import Finding
from psastream.verdict import Verdict
from schemas.mapping.config import ObjectConfig, Rule, TargetConfig
from schemas.system import SystemBundle

METADATA: Final = "metadata"
_NAMED_MAX: Final = 5

Fields = Mapping[str, Described | None]


def metadata_findings(
    connector: str, system: SystemBundle, described: Mapping[str, Fields]
) -> Iterator[Finding]:
    """Yield what stands against each object of a system, by what its vendor describes."""
    for obj, fields in described.items():
        mapped = system.objects[obj]
        found = [
            *_unread(system, obj, fields),
            *_refused(mapped, fields),
        ]
        subject = f"{connector}, {obj}"
        for verdict, detail, remedy in found:
            yield Finding(METADATA, subject, verdict, detail, remedy)
        if not found:
            yield Finding(METADATA, subject, Verdict.OK, f"{len(fields)} fields, as they are read")


def not_described(connector: str, obj: str, why: str) -> Finding:
    """Return that a vendor did not describe an object."""
    remedy = "polls tell whether it can be read"
    return Finding(METADATA, f"{connector}, {obj}", Verdict.WARN, f"not described: {why}", remedy)


def made_of(mapped: ObjectConfig, column: str) -> list[str]:
    """Return the canonical fields that a column of an object goes into, as `entity.field`."""
    columns = {column}
    for name, text in mapped.vars.items():  # each may use those before it
        if any(_names(text, each) for each in columns):
            columns.add(name)
    found = [
        f"{target.entity}.{field}"
        for whole in mapped.targets
        for _, target in whole.split()
        for field, rule in target.fields.items()
        if _reads(rule, columns) or _depends(target, columns)
    ]
    return list(dict.fromkeys(found))


def _unread(system: SystemBundle, obj: str, fields: Fields) -> Iterator[tuple[Verdict, str, str]]:
    contract: Any = system.contract(obj).parsed["fields"]
    for column in contract:
        name = column["name"]
        told = made_of(system.objects[obj], name)
        goes = f"; {_listed(told)} {'is' if len(told) == 1 else 'are'} made of it" if told else ""
        described = fields.get(name)
        if described is None and name in fields:
            continue
        if described is None:
            yield (
                Verdict.FAIL,
                f"{name} is gone, or hidden from our user: the object will not be read{goes}",
                "give the user the right to see it or bring it back; where it was renamed, its"
                " contract and mapping.yaml name it",
            )
        elif (
            described.kind is not None
            and (wanted := kind_of(column["type"]))
            and described.kind not in _TAKEN[wanted]
        ):
            yield (
                Verdict.FAIL,
                f"{name} is {described.type} now, and its contract reads {wanted.value}: its rows"
                f" will go to psa.dlq{goes}",
                "give the field its type back, or its contract the new one",
            )


def _refused(mapped: ObjectConfig, fields: Fields) -> Iterator[tuple[Verdict, str, str]]:
    for target in mapped.targets:
        for field, rule in target.fields.items():
            described = fields.get(rule.from_) if isinstance(rule.from_, str) else None
            if rule.values is None or described is None or described.values is None:
                continue
            taken = {str(value) for value in rule.values}
            if unknown := sorted(described.values - taken):
                yield (
                    Verdict.WARN,
                    f"{rule.from_} may be {_listed(unknown)}, of which {target.entity}.{field}"
                    " knows nothing: a row that is will be refused",
                    "add it to the values of the rule in mapping.yaml",
                )


_TAKEN: Final[Mapping[Kind, frozenset[Kind]]] = {
    Kind.TEXT: frozenset({Kind.TEXT, Kind.DATE}),  # a date is a text in JSON
    Kind.NUMBER: frozenset({Kind.NUMBER}),
    Kind.BOOLEAN: frozenset({Kind.BOOLEAN}),
    Kind.DATE: frozenset({Kind.DATE}),
}
"""Kinds of fields whose values a contract reads, by what it reads."""


def kind_of(type_: Any) -> Kind | None:
    """Return what an Avro type reads a field as; None where nothing can be said of it."""
    branches = [each for each in (type_ if isinstance(type_, list) else [type_]) if each != "null"]
    if len(branches) != 1:
        return None
    [told] = branches
    name: Any = told.get("logicalType", told["type"]) if isinstance(told, dict) else told
    kinds = {
        "string": Kind.TEXT, "decimal": Kind.NUMBER, "boolean": Kind.BOOLEAN, "date": Kind.DATE,
        "long": Kind.NUMBER, "int": Kind.NUMBER,
    }  # fmt: skip
    return kinds.get(name)


def _reads(rule: Rule, columns: Iterable[str]) -> bool:
    return any(_reads(part, columns) for part in rule.parts) or any(
        column in rule.columns or _names(rule.sql, column) for column in columns
    )


def _depends(target: TargetConfig, columns: Iterable[str]) -> bool:
    return any(_names(target.when, column) for column in columns)


def _names(text: str | None, column: str) -> bool:
    return text is not None and bool(re.search(rf"(?<![\w.]){re.escape(column)}(?!\w)", text))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more
