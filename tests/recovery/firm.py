"""A firm whose story has been told, with the product at work, for rehearsals of disasters.

Parts are stopped, what they hold is lost, and commands bring it back: those that
docs/disaster-recovery.md names. What the vendors' twins were asked to write says whether a
recovery wrote anything at all.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from confluent_kafka.admin import AdminClient

from connectors.dispatch.guard import hold_id
from psastream.status.gathering import DISPATCH
from sandbox.books.audit import PUBLISHED
from sandbox.books.comparison import Difference
from sandbox.demo.options import DemoOptions
from sandbox.demo.parts import Parts, start_parts
from sandbox.demo.run import open_world, settle
from sandbox.stack.settings import cache_dir_from
from sandbox.story.act import Stage, patiently, play
from sandbox.story.world import World
from sandbox.vendors.effects import Effect
from tests.access.guarded import Silent
from tests.support.eventually import eventually
from tests.support.stack import RunningStack, running_stack, stack_directory, stack_settings

ENTRIES: Final = 120
DEADLINE_S: Final = 180.0
COMMAND_S: Final = 120.0
OURS: Final = ("dispatcher", "poller", "worker", "readmodel")
"""Processes of the product, in the order in which they are stopped."""
HELD: Final = {"float:ledger", "netsuite:ledger"}
NUMBERS: Final = {topic for topic in PUBLISHED if topic.startswith("psa.metric.")}
"""Tables of the books that no command has a part in."""
GROUPS: Final = ("psastream", "psastream-dispatch", "psastream-dispatch-signals")


@dataclass(frozen=True, slots=True)
class Firm:
    """The parts, and what the books say."""

    stack: RunningStack
    parts: Parts
    world: World
    stage: Stage
    folder: Path

    @property
    def admin(self) -> AdminClient:
        return AdminClient(self.parts.kafka.client())

    def ask(self, *command: str) -> str:
        """Give a command; what it printed. Raises AssertionError where it fails."""
        done = self._give(command)
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"psastream {' '.join(command)}\n{said}"
        return done.stdout

    def says(self, *command: str) -> int:
        """Give a command; the code it ended with."""
        return self._give(command).returncode

    def _give(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "psastream", *command],
            env={**os.environ, **self.parts.variables, "PSASTREAM_REPLICATION_FACTOR": "1"},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )

    def stop(self, *names: str) -> None:
        for name in names:
            self.stack.stop(name)

    def start(self, *names: str) -> None:
        for name in names:
            self.stack.restart(name)

    def lose_volumes(self, *names: str) -> None:
        """Lose what processes keep on disks of their own."""
        for name in names:
            shutil.rmtree(self.folder / "data" / name, ignore_errors=True)

    def topics(self) -> set[str]:
        return set(self.admin.list_topics(timeout=15).topics)

    def lose_topics(self, names: Collection[str], groups: Collection[str] = GROUPS) -> None:
        """Lose topics, and positions of groups in them."""
        admin = self.admin
        for future in admin.delete_topics(sorted(names)).values():
            future.result(60)
        eventually(lambda: not self.topics() & set(names), deadline_s=60)
        known = {each.group_id for each in admin.list_consumer_groups().result(30).valid}
        for future in admin.delete_consumer_groups(sorted(known & set(groups))).values():
            future.result(60)

    def differences(self) -> list[Difference]:
        """None once the books agree, else what the last audit before the deadline found."""
        return list(settle(self.world, self.stage).differences)

    def wait_for_books(self, *, but: Collection[str] = (), of: Collection[str] = ()) -> None:
        """Wait until the books agree, in the tables `of` (none: all), but for some keys."""
        found: list[Difference] = []

        def agree() -> bool:
            audit = patiently(self.world.audit, self.stage.deadline_s)
            found[:] = [
                each
                for each in audit.differences
                if each.key not in but and (not of or each.table in of)
            ]
            return not found

        try:
            eventually(agree, deadline_s=self.stage.deadline_s)
        except AssertionError as error:
            raise AssertionError("\n".join(map(str, found))) from error

    def wait_until_read(self) -> None:
        """Wait until no group of the workers lags, and stays so: they read of each other."""

        def reads_all() -> bool:
            groups = json.loads(self._give(["status", "--json"]).stdout)["groups"]
            return not any(each["records"] for each in groups if each["group"] != DISPATCH)

        eventually(lambda: reads_all() and reads_all(), deadline_s=self.stage.deadline_s)

    def change_hours(self) -> None:
        """Have people change time entries, which moves no money."""
        with psycopg.connect(self.parts.postgres_dsn) as connection:
            connection.execute(
                "UPDATE inhouse.time_entries SET notes = 'seen' WHERE id IN"
                " (SELECT id FROM inhouse.time_entries ORDER BY id LIMIT 20)"
            )

    def effects(self) -> list[Effect]:
        """Every write that the vendors carried out, in order."""
        return self.world.admin.effects()

    @contextmanager
    def writes(self) -> Iterator[Callable[[], Counter[tuple[str, str, str]]]]:
        """Count what the vendors carry out from now on, by vendor, record type and operation."""
        before = len(self.effects())

        def since() -> Counter[tuple[str, str, str]]:
            return Counter(
                (each.vendor, each.record_type, each.operation) for each in self.effects()[before:]
            )

        yield since


def held(firm: Firm) -> set[str]:
    """Exceptions of targets whose commands wait since a ledger was lost."""
    told = json.loads(firm.ask("exceptions", "list", "--json"))
    return {row["exception_id"] for row in told if row["exception_id"] == hold_id(row["system"])}


def release(firm: Firm) -> set[str]:
    """Have their commands sent; whose."""
    found = held(firm)
    for identity in sorted(found):
        firm.ask("exceptions", "release", identity, "--note", "compared", "--yes")
    return found


@contextmanager
def firm_at_work() -> Iterator[Firm]:
    """Tell a story until the books agree; everything stays at work."""
    with stack_directory() as folder:
        options = DemoOptions(
            data_dir=folder / "data",
            cache_dir=cache_dir_from(os.environ),
            entries=ENTRIES,
            deadline_s=DEADLINE_S,
        )
        with running_stack(stack_settings(options.data_dir, {})) as stack:
            parts = stack.run(lambda parent: start_parts(parent, options))
            with open_world(parts, options) as world:
                stage = Stage(Silent(), DEADLINE_S, threading.Event())
                play(options.landscape.acts, world, stage)
                firm = Firm(stack, parts, world, stage, folder)
                assert firm.differences() == []
                yield firm
