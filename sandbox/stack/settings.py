"""What to run, where its data lives, and which addresses the user brings along."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, model_validator

CACHE_DIR_VARIABLE = "PSASTREAM_CACHE_DIR"


class Part(StrEnum):
    """The parts the supervisor knows how to prepare; the value is also the process name."""

    KAFKA = "kafka"
    CONNECT = "connect"
    POSTGRES = "postgres"
    REGISTRY = "registry"


@dataclass(frozen=True, slots=True)
class StackAddresses:
    """Where the parts listen. A part that neither runs nor was given has the empty string."""

    bootstrap_servers: str = ""
    guarded_servers: str = ""
    """Of the same broker, for users who sign in; empty where nobody guards it."""
    registry_url: str = ""
    connect_url: str = ""
    postgres_dsn: str = ""


class StackSettings(BaseModel):
    """Settings of one supervisor. An address that is given replaces the part of that name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Field(description="data, logs and process ids of this stack")
    cache_dir: Path = Field(description="downloaded jars, shared by every stack of the user")
    bootstrap_servers: str | None = Field(default=None, description="host:port list of a Kafka")
    registry_url: str | None = Field(default=None, description="URL of a schema registry")
    connect_url: str | None = Field(default=None, description="REST URL of a Kafka Connect")
    postgres_dsn: str | None = Field(default=None, description="postgresql:// of a database")
    parts: frozenset[Part] = Field(default=frozenset(Part), description="parts to run")
    dispensable_parts: frozenset[Part] = Field(
        default=frozenset(), description="parts without which the others are started all the same"
    )
    is_source: bool = Field(
        default=True,
        description="connectors find the database of the stack under the names of the in-house PSA",
    )
    kafka_heap_mb: int = Field(default=512, ge=256, le=8192, description="largest Kafka heap")
    kafka_join_wait_ms: int = Field(
        default=0, ge=0, description="how long a new group waits for members; Kafka's own is 3000"
    )
    kafka_properties: Mapping[str, str] = Field(
        default_factory=dict,
        description="further settings of the broker; lists of listeners add to those it has",
    )
    connect_heap_mb: int = Field(default=512, ge=192, le=8192, description="largest Connect heap")
    connector_variables: frozenset[str] = Field(
        default=frozenset(), description="variables that connector files of Connect may name"
    )
    asks_given: bool = Field(
        default=True, description="see first whether given parts answer, without certificates"
    )
    quick_start: bool = Field(
        default=True,
        description="let Java compile fast rather than well, which is best for minutes of light "
        "load; off where brokers are measured",
    )
    stop_grace_s: float = Field(default=10.0, gt=0, le=120, description="from TERM to KILL")
    fresh: bool = Field(default=False, description="delete the data of earlier runs first")

    @property
    def parts_to_start(self) -> frozenset[Part]:
        """The wanted parts whose address was not given."""
        return self.parts - self._given.keys()

    @property
    def given_addresses(self) -> StackAddresses:
        """The addresses the user brought along."""
        return StackAddresses(
            bootstrap_servers=self.bootstrap_servers or "",
            registry_url=self.registry_url or "",
            connect_url=self.connect_url or "",
            postgres_dsn=self.postgres_dsn or "",
        )

    @property
    def _given(self) -> Mapping[Part, str]:
        addresses = {
            Part.KAFKA: self.bootstrap_servers,
            Part.REGISTRY: self.registry_url,
            Part.CONNECT: self.connect_url,
            Part.POSTGRES: self.postgres_dsn,
        }
        return {part: address for part, address in addresses.items() if address}

    @model_validator(mode="after")
    def _parts_find_what_they_need(self) -> "StackSettings":
        available = self.parts | self._given.keys()
        needs = {
            Part.CONNECT: {Part.KAFKA, Part.REGISTRY},
            Part.REGISTRY: {Part.KAFKA},
        }
        for part in self.parts_to_start:
            missing = needs.get(part, set()) - available
            if missing:
                names = ", ".join(sorted(missing))
                msg = f"{part} needs {names}; add to parts, or give the address"
                raise ValueError(msg)
        return self


def cache_dir_from(env: Mapping[str, str]) -> Path:
    """The download cache: `PSASTREAM_CACHE_DIR`, else the cache folder of the user."""
    configured = env.get(CACHE_DIR_VARIABLE)
    return Path(configured) if configured else platformdirs.user_cache_path("psastream")
