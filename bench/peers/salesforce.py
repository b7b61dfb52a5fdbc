"""Readers of one object of Salesforce, each as its users run it; see `bench/backfill.py`."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.backfill_vendor import ADDRESS, CA_FILE, FIELDS, OBJECT, PAGE
from bench.peers.environment import make, pinned, program, python_of
from bench.peers.peer import Launch
from bench.processes import Processes

SOQL: Final = f"SELECT {', '.join(FIELDS)} FROM {OBJECT} ORDER BY SystemModstamp ASC"
START: Final = "2020-01-01T00:00:00Z"
NOBODY: Final = {"client_id": "bench", "client_secret": "bench", "refresh_token": "bench"}
"""What the org of the benchmark lets in: anybody."""
ROWS_FILE: Final = "rows.jsonl"
SNAPSHOT_DONE: Final = "poll.snapshot_completed"


@dataclass(frozen=True, slots=True)
class Org:
    """Where the org is: its address, and the authority that its login host is known by."""

    url: str
    folder: Path

    def as_proxy(self) -> dict[str, str]:
        """Return the variables by which requests to the vendor's login host reach it instead."""
        return {
            "HTTPS_PROXY": self.url,
            "NO_PROXY": "127.0.0.1",
            "REQUESTS_CA_BUNDLE": str(self.folder / CA_FILE),
        }


class Reader(Protocol):
    """One reader. `into`: where its rows go."""

    name: str
    into: str

    def version(self) -> str:
        """Return the version that `launch` runs."""
        ...

    def prepare(self, cache: Path) -> None:
        """Install into `cache`, untimed."""
        ...

    def launch(self, org: Org, folder: Path, cache: Path) -> Launch:
        """Return what to start; may ask the org first, untimed."""
        ...

    def is_done(self, processes: Processes, folder: Path) -> bool:
        """Whether all rows are where they go."""
        ...

    def ids(self, folder: Path) -> Iterable[str]:
        """Yield the id of each row that came of it."""
        ...


class Ending:
    """A reader that ends when it is done."""

    def is_done(self, processes: Processes, folder: Path) -> bool:
        """See Reader."""
        return processes.are_done()


class TapSalesforce(Ending):
    """The Singer tap, its messages into a file, with a bookmark as its users have one."""

    name = "tap-salesforce"
    into = "Singer messages in a file"

    def version(self) -> str:
        """See Reader."""
        return pinned("tap_salesforce", "tap-salesforce")

    def prepare(self, cache: Path) -> None:
        """See Reader."""
        make(cache, "tap_salesforce")

    def launch(self, org: Org, folder: Path, cache: Path) -> Launch:
        """See Reader."""
        tap = str(Path(python_of(cache, "tap_salesforce")).with_name("tap-salesforce"))
        config = folder / "config.json"
        config.write_text(json.dumps({**NOBODY, "start_date": START, "api_type": "REST"}))
        command = [tap, "--config", str(config)]
        catalog = json.loads(_output([*command, "--discover"], org.as_proxy()))
        [stream] = catalog["streams"]
        _select(stream)
        chosen = folder / "catalog.json"
        chosen.write_text(json.dumps(catalog))
        command += ["--properties", str(chosen)]
        return Launch([_into_file(command, folder)], org.as_proxy())

    def ids(self, folder: Path) -> Iterator[str]:
        """See Reader."""
        for message in _lines(folder / ROWS_FILE):
            if message["type"] == "RECORD":
                yield message["record"]["Id"]


class Airbyte(Ending):
    """Airbyte's source, its messages into a file, by REST."""

    name = "airbyte-source-salesforce"
    into = "Airbyte messages in a file"

    def version(self) -> str:
        """See Reader."""
        return pinned("airbyte_salesforce", "airbyte-source-salesforce")

    def prepare(self, cache: Path) -> None:
        """See Reader."""
        make(cache, "airbyte_salesforce")

    def launch(self, org: Org, folder: Path, cache: Path) -> Launch:
        """See Reader."""
        source = str(Path(python_of(cache, "airbyte_salesforce")).with_name("source-salesforce"))
        config = folder / "config.json"
        config.write_text(json.dumps({**NOBODY, "start_date": START}))
        output = _output([source, "discover", "--config", str(config)], org.as_proxy())
        [catalog] = [
            message["catalog"]
            for message in map(json.loads, output.splitlines())
            if message["type"] == "CATALOG"
        ]
        [stream] = [each for each in catalog["streams"] if each["name"] == OBJECT]
        modes = {"sync_mode": "full_refresh", "destination_sync_mode": "append"}
        chosen = folder / "catalog.json"
        chosen.write_text(json.dumps({"streams": [{"stream": stream, **modes}]}))
        command = [source, "read", "--config", str(config), "--catalog", str(chosen)]
        return Launch([_into_file(command, folder)], org.as_proxy())

    def ids(self, folder: Path) -> Iterator[str]:
        """See Reader."""
        for message in _lines(folder / ROWS_FILE):
            if message["type"] == "RECORD":
                yield message["record"]["data"]["Id"]


class Dlt(Ending):
    """dlt's source of REST APIs, into files of JSON lines."""

    name = "dlt"
    into = "JSON lines in files, compressed"

    def version(self) -> str:
        """See Reader."""
        return pinned("dlt_salesforce", "dlt")

    def prepare(self, cache: Path) -> None:
        """See Reader."""
        make(cache, "dlt_salesforce")

    def launch(self, org: Org, folder: Path, cache: Path) -> Launch:
        """See Reader."""
        job = {"url": org.url, "folder": str(folder), "soql": SOQL}
        return Launch(
            [[python_of(cache, "dlt_salesforce"), program("dlt_salesforce")]],
            {"BENCH_BACKFILL": json.dumps(job), "RUNTIME__DLTHUB_TELEMETRY": "false"},
        )

    def ids(self, folder: Path) -> Iterator[str]:
        """See Reader."""
        for path in sorted((folder / "rows" / "salesforce" / "account").glob("*.jsonl.gz")):
            for row in _lines(path):
                yield row["id"]


@dataclass(frozen=True, slots=True)
class Psastream:
    """The poller with the shipped connector file, of one object, until its snapshot is committed.

    `environment` tells it where broker and registry are; `read` reads the ids off the topic.
    """

    environment: Mapping[str, str]
    read: Any
    name: str = "psastream"
    into: str = "a topic, exactly once"

    def version(self) -> str:
        """See Reader."""
        return version("psastream")

    def prepare(self, cache: Path) -> None:
        """See Reader."""

    def launch(self, org: Org, folder: Path, cache: Path) -> Launch:
        """See Reader."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        key_file = folder / "key.pem"
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        shipped = files("connectors.vendors.salesforce") / "source.json"
        document = json.loads(shipped.read_text())
        assert document["page.size"] == PAGE
        document["object.include.list"] = OBJECT.lower()
        config = folder / "source.json"
        config.write_text(json.dumps(document))
        return Launch(
            [[sys.executable, "-m", "psastream", "poll", "--config", str(config)]],
            {
                **self.environment,
                "SALESFORCE_URL": org.url,
                "SALESFORCE_CLIENT_ID": "bench",
                "SALESFORCE_USERNAME": "bench",
                "SALESFORCE_PRIVATE_KEY_FILE": str(key_file),
            },
        )

    def is_done(self, processes: Processes, folder: Path) -> bool:
        """See Reader."""
        processes.check(may_end=False)
        return SNAPSHOT_DONE in processes.said()

    def ids(self, folder: Path) -> Iterable[str]:
        """See Reader."""
        return self.read()


def _select(stream: dict[str, Any]) -> None:
    for entry in stream["metadata"]:
        if not entry["breadcrumb"]:
            entry["metadata"] |= {
                "selected": True,
                "replication-method": "INCREMENTAL",
                "replication-key": "SystemModstamp",
            }
        else:
            entry["metadata"]["selected"] = entry["breadcrumb"][-1] != ADDRESS


def _output(command: Sequence[str], environment: Mapping[str, str]) -> str:
    whole = {**os.environ, **environment}
    return subprocess.run(command, env=whole, check=True, capture_output=True, text=True).stdout


def _into_file(command: Sequence[str], folder: Path) -> list[str]:
    return ["sh", "-c", f'exec "$0" "$@" > {folder / ROWS_FILE}', *command]


def _lines(path: Path) -> Iterator[Any]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        yield from map(json.loads, file)
