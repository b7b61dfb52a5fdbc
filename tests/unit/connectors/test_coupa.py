"""Coupa's folder against the simulated instance: whole, by `updated-at`, rights and faults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.twins import Twin, twin_of

OBJECTS = ("purchase_order", "purchase_order_line", "invoice_line", "receipt")


@pytest_asyncio.fixture
async def twin(tmp_path: Path) -> AsyncIterator[Twin]:
    keys = {"page.size": 2, "max.delete.ratio": 1.0, "max.in.flight": 1}
    async with twin_of("coupa", tmp_path, **keys) as made:
        yield made


async def buy(twin: Twin, **values: Any) -> dict[str, str]:
    """Order, receive and be invoiced for eight hours of a contractor."""
    supplier = await twin.add("suppliers", name="Quay Contracting")
    order = await twin.add("purchase_orders", status="issued", currency="EUR")
    amount = {"quantity": "8.0", "total": "1000.00"}
    line = await twin.add(
        "purchase_order_lines", order_header_id=order, supplier_id=supplier,
        account_code="SF-Delivery", **amount,
    )  # fmt: skip
    await twin.add(
        "receiving_transactions", order_line_id=line, transaction_date="2026-02-28", **amount
    )
    invoice = await twin.add(
        "invoices", invoice_number="V-15", supplier_id=supplier, invoice_date="2026-03-02",
        currency="EUR", **{"status": "approved", **values},
    )  # fmt: skip
    billed = await twin.add("invoice_lines", invoice_id=invoice, order_line_id=line, **amount)
    return {"order": order, "line": line, "invoice": invoice, "invoice_line": billed}


@pytest.mark.asyncio
async def test_everything_is_read_whatever_the_page(twin: Twin) -> None:
    bought = [await buy(twin) for _ in range(5)]
    for obj in OBJECTS:
        log = await twin.poll(obj, times=2)
        assert [op for op, _ in log.operations()] == ["r"] * 5, obj
        assert log.rejected == []
    row = twin.logs["invoice_line"].state()[bought[0]["invoice_line"]]
    assert (row["invoice_date"], str(row["total"])) == ("2026-03-02T00:00:00-08:00", "1000.000000")
    assert str(row["order_line_id"]) == bought[0]["line"]


@pytest.mark.asyncio
async def test_only_what_changed_is_read_again(twin: Twin) -> None:
    first, second = await buy(twin), await buy(twin)
    twin = await behind(twin)
    await twin.configure(clock_offset_s=120)
    await twin.change("purchase_orders", first["order"], status="closed")
    await twin.change("invoices", second["invoice"], paid=True)
    await twin.change("invoice_lines", first["invoice_line"], total="900.00")
    for obj in OBJECTS:
        await twin.poll(obj, times=2)
    assert twin.logs["purchase_order"].operations()[2:] == [("u", first["order"])]
    told = {row_id for _, row_id in twin.logs["invoice_line"].operations()[2:]}
    assert told == {first["invoice_line"], second["invoice_line"]}
    assert len(twin.logs["receipt"].operations()) == 2


async def behind(twin: Twin) -> Twin:
    """Read everything once."""
    for obj in OBJECTS:
        await twin.poll(obj)
    return twin


@pytest.mark.asyncio
async def test_a_line_that_does_not_move_its_invoice_is_found_by_the_sweep(twin: Twin) -> None:
    bought = await buy(twin)
    await twin.configure(lines_move_invoices=False)
    await behind(twin)
    await twin.change("invoice_lines", bought["invoice_line"], total="900.00")
    log = await twin.poll("invoice_line", times=2)
    assert [op for op, _ in log.operations()] == ["r", "u"]
    assert str(log.state()[bought["invoice_line"]]["total"]) == "900.000000"


@pytest.mark.asyncio
async def test_a_line_that_is_deleted_is_told_by_two_sweeps(twin: Twin) -> None:
    kept, gone = await buy(twin), await buy(twin)
    await behind(twin)
    await twin.remove("invoice_lines", gone["invoice_line"])
    log = await twin.poll("invoice_line", times=3)
    assert [op for op, _ in log.operations()] == ["r", "r", "d"]
    assert log.state().keys() == {kept["invoice_line"]}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "kind", ["rate_limited", "server_error", "unavailable", "half_page", "expired_token"]
)
async def test_nothing_is_lost_or_told_twice_under_faults(twin: Twin, kind: str) -> None:
    for _ in range(3):
        await buy(twin)
    await twin.fail(kind, count=1, path="/api/invoices")
    if kind != "expired_token":  # a fresh token that is refused is refused for good
        await twin.fail(kind, probability=0.5, count=4)
    for obj in OBJECTS:
        log = await twin.poll(obj, times=2)
        assert [op for op, _ in log.operations()] == ["r"] * 3, obj
    assert (await twin.drawn())[kind] > 0
