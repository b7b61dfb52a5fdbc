"""What the tests of BI ask: demos with kills, whose topics agree with the firm's books."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import pytest
import requests

from psastream.exits import Exit
from psastream.read_model.status import read_status
from runtime.kafka import read_compacted
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from tests.e2e.conftest import running_demo
from tests.support.eventually import eventually

CENT: Final = Decimal("0.01")
DEADLINE_S: Final = 300.0
SEEDS: Final = range(1, 1 + int(os.environ.get("PSASTREAM_TEST_SEEDS", "3")))

Sums = Mapping[tuple[str, ...], Decimal]


@dataclass(frozen=True)
class Told:
    """A demo that has told its story, and stays up. `database`: its read model, which is whole."""

    settings: Settings
    database: str

    def rows(self, topic: str) -> Iterator[Mapping[str, Any]]:
        """Yield the last value of every key, decoded one by one."""
        serde = Serde(Registry(self.settings.registry_url))
        for value in read_compacted(self.settings.kafka, topic).values():
            yield serde.read(value)


@pytest.fixture(scope="session", params=SEEDS, ids=lambda seed: f"seed {seed}")
def told(request: pytest.FixtureRequest) -> Iterator[Told]:
    kills = ("--kill", "worker@hours:100", "--kill", "readmodel@hours:200")
    with running_demo("--seed", str(request.param), *kills) as demo:
        assert "all books agree" in demo.printed
        environment = {
            "PSASTREAM_BOOTSTRAP_SERVERS": demo.addresses["kafka"],
            "PSASTREAM_REGISTRY_URL": demo.addresses["schema registry"],
            "PSASTREAM_READ_MODEL_URL": demo.addresses["read model"],
        }
        settings = Settings.from_env(environment)
        eventually(lambda: read_status(settings).exit is Exit.OK, deadline_s=DEADLINE_S)
        yield Told(settings, demo.addresses["read model"])


def booked(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return rows of utilization with a ratio, of the weeks in which the firm booked."""
    found = list(rows)
    weeks = [row["iso_week"] for row in found if row["total_seconds"]]
    return [
        row
        for row in found
        if row["utilization_ratio"] is not None and min(weeks) <= row["iso_week"] <= max(weeks)
    ]


def sums(rows: Iterable[tuple[tuple[str, ...], Decimal | None]]) -> dict[tuple[str, ...], Decimal]:
    """Add values up by key; a null adds nothing, and makes no key."""
    found: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for key, value in rows:
        if value is not None:
            found[key] += value
    return dict(found)


def is_healthy(url: str) -> bool:
    """Whether a Superset answers."""
    try:
        return requests.get(f"{url}/health", timeout=5).ok
    except requests.RequestException:
        return False


def at_two_digits(found: Sums) -> Sums:
    """Round as what is compared, which comes as floating-point numbers."""
    return {key: value.quantize(CENT) for key, value in found.items()}
