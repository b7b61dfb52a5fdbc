"""What the readers of Float make of a list that does not fit its own total."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from connectors.polled.paging import BrokenPagingError
from connectors.vendors.float.source import SAME_SCANS
from schemas.errors import PsaStreamError, TargetBusyError
from tests.support.catalogue import contract_of
from tests.support.polled import START
from tests.support.scripted_vendors import ScriptedVendor, make_source, serving


class Listing(ScriptedVendor):
    """People, of whom some are listed twice."""

    twice = 0

    def rows(self, obj: str) -> list[dict[str, Any]]:
        rows = super().rows(obj)
        return [*rows, *rows[: self.twice]]


@pytest.mark.fault("D4", place="connectors/vendors/float/source.py")
def test_d4_a_list_with_a_row_twice_is_told_to_a_person_and_not_read_again_at_once(
    tmp_path: Path,
) -> None:
    vendor = Listing("float")
    ends: list[type[PsaStreamError] | None] = []

    async def run() -> None:
        async with serving(vendor):
            source = make_source(vendor, tmp_path)
            reader = source.reader("person", contract_of("float", "person"))
            try:
                for twice in (1, 2, 1, *[2] * (SAME_SCANS + 1), 0, 2):
                    vendor.twice = 0
                    assert [page async for page in reader.changes(START)]  # as polls do
                    vendor.twice = twice
                    try:
                        rows = [row.id async for page in reader.changes(None) for row in page.rows]
                    except PsaStreamError as error:
                        ends.append(type(error))
                    else:
                        ends.append(None)
                        assert len(rows) == 6
            finally:
                await source.close()

    asyncio.run(run())
    moving = [TargetBusyError] * (3 + SAME_SCANS - 1)
    assert ends == [*moving, BrokenPagingError, BrokenPagingError, None, TargetBusyError]
