"""Credentials of declared APIs: what a request carries, and how a token is had."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey
from pydantic import ValidationError
from structlog.testing import capture_logs

from schemas.errors import AuthenticationError, ConfigError
from tests.support.rest_api import REST, Visits, make_source, read_folder, write_folder
from tests.support.vendor_server import serving

SOUND = REST.format(paginator="{type: json_link, next_url_path: links.next, slides: false}")
NONE: dict[str, Any] = {"auth.token": None}


class Api(Visits):
    """The API with a token endpoint; a token holds for three requests."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []
        self.token_headers: list[str | None] = []
        self.replaces_refresh = False
        self.left = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/oauth/token":
            self.forms.append({name: str(it) for name, it in (await request.post()).items()})
            self.token_headers.append(request.headers.get("Authorization"))
            self.left = 3
            body: dict[str, Any] = {"access_token": f"t{len(self.forms)}", "expires_in": 3600}
            if self.replaces_refresh:
                body["refresh_token"] = f"r{len(self.forms)}"
            return web.json_response(body)
        if self.forms:
            self.left -= 1
            held = request.headers["Authorization"] == f"Bearer t{len(self.forms)}"
            if not held or self.left < 0:
                return web.json_response({}, status=401)
        return await super().answer(request)


def read(tmp_path: Path, api: Visits, auth: str, **keys: Any) -> list[str]:
    """Ids of all rows, read with this `auth`."""
    system = read_folder(write_folder(tmp_path, SOUND.replace("{type: bearer}", auth)))

    async def run() -> list[str]:
        async with serving(api.answer) as url:
            source = make_source(system, url, **keys)
            reader = source.reader("visit", system.contract("visit"))
            try:
                return [row.id async for page in reader.changes(None) for row in page.rows]
            finally:
                await source.close()

    return asyncio.run(run())


ALL = [str(number) for number in range(1, 11)]


def test_a_key_may_stand_in_a_header(tmp_path: Path) -> None:
    api = Visits()
    assert read(tmp_path, api, "{type: api_key, name: X-Key}") == ALL
    assert {request.headers["X-Key"] for request in api.asked} == {"t0ken"}
    assert all("Authorization" not in request.headers for request in api.asked)


def test_a_key_in_the_query_is_there_once_on_every_page(tmp_path: Path) -> None:
    api = Visits()
    assert read(tmp_path, api, "{type: api_key, name: key, location: query}") == ALL
    assert len(api.asked) == 4
    assert all(request.query.getall("key") == ["t0ken"] for request in api.asked)


def test_basic_credentials_are_encoded(tmp_path: Path) -> None:
    api = Visits()
    keys = {"auth.token": None, "auth.username": "ada", "auth.password": "pä:ss"}
    assert read(tmp_path, api, "{type: http_basic}", **keys) == ALL
    told = f"Basic {b64encode('ada:pä:ss'.encode()).decode()}"
    assert {request.headers["Authorization"] for request in api.asked} == {told}


def test_a_key_may_be_the_user_name_of_basic_credentials(tmp_path: Path) -> None:
    api = Visits()
    assert read(tmp_path, api, "{type: http_basic_key, password: any}") == ALL
    told = f"Basic {b64encode(b't0ken:any').decode()}"
    assert {request.headers["Authorization"] for request in api.asked} == {told}


CLIENT = NONE | {"auth.client.id": "c 1", "auth.client.secret": "s"}


def test_a_client_gets_a_token_and_a_fresh_one_where_it_is_refused(tmp_path: Path) -> None:
    api = Api()
    auth = "{type: oauth2_client_credentials, token_url: /oauth/token, scope: read}"
    assert read(tmp_path, api, auth, **CLIENT) == ALL
    form = {
        "grant_type": "client_credentials", "client_id": "c 1", "client_secret": "s",
        "scope": "read",
    }  # fmt: skip
    assert api.forms == [form, form]
    assert api.token_headers == [None, None]


def test_a_scope_may_hold_what_accounts_differ_in(tmp_path: Path) -> None:
    api = Api()
    auth = """{type: oauth2_client_credentials, token_url: /oauth/token, scope: "{site}/.default"}
parameters: [site]"""
    assert read(tmp_path, api, auth, **CLIENT, **{"parameter.site": "https://a.example"}) == ALL
    assert api.forms[0]["scope"] == "https://a.example/.default"


def test_tokens_may_be_got_elsewhere_than_rows(tmp_path: Path) -> None:
    api, other = Visits(), Api()

    async def run() -> list[str]:
        async with serving(api.answer) as url, serving(other.answer) as auth_url:
            auth = "{type: oauth2_client_credentials, token_url: /oauth/token}"
            folder = write_folder(tmp_path, SOUND.replace("{type: bearer}", auth))
            system = read_folder(folder)
            source = make_source(system, url, **CLIENT, **{"auth.url": auth_url})
            reader = source.reader("visit", system.contract("visit"))
            try:
                return [row.id async for page in reader.changes(None) for row in page.rows]
            finally:
                await source.close()

    assert asyncio.run(run()) == ALL
    assert len(other.forms) == 1
    assert {request.headers["Authorization"] for request in api.asked} == {"Bearer t1"}


def test_who_needs_no_token_is_told_of_no_place_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"auth\.url is not taken: auth is bearer"):
        read(tmp_path, Visits(), "{type: bearer}", **{"auth.url": "https://id.example"})


def test_a_client_may_tell_its_secret_in_a_header(tmp_path: Path) -> None:
    api = Api()
    auth = "{type: oauth2_client_credentials, token_url: /oauth/token, client_in: header}"
    assert read(tmp_path, api, auth, **CLIENT) == ALL
    assert api.forms[0] == {"grant_type": "client_credentials"}
    assert api.token_headers[0] == f"Basic {b64encode(b'c+1:s').decode()}"


def test_a_refresh_token_that_is_replaced_is_used_and_told(tmp_path: Path) -> None:
    api = Api()
    api.replaces_refresh = True
    auth = "{type: oauth2_refresh_token, token_url: /oauth/token}"
    with capture_logs() as logs:
        assert read(tmp_path, api, auth, **CLIENT, **{"auth.refresh.token": "r0"}) == ALL
    assert [form["refresh_token"] for form in api.forms] == ["r0", "r1"]
    assert {form["grant_type"] for form in api.forms} == {"refresh_token"}
    assert [line["event"] for line in logs].count("rest.refresh_token_replaced") == 2


def test_a_refresh_token_that_is_replaced_is_kept_in_its_file(tmp_path: Path) -> None:
    api = Api()
    api.replaces_refresh = True
    auth = "{type: oauth2_refresh_token, token_url: /oauth/token}"
    file = tmp_path / "token"
    file.write_text("r0\n")
    keys = {"auth.refresh.token.file": str(file)}
    with capture_logs() as logs:
        assert read(tmp_path, api, auth, **CLIENT, **keys) == ALL
        assert file.read_text() == "r2"
        assert read(tmp_path, api, auth, **CLIENT, **keys) == ALL
    assert [form["refresh_token"] for form in api.forms][:3] == ["r0", "r1", "r2"]
    assert file.stat().st_mode & 0o077 == 0
    assert logs == []


def test_a_file_that_takes_no_token_is_told(tmp_path: Path) -> None:
    api = Api()
    api.replaces_refresh = True
    auth = "{type: oauth2_refresh_token, token_url: /oauth/token}"
    held = tmp_path / "held"
    held.mkdir()
    (held / ".token.new").mkdir()  # where the new one is written first
    (held / "token").write_text("r0")
    keys = {"auth.refresh.token.file": str(held / "token")}
    with capture_logs() as logs:
        assert read(tmp_path, api, auth, **CLIENT, **keys) == ALL
    told = [line for line in logs if line["event"] == "rest.refresh_token_replaced"]
    assert len(told) == 2 and all("cannot be written" in line["reason"] for line in told)


@pytest.mark.parametrize("text", [None, " \n"])
def test_a_file_without_a_token_is_told(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "token").write_text(text)
    keys = {"auth.refresh.token.file": str(tmp_path / "token")}
    auth = "{type: oauth2_refresh_token, token_url: /oauth/token}"
    with pytest.raises(AuthenticationError, match=r"token (cannot be read|is empty)"):
        read(tmp_path, Api(), auth, **CLIENT, **keys)


def test_a_refresh_token_stands_in_one_place(tmp_path: Path) -> None:
    keys = {"auth.refresh.token": "r0", "auth.refresh.token.file": str(tmp_path / "token")}
    with pytest.raises(ValidationError, match="set one of both"):
        read(
            tmp_path, Api(), "{type: oauth2_refresh_token, token_url: /oauth/token}",
            **CLIENT, **keys,
        )  # fmt: skip


def test_a_refresh_token_that_stays_is_no_news(tmp_path: Path) -> None:
    api = Api()
    auth = "{type: oauth2_refresh_token, token_url: /oauth/token}"
    with capture_logs() as logs:
        assert read(tmp_path, api, auth, **CLIENT, **{"auth.refresh.token": "r0"}) == ALL
    assert [form["refresh_token"] for form in api.forms] == ["r0", "r0"]
    assert logs == []


def test_an_assertion_is_signed_for_a_user(tmp_path: Path) -> None:
    api, key = Api(), RSAKey.generate_key(2048)
    file = tmp_path / "key.pem"
    file.write_bytes(key.as_pem(private=True))
    auth = "{type: oauth2_jwt_bearer, token_url: /oauth/token, audience: 'https://id.example'}"
    keys = {"auth.client.id": "c", "auth.username": "u", "auth.private.key.file": str(file)}
    assert read(tmp_path, api, auth, **NONE, **keys) == ALL
    assert api.forms[0]["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(api.forms[0]["assertion"], key, algorithms=["RS256"]).claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("c", "u", "https://id.example")
    assert claims["exp"] > 0


def test_a_token_that_is_refused_twice_is_a_persons_business(tmp_path: Path) -> None:
    api = Visits()
    api.spoil = lambda request, body: web.json_response({}, status=401)
    with pytest.raises(AuthenticationError) as raised:
        read(tmp_path, api, "{type: bearer}")
    assert raised.value.detail == "visits refuses a fresh token: status 401"
    assert "auth.* of its connector file" in raised.value.hint


@pytest.mark.parametrize(
    "url",
    ["http://id.example/token", "https://u@id.example/t", "oauth/token", "https://id.example"],
)
def test_a_token_is_asked_for_below_the_url_or_by_https(tmp_path: Path, url: str) -> None:
    auth = f"{{type: oauth2_client_credentials, token_url: '{url}'}}"
    with pytest.raises(ConfigError, match="token_url"):
        read(tmp_path, Visits(), auth, **CLIENT)
