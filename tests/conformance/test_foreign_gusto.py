"""The simulated Gusto, driven by a client that nobody here wrote: `gusto-embedded` of PyPI.

It is made from the vendor's specification of another version, and holds each row to its types.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession

from sandbox.vendors.target import TwinTarget
from tests.support.twins import led, served

LED: Final = """\
import json, sys
from gusto_embedded import Gusto, models

url, token, company, employee = sys.argv[1:]
client = Gusto(company_access_auth=token, server_url=url)
payrolls = client.payrolls.list(
    company_id=company, payroll_types=["regular", "off_cycle"],
    start_date="2026-01-01", end_date="2026-12-31", include=["totals"],
)
found = [
    client.payrolls.get(company_id=company, payroll_id=each.payroll_uuid, include=["taxes"])
    for each in payrolls
]
jobs = client.jobs_and_compensations.get_jobs(
    employee_id=employee, include=models.QueryParamInclude.ALL_COMPENSATIONS
)
print(json.dumps({
    "totals": [each.totals.gross_pay for each in payrolls],
    "paid": [[item.employee_uuid, item.gross_pay, [tax.amount for tax in item.taxes]]
             for each in found for item in each.employee_compensations],
    "rates": [[each.rate, each.effective_date] for job in jobs for each in job.compensations],
}))
"""


async def token_of(twin: TwinTarget) -> str:
    """What an application gets for its refresh token."""
    environment = twin.environment
    form = {
        "grant_type": "refresh_token",
        "client_id": environment["GUSTO_CLIENT_ID"],
        "client_secret": environment["GUSTO_CLIENT_SECRET"],
        "refresh_token": refresh_token(environment),
    }
    async with ClientSession() as http, http.post(f"{twin.url}/oauth/token", data=form) as answer:
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["access_token"])


def refresh_token(environment: Mapping[str, str]) -> str:
    return Path(environment["GUSTO_REFRESH_TOKEN_PATH"]).read_text()


async def drive(directory: Path) -> tuple[str, dict[str, Any]]:
    async with served("gusto", directory) as twin:

        async def add(record_type: str, **row: object) -> str:
            return str((await twin.admin("POST", f"/gusto/rows/{record_type}", row))["id"])

        rae = await add("employees", first_name="Rae", last_name="X", work_email="rae@example.com")
        job = await add("jobs", employee_uuid=rae, title="Engineer", hire_date="2024-04-01")
        for day, rate in (("2024-04-01", "70000"), ("2026-01-01", "71000.5")):
            await add("compensations", job_uuid=job, rate=rate, effective_date=day)
        days = {"start_date": "2026-03-01", "end_date": "2026-03-15", "check_date": "2026-03-20"}
        payroll = await add("payrolls", **days)
        taxes = [{"name": "Medicare", "employer": True, "amount": "46.40"}]
        await add(
            "payroll_items", payroll_uuid=payroll, employee_uuid=rae, gross_pay="3200", taxes=taxes
        )
        await twin.admin("PATCH", f"/gusto/rows/payrolls/{payroll}", {"processed": True})
        company = twin.environment["GUSTO_COMPANY"]
        token = await token_of(twin)
        return rae, await led("gusto-embedded", LED, twin.url, token, company, rae)


def test_a_foreign_client_reads_payrolls_and_rates(tmp_path: Path) -> None:
    rae, found = asyncio.run(drive(tmp_path))
    assert found == {
        "totals": ["3200.00"],
        "paid": [[rae, 3200.0, [46.4]]],
        "rates": [["70000.00", "2024-04-01"], ["71000.50", "2026-01-01"]],
    }
