"""The state of a group as Faust sees it: a Table whose changelog is the state log.

Faust assigns the changelog partitions together with the co-partitioned source topics, and tells
the store at each rebalance. The store then (re)opens the group's processors, which restore in bulk
off the rebalance, and reports the log as already read: Faust's own recovery finds nothing to do.
"""

from collections.abc import Iterator
from typing import Any

import faust
from faust.types import TP

from streams.engine.faust_internals import Store
from streams.engine.group import GroupRuntime


class StateLogStore(Store):  # type: ignore[misc]
    """Carries rebalances to the group; holds no data itself."""

    group: GroupRuntime

    def persisted_offset(self, tp: TP) -> int | None:
        """The last offset of the log: nothing is left for Faust's recovery."""
        processor = self.group.processors.get(tp.partition)
        return None if processor is None else processor.log_end - 1

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Nothing: the processors keep the offset with the data."""

    async def need_active_standby_for(self, tp: TP) -> bool:
        """Standbys are not kept."""
        return False

    async def on_rebalance(
        self,
        assigned: set[TP],
        revoked: set[TP],
        newly_assigned: set[TP],
        generation_id: int = 0,
    ) -> None:
        """Own the assigned partitions of the state log, and nothing else."""
        topic = self.group.spec.state_topic
        owned = {tp.partition for tp in assigned if tp.topic == topic}
        await self.group.assign(owned, self.app.consumer.member(generation_id))

    def apply_changelog_batch(self, *_: Any, **__: Any) -> None:
        """Refuse: no record of the state log may come through Faust."""
        raise RuntimeError("the state log is restored by the processors only")

    async def backup_partition(self, *_: Any, **__: Any) -> None:
        """Nothing: the state log is the backup."""

    def restore_backup(self, *_: Any, **__: Any) -> None:
        """Nothing: the state log is the backup."""

    def reset_state(self) -> None:
        """Nothing: the store holds no data."""

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __getitem__(self, key: Any) -> Any:
        raise KeyError(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise RuntimeError("state is written by committed chunks only")

    def __delitem__(self, key: Any) -> None:
        raise RuntimeError("state is written by committed chunks only")


class StateLogTable(faust.Table):  # type: ignore[misc]
    """The table of one group."""

    def __init__(self, app: Any, group: GroupRuntime, **kwargs: Any) -> None:
        self._group = group
        spec = group.spec
        super().__init__(
            app,
            name=spec.name,
            partitions=spec.partitions,
            changelog_topic=app.topic(
                spec.state_topic,
                key_type=bytes,
                value_type=bytes,
                partitions=spec.partitions,
                compacting=True,
                deleting=False,
            ),
            key_type=bytes,
            value_type=bytes,
            **kwargs,
        )

    def _new_store(self) -> StateLogStore:
        store = StateLogStore("statelog://", self.app, self, key_type=bytes, value_type=bytes)
        store.group = self._group
        return store
