"""What offices enter in the story, read by their sources and mapped: the records of the books."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from psastream.system import tried_row
from sandbox.books.comparison import compare
from sandbox.books.offices import expected_records, topics_of
from sandbox.story import office_acts
from sandbox.story.crm import Deal
from sandbox.story.offices import HRS, PAYROLLS, PROCUREMENTS
from sandbox.story.psa import Person, PsaProject
from sandbox.story.world import Cast, World
from sandbox.vendors.client import VendorAdmin
from sandbox.vendors.target import TwinTarget
from tests.support.twins import Twin, twin_of

NAMES = ("Ada", "Bruno", "Chen", "Dora", "Emil", "Farah", "Goran")
ACTS: Mapping[str, Callable[[World], Iterator[None]]] = {
    "bamboohr": office_acts.employ,
    "adp": office_acts.employ,
    "gusto": office_acts.pay,
    "coupa": office_acts.buy,
}


def world_on(target: TwinTarget) -> World:
    """A firm of seven people and three projects with one office."""
    admin = VendorAdmin("http://testserver")
    admin._http = cast(Any, TestClient(target._app, base_url="http://testserver/admin"))
    nothing, name = cast(Any, None), target.vendor
    people = [
        Person(number, each, "Example", f"{each}@psastream.example", Decimal(100), Decimal(60))
        for number, each in enumerate(NAMES)
    ]
    deal = Deal("D1", "salesforce:opportunity:D1", "A1", "Rollout", "EUR")
    projects = [PsaProject("EUR", deal, "DE"), PsaProject("GBP", deal, "GB"), PsaProject("EUR")]
    return World(
        admin=admin,
        crm=nothing,
        psa=nothing,
        erps={},
        resource_tool=nothing,
        library=nothing,
        random=Random(1),
        rate=1,
        entries=0,
        cast=Cast(people=people, projects=projects),
        hr=HRS[name](admin) if name in HRS else None,
        payroll=PAYROLLS[name](admin) if name in PAYROLLS else None,
        procurement=PROCUREMENTS[name](admin) if name in PROCUREMENTS else None,
    )


async def made_of(twin: Twin) -> dict[str, dict[str, dict[str, Any]]]:
    """The records of everything that the source reads, by topic and id."""
    system = twin.source.system
    read = {obj: (await twin.poll(obj)).state() for obj in system.topics}
    found: dict[str, dict[str, dict[str, Any]]] = {topic: {} for topic in topics_of([system.name])}
    mappings = {mapping.topic.rpartition(".")[2]: mapping for mapping in system.mappings}
    for obj, rows in read.items():
        if obj not in mappings:  # captured, and nothing is made of it
            continue
        lookups = system.objects[obj].lookups
        for row in rows.values():
            looked_up = {}
            for name, lookup in lookups.items():
                [by] = lookup.by or ()
                other = read[lookup.object][str(row[by])]
                looked_up[name] = plain({each: other[each] for each in lookup.columns})
            tried = tried_row(mappings[obj], system.contract(obj), plain(row) | looked_up)
            assert (tried.refused, tried.waits) == (None, None), (obj, row)
            for entity, record in tried.records.items():
                found[f"psa.{entity}"][record["id"]] = record
    return found


def plain(value: Any) -> Any:
    """A value as an API would have told it."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Decimal | date) else value


@pytest.mark.asyncio
@pytest.mark.parametrize("vendor", ACTS)
async def test_the_books_have_what_becomes_of_the_rows(vendor: str, tmp_path: Path) -> None:
    keys = {"auth.url": None} if vendor == "adp" else {}
    async with twin_of(vendor, tmp_path, **keys) as twin:
        world = world_on(twin.target)
        assert await asyncio.to_thread(list, ACTS[vendor](world))
        books = (await twin.target.admin("GET", "/books"))[vendor]
        made = await made_of(twin)
    expected = expected_records({vendor: books})
    assert all(expected.values())
    assert [str(each) for each in compare(expected, made)] == []
