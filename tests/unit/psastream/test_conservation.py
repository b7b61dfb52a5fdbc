"""Numbers that do not add up: told once they stay, with the money that is in doubt."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

import duckdb
from prometheus_client import CollectorRegistry

from psastream.read_model.conservation import (
    DIFFERENCES,
    LOOK_EVERY_S,
    Conservation,
    ConservationMetrics,
    Row,
)
from schemas.errors import ReadModelUnavailableError

SECONDS = "psastream_conservation_difference_seconds"
MONEY = "psastream_conservation_doubtful_money"


class World:
    """A comparison whose database answers as it is told, after so many seconds."""

    def __init__(self, takes_s: float = 0.1) -> None:
        self.registry = CollectorRegistry()
        self.at_s, self.asked, self.takes_s = 0.0, 0, takes_s
        self.rows: list[Row] = []
        metrics = ConservationMetrics(self.registry)
        self.conservation = Conservation(metrics, clock_s=lambda: self.at_s)

    def answer(self) -> Iterable[Row]:
        self.asked += 1
        self.at_s += self.takes_s
        return self.rows

    def after(self, seconds: float, *rows: Row) -> None:
        self.at_s += seconds
        self.rows = list(rows)
        self.conservation.look(self.answer)

    def told(self, metric: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(metric, labels)


def test_a_difference_counts_once_it_is_found_again() -> None:
    world = World()
    world.after(0, ("p1", 3600, 0, "EUR", Decimal("100.50")), ("p2", 0, 60, None, None))
    assert world.told(SECONDS, between="entries_margin") == 0
    world.after(
        LOOK_EVERY_S,
        ("p1", 3600, 0, "EUR", Decimal("100.50")),
        ("p1", 3600, 0, "USD", Decimal(7)),
        ("p2", 0, 90, None, None),  # on its way
        ("p3", 0, -30, "EUR", Decimal(1)),
    )
    assert world.told(SECONDS, between="entries_margin") == 3600
    assert world.told(SECONDS, between="margin_billing") == 0
    assert (world.told(MONEY, currency="EUR"), world.told(MONEY, currency="USD")) == (100.5, 7)
    world.after(LOOK_EVERY_S, ("p3", 0, -30, "EUR", Decimal(1)))
    assert world.told(SECONDS, between="entries_margin") == 0
    assert world.told(SECONDS, between="margin_billing") == 30
    assert (world.told(MONEY, currency="EUR"), world.told(MONEY, currency="USD")) == (1, None)


def test_a_database_that_does_not_answer_is_asked_again_and_stops_nothing() -> None:
    world = World()

    def away() -> Iterable[Row]:
        raise ReadModelUnavailableError("away")

    world.conservation.look(away)
    assert world.told("psastream_conservation_checked_timestamp_seconds") == 0
    world.after(LOOK_EVERY_S)
    assert world.told(SECONDS, between="entries_margin") == 0


def test_a_database_that_takes_long_is_asked_seldom() -> None:
    world = World(takes_s=10)
    world.after(0)
    world.after(LOOK_EVERY_S)
    world.after(400)
    assert world.asked == 1
    world.after(50)
    assert world.asked == 2


def test_projects_are_found_whose_entries_margins_and_billing_states_differ() -> None:
    database = duckdb.connect()
    database.execute(
        """
        CREATE SCHEMA landing;
        CREATE TABLE landing.project (id TEXT);
        CREATE TABLE landing.time_entry (project_ref TEXT, status TEXT, seconds BIGINT);
        CREATE TABLE landing.metric_project_margin (project_ref TEXT, seconds BIGINT);
        CREATE TABLE landing.status_billing
            (project_ref TEXT, currency TEXT, amount DECIMAL(38, 6), seconds BIGINT);
        INSERT INTO landing.project VALUES ('even'), ('lost'), ('unbilled'), ('none');
        INSERT INTO landing.time_entry VALUES
            ('even', 'approved', 60), ('even', 'approved', 40), ('even', 'draft', 7),
            ('lost', 'approved', 30), ('unbilled', 'approved', 50), ('parked', 'approved', 99);
        INSERT INTO landing.metric_project_margin VALUES
            ('even', 100), ('lost', 20), ('unbilled', 50), ('gone', 5);
        INSERT INTO landing.status_billing VALUES
            ('even', 'EUR', 10, 130), ('even', 'EUR', -3, -30), ('lost', 'EUR', 2, 20),
            ('unbilled', 'EUR', 8, 15), ('unbilled', 'EUR', -1, -5), ('unbilled', 'CHF', 4, 0);
        """
    )
    found = database.execute(DIFFERENCES.format(schema="landing")).fetchall()
    assert sorted(found, key=str) == [
        ("gone", -5, 5, None, None),
        ("lost", 10, 0, "EUR", Decimal(2)),
        ("unbilled", 0, 40, "CHF", Decimal(4)),
        ("unbilled", 0, 40, "EUR", Decimal(9)),
    ]
    assert not re.search(r"\bparked\b", str(found))  # nobody knows its project yet
