"""The chart on a real API server: `make verify-cluster`. Builds it once (ten minutes and more)."""

import json
import os
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import tools
from tests.deploy.chart import (
    CHART,
    CHECKED,
    KAFKA_USERS,
    REPOSITORY,
    VALUES,
    manifests,
    parts,
    rendered,
)
from tests.deploy.cluster import Cluster, Kubelet, environment, running_cluster
from tests.support.blocks import Shell, needing, write_files

NAMESPACE = "psastream"
STEPS = ["topics", "schemas", "read-model"]
"""Of the values with three brokers, whose connectors Strimzi keeps."""
JUDGED = "judged"
"""Namespace of what is only asked about."""


def asked_for(kind: str, name: str, **metadata: Any) -> dict[str, Any]:
    """Return an object that has nothing but a name."""
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **metadata}}


def restricted(name: str) -> dict[str, Any]:
    """Return a namespace that admits nothing but restricted pods."""
    modes = ("enforce", "warn", "audit")
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes}
    return asked_for("Namespace", name, labels=labels)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An API server that knows the operators' kinds and has a restricted namespace."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as it:
        files = [word for path in sorted(tools.crds().glob("*.yaml")) for word in ("-f", path)]
        made = it.kubectl("apply", "--server-side", *files)
        assert made.code == 0, made.errors
        CHECKED["definitions of operators' kinds installed"] += made.text.count(
            "serverside-applied"
        )
        waited = it.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        assert waited.code == 0, waited.errors
        wanted = [
            restricted(NAMESPACE),
            restricted(JUDGED),
            asked_for("ServiceAccount", "psastream", namespace=JUDGED),
            asked_for("ServiceAccount", "default", namespace=JUDGED),
        ]
        for each in wanted:
            made = it.kubectl("create", "-f", "-", stdin=json.dumps(each))
            assert made.code == 0, made.errors
        yield it


@pytest.mark.parametrize("name", VALUES)
def test_the_server_takes_every_manifest_without_a_warning(cluster: Cluster, name: str) -> None:
    words = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")

    text = rendered(name)
    said = cluster.kubectl(*words, "--namespace", JUDGED, stdin=text)

    assert said.code == 0, said.errors
    assert "Warning" not in said.errors, said.errors
    CHECKED["manifests taken by the server"] += said.text.count("serverside-applied")


def pods(name: str) -> list[dict[str, Any]]:
    """Return every pod of a values file as a controller would ask for it."""
    made = []
    for number, part in enumerate(parts(manifests(name))):
        pod = deepcopy(part.pod)
        pod |= {"apiVersion": "v1", "kind": "Pod"}
        pod["metadata"] |= {"name": f"pod-{number}"}
        pod["spec"]["serviceAccountName"] = "psastream"
        if part.owner["kind"] == "StatefulSet":
            claim = {"name": "state", "persistentVolumeClaim": {"claimName": f"state-{number}"}}
            pod["spec"]["volumes"].append(claim)
        made.append(pod)
    return made


def test_pod_security_admits_every_pod_and_no_looser_one(cluster: Cluster) -> None:
    words = ("--namespace", JUDGED, "-f", "-")
    for name in VALUES:
        for pod in pods(name):
            said = cluster.kubectl("create", "--dry-run=server", *words, stdin=json.dumps(pod))
            assert said.code == 0, said.errors
            CHECKED["pods admitted as restricted"] += 1
    for key in ("runAsNonRoot", "seccompProfile"):
        looser = pods("small")[0]
        del looser["spec"]["securityContext"][key]
        said = cluster.kubectl("create", "--dry-run=server", *words, stdin=json.dumps(looser))
        assert said.code != 0
        assert "violates PodSecurity" in said.errors
    looser = pods("small")[0]
    looser["spec"]["hostNetwork"] = True
    said = cluster.kubectl("create", "--dry-run=server", *words, stdin=json.dumps(looser))
    assert "violates PodSecurity" in said.errors
    CHECKED["looser pods refused"] += 3


BROKEN = {
    "podManagementPolicy: Parallel": "podManagementPolicy: Fast",
    "whenUnsatisfiable: DoNotSchedule": "whenUnsatisfiable: Never",
    "interval: 15s": "interval: 15 seconds",
    "maxUnavailable: 1": "maxUnavailable: 1\n  minAvailable: 1",
    "path: /livez, port: metrics": "path: /livez, port: metric_s!",
    "readOnlyRootFilesystem: true": "readonlyRootFilesystem: true",
    "cidr: 0.0.0.0/0": "cidr: 0.0.0.0",
    "storage: 20Gi": "storage: plenty",
    "backoffLimit: 6": "backoffLimit: -1",
    "mountPath: /tmp}": "mountPath: /tmp}\n        - {name: tmp, mountPath: /tmp}",
    "minReplicaCount: 2": "minReplicaCount: two",
    "clusterIP: None": "clusterIP: 10.9.9.9",
}
"""What the rendered chart has, and what a server does not take."""


@pytest.mark.parametrize("right", BROKEN)
def test_the_server_refuses_what_no_schema_need_find(cluster: Cluster, right: str) -> None:
    text = rendered("three-brokers-tls")
    assert right in text
    words = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")

    said = cluster.kubectl(
        *words, "--namespace", JUDGED, stdin=text.replace(right, BROKEN[right], 1)
    )

    assert said.code != 0, said.text
    CHECKED["broken manifests refused by the server"] += 1


def stage(cluster: Cluster, release: str) -> str:
    """Return the landscape that a release's processes read."""
    said = cluster.kubectl(
        *("get", "configmap", f"{release}-landscape", "--namespace", NAMESPACE),
        *("-o", "jsonpath={.data.landscape\\.yaml}"),
    )
    assert said.code == 0, said.errors
    return said.text


def test_install_test_upgrade_rollback_and_uninstall(cluster: Cluster) -> None:
    kubelet = Kubelet(cluster, NAMESPACE)
    release = ("psastream", CHART, "--namespace", NAMESPACE)
    values = ("--values", VALUES["three-brokers-tls"], "--timeout", "120s")
    with kubelet.at_work():
        said = cluster.helm("install", *release, *values, "--wait=hookOnly")
        assert said.code == 0, said.errors
        assert kubelet.ended == [f"psastream-step-{step}" for step in STEPS]
        said = cluster.helm("test", "psastream", "--namespace", NAMESPACE, "--timeout", "120s")
        assert said.code == 0, said.errors
        assert kubelet.ended[-1] == "psastream-check"
        kubelet.ended.clear()
        changed = ("--set", "firm.handOffStage=proposal")
        said = cluster.helm("upgrade", *release, *values, *changed, "--wait=hookOnly")
        assert said.code == 0, said.errors
        assert kubelet.ended == [f"psastream-step-{step}" for step in STEPS]
        assert "proposal" in stage(cluster, "psastream")
        kubelet.ended.clear()
        rollback = ("rollback", "psastream", "1", "--namespace", NAMESPACE, "--timeout", "120s")
        said = cluster.helm(*rollback, "--wait=hookOnly")
        assert said.code == 0, said.errors
        # The read model is not made older.
        assert kubelet.ended == ["psastream-step-" + s for s in STEPS if s != "read-model"]
        assert "won" in stage(cluster, "psastream")
        said = cluster.helm("uninstall", "psastream", "--namespace", NAMESPACE)
        assert said.code == 0, said.errors
    kinds = "statefulset,deployment,job,service,configmap,networkpolicy,pdb,podmonitor,scaledobject"
    left = cluster.kubectl("get", kinds, "--namespace", NAMESPACE, "-o", "name")
    assert [each for each in left.text.split() if "kube-root-ca" not in each] == []
    CHECKED["install, test, upgrade, rollback, uninstall"] += 1


IDENTITY = {"user.crt": "a certificate", "user.key": "its key\n"}


def make_secrets_of_kafka(cluster: Cluster) -> None:
    """Make the Secrets that Strimzi's operators make, one of them of a user with a certificate."""
    texts = {f"psastream-{user}": {"password": f"of {user}"} for user in KAFKA_USERS}
    texts |= {"firm-cluster-ca-cert": {"ca.crt": "a CA"}, "psastream-measures": IDENTITY}
    wanted = [asked_for("Namespace", "kafka")]
    for name, text in texts.items():
        wanted.append(asked_for("Secret", name, namespace="kafka") | {"stringData": text})
    for each in wanted:
        made = cluster.kubectl("create", "-f", "-", stdin=json.dumps(each))
        assert made.code == 0, made.errors


def copied(cluster: Cluster, name: str) -> dict[str, str]:
    """Return what a Secret of the firm's namespace holds."""
    said = cluster.kubectl("get", "secret", name, "--namespace", "firm", "-o", "json")
    assert said.code == 0, said.errors
    return {key: b64decode(text).decode() for key, text in json.loads(said.text)["data"].items()}


def test_the_page_deploys_the_product_as_it_is_printed(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "deploy").symlink_to(REPOSITORY / "deploy")
    write_files("docs/kubernetes.md", tmp_path)
    for name in ("salesforce.pem", "netsuite.pem"):
        (tmp_path / name).write_text("a key")
    make_secrets_of_kafka(cluster)
    shell = Shell(tmp_path, environment(cluster))
    blocks = needing("cluster")
    assert blocks
    with Kubelet(cluster, "firm").at_work():
        for block in blocks:
            for command in block.commands:
                shell.run(command)
                CHECKED["commands of the page"] += 1
    # What it copied is whole, and a Secret that is gone empties no copy.
    assert copied(cluster, "psastream-measures") == IDENTITY
    assert copied(cluster, "firm-cluster-ca-cert") == {"ca.crt": "a CA"}
    cluster.kubectl("delete", "secret", "psastream-worker", "--namespace", "kafka")
    again = subprocess.run(
        ["/bin/sh", "copy-secrets.sh"],
        cwd=tmp_path,
        env={**os.environ, **environment(cluster)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode != 0 and '"psastream-worker" not found' in again.stderr
    assert copied(cluster, "psastream-worker") == {"password": "of worker"}
