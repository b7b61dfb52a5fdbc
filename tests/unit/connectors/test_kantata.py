"""What the sink of Kantata makes of the projects and references that an account holds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from aiohttp import web

from connectors.toolkit.faults import UnclearAnswerError, VendorRejectedError
from connectors.toolkit.http import Limiter, VendorClient
from connectors.vendors.kantata.auth import POLICY
from connectors.vendors.kantata.sink import DUPLICATE_REFERENCE, UNSEEN_PROJECT, KantataSink
from sandbox.vendors.effects import EffectLog
from sandbox.vendors.kantata.api import KantataApi, KantataSettings
from sandbox.vendors.kantata.books import KantataBooks
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import Site
from sandbox.vendors.target import ask
from schemas.errors import InvalidEntityError
from tests.support.commands import project_content
from tests.support.sinks import make_command
from tests.support.vendor_server import NoCredentials, serving, vendor_at

PROJECT: Final = "eng-abcdefghijkl-de"
KEY: Final = f"kantata:project:{PROJECT}"


class Account:
    """A twin's account, and the sink on it."""

    def __init__(self, *, has_budget: bool = True) -> None:
        effects = EffectLog()
        site = Site("kantata", base_url="", seed=1, effects=effects, settings=KantataSettings())
        self.site, self.effects = site, effects
        self.books = KantataBooks(site.clock)
        credentials = Credentials({"KANTATA_TOKEN": "t0ken"})
        self._app = KantataApi(site, self.books, credentials).create_app()
        self._has_budget = has_budget

    def run(self, work: Callable[[KantataSink], Awaitable[Any]]) -> Any:
        async def call() -> Any:
            async with serving(self._answer) as url:
                sink = sink_at(url, has_budget=self._has_budget)
                try:
                    return await work(sink)
                finally:
                    await sink.close()

        return asyncio.run(call())

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        status, _, body = await ask(
            self._app,
            request.method,
            request.path,
            await request.read(),
            query=request.query_string,
            headers={"authorization": "Bearer t0ken"},
        )
        return web.Response(status=status, body=body, content_type="application/json")

    def execute(self, known_id: str | None = None, **content: object) -> Any:
        return self.run(lambda sink: sink.execute(order(**content), known_id))

    def look(self, known_id: str | None = None, **content: object) -> Any:
        return self.run(lambda sink: sink.look(order(**content), known_id))

    def opened(self, **values: object) -> str:
        """Somebody's project with our reference."""
        reference = {
            "service_name": "psastream", "service_model": "project", "service_model_ref": PROJECT
        }  # fmt: skip
        given = {"title": "Tern", "budgeted": False, "external_reference": reference, **values}
        return str(self.books.create("workspaces", given)["id"])

    @property
    def workspaces(self) -> list[dict[str, Any]]:
        return self.books.rows()["workspaces"]


def sink_at(url: str, *, has_budget: bool = True) -> KantataSink:
    client = VendorClient(
        url, NoCredentials(), POLICY, user_agent="test", timeout_s=5, limiter=Limiter(1)
    )
    return KantataSink(client, creator_role="maven", has_budget=has_budget)


def order(kind: str = "upsert_project", **content: object) -> Any:
    said = {**project_content(PROJECT, "Tern"), **content}
    return make_command(KEY, kind=kind, target="kantata", payload=json.dumps(said, default=str))


def test_a_project_is_made_as_it_was_sold_with_its_reference() -> None:
    account = Account()
    made = account.execute(currency="EUR", contract_value="90000.5000", starts_on="2026-03-02")
    (row,) = account.workspaces
    assert (row["title"], row["start_date"], row["creator_role"]) == ("Tern", "2026-03-02", "maven")
    assert (row["budgeted"], row["price"], row["currency"]) == (True, 90_001, "EUR")
    (reference,) = account.books.rows()["external_references"]
    assert (reference["service_model_ref"], reference["subject_id"]) == (PROJECT, int(row["id"]))
    assert made.target_id == row["id"]
    assert account.execute() == made
    assert len(account.effects.as_json()) == 1, "nothing is written where nothing differs"


@pytest.mark.parametrize("value", [None, "9.0000"])
def test_a_project_without_a_budget_is_made_where_nothing_or_nobody_asks_for_one(
    value: str | None,
) -> None:
    account = Account(has_budget=value is None)
    account.execute(currency="EUR", contract_value=value)
    assert [(row["budgeted"], row["price"]) for row in account.workspaces] == [(False, None)]


def test_an_archived_project_is_found_and_not_made_again() -> None:
    account = Account()
    archived = account.opened(archived=True)
    assert account.execute(name="Tern II").target_id == archived
    assert [row["title"] for row in account.workspaces] == ["Tern II"]


def test_of_two_projects_the_known_one_is_kept_up_else_the_oldest() -> None:
    account = Account()
    first, second = account.opened(), account.opened()
    found = account.execute()
    assert (found.target_id, found.warning.code) == (first, DUPLICATE_REFERENCE)
    assert second in found.warning.detail
    assert account.execute(second).target_id == second
    account.books.update("workspaces", second, {"archived": True})
    assert account.execute().warning is None


def test_a_project_that_the_user_does_not_see_is_not_doubled() -> None:
    account = Account()
    hidden = account.opened()
    account.site.configure({"hidden_workspaces": (hidden,)})
    assert account.look() is None
    with pytest.raises(VendorRejectedError) as refused:
        account.execute()
    assert refused.value.vendor_code == UNSEEN_PROJECT
    assert len(account.workspaces) == 1
    account.books.delete("workspaces", hidden)
    assert account.execute(hidden).target_id != hidden, "its reference went with it"


def test_a_first_day_told_as_midnight_is_that_day() -> None:
    account = Account()
    account.opened()
    account.workspaces[0]["start_date"] = "2026-03-02T00:00:00-08:00"
    assert account.look(starts_on="2026-03-02").differs is False
    assert account.look(starts_on="2026-03-03").differs is True


def listed(collection: str, *rows: dict[str, object]) -> web.Response:
    results = [{"key": collection, "id": row["id"]} for row in rows]
    body = {"count": len(rows), "results": results, collection: {row["id"]: row for row in rows}}
    return web.json_response(body)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            listed(
                "external_references",
                {
                    "id": "5",
                    "service_name": "psastream",
                    "subject_type": "Workspace",
                    "service_model_ref": "eng-zzzzzzzzzzzz-de",
                    "subject_id": 71,
                },
            ),
            "references of other projects",
        ),
        (
            web.json_response({"results": [{"key": "external_references", "id": "5"}]}),
            "no external",
        ),
        (web.json_response([]), "a list of 0"),
    ],
    ids=["filter ignored", "row missing", "no answer of Kantata's"],
)
def test_what_cannot_be_told_is_asked_again_and_nothing_is_made(
    answer: web.Response, problem: str
) -> None:
    async def call() -> None:
        async with vendor_at(answer) as url:
            sink = sink_at(url)
            try:
                await sink.execute(order(), None)
            finally:
                await sink.close()

    with pytest.raises(UnclearAnswerError, match=problem) as unclear:
        asyncio.run(call())
    assert not unclear.value.outcome_unknown


def test_another_kind_of_command_is_refused() -> None:
    with pytest.raises(InvalidEntityError, match="no command of kind delete_project"):
        Account().run(lambda sink: sink.execute(order("delete_project"), None))
