"""What the readers of the ERP make of an account that changes while it is read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from connectors.polled.poller import ObjectPoller
from tests.support.polled import START, Clock, MemoryLog
from tests.support.scripted_vendors import Ask, ScriptedVendor, make_source, serving


@pytest.mark.fault("C1", place="connectors/netsuite/source.py")
def test_c1_a_line_deleted_between_two_pages_hides_no_line_of_another_invoice(
    tmp_path: Path,
) -> None:
    vendor = ScriptedVendor("netsuite")
    log = MemoryLog()

    def delete_a_line_already_read(body: Any) -> Any:
        vendor.missing.add("100-1")
        return body

    async def run() -> None:
        async with serving(vendor):
            source = make_source(vendor, tmp_path)
            try:
                poller = ObjectPoller(
                    source.config,
                    "invoice",
                    source.reader("invoice"),
                    log,
                    bookmark=None,
                    ledger=log.stored()[1],
                    clock=Clock(START),
                )
                await poller.poll()
                vendor.target = Ask("lines", "invoice", is_first=True)
                vendor.change = delete_a_line_already_read
                await poller.poll()
            finally:
                await source.close()

    asyncio.run(run())
    assert len([op for op, _ in log.operations() if op == "r"]) == 6
    assert {row_id for op, row_id in log.operations() if op == "d"} <= {"100-1"}
