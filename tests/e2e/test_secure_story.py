"""The story with certificates: every process by mutual TLS, new certificates while it is told."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sandbox.stack.ports import HOST
from tests.support.certificates import Authority, Pem, link
from tests.support.eventually import eventually
from tests.support.running_system import DEADLINE_S, OURS, RunningSystem, running_system
from tests.support.secure_kafka import Plan, environment, make_plan

pytestmark = [pytest.mark.stack, pytest.mark.crash]

RENEWED = "credentials have changed: clients are made anew"


def put(folder: Path, authority: Authority, pem: Pem, number: int) -> None:
    link(
        folder,
        {
            "ca.crt": authority.certificate.read_text(),
            "user.crt": pem.certificate.read_text(),
            "user.key": pem.key.read_text(),
        },
        number,
    )


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mounted")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return make_plan(tmp_path_factory.mktemp("plan"))


@pytest.fixture(scope="module")
def system(mounted: Path, plan: Plan) -> Iterator[RunningSystem]:
    """A system whose processes know no other listener than the one that asks for certificates."""
    put(mounted, plan.authority, plan.authority.issue("first"), 1)
    options = {
        "security.protocol": "SSL",
        "ssl.ca.location": str(mounted / "ca.crt"),
        "ssl.certificate.location": str(mounted / "user.crt"),
        "ssl.key.location": str(mounted / "user.key"),
    }
    variables = {
        **environment(options),
        "PSASTREAM_BOOTSTRAP_SERVERS": f"{HOST}:{plan.ports['MTLS']}",
    }
    with running_system(entries=0, of_broker=plan.properties, of_processes=variables) as system:
        system.tell("firm", "deal", "tax", "early", "projects")
        yield system


def test_the_books_agree_over_mutual_tls(system: RunningSystem) -> None:
    system.await_entry(system.insert_entry())
    system.await_books(refused=system.refused())
    assert system.restarted == []


def test_a_row_that_is_refused_tells_neither_who_nor_what_somebody_costs(
    system: RunningSystem,
) -> None:
    planted = {"worker_email": "canary.quixote@psastream.example", "cost_rate": Decimal("7391.53")}
    entry = system.insert_entry(hours=Decimal("25.00"), **planted)

    def letter() -> dict[str, Any]:
        letters = [it for it in system.dead_letters() if b"canary.quixote" in (it["value"] or b"")]
        return letters[0] if letters else {}

    found = eventually(letter, deadline_s=DEADLINE_S)
    system.database.update("time_entries", entry, hours=Decimal("2.50"))
    system.await_entry(entry)
    said = {name: system.stack.log(name) for name in (*OURS, "readmodel")}
    for name, url in system.parts.metrics_urls.items():
        with urllib.request.urlopen(url, timeout=10) as page:
            said[f"metrics of {name}"] = page.read().decode()
    said["dead letter"] = f"{found['detail']} {found['hint']}"
    assert "hours" in said["dead letter"]
    for where, text in said.items():
        assert "quixote" not in text.lower() and "7391" not in text, where


def test_new_certificates_are_used_without_a_restart(
    system: RunningSystem, mounted: Path, plan: Plan
) -> None:
    """From its next start on the broker trusts another authority of clients, and no more the old.

    Every connection is made anew then: who still had the old certificate would be cut off.
    """
    put(mounted, plan.authority, plan.stranger.issue("second"), 2)
    for name in ("poller", "dispatcher", "readmodel"):
        eventually(lambda name=name: RENEWED in system.stack.log(name), deadline_s=DEADLINE_S)
    plan.authority.certificate.write_text(plan.stranger.certificate.read_text())
    system.stack.restart("kafka")
    system.await_entry(system.insert_entry())
    system.await_books(refused=system.refused())
    assert not set(system.restarted) & set(OURS)
