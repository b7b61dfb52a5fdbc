"""The story with certificates: every process by mutual TLS, new certificates while it is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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


def test_new_certificates_are_used_without_a_restart(
    system: RunningSystem, mounted: Path, plan: Plan
) -> None:
    """The broker is away for a moment, so that every connection is made anew."""
    put(mounted, plan.authority, plan.authority.issue("second"), 2)
    for name in ("poller", "dispatcher"):
        eventually(lambda name=name: RENEWED in system.stack.log(name), deadline_s=DEADLINE_S)
    system.stack.restart("kafka")
    system.await_entry(system.insert_entry())
    system.await_books(refused=system.refused())
    assert not set(system.restarted) & set(OURS)
