"""A kept demo's processes: what they write holds no secret and no person; what they listen on."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from runtime.kafka import KafkaSettings, read_topic
from runtime.registry import Registry
from runtime.serde import Serde
from sandbox.vendors.credentials import ENVIRONMENT_FILE
from schemas.topics import CANONICAL
from tests.support.kept_demo import KeptDemo

pytestmark = pytest.mark.stack

OURS = ("worker", "poller", "dispatcher", "readmodel")
SHORTEST = 6
PAY = ("cost_rate",)


@pytest.fixture(scope="module")
def serde(kept_demo: KeptDemo) -> Serde:
    return Serde(Registry(kept_demo.addresses["schema registry"]))


def secrets_of(demo: KeptDemo) -> set[str]:
    """Tokens, client ids and the lines of private keys that connectors sign in with."""
    found = json.loads((demo.data_dir / "credentials" / ENVIRONMENT_FILE).read_text())
    secrets: set[str] = set()
    for name, value in found.items():
        if name.endswith("_FILE"):
            lines = Path(value).read_text().splitlines()
            secrets |= {line for line in lines if not line.startswith("-----")}
        elif name.endswith(("_TOKEN", "_SECRET", "_PASSWORD", "_CLIENT_ID")):
            secrets.add(value)
    return {secret for secret in secrets if len(secret) >= SHORTEST}


def rows_of(demo: KeptDemo, serde: Serde, topic: str) -> Iterator[dict[str, object]]:
    kafka = KafkaSettings(bootstrap_servers=demo.addresses["kafka"])
    for message in read_topic(kafka, topic):
        if (value := message.value()) is not None:
            yield serde.read(value)


def people_of(demo: KeptDemo, serde: Serde) -> set[str]:
    """Whatever text the catalogue calls personal: names, addresses."""
    return {
        text
        for topic in CANONICAL
        if topic.personal_data
        for row in rows_of(demo, serde, topic.name)
        for name in topic.personal_data
        if isinstance(text := row.get(name), str) and len(text) >= SHORTEST
    }


def pay_of(demo: KeptDemo, serde: Serde) -> set[str]:
    """What an hour of somebody costs, as it is written."""
    rates = {
        str(row[name])
        for topic in CANONICAL
        for row in rows_of(demo, serde, topic.name)
        for name in PAY
        if row.get(name) is not None
    }
    return {rate for rate in rates if len(rate) >= SHORTEST}


def written(demo: KeptDemo, serde: Serde) -> dict[str, str]:
    """What processes say of themselves, by where."""
    said = {name: (demo.data_dir / "logs" / f"{name}.log").read_text() for name in OURS}
    for name in OURS:
        with urllib.request.urlopen(demo.addresses[f"{name} metrics"], timeout=10) as page:
            said[f"metrics of {name}"] = page.read().decode()
    letters = rows_of(demo, serde, "psa.dlq")
    said["dead letters"] = "\n".join(
        f"{it['error_code']} {it['detail']} {it['hint']}" for it in letters
    )
    return said


def leaks(canaries: Mapping[str, set[str]], said: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Kind, canary and place of each canary that is said somewhere."""
    return [
        (kind, canary, where)
        for kind, found in canaries.items()
        for canary in found
        for where, text in said.items()
        if canary in text and re.search(rf"(?<![\w.]){re.escape(canary)}(?![\w.])", text)
    ]


def test_no_secret_no_person_and_no_pay_is_in_what_processes_say(
    kept_demo: KeptDemo, serde: Serde
) -> None:
    canaries = {
        "secret": secrets_of(kept_demo),
        "person": people_of(kept_demo, serde),
        "pay": pay_of(kept_demo, serde),
    }
    assert all(len(found) >= 3 for found in canaries.values()), canaries.keys()
    said = written(kept_demo, serde)
    assert "psastream_" in said["metrics of worker"] and said["dead letters"]
    assert leaks(canaries, said) == []
    for kind, found in canaries.items():  # nothing is found because nothing is there
        planted = {"log": f'{{"detail": "of {min(found)}"}}'}
        assert [each[0] for each in leaks({kind: found}, planted)] == [kind]


def test_a_process_listens_on_its_metrics_port_alone(kept_demo: KeptDemo) -> None:
    for name in OURS:
        url = kept_demo.addresses[f"{name} metrics"]
        recorded = json.loads(next(kept_demo.data_dir.glob(f"**/{name}.json")).read_text())
        process = psutil.Process(recorded["pid"])
        listening = {
            f"{it.laddr.ip}:{it.laddr.port}"
            for each in (process, *process.children(recursive=True))
            for it in each.net_connections("inet")
            if it.status == psutil.CONN_LISTEN
        }
        assert listening == {url.removeprefix("http://").removesuffix("/metrics")}, name
