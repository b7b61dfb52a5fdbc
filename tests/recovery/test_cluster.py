"""A whole cluster lost: topics, positions, schemas and volumes; a copy of the ledger or none.

All processes are started at once, as nobody should: then commands wait for a person.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from connectors.debezium.client import ConnectClient
from tests.recovery.firm import GROUPS, HELD, NUMBERS, OURS, Firm, held, release
from tests.recovery.test_rehearsals import DEADLINE_S, require_whole_read_model
from tests.support.eventually import eventually

pytestmark = pytest.mark.stack

LETTERS: Final = "refused records"
"""Key of the books on dead letters: those of rows that were put right since come from no source."""
CONNECT_GROUP: Final = "psastream-connect"


def test_a_lost_cluster_with_a_copy_knows_what_it_sent(firm: Firm, tmp_path: Path) -> None:
    firm.ask("topics", "save", str(tmp_path / "copy"))
    with firm.writes() as written:
        _lose_cluster(firm)
        _make_cluster_anew(firm)
        firm.ask("topics", "load", str(tmp_path / "copy"))
        _start(firm)
        firm.wait_for_books(of=NUMBERS)
        firm.wait_until_read()
        assert release(firm) == HELD
        firm.wait_for_books()
        require_whole_read_model(firm)
        assert written() == Counter()


def test_a_lost_cluster_without_a_copy_writes_nothing_before_a_person_says_so(firm: Firm) -> None:
    with firm.writes() as written:
        _lose_cluster(firm)
        _make_cluster_anew(firm)
        _start(firm)
        firm.wait_for_books(of=NUMBERS)
        eventually(lambda: held(firm), deadline_s=DEADLINE_S)
        assert written() == Counter()
        firm.wait_until_read()
        release(firm)
        firm.wait_for_books(but={LETTERS})
        assert written() == Counter()


def _lose_cluster(firm: Firm) -> None:
    """Lose everything but the systems themselves: topics, positions, schemas, volumes."""
    firm.stop(*OURS, "connect", "registry")
    firm.lose_volumes(*OURS)
    lost = {topic for topic in firm.topics() if not topic.startswith("__")}
    firm.lose_topics(lost, (*GROUPS, CONNECT_GROUP))


def _make_cluster_anew(firm: Firm) -> None:
    firm.start("registry")
    firm.ask("topics", "apply")
    firm.ask("schemas", "register")
    firm.start("connect")
    asyncio.run(_register(firm))


def _start(firm: Firm) -> None:
    firm.start("worker", "poller", "dispatcher", "readmodel")


async def _register(firm: Firm) -> None:
    assert firm.parts.connector is not None
    client = ConnectClient(firm.parts.connect_url)
    try:
        await client.register(firm.parts.connector)
    finally:
        await client.close()
