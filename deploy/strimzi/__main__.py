"""Writes what a Kafka cluster must hold: `python -m deploy.strimzi`, in the repository.

The firm is that of `PSASTREAM_LANDSCAPE`, `PSASTREAM_SYSTEMS` and `PSASTREAM_MEASURES`, by default
the packaged one, whose files are in `deploy/strimzi/packaged`. Its connectors are Strimzi's, as
KafkaConnectors, where `PSASTREAM_CONNECTOR_OWNER` is `strimzi`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from connectors.debezium.client import ConnectorFile, read_connector_file
from connectors.toolkit.config import read_document
from deploy.strimzi.commands import acl_script
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
from schemas.errors import PsaStreamError

FOLDER: Final = Path(__file__).resolve().parent / "packaged"
VENDORS: Final = Path(__file__).resolve().parents[2] / "connectors" / "vendors"
MADE: Final = "Made by `python -m deploy.strimzi`: docs/kafka-access.md"
OWNER: Final = "PSASTREAM_CONNECTOR_OWNER"
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


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.strimzi", description=__doc__)
    fields = Cluster()
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder that is written to")
    parser.add_argument(
        "--config",
        type=Path,
        action="append",
        help="connector file; repeat it (default: those of the product's systems)",
    )
    parser.add_argument("--cluster", default=fields.name, help="name of the Kafka resource")
    parser.add_argument(
        "--authentication", choices=("scram-sha-512", "tls"), default=fields.authentication
    )
    parser.add_argument("--replicas", type=int, default=fields.replicas, help="copies of a topic")
    parser.add_argument("--bootstrap-servers", default=fields.bootstrap_servers)
    parser.add_argument("--registry-url", default=fields.registry_url)
    parser.add_argument("--image", default=fields.image, help="image of Kafka Connect")
    parser.add_argument("--kafka-version", default=fields.kafka_version, help="of that image")
    return parser.parse_args()


def main() -> None:
    """Write the files. Exits with 2 and the reason where the firm or a file is wrong."""
    options = _options()
    try:
        cluster = Cluster(
            name=options.cluster,
            authentication=options.authentication,
            replicas=options.replicas,
            bootstrap_servers=options.bootstrap_servers,
            registry_url=options.registry_url,
            image=options.image,
            kafka_version=options.kafka_version,
            connector_owner=owner_of(os.environ),
        )
        firm = firm_of(os.environ)
        found = files(firm, options.config or packaged_files(firm.bundles), cluster)
    except PsaStreamError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in found.items():
        (options.out / name).write_text(text)


if __name__ == "__main__":
    main()
