"""A whole cluster lost: topics, positions, schemas and volumes; a copy of the ledger or none.

All processes are started at once, as nobody should: then commands wait for a person.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from connectors.debezium.client import ConnectClient
from connectors.dispatch.guard import LEDGER_LOST
from sandbox.books.audit import PUBLISHED
from tests.recovery.firm import GROUPS, OURS, Firm
from tests.recovery.test_rehearsals import DEADLINE_S, require_whole_read_model
from tests.support.eventually import eventually

pytestmark = pytest.mark.stack

HELD: Final = {"float:ledger", "netsuite:ledger"}
NUMBERS: Final = {topic for topic in PUBLISHED if topic.startswith("psa.metric.")}
"""Tables of the books that no command has a part in."""
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
        assert _release(firm) == HELD
        firm.wait_for_books()
        require_whole_read_model(firm)
        assert written() == Counter()


def test_a_lost_cluster_without_a_copy_writes_nothing_before_a_person_says_so(firm: Firm) -> None:
    with firm.writes() as written:
        _lose_cluster(firm)
        _make_cluster_anew(firm)
        _start(firm)
        firm.wait_for_books(of=NUMBERS)
        eventually(lambda: _held(firm), deadline_s=DEADLINE_S)
        assert written() == Counter()
        _release(firm)
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


def _held(firm: Firm) -> set[str]:
    """Exceptions of targets whose commands wait since a ledger was lost."""
    told = json.loads(firm.ask("exceptions", "list", "--json"))
    return {row["exception_id"] for row in told if row["error_code"] == LEDGER_LOST}


def _release(firm: Firm) -> set[str]:
    """Have their commands sent; whose."""
    found = _held(firm)
    for identity in sorted(found):
        firm.ask("exceptions", "release", identity, "--note", "compared", "--yes")
    return found


async def _register(firm: Firm) -> None:
    assert firm.parts.connector is not None
    client = ConnectClient(firm.parts.connect_url)
    try:
        await client.register(firm.parts.connector)
    finally:
        await client.close()
