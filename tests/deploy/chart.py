"""The chart as helm renders it, and what its processes would find in their containers."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from runtime.master_keys import new_line
from tests.deploy import tools

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CHART: Final = REPOSITORY / "deploy" / "helm" / "psastream"
VALUES: Final = {
    path.stem.removeprefix("values-"): path for path in sorted(CHART.glob("values-*.yaml"))
}
CHECKED: Counter[str] = Counter()
"""What a run has checked, for its last line."""

KAFKA_USERS: Final = (
    *("worker", "measures", "read-model", "deployer", "operator"),
    *("poller-hubspot", "poller-float", "poller-netsuite", "poller-business-central"),
    *("dispatcher-float", "dispatcher-netsuite", "dispatcher-business-central"),
)
"""Users of the values with three brokers; `deploy/strimzi` makes them."""

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    text: str
    errors: str


def run(command: Sequence[str | Path], stdin: str = "", timeout_s: float = 120) -> Said:
    """Run a command to its end."""
    done = subprocess.run(
        list(map(str, command)),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def helm_template(values: Path | None, *options: str) -> Said:
    """Render the chart as the release `psastream`, with a values file and options of helm."""
    file = [] if values is None else ["--values", values]
    command = [tools.helm(), "template", "psastream", CHART, "--namespace", "psastream"]
    return run([*command, *file, *options])


LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def rendered(name: str, *options: str) -> str:
    """Return the manifests of a values file by its name, with options of helm."""
    said = helm_template(VALUES[name], *options)
    assert said.code == 0, said.errors
    return said.text


@cache
def manifests(name: str, *options: str) -> list[Manifest]:
    """Return what `rendered` does, read; nobody is to change it."""
    return read(rendered(name, *options))


def read(text: str) -> list[Manifest]:
    """Return the manifests of a text."""
    return [each for each in yaml.load_all(text, LOADER) if each]


def of_kind(found: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    """Return the manifests of some kinds."""
    return [each for each in found if each["kind"] in kinds]


def named(found: Sequence[Manifest], kind: str, name: str) -> Manifest:
    """Return one manifest."""
    [one] = [each for each in of_kind(found, kind) if each["metadata"]["name"] == name]
    return one


@dataclass(frozen=True, slots=True)
class Part:
    """A pod that a release makes, and the object that makes it."""

    owner: Manifest
    pod: Manifest

    def __str__(self) -> str:
        return f"{self.owner['kind']}/{self.owner['metadata']['name']}"

    @property
    def component(self) -> str:
        """What it is, by its label."""
        return str(self.pod["metadata"]["labels"]["app.kubernetes.io/component"])

    @property
    def container(self) -> Manifest:
        """Its container."""
        [only] = self.pod["spec"]["containers"]
        assert isinstance(only, dict)
        return only

    @property
    def is_process(self) -> bool:
        """Whether it is one of the product's processes, which run until they are stopped."""
        return self.owner["kind"] in {"Deployment", "StatefulSet"} and self.component != "toolbox"

    @property
    def env(self) -> dict[str, str]:
        """Its variables; those that the cluster fills have the name of a pod."""
        return {
            each["name"]: str(each.get("value", f"{self.owner['metadata']['name']}-0"))
            for each in self.container["env"]
        }


def parts(found: Sequence[Manifest]) -> list[Part]:
    """Return every pod of a release."""
    return list(_parts(found))


def _parts(found: Sequence[Manifest]) -> Iterator[Part]:
    for each in found:
        if each["kind"] == "Pod":
            yield Part(each, each)
        elif each["kind"] in {"Deployment", "StatefulSet", "Job"}:
            yield Part(each, each["spec"]["template"])


@cache
def identity() -> tuple[str, str]:
    """Return an RSA key and a certificate of it, both in PEM: clients of Kafka open theirs."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "psastream")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    kind, cipher = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(pem, kind, cipher).decode(), certificate.public_bytes(pem).decode()


def secrets() -> dict[str, dict[str, str]]:
    """Return the Secrets that the values files name, with what a firm would put there."""
    token = "a-token"
    key, certificate = identity()
    return {
        "psastream-salesforce": {
            "SALESFORCE_CLIENT_ID": token,
            "salesforce_private_key": key,
        },
        "psastream-netsuite": {"NETSUITE_CLIENT_ID": token, "netsuite_private_key": key},
        "psastream-float": {"FLOAT_TOKEN": token},
        "psastream-inhouse": {"INHOUSE_PSA_PASSWORD": token},
        "psastream-master-keys": {"keys": new_line("2026-11")},
        "psastream-hubspot": {"HUBSPOT_TOKEN": token},
        "psastream-business-central": {
            "BUSINESS_CENTRAL_CLIENT_ID": token,
            "BUSINESS_CENTRAL_CLIENT_SECRET": token,
        },
        "psastream-connect": {"password": token},
        "psastream-registry": {"password": token},
        "psastream-read-model-database": {
            "url": f"postgresql://psastream:{token}@database:5432/firm"
        },
        **{f"psastream-{name}": {"password": token} for name in KAFKA_USERS},
        "psastream-kafka-client": {
            "ca.crt": certificate,
            "tls.crt": certificate,
            "tls.key": key,
        },
        "firm-cluster-ca-cert": {"ca.crt": certificate},
    }


@dataclass(frozen=True, slots=True)
class Container:
    """A container's files below a folder that stands for its root, its variables and its words."""

    root: Path
    environment: Mapping[str, str]
    arguments: Sequence[str]


def container_of(part: Part, found: Sequence[Manifest], root: Path) -> Container:
    """Lay out what a process finds: files of ConfigMaps and Secrets, variables, its command line.

    As `with-secrets` does, a file in /run/secrets that is named in capitals becomes a variable.
    """
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind(found, "ConfigMap")}
    data = {"configMap": maps, "secret": secrets()}
    volumes = {each["name"]: each for each in part.pod["spec"]["volumes"]}
    for mount in part.container["volumeMounts"]:
        for source in volumes.get(mount["name"], {}).get("projected", {}).get("sources", ()):
            for kind, what in source.items():
                content = data[kind][what["name"]]
                items = what.get("items") or [{"key": key, "path": key} for key in content]
                for item in items:
                    file = root / mount["mountPath"].lstrip("/") / item["path"]
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(content[item["key"]])

    def here(text: str) -> str:
        for folder in ("/etc/psastream", "/run/secrets"):
            text = text.replace(folder, str(root / folder.lstrip("/")))
        return text

    environment = {name: here(value) for name, value in part.env.items()}
    for file in (root / "run/secrets").glob("*"):
        if file.name.upper() == file.name:
            environment[file.name] = file.read_text()
    arguments = [here(word) for word in part.container.get("args", ())]
    return Container(root, environment, arguments)


def conforms(text: str, *folders: Path) -> list[str]:
    """Return what kubeconform finds wrong with manifests, a line each."""
    locations = [
        word
        for folder in (tools.schemas(), *folders)
        for word in (
            "-schema-location",
            f"{folder}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
        )
    ]
    said = run([tools.kubeconform(), "-strict", "-output", "json", *locations, "-"], text)
    assert said.text, said.errors
    return [
        f"{each['kind']}/{each['name']}: {each['msg']}"
        for each in json.loads(said.text).get("resources", ())
        if each["status"] not in {"statusValid"}
    ]
