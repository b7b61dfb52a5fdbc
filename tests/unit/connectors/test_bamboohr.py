"""BambooHR's folder against the simulated account: whole, step by step, and under faults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from connectors.toolkit.faults import RateLimitedError
from schemas.errors import AuthenticationError, SchemaMismatchError, TransientError
from tests.support.twins import Twin, twin_of

OBJECTS = ("employee", "job", "compensation", "time_off")


@pytest_asyncio.fixture
async def twin(tmp_path: Path) -> AsyncIterator[Twin]:
    keys = {"page.size": 2, "max.delete.ratio": 1.0}
    async with twin_of("bamboohr", tmp_path, **keys) as made:
        yield made


async def hire(twin: Twin, name: str, **values: object) -> str:
    person = {"firstName": name, "lastName": "Example", "workEmail": f"{name}@example.com"}
    employee = await twin.add("employees", **person, hireDate="2024-04-01", **values)
    job = {"date": "2024-04-01", "jobTitle": "Engineer", "department": "Delivery"}
    await twin.add("jobInfo", employeeId=employee, **job)
    await twin.add("compensation", employeeId=employee, startDate="2024-04-01", rate="68000.00")
    return employee


@pytest.mark.asyncio
async def test_everything_is_read_whatever_the_page_and_understood(twin: Twin) -> None:
    people = [await hire(twin, name) for name in ("rae", "ida", "kim", "lu", "mo")]
    leave = {"start": "2026-04-06", "end": "2026-04-07", "dates": {"2026-04-07": "0.5"}}
    await twin.add("time_off", employeeId=people[0], **leave, status="approved")
    await twin.add("time_off", employeeId=people[0], start="2031-01-06", end="2031-01-07")
    for obj, count in zip(OBJECTS, (5, 5, 5, 1), strict=True):
        log = await twin.poll(obj, times=2)
        assert [op for op, _ in log.operations()] == ["r"] * count, obj
        assert log.rejected == []
    assert twin.logs["employee"].state().keys() == set(people)
    [row] = twin.logs["time_off"].state().values()
    assert {each: str(amount) for each, amount in row["dates"].items()} == {"2026-04-07": "0.5000"}
    employee = twin.logs["employee"].state()[people[0]]
    assert (employee["email"], employee["terminationDate"]) == ("rae@example.com", None)


@pytest.mark.asyncio
async def test_a_raise_a_new_job_and_who_leaves_are_told_once(twin: Twin) -> None:
    rae, ida = await hire(twin, "rae"), await hire(twin, "ida")
    for obj in OBJECTS:
        await twin.poll(obj)
    await twin.add("compensation", employeeId=rae, startDate="2026-01-01", rate="71000.50")
    [title] = [row["id"] for row in await rows(twin, "jobInfo") if row["employeeId"] == rae]
    await twin.change("jobInfo", title, jobTitle="Lead")
    await twin.change("employees", ida, status="Inactive", terminationDate="2026-02-28")
    for obj in OBJECTS:
        await twin.poll(obj, times=2)
    assert [op for op, _ in twin.logs["compensation"].operations()] == ["r", "r", "c"]
    assert twin.logs["compensation"].changes[-1].after["rate"] == 71_000.5  # type: ignore[index]
    assert twin.logs["job"].operations()[2:] == [("u", title)]
    assert twin.logs["employee"].operations()[2:] == [("u", ida)]
    assert twin.logs["employee"].state()[ida]["terminationDate"] == "2026-02-28"


@pytest.mark.asyncio
async def test_a_person_who_is_deleted_takes_jobs_and_pay_along(twin: Twin) -> None:
    rae, ida = await hire(twin, "rae"), await hire(twin, "ida")
    for obj in OBJECTS:
        await twin.poll(obj)
    await twin.remove("employees", ida)
    for obj in ("employee", "job", "compensation"):
        log = await twin.poll(obj, times=3)
        assert [op for op, _ in log.operations()] == ["r", "r", "d"], obj
    assert twin.logs["employee"].state().keys() == {rae}


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["rate_limited", "server_error", "unavailable", "half_page"])
async def test_nothing_is_lost_or_told_twice_under_faults(twin: Twin, kind: str) -> None:
    people = [await hire(twin, name) for name in ("rae", "ida", "kim")]
    await twin.fail(kind, probability=0.5, count=4)
    for obj, count in zip(OBJECTS, (3, 3, 3, 0), strict=True):
        log = await twin.poll(obj, times=2)
        assert [op for op, _ in log.operations()] == ["r"] * count, obj
    assert (await twin.drawn())[kind] > 0
    assert twin.logs["employee"].state().keys() == set(people)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [429, 503])
async def test_what_is_asked_too_often_is_told_as_passing(twin: Twin, status: int) -> None:
    await hire(twin, "rae")
    await twin.configure(requests_per_minute=0, throttle_status=status)
    with pytest.raises(TransientError) as told:
        await twin.poll("employee")
    assert isinstance(told.value, RateLimitedError) is (status == 429)


@pytest.mark.asyncio
async def test_a_key_that_ends_stops_the_object(twin: Twin) -> None:
    await twin.fail("expired_token")
    with pytest.raises(AuthenticationError):
        await twin.poll("employee")


@pytest.mark.asyncio
async def test_a_column_that_nobody_may_see_stops_its_table_alone(twin: Twin) -> None:
    await hire(twin, "rae")
    change = {"change": "remove", "object": "jobInfo", "field": "jobTitle"}
    await twin.target.admin("POST", "/bamboohr/fields", change)
    with pytest.raises(SchemaMismatchError, match="jobTitle"):
        await twin.poll("job")
    assert (await twin.poll("compensation")).operations()[0][0] == "r"


@pytest.mark.asyncio
async def test_people_who_are_not_shown_any_more_are_not_deleted_at_once(
    tmp_path: Path,
) -> None:
    async with twin_of("bamboohr", tmp_path, **{"max.delete.rows": 1}) as twin:
        for name in ("rae", "ida", "kim"):
            await hire(twin, name)
        await twin.poll("employee")
        await twin.configure(hides_people=True)
        log = await twin.poll("employee", times=3)
        assert len(log.state()) == 3


async def rows(twin: Twin, record_type: str) -> list[dict[str, str]]:
    books = await twin.target.admin("GET", "/books")
    return list(books["bamboohr"][record_type])
