"""Tokens of the worker's clients: got by client credentials, with the secret of now."""

import base64
from pathlib import Path

import pytest
from aiohttp import web
from aiokafka.errors import KafkaConnectionError

from runtime.secrets import mask
from runtime.sign_ins import FAILURES, KAFKA
from runtime.tls import SecretFile
from schemas.errors import ConfigError
from streams.engine.tokens import OidcTokens
from tests.support.vendor_server import serving

SECRET = "sasl.oauthbearer.client.secret"


def options(url: str) -> dict[str, str]:
    return {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": "worker",
        "sasl.oauthbearer.scope": "kafka",
        SECRET: "ofTheStart-0",
        "sasl.oauthbearer.token.endpoint.url": f"{url}/token",
    }


@pytest.mark.asyncio
async def test_each_token_is_asked_for_with_the_secret_of_then(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("clientSecret-1")
    known, forms = ["clientSecret-1"], []

    async def answer(request: web.Request) -> web.Response:
        forms.append(dict(await request.post()))
        given = request.headers["Authorization"].removeprefix("Basic ")
        user, _, secret = base64.b64decode(given).decode().partition(":")
        if (user, secret) != ("worker", known[-1]):
            return web.json_response({"error": "invalid_client"}, status=401)
        return web.json_response({"access_token": f"tokenOf-{secret}", "expires_in": 0})

    async with serving(answer) as url:
        tokens = OidcTokens(options(url), {SECRET: SecretFile(file)})
        assert await tokens.token() == "tokenOf-clientSecret-1"
        known.append("clientSecret-22")
        before = FAILURES.labels(KAFKA)._value.get()
        with pytest.raises(KafkaConnectionError, match="it answered 401") as caught:
            await tokens.token()
        assert "clientSecret" not in str(caught.value)
        assert FAILURES.labels(KAFKA)._value.get() == before + 1
        file.write_text("clientSecret-22")
        assert await tokens.token() == "tokenOf-clientSecret-22"
        assert mask("tokenOf-clientSecret-22") == "***"
    assert forms[0] == {"grant_type": "client_credentials", "scope": "kafka"}


@pytest.mark.asyncio
async def test_a_token_is_used_as_long_as_it_lasts() -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"access_token": "t-once", "expires_in": 600})

    async with serving(answer) as url:
        tokens = OidcTokens(options(url), {})
        assert [await tokens.token() for _ in range(3)] == ["t-once"] * 3
    assert asked == ["/token"]


@pytest.mark.asyncio
@pytest.mark.parametrize("body", ["", "[]", '{"access_token": 1}', "<html>"])
async def test_an_answer_without_a_token_is_none(body: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body)

    async with serving(answer) as url:
        with pytest.raises(KafkaConnectionError, match="no token from"):
            await OidcTokens(options(url), {}).token()


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("sasl.oauthbearer.method", "default", "method is 'default'"),
        ("sasl.oauthbearer.client.id", "", "needs sasl.oauthbearer.client.id"),
        ("https.ca.location", "/nowhere.pem", "nowhere"),
    ],
)
def test_what_is_missing_is_named(key: str, value: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        OidcTokens({**options("http://127.0.0.1:1"), key: value}, {})
