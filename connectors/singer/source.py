"""A polled source made of a singer.yaml and a connector file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from pydantic import Field, SecretStr, model_validator

from connectors.polled.config import Milliseconds, PolledConfig
from connectors.polled.model import ObjectReader
from connectors.singer.declaration import SingerConfig, filled, names_of, read_declaration
from connectors.singer.process import Limits, Tap
from connectors.singer.reader import SingerReader
from connectors.singer.rows import shaped
from runtime.secrets import remember
from schemas.codec.record import AvroSchema
from schemas.errors import ConfigError
from schemas.system import SystemBundle

CONFIG: Final = "config."
SECRET: Final = "secret."  # noqa: S105 - the prefix of keys
Setting = str | int | bool


class SingerConnectorConfig(PolledConfig):
    """What a tap is given. `config.<name>` and `secret.<name>` fill the config of singer.yaml."""

    poll_interval_ms: Milliseconds = Field(default=300_000, alias="poll.interval.ms", ge=10)
    executable: str | None = Field(
        default=None, alias="tap.executable", description="path of the tap, where it is not on PATH"
    )
    silence_ms: int = Field(
        default=600_000,
        alias="tap.silence.ms",
        ge=100,
        le=660_000,  # the process counts as hung after 900 s, and a run may wait for its place
        description="longest time that a tap may write nothing",
    )
    run_ms: Milliseconds = Field(
        default=21_600_000, alias="tap.run.ms", ge=100, description="longest run of a tap"
    )
    config: Mapping[str, Setting] = Field(
        default={}, description="settings of the tap, a key `config.<name>` each"
    )
    secrets: Mapping[str, SecretStr] = Field(
        default={},
        alias="secret",
        description="secret settings of the tap, a key `secret.<name>` each: masked everywhere",
    )

    @model_validator(mode="before")
    @classmethod
    def _collect(cls, document: Any) -> Any:
        if not isinstance(document, dict):
            return document
        for prefix in (CONFIG, SECRET):
            if prefix.rstrip(".") in document:
                raise ValueError(f"each setting is a key of its own: {prefix}<name>")
        rest = dict(document)
        for prefix in (CONFIG, SECRET):
            named = {key: rest.pop(key) for key in document if key.startswith(prefix)}
            if named:
                found = {key.removeprefix(prefix): value for key, value in named.items()}
                rest[prefix.rstrip(".")] = found
        return rest

    def words(self) -> dict[tuple[str, str], object]:
        """What the placeholders of singer.yaml stand for."""
        plain = {("config", name): value for name, value in self.config.items()}
        secret = {("secret", name): each.get_secret_value() for name, each in self.secrets.items()}
        return {**plain, **secret}


class SingerSource:
    """The streams of one configured tap."""

    config_model: ClassVar[type[PolledConfig]] = SingerConnectorConfig

    def __init__(
        self, config: SingerConnectorConfig, system: SystemBundle, tap: Tap | None = None
    ) -> None:
        """Raises ConfigError where the connector file and singer.yaml do not fit each other."""
        self.config = config
        self.system = system
        self._declared = read_declaration(system)
        for secret in config.secrets.values():
            remember(secret.get_secret_value())
        _require_fitting(config, self._declared)
        self._tap = _tap_of(config, self._declared, system.name) if tap is None else tap

    @classmethod
    def objects_of(cls, system: SystemBundle) -> Collection[str]:
        """What its singer.yaml declares. Raises ConfigError naming every problem of it."""
        return read_declaration(system).objects.keys()

    @classmethod
    def from_config(cls, config: PolledConfig, system: SystemBundle) -> Self:
        """Make the source from its validated configuration."""
        assert isinstance(config, SingerConnectorConfig)
        return cls(config, system)

    def reader(self, obj: str, contract: AvroSchema) -> ObjectReader:
        """Return the reader of an object, whose rows have the fields of the contract."""
        mapped = self.system.objects[obj]
        return SingerReader(
            self._tap,
            self._declared,
            obj,
            contract,
            key=mapped.key,
            deleted_field=mapped.deleted_when,
            page_size=self.config.page_size,
            system=self.system.name,
        )

    async def close(self) -> None:
        """Remove what the tap was given."""
        self._tap.close()


def shape(system: SystemBundle, obj: str, row: object) -> object:
    """Return a row of the tap with its nested columns and its key as fields."""
    return shaped(row, read_declaration(system).objects[obj], system.objects[obj].key)


def _tap_of(config: SingerConnectorConfig, declared: SingerConfig, system: str) -> Tap:
    named = config.executable or declared.executable
    path = shutil.which(named)
    if path is None:
        raise ConfigError(
            f"there is no program {named}",
            hint="install the tap in an environment of its own and set tap.executable",
        )
    missing = [name for name in declared.environment if name not in os.environ]
    if missing:
        raise ConfigError(
            f"environment variables are not set: {', '.join(missing)}",
            hint="singer.yaml names them under environment",
        )
    return Tap(
        system,
        (str(Path(path).absolute()), *declared.arguments),
        filled(declared.config, config.words()),
        limits=Limits(silence_s=config.silence_ms / 1000, run_s=config.run_ms / 1000),
        at_once=config.max_in_flight,
        environment={name: os.environ[name] for name in declared.environment},
    )


def _require_fitting(config: SingerConnectorConfig, declared: SingerConfig) -> None:
    takes, given = names_of(declared), set(config.words())
    problems = [f"{kind}.{name} is missing" for kind, name in sorted(takes - given)]
    problems += [
        f"{kind}.{name} is not taken by singer.yaml" for kind, name in sorted(given - takes)
    ]
    if problems:
        raise ConfigError(
            "; ".join(problems), hint="the connector file sets what singer.yaml takes, no more"
        )
