"""The compose files: complete services, no secret inside, and names that the code knows."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.settings import PREFIX, Settings

REPOSITORY = Path(__file__).resolve().parents[3]
COMPOSE = REPOSITORY / "docker-compose.yml"
READ_MODEL = REPOSITORY / "deploy" / "compose" / "read-model.yml"
LAKE = REPOSITORY / "deploy" / "compose" / "lake.yml"
SANDBOX = REPOSITORY / "deploy" / "compose" / "sandbox.yml"
WITH_SECRETS = REPOSITORY / "deploy" / "image" / "with-secrets"
CONNECT_WORKER = REPOSITORY / "deploy" / "image" / "connect-worker"
DEPLOY_STEPS = {"topics", "schemas", "connectors", "credentials", "lake", "lake-place"}
OF_THE_FIRM = ["connectors", "measures", "readmodel", "schemas", "topics"]
"""Services whose work follows from measures of the firm's own."""
SECRET_WORDS = re.compile(r"password|secret|token|private_key|client_id", re.IGNORECASE)


class ComposeLoader(yaml.SafeLoader):
    """YAML with Compose's own tag for taking back a value of an earlier file."""


ComposeLoader.add_constructor("!reset", lambda _loader, _node: None)


def load(path: Path) -> dict[str, Any]:
    document = yaml.load(path.read_text(), ComposeLoader)
    assert isinstance(document, dict)
    return document


def services(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load(path)["services"]
    return found


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """Fill in variables as Compose does."""

    def value(found: re.Match[str]) -> str:
        name, operator, word = found.groups()
        given = variables.get(name, "")
        return given and word if operator == ":+" else given or word

    return re.sub(r"(?<!\$)\$\{(\w+)(:[-+?])([^}]*)\}", value, text)


def all_services() -> dict[str, dict[str, Any]]:
    """Services of all files; what one only changes is left out."""
    found = services(COMPOSE)
    for path in (READ_MODEL, LAKE, SANDBOX):
        found |= {name: it for name, it in services(path).items() if "image" in it}
    return found


@pytest.mark.parametrize("name", sorted(all_services()))
def test_a_service_is_complete(name: str) -> None:
    service = all_services()[name]

    assert re.fullmatch(r"[^:]+:[\w.-]+", service["image"])
    assert not service["image"].endswith(":latest")
    if name in DEPLOY_STEPS:
        assert service["restart"] == "on-failure"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"]
    for dependency, how in service.get("depends_on", {}).items():
        ends = "service_completed_successfully"
        assert how["condition"] == (ends if dependency in DEPLOY_STEPS else "service_healthy")


@pytest.mark.parametrize(
    "path", [COMPOSE, READ_MODEL, LAKE, SANDBOX], ids=["base", "read-model", "lake", "sandbox"]
)
def test_no_secret_is_inline(path: Path) -> None:
    for name, service in services(path).items():
        for variable, value in service.get("environment", {}).items():
            if SECRET_WORDS.search(variable):
                assert variable.endswith(("_FILE", "_DIR")), (
                    f"{name}: {variable} belongs into a file"
                )
                assert str(value).startswith(("/run/secrets/", "/credentials"))
        assert not re.search(r"://[^/\s]*:[^/\s]*@", json.dumps(service)), name


def test_secrets_are_files_that_git_ignores() -> None:
    document = load(COMPOSE)
    used = {
        name for service in document["services"].values() for name in service.get("secrets", ())
    }
    folder = REPOSITORY / "deploy" / "compose" / "secrets"

    assert used == set(document["secrets"])
    for name, secret in document["secrets"].items():
        assert secret == {"file": f"deploy/compose/secrets/{name}"}
    assert (folder / ".gitignore").read_text().split() == ["*", "!.gitignore"]


def test_the_example_environment_holds_no_secret() -> None:
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    variables = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]

    assert variables
    assert [name for name in variables if SECRET_WORDS.search(name)] == []


def test_every_example_variable_is_used_and_every_used_one_is_in_the_example() -> None:
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    offered = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    used = set(re.findall(r"\$\{(\w+):-", COMPOSE.read_text()))

    assert used == offered


@pytest.mark.parametrize("name", sorted(all_services()))
def test_settings_are_ones_the_code_reads(name: str) -> None:
    environment = all_services()[name].get("environment", {})
    ours = {
        key: interpolated(str(value), {})
        for key, value in environment.items()
        if key.startswith(PREFIX)
    }
    if ours.keys() <= {"PSASTREAM_REGISTRY_URL"}:  # Connect only passes it on to its converters
        return

    settings = Settings.from_env(ours)

    assert settings.bootstrap_servers.endswith(":9092")


def test_connectors_find_every_variable_they_name() -> None:
    placeholder = re.compile(r"\$\{env:(\w+)\}")
    base = services(COMPOSE)
    for name in ("poller", "dispatcher", "connect", "connectors", "connect-watcher"):
        service = base["connect" if name == "connectors" else name]
        given = {*service["environment"], *service["secrets"]}
        for argument in base[name].get("command", ()):
            if argument.endswith(".json"):
                path = REPOSITORY / argument.rpartition("=")[2].lstrip("/")
                assert set(placeholder.findall(path.read_text())) <= given, path


def test_ports_agree_with_health_checks_and_scrapes() -> None:
    config = yaml.safe_load((REPOSITORY / "deploy/prometheus/prometheus.yml").read_text())
    scraped = {
        discovery["names"][0]: discovery["port"]
        for job in config["scrape_configs"]
        for discovery in job["dns_sd_configs"]
    }
    base = all_services()
    served = {
        name: int(service["environment"]["PSASTREAM_METRICS_PORT"])
        for name, service in base.items()
        if "PSASTREAM_METRICS_PORT" in service.get("environment", {})
    }

    assert scraped == served
    assert len(set(served.values())) == len(served), "two share a network namespace in the sandbox"
    for name, port in served.items():
        test = str(base[name]["healthcheck"]["test"])
        assert any(
            f"localhost:{port}/{path}'" in test for path in ("metrics", "readyz", "livez")
        ), test


def test_ports_of_the_host_are_bound_to_loopback() -> None:
    ports = [port for service in all_services().values() for port in service.get("ports", ())]

    assert ports
    assert all(str(port).startswith("127.0.0.1:") for port in ports)


def test_files_that_are_mounted_or_built_from_exist() -> None:
    for name, service in all_services().items():
        for volume in (interpolated(each, {}) for each in service.get("volumes", ())):
            if volume.startswith("./"):
                assert (REPOSITORY / volume.partition(":")[0]).exists(), f"{name}: {volume}"
        if "build" in service:
            dockerfile = (REPOSITORY / service["build"]["dockerfile"]).read_text()
            assert f" AS {service['build']['target']}\n" in dockerfile
            for source in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+) \S+$", dockerfile, re.M):
                for path in source.split():
                    assert (REPOSITORY / path).exists(), path


def test_the_build_context_is_given_every_package() -> None:
    allowed = (REPOSITORY / "deploy/image/Dockerfile.dockerignore").read_text().splitlines()
    dockerfile = (REPOSITORY / "deploy/image/Dockerfile").read_text()
    copied = re.findall(r"^COPY (\w+)/ \w+/$", dockerfile, re.M)

    assert {"schemas", "tables", "streams", "connectors", "runtime", "psastream"} <= set(copied)
    assert {f"!{name}" for name in copied} <= set(allowed)


@pytest.mark.parametrize("name", OF_THE_FIRM)
def test_measures_of_the_firm_are_known_where_something_follows_from_them(name: str) -> None:
    service = all_services()[name]
    folder = {"MEASURES_DIR": "./firm"}

    def settings(variables: Mapping[str, str]) -> Settings:
        environment = service["environment"].items()
        return Settings.from_env({key: interpolated(str(it), variables) for key, it in environment})

    assert settings({}).measures == ()
    assert settings(folder).measures == (Path("/measures"),)
    assert "./firm:/measures:ro" in [interpolated(it, folder) for it in service["volumes"]]


def test_measures_are_computed_and_asked_how_they_are_where_the_firm_has_some() -> None:
    measures = services(COMPOSE)["measures"]
    assert measures["command"] == ["worker", "--measures"]
    assert measures["profiles"] == ["measures"]
    port = measures["environment"]["PSASTREAM_METRICS_PORT"]
    for path in (COMPOSE, READ_MODEL):
        told = services(path)["connectors"]["environment"]["PSASTREAM_PROCESSES"]
        assert "measures" not in interpolated(told, {})
        named = interpolated(told, {"MEASURES_DIR": "./firm"})
        assert f",measures=http://measures:{port}" in named


def test_connect_has_the_plugin_and_the_variables_of_a_lake() -> None:
    connector = (REPOSITORY / "deploy" / "lake" / "connector.json").read_text()
    lake = services(LAKE)["connect"]
    base = services(COMPOSE)["connect"]["environment"]
    allowed = "CONNECT_CONFIG_PROVIDERS_ENV_PARAM_ALLOWLIST_PATTERN"
    named = set(re.findall(r"\$\{env:(\w+)\}", connector))
    given = {*base, *lake["environment"], *lake["secrets"]}

    assert named <= given
    assert set(lake["environment"][allowed].split("|")) == named | set(base[allowed].split("|"))
    assert services(LAKE)["lake"]["command"][-1] == "/lake/connector.json"
    watched = {*services(COMPOSE)["connect-watcher"]["command"], "--config=/lake/connector.json"}
    assert set(services(LAKE)["connect-watcher"]["command"]) == watched
    dockerfile = (REPOSITORY / "deploy" / "image" / "Dockerfile").read_text()
    [module] = re.findall(r"python -m (sandbox\.\S+) /linked", dockerfile)
    assert find_spec(module) is not None
    [folder] = set(re.findall(r"COPY --from=plugins /plugins (\S+)", dockerfile))
    assert f"CONNECT_PLUGIN_PATH:={folder}" in CONNECT_WORKER.read_text()


@pytest.mark.parametrize("groups", ["", "connect-lake-coord\npsastream-worker\n"])
def test_the_coordinator_of_a_lake_gets_a_place_once(tmp_path: Path, groups: str) -> None:
    for name in ("kafka-topics.sh", "kafka-consumer-groups.sh"):
        program = tmp_path / name
        program.write_text(
            f'#!/bin/sh\necho {name} "$@" >> "{tmp_path}/calls"\n'
            f'case "$*" in *--list) printf "{groups}" ;; esac\n'
        )
        program.chmod(0o755)
    script = [part.replace("$$", "$") for part in services(LAKE)["lake-place"]["command"]]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    subprocess.run(script, env=environment, check=True)

    made, _, *placed = (tmp_path / "calls").read_text().splitlines()
    assert "--create --if-not-exists --topic psastream-lake-control --partitions 1" in made
    assert bool(placed) is not bool(groups)
    assert all("--reset-offsets --to-earliest --execute" in call for call in placed)


def test_secret_files_named_like_variables_become_variables(tmp_path: Path) -> None:
    (tmp_path / "FLOAT_TOKEN").write_text("a b'c")
    (tmp_path / "PSASTREAM_CONNECT_URL").write_text("http://connect:8083")
    (tmp_path / "netsuite_private_key").write_text("not a variable")
    command = ["sh", str(WITH_SECRETS), "env", "-0"]
    environment = {"PATH": os.environ["PATH"], "SECRETS_DIR": str(tmp_path)}

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    variables = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    assert variables["FLOAT_TOKEN"] == "a b'c"
    assert variables["FLOAT_TOKEN_FILE"] == str(tmp_path / "FLOAT_TOKEN")
    assert variables["PSASTREAM_CONNECT_URL"] == "http://connect:8083"
    assert "PSASTREAM_CONNECT_URL_FILE" not in variables
    assert "netsuite_private_key" not in variables


def test_the_exit_code_of_the_command_is_kept(tmp_path: Path) -> None:
    command = ["sh", str(WITH_SECRETS), "sh", "-c", "exit 7"]

    done = subprocess.run(command, env={"PATH": os.environ["PATH"]}, check=False)

    assert done.returncode == 7


def test_sandbox_credentials_are_made_once(tmp_path: Path) -> None:
    script = REPOSITORY / "deploy" / "compose" / "sandbox_credentials.py"
    namespace: dict[str, Any] = {"__name__": "sandbox_credentials"}
    exec(compile(script.read_text(), str(script), "exec"), namespace)

    namespace["write_all"](tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    namespace["write_all"](tmp_path)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    assert {"FLOAT_TOKEN", "NETSUITE_URL", "INHOUSE_PSA_PASSWORD"} <= first.keys()
    assert Path(first["NETSUITE_PRIVATE_KEY_FILE"].decode()).is_file()


@pytest.mark.fault("D6", place="docker-compose.yml")
def test_d6_connect_resolves_only_what_connector_files_name_and_asks_who_is_there() -> None:
    environment = services(COMPOSE)["connect"]["environment"]
    named = set()
    for path in (REPOSITORY / "connectors" / "vendors").glob("*/connector.json"):
        named |= set(re.findall(r"\$\{env:(\w+)\}", path.read_text()))
    allowed = environment["CONNECT_CONFIG_PROVIDERS_ENV_PARAM_ALLOWLIST_PATTERN"].split("|")

    assert set(allowed) == named
    assert environment["CONNECT_CONNECTOR_CLIENT_CONFIG_OVERRIDE_POLICY"] == "None"
    assert environment["CONNECT_CONSUMER_ISOLATION_LEVEL"] == "read_committed"
    assert "BasicAuthSecurityRestExtension" in environment["CONNECT_REST_EXTENSION_CLASSES"]
    assert "connect_users" in services(COMPOSE)["connect"]["secrets"]
