"""The simulated NetSuite, driven by a client that nobody here wrote: `netsuite` of PyPI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from authlib.oauth1.rfc5849.client_auth import ClientAuth
from netsuite import Config, NetSuiteRestApi, TokenAuth
from netsuite.exceptions import NetsuiteAPIRequestError

from tests.support.vendors import Vendors, vendors

__all__ = ["vendors"]

SECRETS = {
    "consumer_key": "integration",
    "consumer_secret": "a secret & more",
    "token_id": "token",
    "token_secret": "another secret",
}
PLACE = "sandbox/vendors/netsuite/api.py"


class Signature(httpx.Auth):
    """The client's own signature; authlib has left the HTTP library that the client uses."""

    requires_request_body = True

    def __init__(self, signer: ClientAuth) -> None:
        self._signer = signer

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:
        _, headers, _ = self._signer.prepare(
            request.method, str(request.url), dict(request.headers), request.content
        )
        request.headers["Authorization"] = headers["Authorization"]
        yield request


class Client(NetSuiteRestApi):
    """The client, at the address of the simulated vendor."""

    def __init__(self, url: str, **secrets: str) -> None:
        super().__init__(Config(account="TWIN_SB1", auth=TokenAuth(**secrets)))
        self._address = url

    def _make_auth(self) -> Signature:
        return Signature(super()._make_auth())

    def _make_url(self, subpath: str) -> str:
        return f"{self._address}/services/rest{subpath}"


@pytest.fixture
def client(vendors: Vendors) -> Client:
    vendors.admin.configure("netsuite", access_tokens=[SECRETS])
    return Client(vendors.environment["NETSUITE_URL"], **SECRETS)


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await work()

    return asyncio.run(main())


def refusal(work: Callable[[], Awaitable[Any]]) -> tuple[int, str]:
    with pytest.raises(NetsuiteAPIRequestError) as error:
        run(work)
    return error.value.status_code, error.value.response_text


@pytest.mark.fault("C2", place=PLACE)
def test_c2_records_are_written_read_changed_and_deleted(client: Client) -> None:
    path = "/record/v1/customer/eid:cus-1"
    body = {"companyName": "Acme", "country": "DE", "currency": {"id": "2"}}
    assert run(lambda: client.put(path, json=body)) is None
    assert run(lambda: client.patch(path, json={"companyName": "Acme SE"})) is None
    shown = run(lambda: client.get(path))
    assert (shown["companyName"], shown["currency"]["id"]) == ("Acme SE", "2")
    rows = run(lambda: client.suiteql("SELECT companyname, currency FROM customer"))
    assert rows["items"] == [{"links": [], "companyname": "Acme SE", "currency": "2"}]
    run(lambda: client.delete(path))
    status, text = refusal(lambda: client.get(path))
    assert (status, "NONEXISTENT_ID" in text) == (404, True)


@pytest.mark.fault("C2", place=PLACE)
def test_c2_a_query_is_read_page_by_page(vendors: Vendors, client: Client) -> None:
    for number in range(25):
        vendors.admin.create("netsuite", "customer", {"companyname": f"Customer {number:02d}"})
    query = "SELECT companyname FROM customer ORDER BY id"
    names, offset, has_more = [], 0, True
    while has_more:
        page = run(lambda at=offset: client.suiteql(query, limit=10, offset=at))
        names += [item["companyname"] for item in page["items"]]
        assert (page["offset"], page["totalResults"]) == (offset, 25)
        offset, has_more = offset + page["count"], page["hasMore"]
    assert names == [f"Customer {number:02d}" for number in range(25)]


@pytest.mark.fault("C2", place=PLACE)
def test_c2_what_the_account_does_not_know_is_refused_in_its_words(client: Client) -> None:
    status, text = refusal(lambda: client.suiteql("SELECT nothing FROM customer"))
    assert (status, "Invalid search query" in text) == (400, True)
    misspelt = {"companyname": "Acme"}
    status, text = refusal(lambda: client.put("/record/v1/customer/eid:cus-1", json=misspelt))
    assert (status, "o:errorDetails" in text) == (400, True)


@pytest.mark.fault("C2", place=PLACE)
@pytest.mark.parametrize("wrong", [{"token_secret": "guessed"}, {"token_id": "another"}])
def test_c2_a_wrong_signature_is_no_sign_in(
    vendors: Vendors, client: Client, wrong: dict[str, str]
) -> None:
    stranger = Client(vendors.environment["NETSUITE_URL"], **SECRETS | wrong)
    assert refusal(lambda: stranger.suiteql("SELECT id FROM customer"))[0] == 401
    assert run(lambda: client.suiteql("SELECT id FROM customer"))["items"] == []
