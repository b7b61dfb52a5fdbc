"""The simulated Coupa, driven by a client that nobody here wrote: `coupa-async-client` of PyPI.

It asks for a token by client credentials, goes by offsets of fifty rows, and ends at an empty page.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

from tests.support.twins import led, served

LED: Final = """\
import json, sys
from coupa_async_client import CoupaClient

url, client_id, secret = sys.argv[1:]
with CoupaClient(
    base_url=f"{url}/api", token_url=f"{url}/oauth2/token", client_id=client_id,
    client_secret=secret, scopes=["core.invoice.read"],
) as client:
    pages = list(client.pages(
        "invoices", params={"status": "approved", "updated-at[gt]": "2026-01-01T00:00:00+00:00"},
        fields='["id","invoice_number",{"invoice_lines":["id","total"]}]',
    ))
print(json.dumps(pages))
"""


async def drive(directory: Path) -> list[list[dict[str, Any]]]:
    async with served("coupa", directory) as twin:

        async def add(record_type: str, **row: object) -> str:
            return str((await twin.admin("POST", f"/coupa/rows/{record_type}", row))["id"])

        supplier = await add("suppliers", name="Quay Contracting")
        for number in range(61):
            invoice = await add(
                "invoices", invoice_number=f"V-{number}", supplier_id=supplier,
                invoice_date="2026-03-02", status="draft" if number == 7 else "approved",
            )  # fmt: skip
            await add("invoice_lines", invoice_id=invoice, total="250.00")
        named = ("COUPA_CLIENT_ID", "COUPA_CLIENT_SECRET")
        credentials = [twin.environment[name] for name in named]
        pages: list[list[dict[str, Any]]] = await led(
            "coupa-async-client", LED, twin.url, *credentials
        )
        return pages


def test_a_foreign_client_reads_what_was_approved_page_by_page(tmp_path: Path) -> None:
    pages = asyncio.run(drive(tmp_path))
    assert [len(page) for page in pages] == [50, 10]
    rows = [row for page in pages for row in page]
    assert {row["invoice-number"] for row in rows} == {f"V-{n}" for n in range(61) if n != 7}
    assert {line["total"] for row in rows for line in row["invoice-lines"]} == {"250.00"}
