"""Every command of every history says what it says by its contract, and is the command it was.

What it was: its key, its id and its text are computed here by their definitions, and the record is
read beside the same one without the contents of kinds, as commands were written before.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.dispatch.commands import Command, intent_record
from schemas.codec.record import RecordCodec
from schemas.commands import CONTENTS, WITHDRAW, UpdateDealStatus
from schemas.contracts import record_schema
from tables.flows.catalogue import FLOWS
from tests.property.test_tables_convergence import hourly_deals, hours, moves
from tests.property.test_tables_convergence import play as play_with_targets
from tests.property.test_tables_oracle import any_history, chunk_sizes, play, seeds, unhurried
from tests.support.examples import examples
from tests.support.firms import TWO_ERPS
from tests.support.histories import (
    DEALS,
    ENTRIES,
    FIRST_DAY,
    PEOPLE,
    PSA_PROJECTS,
    RM_PROJECTS,
    Change,
)
from tests.support.oracle import plain

BEFORE: Final = RecordCodec(record_schema("command/command"))
NOUNS: Final = {content.kind: flow.noun for flow in FLOWS for content in flow.contents}
AT: Final = datetime(2026, 1, 1, tzinfo=UTC)


def assert_contracts(commands: Sequence[dict[str, Any]]) -> None:
    for command in commands:
        kind, contents = command["kind"], {name: command[name] for name in CONTENTS}
        said = contents.pop(kind, None)
        assert set(contents.values()) <= {None}, "no other kind says anything"
        if kind == WITHDRAW:
            assert (said, command["payload"]) == (None, "{}")
        else:
            assert CONTENTS[kind](**said).model_dump() == said
            assert NOUNS[kind] == command["natural_key"].split(":")[1]
            assert command["payload"] == text(said)
        assert command["command_id"] == identity(command)
        assert_the_same(command, without_contents(command))


def text(said: dict[str, Any]) -> str:
    assert not any(isinstance(value, float) for value in said.values())
    return json.dumps(plain(said), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def identity(command: dict[str, Any]) -> str:
    names = ("target", "kind", "natural_key", "revision", "payload")
    hashed = hashlib.sha256("\x1f".join(str(command[name]) for name in names).encode()).digest()
    return f"cmd-{base64.b32encode(hashed).decode().lower()[:24]}"


def without_contents(command: dict[str, Any]) -> dict[str, Any]:
    envelope = {name: value for name, value in command.items() if name not in CONTENTS}
    return BEFORE.decode(BEFORE.encode(envelope))


def assert_the_same(command: dict[str, Any], before: dict[str, Any]) -> None:
    now, then = Command.from_record(command), Command.from_record(before)
    assert now == then
    assert intent_record(now, 1, started_at=AT) == intent_record(then, 1, started_at=AT)
    if now.kind != WITHDRAW:
        assert now.read(CONTENTS[now.kind]).model_dump() == command[now.kind]


@unhurried
@given(any_history, seeds, chunk_sizes)
def test_i8_commands_of_any_history_are_what_they_were_and_say_it_by_their_contract(
    history: list[Change], seed: int, chunk_max: int
) -> None:
    topology, _ = play(history, seed, chunk_max)
    assert_contracts(topology.commands())
    assert topology.outcomes["dead_lettered"] == 0


@settings(unhurried, max_examples=examples(3))
@given(st.lists(st.one_of(moves, hours, hours), min_size=4, max_size=16), seeds)
def test_i8_commands_to_targets_that_answer_say_it_by_their_contract(
    steps: list[list[Change]], seed: int
) -> None:
    history = [*hourly_deals(), *(change for step in steps for change in step)]
    targets = play_with_targets(history, seed, with_edits=True, erps=TWO_ERPS)
    assert_contracts(targets.feeder.topology.commands())


def test_every_kind_of_command_is_said_by_its_contract() -> None:
    """With amounts of all digits that a rate and a plan have. Of deals: `test_deal_status`."""
    targets = play_with_targets(eventful(5), 5, with_edits=True, erps=TWO_ERPS)
    commands: list[Any] = targets.feeder.topology.commands()
    assert_contracts(commands)
    kinds = {*CONTENTS, WITHDRAW} - {UpdateDealStatus.kind}
    assert {command["kind"] for command in commands} == kinds
    bills = [each["upsert_time_bill"] for each in commands if each["upsert_time_bill"]]
    assert Decimal("0.3333") in {bill["bill_rate"] for bill in bills}
    assert Decimal("0.83") in {bill["hours"] for bill in bills}


def eventful(seed: int) -> list[Change]:
    """Deals that are won and lost, plans, and hours that come and go."""
    chances = random.Random(seed)
    found = [*hourly_deals(), *(planned(number) for number in range(2))]
    for _ in range(20):
        number = chances.randrange(4)
        match chances.randrange(4):
            case 0:
                found.append(Change("time_entry", ENTRIES[number], None))
            case 1:
                found += [decided(chances.choice(["won", "lost"]), number % 3)]
            case _:
                found.append(worked(number, chances.choice(["100.0000", "0.3333"])))
    return found


def planned(number: int) -> Change:
    dates = {"starts_on": FIRST_DAY, "ends_on": FIRST_DAY}
    row = {"project_ref": RM_PROJECTS[number], "resource_ref": PEOPLE[0], "status": "approved"}
    time = {"hours_per_day": Decimal("7.25"), "seconds_per_day": None, "is_billable": True}
    return Change("assignment", f"float:allocation:{number}", {**row, **dates, **time})


def decided(stage: str, number: int) -> Change:
    deal = hourly_deals()[number]
    assert deal.record is not None
    return Change("opportunity", DEALS[number], {**deal.record, "stage": stage})


def worked(number: int, rate: str) -> Change:
    entry = {"project_ref": PSA_PROJECTS[number], "resource_id": "res-a", "work_on": FIRST_DAY}
    money = {"bill_rate": Decimal(rate), "cost_rate": None, "currency": "EUR"}
    time = {"hours": Decimal("0.83"), "seconds": 3_000, "status": "approved", "is_billable": True}
    return Change("time_entry", ENTRIES[number], {**entry, **money, **time})
