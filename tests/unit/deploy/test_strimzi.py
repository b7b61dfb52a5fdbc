"""What Strimzi is given: as its code says, and no other rights than the users have."""

from __future__ import annotations

import json
import re
import shlex
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.debezium.client import (
    OWNER_KEY,
    STRIMZI,
    ConnectorFile,
    read_connector_file,
)
from deploy.strimzi.__main__ import (
    FOLDER,
    cluster_of,
    files,
    firm_of,
    owner_of,
    packaged_files,
)
from deploy.strimzi.commands import acl_script
from deploy.strimzi.release import Release, read_release
from deploy.strimzi.resources import Cluster, connect_resources, topic_resources, user_resources
from psastream.access.rights import Operation, Resource, Rule
from runtime.kafka import topic_settings
from runtime.settings import Settings
from schemas.errors import ConfigError
from tests.support.access_pages import packaged_users
from tests.support.catalogue import BY_NAME, CATALOGUE, FIRM, SYSTEMS
from tests.support.databases import SIGN_IN, page_files

USERS = packaged_users()
STRIMZIS = Cluster(connector_owner=STRIMZI)
WORDS = {
    "--topic": Resource.TOPIC,
    "--group": Resource.GROUP,
    "--transactional-id": Resource.TRANSACTIONAL_ID,
}


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def test_the_files_are_what_the_code_makes() -> None:
    written = {path.name: path.read_text() for path in FOLDER.iterdir()}

    assert written == files(FIRM, packaged_files(SYSTEMS), Cluster()), (
        "run python -m deploy.strimzi"
    )


def test_every_topic_of_the_catalogue_is_a_resource_as_topics_apply_makes_it() -> None:
    found = {
        it["spec"].get("topicName", it["metadata"]["name"]): it for it in documents("topics.yaml")
    }

    assert set(found) - set(BY_NAME) == {
        "psastream-connect-configs",
        "psastream-connect-offsets",
        "psastream-connect-status",
        "__debezium-heartbeat.src",
    }
    for topic in CATALOGUE:
        spec = found[topic.name]["spec"]
        assert spec["partitions"] == topic.partitions
        assert {key: str(value) for key, value in spec["config"].items()} == topic_settings(topic)
    for each in found.values():
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", each["metadata"]["name"])


def test_two_topics_of_one_resource_are_refused() -> None:
    topic = BY_NAME["psa.time_entry"]
    other = replace(topic, name="psa.time-entry")

    with pytest.raises(ConfigError, match="would be one resource"):
        topic_resources([topic, other], Cluster())


def test_users_of_strimzi_may_what_they_declare_and_no_more() -> None:
    found = {it["metadata"]["name"]: set(rules_of(it)) for it in documents("users.yaml")}

    assert found == {user.name: set(user.rules) for user in USERS}


def rules_of(user: Any) -> Iterator[Rule]:
    for acl in user["spec"]["authorization"]["acls"]:
        resource = acl["resource"]
        for operation in acl["operations"]:
            yield Rule(
                Resource(resource["type"]),
                resource.get("name", "kafka-cluster"),
                resource.get("patternType") == "prefix",
                Operation(operation),
            )


def test_commands_add_what_users_declare_and_no_more() -> None:
    text = (FOLDER / "acls.sh").read_text()

    found = {user.name: set(commanded(text, user.name)) for user in USERS}

    assert text == acl_script(USERS)
    assert found == {user.name: set(user.rules) for user in USERS}


def commanded(script: str, user: str) -> Iterator[Rule]:
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line)
        if words[:2] != ["acls", "--allow-principal"] or words[2] != f"${{PRINCIPAL:-User:}}{user}":
            continue
        pairs = list(pairwise(words))
        operations = [Operation(value) for option, value in pairs if option == "--operation"]
        is_prefix = ("--resource-pattern-type", "prefixed") in pairs
        named = [(WORDS[option], value) for option, value in pairs if option in WORDS]
        if "--cluster" in words:
            named.append((Resource.CLUSTER, "kafka-cluster"))
        for resource, name in named:
            yield from (Rule(resource, name, is_prefix, each) for each in operations)


def test_connect_resolves_the_variables_that_its_connectors_name_and_no_others() -> None:
    text = files(FIRM, packaged_files(SYSTEMS), STRIMZIS)["connect.yaml"]
    connect, connector = yaml.safe_load_all(text)
    env = {each["name"] for each in connect["spec"]["template"]["connectContainer"]["env"]}
    named = set(re.findall(r"\$\{env:(\w+)\}", text))

    allowed = connect["spec"]["config"]["config.providers.env.param.allowlist.pattern"]
    assert env == named == set(allowed.split("|"))
    assert connector["metadata"]["labels"]["strimzi.io/cluster"] == connect["metadata"]["name"]
    secret = connect["spec"]["authentication"]["passwordSecret"]["secretName"]
    assert secret in {user.name for user in USERS}  # which the User Operator makes


def test_a_connector_has_one_owner() -> None:
    """An operator that is told to keep connectors deletes those that have no resource."""
    (file,) = captures()

    (connect,) = connect_resources([file], Cluster())
    assert "annotations" not in connect["metadata"]

    connect, connector = connect_resources([file], STRIMZIS)
    assert connect["metadata"]["annotations"] == {"strimzi.io/use-connector-resources": "true"}
    assert connector["metadata"]["name"] == file.name
    spec = connector["spec"]
    config = {
        **{"connector.class": spec["class"], "tasks.max": spec["tasksMax"]},
        **spec["config"],
    }
    assert config.pop(OWNER_KEY) == STRIMZI
    assert {name: str(value) for name, value in config.items()} == file.config


@pytest.mark.parametrize("name", ["Inhouse", "inhouse_psa"])
def test_a_connector_that_strimzi_would_call_otherwise_is_refused(name: str) -> None:
    connector = ConnectorFile(name, {"connector.class": "x"})

    with pytest.raises(ConfigError, match=f"{name} cannot be a KafkaConnector"):
        connect_resources([connector], STRIMZIS)
    assert connect_resources([connector], Cluster())


def test_who_keeps_connectors_is_what_processes_are_told() -> None:
    assert owner_of({}) == Settings.model_fields["connector_owner"].default == "psastream"
    assert owner_of({"PSASTREAM_CONNECTOR_OWNER": "strimzi"}) == "strimzi"
    with pytest.raises(ConfigError, match="PSASTREAM_CONNECTOR_OWNER"):
        owner_of({"PSASTREAM_CONNECTOR_OWNER": "chart"})


RELEASE = """
kind: ConfigMap
metadata: {name: firm-landscape}
data: {landscape.yaml: "systems: {}"}
---
kind: Pod
metadata: {labels: {app.kubernetes.io/component: check}}
spec:
  containers:
    - args: [check, --source=/etc/psastream/connectors/float/source.json]
      env:
        - {name: PSASTREAM_LANDSCAPE, value: /etc/psastream/landscape/landscape.yaml}
        - {name: PSASTREAM_MASTER_KEYS_FILE, value: /etc/psastream/encryption/keys}
  volumes:
    - projected:
        sources:
          - configMap:
              name: firm-landscape
              items: [{key: landscape.yaml, path: landscape/landscape.yaml}]
"""


def test_the_firm_of_a_release_goes_before_the_environment_but_for_secrets(tmp_path: Path) -> None:
    release = read_release(RELEASE, tmp_path)

    assert release.files == (tmp_path / "connectors/float/source.json",)
    found = release.over({"PSASTREAM_LANDSCAPE": "other.yaml", "HOME": "/root"})
    assert Path(found["PSASTREAM_LANDSCAPE"]).read_text() == "systems: {}"
    assert found["HOME"] == "/root"
    with pytest.raises(ConfigError, match="/etc/psastream/encryption/keys"):
        firm_of(found)
    file = {"PSASTREAM_MASTER_KEYS_FILE": "keys"}
    assert release.over(file)["PSASTREAM_MASTER_KEYS_FILE"] == "keys"


@pytest.mark.parametrize(
    "text", ["", "kind: ConfigMap", "kind: [", "text", f"{RELEASE}---{RELEASE}"]
)
def test_what_is_no_release_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not those of one release"):
        read_release(text, tmp_path)


def test_a_cluster_with_certificates_gets_them_everywhere() -> None:
    texts = files(FIRM, packaged_files(SYSTEMS), Cluster(authentication="tls"))

    assert all(
        it["spec"]["authentication"] == {"type": "tls"}
        for it in yaml.safe_load_all(texts["users.yaml"])
    )
    connect = next(yaml.safe_load_all(texts["connect.yaml"]))
    assert connect["spec"]["authentication"]["certificateAndKey"]["key"] == "user.key"


def captures() -> list[ConnectorFile]:
    return [
        read_connector_file(path)
        for path in packaged_files(SYSTEMS)
        if path.name == "connector.json"
    ]


GUARDED = Cluster(
    registry_url="https://registry:8081",
    registry_ca_secret="registry-ca",
    registry_user_secret="registry-user",
    connector_owner=STRIMZI,
)


def test_what_reaches_the_registry_comes_of_secrets_that_connect_may_resolve() -> None:
    connect, _ = connect_resources(captures(), GUARDED)

    template = connect["spec"]["template"]
    secrets = {
        each["name"]: each["valueFrom"]["secretKeyRef"]
        for each in template["connectContainer"]["env"]
        if "valueFrom" in each and each["name"].startswith("PSASTREAM_")
    }
    assert secrets == {
        "PSASTREAM_REGISTRY_PASSWORD": {"name": "registry-user", "key": "password"},
        "PSASTREAM_REGISTRY_TRUSTSTORE_PASSWORD": {"name": "registry-ca", "key": "ca.password"},
        "PSASTREAM_REGISTRY_USERNAME": {"name": "registry-user", "key": "username"},
    }
    allowed = connect["spec"]["config"]["config.providers.env.param.allowlist.pattern"]
    assert set(secrets) <= set(allowed.split("|"))
    (volume,) = template["pod"]["volumes"]
    (mount,) = template["connectContainer"]["volumeMounts"]
    assert (mount["name"], volume["secret"]["secretName"]) == (volume["name"], "registry-ca")


def test_a_history_of_schemas_reaches_the_brokers_as_the_user_of_connect() -> None:
    """Its clients are the connector's own: neither address nor sign-in come of the worker."""
    files = {name: json.loads(text) for name, text in page_files().items()}
    shown = files["mysql.json"]
    inherited = {key for key in shown["config"] if key.startswith(("key.conv", "value.conv"))}
    config = {key: value for key, value in shown["config"].items() if key not in inherited}
    connector = ConnectorFile(shown["name"], config | files[SIGN_IN])
    connect, *_ = connect_resources([connector], STRIMZIS)

    env = {each["name"]: each for each in connect["spec"]["template"]["connectContainer"]["env"]}
    assert env["PSASTREAM_BOOTSTRAP_SERVERS"]["value"] == STRIMZIS.bootstrap_servers
    signs_in = connect["spec"]["authentication"]["passwordSecret"]
    assert env["PSASTREAM_CONNECT_PASSWORD"]["valueFrom"]["secretKeyRef"] == {
        "name": signs_in["secretName"],
        "key": signs_in["password"],
    }
    user = connect["spec"]["authentication"]["username"]
    for client in ("producer", "consumer"):
        told = config | files[SIGN_IN]
        assert f'username="{user}"' in told[f"schema.history.internal.{client}.sasl.jaas.config"]


def test_a_registry_that_is_not_ours_is_given_no_password() -> None:
    url = "value.converter.schema.registry.url"
    sink = ConnectorFile("sink", {"connector.class": "x", url: "https://elsewhere.example"})

    _, connector = connect_resources([sink], GUARDED)

    assert {name for name in connector["spec"]["config"] if "converter" in name} == {url}


def test_a_connector_that_we_write_must_name_what_it_inherits_from_nobody() -> None:
    ours = replace(GUARDED, connector_owner="psastream")

    with pytest.raises(ConfigError, match=r"it lacks key\.converter\.basic\.auth"):
        connect_resources(captures(), ours)
    _, connector = connect_resources(captures(), GUARDED)
    whole = {name: str(value) for name, value in connector["spec"]["config"].items()}
    assert len(connect_resources([ConnectorFile("whole", whole)], ours)) == 1
    (connect,) = connect_resources([ConnectorFile("whole", whole)], Cluster())
    variables = connect["spec"]["template"]["connectContainer"]["env"]
    assert all(
        each["valueFrom"]["secretKeyRef"]["name"] for each in variables if "value" not in each
    )


@pytest.mark.parametrize(
    ("variable", "option"),
    [
        ("PSASTREAM_REGISTRY_SSL_CA_LOCATION", "registry_ca_secret"),
        ("PSASTREAM_REGISTRY_USERNAME", "registry_user_secret"),
    ],
)
def test_what_a_release_shows_the_registry_connect_must_show_too(
    variable: str, option: str
) -> None:
    said = {variable: "x", "PSASTREAM_REGISTRY_URL": "https://registry:8081"}
    release = Release(said, ())
    options = dict.fromkeys(("registry_url", "registry_ca_secret", "registry_user_secret"))

    with pytest.raises(ConfigError, match=variable):
        cluster_of(Namespace(**options), release, STRIMZI)
    given = cluster_of(Namespace(**options | {option: "s"}), release, STRIMZI)
    assert getattr(given, option) == "s" and given.registry_url == "https://registry:8081"
    other = cluster_of(Namespace(**options | {"registry_url": "http://r"}), release, STRIMZI)
    assert other.registry_url == "http://r"


def test_authorities_for_a_registry_without_tls_are_refused() -> None:
    with pytest.raises(ConfigError, match="asked without TLS"):
        Cluster(registry_url="http://registry:8081", registry_ca_secret="registry-ca")


def test_a_firm_without_a_database_needs_no_connect() -> None:
    texts = files(FIRM, packaged_files(["float"]), Cluster())

    assert "connect.yaml" not in texts
    assert "psastream-connect" not in texts["users.yaml"] + texts["topics.yaml"]


def test_no_prefix_stands_in_a_users_resource_but_a_workers() -> None:
    users = user_resources(USERS, Cluster())

    prefixed = [
        acl["resource"]["name"]
        for user in users
        for acl in user["spec"]["authorization"]["acls"]
        if acl["resource"].get("patternType") == "prefix"
    ]
    assert prefixed == ["psastream-worker-"]


def test_the_folder_is_the_one_the_page_names() -> None:
    assert Path("deploy/strimzi/packaged").resolve() == FOLDER
