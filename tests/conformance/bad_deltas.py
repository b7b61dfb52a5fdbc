"""Readers that go on from a token of the vendor's, with faults to choose from."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import datetime
from typing import Any

from connectors.polled.conversion import RowReader
from connectors.polled.model import LostTokenError, ObjectReader, Page
from connectors.rest.deltas import DeltaReader
from connectors.rest.rows import layout_of
from connectors.rest.source import RestSource
from schemas.codec.record import AvroSchema


class BadDeltas(DeltaReader):
    """The product's reader, but for a fault."""

    fault = ""

    def begin(self) -> None:
        if self.fault == "takes its own token for whole":
            reader: Any = self
            reader.traits = replace(self.traits, begins_whole=False)

    async def changes(self, since: datetime | None) -> AsyncGenerator[Page, None]:
        if self.fault == "takes its own token for whole":
            async for page in super().continued(None):
                yield page
            return
        async for page in super().changes(since):
            yield page

    async def continued(self, token: str | None) -> AsyncGenerator[Page, None]:
        try:
            pages = [page async for page in super().continued(token)]
        except LostTokenError:
            if self.fault != "begins from now":
                raise
            pages = [page async for page in super().continued(None)]
            pages = [replace(pages[-1], rows=[])]
        if self.fault == "moves on at once":
            pages = [replace(page, token=pages[-1].token) for page in pages]
        if self.fault == "drops what is gone":
            pages = [replace(page, gone=frozenset()) for page in pages]
        for page in pages:
            yield page


def source_with(fault: str) -> type[RestSource]:
    """A declared source whose readers have a fault."""

    class Source(RestSource):
        def reader(self, obj: str, contract: AvroSchema) -> ObjectReader:
            declared, mapped = self._declared.objects[obj], self.system.objects[obj]
            assert declared.delta is not None
            rows = RowReader(contract, layout_of(declared, mapped.keys, mapped.deleted_when))
            reader = BadDeltas(self._api, declared, declared.delta, rows)
            reader.fault = fault
            reader.begin()
            return reader

    return Source
