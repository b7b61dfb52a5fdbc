"""Encryption in memory: keys without a broker, and a topology whose topics are sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from runtime.data_keys import DataKeys, Record
from runtime.master_keys import KeyFile, new_line
from runtime.sealing import Sealing
from schemas.topics import topic_of
from streams.agents.sealed import sealed_group
from streams.engine import GroupSpec
from tests.support.topology import FixedRegistry, Topology

MASTER: Final = new_line("1")


class MemoryKeyLog:
    """A log of keys that several processes may share."""

    def __init__(self, records: list[Record] | None = None) -> None:
        self.records = [] if records is None else records
        self._next = 0

    def news(self) -> list[Record]:
        """See KeyLog."""
        found = self.records[self._next :]
        self._next = len(self.records)
        return found

    def append(self, records: Sequence[Record]) -> None:
        """See KeyLog."""
        self.records += records


class Firm:
    """A firm that encrypts. Each `sealing` is that of a process of its own."""

    def __init__(self, registry: FixedRegistry | None = None) -> None:
        self.registry = registry or FixedRegistry()
        self.records: list[Record] = []
        self.master = MASTER
        self.now_s = 0.0

    def keys(self) -> DataKeys:
        """Return the keys as a process that starts knows them."""
        master = KeyFile(lambda: self.master)
        return DataKeys(MemoryKeyLog(self.records), master, lambda: self.now_s)

    def sealing(self) -> Sealing:
        """Return what a process that starts encrypts with."""
        return Sealing(self.keys(), self.registry.schema)


class SealedTopology(Topology):
    """A topology whose topics and state are encrypted, for the groups and for whoever feeds it."""

    def __init__(self, groups: Sequence[GroupSpec], firm: Firm, **options: Any) -> None:
        self.sealing = firm.sealing()
        self._is_fed = False
        sealed = [sealed_group(group, self.sealing) for group in groups]
        super().__init__(sealed, firm.registry, **options)

    def put(self, topic: str, key: str, record: Mapping[str, object] | None, route: str) -> None:
        """See Topology."""
        self._is_fed = True
        super().put(topic, key, record, route)
        self._is_fed = False

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
        """See Topology."""
        if self._is_fed:
            [value] = self.sealing.seal_values(topic_of(topic), [value])
        super().append(topic, partition, key, value)

    def decode(self, value: bytes) -> dict[str, object]:
        """See Topology."""
        [opened] = self.sealing.open_values([value])
        assert opened is not None
        return super().decode(opened)
