"""The product at work on a guarded broker: a story to its end, and people beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AclBindingFilter, AdminClient

from psastream.access.rights import Rule
from sandbox.books.audit import Audit
from sandbox.demo.guarding import variables_as
from sandbox.demo.options import DemoOptions, StoryLandscape
from sandbox.demo.parts import Parts, guard_of_story, start_parts
from sandbox.demo.run import open_world, settle
from sandbox.stack.guard import ANSWER_S, Guard, binding
from sandbox.stack.settings import Part, cache_dir_from
from sandbox.story.act import Act, Stage, play
from tests.access.decisions import Decision, decisions_in
from tests.support.stack import RunningStack, running_stack, stack_directory, stack_settings

ENTRIES = 120
"""Time entries of the volume act: rules are about kinds of requests, not about how many."""
DEADLINE_S = 300.0
COMMAND_S = 180.0
AT_WORK = {
    "worker": "partition ready",
    "dispatcher": "dispatch.session_started",
    "poller": "poll.started",
}
"""What processes log when they have read what they were at."""


class Silent:
    """Nobody follows the story."""

    def act_began(self, act: Act) -> None: ...

    def changed(self, act: Act, changes: int) -> None: ...

    def waiting(self, act: Act, missing: str) -> None: ...

    def act_ended(self, act: Act, seconds: float, outcome: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Guarded:
    """Processes of the product at work on a guarded broker, each as its own user."""

    stack: RunningStack
    guard: Guard
    parts: Parts
    folder: Path

    def beginnings(self, name: str) -> int:
        """How often a process has logged that it is at work."""
        return self.stack.log(name).count(AT_WORK[name.partition("-")[0]])

    @contextmanager
    def without(self, user: str, rule: Rule) -> Iterator[None]:
        """Take a rule from a user for a while."""
        admin = AdminClient({"bootstrap.servers": self.stack.addresses.bootstrap_servers})
        taken = binding(user, rule)
        pattern = AclBindingFilter(
            taken.restype,
            taken.name,
            taken.resource_pattern_type,
            taken.principal,
            taken.host,
            taken.operation,
            taken.permission_type,
        )
        (deleted,) = [each.result(ANSWER_S) for each in admin.delete_acls([pattern]).values()]
        assert len(deleted) == 1, f"{user} has no rule {rule}"
        try:
            yield
        finally:
            for made in admin.create_acls([taken]).values():
                made.result(ANSWER_S)

    def ask(self, user: str, *command: str) -> str:
        """Give a command as a user; what it printed. Raises AssertionError where it fails."""
        code, said = self.tried(user, *command)
        assert code == 0, f"{user}: psastream {' '.join(command)}\n{said}"
        return said

    def tried(self, user: str, *command: str) -> tuple[int, str]:
        """Give a command as a user; return its exit code and what it printed."""
        variables = {
            **self.parts.variables,
            **variables_as(self.guard, user, self.stack.addresses),
            "PSASTREAM_REPLICATION_FACTOR": "1",
        }
        words = [word.replace("FOLDER", str(self.folder)) for word in command]
        done = subprocess.run(
            [sys.executable, "-m", "psastream", *words],
            env={**os.environ, **variables},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def decisions(self) -> set[Decision]:
        """What the broker has decided about users up to now."""
        with self.stack.log_path("kafka").open(errors="replace") as lines:
            return decisions_in(lines)


@dataclass(frozen=True, slots=True)
class GuardedStory(Guarded):
    """A story that has been told, with all parts still at work."""

    audit: Audit


@contextmanager
def at_work() -> Iterator[Guarded]:
    """Run a firm's processes on a guarded broker, with nothing to tell; no database, no Connect."""
    with stack_directory() as folder:
        options = DemoOptions(
            data_dir=folder / "data",
            cache_dir=cache_dir_from(os.environ),
            landscape=StoryLandscape.parse("harvest"),
        )
        guard = guard_of_story(options.landscape)
        parts = frozenset({Part.KAFKA, Part.REGISTRY})
        with running_stack(stack_settings(options.data_dir, {}, parts), guard) as stack:
            yield Guarded(stack, guard, stack.run(lambda it: start_parts(it, options)), folder)


@contextmanager
def tell_story() -> Iterator[GuardedStory]:
    """Tell a story on a guarded broker until the books agree, or say where they differ."""
    with stack_directory() as folder:
        options = DemoOptions(
            data_dir=folder / "data", cache_dir=cache_dir_from(os.environ), entries=ENTRIES
        )
        guard = guard_of_story(options.landscape)
        settings = stack_settings(options.data_dir, {})
        with running_stack(settings, guard) as stack:
            parts = stack.run(lambda parent: start_parts(parent, options))
            with open_world(parts, options) as world:
                stage = Stage(Silent(), DEADLINE_S, threading.Event())
                play(options.landscape.acts, world, stage)
                audit = settle(world, stage)
            yield GuardedStory(stack, guard, parts, folder, audit)
