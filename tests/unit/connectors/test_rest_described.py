"""What a declared API says of the fields of its objects, by the columns that they are read into."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from starlette.testclient import TestClient

from connectors.polled.fingerprint import Difference, DriftKind, differences, read_fields
from connectors.polled.main import load_source
from connectors.rest.source import RestConnectorConfig, RestSource
from connectors.systems import Systems
from connectors.toolkit.metadata import Described
from psastream.check.metadata import metadata_findings
from psastream.verdict import Verdict
from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.hubspot.objects import STAGES
from schemas.errors import AuthenticationError, SchemaMismatchError
from tests.support.rest_api import ONCE
from tests.support.vendor_server import serving

VENDORS = Path(__file__).parents[3] / "connectors" / "vendors"
Fields = Mapping[str, Described | None] | None


def described(answer: Callable[[web.Request], Any], *objects: str) -> list[Fields]:
    """What the packaged connector is told of objects by whoever answers."""

    async def run() -> list[Fields]:
        async with serving(answer) as url:
            file = VENDORS / "hubspot" / "source.json"
            connector = load_source(file, {"HUBSPOT_TOKEN": "t0ken"})
            assert isinstance(connector.config, RestConnectorConfig)
            config = connector.config.model_copy(update={"url": url})
            source = RestSource(config, connector.system, ONCE)
            try:
                return [await source.describe(obj) for obj in objects]
            finally:
                await source.close()

    return asyncio.run(run())


def at_the_twin(change: Callable[[TestClient], object]) -> list[Fields]:
    """What the twin says of a company and a deal after a change."""
    credentials = make_credentials()
    twin = TestClient(create_app(base_url="http://testserver", seed=1, credentials=credentials))
    change(twin)

    async def answer(request: web.Request) -> web.Response:
        told = await asyncio.to_thread(
            twin.get,
            f"/hubspot{request.rel_url}",
            headers={"authorization": f"Bearer {credentials['HUBSPOT_TOKEN']}"},
        )
        return web.Response(
            body=told.content, status=told.status_code, content_type="application/json"
        )

    return described(answer, "company", "deal")


def answering(*entries: object) -> Callable[[web.Request], Any]:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"results": entries})

    return answer


def test_fields_are_told_by_their_columns_and_of_those_elsewhere_in_a_row_nothing_is() -> None:
    company, deal = at_the_twin(lambda _: None)
    assert company is not None and deal is not None
    assert deal["id"] is None
    assert deal["dealstage"] == Described("enumeration", None, frozenset(STAGES), "Dealstage")
    assert deal["amount"] == Described("number", None, None, "Amount")
    assert "quantity" not in deal and "tax_number" in company
    system = Systems().read("hubspot")
    found = metadata_findings("hubspot", system, {"company": company, "deal": deal})
    assert {each.verdict for each in found} == {Verdict.OK}


def test_what_the_vendor_changes_is_found() -> None:
    def change(twin: TestClient) -> None:
        for field, what in (("name", "remove"), ("Tier", "add")):
            body = {"object": "companies", "field": field, "change": what}
            assert twin.post("/admin/hubspot/fields", json=body).is_success

    (before, _), (now, _) = at_the_twin(lambda _: None), at_the_twin(change)
    assert before is not None and now is not None
    read = read_fields(Systems().read("hubspot").contract("company"))
    assert differences(before, now, read) == [
        Difference("Tier", DriftKind.NEW_FIELD, now="string"),
        Difference("name", DriftKind.VANISHED),
    ]


def test_a_column_that_some_accounts_lack_is_not_missed_and_any_other_is() -> None:
    amount = {"name": "amount", "type": "number", "label": "Amount", "options": []}
    (deal,) = described(answering(amount), "deal")
    assert deal is not None
    assert (deal["psa_project_ids"], deal["amount"]) == (
        None, Described("number", None, None, "Amount"),
    )  # fmt: skip
    assert "dealname" not in deal


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"type": "number"}, "has no text at name"),
        ({"name": "amount", "type": 7}, "has no text at type"),
        ("amount", "has no text at"),
        ({"name": "a", "type": "b", "options": {}}, "options is an object, not a list"),
        ({"name": "a", "type": "b", "options": [{"label": "c"}]}, "has no text at value"),
    ],
)
def test_an_answer_of_another_shape_is_refused(entry: object, said: str) -> None:
    with pytest.raises(SchemaMismatchError, match=said):
        described(answering(entry), "deal")


def test_a_token_that_may_not_ask_is_an_error_of_the_description() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"category": "MISSING_SCOPES", "message": "no"}, status=403)

    with pytest.raises(AuthenticationError):
        described(answer, "deal")


def test_of_an_api_that_describes_nothing_nothing_is_said() -> None:
    environment = {"HARVEST_TOKEN": "t", "HARVEST_ACCOUNT_ID": "1", "HARVEST_URL": "http://any:1"}
    connector = load_source(VENDORS / "harvest" / "source.json", environment)
    source = connector.source
    assert isinstance(source, RestSource)

    async def run() -> Fields:
        try:
            return await source.describe(connector.config.objects[0])
        finally:
            await source.close()

    assert asyncio.run(run()) is None
