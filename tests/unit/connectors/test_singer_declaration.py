"""A singer.yaml that is wrong is refused before anything starts: each problem with its line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.polled.main import load_source
from connectors.singer.declaration import filled
from connectors.singer.source import SingerConnectorConfig, SingerSource
from connectors.systems import Systems
from psastream.cli import app
from runtime.secrets import forget, mask
from schemas.errors import ConfigError
from tests.support.singer import CONTRACT, MAPPING, SINGER, write_folder

WRONG = {
    "not yaml": ("executable: tap", "executable: {{ tap", 2, "singer.yaml is not yaml"),
    "an unknown word": ("executable:", "program:", 1, "program: Extra inputs"),
    "no executable": ("executable: tap-visits\n", "", 1, "executable: Field required"),
    "a name that no program has": ("tap-visits", '"a\\0b"', 1, "executable: String should match"),
    "an unknown way to take a catalog": (
        "config:", "catalog: file\nconfig:", 2, "catalog: Input should be 'catalog', 'properties'",
    ),
    "a secret among the arguments": (
        "config:", "arguments: [--token, '${secret:token}']\nconfig:", 2, "arguments are shown by",
    ),
    "another placeholder": ("${config:rows}", "${env:ROWS}", 3, "a placeholder is ${config:name}"),
    "a placeholder deep within": (
        "  token:", "  deep: [1, {a: 'x ${}'}]\n  token:", 4, "a placeholder is ${config:name}",
    ),
    "a variable that is none": (
        "objects:", "environment: ['A=B']\nobjects:", 5, "environment.0: String should match",
    ),
    "no objects": (
        SINGER[SINGER.index("objects:"):], "objects: {}\n", 5, "objects: Dictionary should have",
    ),
    "an object nobody maps": ("  visit:", "  visits:", 5, "visit of mapping.yaml is not declared"),
    "an object that is not there": ("  visit:", "  stay:", 6, "there is no object stay"),
    "no stream": ("    stream: visits\n", "", 6, "stream: Field required"),
    "a method that reads a log": (
        "INCREMENTAL", "LOG_BASED", 8, "replication_method: Input should be 'FULL_TABLE' or",
    ),
    "a key of changes in full tables": (
        "INCREMENTAL", "FULL_TABLE", 9, "replication_key tells changes",
    ),
    "a column no contract has": (
        "    stream:", "    columns: {place: of.id}\n    stream:", 7, "has no column place",
    ),
    "a path that is none": (
        "    stream:", "    columns: {text: a..b}\n    stream:", 7, "names joined by dots",
    ),
    "an optional column no contract has": (
        "    stream:", "    optional: [place]\n    stream:", 7, "optional: the contract has no",
    ),
    "an unused property that is used": (
        "    stream:", "    unused: [text]\n    stream:", 7, "unused: text is a column",
    ),
    "a key of one property": (
        "    stream:", "    key_properties: [id]\n    stream:", 7, "at least 2 items",
    ),
    "a key with a path and of several": (
        "    stream:", "    key_properties: [a, b]\n    columns: {id: a}\n    stream:", 7,
        "id is made of key_properties",
    ),
}  # fmt: skip


def checked(folder: Path) -> tuple[int, list[str]]:
    result = CliRunner().invoke(app, ["system", "check", str(folder), "--json"])
    return result.exit_code, json.loads(result.output)["problems"]


def test_a_sound_folder_needs_no_code(tmp_path: Path) -> None:
    assert checked(write_folder(tmp_path)) == (0, [])


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_word_is_one_problem_with_its_line(tmp_path: Path, case: str) -> None:
    right, wrong, line, said = WRONG[case]
    assert right in SINGER
    code, problems = checked(write_folder(tmp_path, SINGER.replace(right, wrong, 1)))
    assert code == 2
    found = [problem for problem in problems if said in problem]
    assert found, problems
    assert found[0].startswith("visits/singer.yaml") and f"line {line}:" in found[0], found


def test_several_problems_are_all_told(tmp_path: Path) -> None:
    text = SINGER.replace("    stream:", "    columns: {a: x, b: y}\n    stream:")
    _, problems = checked(write_folder(tmp_path, text))
    assert sorted(problem[-1] for problem in problems) == ["a", "b"]


def test_a_folder_without_a_declaration_is_told_so(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "singer.yaml").unlink()
    assert checked(folder) == (2, ["visits/singer.yaml is not there"])


def test_two_objects_of_one_stream_are_told(tmp_path: Path) -> None:
    mapping = MAPPING + "  stay: {kind: stay, key: id}\n"
    folder = write_folder(tmp_path, SINGER + "  stay: {stream: visits}\n", mapping)
    (folder / "avro" / "stay.avsc").write_text(json.dumps(CONTRACT))
    _, problems = checked(folder)
    assert [problem.partition(": ")[2] for problem in problems] == [
        "line 6: visit: several objects are read from visits",
        "line 10: stay: several objects are read from visits",
    ]
    text = SINGER + "  stay: {stream: visits, tap_stream_id: others}\n"
    assert checked(write_folder(tmp_path, text, mapping)) == (0, [])


def load(tmp_path: Path, singer: str = SINGER, **keys: object) -> Any:
    folder = write_folder(tmp_path, singer)
    document: dict[str, object] = {
        "name": "visits",
        "connector.class": "connectors.singer.source.SingerSource",
        "topic.prefix": "src.visits",
        "object.include.list": "visit",
        "tap.executable": sys.executable,
        "config.rows": "rows.json",
        "secret.token": "${env:TOKEN}",
    }
    given = {name: value for name, value in (document | keys).items() if value is not None}
    (tmp_path / "visits.json").write_text(json.dumps(given))
    try:
        return load_source(tmp_path / "visits.json", {"TOKEN": "t0kenCanary"}, Systems([folder]))
    finally:
        forget("t0kenCanary")


def test_a_connector_file_names_the_source(tmp_path: Path) -> None:
    connector = load(tmp_path)
    assert isinstance(connector.source, SingerSource)
    config = connector.config
    assert isinstance(config, SingerConnectorConfig)
    assert config.words() == {
        ("config", "rows"): "rows.json",
        ("secret", "token"): "t0kenCanary",
    }
    assert "Canary" not in repr(config)
    assert config.poll_interval_ms == 300_000


def test_a_secret_is_masked_wherever_it_is_written(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    document = {
        "name": "visits", "connector.class": "x", "topic.prefix": "src.visits",
        "object.include.list": "visit", "tap.executable": sys.executable, "config.rows": "r",
        "secret.token": "An0therCanary",
    }  # fmt: skip
    SingerSource(SingerConnectorConfig.model_validate(document), Systems([folder]).read("visits"))
    try:
        assert mask("HTTP 401 for An0therCanary") == "HTTP 401 for ***"
    finally:
        forget("An0therCanary")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"config.rows": None}, "config.rows is missing"),
        ({"secret.token": None}, "secret.token is missing"),
        ({"config.token": "t"}, "config.token is not taken by singer.yaml"),
        ({"config": {"rows": "r"}}, "each setting is a key of its own: config.<name>"),
        ({"secret": {"token": "t"}}, "each setting is a key of its own: secret.<name>"),
        ({"url": "http://127.0.0.1"}, "url: Extra inputs"),
        ({"config.rows": [1]}, "config.rows"),
        ({"tap.executable": "/nowhere/tap"}, "there is no program /nowhere/tap"),
        ({"tap.executable": None}, "there is no program tap-visits"),
        ({"tap.silence.ms": 99}, "tap.silence.ms: Input should be greater than or equal to 100"),
        ({"tap.silence.ms": 660_001}, "tap.silence.ms: Input should be less than or equal"),
        ({"tap.run.ms": 99}, "tap.run.ms: Input should be greater than or equal to 100"),
    ],
)
def test_a_connector_file_that_does_not_fit_is_told(
    tmp_path: Path, keys: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError) as told:
        load(tmp_path, **keys)
    assert said in str(told.value) and "Canary" not in str(told.value)


def test_bounds_are_taken(tmp_path: Path) -> None:
    for keys in ({"tap.silence.ms": 100, "tap.run.ms": 100}, {"tap.silence.ms": 660_000}):
        load(tmp_path, **keys)


def test_a_variable_that_is_not_set_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="environment variables are not set: NO_SUCH_VARIABLE"):
        load(tmp_path, SINGER + "environment: [NO_SUCH_VARIABLE]\n")


def test_settings_fill_the_configuration_with_their_types() -> None:
    words = {("config", "port"): 5432, ("config", "on"): True, ("secret", "token"): "t0"}
    template = {
        "port": "${config:port}",
        "on": "${config:on}",
        "headers": {"Authorization": "Bearer ${secret:token}"},
        "parts": ["${config:port}:${secret:token}", 7, None, "plain"],
    }
    assert filled(template, words) == {
        "port": 5432,
        "on": True,
        "headers": {"Authorization": "Bearer t0"},
        "parts": ["5432:t0", 7, None, "plain"],
    }


def test_rows_are_tried_as_the_tap_tells_them(tmp_path: Path) -> None:
    mapping = MAPPING.replace(
        "{kind: visit, key: id}",
        "{kind: visit, key: id, targets: [{entity: project, fields: {name: {from: text}}}]}",
    )
    singer = SINGER.replace("    stream:", "    columns: {text: place.name}\n    stream:")
    folder = write_folder(tmp_path, singer, mapping)
    rows = tmp_path / "rows.json"
    rows.write_text('[{"id": 3, "place": {"name": "Quay"}, "rate": 1.25}]')
    result = CliRunner().invoke(
        app, ["system", "try", str(folder), "visit", "--rows", str(rows), "--json"]
    )
    [tried] = json.loads(result.output)
    assert tried["records"]["project"]["name"] == "Quay", result.output
