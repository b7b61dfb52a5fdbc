"""Gusto's folder against the simulated company: payrolls, rates, refresh tokens, and faults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from schemas.errors import AuthenticationError, PsaStreamError
from tests.support.twins import Twin, twin_of

OBJECTS = ("employee", "compensation", "payroll", "payroll_item")
TAXES = [
    {"name": "Social Security", "employer": True, "amount": "198.40"},
    {"name": "Federal Income Tax", "employer": False, "amount": "310.12"},
]


@pytest_asyncio.fixture
async def twin(tmp_path: Path) -> AsyncIterator[Twin]:
    async with twin_of("gusto", tmp_path, **{"page.size": 2, "max.delete.ratio": 1.0}) as made:
        yield made


async def hire(twin: Twin, name: str) -> str:
    person = {"first_name": name, "last_name": "Example", "work_email": f"{name}@example.com"}
    employee = await twin.add("employees", **person)
    job = await twin.add("jobs", employee_uuid=employee, title="Engineer", hire_date="2024-04-01")
    rate = {"rate": "70000.00", "effective_date": "2024-04-01"}
    await twin.add("compensations", job_uuid=job, **rate)
    return employee


async def pay(twin: Twin, *people: str, first: str = "2026-03-01", **values: Any) -> str:
    days = {"start_date": first, "end_date": f"{first[:8]}15", "check_date": f"{first[:8]}20"}
    payroll = await twin.add("payrolls", **days, **values)
    for person in people:
        item = {"gross_pay": "3200.00", "net_pay": "2410.77", "taxes": TAXES}
        await twin.add("payroll_items", payroll_uuid=payroll, employee_uuid=person, **item)
    await twin.change("payrolls", payroll, processed=True)
    return payroll


@pytest.mark.asyncio
async def test_everything_is_read_whatever_the_page(twin: Twin) -> None:
    people = [await hire(twin, name) for name in ("rae", "ida", "kim")]
    await pay(twin, *people)
    await pay(twin, *people[:1], first="2026-04-01")
    for obj, count in zip(OBJECTS, (3, 3, 2, 4), strict=True):
        log = await twin.poll(obj, times=2)
        assert [op for op, _ in log.operations()] == ["r"] * count, obj
        assert log.rejected == []
    [item, *_] = twin.logs["payroll_item"].state().values()
    assert (str(item["gross_pay"]), len(item["taxes"])) == ("3200.0000", 2)  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_a_payroll_counts_when_it_is_processed_and_a_reversal_is_one_of_its_own(
    twin: Twin,
) -> None:
    rae = await hire(twin, "rae")
    days = {"start_date": "2026-03-01", "end_date": "2026-03-15", "check_date": "2026-03-20"}
    open_one = await twin.add("payrolls", **days)
    assert (await twin.poll("payroll")).operations() == []
    await twin.change("payrolls", open_one, processed=True)
    reason = {"off_cycle": True, "off_cycle_reason": "Reversal"}
    await pay(twin, rae, first="2026-05-01", **reason)
    log = await twin.poll("payroll", times=2)
    assert [op for op, _ in log.operations()] == ["c", "c"]
    reasons = {row["off_cycle_reason"] for row in log.state().values()}
    assert reasons == {None, "Reversal"}


@pytest.mark.asyncio
async def test_a_raise_is_told_once_beside_the_former_rate(twin: Twin) -> None:
    await hire(twin, "rae")
    await twin.poll("compensation")
    [job] = [row["id"] for row in await rows(twin, "jobs")]
    await twin.add("compensations", job_uuid=job, rate="71000.00", effective_date="2026-01-01")
    log = await twin.poll("compensation", times=2)
    assert [op for op, _ in log.operations()] == ["r", "c"]
    assert sorted(str(row["rate"]) for row in log.state().values()) == ["70000.0000", "71000.0000"]


@pytest.mark.asyncio
async def test_each_use_of_a_refresh_token_gives_another_which_outlives_the_process(
    twin: Twin,
) -> None:
    await hire(twin, "rae")
    first = refresh_token(twin)
    await twin.poll("employee")
    second = refresh_token(twin)
    await twin.target.admin("DELETE", "/gusto/tokens")
    assert [op for op, _ in (await twin.poll("employee")).operations()] == ["r"]
    assert len({first, second, refresh_token(twin)}) == 3
    refresh_file(twin).write_text(first)
    await twin.target.admin("DELETE", "/gusto/tokens")
    with pytest.raises(AuthenticationError):
        await twin.poll("employee")


@pytest.mark.asyncio
async def test_a_right_that_is_missing_stops_the_object_and_deletes_nothing(twin: Twin) -> None:
    rae = await hire(twin, "rae")
    await pay(twin, rae)
    await twin.poll("payroll")
    await twin.configure(denied=["payrolls"])
    for _ in range(2):
        with pytest.raises(PsaStreamError, match="missing_permissions"):
            await twin.poll("payroll")
    assert len(twin.logs["payroll"].state()) == 1
    assert [op for op, _ in (await twin.poll("employee")).operations()] == ["r"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "kind", ["rate_limited", "server_error", "unavailable", "half_page", "expired_token"]
)
async def test_nothing_is_lost_or_told_twice_under_faults(twin: Twin, kind: str) -> None:
    people = [await hire(twin, name) for name in ("rae", "ida", "kim")]
    await pay(twin, *people)
    await twin.fail(kind, count=1, path="/employees")
    if kind != "expired_token":  # a fresh token that is refused is refused for good
        await twin.fail(kind, probability=0.5, count=4)
    for obj, count in zip(OBJECTS, (3, 3, 1, 3), strict=True):
        log = await twin.poll(obj, times=2)
        assert [op for op, _ in log.operations()] == ["r"] * count, obj
    assert (await twin.drawn())[kind] > 0


def refresh_file(twin: Twin) -> Path:
    return Path(twin.target.environment["GUSTO_REFRESH_TOKEN_PATH"])


def refresh_token(twin: Twin) -> str:
    return refresh_file(twin).read_text()


async def rows(twin: Twin, record_type: str) -> list[dict[str, str]]:
    books = await twin.target.admin("GET", "/books")
    return list(books["gusto"][record_type])
