"""The simulated ADP, driven by a client that nobody here wrote: `adpapi` of PyPI.

It signs in by client credentials with a certificate at hand, and goes by pages up to 204.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

from tests.support.twins import led, served

LED: Final = """\
import json, sys
from adpapi.client import AdpApiClient, AdpCredentials

url, client_id, secret, certificate, key, worker = sys.argv[1:]


class Led(AdpApiClient):
    @property
    def base_url(self):
        return url


client = Led(AdpCredentials(client_id, secret, certificate, key))
post = client.session.post
client.session.post = lambda address, **rest: post(
    address.replace("https://accounts.adp.com", url), **rest
)
print(json.dumps({
    "all": client.call_endpoint("/hr/v2/workers", page_size=2),
    "one": client.call_rest_endpoint("/hr/v2/workers/{aoid}", aoid=worker),
}))
"""


async def drive(directory: Path) -> tuple[list[str], dict[str, Any]]:
    async with served("adp", directory) as twin:
        people = []
        for name in ("rae", "ida", "kim"):
            row = {"given_name": name, "family_name": "X", "original_hire_date": "2024-04-01"}
            made = await twin.admin("POST", "/adp/rows/workers", {**row, "job_title": "Engineer"})
            people.append(made["id"])
        names = ("CLIENT_ID", "CLIENT_SECRET", "CERTIFICATE_PATH", "CERTIFICATE_KEY_PATH")
        given = [twin.environment[f"ADP_{name}"] for name in names]
        return people, await led("adpapi", LED, twin.url, *given, people[0])


def test_a_foreign_client_reads_workers_by_page_and_one_by_itself(tmp_path: Path) -> None:
    people, found = asyncio.run(drive(tmp_path))
    rows = [row for page in found["all"] for row in page["workers"]]
    assert [row["associateOID"] for row in rows] == people
    assert "jobTitle" not in rows[0]["workAssignments"][0]
    [page] = found["one"]
    [row] = page["workers"]
    assert row["workAssignments"][0]["jobTitle"] == "Engineer"
