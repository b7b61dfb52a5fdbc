"""The converter that Kafka Connect runs reaches a registry by what Strimzi is given of it."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from aiohttp import encode_basic_auth, web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from deploy.strimzi.__main__ import files, packaged_files
from deploy.strimzi.resources import Cluster
from tests.deploy.chart import CHECKED
from tests.support.catalogue import FIRM, SYSTEMS
from tests.support.certificates import Authority

SECRETS: Mapping[str, Mapping[str, str]] = {
    "registry-ca": {"ca.password": "of the store"},
    "registry-user": {"username": "connect", "password": "with:colons"},
}


def resources(url: str, *, ca: str = "registry-ca", user: str = "registry-user") -> list[Any]:
    """Return Kafka Connect and its connector for a registry at `url`."""
    cluster = Cluster(
        registry_url=url,
        registry_ca_secret=ca,
        registry_user_secret=user,
        connector_owner="strimzi",
    )
    text = files(FIRM, packaged_files(SYSTEMS), cluster)["connect.yaml"]
    return list(yaml.safe_load_all(text))


def environment(connect: Any) -> dict[str, str]:
    """Return the variables of Connect's container, as the Secrets fill them."""
    found = {}
    for each in connect["spec"]["template"]["connectContainer"]["env"]:
        reference = each.get("valueFrom", {}).get("secretKeyRef", {})
        known = SECRETS.get(reference.get("name", ""), {})
        found[each["name"]] = each.get("value") or known.get(reference.get("key", ""), "")
    return found


async def converted(configs: Sequence[Any], variables: Mapping[str, str]) -> list[str]:
    """Return what the converter makes of a text with each configuration."""
    java = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.deploy.converter"),
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, errors = await java.communicate(json.dumps(configs).encode())
    assert java.returncode == 0, errors.decode()
    found: list[str] = json.loads(said.splitlines()[-1])
    return found


def test_the_converter_reaches_a_registry_of_the_firms_own_authority(tmp_path: Path) -> None:
    """From the worker's configuration and the connector's alike, and without either Secret not."""
    authority = Authority(tmp_path, "firm")
    issued = authority.issue("registry", "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(issued.certificate, issued.key)
    certificate = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    store = tmp_path / "ca.p12"
    store.write_bytes(
        pkcs12.serialize_java_truststore(
            [pkcs12.PKCS12Certificate(certificate, b"ca")],
            BestAvailableEncryption(SECRETS["registry-ca"]["ca.password"].encode()),
        )
    )
    user = SECRETS["registry-user"]

    async def register(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") == encode_basic_auth(*user.values()):
            return web.json_response({"id": 7})
        return web.json_response({"error_code": 401, "message": "not you"}, status=401)

    async def work() -> list[str]:
        app = web.Application()
        app.router.add_post("/subjects/src.topic-value/versions", register)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        url = f"https://localhost:{runner.addresses[0][1]}"
        connect, connector = resources(url)
        made = [connect, connector, resources(url, ca="")[0], resources(url, user="")[0]]
        mount = connect["spec"]["template"]["connectContainer"]["volumeMounts"][0]["mountPath"]
        configs = [
            {
                key: str(value).replace(mount, str(tmp_path))
                for key, value in each["spec"]["config"].items()
                if key.startswith("value.converter")
            }
            for each in made
        ]
        try:
            return await converted(configs, environment(connect))
        finally:
            await runner.cleanup()

    worker, connector, strange, nobody = asyncio.run(work())

    row = "0000000007" + "06" + b"row".hex()
    assert (worker, connector) == (row, row)
    assert "unable to find valid certification path" in strange
    assert "error code: 401" in nobody
    CHECKED["ways of the real converter to a registry"] += 4
