"""The text of a singer.yaml as checked models: which tap is run, and what its streams are here.

The words are Singer's (`stream`, `tap_stream_id`, `key_properties`, `replication_method`,
`replication_key`), those about rows are those of a rest.yaml. What a tap is stands here; where its
system is, with which credentials and how often it is asked stands in the connector file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from connectors.rest.paths import Path
from connectors.toolkit.declaration import Problem, declared_wrong, parse_declared
from schemas.errors import ConfigError
from schemas.system import SystemBundle

FILE: Final = "singer.yaml"
HINT: Final = "psastream docs singer describes singer.yaml"
PLACEHOLDER: Final = re.compile(r"\$\{(config|secret):([a-z][a-z0-9_]*)\}")

Text = Annotated[str, StringConstraints(min_length=1)]
Word = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$")]
Variable = Annotated[str, StringConstraints(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Replication(Enum):
    """How a stream is read: Singer's names."""

    FULL_TABLE = "FULL_TABLE"
    INCREMENTAL = "INCREMENTAL"


class StreamConfig(_Model):
    """One object: the stream it is read from, and where its columns are in a row.

    `stream` is its name in messages, `tap_stream_id` that in the catalog, where they differ.
    `key_properties` are the properties that make up the key column, where there are several.
    `columns`, `unused`, `optional` and `null_is_absent` are those of a rest.yaml.
    `shows_deletes`: a full run shows every row there is, so that one it does not show is deleted.
    """

    stream: Text
    tap_stream_id: Text | None = None
    replication_method: Replication = Replication.FULL_TABLE
    replication_key: Text | None = None
    key_properties: Annotated[tuple[Text, ...], Field(min_length=2)] | None = None
    columns: dict[Text, Path] = {}
    unused: tuple[Text, ...] = ()
    optional: tuple[Text, ...] = ()
    null_is_absent: bool = False
    shows_deletes: bool = True

    @property
    def catalog_id(self) -> str:
        """What the catalog calls the stream."""
        return self.tap_stream_id or self.stream


class SingerConfig(_Model):
    """A whole singer.yaml.

    `executable` is found on PATH, unless the connector file's `tap.executable` says where it is.
    Texts of `config` take `${config:name}` and `${secret:name}` from the connector file.
    `catalog`: the option that takes the catalog the tap discovers; `none`: it takes none.
    `environment`: variables that the tap gets beside those that every program needs.
    """

    executable: Word
    arguments: tuple[Text, ...] = ()
    config: dict[Text, Any] = {}
    catalog: Literal["catalog", "properties", "none"] = "catalog"
    environment: tuple[Variable, ...] = ()
    objects: dict[Text, StreamConfig] = Field(min_length=1)


def parse_declaration(text: str, file: str) -> SingerConfig:
    """Parse the text of a singer.yaml. Raises ConfigError naming every problem with its line."""
    return parse_declared(text, file, SingerConfig, HINT)


def read_declaration(system: SystemBundle) -> SingerConfig:
    """Return what the folder of a system declares, checked against its mapping and contracts.

    Raises ConfigError naming every problem with its line.
    """
    file = f"{system.name}/{FILE}"
    text = system.files.get(FILE)
    if text is None:
        raise ConfigError(f"{file} is not there", hint=f"vendor: singer reads it; {HINT}")
    config = parse_declaration(text, file)
    if problems := [*_problems(config, system)]:
        raise declared_wrong(text, file, problems, HINT)
    return config


def _problems(config: SingerConfig, system: SystemBundle) -> Iterator[Problem]:
    for name in sorted(system.topics.keys() - config.objects.keys()):
        yield ("objects",), f"{name} of mapping.yaml is not declared"
    for at, argument in enumerate(config.arguments):
        if "${" in argument:
            yield ("arguments", at), "arguments are shown by the process list: use config"
    for path, text in texts(config.config, ("config",)):
        if "${" in PLACEHOLDER.sub("", text):
            yield path, "a placeholder is ${config:name} or ${secret:name}"
    streams = [obj.catalog_id for obj in config.objects.values()]
    for name, obj in config.objects.items():
        place = ("objects", name)
        if name not in system.topics:
            yield place, f"there is no object {name} in mapping.yaml"
            continue
        if streams.count(obj.catalog_id) > 1:
            yield place, f"{name}: several objects are read from {obj.catalog_id}"
        for path, problem in _problems_of(system, name, obj):
            yield (*place, *path), f"{name}: {problem}"


def _problems_of(system: SystemBundle, name: str, obj: StreamConfig) -> Iterator[Problem]:
    contract: Any = system.topics[name].contract
    if contract is None:
        yield (), "a database's table is not read by taps: capture: polled"
        return
    fields = {field["name"] for field in contract.parsed["fields"]}
    for column in obj.columns.keys() - fields:
        yield ("columns", column), f"the contract has no column {column}"
    for column in obj.optional:
        if column not in fields:
            yield ("optional",), f"optional: the contract has no column {column}"
    for column in obj.unused:
        if column in fields and column not in obj.columns:
            yield ("unused",), f"unused: {column} is a column of the contract"
    key = system.objects[name].key
    if obj.key_properties and key in obj.columns:
        yield ("key_properties",), f"{key} is made of key_properties, and has no path"
    is_incremental = obj.replication_method is Replication.INCREMENTAL
    if obj.replication_key is not None and not is_incremental:
        yield ("replication_key",), "replication_key tells changes: replication_method INCREMENTAL"


def texts(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[tuple[object, ...], str]]:
    """Every text in a value of YAML, with where it is."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from texts(item, (*path, name))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from texts(item, (*path, at))


def names_of(config: SingerConfig) -> set[tuple[str, str]]:
    """What the tap's configuration takes from the connector file: (`config` or `secret`, name)."""
    return {
        (found[1], found[2])
        for _, text in texts(config.config)
        for found in PLACEHOLDER.finditer(text)
    }


def filled(value: Any, words: Mapping[tuple[str, str], object]) -> Any:
    """Return the tap's configuration with its placeholders replaced.

    A text that is nothing but a placeholder becomes what it stands for, with its type.
    """
    match value:
        case str() if alone := PLACEHOLDER.fullmatch(value):
            return words[alone[1], alone[2]]
        case str():
            return PLACEHOLDER.sub(lambda found: str(words[found[1], found[2]]), value)
        case dict():
            return {name: filled(item, words) for name, item in value.items()}
        case list():
            return [filled(item, words) for item in value]
        case _:
            return value
