"""What databases keep of their logs for the replication slots of connectors, as they say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psycopg
from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from connectors.debezium.client import ConnectorFile
from psastream.check.databases import CONNECT_S, POSTGRES, Address, address_of
from runtime.threads import in_daemon_thread

ROUND_S: Final = 60.0
FOREVER: Final = float("inf")
_HELD: Final = """
    SELECT pg_wal_lsn_diff(
               CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                    ELSE pg_current_wal_lsn() END,
               restart_lsn)::float8,
           safe_wal_size::float8
      FROM pg_replication_slots WHERE slot_name = %s AND restart_lsn IS NOT NULL
"""


class SlotMetrics:
    """What the watcher of connectors tells of slots."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.retained = Gauge(
            "psastream_slot_retained_bytes",
            "Of its log, what a database keeps for the replication slot of a connector.",
            ("connector",),
            registry=registry,
        )
        self.remaining = Gauge(
            "psastream_slot_remaining_bytes",
            "What it may write until it drops the slot; +Inf where it keeps all, disk or not.",
            ("connector",),
            registry=registry,
        )


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes of the log: those kept for a slot, and those until it is dropped."""

    retained: float
    remaining: float = FOREVER


def ask_slot(address: Address, slot: str) -> Held | None:
    """Ask a PostgreSQL from version 13 on; None where it has no such slot, or a lost one. Blocks.

    Raises psycopg.Error where it does not answer.
    """
    with psycopg.connect(
        host=address.host,
        port=address.port,
        dbname=address.dbname,
        user=address.user,
        password=address.password,
        connect_timeout=CONNECT_S,
        tcp_user_timeout=CONNECT_S * 1000,
        autocommit=True,
        options=f"-c statement_timeout={CONNECT_S}s",
    ) as connection:
        told = connection.execute(_HELD, (slot,)).fetchone()
    if told is None:
        return None
    retained, remaining = told
    return Held(retained, FOREVER if remaining is None else remaining)


class SlotWatcher:
    """Asks for the slots of those connectors whose database the environment names."""

    def __init__(
        self,
        connectors: Sequence[ConnectorFile],
        environment: Mapping[str, str],
        metrics: SlotMetrics,
        *,
        ask: Callable[[Address, str], Held | None] = ask_slot,
    ) -> None:
        self._metrics, self._ask = metrics, ask
        self._slots: dict[str, tuple[Address, str]] = {}
        for connector in connectors:
            if connector.config.get("connector.class") == POSTGRES:
                address = address_of(connector, environment)
                if isinstance(address, Address):
                    slot = str(connector.config.get("slot.name", "debezium"))
                    self._slots[connector.name] = address, slot

    async def run(self) -> None:
        """Ask until cancelled."""
        while self._slots:
            await self.round()
            await asyncio.sleep(ROUND_S)

    async def round(self) -> None:
        """Ask once for each; of a slot that is not there, or not known, nothing is told."""
        for name, (address, slot) in self._slots.items():
            held = None
            with suppress(psycopg.Error):  # whoever captures it says that it does not answer
                held = await in_daemon_thread(self._ask, address, slot)
            if held is None:
                self._metrics.retained.remove(name)
                self._metrics.remaining.remove(name)
            else:
                self._metrics.retained.labels(name).set(held.retained)
                self._metrics.remaining.labels(name).set(held.remaining)
