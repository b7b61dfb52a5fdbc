"""A firm that encrypts, on real parts: its books agree, its disks tell nobody's name and no pay.

`make verify-privacy`. Topics of a database's connector are left out: what it writes is not ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rocksdict import AccessType, Options, Rdict

from runtime.kafka import read_compacted
from runtime.master_keys import new_line
from runtime.registry import Registry
from runtime.serde import Serde
from schemas.codec.framing import SEALED
from tests.support.eventually import eventually
from tests.support.running_system import DEADLINE_S, OURS, RunningSystem, running_system

pytestmark = pytest.mark.stack

NOTE = "of a Quixote in La Mancha"
RATE = Decimal("4711.2345")
CLEAR = ("src.inhouse.", "__consumer_offsets", "__transaction_state", "psastream-connect")
"""What is not ours to encrypt."""
BROKER = {"log.cleaner.enable": "false", "compression.type": "uncompressed"}
"""What is compressed, nobody would find in it; what is replaced, is to be found all the same."""
ACTS = ("firm", "deal", "tax", "early", "projects")


def named(system: RunningSystem) -> str:
    """Who works on the entries that tests add."""
    person = system.world.cast.people[0]
    return f"{person.first_name} {person.last_name}"


def directory(system: RunningSystem) -> Path:
    """Where the parts keep their data."""
    return system.stack.log_path("worker").parents[1]


def canaries(system: RunningSystem) -> dict[str, bytes]:
    """What must be on no disk: a person, a customer, a note, what an hour costs."""
    return {
        "person": named(system).encode(),
        "address": system.world.cast.people[0].email.encode(),
        "note": NOTE.encode(),
        "pay": str(RATE).encode(),
        "pay in avro": b"\x08" + int(RATE.scaleb(4)).to_bytes(4),
    }


def on_the_broker(system: RunningSystem, texts: Mapping[str, bytes]) -> set[tuple[str, str]]:
    """Which texts are in which segments of topics."""
    folder = next(directory(system).glob("**/psa.resource-0")).parent
    return {
        (name, path.parent.name.rpartition("-")[0])
        for path in folder.glob("*/*.log")
        for name, text in texts.items()
        if text in path.read_bytes()
    }


def told(found: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """What of that is in topics that psastream writes."""
    return {(name, topic) for name, topic in found if not topic.startswith(CLEAR)}


def in_the_state(system: RunningSystem, texts: Mapping[str, bytes]) -> set[str]:
    """Which texts are in the local state of the worker, which has stopped."""
    found: set[str] = set()
    folders = {path.parent for path in (directory(system) / "worker").glob("**/CURRENT")}
    assert folders
    for folder in folders:
        rows = Rdict(str(folder), Options(raw_mode=True), access_type=AccessType.read_only())
        values = [value for _, value in rows.items()]
        rows.close()
        found |= {name for name, text in texts.items() if any(text in value for value in values)}
    return found


def played(system: RunningSystem) -> None:
    """Tell the story, add an hour with a note, and wait for the books."""
    system.tell(*ACTS)
    entry = system.insert_entry(notes=NOTE, cost_rate=RATE)
    system.await_entry(entry)
    system.await_books(refused=system.refused())


def sums(system: RunningSystem) -> dict[str, tuple[Any, ...]]:
    """What the work on projects took, earned and cost, by project, month and currency."""
    names = ("seconds", "revenue", "cost", "margin")
    rows = system.published("psa.metric.project_margin")
    return {key: tuple(row[name] for name in names) for key, row in rows.items()}


def run(system: RunningSystem, file: Path, *command: str) -> str:
    """Give a command as the firm's custodian; what it prints."""
    environment = {**system.parts.variables, "PSASTREAM_MASTER_KEYS_FILE": str(file)}
    done = subprocess.run(
        [sys.executable, "-m", "psastream", *command],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "master"
    path.write_text(new_line("1") + "\n")
    return path


@pytest.fixture(scope="module")
def system(keys: Path) -> Iterator[RunningSystem]:
    variables = {"PSASTREAM_MASTER_KEYS_FILE": str(keys)}
    with running_system(entries=0, of_broker=BROKER, of_processes=variables) as system:
        played(system)
        yield system


def test_the_disks_of_the_broker_tell_no_name_and_no_pay(system: RunningSystem) -> None:
    assert system.restarted == []
    found = on_the_broker(system, canaries(system))
    assert told(found) == set()
    # Where the same search finds them, since it is not ours to encrypt.
    assert {"address", "note"} <= {name for name, _ in found}
    marked = {topic for _, topic in on_the_broker(system, {"mark": SEALED})}
    assert {
        "src.float.person", "psa.resource", "psa.rate_card", "psa.time_entry", "psa.customer",
        "psa.command.netsuite", "psastream-project-state", "psastream-normalize-state",
    } <= marked  # fmt: skip


def test_the_read_model_and_commands_with_the_keys_see_all(
    system: RunningSystem, keys: Path
) -> None:
    rows = run(system, keys, "topics", "read", "psa.resource")
    assert named(system) in rows
    with psycopg.connect(system.parts.read_model_url) as connection:

        def is_there() -> bool:
            found = connection.execute("SELECT person FROM psa.dim_person").fetchall()
            connection.commit()
            return (named(system),) in found

        eventually(is_there, deadline_s=DEADLINE_S)


def test_without_keys_names_and_pay_are_missing_and_no_process_starts(
    system: RunningSystem,
) -> None:
    others = Serde(Registry(system.parts.registry_url))
    kept = read_compacted(system.parts.kafka, "psa.time_entry")
    rows = [others.read(value) for value in kept.values()]
    assert any(row["seconds"] for row in rows)
    assert {row["notes"] for row in rows} == {None} == {row["cost_rate"] for row in rows}
    done = subprocess.run(
        [sys.executable, "-m", "psastream", "worker"],
        env={**system.parts.variables, "PSASTREAM_DATA_DIR": str(directory(system) / "other")},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "this process has no keys" in done.stdout + done.stderr


def test_no_copy_is_made_that_nobody_could_open(system: RunningSystem) -> None:
    folder = directory(system) / "copy"
    done = subprocess.run(
        [sys.executable, "-m", "psastream", "topics", "save", str(folder)],
        env={**system.parts.variables},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "could not be opened elsewhere" in done.stderr
    assert not folder.exists()


def test_new_keys_while_it_runs(system: RunningSystem, keys: Path) -> None:
    keys.write_text(keys.read_text() + new_line("2") + "\n")
    assert "new data keys" in run(system, keys, "keys", "rotate")
    run(system, keys, "keys", "rewrap")
    keys.write_text(keys.read_text().splitlines()[-1] + "\n")  # the first one is gone
    listed = json.loads(run(system, keys, "keys", "list", "--json"))
    assert [*listed["master_keys"]] == ["2"]
    system.stack.stop("worker")
    assert in_the_state(system, canaries(system)) == set()
    assert in_the_state(system, {"mark": SEALED}) == {"mark"}
    system.stack.restart("worker")
    system.await_entry(system.insert_entry(notes=NOTE, cost_rate=RATE))
    system.await_books(refused=system.refused())
    assert not set(system.restarted) & set(OURS)
    assert told(on_the_broker(system, canaries(system))) == set()


def test_who_is_erased_is_named_nowhere_and_the_sums_stay(
    system: RunningSystem, keys: Path
) -> None:
    name = named(system)
    margins, refused = sums(system), system.refused()
    assert margins
    [row] = [it for it in system.published("psa.resource").values() if it["name"] == name]
    said = run(system, keys, "erase", row["id"], "--text", NOTE, "--dry-run")
    assert "does not reach" in said
    assert "src.inhouse.time_entries: " in said  # what Debezium writes is in clear
    said = run(system, keys, "erase", row["id"], "--yes")
    assert "keys destroyed" in said
    assert name not in run(system, keys, "topics", "read", "psa.resource")
    with psycopg.connect(system.parts.read_model_url) as connection:

        def is_gone() -> bool:
            found = connection.execute("SELECT person FROM psa.dim_person").fetchall()
            connection.commit()
            return (name,) not in found

        eventually(is_gone, deadline_s=DEADLINE_S)
    assert NOTE not in {row["notes"] for row in system.published("psa.time_entry").values()}
    system.stack.restart("worker")
    assert sums(system) == margins
    system.await_entry(system.insert_entry())  # whoever works there goes on to be counted
    eventually(lambda: sums(system) != margins, deadline_s=DEADLINE_S)
    assert system.refused() == refused
