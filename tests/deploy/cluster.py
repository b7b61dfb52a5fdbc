"""A real API server of Kubernetes on loopback, with etcd and nothing else.

It validates, admits and stores as it does anywhere; no controller and no node stands behind it. So
`Kubelet` ends, well, the jobs and pods that helm waits for, in the order in which they appear.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.stack.ports import HOST, PortBook
from tests.deploy import tools
from tests.deploy.chart import Said, run
from tests.support.eventually import eventually

TOKEN: Final = "administrator"
START_S: Final = 180


@dataclass
class Cluster:
    """An API server that answers."""

    port: int
    kubeconfig: Path

    def kubectl(self, *words: str | Path, stdin: str = "") -> Said:
        """Run kubectl."""
        command = [tools.kubectl(), "--kubeconfig", self.kubeconfig, *words]
        return run(command, stdin, timeout_s=300)

    def helm(self, *words: str | Path) -> Said:
        """Run helm."""
        return run([tools.helm(), "--kubeconfig", self.kubeconfig, *words], timeout_s=300)

    def ask(self, path: str, patch: Mapping[str, Any] | None = None) -> Any:
        """Return what the server answers to a question, or to a merge patch."""
        request = urllib.request.Request(
            f"https://{HOST}:{self.port}{path}",
            data=None if patch is None else json.dumps(patch).encode(),
            headers={
                "Authorization": f"Bearer {TOKEN}",
                "Content-Type": "application/merge-patch+json",
            },
            method="GET" if patch is None else "PATCH",
        )
        with urllib.request.urlopen(request, context=_unverified(), timeout=30) as answer:
            text = answer.read().decode()
        return json.loads(text) if text.startswith("{") else text


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Start etcd and the API server; end both."""
    etcd, server = tools.etcd(), tools.api_server()
    book = PortBook(folder / "ports.json")
    client, peer, secure = (book.port(name) for name in ("etcd", "peer", "api"))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "sa.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    (folder / "tokens.csv").write_text(f'{TOKEN},admin,1,"system:masters"\n')
    commands = [
        [
            str(etcd),
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls=http://{HOST}:{client}",
            f"--advertise-client-urls=http://{HOST}:{client}",
            f"--listen-peer-urls=http://{HOST}:{peer}",
            f"--initial-advertise-peer-urls=http://{HOST}:{peer}",
            f"--initial-cluster=default=http://{HOST}:{peer}",
            "--unsafe-no-fsync",
        ],
        [
            str(server),
            f"--etcd-servers=http://{HOST}:{client}",
            f"--bind-address={HOST}",
            f"--advertise-address={HOST}",
            f"--secure-port={secure}",
            f"--cert-dir={folder / 'certificates'}",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={folder / 'sa.key'}",
            f"--service-account-key-file={folder / 'sa.key'}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
        ],
    ]
    processes = []
    try:
        for command in commands:
            log = (folder / f"{Path(command[0]).name}.log").open("wb")
            processes.append(
                subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            )
        cluster = Cluster(secure, _kubeconfig(folder, secure))

        def answers() -> bool:
            assert all(each.poll() is None for each in processes), f"see the logs in {folder}"
            try:
                return bool(cluster.ask("/readyz") == "ok")
            except (OSError, urllib.error.URLError):
                return False

        eventually(answers, deadline_s=START_S)
        yield cluster
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(30)


def _kubeconfig(folder: Path, port: int) -> Path:
    path = folder / "kubeconfig"
    server = {"server": f"https://{HOST}:{port}", "insecure-skip-tls-verify": True}
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "test", "cluster": server}],
                "users": [{"name": "admin", "user": {"token": TOKEN}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
                "current-context": "test",
            }
        )
    )
    path.chmod(0o600)
    return path


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass
class Kubelet:
    """Ends jobs and pods of a namespace as if their processes had done their work."""

    cluster: Cluster
    namespace: str
    ended: list[str] = field(default_factory=list)
    """Their names, in the order in which they were there."""

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Work in the background."""
        stop = threading.Event()
        thread = threading.Thread(target=self._work, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(60)

    def _work(self, stop: threading.Event) -> None:
        while not stop.wait(0.2):
            for group, kind in (("apis/batch/v1", "jobs"), ("api/v1", "pods")):
                base = f"/{group}/namespaces/{self.namespace}/{kind}"
                try:
                    found = self.cluster.ask(base)["items"]
                except urllib.error.URLError:
                    continue
                for each in found:
                    self._end(f"{base}/{each['metadata']['name']}/status", kind, each)

    def _end(self, path: str, kind: str, what: Mapping[str, Any]) -> None:
        status = what.get("status", {})
        if status.get("succeeded") or status.get("phase") == "Succeeded":
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        done: dict[str, Any] = {"phase": "Succeeded"}
        if kind == "jobs":
            done = {
                "succeeded": 1,
                "startTime": now,
                "completionTime": now,
                "conditions": [
                    {"type": each, "status": "True", "lastTransitionTime": now}
                    for each in ("SuccessCriteriaMet", "Complete")
                ],
            }
        try:
            self.cluster.ask(path, {"status": done})
        except urllib.error.HTTPError as error:
            if error.code != 404:  # helm takes away what has ended
                raise AssertionError(error.read().decode()) from error
            return
        self.ended.append(str(what["metadata"]["name"]))


def environment(cluster: Cluster) -> dict[str, str]:
    """Return the variables of a shell that has helm, kubectl and the cluster."""
    folders = [str(tools.helm().parent), str(tools.kubectl().parent)]
    return {
        "PATH": os.pathsep.join([*folders, "/usr/bin", "/bin"]),
        "KUBECONFIG": str(cluster.kubeconfig),
    }
