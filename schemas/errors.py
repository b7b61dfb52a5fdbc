"""The error tree every package shares: what the worker does next, then what broke.

PsaStreamError
    TransientError   retry with bounded backoff
        RateLimitedError, BrokerUnavailableError, RegistryUnavailableError, TargetBusyError
    RecordError      dead-letter the record, go on with the next
        DecodeError, SchemaMismatchError, InvalidEntityError, UnmappedValueError,
        RecordTooLargeError, UnknownSystemError, CommandRejectedError
    FatalError       stop the process with a non-zero exit
        ConfigError, AuthenticationError, TableCorruptedError, ReplicationSlotLostError,
        DeadLetterLimitError, IncompatibleSchemaError

Signals (a stale event, a parked reference) are return values and have no class here.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

ContextValue = str | int | None  # plain values: they end up in logs and headers


class PsaStreamError(Exception):
    """Base of all errors. A message holds no secrets and no payloads.

    `detail` is the lower-case fact, `hint` what an operator can do about it, `context` where it
    happened (topic, partition, offset, key, position). `code` is stable and documented.
    """

    code: ClassVar[str] = "psastream"

    def __init__(
        self,
        detail: str,
        *,
        hint: str = "",
        context: Mapping[str, ContextValue] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.context: dict[str, ContextValue] = dict(context or {})

    def __str__(self) -> str:
        text = self.detail
        if self.context:
            where = " ".join(f"{name}={value}" for name, value in self.context.items())
            text = f"{text} ({where})"
        return f"{text}; {self.hint}" if self.hint else text


class TransientError(PsaStreamError):
    """The same attempt may succeed later: retry with bounded backoff.

    `outcome_unknown` is True where the attempt may have had its effect all the same.
    """

    code = "transient"

    def __init__(
        self,
        detail: str,
        *,
        outcome_unknown: bool = False,
        hint: str = "",
        context: Mapping[str, ContextValue] | None = None,
    ) -> None:
        super().__init__(detail, hint=hint, context=context)
        self.outcome_unknown = outcome_unknown


class RateLimitedError(TransientError):
    """The target asks for a pause of `retry_after_s` seconds (None: it did not say)."""

    code = "transient.rate_limited"

    def __init__(
        self,
        detail: str,
        *,
        retry_after_s: float | None = None,
        hint: str = "",
        context: Mapping[str, ContextValue] | None = None,
    ) -> None:
        super().__init__(detail, hint=hint, context=context)
        self.retry_after_s = retry_after_s


class BrokerUnavailableError(TransientError):
    """The Kafka cluster does not answer."""

    code = "transient.broker_unavailable"


class RegistryUnavailableError(TransientError):
    """The schema registry does not answer."""

    code = "transient.registry_unavailable"


class TargetBusyError(TransientError):
    """The target system is locked, overloaded or in maintenance."""

    code = "transient.target_busy"


class ReadModelUnavailableError(TransientError):
    """The read model does not answer, refuses, or lacks a part."""

    code = "transient.read_model_unavailable"


class RecordError(PsaStreamError):
    """This record cannot be processed, whatever is retried: dead-letter it and go on."""

    code = "record"


class DecodeError(RecordError):
    """The bytes are not a value of the schema they name."""

    code = "record.decode"


class SchemaMismatchError(RecordError):
    """A value was written with a schema that does not resolve to the one expected."""

    code = "record.schema_mismatch"


class InvalidEntityError(RecordError):
    """A well-formed record breaks a rule of its entity."""

    code = "record.invalid_entity"


class UnmappedValueError(RecordError):
    """A source value is not in the list of values its rule translates."""

    code = "record.unmapped_value"


class RecordTooLargeError(RecordError):
    """What the record makes is larger than the broker accepts."""

    code = "record.too_large"


class UnknownSystemError(RecordError):
    """A record is of a system that the firm's landscape does not name: its role is not guessed."""

    code = "record.unknown_system"


class CommandRejectedError(RecordError):
    """The target system refused a command for good."""

    code = "record.command_rejected"


class FatalError(PsaStreamError):
    """Going on would do damage: stop without acknowledging."""

    code = "fatal"


class ConfigError(FatalError):
    """A setting, a file, a command or a query is missing or wrong.

    `problems` names each thing that is, where several may be.
    """

    code = "fatal.config"

    def __init__(
        self,
        detail: str,
        *,
        problems: Sequence[str] = (),
        hint: str = "",
        context: Mapping[str, ContextValue] | None = None,
    ) -> None:
        super().__init__(detail, hint=hint, context=context)
        self.problems = tuple(problems) or (detail,)


class AuthenticationError(FatalError):
    """Credentials were refused."""

    code = "fatal.authentication"


class TableCorruptedError(FatalError):
    """Local state disagrees with its changelog."""

    code = "fatal.table_corrupted"


class ReplicationSlotLostError(FatalError):
    """The source database dropped the changes we still needed."""

    code = "fatal.replication_slot_lost"


class DeadLetterLimitError(FatalError):
    """So many records fail that the fault is not in the records."""

    code = "fatal.dead_letter_limit"


class IncompatibleSchemaError(FatalError):
    """A schema would break readers of earlier data. Upholds I9."""

    code = "fatal.incompatible_schema"
