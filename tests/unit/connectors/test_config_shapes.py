"""Configuration of any shape: valid, or a ConfigError that names the file; never a traceback.

`PSASTREAM_TEST_CONFIG_EXAMPLES=20000` looks at so many shapes.
"""

import copy
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.debezium.client import read_connector_file
from connectors.dispatch.main import load_sink, load_sinks
from connectors.polled.main import load_source, load_sources
from psastream.check.files import Files, read_configuration
from psastream.verdict import Verdict
from runtime.prometheus import serve_metrics
from runtime.settings import Settings
from schemas.errors import ConfigError

VENDORS: Final = Path(__file__).parents[3] / "connectors" / "vendors"

PLACE: Final = "connectors/toolkit/config.py"
EXAMPLES: Final = int(os.environ.get("PSASTREAM_TEST_CONFIG_EXAMPLES", "60"))
ENVIRONMENT: Final = {"EVIL": "\x00"}

SOURCES: Final = [VENDORS / name / "source.json" for name in ("float", "netsuite", "salesforce")]
SINKS: Final = [VENDORS / name / "sink.json" for name in ("float", "netsuite")]
READERS: Final[dict[str, tuple[Callable[[Path], object], list[Path]]]] = {
    "poll": (lambda path: load_source(path, ENVIRONMENT), SOURCES),
    "dispatch": (lambda path: load_sink(path, ENVIRONMENT).make_sink(), SINKS),
    "connectors apply": (
        read_connector_file,
        [VENDORS / "inhouse" / "connector.json"],
    ),
}

KAFKA_OF_ONE: Final = {
    "PSASTREAM_BOOTSTRAP_SERVERS": "b:9092",
    "PSASTREAM_REGISTRY_URL": "http://r:8081",
}

JUNK = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(),
        st.text(max_size=12),
        st.sampled_from(
            ["", "\x00", "${env:EVIL}", "${file:\x00}", "${file:/}", "${file:/dev}", "${x:y}", "${",
             "connectors.vendors.netsuite.sink.NetSuiteSink",
             "connectors.vendors.float.source.FloatSource",
             "connectors.vendors.float.source", "connectors.", "connectors.config.json",
             "os.system",
             "http://", "http://[", "https://a.b", "src.netsuite", "1", "/", "a\nb", "\ud800"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)  # fmt: skip


def read(entry: str, content: bytes) -> None:
    """Read a file of this content; anything but a ConfigError that names it is a failure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "it.json"
        path.write_bytes(content)
        try:
            READERS[entry][0](path)
        except ConfigError as error:
            named = ("it.json", "private key")  # a sink names itself where its key is at fault
            assert any(name in error.detail for name in named), error.detail


@pytest.mark.fault("D9", place=PLACE)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), entry=st.sampled_from(sorted(READERS)))
def test_d9_a_config_of_any_shape_is_valid_or_refused_by_name(
    data: st.DataObject, entry: str
) -> None:
    valid = json.loads(data.draw(st.sampled_from(READERS[entry][1])).read_text())
    document: Any = copy.deepcopy(valid)
    for _ in range(data.draw(st.integers(1, 3))):
        if not isinstance(document, dict):
            break
        key = data.draw(st.one_of(st.sampled_from([*sorted(document), "x"]), st.text(max_size=6)))
        how = data.draw(st.sampled_from(["set", "drop", "whole"]))
        if how == "set":
            document[key] = data.draw(JUNK)
        elif how == "drop":
            document.pop(key, None)
        else:
            document = data.draw(JUNK)
    read(entry, json.dumps(document).encode())


@pytest.mark.fault("D9", place=PLACE)
@pytest.mark.parametrize("entry", sorted(READERS))
@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"[" * 100_000, b"\xff\xfe", b"{", b" " * 2**21, b'{"a":1e999}'],
)
def test_d9_a_file_that_is_no_configuration_is_refused(entry: str, content: bytes) -> None:
    with pytest.raises(ConfigError):
        read_once(entry, content)


def read_once(entry: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "it.json"
        path.write_bytes(content)
        READERS[entry][0](path)


@pytest.mark.fault("D9", place=PLACE)
@pytest.mark.parametrize("key", ["token", "name", "url", "user.agent"])
def test_d9_half_a_character_is_refused_by_its_key(key: str) -> None:
    document = json.loads((VENDORS / "float" / "sink.json").read_text())
    with pytest.raises(ConfigError, match=f"{key}: not a text in UTF-8"):
        read_once("dispatch", json.dumps(document | {key: "ok \ud83d"}).encode())


@pytest.mark.fault("D9", place=PLACE)
@pytest.mark.parametrize("entry", sorted(READERS))
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (r'{"\ud800": 1}', r"'\\ud800' is no name"),
        (r'{"config": {"a\udc00": 1}}', r"'a\\udc00' is no name"),
        ('{"name": "a", "name": "b"}', "'name' is there twice"),
        ('{"config": {"a": 1, "b": 2, "a": 1}}', "'a' is there twice"),
    ],
)
def test_d9_a_name_that_is_none_or_there_twice_is_refused(
    entry: str, content: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=f"cannot read .*it.json: {problem}") as caught:
        read_once(entry, content.encode())
    assert str(caught.value).isprintable()


@pytest.mark.fault("D9", place="connectors/debezium/client.py")
@pytest.mark.parametrize(
    ("name", "config", "problem"),
    [
        ("x", {"topic.prefix": "src"}, None),
        ("x", {"topic.prefix": "src.float"}, "topic.prefix is 'src.float', not src"),
        ("x", {"topic.prefix": "\ud800"}, r"topic.prefix is '\\ud800', not src"),
        ("x", {}, "topic.prefix is None, not src"),
        ("\ud800", {"topic.prefix": "src"}, r"its name '\\ud800' is none; letters, digits"),
        ("..", {"topic.prefix": "src"}, r"its name '\.\.' is none"),
        (".", {"topic.prefix": "src"}, r"its name '\.' is none"),
        ("a/../b", {"topic.prefix": "src"}, r"its name 'a/\.\./b' is none"),
        ("", {"topic.prefix": "src"}, r"its name '' is none"),
        ("a-", {"topic.prefix": "src"}, r"its name 'a-' is none"),
    ],
)
def test_d9_a_database_file_names_topics_of_ours(
    name: str, config: dict[str, str], problem: str | None
) -> None:
    content = json.dumps({"name": name, "config": config}).encode()
    if problem is None:
        read_once("connectors apply", content)
        return
    with pytest.raises(ConfigError, match=f"it.json: {problem}") as caught:
        read_once("connectors apply", content)
    assert str(caught.value).isprintable()


@pytest.mark.fault("D9", place=PLACE)
@pytest.mark.parametrize("entry", sorted(READERS))
@pytest.mark.parametrize("path", ["/", "/nowhere/it.json", "a\x00b", "x" * 5000])
def test_d9_a_path_that_names_no_file_is_refused(entry: str, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        READERS[entry][0](Path(path))
    assert "\x00" not in str(caught.value)


@pytest.mark.fault("D9", place="connectors/polled/main.py")
def test_d9_a_sink_file_given_to_poll_is_refused_with_the_way_out() -> None:
    for path in SINKS:
        with pytest.raises(ConfigError) as caught:
            load_source(path, {})
        assert "psastream dispatch" in caught.value.hint
    for path in SOURCES:
        with pytest.raises(ConfigError) as caught:
            load_sink(path, {})
        assert "psastream poll" in caught.value.hint


@pytest.mark.fault("D9", place="runtime/settings.py")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOOTSTRAP_SERVERS", ""), ("REGISTRY_URL", "not a url"), ("REGISTRY_URL", ""),
        ("CONNECT_URL", "ftp://x"), ("METRICS_PORT", "x"), ("METRICS_PORT", "99999"),
        ("REPLICATION_FACTOR", "none"), ("LOG_LEVEL", "LOUD"), ("UNKNOWN", "1"),
    ],
)  # fmt: skip
def test_d9_a_wrong_variable_is_named(name: str, value: str) -> None:
    environment = {
        "PSASTREAM_BOOTSTRAP_SERVERS": "b:9092",
        "PSASTREAM_REGISTRY_URL": "http://r:8081",
        f"PSASTREAM_{name}": value,
    }
    with pytest.raises(ConfigError, match=f"PSASTREAM_{name}"):
        Settings.from_env(environment).kafka.client()


@pytest.mark.fault("D9", place="runtime/kafka.py")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SASL_USRNAME", "x"), ("", "x"), ("SECURITY_PROTOCOL", "TLS"), ("FETCH_MIN_BYTES", "x"),
        ("SOCKET_TIMEOUT_MS", "9" * 20), ("PLUGIN_LIBRARY_PATHS", "/nowhere"), ("OPAQUE", "1"),
        ("TOPIC_BLACKLIST", "["), ("SSL_KEY_PEM", "hunter2hunter2"), ("SSL_CA_LOCATION", "a\x00b"),
        ("SASL_PASSWORD", "caf\udce9"), ("SASL_\udcff", "x"), ("CLIENT_ID", "\ud800"),
        ("BOOTSTRAP_SERVERS", "other:9092"), ("GROUP_ID", ""), ("ISOLATION_LEVEL", "x"),
    ],
)  # fmt: skip
def test_d9_a_kafka_option_that_is_none_is_named(name: str, value: str) -> None:
    shown = f"PSASTREAM_KAFKA_{name}".encode("ascii", "backslashreplace").decode()
    with pytest.raises(ConfigError) as caught:
        Settings.from_env(KAFKA_OF_ONE | {"PSASTREAM_KAFKA_SECURITY_PROTOCOL": "SSL"} | {
            f"PSASTREAM_KAFKA_{name}": value
        })  # fmt: skip
    assert f"{shown}:" in caught.value.detail
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.fault("D9", place="runtime/kafka.py")
def test_d9_kafka_options_that_do_not_fit_each_other_are_refused() -> None:
    options = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "PLAIN"}
    variables = {f"PSASTREAM_KAFKA_{name}": value for name, value in options.items()}
    with pytest.raises(ConfigError, match=r"sasl\.username and sasl\.password must be set"):
        Settings.from_env(KAFKA_OF_ONE | variables)
    complete = {"PSASTREAM_KAFKA_SASL_USERNAME": "u", "PSASTREAM_KAFKA_SASL_PASSWORD": "p"}
    settings = Settings.from_env(KAFKA_OF_ONE | variables | complete)
    assert settings.kafka.client()["sasl.username"] == "u"


@pytest.mark.fault("D9", place="runtime/settings.py")
def test_d9_a_name_that_no_terminal_should_be_given_is_shown_spelled_out() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_env(KAFKA_OF_ONE | {"PSASTREAM_X\t\x1b[2J": "1"})
    assert r"PSASTREAM_X\t\x1b[2J: " in caught.value.detail


@pytest.mark.fault("D9", place="runtime/settings.py")
@pytest.mark.parametrize("value", ["b:9092\x00", "caf\udce9:9092"])
def test_d9_a_variable_that_is_no_text_is_named(value: str) -> None:
    with pytest.raises(ConfigError, match="PSASTREAM_BOOTSTRAP_SERVERS: not a text"):
        Settings.from_env(KAFKA_OF_ONE | {"PSASTREAM_BOOTSTRAP_SERVERS": value})


def failing(files: Files, environment: dict[str, str]) -> list[str]:
    """What `psastream up` refuses to start for."""
    read = read_configuration(files, environment, needs_addresses=False)
    return [each.detail for each in read.findings if each.verdict is Verdict.FAIL]


@pytest.mark.fault("D9", place="psastream/check/files.py")
def test_d9_up_names_every_problem_before_anything_starts() -> None:
    files = Files(SOURCES[:1], SINKS[1:], [Path("/nowhere.json")])
    told = "\n".join(failing(files, {"PSASTREAM_METRICS_PORT": "x"}))
    for named in ("FLOAT_TOKEN", "netsuite", "/nowhere.json", "PSASTREAM_METRICS_PORT"):
        assert named in told


@pytest.mark.fault("D9", place="psastream/check/files.py")
def test_d9_up_names_the_variables_of_a_database_that_its_own_connect_would_lack() -> None:
    file = Path("connectors/vendors/inhouse/connector.json")
    files = Files(databases=[file])
    values = {f"INHOUSE_PSA_{name}": "x" for name in ("HOST", "PORT", "USER", "DATABASE")}
    (told,) = failing(files, values)
    assert "connector.json: INHOUSE_PSA_PASSWORD not set" in told
    assert failing(files, {**values, "INHOUSE_PSA_PASSWORD": ""}) == []
    assert failing(files, {"PSASTREAM_CONNECT_URL": "http://connect:8083"}) == []


@pytest.mark.fault("D9", place="psastream/check/files.py")
def test_d9_up_refuses_files_of_systems_that_the_landscape_does_not_name(tmp_path: Path) -> None:
    """Their topics would have no contracts and no readers, and their sinks no commands."""
    folder = tmp_path / "staffing"
    packaged = Path("connectors/vendors/float")
    shutil.copytree(packaged / "avro", folder / "avro")
    text = (packaged / "mapping.yaml").read_text().replace("system: float", "system: staffing")
    (folder / "mapping.yaml").write_text(
        text.replace("capture: polled", "capture: polled\nvendor: float")
    )
    landscape = tmp_path / "landscape.yaml"
    landscape.write_text(
        "systems: {salesforce: {role: crm}, netsuite: {role: erp}, staffing: {role: resource}}"
    )
    environment = {"FLOAT_URL": "https://float.example", "FLOAT_TOKEN": "token"}
    files = Files([packaged / "source.json"], [packaged / "sink.json"])
    assert failing(files, environment) == []
    variables = {"PSASTREAM_SYSTEMS": str(folder), "PSASTREAM_LANDSCAPE": str(landscape)}
    source, sink = failing(files, {**environment, **variables})
    assert "topic.prefix: the landscape does not name float" in source
    assert "target: by the landscape no commands go to float" in sink


@pytest.mark.fault("D12", place="runtime/prometheus.py")
def test_d12_a_taken_metrics_port_is_named_with_its_remedy() -> None:

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=str(taken.getsockname()[1])) as caught:
            serve_metrics(taken.getsockname()[1])
    assert "PSASTREAM_METRICS_PORT" in caught.value.hint


@pytest.mark.fault("D9", place="connectors/dispatch/main.py")
def test_d9_two_sink_files_of_one_target_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_bytes(SINKS[0].read_bytes())
    environment = {"FLOAT_URL": "https://float.example", "FLOAT_TOKEN": "token"}

    assert list(load_sinks(SINKS[:1], environment)) == ["float"]
    with pytest.raises(ConfigError, match=r"other\.json: target is float, as in .*sink\.json"):
        load_sinks([SINKS[0], other], environment)


@pytest.mark.fault("D9", place="connectors/polled/main.py")
def test_d9_two_source_files_of_one_name_are_refused(tmp_path: Path) -> None:
    file = next(path for path in SOURCES if path.parent.name == "float")
    other = tmp_path / "other.json"
    other.write_bytes(file.read_bytes())
    environment = {"FLOAT_URL": "https://float.example", "FLOAT_TOKEN": "token"}

    assert [each.config.name for each in load_sources([file], environment)] == ["float"]
    with pytest.raises(ConfigError, match="several files name their connector float"):
        load_sources([file, other], environment)
