"""Configuration of a command sink: the keys every `connectors/vendors/<vendor>/sink.json` has.

A vendor adds its credentials in a subclass beside its sink.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Protocol, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from connectors.dispatch.decisions import ALL
from connectors.dispatch.lease import Check, LeasedLimiter
from connectors.dispatch.retry import RetryPolicy
from connectors.dispatch.sink import Sink
from connectors.toolkit.config import BaseUrl
from connectors.toolkit.http import Limiter


def _exact(value: object) -> object:
    """Refuse what is no exact decimal: a number of JSON with a fraction is none."""
    if isinstance(value, float | bool):
        raise ValueError('an amount is a text, as "100000.00"')
    return value


Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]
Least = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, allow_inf_nan=False)]


class SinkConfig(BaseModel):
    """Keys common to all sinks; in the file, dots stand for underscores."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", ".")
    )

    name: str = Field(min_length=1, description="name of this connector in logs")
    connector_class: str = Field(description="the sink that executes the commands")
    target: str = Field(description="commands are read from psa.command.<target>")
    url: BaseUrl = Field(pattern="^https?://", description="base URL of the vendor's API")
    user_agent: str = Field(default="psastream", description="User-Agent of every request")
    request_timeout_ms: int = Field(
        default=60_000, ge=100, description="longest attempt, all its requests together"
    )
    max_in_flight: int = Field(
        ge=1, le=100, description="requests at once; the sources' share of the account comes on top"
    )
    requests_per_second: float | None = Field(default=None, gt=0, description="pace of requests")
    settle_ms: int = Field(
        ge=0,
        description="how long a request may still take effect, or stay unseen by a search, after "
        "we stopped waiting; with request.timeout.ms, longer than the vendor's longest request",
    )
    retry_backoff_ms: int = Field(default=500, ge=1, description="wait after the first failure")
    retry_backoff_max_ms: int = Field(default=60_000, ge=1, description="longest wait")
    auth_retry_ms: int = Field(default=60_000, ge=1, description="wait after refused credentials")
    max_queued: int = Field(default=1_000, ge=1, description="reading pauses beyond this")
    stopped: tuple[str, ...] = Field(
        default=(),
        description="kinds of commands that are not sent, `all`: nothing is; as `psastream commands"
        " stop`, for as long as the file says so",
    )

    approval: dict[str, dict[Currency, Least]] = Field(
        default_factory=dict,
        description="amounts from which on a command waits for a person's approval, as texts by"
        " kind (`all`: any other) and currency; one in another currency waits, too",
    )

    shadow: tuple[str, ...] = Field(
        default=(),
        description="kinds of commands that are looked up and never written, `all`: the target is"
        " only read; `psastream commands list` says what each would do",
    )
    _limiter: Limiter | None = PrivateAttr(default=None)
    _is_limited: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _backoff_is_bounded(self) -> SinkConfig:
        if self.retry_backoff_max_ms < self.retry_backoff_ms:
            raise ValueError("retry.backoff.max.ms is below retry.backoff.ms")
        return self

    @property
    def stopped_kinds(self) -> frozenset[str | None]:
        """Kinds of which nothing is sent; None: of all."""
        return frozenset(None if kind == ALL else kind for kind in self.stopped)

    @property
    def shadow_kinds(self) -> frozenset[str | None]:
        """Kinds of which nothing is written; None: of all."""
        return frozenset(None if kind == ALL else kind for kind in self.shadow)

    @property
    def retry_policy(self) -> RetryPolicy:
        """The waiting times, in seconds."""
        return RetryPolicy(
            settle_s=self.settle_ms / 1000,
            backoff_s=self.retry_backoff_ms / 1000,
            backoff_max_s=self.retry_backoff_max_ms / 1000,
            auth_retry_s=self.auth_retry_ms / 1000,
            attempt_s=self.request_timeout_ms / 1000,
        )

    def make_limiter(self, check: Check) -> Limiter:
        """Make the allowance of requests; `check` raises where none may be sent any more."""
        self._is_limited = True
        if self._limiter is not None:
            return self._limiter
        return LeasedLimiter(self.max_in_flight, self.requests_per_second, check=check)

    @property
    def is_limited(self) -> bool:
        """Whether a sink was made that has asked for its allowance of requests."""
        return self._is_limited

    def limited_by(self, limiter: Limiter) -> Self:
        """Return the same whose sinks send by that allowance."""
        copy = self.model_copy()
        copy._limiter, copy._is_limited = limiter, False
        return copy

    def make_sink(self, check: Check) -> Sink:
        """Make the sink; `check` raises where no request may be sent any more. Opens nothing.

        Raises ConfigError where the credentials cannot be used.
        """
        raise NotImplementedError(self.connector_class)


class ConfiguredSink(Sink, Protocol):
    """A sink that `connector.class` may name."""

    config_model: ClassVar[type[SinkConfig]]
