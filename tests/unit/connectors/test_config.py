"""Connector files: placeholders, secrets, every problem at once; shipped files are valid."""

import json
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from connectors.polled.main import load_source
from connectors.toolkit.config import load_config
from schemas.errors import ConfigError

ROOT = Path(__file__).parents[3]
KEY = RSAKey.generate_key(2048)


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str
    token: SecretStr
    page_size: int = Field(alias="page.size", gt=0)


def write(path: Path, **keys: object) -> Path:
    path.write_text(json.dumps(keys))
    return path


def test_placeholders_are_resolved_and_secrets_masked(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    file = write(
        tmp_path / "c.json",
        **{"url": "${env:HOST}/v1", "token": f"${{file:{tmp_path}/secret}}", "page.size": 5},
    )
    config = load_config(file, Model, {"HOST": "http://h"})
    assert (config.url, config.token.get_secret_value()) == ("http://h/v1", "hunter2")
    assert "hunter2" not in repr(config)


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    keys = {"url": "${env:HOST}", "token": "${vault:x}", "page.size": 0, "typo": 1}
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path / "c.json", **keys), Model, {})
    message = str(caught.value)
    for part in ("HOST is not set", "provider vault", "page.size", "typo"):
        assert part in message
    assert "Field required" not in message


def test_a_secret_that_does_not_fit_is_not_shown(tmp_path: Path) -> None:
    class Picky(BaseModel):
        token: SecretStr = Field(max_length=3)

    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path / "c.json", token="${env:T}"), Picky, {"T": "hunter2"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "{", ""])
def test_a_file_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.json"
    file.write_text(text)
    with pytest.raises(ConfigError):
        load_config(file, Model, {})


def environment(tmp_path: Path) -> dict[str, str]:
    key_file = tmp_path / "key.pem"
    key_file.write_bytes(KEY.as_pem(private=True))
    names = [
        *("SALESFORCE_URL", "SALESFORCE_CLIENT_ID", "SALESFORCE_USERNAME"),
        *("NETSUITE_URL", "NETSUITE_CLIENT_ID", "NETSUITE_CERTIFICATE_ID"),
        *("FLOAT_URL", "FLOAT_TOKEN"),
    ]
    values = dict.fromkeys(names, "http://127.0.0.1:9/x")
    files = ("SALESFORCE_PRIVATE_KEY_FILE", "NETSUITE_PRIVATE_KEY_FILE")
    return values | dict.fromkeys(files, str(key_file))


@pytest.mark.parametrize("vendor", ["salesforce", "netsuite", "float"])
def test_the_shipped_files_are_valid(vendor: str, tmp_path: Path) -> None:
    path = ROOT / "connectors" / "vendors" / vendor / "source.json"
    connector = load_source(path, environment(tmp_path))
    assert connector.config.system == connector.system.name == vendor
    for obj in connector.config.objects:
        assert connector.source.reader(obj, connector.system.contract(obj)).key("7")


@pytest.mark.parametrize("vendor", ["salesforce", "netsuite", "float"])
def test_the_shipped_files_name_every_missing_variable(vendor: str, tmp_path: Path) -> None:
    path = ROOT / "connectors" / "vendors" / vendor / "source.json"
    with pytest.raises(ConfigError) as caught:
        load_source(path, {})
    expected = [name for name in environment(tmp_path) if name.startswith(vendor.upper())]
    assert all(name in str(caught.value) for name in expected)


@pytest.mark.parametrize("name", [None, 3, "os.system", "connectors.nothing.Source"])
def test_only_classes_of_this_package_are_loaded(name: object, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"connector\.class"):
        load_source(write(tmp_path / "c.json", **{"connector.class": name}), {})


def test_an_object_without_a_topic_is_refused(tmp_path: Path) -> None:
    document = json.loads((ROOT / "connectors/vendors/float/source.json").read_text())
    path = write(tmp_path / "c.json", **document | {"object.include.list": "person,holiday"})
    with pytest.raises(ConfigError, match="holiday"):
        load_source(path, environment(tmp_path))


@pytest.mark.fault("D9", place="connectors/toolkit/config.py")
@pytest.mark.parametrize(
    ("token", "key", "problem"),
    [
        ("line\nbreak", "${env:FLOAT_TOKEN}", "auth.token: it holds a line break"),
        ("tab\tstop", "${env:FLOAT_TOKEN}", "auth.token: it holds a line break or another control"),
        ("sound", "${ENV:FLOAT_TOKEN}", "auth.token: a placeholder is"),
        ("sound", "${env:FLOAT_TOKEN}${", "auth.token: a placeholder is"),
        ("with ${ in it", "${env:FLOAT_TOKEN}", None),
    ],
)
def test_d9_what_no_request_can_carry_is_refused_as_its_file_is_read(
    token: str, key: str, problem: str | None, tmp_path: Path
) -> None:
    document = json.loads((ROOT / "connectors/vendors/float/source.json").read_text())
    path = write(tmp_path / "c.json", **document | {"auth.token": key})
    variables = environment(tmp_path) | {"FLOAT_TOKEN": token}
    if problem is None:
        assert load_source(path, variables).config.name == "float"
        return
    with pytest.raises(ConfigError) as caught:
        load_source(path, variables)
    assert problem in caught.value.detail
    assert token not in str(caught.value)


@pytest.mark.parametrize("name", [["x"], {"x": 1}])
def test_a_class_that_is_no_text_is_refused(name: object, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"connector\.class names no source"):
        load_source(write(tmp_path / "c.json", **{"connector.class": name}), {})
