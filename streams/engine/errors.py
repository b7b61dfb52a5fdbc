"""Errors of the engine beyond those every package shares."""

from schemas.errors import BrokerUnavailableError, FatalError, RecordError


class FencedError(FatalError):
    """Others have this worker's partitions or its name, or a transaction outlived its time-out."""

    code = "fatal.fenced"


class StateGapError(FatalError):
    """Records whose offsets are committed are missing in the state."""

    code = "fatal.state_gap"
    missing = 0
    """How many offsets."""


class SourceChangedError(FatalError):
    """A topic is not the one the state was computed from: made anew, or cut at its end."""

    code = "fatal.source_changed"


class TopicMissingError(BrokerUnavailableError):
    """The broker does not know a topic in use: deleted, or this broker has just started."""

    code = "transient.topic_missing"


class StateLayoutError(FatalError):
    """The state was written in another layout than this version of the group reads."""

    code = "fatal.state_layout"


class AccountingError(FatalError):
    """A handler did not account for every record of its chunk, or wrote a reserved key."""

    code = "fatal.accounting"


class StalledError(FatalError):
    """A partition with lag makes no progress."""

    code = "fatal.stalled"


class CommitOutcomeUnknownError(BrokerUnavailableError):
    """A transaction may or may not have been committed: the state log knows."""

    code = "transient.commit_outcome_unknown"


class PoisonRecordError(RecordError):
    """No handler can digest the record, though it stood alone in its chunk."""

    code = "record.poison"


class StateDamagedError(FatalError):
    """The local state cannot be read or written, although it was rebuilt from its log."""

    code = "fatal.state_damaged"
