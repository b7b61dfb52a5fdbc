"""What an API described of an object when people accepted it, and what differs since. No IO.

A fingerprint holds every field that our user may see. Of fields that nothing reads only new ones
count: what happens to the others stops no row. The order of fields and of values says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from connectors.polled.orders import instant_text, read_instant
from connectors.toolkit.metadata import Described, Kind
from schemas.codec.record import AvroSchema

ACCEPTED: Final = "accepted"
DESCRIBED: Final = "described"

Fields = Mapping[str, Described | None]
"""Fields by name; None: one that need not be there, and is not."""


class DriftKind(StrEnum):
    """How what is described differs from what was accepted."""

    NEW_VALUE = "new_value"  # of a list of values
    GONE_VALUE = "gone_value"
    CHANGED_TYPE = "changed_type"
    VANISHED = "vanished"  # or hidden from our user
    RENAMED = "renamed"  # gone, and there under another name with the same label and type
    NEW_FIELD = "new_field"


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One difference of a field, under the name that was accepted.

    `was` and `now` are a value, a type or a name, by the kind.
    """

    field: str
    kind: DriftKind
    was: str | None = None
    now: str | None = None

    def told(self) -> str:
        """Say it in a few words."""
        match self.kind:
            case DriftKind.NEW_VALUE:
                return f"{self.field} may be {self.now}"
            case DriftKind.GONE_VALUE:
                return f"{self.field} may be {self.was} no more"
            case DriftKind.CHANGED_TYPE:
                return f"{self.field} is {self.now}, and was {self.was}"
            case DriftKind.VANISHED:
                return f"{self.field} is gone, or hidden from our user"
            case DriftKind.RENAMED:
                return f"{self.field} is {self.now} now"
            case DriftKind.NEW_FIELD:
                return f"{self.field} is new ({self.now})"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What an object's API described, when, and who had it kept."""

    system: str
    obj: str
    at: datetime
    by: str
    note: str | None = None
    fields: Fields = field(default_factory=dict)

    def key(self, of: str) -> str:
        """Return the key of its record, as what is `ACCEPTED` or what is `DESCRIBED`."""
        return f"{of}|{self.system}|{self.obj}"

    def to_bytes(self) -> bytes:
        """Encode for the topic of orders; equal descriptions give equal bytes."""
        record = {
            "system": self.system,
            "object": self.obj,
            "at": instant_text(self.at),
            "by": self.by,
            "note": self.note,
            "fields": {name: _record(each) for name, each in self.fields.items()},
        }
        return json.dumps(record, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Decode. Raises ValueError, LookupError, TypeError or AttributeError for other bytes."""
        record = json.loads(data)
        at = read_instant(record["at"])
        if at is None:
            raise ValueError("it does not say when it was kept")
        return cls(
            str(record["system"]),
            str(record["object"]),
            at,
            str(record["by"]),
            record.get("note"),
            {name: _described(each) for name, each in record["fields"].items()},
        )


def read_fields(contract: AvroSchema) -> frozenset[str]:
    """Return the fields of an object that rows are read by: those of its contract."""
    fields: Any = contract.parsed["fields"]
    return frozenset(field["name"] for field in fields)


def differences(accepted: Fields, now: Fields, read: Collection[str]) -> list[Difference]:
    """Return what differs, by field; `read` are the fields that rows are read by."""
    before, after = _present(accepted), _present(now)
    gone = [name for name in before if name not in after and name in read]
    new = [name for name in after if name not in before]
    renamed = _renamed(before, gone, after, new)
    found = [Difference(was, DriftKind.RENAMED, was, name) for was, name in renamed.items()]
    found += [Difference(name, DriftKind.VANISHED) for name in gone if name not in renamed]
    found += [
        Difference(name, DriftKind.NEW_FIELD, now=after[name].type)
        for name in new
        if name not in renamed.values()
    ]
    for name in before.keys() & after.keys() & set(read):
        found += _changes(name, before[name], after[name])
    for was, name in renamed.items():
        found += _changes(was, before[was], after[name])
    return sorted(found)


def _present(fields: Fields) -> dict[str, Described]:
    return {name: each for name, each in fields.items() if each is not None}


def _renamed(
    before: Mapping[str, Described],
    gone: Collection[str],
    after: Mapping[str, Described],
    new: Collection[str],
) -> dict[str, str]:
    """Return new names by old ones: where just one field is gone, and one new, of a label and type.

    What has no label is known by its name alone.
    """
    was, now = _by_label(before, gone), _by_label(after, new)
    return {
        names[0]: now[alike][0]
        for alike, names in was.items()
        if len(names) == 1 and len(now.get(alike, ())) == 1
    }


def _by_label(
    fields: Mapping[str, Described], names: Collection[str]
) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for name in names:
        each = fields[name]
        if each.label:
            found.setdefault((each.label, each.type), []).append(name)
    return found


def _changes(name: str, before: Described, after: Described) -> Iterator[Difference]:
    if (before.type, before.kind) != (after.type, after.kind):
        yield Difference(name, DriftKind.CHANGED_TYPE, before.type, after.type)
        return  # its values are others by nature
    if before.values is None or after.values is None:
        return
    for value in after.values - before.values:
        yield Difference(name, DriftKind.NEW_VALUE, now=value)
    for value in before.values - after.values:
        yield Difference(name, DriftKind.GONE_VALUE, was=value)


def _record(described: Described | None) -> dict[str, Any] | None:
    if described is None:
        return None
    record: dict[str, Any] = {
        "type": described.type,
        "kind": described.kind and described.kind.name,
    }
    if described.values is not None:
        record["values"] = sorted(described.values)
    if described.label is not None:
        record["label"] = described.label
    return record


def _described(record: Mapping[str, Any] | None) -> Described | None:
    if record is None:
        return None
    values = record.get("values")
    return Described(
        str(record["type"]),
        None if record["kind"] is None else Kind[record["kind"]],
        None if values is None else frozenset(map(str, values)),
        record.get("label"),
    )
