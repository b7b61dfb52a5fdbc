"""One group in this worker: opens and halts its partition processors as Faust assigns them."""

import asyncio
from collections.abc import Collection, Mapping
from types import MappingProxyType

from streams.engine.contract import GroupSpec
from streams.engine.flow import Delivery
from streams.engine.membership import Member
from streams.engine.processor import EngineParts, PartitionProcessor


class GroupRuntime:
    """Owns the processors of one group. Used on the event loop only."""

    def __init__(self, spec: GroupSpec, parts: EngineParts) -> None:
        self.spec = spec
        self._parts = parts
        self._log = parts.seams.log(spec.state_topic, parts.settings)
        self._processors: dict[int, PartitionProcessor] = {}
        self._generation: int | None = None

    @property
    def processors(self) -> Mapping[int, PartitionProcessor]:
        """The processors of the partitions this worker owns now."""
        return MappingProxyType(self._processors)

    async def halt(self) -> None:
        """Give up every partition: after this nothing of this worker commits or writes."""
        processors = list(self._processors.values())
        self._processors.clear()
        deadline_s = self._parts.settings.halt_timeout_s
        await asyncio.gather(*(processor.halt(deadline_s) for processor in processors))

    async def assign(self, partitions: Collection[int], member: Member) -> None:
        """Own exactly `partitions`, as a new owner.

        A partition that stays is opened anew too: another worker may have owned it in between,
        and only catching up with its log tells.
        """
        await self.halt()
        await self._parts.committer.ready()
        self._generation = member.generation
        self._parts.window.start_generation(member.generation)
        self._processors = {
            partition: PartitionProcessor(self.spec, partition, member, self._log, self._parts)
            for partition in sorted(partitions)
        }
        await asyncio.gather(*(processor.open() for processor in self._processors.values()))

    def check_topics(self) -> None:
        """Raise SourceChangedError if a topic in use has been deleted and made again. Blocking.

        Raises BrokerUnavailableError where the broker does not answer.
        """
        found = self._log.identities(list(self.spec.handlers()))
        for processor in list(self._processors.values()):
            processor.check_topics(found)

    def submit(self, delivery: Delivery) -> None:
        """Hand a chunk to its partition; one of a partition given up meanwhile is dropped."""
        processor = self._processors.get(delivery.chunk.partition)
        if processor is not None and delivery.generation == self._generation:
            processor.submit(delivery)
