"""The simulated BambooHR, driven by a client that nobody here wrote: `PyBambooHR` of PyPI.

It signs in with a key and no password, at the address with the company in its path.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

from tests.support.twins import led, served

LED: Final = """\
import datetime, json, sys
from PyBambooHR.PyBambooHR import PyBambooHR

url, key, employee = sys.argv[1:]
client = PyBambooHR(subdomain="acme", api_key=key)
client.base_url = f"{url}/api/gateway.php/acme/v1/"
since = datetime.datetime(2026, 1, 1)
print(json.dumps({
    "directory": client.get_employee_directory(),
    "employee": client.get_employee(employee, ["firstName", "workEmail", "hireDate"]),
    "changes": client.get_employee_changes(since),
    "deleted": client.get_employee_changes(since, "deleted"),
    "pay": client.get_employee_changed_table("compensation", since),
    "leave": client.get_time_off_requests("2026-04-01", "2026-04-30"),
}))
"""


async def drive(directory: Path) -> dict[str, Any]:
    async with served("bamboohr", directory) as twin:

        async def add(record_type: str, **row: object) -> str:
            return str((await twin.admin("POST", f"/bamboohr/rows/{record_type}", row))["id"])

        people = [
            await add(
                "employees", firstName=name, lastName="Example", hireDate="2024-04-01",
                workEmail=f"{name}@example.com",
            )
            for name in ("rae", "ida")
        ]  # fmt: skip
        for person in people:
            await add("compensation", employeeId=person, startDate="2026-01-01", rate="68000.00")
        await add("time_off", employeeId=people[0], start="2026-04-06", end="2026-04-07")
        await twin.admin("DELETE", f"/bamboohr/rows/employees/{people[1]}")
        key = twin.environment["BAMBOOHR_KEY"]
        return {"people": people, **await led("pybamboohr", LED, twin.url, key, people[0])}


def test_a_foreign_client_reads_people_pay_leave_and_who_was_deleted(tmp_path: Path) -> None:
    found = asyncio.run(drive(tmp_path))
    rae, ida = found["people"]
    assert [person["displayName"] for person in found["directory"]] == ["rae Example"]
    assert found["employee"] == {
        "id": rae, "firstName": "rae", "workEmail": "rae@example.com", "hireDate": "2024-04-01",
    }  # fmt: skip
    actions = {each: row["action"] for each, row in found["changes"]["employees"].items()}
    assert actions == {rae: "Updated", ida: "Deleted"}
    assert list(found["deleted"]["employees"]) == [ida]
    [row] = found["pay"]["employees"][rae]["rows"]
    assert (row["rate"], "id" in row) == ("68000.00 USD", False)
    [leave] = found["leave"]
    assert (leave["employeeId"], leave["dates"]) == (rae, {"2026-04-06": "1", "2026-04-07": "1"})
