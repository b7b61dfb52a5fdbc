"""Gathers the evidence of an audit: vendors' books, PSA tables, published topics, writes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row
from stamina import retry_context

from runtime.kafka import KafkaSettings, read_compacted, read_topic
from runtime.registry import Registry
from runtime.serde import Serde
from sandbox.books.audit import DEAD_LETTERS, PUBLISHED, Evidence
from sandbox.books.offices import topics_of
from sandbox.books.rows import SourceRows
from sandbox.books.status import Expected
from sandbox.vendors.client import VendorAdmin
from schemas.contracts import value_schema
from schemas.topics import BY_NAME

DATABASE: Final = "inhouse"
"""The PSA that is a database; others are vendors."""
ASKED_MAX: Final = 5
_TABLES: Final = ("projects", "time_entries", "expenses")


class Library:
    """Reads everything an audit looks at. Not for more than one thread."""

    def __init__(
        self,
        kafka: KafkaSettings,
        registry_url: str,
        admin: VendorAdmin,
        postgres_dsn: str,
        *,
        crm: str = "salesforce",
        psa: str = DATABASE,
        erps: tuple[str, ...] = ("netsuite",),
        resource: str = "float",
        takes_status: bool = False,
        offices: tuple[str, ...] = (),
        serde: Serde | None = None,
    ) -> None:
        """`crm`, `psa`, `erps` and `resource` are the systems in those roles, `offices` those of
        HR, payroll and procurement.

        `takes_status`: the CRM is told what becomes of its deals. `serde` reads what is encrypted.
        """
        self._erps = erps
        self._offices = offices
        self._crm = crm
        self._psa = psa
        self._resource = resource
        self._takes_status = takes_status
        self._kafka = kafka
        self._registry_url = registry_url
        self._serde = serde or Serde(Registry(registry_url))
        self._admin = admin
        self._postgres_dsn = postgres_dsn

    def source_rows(self) -> SourceRows:
        """Return the rows of all source systems as of now."""
        tables: dict[str, Mapping[str, Iterable[Mapping[str, Any]]]] = {**self._admin.books()}
        if self._psa == DATABASE:
            tables[DATABASE] = self._database()
        today = datetime.now(UTC).date()
        return SourceRows.of(
            tables,
            today,
            crm=self._crm,
            psa=self._psa,
            erps=self._erps,
            resource=self._resource,
            takes_status=self._takes_status,
            offices=self._offices,
        )

    def _database(self) -> dict[str, list[dict[str, Any]]]:
        with psycopg.connect(self._postgres_dsn, row_factory=dict_row) as connection:
            return {
                table: connection.execute(f"SELECT * FROM inhouse.{table}").fetchall()  # noqa: S608 - a name of ours
                for table in _TABLES
            }

    def published(self, topic: str) -> Expected:
        """Return the rows of a compacted topic by row id. Raises TransientError.

        A field that an earlier release did not write yet is null, as whoever reads by today's
        contract has it.
        """
        row_id = BY_NAME[topic].row_id
        fields: Any = value_schema(BY_NAME[topic]).parsed["fields"]
        nothing = dict.fromkeys(each["name"] for each in fields)
        return {
            row_id(self._serde.read_key(key)): nothing | self._serde.read(value)
            for key, value in read_compacted(self._kafka, topic).items()
        }

    def history(self, topic: str) -> list[Mapping[str, Any]]:
        """Return every value of a topic that the broker holds, deletions left out.

        Those of one key come in their order. Raises TransientError.
        """
        return [
            self._serde.read(value)
            for message in read_topic(self._kafka, topic)
            if (value := message.value()) is not None
        ]

    def ask_for_retry(self, reason: str) -> None:
        """Have refused commands tried again, as `psastream exceptions retry --class` does."""
        environment = {
            **os.environ,
            "PSASTREAM_BOOTSTRAP_SERVERS": self._kafka.bootstrap_servers,
            "PSASTREAM_REGISTRY_URL": self._registry_url,
        }
        command = [sys.executable, "-m", "psastream", "exceptions", "retry", "--class", reason]
        for attempt in retry_context(on=subprocess.CalledProcessError, attempts=ASKED_MAX):
            with attempt:  # a broker that is slow to answer ends the command
                subprocess.run(command, env=environment, check=True, capture_output=True)

    def dead_letters(self) -> list[str]:
        """Return an identity for each dead letter; a record captured twice has it twice."""
        letters = self.history(DEAD_LETTERS)
        return [f"{letter['topic']} {letter['key']!r}" for letter in letters]

    def evidence(self, topics: Collection[str] | None = None) -> Evidence:
        """Return everything as of now; of the published topics, only those asked for."""
        compared = (*PUBLISHED, *topics_of(self._offices))
        return Evidence(
            rows=self.source_rows(),
            published={
                topic: self.published(topic)
                for topic in compared
                if topics is None or topic in topics
            },
            effects=self._admin.effects(),
            dead_letters=self.dead_letters(),
        )
