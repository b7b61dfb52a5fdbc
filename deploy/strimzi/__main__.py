"""Writes what a Kafka cluster must hold: `python -m deploy.strimzi`, in the repository.

The firm is that of `PSASTREAM_LANDSCAPE`, `PSASTREAM_SYSTEMS` and `PSASTREAM_MEASURES`, by default
the packaged one, whose files are in `deploy/strimzi/packaged`; or it is that of a release of the
chart. Its connectors are Strimzi's, as
KafkaConnectors, where `PSASTREAM_CONNECTOR_OWNER` is `strimzi`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from connectors.debezium.client import ConnectorFile, read_connector_file
from connectors.systems import read_text
from connectors.toolkit.config import read_document
from deploy.strimzi.commands import acl_script
from deploy.strimzi.release import RENDER, Release, read_release
from deploy.strimzi.resources import (
    Cluster,
    as_yaml,
    connect_resources,
    topic_resources,
    user_resources,
)
from psastream.access.capture import platform_topics
from psastream.access.files import connectors_of, firm_users
from psastream.landscape import ANY_ADDRESSES, FirmSystems, read_firm
from runtime.settings import Settings
from schemas.errors import ConfigError, PsaStreamError

FOLDER: Final = Path(__file__).resolve().parent / "packaged"
VENDORS: Final = Path(__file__).resolve().parents[2] / "connectors" / "vendors"
MADE: Final = "Made by `python -m deploy.strimzi`: docs/kafka-access.md"
OWNER: Final = "PSASTREAM_CONNECTOR_OWNER"
_OF_REGISTRY: Final = {
    "registry_ca_secret": "PSASTREAM_REGISTRY_SSL_CA_LOCATION",
    "registry_user_secret": "PSASTREAM_REGISTRY_USERNAME",
}
_FIRM: Final = (
    *("PSASTREAM_LANDSCAPE", "PSASTREAM_SYSTEMS", "PSASTREAM_MEASURES"),
    *("PSASTREAM_MASTER_KEYS", "PSASTREAM_MASTER_KEYS_FILE"),
)


def files(firm: FirmSystems, paths: Sequence[Path], cluster: Cluster) -> dict[str, str]:
    """Return the text of each file by its name. Raises ConfigError."""
    captures = connectors_of(firm, paths).captures
    own = platform_topics(captures) if captures else ()
    users = firm_users(firm, paths)
    texts = {
        "topics.yaml": as_yaml(topic_resources([*firm.topics, *own], cluster), MADE),
        "users.yaml": as_yaml(user_resources(users, cluster), MADE),
        "acls.sh": acl_script(users),
    }
    if connect := connect_resources(_databases(paths), cluster):
        texts["connect.yaml"] = as_yaml(connect, MADE)
    return texts


def packaged_files(systems: Iterable[str]) -> list[Path]:
    """Return the connector files of the product's own systems that are among these."""
    found = [
        VENDORS / system / name
        for system in systems
        for name in ("source.json", "sink.json", "connector.json")
    ]
    return [path for path in found if path.is_file()]


def firm_of(environment: Mapping[str, str]) -> FirmSystems:
    """Return the firm that the environment names, without addresses. Raises ConfigError."""
    named = {name: environment[name] for name in _FIRM if name in environment}
    return read_firm(Settings.from_env(ANY_ADDRESSES | named))


def owner_of(environment: Mapping[str, str]) -> str:
    """Return who keeps the connectors, as the environment of processes says. Raises ConfigError."""
    named = {name: environment[name] for name in (OWNER,) if name in environment}
    return Settings.from_env(ANY_ADDRESSES | named).connector_owner


def _databases(paths: Iterable[Path]) -> list[ConnectorFile]:
    return [read_connector_file(path) for path in paths if "config" in read_document(path)]


def cluster_of(options: argparse.Namespace, release: Release, owner: str) -> Cluster:
    """Return the cluster as options say; else as the release does; else the packaged one.

    Raises ConfigError where the release's processes show the registry what Kafka Connect lacks.
    """
    said = release.environment
    if options.registry_url is None:
        for option, variable in _OF_REGISTRY.items():
            if variable in said and not getattr(options, option):
                word = f"--{option.replace('_', '-')}"
                raise ConfigError(
                    f"the release has {variable}, and Kafka Connect would have nothing of it",
                    hint=f"add {word}, or --registry-url for another way to the registry",
                )
    is_tls = said.get("PSASTREAM_KAFKA_SECURITY_PROTOCOL", "").upper() == "SSL"
    known: dict[str, Any] = {
        "replicas": said.get("PSASTREAM_REPLICATION_FACTOR"),
        "bootstrap_servers": said.get("PSASTREAM_BOOTSTRAP_SERVERS"),
        "registry_url": said.get("PSASTREAM_REGISTRY_URL"),
        "authentication": "tls" if is_tls else None,
    }
    given = {field.name: getattr(options, field.name, None) for field in fields(Cluster)}
    both = {**{k: v for k, v in known.items() if v}, **{k: v for k, v in given.items() if v}}
    if "replicas" in both:
        both["replicas"] = int(both["replicas"])
    return replace(Cluster(connector_owner=owner), **both)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.strimzi", description=__doc__)
    default = Cluster()
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder that is written to")
    parser.add_argument(
        "--release",
        type=Path,
        metavar="FILE",
        help="what helm template prints of the chart: the firm, its connector files, addresses",
    )
    parser.add_argument(
        "--config",
        type=Path,
        action="append",
        help="connector file; repeat it (default: those of the release, or of the product)",
    )
    parser.add_argument(
        "--cluster", dest="name", help=f"name of the Kafka resource (default: {default.name})"
    )
    parser.add_argument("--authentication", choices=("scram-sha-512", "tls"))
    parser.add_argument("--replicas", type=int, help="copies of a topic")
    parser.add_argument("--bootstrap-servers")
    parser.add_argument("--registry-url")
    parser.add_argument(
        "--registry-ca-secret",
        metavar="SECRET",
        help="has ca.p12 and ca.password: the authorities that sign the registry's certificate",
    )
    parser.add_argument(
        "--registry-user-secret",
        metavar="SECRET",
        help="has username and password of who signs in at the registry",
    )
    parser.add_argument("--image", help=f"image of Kafka Connect (default: {default.image})")
    parser.add_argument("--kafka-version", help="of that image")
    return parser.parse_args()


def main() -> None:
    """Write the files. Exits with 2 and the reason where the firm or a file is wrong."""
    options = _options()
    try:
        with TemporaryDirectory() as folder:
            release = Release({}, ())
            if options.release is not None:
                text = read_text(options.release, str(options.release), RENDER)
                release = read_release(text, Path(folder))
            environment = release.over(os.environ)
            cluster = cluster_of(options, release, owner_of(environment))
            firm = firm_of(environment)
            paths = options.config or release.files or packaged_files(firm.bundles)
            found = files(firm, paths, cluster)
    except PsaStreamError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in found.items():
        (options.out / name).write_text(text)


if __name__ == "__main__":
    main()
