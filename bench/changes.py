"""Time-entry changes as Debezium writes them, and what they must add up to.

Half of the changes are updates, scattered far from their inserts; some rows move to another
project and some are deleted; projects are skewed. Rows are plain integers and texts until they
are encoded, so the truth is computed from them without any code of the product.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from schemas.codec.framing import frame, unframe
from schemas.codec.record import AvroSchema, RecordCodec, load_schema

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "debezium_inhouse.json"
FIRST_DAY = date(2026, 1, 1)
EPOCH = date(1970, 1, 1)
TIME_ENTRIES = "src.inhouse.time_entries"
PROJECTS = "src.inhouse.projects"


def project_id(number: int) -> str:
    """Return the source id of a project."""
    return f"inhouse:project:{number}"


def person_id(number: int) -> str:
    """Return what identifies a person in time entries."""
    return f"person{number}@example.com"


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of a time entry; hours in hundredths, rates in ten-thousandths."""

    id: int
    project: int
    person: int
    day: int
    hours: int
    bill_rate: int
    cost_rate: int
    status: str
    is_billable: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A new version of an entry, or its deletion."""

    id: int
    entry: Entry | None


class Changes:
    """A seeded history of `count` changes over `projects` projects."""

    def __init__(self, count: int, projects: int, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._projects = projects
        self.count = count
        self.rows: dict[int, Entry] = {}

    def __iter__(self) -> Iterator[Change]:
        rng = self._random
        for index in range(self.count):
            live = len(self.rows)
            if index % 2 == 0 or not live:
                entry = self._entry(index)
            else:
                known = rng.randrange(0, index, 2)
                old = self.rows.get(known)
                if old is None:
                    entry = self._entry(index)
                elif rng.random() < 0.02:
                    del self.rows[known]
                    yield Change(known, None)
                    continue
                else:
                    project = self._project() if rng.random() < 0.05 else old.project
                    status = rng.choice(("submitted", "approved", "approved", "rejected"))
                    entry = Entry(
                        known,
                        project,
                        old.person,
                        old.day,
                        rng.randrange(25, 1000),
                        old.bill_rate,
                        old.cost_rate,
                        status,
                        old.is_billable,
                    )
            self.rows[entry.id] = entry
            yield Change(entry.id, entry)

    def _project(self) -> int:
        # Squaring a uniform number makes few projects busy and many quiet.
        return int(self._random.random() ** 2 * self._projects)

    def _entry(self, identity: int) -> Entry:
        rng = self._random
        return Entry(
            identity,
            self._project(),
            rng.randrange(2000),
            rng.randrange(180),
            rng.randrange(25, 1000),
            rng.randrange(1_000_000, 3_000_000),
            rng.randrange(400_000, 900_000),
            rng.choice(("draft", "submitted", "approved")),
            rng.random() < 0.8,
        )

    def margins(self) -> dict[tuple[str, str], tuple[Decimal, Decimal, Decimal]]:
        """Return (hours, revenue, cost) by (project, month) of the rows as they are now."""
        totals: dict[tuple[str, str], list[int]] = {}
        for entry in self.rows.values():
            if entry.status != "approved":
                continue
            month = f"{FIRST_DAY + timedelta(days=entry.day):%Y-%m}"
            total = totals.setdefault((project_id(entry.project), month), [0, 0, 0])
            total[0] += entry.hours
            total[1] += entry.hours * entry.bill_rate if entry.is_billable else 0
            total[2] += entry.hours * entry.cost_rate
        return {
            key: (Decimal(h).scaleb(-2), Decimal(r).scaleb(-6), Decimal(c).scaleb(-6))
            for key, (h, r, c) in totals.items()
        }

    def utilizations(self) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
        """Return (billable hours, hours) by (person, ISO week) of the rows as they are now."""
        totals: dict[tuple[str, str], list[int]] = {}
        for entry in self.rows.values():
            if entry.status != "approved":
                continue
            year, week, _ = (FIRST_DAY + timedelta(days=entry.day)).isocalendar()
            total = totals.setdefault((person_id(entry.person), f"{year}-W{week:02d}"), [0, 0])
            total[0] += entry.hours if entry.is_billable else 0
            total[1] += entry.hours
        return {
            key: (Decimal(billable).scaleb(-2), Decimal(hours).scaleb(-2))
            for key, (billable, hours) in totals.items()
        }


class DebeziumWriter:
    """Encodes changes with the schemas a real connector registered (`tests/golden`)."""

    def __init__(self) -> None:
        golden = json.loads(GOLDEN.read_text())
        self._schemas: dict[str, AvroSchema] = {}
        self.subjects: dict[str, AvroSchema] = {}
        self._sources: dict[str, dict[str, object]] = {}
        for record in golden["records"]:
            topic = record["topic"]
            if record["value"] is None or topic in self._sources:
                continue
            schema_id, payload = unframe(base64.b64decode(record["value"]))
            schema = load_schema(golden["schemas"][str(schema_id)])
            self.subjects[f"{topic}-value"] = schema
            self.subjects[f"{topic}-key"] = _key_schema(topic)
            source = RecordCodec(schema).decode(payload)["source"]
            assert isinstance(source, dict)
            self._sources[topic] = source
        self._codecs = {name: RecordCodec(schema) for name, schema in self.subjects.items()}
        self.ids: dict[str, int] = {}

    def key(self, topic: str, identity: int) -> bytes:
        """Encode the primary key."""
        subject = f"{topic}-key"
        return frame(self.ids[subject], self._codecs[subject].encode({"id": identity}))

    def project(self, number: int) -> bytes:
        """Encode the snapshot row of a project that belongs to no deal of ours."""
        row = {
            "id": number,
            "name": f"Project {number}",
            "opportunity_ref": None,
            "country_code": "DE",
            "currency": "EUR",
            "status": "active",
            "starts_on": None,
            "ends_on": None,
            "updated_at": "2026-01-01T00:00:00.000000Z",
        }
        return self._envelope(PROJECTS, row, None, 1)

    def entry(self, change: Change, position: int) -> bytes:
        """Encode a change of a time entry."""
        entry = change.entry
        if entry is None:
            return self._envelope(TIME_ENTRIES, None, _deleted(change.id), position)
        row = {
            "id": entry.id,
            "project_id": entry.project,
            "task_id": entry.project * 10,
            "worker_email": person_id(entry.person),
            "work_on": (FIRST_DAY - EPOCH).days + entry.day,
            "hours": f"{Decimal(entry.hours).scaleb(-2):f}",
            "minutes": None,
            "is_billable": entry.is_billable,
            "status": entry.status,
            "bill_rate": f"{Decimal(entry.bill_rate).scaleb(-4):f}",
            "cost_rate": f"{Decimal(entry.cost_rate).scaleb(-4):f}",
            "currency": "EUR",
            "notes": "worked on the ticket",
            "updated_at": "2026-06-30T10:00:00.000000Z",
        }
        return self._envelope(TIME_ENTRIES, row, None, position)

    def _envelope(
        self,
        topic: str,
        after: dict[str, object] | None,
        before: dict[str, object] | None,
        position: int,
    ) -> bytes:
        subject = f"{topic}-value"
        source = {**self._sources[topic], "lsn": position, "snapshot": "false"}
        envelope = {
            "before": before,
            "after": after,
            "source": source,
            "transaction": None,
            "op": "d" if after is None else "u",
            "ts_ms": 1_770_000_000_000,
            "ts_us": 1_770_000_000_000_000,
            "ts_ns": 1_770_000_000_000_000_000,
        }
        return frame(self.ids[subject], self._codecs[subject].encode(envelope))


def _key_schema(topic: str) -> AvroSchema:
    """Return the schema Debezium gives to the key of a table whose primary key is `id`."""
    fields = [{"name": "id", "type": "long"}]
    definition = {"type": "record", "name": "Key", "namespace": topic, "fields": fields}
    return load_schema(json.dumps(definition))


def _deleted(identity: int) -> dict[str, object]:
    """Return what `before` holds with the default replica identity: the key, defaults beside."""
    return {
        "id": identity,
        "project_id": 0,
        "task_id": None,
        "worker_email": "",
        "work_on": 0,
        "hours": "0.00",
        "minutes": None,
        "is_billable": False,
        "status": "",
        "bill_rate": "0.0000",
        "cost_rate": "0.0000",
        "currency": "",
        "notes": None,
        "updated_at": "1970-01-01T00:00:00.000000Z",
    }
