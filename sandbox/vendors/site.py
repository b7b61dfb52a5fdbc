"""What every vendor of the twin has: a clock, faults, drifting fields, settings, an effect log."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.drift import Drift
from sandbox.vendors.effects import Effect, EffectLog, Operation, content_of
from sandbox.vendors.faults import FaultPlan
from sandbox.vendors.oauth import TokenStore


class SiteSettings(BaseModel):
    """Settings every vendor has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clock_offset_s: float = 0.0
    search_lag_s: float = 0.0
    """Longest time until a list shows a record that was made; each has a time of its own."""


SettingsT = TypeVar("SettingsT", bound=SiteSettings)


class Site(Generic[SettingsT]):
    """The running parts of one vendor, apart from its rows."""

    def __init__(
        self, name: str, *, base_url: str, seed: int, effects: EffectLog, settings: SettingsT
    ) -> None:
        self.name = name
        self.url = f"{base_url}/{name}"
        self.clock = VendorClock()
        self.faults = FaultPlan(f"{seed}:{name}")
        self.drift = Drift()
        self.tokens = TokenStore()
        self.settings = settings
        self._effects = effects
        self._lags = random.Random(f"{seed}:{name}:search")  # noqa: S311 - lags must repeat
        self._listed_at_s: dict[str, float] = {}

    def made(self, record: object) -> None:
        """Note that a record was made: lists show it late where searches lag."""
        if self.settings.search_lag_s:
            lag_s = self._lags.uniform(0, self.settings.search_lag_s)
            self._listed_at_s[str(record)] = time.monotonic() + lag_s

    def is_listed(self, record: object) -> bool:
        """Whether a list shows a record by now."""
        return self._listed_at_s.get(str(record), 0.0) <= time.monotonic()

    def configure(self, changes: Mapping[str, object]) -> None:
        """Change settings. Raises pydantic.ValidationError for unknown names and bad values."""
        self.settings = type(self.settings).model_validate(
            {**self.settings.model_dump(), **changes}
        )
        self.clock.offset_s = self.settings.clock_offset_s

    def record_effect(
        self,
        operation: Operation,
        record_type: str,
        external_id: str | None,
        body: Mapping[str, object] | None = None,
    ) -> None:
        """Note that a write was executed."""
        self._effects.record(
            Effect(
                vendor=self.name,
                record_type=record_type,
                external_id=external_id,
                operation=operation,
                content=content_of(body) if body is not None else "",
                at=self.clock.now().isoformat(),
            )
        )


class UnknownRowError(Exception):
    """The object or the row named by an admin request does not exist."""


class InvalidRowError(Exception):
    """An admin request names a field the object does not have, or a value it cannot hold."""


class Books(Protocol):
    """The rows of one vendor, as the admin API changes and shows them."""

    def create(self, record_type: str, values: Mapping[str, Any]) -> dict[str, Any]: ...

    def update(
        self, record_type: str, row_id: str, values: Mapping[str, Any]
    ) -> dict[str, Any]: ...

    def delete(self, record_type: str, row_id: str) -> None: ...

    def rows(self) -> dict[str, list[dict[str, Any]]]: ...
