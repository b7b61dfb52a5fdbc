"""Configuration every polled connector has; a vendor's model adds its credentials."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from connectors.toolkit.config import BaseUrl
from runtime.certificates import CertificateFile

Milliseconds = Annotated[int, Field(le=36_525 * 86_400_000)]
"""Up to a century: more is no time that a clock can be moved by."""


class SnapshotMode(Enum):
    """What to publish of the rows that exist when a bookmark is missing."""

    INITIAL = "initial"  # every row, once
    NO_DATA = "no_data"  # what changed since the first scan began, less the overlap
    ALWAYS = "always"  # every row, at every start


class PolledConfig(BaseModel):
    """One polled connector, in Debezium's vocabulary."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9-]+$", description="names bookmarks and transactions")
    connector_class: str = Field(alias="connector.class")
    topic_prefix: str = Field(alias="topic.prefix", pattern=r"^src\.[a-z][a-z0-9_]*$")
    objects: tuple[str, ...] = Field(alias="object.include.list", min_length=1)
    poll_interval_ms: Milliseconds = Field(default=30_000, alias="poll.interval.ms", ge=10)
    overlap_ms: Milliseconds = Field(
        default=600_000, alias="overlap.ms", ge=0, description="how late a row may become visible"
    )
    sweep_interval_ms: Milliseconds = Field(default=86_400_000, alias="sweep.interval.ms", ge=10)
    description_interval_ms: Milliseconds = Field(
        default=3_600_000,
        alias="description.interval.ms",
        ge=0,
        description=(
            "time between looks at what the API describes of the objects, where it does; 0: never"
        ),
    )
    snapshot_mode: SnapshotMode = Field(default=SnapshotMode.INITIAL, alias="snapshot.mode")
    max_delete_ratio: float = Field(default=0.2, alias="max.delete.ratio", ge=0, le=1)
    max_delete_rows: int = Field(
        default=10,
        alias="max.delete.rows",
        ge=0,
        le=10_000,  # a bookmark names as many
        description=(
            "so many deletes are believed whatever their share: told by the vendor in one poll, or"
            " missed by two sweeps, `sweep.interval.ms` apart, that show at least half of the rows"
        ),
    )
    page_size: int = Field(default=200, alias="page.size", ge=1, le=2000)
    max_in_flight: int = Field(default=2, alias="max.in.flight", ge=1, le=50)
    retry_max_ms: Milliseconds = Field(
        default=300_000, alias="retry.max.ms", ge=10, description="longest pause after failures"
    )

    @field_validator("objects", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("objects")
    @classmethod
    def _known(cls, objects: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(objects)) != len(objects):
            raise ValueError("an object is listed twice")
        return objects

    @property
    def system(self) -> str:
        """The source system, second part of every topic name."""
        return self.topic_prefix.removeprefix("src.")

    @property
    def certificates(self) -> Sequence[CertificateFile]:
        """Those of our own that the vendor is shown."""
        return ()

    @property
    def overlap(self) -> timedelta:
        """How far before its bookmark a poll starts to read."""
        return timedelta(milliseconds=self.overlap_ms)

    def topic(self, obj: str) -> str:
        """Name of the topic of an object."""
        return f"{self.topic_prefix}.{obj}"


class ApiConfig(PolledConfig):
    """A polled connector that asks an API by HTTP."""

    url: BaseUrl = Field(pattern=r"^https?://[^\s]+[^/\s]$")
    request_timeout_ms: Milliseconds = Field(default=60_000, alias="request.timeout.ms", ge=100)
    requests_per_second: float | None = Field(default=None, alias="requests.per.second", gt=0)


def read_secret_file(path: object) -> SecretStr:
    """Return the content of a key file. Raises ValueError, which a validator may let pass."""
    if not isinstance(path, str):
        raise ValueError("must be the path of a file")
    try:
        return SecretStr(Path(path).read_text())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise ValueError(f"file cannot be read: {reason}") from error
