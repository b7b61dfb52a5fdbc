"""Token requests: where the credential goes, and what any answer is taken for."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt

from connectors.polled.main import load_source
from connectors.toolkit.http import Limiter, RetrySettings, VendorClient
from connectors.toolkit.tokens import BearerToken, Token, request_token, signing_key
from connectors.vendors.float.auth import POLICY
from runtime.sign_ins import FAILURES
from schemas.errors import AuthenticationError, ConfigError, PsaStreamError, TransientError
from tests.support.examples import examples
from tests.support.vendor_server import NoCredentials, serving, vendor_at

PLACE = "connectors/toolkit/tokens.py"
SECRET = "canary-of-the-assertion"
VENDORS = Path(__file__).parents[3] / "connectors" / "vendors"
FORM = {"grant_type": "client_credentials", "client_assertion": SECRET}


async def asked(url: str) -> Token | PsaStreamError:
    try:
        return await request_token(f"{url}/token", FORM, system="netsuite", lifetime_s=900)
    except PsaStreamError as error:
        return error


def answered(status: int, body: object, **headers: str) -> Token | PsaStreamError:
    async def call() -> Token | PsaStreamError:
        answer = web.Response(status=status, text=json.dumps(body), headers=headers)
        async with vendor_at(answer) as url:
            return await asked(url)

    return asyncio.run(call())


@pytest.mark.fault("D3", place=PLACE)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_d3_the_assertion_does_not_follow_a_redirect(status: int) -> None:
    received: list[str] = []

    async def steal(request: web.Request) -> web.StreamResponse:
        received.append(await request.text())
        return web.json_response({"access_token": "theirs"})

    async def call() -> Token | PsaStreamError:
        async with serving(steal) as other:
            away = web.Response(status=status, headers={"Location": f"{other}/token"})
            async with vendor_at(away) as url:
                return await asked(url)

    error = asyncio.run(call())
    assert received == []
    assert isinstance(error, TransientError)
    assert str(status) in error.detail


@pytest.mark.fault("D3", place="connectors/toolkit/http.py")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_d3_a_request_with_credentials_does_not_follow_a_redirect(method: str) -> None:
    received: list[str] = []

    async def steal(request: web.Request) -> web.StreamResponse:
        received.append(request.path)
        return web.json_response({})

    async def call() -> None:
        async with serving(steal) as other:
            away = web.Response(status=307, headers={"Location": f"{other}/v3/people"})
            async with vendor_at(away) as url, client_at(url) as client:
                with pytest.raises(TransientError):
                    await client.request(method, "/v3/people", retry=False)

    asyncio.run(call())
    assert received == []


@pytest.mark.fault("D3", place="connectors/toolkit/http.py")
@pytest.mark.parametrize(
    "path", ["https://other.example/next", "@other.example/next", ".other.example/", "", ":80@o/"]
)
def test_d3_an_address_out_of_an_answer_never_leaves_the_host(path: str) -> None:
    async def call() -> None:
        async with client_at("http://vendor.invalid") as client:
            with pytest.raises(PsaStreamError) as caught:
                await client.request("GET", path, retry=False)
            assert caught.value.code == "record.unreadable_body"

    asyncio.run(call())


def client_at(url: str) -> VendorClient:
    return VendorClient(
        url, NoCredentials(), POLICY,
        user_agent="t", timeout_s=5, limiter=Limiter(1), retry=RetrySettings(attempts=1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "lifetime_s"),
    [
        (3600, 3600.0), ("3600", 3600.0), (None, 900.0), ("soon", 900.0), (0, 900.0), (-5, 900.0),
        (1, 30.0), (10**12, 86_400.0), (True, 900.0), ([1], 900.0), ("9" * 5000, 86_400.0),
        (1.5, 900.0),
    ],
)  # fmt: skip
def test_a_token_lasts_as_told_if_that_makes_sense(told: object, lifetime_s: float) -> None:
    assert answered(200, {"access_token": "t", "expires_in": told}) == Token("t", lifetime_s)


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize("reason", ["invalid_grant", "invalid_client", "inactive_user"])
def test_credentials_are_refused_in_the_words_of_the_standard(status: int, reason: str) -> None:
    error = answered(status, {"error": reason, "error_description": "words of the vendor"})
    assert isinstance(error, AuthenticationError)
    assert reason in error.detail
    assert "words of the vendor" not in str(error)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"access_token": "two\r\nlines"}), (200, {"access_token": ""}), (200, []),
        (200, {"access_token": 5}), (200, {"error": "invalid_grant"}), (202, {"access_token": "t"}),
        (400, {"error": "temporarily_unavailable"}), (400, {"error": 7}), (400, "no"),
        (404, {"error": "invalid_grant"}), (429, {}), (503, {}),
    ],
)  # fmt: skip
def test_any_other_answer_is_transient(status: int, body: object) -> None:
    assert isinstance(answered(status, body), TransientError)


@pytest.mark.fault("D3", place=PLACE)
@settings(max_examples=examples(25), deadline=None)
@given(
    status=st.integers(200, 599),
    content=st.one_of(
        st.binary(max_size=50),
        st.dictionaries(
            st.sampled_from(["access_token", "expires_in", "error"]),
            st.one_of(st.none(), st.integers(), st.text(max_size=9), st.lists(st.none())),
        ).map(lambda it: json.dumps(it).encode()),
    ),
)
def test_d3_any_answer_is_a_token_or_a_documented_error(status: int, content: bytes) -> None:
    async def call() -> Token | PsaStreamError:
        async with vendor_at(web.Response(status=status, body=content)) as url:
            return await asked(url)

    result = asyncio.run(call())
    assert isinstance(result, Token | AuthenticationError | TransientError)
    assert SECRET not in str(result)


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
FORMS = [
    serialization.PrivateFormat.PKCS8,
    serialization.PrivateFormat.TraditionalOpenSSL,
    serialization.PrivateFormat.OpenSSH,
]
WITH_PASSPHRASE = serialization.BestAvailableEncryption(b"x")


def pem_of(
    key: PrivateKeyTypes,
    form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
    protection: serialization.KeySerializationEncryption | None = None,
) -> str:
    protection = protection or serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, protection).decode()


def public_pem_of(form: serialization.PublicFormat) -> str:
    return RSA.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


KEYS: list[tuple[str, str | None]] = [
    *((pem_of(RSA, form), None) for form in FORMS),
    (pem_of(RSA).replace("\n", "\r\n"), None),
    (pem_of(RSA, protection=WITH_PASSPHRASE), "it is protected by a passphrase"),
    (
        pem_of(RSA, serialization.PrivateFormat.TraditionalOpenSSL, WITH_PASSPHRASE),
        "it is protected by a passphrase",
    ),
    (pem_of(ec.generate_private_key(ec.SECP256R1())), "it is no RSA key in PEM"),
    (pem_of(ed25519.Ed25519PrivateKey.generate()), "it is no RSA key in PEM"),
    (public_pem_of(serialization.PublicFormat.SubjectPublicKeyInfo), "it is a public key"),
    (public_pem_of(serialization.PublicFormat.PKCS1), "it is a public key"),
    (
        RSA.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode(),
        "it is a public key",
    ),
    ("", "it is no RSA key in PEM"),
    ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "it is no RSA key in PEM"),
    ('{"kty": "RSA", "n": "AQAB", "e": "AQAB"}', "it is no RSA key in PEM"),
]


@pytest.mark.fault("D9", place=PLACE)
@pytest.mark.parametrize(("pem", "problem"), KEYS, ids=range(len(KEYS)))
def test_d9_a_key_that_cannot_sign_is_refused_as_it_is_read(pem: str, problem: str | None) -> None:
    if problem is None:
        key = signing_key(pem)
        text = jwt.encode({"alg": "PS256"}, {"iss": "x"}, key, algorithms=["PS256"])
        assert jwt.decode(text, key, algorithms=["PS256"]).claims == {"iss": "x"}
        return
    with pytest.raises(ValueError, match=f"^{problem}$"):
        signing_key(pem)


@pytest.mark.fault("D9", place="connectors/polled/main.py")
@pytest.mark.parametrize("vendor", ["netsuite", "salesforce"])
def test_d9_a_source_names_its_file_and_what_is_wrong_with_its_key(
    vendor: str, tmp_path: Path
) -> None:
    key_file = tmp_path / "key.pem"
    key_file.write_text(public_pem_of(serialization.PublicFormat.PKCS1))
    document = json.loads((VENDORS / vendor / "source.json").read_text())
    config = tmp_path / "source.json"
    config.write_text(json.dumps(document | {"auth.private.key.file": str(key_file)}))
    environment = dict.fromkeys(
        re.findall(r"{env:([^}]+)}", config.read_text()), "https://x.example"
    )
    with pytest.raises(ConfigError, match=r"source\.json: the private key .*: it is a public key;"):
        load_source(config, environment)


def test_a_token_that_cannot_be_got_is_counted_and_the_next_one_is_asked_for() -> None:
    results: list[Token | PsaStreamError] = [TransientError("away"), Token("t-next", 900.0)]

    async def fetch() -> Token:
        result = results.pop(0)
        if isinstance(result, PsaStreamError):
            raise result
        return result

    async def call() -> object:
        token = BearerToken(fetch, system="of_the_test")
        assert FAILURES.labels("of_the_test")._value.get() == 0
        with pytest.raises(TransientError):
            await token.headers()
        return await token.headers()

    assert asyncio.run(call()) == {"Authorization": "Bearer t-next"}
    assert FAILURES.labels("of_the_test")._value.get() == 1
