"""Columns that are encrypted: SQL says so without the keys, and reads them with them."""

from __future__ import annotations

import json
from typing import cast

import polars as pl
import pytest

from psastream.query.asking import Teller
from psastream.query.reading import LiveTopics, _Standing
from runtime.kafka import KafkaSettings
from runtime.registry import Registry
from runtime.sealing import Opened, as_it_is
from runtime.serde import Serde
from schemas.contracts import value_schema
from tests.support.catalogue import BY_NAME
from tests.support.sealed import Firm

PEOPLE = BY_NAME["psa.resource"]
SAID = "psa.resource: name: encrypted, null here; PSASTREAM_MASTER_KEYS_FILE names the keys"


def rows(firm: Firm, name: str | None, opened: Opened, times: int = 1) -> pl.DataFrame:
    """What SQL has of a person, read so many times by one session."""
    contract = json.loads(value_schema(PEOPLE).text)
    fields = dict.fromkeys(each["name"] for each in contract["fields"])
    serde = Serde(cast(Registry, firm.registry), sealing=firm.sealing())
    value = serde.value(PEOPLE.name, {**fields, "id": "float:person:7", "name": name})
    nowhere = KafkaSettings(bootstrap_servers="nowhere:1")
    topics = {PEOPLE.name: PEOPLE}
    teller = Teller()
    live = LiveTopics(
        nowhere, firm.registry.schema, topics, teller, opened, tell_sealed=teller.sealed
    )
    live._standing[PEOPLE.name] = _Standing({b"7": value})
    return [live._frame(PEOPLE.name) for _ in range(times)][-1]


def test_without_keys_encrypted_columns_are_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    frame = rows(Firm(), "Ada", as_it_is, times=2)
    assert (frame["name"].to_list(), "sealed" in frame.columns) == ([None], False)
    said = capsys.readouterr()
    assert said.err.count(SAID) == 1
    assert said.out == ""


@pytest.mark.parametrize(("name", "has_keys"), [("Ada", True), (None, False)])
def test_where_nothing_is_hidden_nothing_is_said(
    name: str | None, has_keys: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    firm = Firm()
    opened = firm.sealing().open_values if has_keys else as_it_is
    assert rows(firm, name, opened)["name"].to_list() == [name]
    assert capsys.readouterr().err == ""
