"""A rest.yaml that is wrong is refused before anything starts: each problem with file and line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from typer.testing import CliRunner

from connectors.polled.main import load_source
from connectors.rest.declaration import Format, StampForm
from connectors.rest.paths import ABSENT, at, step
from connectors.rest.paths import Path as Path_
from connectors.rest.rows import flat, instant
from connectors.systems import Systems
from psastream.cli import app
from schemas.errors import ConfigError
from tests.support.rest_api import MAPPING, PAGINATORS, REST, write_folder

SOUND = REST.format(paginator=PAGINATORS["page_number"])
TWO = MAPPING + "  stay: {kind: stay, key: id}\n"

WRONG = {
    "an unknown word": ("paginator:", "pagination:", 5, "pagination: Extra inputs"),
    "an unknown way to page": ("type: page_number", "type: pages", 5, "Input tag 'pages'"),
    "a word of another way to page": (
        "type: page_number", "type: page_number, offset_param: o", 5, "offset_param: Extra inputs",
    ),
    "an unknown auth": ("type: bearer", "type: magic", 1, "auth: Input tag 'magic'"),
    "an unknown meaning": ("means: expired", "means: gone", 4, "means: Input should be"),
    "no evidence": (", evidence: a test", "", 4, "evidence: Field required"),
    "a status that is none": ("status: 410", "status: 41", 4, "status"),
    "a path without a slash": ("path: /v1/visits", "path: v1/visits", 8, "path: String"),
    "a path with a query": ("path: /v1/visits", "path: /v1/visits?a=1", 8, "path: String should"),
    "another host": ("path: /v1/visits", "path: https://x.example/", 8, "path: String"),
    "a path into the answer that is none": ("data_selector: data", "data_selector: a..b", 10,
        "a path is names joined by dots"),
    "an object nobody maps": ("  visit:", "  visits:", 6, "visit of mapping.yaml is not declared"),
    "a column no contract has": ("{place_id:", "{place:", 11, "the contract has no column place"),
    "a column around a list that no contract has": (
        "    columns: {place_id: place.id}", "    expand: {path: x, outer: {place: y}}", 11,
        "the contract has no column place",
    ),
    "a stamp no contract has": (
        "[changed_at]", "[updated_at]", 12, "incremental: the contract has no column updated_at",
    ),
    "a stamp that is a number": (
        "[changed_at]", "[place_id]", 12,
        "incremental: place_id is a number in the contract, and reads is iso8601, not",
    ),
    "an optional column no contract has": (
        "    path:", "    optional: [rate]\n    path:", 8, "optional: the contract has no",
    ),
    "values of a field of which nobody says where they are": (
        "    path:", "    described: {path: /f, name: n, type: t, values: v}\n    path:", 8,
        "`values` and `value` go together",
    ),
    "a description that nothing fills in": (
        "    path:", "    described: {path: '/f/{x}', name: n, type: t}\n    path:", 8, "{x}",
    ),
    "an unused field that is used": (
        "    path:", "    unused: [text]\n    path:", 8, "unused: text is a column of the contract",
    ),
    "an unknown placeholder": ('"{since}"', '"{sinse}"', 7, "{sinse} is no parameter: known"),
    "a parameter nobody takes": (
        "objects:", "parameters: [account]\nobjects:", 6, "nothing takes the parameter account",
    ),
    "a parameter of our own": (
        "objects:", "parameters: [since]\nobjects:", 6, "since has a meaning of its own",
    ),
    "a header without its parameter": (
        "objects:", "headers: {X-Account: '{account}'}\nobjects:", 6, "{account} is no parameter",
    ),
    "no stamp to ask since": (
        "    incremental: {cursor_columns: [changed_at]}\n", "", 7, "{since} is no parameter",
    ),
    "a stamp that nothing asks with": (
        '    params: {since: "{since}"}\n', "", 11, "nothing asks with {since}",
    ),
    "since in a path": ("path: /v1/visits", "path: /v1/{since}", 7, "{since} stands in params"),
    "changes that are not asked for": (
        "    columns:", "    changed: {path: /v1/changes}\n    columns:", 11,
        "changed does not ask with {since}",
    ),
    "a parent that is not there": (
        "    path: /v1/visits", "    parent: {object: place}\n    path: /v1/{parent}/visits", 8,
        "there is no object place",
    ),
    "a parent nobody asks for": (
        "    columns:", "    parent: {object: visit}\n    columns:", 11, "asks with {parent}",
    ),
    "a parent's column no contract has": (
        "    path: /v1/visits", "    parent: {object: visit, column: of}\n    path: /{parent}", 8,
        "the contract has no column of",
    ),
    "no status at all": ("status: 410", "status: []", 4, "at least 1 item"),
    "a share of which one part is told": (
        "paginator:", "rate_limit: {limit_header: X-Limit}\npaginator:", 5, "tell a share together",
    ),
    "not yaml": ("auth: {", "auth: {{", 2, "rest.yaml is not yaml"),
}  # fmt: skip


def checked(folder: Path) -> tuple[int, list[str]]:
    result = CliRunner().invoke(app, ["system", "check", str(folder), "--json"])
    return result.exit_code, json.loads(result.output)["problems"]


def test_a_sound_folder_needs_no_code(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["system", "check", str(write_folder(tmp_path, SOUND))])
    assert result.exit_code == 0
    assert result.output.endswith("visits is sound: 1 objects\n")


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_word_is_one_problem_with_its_line(tmp_path: Path, case: str) -> None:
    right, wrong, line, said = WRONG[case]
    assert right in SOUND
    code, problems = checked(write_folder(tmp_path, SOUND.replace(right, wrong, 1)))
    assert code == 2
    assert any(said in problem for problem in problems), problems
    [found] = [problem for problem in problems if said in problem][:1]
    assert found.startswith("visits/rest.yaml") and f"line {line}:" in found, found


def test_several_problems_are_all_told(tmp_path: Path) -> None:
    text = SOUND.replace("[changed_at]", "[a, b]").replace("{place_id:", "{c:")
    _, problems = checked(write_folder(tmp_path, text))
    assert [problem.rpartition(" ")[2] for problem in problems] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "    deleted: {path: /v1/gone, data_selector: d, id: id, deleted_at: at}\n",
            "that is gone",
        ),
        ("    parent: {object: visit}\n    json: {of: '{parent}'}\n", "{parent} is one value"),
    ],
)
def test_a_row_is_named_by_one_value_only_where_its_key_has_one_column(
    tmp_path: Path, words: str, said: str
) -> None:
    folder = write_folder(tmp_path, SOUND.replace("    columns:", f"{words}    columns:"))
    assert said not in " ".join(checked(folder)[1])
    mapping = folder / "mapping.yaml"
    mapping.write_text(mapping.read_text().replace("key: id", "key: [place_id, id]"))
    problems = checked(folder)[1]
    assert any("has several columns" in each and said in each for each in problems), problems


def test_a_folder_without_a_declaration_is_told_so(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, SOUND)
    (folder / "rest.yaml").unlink()
    assert checked(folder) == (2, ["visits/rest.yaml is not there"])


def test_an_object_that_is_mapped_and_not_declared_is_told(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, SOUND, TWO)
    (folder / "avro" / "stay.avsc").write_text((folder / "avro" / "visit.avsc").read_text())
    _, [problem] = checked(folder)
    assert problem == "visits/rest.yaml: line 6: stay of mapping.yaml is not declared"


def load(tmp_path: Path, rest: str = SOUND, **keys: str | None) -> Any:
    folder = write_folder(tmp_path, rest)
    document = {
        "name": "visits",
        "connector.class": "connectors.rest.source.RestSource",
        "topic.prefix": "src.visits",
        "object.include.list": "visit",
        "url": "http://127.0.0.1:1",
        "auth.token": "${env:TOKEN}",
        **keys,
    }
    file = tmp_path / "source.json"
    file.write_text(json.dumps({key: it for key, it in document.items() if it is not None}))
    return load_source(file, {"TOKEN": "t0ken"}, Systems([folder]))


def test_a_connector_file_makes_a_source_of_a_folder(tmp_path: Path) -> None:
    connector = load(tmp_path)
    assert connector.config.token.get_secret_value() == "t0ken"
    assert "t0ken" not in repr(connector.config)
    reader = connector.source.reader("visit", connector.system.contract("visit"))
    assert reader.traits.has_cursor
    assert reader.key("7") == {"id": 7}


@pytest.mark.parametrize(
    ("rest", "keys", "said"),
    [
        (SOUND, {"auth.token": None}, "auth.token is missing: auth is bearer in rest.yaml"),
        (SOUND, {"auth.username": "u"}, "auth.username is not taken: auth is bearer in rest.yaml"),
        (
            SOUND.replace("bearer", "http_basic"),
            {"auth.username": "u"},
            "auth.password is missing: auth is http_basic in rest.yaml; auth.token is not taken",
        ),
        (SOUND, {"parameter.account": "7"}, "parameter.account is no parameter of rest.yaml"),
        (
            SOUND.replace("/v1/", "/{account}/") + "parameters: [account]\n",
            {},
            "parameter.account is missing",
        ),
        (SOUND, {"auth.tokne": "t"}, "auth.tokne: Extra inputs are not permitted"),
        (SOUND, {"object.include.list": "stay"}, "visits has no stay"),
        (
            SOUND.replace("path:", "pth:"),
            {},
            "visits/rest.yaml is not valid: line 7: objects.visit.path",
        ),
    ],
)
def test_a_connector_file_and_a_declaration_that_do_not_fit_are_refused(
    tmp_path: Path, rest: str, keys: dict[str, str | None], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, rest, **keys)
    assert said in str(caught.value)
    assert "source.json" in str(caught.value)


def test_a_class_that_reads_declarations_reads_no_system_of_another_vendor(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="float is another system's"):
        load(tmp_path, **{"topic.prefix": "src.float"})


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (Format.SECONDS, "2026-05-04T11:59:59Z"),
        (Format.MILLISECONDS, "2026-05-04T12:00:00.678Z"),
        (Format.DATE, "2026-05-03"),
        (Format.EPOCH_SECONDS, "1777895999"),
        (Format.EPOCH_MILLISECONDS, "1777896000678"),
    ],
)
def test_an_instant_is_asked_for_a_unit_early_and_never_rounded_up(form: Format, text: str) -> None:
    assert form.write(datetime(2026, 5, 4, 12, 0, 0, 679_999, UTC)) == text
    assert form.write(datetime(1970, 1, 1, tzinfo=UTC)) in {
        "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z", "1970-01-01", "0",
    }  # fmt: skip


def test_an_instant_of_another_zone_is_asked_for_in_utc() -> None:
    there = datetime.fromisoformat("2026-05-04T01:00:00+02:00")
    assert Format.SECONDS.write(there) == "2026-05-03T22:59:59Z"


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        (StampForm.ISO8601, "2026-05-04T12:00:00Z", datetime(2026, 5, 4, 12, tzinfo=UTC)),
        (StampForm.EPOCH_SECONDS, 1777896000, datetime(2026, 5, 4, 12, tzinfo=UTC)),
        (StampForm.EPOCH_MILLISECONDS, "1777896000000", datetime(2026, 5, 4, 12, tzinfo=UTC)),
    ],
)
def test_a_stamp_is_read_in_its_form(form: StampForm, value: object, expected: datetime) -> None:
    assert instant(value, form) == expected


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (StampForm.ISO8601, 1777896000),
        (StampForm.EPOCH_SECONDS, "2026-05-04"),
        (StampForm.EPOCH_SECONDS, True),
        (StampForm.EPOCH_SECONDS, None),
        (StampForm.EPOCH_SECONDS, "٣"),
        (StampForm.EPOCH_SECONDS, 10**15),
        (StampForm.EPOCH_MILLISECONDS, -(10**18)),
    ],
)
def test_a_stamp_of_another_form_is_none(form: StampForm, value: object) -> None:
    with pytest.raises(ValueError, match="time"):
        instant(value, form)


def test_a_path_tells_absent_from_null() -> None:
    row = {"a": {"b": 1, "c": None}, "l": [{"x": 5}], "n": None}
    assert at(row, "a.b") == 1
    assert at(row, "a.c") is None
    assert at(row, "n.b") is None
    assert at(row, "l.0.x") == 5
    for nowhere in ("a.d", "b", "a.b.c", "l.1", "l.x", "l.0.y", "l.-1"):
        assert at(row, nowhere) is ABSENT


def test_a_name_with_dots_is_quoted_in_a_path() -> None:
    row = {"@odata.count": 3, "a": {"b.c": [{"d": 4}]}, "b": {"c": 5}}
    assert at(row, '"@odata.count"') == 3
    assert at(row, 'a."b.c".0.d') == 4
    assert at(row, "b.c") == 5
    assert at(row, "@odata.count") is ABSENT
    assert [step(name) for name in ("b.c", "b")] == ['"b.c"', "b"]


@pytest.mark.parametrize(
    "text", ["", "a..b", ".a", "a.", '"a', 'a"b"', '"".a', '"a"b', "a b", '"a b"']
)
def test_a_path_that_leads_nowhere_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="a path is names joined by dots"):
        TypeAdapter(Path_).validate_python(text)


def test_a_header_may_ask_for_the_page_size(tmp_path: Path) -> None:
    text = SOUND.replace("objects:", "headers: {Prefer: 'page={page_size}'}\nobjects:")
    connector = load(tmp_path, text, **{"page.size": 7})
    assert connector.source._api.headers == {"Prefer": "page=7"}


def test_nested_columns_become_fields_and_absent_ones_stay_absent() -> None:
    columns = {"place_id": "place.id", "town": "place.town"}
    assert flat({"id": 1, "place": {"id": 7}}, columns) == {
        "id": 1, "place": {"id": 7}, "place_id": 7,
    }  # fmt: skip
    assert flat({"place": None}, columns) == {"place": None, "place_id": None, "town": None}
    assert flat("no row", columns) == "no row"
