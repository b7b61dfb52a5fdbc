"""Named points in the work of a partition, and what a worker does there: nothing.

Crash tests end or freeze the process at exactly one of them.
"""

from collections.abc import Callable
from enum import StrEnum


class Mark(StrEnum):
    """Where a processor is; in the order in which it gets there."""

    IN_REBALANCE = "in rebalance"
    """The partition is this worker's; the rebalance waits for it to be opened."""
    RESTORING = "restoring"
    """Some of the state log is in the local state. Reached in a thread, once for each batch."""
    BEFORE_TRANSACTION = "before transaction"
    """A chunk is folded; nothing is written."""
    IN_TRANSACTION = "in transaction"
    """The broker has the state log records and the outputs, but not the source offset."""
    BEFORE_COMMIT = "before commit"
    """All of the transaction is with the broker."""
    AFTER_COMMIT = "after commit"
    """The transaction is committed; the local state is behind it."""
    AFTER_LOCAL_WRITE = "after local write"
    """The chunk is done."""


Reached = Callable[[Mark], None]


def pass_by(_: Mark) -> None:
    """Go on."""
