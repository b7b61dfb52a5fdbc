"""Readers of a queue with faults to choose from."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from connectors.polled.conversion import RowReader
from connectors.polled.model import ObjectReader, Page
from connectors.rest.asks import fill_path
from connectors.rest.declaration import MESSAGE
from connectors.rest.queues import QueueReader
from connectors.rest.rows import layout_of
from connectors.rest.source import RestSource
from schemas.codec.record import AvroSchema
from schemas.errors import TargetBusyError


class BadQueue(QueueReader):
    """The product's reader, but for a fault."""

    fault = ""

    async def queued(self) -> AsyncGenerator[Page, None]:
        if self.fault != "deletes at once":
            async for page in super().queued():
                if self.fault == "waits for sense" and page.unreadable:
                    raise TargetBusyError("the message makes no sense")
                yield page
            return
        pages = [page async for page in super().queued()]
        for page in pages:
            yield page

    async def delete(self, message: str) -> None:
        if self.fault != "takes 404 for an error":
            await super().delete(message)
            return
        path = fill_path(self._queue.delete, {MESSAGE: message})
        await self._api.client.request("DELETE", path, headers=self._api.headers, is_read=True)


def source_with(fault: str) -> type[RestSource]:
    """A declared source whose readers have a fault."""

    class Source(RestSource):
        def reader(self, obj: str, contract: AvroSchema) -> ObjectReader:
            declared, mapped = self._declared.objects[obj], self.system.objects[obj]
            rows = RowReader(contract, layout_of(declared, mapped.keys, mapped.deleted_when))
            reader = BadQueue(self._api, declared, rows, mapped.key)
            reader.fault = fault
            return reader

    return Source
