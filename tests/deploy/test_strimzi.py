"""Strimzi's resources are of the schemas that Strimzi's own classes make. `make verify-deploy`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from deploy.strimzi.__main__ import FOLDER, files, firm_of, packaged_files
from deploy.strimzi.resources import Cluster
from runtime.master_keys import new_line
from schemas.topics import KEYS
from tests.deploy import tools
from tests.deploy.chart import CHECKED, conforms
from tests.support.catalogue import FIRM, SYSTEMS

NAMES = sorted(path.name for path in FOLDER.glob("*.yaml"))
TYPOS = {
    "users.yaml": [
        ("operations:", "operation:"),
        ("- Read", "- Reed"),
        ("type: transactionalId", "type: transactional_id"),
        ("patternType: literal", "patternType: exact"),
    ],
    "topics.yaml": [("partitions: 4", "partitions: four"), ("replicas: 3", "copies: 3")],
    "connect.yaml": [
        ("groupId: psastream-connect", "group: psastream-connect"),
        ("tasksMax: 1", "tasksMax: 0"),
        ("kind: KafkaConnector", "kind: KafkaConector"),
    ],
}
STRIMZIS = Cluster(connector_owner="strimzi")


def made(name: str, cluster: Cluster = STRIMZIS) -> str:
    """Return a file of the packaged firm, with its connectors."""
    return files(FIRM, packaged_files(SYSTEMS), cluster)[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_resource_conforms_to_strimzis_schema(name: str) -> None:
    text = made(name)

    assert conforms(text, tools.strimzi_schemas()) == []
    assert conforms((FOLDER / name).read_text(), tools.strimzi_schemas()) == []
    CHECKED["resources of Strimzi"] += len(list(yaml.safe_load_all(text)))


def test_a_cluster_with_certificates_conforms_too() -> None:
    for name in NAMES:
        text = made(name, Cluster(name="prod", authentication="tls"))
        assert conforms(text, tools.strimzi_schemas()) == []


def test_a_registry_with_authorities_and_a_user_conforms_too() -> None:
    guarded = replace(
        STRIMZIS,
        registry_url="https://registry:8081",
        registry_ca_secret="registry-ca",
        registry_user_secret="registry-user",
    )
    text = made("connect.yaml", guarded)

    assert conforms(text, tools.strimzi_schemas()) == []
    wrong = text.replace("volumeMounts:", "volumeMount:")
    assert wrong != text
    assert conforms(wrong, tools.strimzi_schemas())


def test_users_of_a_firm_that_encrypts_may_read_its_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(new_line("2026-11"))
    encrypts = {"PSASTREAM_MASTER_KEYS_FILE": str(file)}

    def holders(environment: Mapping[str, str]) -> set[str]:
        users = yaml.safe_load_all(
            files(firm_of(environment), packaged_files(SYSTEMS), Cluster())["users.yaml"]
        )
        return {each["metadata"]["name"] for each in users if KEYS.name in str(each["spec"])}

    assert {"psastream-custodian", "psastream-worker", "psastream-read-model"} <= holders(encrypts)
    assert "psastream-custodian" not in holders({})


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [(name, right, wrong) for name, typos in TYPOS.items() for right, wrong in typos],
)
def test_a_wrong_resource_is_found(name: str, right: str, wrong: str) -> None:
    text = made(name)
    assert right in text

    assert conforms(text.replace(right, wrong, 1), tools.strimzi_schemas())
    CHECKED["wrong resources of Strimzi refused"] += 1
