"""Records that nobody can use, of vendors and of commands."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from tests.support.heard import Watched, fault


@fault(
    "PsastreamSourceDeadLetters",
    done="a vendor shows a row whose rate is no number",
    mended="the row is corrected, and a quarter hour has passed",
    labels={"system": "float", "object": "person"},
    needs=["poller", "vendors"],
)
def a_rate_is_no_number(it: Watched) -> Iterator[None]:
    row = {"name": "Quinn Quist", "cost_rate": "fifty"}
    person = it.system.admin.create("float", "people", row)
    yield
    changes = {"cost_rate": Decimal(50)}
    it.system.admin.update("float", "people", person["people_id"], changes)


@fault(
    "PsastreamCommandDeadLetters",
    done="a script writes what is no command to a topic of commands",
    mended="it does no more, and a quarter hour has passed",
    labels={"target": "float"},
    needs=["dispatcher"],
)
def what_comes_is_no_command(it: Watched) -> Iterator[None]:
    it.system.produce("psa.command.float", 0, b"\0", b"no command")
    yield
