"""Errors of the engine beyond those every package shares."""

from schemas.errors import BrokerUnavailableError, FatalError


class FencedError(FatalError):
    """Another worker has taken over the partition, or the transaction outlived its time-out."""

    code = "fatal.fenced"


class StateGapError(FatalError):
    """Records whose offsets are committed are missing in the state."""

    code = "fatal.state_gap"


class AccountingError(FatalError):
    """A handler did not account for every record of its chunk, or wrote a reserved key."""

    code = "fatal.accounting"


class StalledError(FatalError):
    """A partition with lag makes no progress."""

    code = "fatal.stalled"


class CommitOutcomeUnknownError(BrokerUnavailableError):
    """A transaction may or may not have been committed: the state log knows."""

    code = "transient.commit_outcome_unknown"
