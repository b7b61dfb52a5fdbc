"""What a folder begins with for an API that has an OpenAPI document."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from connectors.polled.main import load_source
from connectors.systems import Systems
from psastream.cli import app
from psastream.starter_openapi import (
    ApiStarter,
    is_document,
    read_document,
    starter_of_api,
    write_api_starter,
)
from psastream.system import read_system
from schemas.errors import ConfigError
from tests.support.examples import examples


def query(name: str, kind: str = "string", **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": kind}, **more}


def answers(schema: dict[str, Any]) -> dict[str, Any]:
    return {"200": {"description": "ok", "content": {"application/json": {"schema": schema}}}}


VISIT = {
    "type": "object",
    "description": "A visit\nof a place.",
    "required": ["id", "hours"],
    "properties": {
        "id": {"type": "integer"},
        "hours": {"type": "number", "description": "Worked."},
        "day": {"type": "string", "format": "date"},
        "note": {"type": ["string", "null"]},
        "visitor_email": {"type": "string"},
        "is_billable": {"type": "boolean"},
        "place": {"$ref": "#/components/schemas/Place"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "updated_at": {"type": "string", "format": "date-time"},
        "created_at": {"type": "string", "format": "date-time"},
    },
}
PLACE = {
    "allOf": [
        {"type": "object", "properties": {"placeId": {"type": "string"}}},
        {"properties": {"name": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
    ]
}
VISITS = {
    "get": {
        "parameters": [query("updated_since"), query("cursor"), query("limit", "integer")],
        "responses": answers(
            {
                "type": "object",
                "properties": {
                    "data": {"type": "array", "items": {"$ref": "#/components/schemas/Visit"}},
                    "meta": {"type": "object", "properties": {"next_cursor": {"type": "string"}}},
                },
            }
        ),
    }
}
PLACES = {"type": "array", "items": {"$ref": "#/components/schemas/Place"}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://api.example.com/v1/"}],
    "paths": {
        "/visits": VISITS,
        "/places.json": {"get": {"responses": answers(PLACES)}},
        "/places/{id}/visits": {"get": {"responses": answers(PLACES)}},
        "/old/visits": VISITS,
        "/reports": {
            "get": {"parameters": [query("of", required=True)], "responses": answers(PLACES)}
        },
        "/days": {
            "get": {
                "responses": answers(
                    {
                        "type": "array",
                        "items": {"type": "object", "properties": {"day": {"type": "string"}}},
                    }
                )
            }
        },
        "/me": {"get": {"responses": answers(VISIT)}},
    },
    "components": {
        "schemas": {"Visit": VISIT, "Place": PLACE},
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}},
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The document with another value at a path of `>`."""
    document = copy.deepcopy(DOCUMENT)
    at: Any = document
    *before, last = path.split(">")
    for part in before:
        at = at[part]
    at[last] = value
    return document


def declared(starter: ApiStarter, file: str = "rest.yaml") -> Any:
    return yaml.safe_load(starter.files[file])


def test_lists_are_declared_as_the_document_tells_them() -> None:
    starter = starter_of_api("acme", DOCUMENT)
    assert declared(starter) == {
        "auth": {"type": "api_key", "name": "X-Key", "location": "header"},
        "objects": {
            "visit": {
                "path": "/visits",
                "data_selector": "data",
                "params": {"updated_since": "{since}"},
                "incremental": {"cursor_columns": ["updated_at", "created_at"]},
                "paginator": {
                    "type": "cursor",
                    "cursor_path": "meta.next_cursor",
                    "cursor_param": "cursor",
                    "limit_param": "limit",
                },
                "columns": {"place_id": "place.placeId", "place_name": "place.name"},
                "optional": [
                    *("day", "note", "visitor_email", "is_billable"),
                    *("place_id", "place_name", "updated_at", "created_at"),
                ],
                "unused": ["tags"],
            },
            "place": {"path": "/places.json", "paginator": {"type": "single_page"}},
        },
    }
    assert declared(starter, "mapping.yaml")["objects"] == {
        "visit": {"kind": "visit", "key": "id", "personal_data": ["visitor_email"]},
        "place": {"kind": "place", "key": "placeId"},
    }
    contract = json.loads(starter.files["avro/visit.avsc"])
    assert (contract["name"], contract["namespace"]) == ("Visit", "psa.source.acme")
    assert contract["doc"] == "A visit of a place."
    types = {each["name"]: each["type"][1] for each in contract["fields"]}
    assert types["id"] == "long"
    assert types["day"] == {"type": "int", "logicalType": "date"}
    assert types["hours"]["logicalType"] == "decimal"
    assert (types["note"], types["is_billable"], types["place_id"]) == (
        "string",
        "boolean",
        "string",
    )


def test_what_is_guessed_or_left_out_is_said() -> None:
    said = "\n".join(starter_of_api("acme", DOCUMENT).warnings)
    assert "/places/{id}/visits is left out: its rows are below others" in said
    assert "/old/visits is left out: visit is read from /visits" in said
    assert "/reports is left out: it must be asked with of" in said
    assert "/days is left out: no field of its rows looks like a key" in said
    assert "visit: updated_since is taken to ask for rows by updated_at" in said
    assert "place: no field tells when a row changed" in said
    assert "place: nothing tells of pages" in said
    assert "/me" not in said, "it is no list"


def test_what_is_written_is_a_sound_system_with_its_connector(tmp_path: Path) -> None:
    files = write_api_starter(starter_of_api("acme", DOCUMENT), tmp_path / "acme")
    system, _ = read_system(tmp_path / "acme")
    assert [topic.name for topic in system.topics.values()] == ["src.acme.visit", "src.acme.place"]
    assert system.mappings == (), "no document tells what a row means"
    connector = next(file for file in files if file.name == "source.json")
    loaded = load_source(connector, {"ACME_TOKEN": "t"}, Systems([tmp_path / "acme"]))
    assert loaded.config.objects == ("visit", "place")
    with pytest.raises(ConfigError, match="is there already"):
        write_api_starter(starter_of_api("acme", DOCUMENT), tmp_path / "acme")


@pytest.mark.parametrize(
    ("parameters", "answer", "paginator"),
    [
        (
            ["page", "per_page"],
            {},
            {"type": "page_number", "page_param": "page", "limit_param": "per_page"},
        ),
        (
            ["Offset", "Limit"],
            {},
            {"type": "offset", "offset_param": "Offset", "limit_param": "Limit"},
        ),
        (["skip"], {}, {"type": "offset", "offset_param": "skip", "limit_param": None}),
        (["page"], {"next": {"type": "string"}}, {"type": "json_link", "next_url_path": "next"}),
        (
            [],
            {"links": {"type": "object", "properties": {"next": {"type": ["string", "null"]}}}},
            {"type": "json_link", "next_url_path": "links.next"},
        ),
        (
            ["page_token"],
            {"nextPageToken": {"type": "string"}},
            {"type": "cursor", "cursor_path": "nextPageToken", "cursor_param": "page_token"},
        ),
        (["cursor"], {}, {"type": "single_page"}),
    ],
)
def test_pages_are_known_by_names_in_common_use(
    parameters: list[str], answer: dict[str, Any], paginator: dict[str, Any], tmp_path: Path
) -> None:
    rows = {"type": "array", "items": VISIT}
    list_of = {"type": "object", "properties": {"items": rows, **answer}}
    get = {"parameters": [query(name) for name in parameters], "responses": answers(list_of)}
    starter = starter_of_api("acme", changed("paths>/visits>get", get))
    assert declared(starter)["objects"]["visit"]["paginator"] == paginator
    write_api_starter(starter, tmp_path / "acme")
    read_system(tmp_path / "acme")


TOKEN = "https://login.example.com/token"
FLOW = {"tokenUrl": TOKEN, "scopes": {}}


@pytest.mark.parametrize(
    ("scheme", "auth", "keys"),
    [
        ({"type": "http", "scheme": "Bearer"}, {"type": "bearer"}, ["token"]),
        ({"type": "http", "scheme": "basic"}, {"type": "http_basic"}, ["username", "password"]),
        (
            {"type": "apiKey", "in": "query", "name": "k"},
            {"type": "api_key", "name": "k", "location": "query"},
            ["token"],
        ),
        (
            {"type": "oauth2", "flows": {"clientCredentials": FLOW}},
            {"type": "oauth2_client_credentials", "token_url": TOKEN},
            ["client.id", "client.secret"],
        ),
        (
            {"type": "oauth2", "flows": {"authorizationCode": FLOW}},
            {"type": "oauth2_refresh_token", "token_url": TOKEN},
            ["client.id", "client.secret", "refresh.token"],
        ),
        ({"type": "openIdConnect"}, {"type": "bearer"}, ["token"]),
        ({"type": "apiKey", "in": "header"}, {"type": "bearer"}, ["token"]),
        ({"type": "apiKey", "in": "cookie", "name": "k"}, {"type": "bearer"}, ["token"]),
    ],
)
def test_the_way_to_sign_in_is_the_document_s(
    scheme: dict[str, Any], auth: dict[str, Any], keys: list[str]
) -> None:
    starter = starter_of_api("acme", changed("components>securitySchemes", {"it": scheme}))
    assert declared(starter)["auth"] == auth
    connector = json.loads(starter.files["source.json"])
    given = {key.removeprefix("auth."): value for key, value in connector.items() if "auth." in key}
    assert [*given] == keys
    assert all(value.startswith("${env:ACME_") for value in given.values())
    is_assumed = any("is assumed" in warning for warning in starter.warnings)
    assert is_assumed is (auth == {"type": "bearer"} and scheme["type"] != "http")


@pytest.mark.parametrize(
    "servers", [[], [{"url": "https://{firm}.example.com"}], [{"url": "/v1"}], None]
)
def test_without_one_address_the_environment_tells_it(servers: Any) -> None:
    starter = starter_of_api("acme", changed("servers", servers))
    assert json.loads(starter.files["source.json"])["url"] == "${env:ACME_URL}"
    assert any("ACME_URL" in warning for warning in starter.warnings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("openapi: 3.0.3\npaths: {}\n", "no list of rows"),
        ('{"openapi": "3.0.3"}', "no list of rows"),
        ('{"swagger": "2.0", "paths": {}}', "of Swagger 2"),
        ("[1, 2]", "no such document"),
        ("{", "neither JSON nor YAML"),
        ("a: [", "neither JSON nor YAML"),
        ("[" * 100_000, "neither JSON nor YAML"),
        ("", "no such document"),
    ],
)
def test_another_file_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "api.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        starter_of_api("acme", read_document(file))


def test_a_file_that_is_not_there_and_a_name_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_document(tmp_path / "gone.json")
    with pytest.raises(ConfigError, match="cannot be the name of a system"):
        starter_of_api("Acme Inc", DOCUMENT)


def places_in(value: Any, path: str = "") -> Iterator[str]:
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield f"{path}{name}"
        yield from places_in(inner, f"{path}{name}>")


JUNK: list[Any] = [
    None,
    5,
    True,
    "",
    "x",
    "null",
    [],
    [None],
    [1],
    {},
    {"$ref": "#/paths"},
    {"$ref": 5},
]
JUNK += [{"$ref": "#/components/schemas/Loop"}, {"allOf": 5}, {"allOf": [{"$ref": "other.yaml"}]}]


@settings(max_examples=examples(25))
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(places_in(DOCUMENT))), st.sampled_from(JUNK)), max_size=3
    )
)
def test_whatever_a_document_holds_the_folder_is_sound_or_it_is_refused(
    changes: list[tuple[str, Any]],
) -> None:
    document = copy.deepcopy(DOCUMENT)
    document["components"]["schemas"]["Loop"] = {"$ref": "#/components/schemas/Loop"}
    for path, value in changes:
        at: Any = document
        *before, last = path.split(">")
        for part in before:
            at = at.get(part) if isinstance(at, dict) else None
        if isinstance(at, dict):
            at[last] = value
    try:
        starter = starter_of_api("acme", document)
    except ConfigError:
        return
    with tempfile.TemporaryDirectory() as folder:
        write_api_starter(starter, Path(folder) / "acme")
        read_system(Path(folder) / "acme")


def test_the_command_writes_the_folder_and_says_what_it_guessed(tmp_path: Path) -> None:
    document = tmp_path / "api.json"
    document.write_text(json.dumps(DOCUMENT))
    arguments = ["system", "init", str(document), "--system", "acme", "--to", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    said = result.output.splitlines()
    assert f"{tmp_path / 'acme' / 'rest.yaml'} written" in said
    assert "note: place: no field tells when a row changed, so every poll reads all rows" in said
    checked = CliRunner().invoke(app, ["system", "check", str(tmp_path / "acme")])
    assert "acme is sound: 2 objects" in checked.output
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2
    nameless = CliRunner().invoke(app, arguments[:3])
    assert nameless.exit_code == 2
    assert "cannot be the name of a system" in nameless.output


@pytest.mark.parametrize("source", ["postgresql://h/d.json", "dbname=x", "api.txt"])
def test_what_is_no_file_of_a_document_is_a_database(source: str) -> None:
    assert not is_document(source)


def test_of_a_database_the_schema_is_asked_for_before_anything_is_read() -> None:
    result = CliRunner().invoke(app, ["system", "init", "postgresql://nowhere.invalid/db"])
    assert result.exit_code == 2
    assert "--schema is missing" in result.output
