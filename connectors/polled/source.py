"""What a vendor gives to be polled."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, Self

from connectors.polled.config import PolledConfig
from connectors.polled.conversion import converter
from connectors.polled.model import ObjectReader
from schemas.codec.record import AvroSchema, load_schema
from schemas.errors import ConfigError
from schemas.mapping.config import FILE
from schemas.system import SystemBundle
from schemas.yaml_text import line_of

_HINT: Final = "a contract has the fields that the vendor's code reads, each nullable"

Problem = tuple[tuple[object, ...], str]
"""Where in a file it is, as names and positions from its root, and what it is."""


@dataclass(frozen=True, slots=True)
class Readable:
    """What code reads of an object.

    `id_field` tells its rows apart. A contract must have the fields `needed`, and none beside
    `fields`; without those, whatever the contract names is asked for.
    """

    id_field: str
    needed: frozenset[str] = frozenset()
    fields: frozenset[str] | None = None


def readable_objects(system: SystemBundle, known: Mapping[str, Readable]) -> Collection[str]:
    """Return the objects that code reads, those of a system checked.

    Raises ConfigError naming, with file and line, each key and field that it does not read.
    """
    problems = []
    for obj, readable in known.items():
        if obj not in system.topics:
            continue
        if (key := system.objects[obj].key) != readable.id_field:
            told = f"{obj}: key is {key}, and its rows are told apart by {readable.id_field}"
            problems.append(_told(system, FILE, ("objects", obj, "key"), told))
        names = _names(system.contract(obj))
        file = contract_file(obj)
        for name in sorted({readable.id_field, *readable.needed} - set(names)):
            problems.append(_told(system, file, ("fields",), f"there is no field {name}"))
        if readable.fields is not None:
            for at, name in enumerate(names):
                if name not in readable.fields:
                    told = f"{name} is no column of the vendor's query"
                    problems.append(_told(system, file, ("fields", at), told))
    if problems:
        raise ConfigError("; ".join(problems), problems=problems, hint=_HINT)
    return known.keys()


def contract_file(obj: str) -> str:
    """Return the file of an object's contract, below the folder of its system."""
    return f"avro/{obj}.avsc"


def contract_problems(text: str) -> Iterator[Problem]:
    """Say which fields of a contract no row is converted to.

    A text that is no contract has none: the mapping says so.
    """
    try:
        record = load_schema(text)
    except ConfigError:
        return
    fields: Any = record.parsed.get("fields", [])
    for at, field in enumerate(fields):
        name, branches = field["name"], field["type"]
        is_nullable = isinstance(branches, list) and branches[:1] == ["null"]
        if not is_nullable or field.get("default", ...) is not None:
            yield ("fields", at), f"{name} is not nullable with default null"
        elif len(branches) != 2:
            yield ("fields", at), f"{name} has not one type beside null"
        else:
            try:
                converter(branches)
            except (TypeError, ValueError) as error:
                yield ("fields", at), f"{name}: {error}"


def _names(contract: AvroSchema) -> list[str]:
    fields: Any = contract.parsed["fields"]
    return [field["name"] for field in fields]


def _told(system: SystemBundle, file: str, path: tuple[object, ...], problem: str) -> str:
    return f"{system.name}/{file}: line {line_of(system.files[file], path)}: {problem}"


class PolledSource(Protocol):
    """A vendor's readers. `connector.class` names a class that makes one."""

    config_model: ClassVar[type[PolledConfig]]

    @classmethod
    def objects_of(cls, system: SystemBundle) -> Collection[str]:
        """Return what it can read of a system. Raises ConfigError where its folder declares it."""
        ...

    @classmethod
    def from_config(cls, config: PolledConfig, system: SystemBundle) -> Self:
        """Make the source. Opens nothing.

        Raises ValueError where a private key cannot be used, and ConfigError.
        """
        ...

    def reader(self, obj: str, contract: AvroSchema) -> ObjectReader:
        """Return the reader of an object, whose rows have the fields of the contract."""
        ...

    async def close(self) -> None:
        """Close what the readers opened."""
        ...
