"""The twin of an org behind the packaged connector file, for tests of what it describes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from starlette.testclient import TestClient

from connectors.polled.main import Connector, load_source
from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from tests.support.vendor_server import serving

SOURCE: Final = Path("connectors/vendors/salesforce/source.json")


@dataclass(frozen=True, slots=True)
class DescribedOrg:
    """The twin, and what its connector file needs."""

    twin: TestClient
    environment: dict[str, str]

    def connector(self) -> Connector:
        """Return the packaged connector, at the twin."""
        return load_source(SOURCE, self.environment)


@asynccontextmanager
async def described_org(tmp_path: Path) -> AsyncIterator[DescribedOrg]:
    """Serve the twin."""
    credentials = make_credentials()
    twin = TestClient(create_app(base_url="http://testserver", seed=1, credentials=credentials))
    key = tmp_path / "key.pem"
    key.write_bytes(credentials.key("SALESFORCE_PRIVATE_KEY_FILE").as_pem(private=True))

    async def handle(request: web.Request) -> web.StreamResponse:
        answer = await asyncio.to_thread(
            twin.request,
            request.method,
            f"/salesforce{request.rel_url}",
            headers=dict(request.headers),
            content=await request.read(),
        )
        return web.Response(
            body=answer.content, status=answer.status_code, content_type="application/json"
        )

    async with serving(handle) as url:
        environment = {
            "SALESFORCE_URL": url,
            "SALESFORCE_CLIENT_ID": credentials.client_id,
            "SALESFORCE_USERNAME": credentials.username,
            "SALESFORCE_PRIVATE_KEY_FILE": str(key),
        }
        yield DescribedOrg(twin, environment)


def post(twin: TestClient, path: str, **body: object) -> Any:
    """Have the twin change something."""
    answer = twin.post(f"/admin/salesforce/{path}", json=body)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None
