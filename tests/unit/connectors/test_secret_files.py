"""Vendors' secrets in files: read again when they change, without a restart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web

from connectors.dispatch.main import _Sinks
from connectors.polled.main import _Connectors, load_sources
from connectors.systems import Systems
from connectors.toolkit.config import read_document, secret_files
from runtime.kafka import KafkaSettings
from runtime.renewal import Renewal
from tests.support.vendor_server import serving

VENDORS = Path(__file__).parents[3] / "connectors" / "vendors"
KAFKA = KafkaSettings(bootstrap_servers="k:1")


def config(tmp_path: Path, kind: str, changes: Mapping[str, str]) -> Path:
    document = json.loads((VENDORS / "float" / f"{kind}.json").read_text())
    path = tmp_path / f"{kind}.json"
    path.write_text(json.dumps({**document, **changes}))
    return path


@pytest.mark.asyncio
async def test_a_poller_signs_in_with_the_token_of_now(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("tokenOfOld-1")
    seen: list[str] = []

    async def vendor(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.json_response([])

    async with serving(vendor) as url:
        path = config(tmp_path, "source", {"url": url, "auth.token": f"${{file:{token}}}"})
        connectors = _Connectors(load_sources([path], {}), lambda: load_sources([path], {}))
        renewal = Renewal(
            KAFKA, secret_files(read_document(path), {}), connectors.problems, look_every_s=0
        )
        await connectors.now[0].source.sign_in()
        token.write_text("tokenOfNew-22")
        assert [renewal.is_due() for _ in range(2)] == [False, True]
        await connectors.renew()
        renewal.began()
        await connectors.now[0].source.sign_in()
        token.unlink()
        assert not any(renewal.is_due() for _ in range(3))  # it goes on with what it has
        await connectors.now[0].source.sign_in()
        await connectors.close()
    assert [each.removeprefix("Bearer ") for each in seen] == [
        "tokenOfOld-1", "tokenOfNew-22", "tokenOfNew-22",
    ]  # fmt: skip


def test_a_dispatcher_reads_its_files_again(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("tokenOfOld-1")
    path = config(tmp_path, "sink", {"url": "https://api.example", "token": f"${{file:{token}}}"})
    sinks = _Sinks([path], {}, Systems())
    assert sinks.files == [token]
    renewal = Renewal(KAFKA, sinks.files, sinks.problems, look_every_s=0)
    token.write_text("tokenOfNew-22")
    assert [renewal.is_due() for _ in range(2)] == [False, True]
    assert sinks.configs["float"].token.get_secret_value() == "tokenOfNew-22"  # type: ignore[attr-defined]


def test_a_variable_that_a_file_holds_is_read_from_it_again(tmp_path: Path) -> None:
    """As a container has it: FLOAT_TOKEN of its start, and FLOAT_TOKEN_FILE."""
    token = tmp_path / "FLOAT_TOKEN"
    token.write_text("tokenOfOld-1\n")
    variables = {"FLOAT_TOKEN": "tokenOfOld-1", "FLOAT_TOKEN_FILE": str(token)}
    path = config(tmp_path, "sink", {"url": "https://api.example", "token": "${env:FLOAT_TOKEN}"})
    sinks = _Sinks([path], variables, Systems())
    assert sinks.files == [token]
    renewal = Renewal(KAFKA, sinks.files, sinks.problems, look_every_s=0)
    token.write_text("tokenOfNew-22\n")
    assert [renewal.is_due() for _ in range(2)] == [False, True]
    assert sinks.configs["float"].token.get_secret_value() == "tokenOfNew-22"  # type: ignore[attr-defined]


def test_files_of_keys_are_watched_wherever_their_path_comes_from() -> None:
    document = {
        "auth.private.key.file": "${env:KEY}", "token": "Bearer ${file:/a}", "other": "${env:X}",
        "page.size": 3, "private.key.file": "${env:GONE}",
    }  # fmt: skip
    assert secret_files(document, {"KEY": "/keys/k.pem", "X": "/x"}) == [
        Path("/keys/k.pem"), Path("/a"),
    ]  # fmt: skip
