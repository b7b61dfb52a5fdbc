"""Declared APIs that ask for a client's certificate: for tokens, and for each request."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from connectors.rest.source import RestConnectorConfig
from psastream.check.certificates import certificate_findings
from psastream.verdict import Verdict
from runtime.certificates import end_of
from schemas.errors import ConfigError, TransientError
from tests.support.certificates import Authority, Pem
from tests.support.rest_api import REST, Visits, make_source, read_folder, write_folder

AUTH = "{type: oauth2_client_credentials, token_url: /token, client_certificate: true}"
SOUND = REST.format(paginator="{type: single_page}").replace("{type: bearer}", AUTH)


def keys(pem: Pem) -> dict[str, Any]:
    return {
        "auth.token": None,
        "auth.client.id": "me",
        "auth.client.secret": "s3cret",
        "auth.certificate.file": str(pem.certificate),
        "auth.certificate.key.file": str(pem.key),
    }


def read(tmp_path: Path, server: Pem, trusts: Authority, mine: Pem) -> int:
    """How many rows are read from a server that takes clients of an authority only."""
    system, api = read_folder(write_folder(tmp_path, SOUND)), Visits()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=trusts.certificate)
    context.load_cert_chain(server.certificate, server.key)
    context.verify_mode = ssl.CERT_REQUIRED

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return web.json_response({"access_token": "t", "expires_in": 3600})
        return await api.answer(request)

    async def run() -> int:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        source = make_source(system, f"https://127.0.0.1:{runner.addresses[0][1]}", **keys(mine))
        try:
            pages = source.reader("visit", system.contract("visit")).changes(None)
            return sum([len(page.rows) async for page in pages])
        finally:
            await source.close()
            await runner.cleanup()

    return asyncio.run(run())


def test_the_certificate_is_shown_for_tokens_and_requests_and_its_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    firm, stranger = Authority(tmp_path, "firm"), Authority(tmp_path, "stranger")
    monkeypatch.setenv("SSL_CERT_FILE", str(firm.certificate))
    server, mine = firm.issue("server", "127.0.0.1"), firm.issue("mine")
    assert read(tmp_path, server, firm, mine) == 3
    labels = {"service": "visits", "certificate": "client"}
    left_s = REGISTRY.get_sample_value("psastream_certificate_remaining_seconds", labels)
    assert left_s is not None
    assert 29 < left_s / 86_400 <= 30
    with pytest.raises(TransientError, match="token endpoint does not answer"):
        read(tmp_path, server, firm, stranger.issue("mine"))
    with pytest.raises(TransientError, match="of an authority that we do not trust"):
        read(tmp_path, stranger.issue("server", "127.0.0.1"), firm, mine)


def test_the_check_tells_when_it_ends(tmp_path: Path) -> None:
    mine = Authority(tmp_path, "firm").issue("mine")
    config = make_source(
        read_folder(write_folder(tmp_path, SOUND)), "https://127.0.0.1:1", **keys(mine)
    ).config
    assert isinstance(config, RestConnectorConfig)
    [file] = config.certificates
    [finding] = certificate_findings(config.certificates, end_of(file))
    assert finding.verdict is Verdict.FAIL
    assert finding.subject == "test, auth.certificate.file"


@pytest.mark.parametrize("name", ["auth.certificate.file", "auth.certificate.key.file"])
def test_who_shows_a_certificate_needs_both_files(tmp_path: Path, name: str) -> None:
    firm = Authority(tmp_path, "firm")
    mine, other = firm.issue("mine"), firm.issue("other")
    system = read_folder(write_folder(tmp_path, SOUND))
    with pytest.raises(ConfigError, match=f"{name} is missing"):
        make_source(system, "https://127.0.0.1:1", **{**keys(mine), name: None})
    with pytest.raises(ConfigError, match="the files for tls cannot be used"):
        make_source(system, "https://127.0.0.1:1", **{**keys(mine), name: str(other.key)})
