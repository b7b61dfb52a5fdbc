"""Tells the story on a broker that lets each process do what it declares, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from psastream.access.capture import platform_topics
from psastream.access.files import connectors_of, firm_users
from psastream.landscape import FirmSystems
from runtime.kafka import KafkaSettings
from runtime.settings import KAFKA_PREFIX
from sandbox.stack.guard import Guard, guard_of
from sandbox.stack.settings import StackAddresses

CONNECT = "psastream-connect"
DEPLOYER = "psastream-deployer"
OPERATOR = "psastream-operator"


def story_guard(firm: FirmSystems, files: Iterable[Path]) -> Guard:
    """Return who may do what, for the firm of a story with these connector files."""
    paths = tuple(files)
    captures = connectors_of(firm, paths).captures
    return guard_of(
        firm_users(firm, paths),
        platform_topics(captures) if captures else (),
        CONNECT if captures else None,
    )


def kafka_as(guard: Guard | None, user: str, addresses: StackAddresses) -> KafkaSettings:
    """Return how a user reaches the broker; without a guard everybody does as nobody."""
    if guard is None:
        return KafkaSettings(bootstrap_servers=addresses.bootstrap_servers)
    return KafkaSettings(bootstrap_servers=addresses.guarded_servers, extra=guard.options(user))


def variables_as(guard: Guard | None, user: str, addresses: StackAddresses) -> Mapping[str, str]:
    """Return the variables by which a process reaches the broker as a user."""
    kafka = kafka_as(guard, user, addresses)
    named = {_variable(key): value for key, value in kafka.extra.items()}
    return {"PSASTREAM_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, **named}


def _variable(key: str) -> str:
    return KAFKA_PREFIX + key.upper().replace(".", "_")
