"""What the engine reports about itself: a protocol and the do-nothing default."""

from collections.abc import Mapping
from typing import Protocol

from streams.engine.contract import Accounting


class Instruments(Protocol):
    """Receives measurements. Called on the event loop: must not block."""

    def chunk_applied(self, group: str, topic: str, partition: int, accounting: Accounting) -> None:
        """A chunk is committed and in the local state."""
        ...

    def noticed(self, group: str, topic: str, notice: str) -> None:
        """A committed chunk told something that somebody should hear of."""
        ...

    def handler_seconds(self, group: str, topic: str, seconds: float) -> None:
        """How long a handler worked on one chunk."""
        ...

    def commit_seconds(self, group: str, topic: str, seconds: float) -> None:
        """How long the transaction and the local write of one chunk took."""
        ...

    def recovery_progress(self, group: str, partition: int, records: int, seconds: float) -> None:
        """Records restored from the state log so far, and the time since the restore began."""
        ...

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Offsets between the committed position and the end of a source partition."""
        ...

    def given_up(self, topic: str, partition: int) -> None:
        """A source partition is somebody else's now: its lag is not ours to report."""
        ...

    def fence_skipped(self, group: str, topic: str, records: int) -> None:
        """Records dropped because the state already holds them."""
        ...

    def state_gap(self, group: str, topic: str, partition: int, records: int) -> None:
        """Offsets that are committed but missing in the state."""
        ...

    def state_rebuilt(self, group: str, partition: int) -> None:
        """The local state of a partition was deleted: damaged, too old, or of another log."""
        ...

    def transient_retry(self, group: str, topic: str) -> None:
        """A handler or a commit is tried again."""
        ...

    def oversize(self, group: str, topic: str) -> None:
        """A record was put aside: what it makes is larger than the broker accepts."""
        ...

    def counted(self, group: str, partition: int, counts: Mapping[bytes, int]) -> None:
        """How many keys under `GroupSpec.counted` a partition holds, by value.

        Told when it changes; nothing once the partition is given up.
        """
        ...


class NoInstruments:
    """Measures nothing."""

    def chunk_applied(self, group: str, topic: str, partition: int, accounting: Accounting) -> None:
        """Do nothing."""

    def noticed(self, group: str, topic: str, notice: str) -> None:
        """Do nothing."""

    def handler_seconds(self, group: str, topic: str, seconds: float) -> None:
        """Do nothing."""

    def commit_seconds(self, group: str, topic: str, seconds: float) -> None:
        """Do nothing."""

    def recovery_progress(self, group: str, partition: int, records: int, seconds: float) -> None:
        """Do nothing."""

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Do nothing."""

    def given_up(self, topic: str, partition: int) -> None:
        """Do nothing."""

    def fence_skipped(self, group: str, topic: str, records: int) -> None:
        """Do nothing."""

    def state_gap(self, group: str, topic: str, partition: int, records: int) -> None:
        """Do nothing."""

    def transient_retry(self, group: str, topic: str) -> None:
        """Do nothing."""

    def oversize(self, group: str, topic: str) -> None:
        """Do nothing."""

    def counted(self, group: str, partition: int, counts: Mapping[bytes, int]) -> None:
        """Do nothing."""

    def state_rebuilt(self, group: str, partition: int) -> None:
        """Do nothing."""
