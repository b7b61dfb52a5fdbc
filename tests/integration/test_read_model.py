"""The read model on a real PostgreSQL and broker: rows, kills, changes of generation, rights."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import Any

import psycopg
import pytest
from confluent_kafka import Message, Producer
from prometheus_client import CollectorRegistry

from psastream.check.read_model import ask_read_model
from psastream.query.views import packaged_views
from psastream.read_model import following
from psastream.read_model import mirror as mirrors
from psastream.read_model.following import fill, follow
from psastream.read_model.landing import landing_tables
from psastream.read_model.metrics import ReadModelMetrics
from psastream.read_model.mirror import Mirror, RetiredError
from psastream.read_model.star import BI_ROLE, PAY_ROLE, StarView, star_views
from psastream.read_model.store import META, Generation, Store, migrations
from runtime import offsets
from runtime.kafka import KafkaSettings
from schemas.contracts import value_schema
from schemas.errors import BrokerUnavailableError, ConfigError, ReadModelUnavailableError
from schemas.keys import encode_keys
from tests.support.catalogue import BY_NAME, CATALOGUE
from tests.support.catalogue_pages import DOCS
from tests.support.read_model import (
    SCHEMA_ID,
    any_rows,
    as_user,
    asked,
    joined,
    load,
    message,
    own_database,
)
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack

TABLES = landing_tables(CATALOGUE)
ROLES = BY_NAME["psa.role"]
ENTRIES = BY_NAME["psa.time_entry"]
LIKE = [view for view in star_views() if view.like]


def schema(_: int) -> Any:
    raise AssertionError("not asked")


@pytest.fixture(scope="module")
def url(stack: RunningStack) -> Iterator[str]:
    with own_database(stack.addresses.postgres_dsn) as url:
        yield url


@pytest.fixture(scope="module")
def store(url: str) -> Iterator[Store]:
    with closing(Store(url)) as store:
        assert store.lacks()
        assert store.migrate()
        assert store.migrate() == store.lacks() == []
        yield store


@pytest.fixture
def live(store: Store) -> Generation:
    """A generation of its own, with nothing in it."""
    generation = store.begin(TABLES, "any")
    store.go_live(generation, TABLES)
    return generation


def mirror(store: Store, generation: Generation, topic: str = "psa.role") -> Mirror:
    contract = value_schema(BY_NAME[topic])
    return Mirror(store, generation, TABLES, {SCHEMA_ID: contract}.__getitem__, is_live=True)


def comparable(row: Sequence[Any]) -> str:
    """Return a row so that equal ones are equal: the same zone, nothing else is changed."""
    return repr([each.astimezone(UTC) if isinstance(each, datetime) else each for each in row])


def rows_of(store: Store, generation: Generation, table: str, columns: str) -> list[Any]:
    query = f"SELECT {columns} FROM {generation.schema}.{table} ORDER BY record_key"
    return store.connection.execute(query).fetchall()


def test_the_last_of_a_key_is_the_row_and_a_deleted_key_is_none(
    store: Store, live: Generation
) -> None:
    writer = mirror(store, live)
    first = [
        message(ROLES, 0, "a", {"id": "a", "name": "one"}),
        message(ROLES, 1, "b", {"id": "b"}),
    ]
    writer.write(first, {(ROLES.name, 0): 2})
    then = [
        message(ROLES, 2, "a", {"id": "a", "name": ""}),
        message(ROLES, 3, "c", {"id": "c", "name": "x\n\\.\ny\0z"}),
        message(ROLES, 4, "d", {"id": "d"}),
        message(ROLES, 5, "b", None),
        message(ROLES, 6, "d", None),
    ]
    assert writer.write(then, {(ROLES.name, 0): 7}) == 4
    assert rows_of(store, live, "role", "record_key, name") == [
        ("a", ""),
        ("c", "x\n\\.\ny\N{SYMBOL FOR NULL}z"),
    ]
    assert store.places(live) == {(ROLES.name, 0): 7}


def test_what_is_no_row_is_noted_and_the_next_record_of_its_key_cures_it(
    store: Store, live: Generation
) -> None:
    writer = mirror(store, live, "psa.time_entry")
    batch = [
        message(ENTRIES, 0, "p|a", {"id": "a"}),
        message(ENTRIES, 1, "p|b", b"no avro"),
        message(ENTRIES, 2, "p|c", {"id": "c"}),
    ]
    writer.write(batch, {(ENTRIES.name, 0): 3})
    assert rows_of(store, live, "time_entry", "id") == [("a",), ("c",)]
    [(topic, key, reason)] = store.unreadable(live)
    assert (topic, key) == ("psa.time_entry", "p|b")
    assert reason
    mirror(store, live, "psa.time_entry").write([message(ENTRIES, 3, "p|b", {"id": "b"})], {})
    assert rows_of(store, live, "time_entry", "id") == [("a",), ("b",), ("c",)]
    assert store.unreadable(live) == []


def test_a_key_with_nul_is_written_noted_and_deleted(store: Store, live: Generation) -> None:
    writer = mirror(store, live)
    writer.write([message(ROLES, 0, "a\0b", {"id": "a"})], {})
    shown = "a\N{SYMBOL FOR NULL}b"
    assert rows_of(store, live, "role", "record_key") == [(shown,)]
    writer.write([message(ROLES, 1, "a\0b", b"no avro")], {})
    assert rows_of(store, live, "role", "record_key") == []
    assert [key for _, key, _ in store.unreadable(live)] == [shown]
    writer.write([message(ROLES, 2, "a\0b", {"id": "a"})], {})
    writer.write([message(ROLES, 3, "a\0b", None)], {})
    assert rows_of(store, live, "role", "record_key") == []
    assert store.unreadable(live) == []


@pytest.mark.parametrize("former", [{"id": "former"}, b"no avro", None])
def test_keys_of_other_bytes_and_one_text_are_one_row(
    store: Store, live: Generation, former: Any
) -> None:
    first, latter = message(ROLES, 0, "a", former), message(ROLES, 1, "a", {"id": "latter"})
    [key] = encode_keys(SCHEMA_ID + 1, ["a"])
    assert first.key() != key
    batch = [first, Message(ROLES.name, 0, 1, key, latter.value())]
    assert mirror(store, live).write(batch, {}) == 1
    assert rows_of(store, live, "role", "record_key, id") == [("a", "latter")]
    assert store.unreadable(live) == []


def test_a_row_that_postgresql_does_not_take_holds_up_no_other(
    store: Store, live: Generation
) -> None:
    store.connection.execute(
        """CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           RAISE 'too long' USING ERRCODE = 'string_data_right_truncation'; END $$"""
    )
    store.connection.execute(
        f"CREATE TRIGGER refuse BEFORE INSERT ON {live.schema}.role FOR EACH ROW"
        " WHEN (length(NEW.name) > 3) EXECUTE FUNCTION pg_temp.refuse()"
    )
    names = {"a": "one", "b": "much too long", "c": "two", "d": None}
    batch = [message(ROLES, 0, key, {"id": key, "name": name}) for key, name in names.items()]
    mirror(store, live).write(batch, {})
    assert rows_of(store, live, "role", "id, name") == [("a", "one"), ("c", "two"), ("d", None)]
    [(_, key, reason)] = store.unreadable(live)
    assert key == "b"
    assert reason == "PostgreSQL does not take it: too long"


def test_what_was_written_is_not_written_again_while_a_refused_row_is_looked_for(
    store: Store, live: Generation
) -> None:
    store.connection.execute("CREATE TEMP SEQUENCE tried")
    store.connection.execute(
        """CREATE FUNCTION pg_temp.count() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           PERFORM nextval('tried');
           IF length(NEW.name) > 3 THEN
               RAISE 'too long' USING ERRCODE = 'string_data_right_truncation';
           END IF; RETURN NEW; END $$"""
    )
    store.connection.execute(
        f"CREATE TRIGGER count BEFORE INSERT ON {live.schema}.role FOR EACH ROW"
        " EXECUTE FUNCTION pg_temp.count()"
    )
    rows = [{"id": str(number), "name": "much too long" if number == 7 else None}
            for number in range(8)]  # fmt: skip
    batch = [message(ROLES, number, row["id"], row) for number, row in enumerate(rows)]
    mirror(store, live).write(batch, {})
    assert len(rows_of(store, live, "role", "id")) == 7
    [tried] = store.connection.execute("SELECT last_value FROM tried").fetchone() or (0,)
    assert tried == 8 + (4 + 4) + (2 + 2) + (1 + 1)


def test_rows_and_places_are_written_together_or_not_at_all(store: Store, live: Generation) -> None:
    store.connection.execute(f"ALTER TABLE {live.schema}.time_entry RENAME TO away")
    writer = mirror(store, live)
    batch = [message(ROLES, 0, "a", {"id": "a"}), message(ENTRIES, 0, "p|a", None)]
    with pytest.raises(ReadModelUnavailableError, match="time_entry") as raised:
        writer.write(batch, {(ROLES.name, 0): 1})
    assert "psastream readmodel rebuild" in raised.value.hint
    assert rows_of(store, live, "role", "id") == []
    assert store.places(live) == {}
    writer.write(batch[:1], {(ROLES.name, 0): 1})
    assert rows_of(store, live, "role", "id") == [("a",)]


def test_another_generation_takes_the_views_along_and_who_wrote_the_former_is_refused(
    store: Store, live: Generation
) -> None:
    writer = mirror(store, live)
    store.connection.execute("CREATE VIEW of_the_firm AS SELECT customer FROM psa.dim_customer")
    following = store.begin(TABLES, "other")
    load(store, following, {"psa.status.customer": [{"customer_id": "c", "name": "New"}]})
    store.go_live(following, TABLES)
    assert store.connection.execute("SELECT * FROM of_the_firm").fetchall() == [("New",)]
    with pytest.raises(RetiredError):
        writer.write([message(ROLES, 0, "a", {"id": "a"})], {})
    query = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'psa_landing_%'"
    assert store.connection.execute(query).fetchall() == [(following.schema,)]
    store.connection.execute("DROP VIEW of_the_firm")


@pytest.mark.parametrize("lacking", ["a table", "a column"])
def test_views_of_tables_that_a_generation_has_not_wait_for_the_next(
    store: Store, lacking: str
) -> None:
    earlier = store.begin(TABLES, "earlier")
    store.go_live(earlier, TABLES)
    store.connection.execute(f"DELETE FROM {META}.published")
    store.connection.execute(
        f"DROP TABLE {earlier.schema}.role CASCADE"
        if lacking == "a table"
        else f"ALTER TABLE {earlier.schema}.role DROP COLUMN name CASCADE"
    )

    assert not store.publish(earlier, TABLES)

    later = store.begin(TABLES, "later")
    store.go_live(later, TABLES)
    assert store.connection.execute("SELECT count(*) FROM psa.dim_person").fetchone() == (0,)


def test_a_generation_has_one_writer(url: str, store: Store, live: Generation) -> None:
    assert store.take(live)
    with closing(Store(url)) as other:
        assert not other.take(live)
        assert other.take(None)
    with closing(Store(url)) as other:
        assert other.take(None)
        store.give(live)
        assert other.take(live)


@pytest.mark.parametrize("letter", ["k", "é"])
def test_a_key_too_long_for_an_index_holds_up_no_other(
    store: Store, live: Generation, letter: str
) -> None:
    # Random, for PostgreSQL compresses what it indexes.
    chance = Random(7)
    key = "".join(letter + chance.choice("abcdefgh") for _ in range(4_000))
    writer = mirror(store, live)
    writer.write([message(ROLES, 0, key, {"id": "a"}), message(ROLES, 1, "b", {"id": "b"})], {})
    assert rows_of(store, live, "role", "id") == [("b",)]
    [(topic, shown, reason)] = store.unreadable(live)
    assert (topic, shown[:50], "2,000 bytes" in reason) == (ROLES.name, key[:50], True)
    writer.write([message(ROLES, 2, key, None)], {})
    assert store.unreadable(live) == []


def mock_broker(*, rtt_ms: int = 0) -> tuple[KafkaSettings, list[Any]]:
    """Return a broker in this process with a role in it; it ends when the list is cleared."""
    producer = Producer(
        {"bootstrap.servers": "none", "test.mock.num.brokers": 1, "test.mock.broker.rtt": rtt_ms}
    )
    [broker] = producer.list_topics().brokers.values()
    sent = message(ROLES, 0, "a", {"id": "a"})
    producer.produce(ROLES.name, sent.value(), sent.key())
    assert producer.flush(10) == 0
    return KafkaSettings(bootstrap_servers=f"{broker.host}:{broker.port}"), [producer]


@pytest.fixture
def mortal_broker(monkeypatch: pytest.MonkeyPatch) -> tuple[KafkaSettings, list[Any]]:
    """A broker that a test may end."""
    monkeypatch.setattr(following, "IDLE_S", 0.5)
    return mock_broker()


def followed(
    store: Store, live: Generation, kafka: KafkaSettings, heard: Callable[[int], bool]
) -> None:
    """Follow until `heard`, told the number of times that the broker was heard, has enough."""
    times = 0
    wanted_until_s = time.monotonic() + 120.0
    is_enough = False

    def beat(is_caught_up: bool) -> None:
        nonlocal times, is_enough
        times += is_caught_up
        is_enough = heard(times)

    tables = [table for table in TABLES if table.topic is ROLES]
    follow(
        store,
        live,
        kafka,
        tables,
        {SCHEMA_ID: value_schema(ROLES)}.__getitem__,
        metrics=ReadModelMetrics(CollectorRegistry()),
        is_wanted=lambda: not is_enough and time.monotonic() < wanted_until_s,
        beat=beat,
    )
    assert is_enough


def test_a_topic_in_which_nothing_happens_is_noted_as_followed(
    store: Store, live: Generation, mortal_broker: tuple[KafkaSettings, list[Any]]
) -> None:
    kafka, _ = mortal_broker
    followed(store, live, kafka, lambda times: times == 3)
    assert rows_of(store, live, "role", "id") == [("a",)]


def test_a_generation_is_not_noted_as_followed_while_the_broker_is_away(
    store: Store,
    live: Generation,
    mortal_broker: tuple[KafkaSettings, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mirrors, "SEEN_S", 0.0)
    monkeypatch.setattr(offsets, "METADATA_TIMEOUT_S", 2.0)  # it ends here, and is not waited for
    kafka, owners = mortal_broker
    seen: list[datetime] = []

    def heard(times: int) -> bool:
        if times:
            owners.clear()
            now = store.live()
            assert now is not None
            seen.append(now.seen_at)
        return False

    with pytest.raises(BrokerUnavailableError):
        followed(store, live, kafka, heard)
    now = store.live()
    assert now is not None
    assert now.seen_at == seen[-1]


def test_a_fill_whose_broker_goes_away_says_so_and_ends(
    store: Store, live: Generation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "IDLE_S", 0.5)
    monkeypatch.setattr(offsets, "METADATA_TIMEOUT_S", 2.0)
    kafka, owners = mock_broker(rtt_ms=300)  # it goes away before anything has come
    doubts: list[str] = []
    until_s = time.monotonic() + 120.0

    def is_wanted() -> bool:
        owners.clear()
        return time.monotonic() < until_s

    with pytest.raises(BrokerUnavailableError):
        fill(
            store,
            kafka,
            [table for table in TABLES if table.topic is ROLES],
            "any",
            {SCHEMA_ID: value_schema(ROLES)}.__getitem__,
            metrics=ReadModelMetrics(CollectorRegistry()),
            is_wanted=is_wanted,
            doubt=lambda error: doubts.append(error.detail),
        )
    assert kafka.bootstrap_servers in doubts[0]
    now = store.live()
    assert now is not None
    assert now.number == live.number


@pytest.fixture(scope="module")
def both(store: Store) -> Iterator[Callable[[StarView], tuple[list[Any], list[Any]]]]:
    """What a view answers in the read model, to the pay role, and in `psastream sql`."""
    random = Random(1)
    rows = {table.topic.name: any_rows(table.topic, 25, random) for table in TABLES}
    rates = {"1": Decimal("100.0700"), "2": Decimal("99.0000"), "9": None}
    for number, rate in rates.items():
        ref, entry = f"psa:project:{number}", f"blocked:{number}"
        rows["psa.status.billing"].append(
            {"project_ref": ref, "currency": "EUR", "state": "blocked"}
        )
        rows["psa.time_entry"].append(
            {"id": entry, "project_ref": ref, "resource_id": "adr-1", "work_on": date(2026, 3, 2),
             "status": "approved", "is_billable": True, "seconds": -3001, "bill_rate": rate,
             "currency": "EUR"}
        )  # fmt: skip
    rows["psa.exception"].append(
        {"exception_id": "billing:blocked:2|psa:project:1", "status": "open",
         "natural_key": "blocked:2", "kind": "billed_time_changed", "hint": "credit it"}
    )  # fmt: skip
    generation = store.begin(TABLES, "both")
    load(store, generation, rows)
    store.go_live(generation, TABLES)
    session = asked(rows)

    def answers(view: StarView) -> tuple[list[Any], list[Any]]:
        [twin] = [each for each in packaged_views() if each.name == view.like]
        listed = ", ".join(f'"{column.name}"' for column in twin.columns)
        theirs = list(session.ask(f"SELECT {listed} FROM {view.like}").rows)
        ours = store.connection.execute(f"SELECT {listed} FROM psa.{view.like}").fetchall()
        return sorted(map(comparable, ours)), sorted(map(comparable, theirs))

    yield answers


@pytest.mark.parametrize("view", LIKE, ids=lambda view: view.name)
def test_a_view_says_what_psastream_sql_says(
    both: Callable[[StarView], tuple[list[Any], list[Any]]], view: StarView
) -> None:
    ours, theirs = both(view)
    assert len(ours) > 1
    assert ours == theirs


@pytest.mark.parametrize("view", star_views(), ids=lambda view: view.name)
def test_a_view_has_the_columns_that_its_file_explains(
    store: Store, live: Generation, view: StarView
) -> None:
    query = """SELECT attname, col_description(attrelid, attnum) FROM pg_attribute
               WHERE attrelid = %s::regclass ORDER BY attnum"""
    for name in filter(None, (view.name, view.like)):
        found = store.connection.execute(query, (f"psa.{name}",)).fetchall()
        assert found == [(it.name, f"{it.unit}: {it.meaning}") for it in view.columns]


def test_ids_of_facts_are_those_of_dimensions(store: Store, live: Generation) -> None:
    rows = {
        "psa.resource": [
            {"id": "p", "resource_id": "res-1", "name": "Ada", "address_id": "adr"},
        ],
        "psa.status.project": [{"project_id": "eng-1-DE", "customer_id": "cus-1"}],
        "psa.status.customer": [{"customer_id": "cus-1"}],
        "psa.project": [{"id": "psa:project:1", "project_id": "eng-1-DE"}],
        "psa.status.billing": [
            {"project_ref": "psa:project:1", "currency": "EUR", "state": "blocked"}
        ],
        "psa.time_entry": [
            {"id": "t", "project_ref": "psa:project:1", "resource_id": "adr", "seconds": 60,
             "work_on": date(2026, 3, 2), "status": "approved", "is_billable": True,
             "currency": "EUR"},
        ],
    }  # fmt: skip
    load(store, live, rows)
    found = joined(store.connection)
    for view in ("fact_time_entry", "pay_time_entry", "fact_blocked_time", "bridge_address"):
        assert found[f"{view}.resource_id"] == (0, 1), view
    assert found["fact_time_entry.project_id"] == found["fact_time_entry.customer_id"] == (0, 1)


RATES: dict[str, int | None] = {
    "a": 60, "b": 60, "c": 60, "seat": 60, "cheap": 1, "other": 2, "free": 0, "rateless": None,
}  # fmt: skip
WORKED: dict[str, list[tuple[str, int]]] = {
    "alone": [("a", 3600), ("a", 3600)],
    "cancelled": [("a", 3600), ("b", 3600), ("c", 900), ("c", -900)],
    "cheap": [("a", 3600), ("cheap", 3600), ("other", 3600)],
    "expenses": [],
    "free": [("a", 3600), ("b", 3600), ("free", 3600)],
    "mostly": [("a", 8105), ("b", 1013), ("c", 1013)],
    "nobody": [("seat", 3600)],
    "rateless": [("rateless", 3600)],
    "three": [("a", 20_000), ("a", -11_896), ("b", 1013), ("c", 1013)],
    "two": [("a", 3600), ("b", 3600), ("seat", 3600)],
    "undone": [("a", 3600), ("a", -3600)],
    "unpriced": [("a", 3600), ("b", 3600), ("rateless", 3600)],
    "volunteer": [("free", 3600)],
}
"""Person and seconds of the time of each project: the cost of a in `three` is 80 % of it."""
COSTS = {
    ref: sum(seconds * (RATES[person] or 0) for person, seconds in worked)
    for ref, worked in WORKED.items()
}

WITHHELD = {
    "alone": "one_person",
    "cancelled": "few_people",
    "cheap": "mostly_one_person",
    "free": "few_people",
    "mostly": "mostly_one_person",
    "nobody": "few_people",
    "two": "few_people",
    "undone": "few_people",
    "unpriced": "few_people",
    "volunteer": "few_people",
}

PAY: dict[str, Any] = {
    "psa.metric.project_margin": [
        {"project_ref": ref, "project_id": ref, "period": "2026-03", "currency": "EUR",
         "seconds": sum(seconds for _, seconds in worked), "revenue": 100, "cost": COSTS[ref],
         "margin": 100 - COSTS[ref], "margin_ratio": 0}
        for ref, worked in WORKED.items()
    ],
    "psa.time_entry": [
        {"id": f"{ref}{number}", "project_ref": ref, "seconds": seconds,
         "resource_id": {"seat": "desk"}.get(person, person), "status": "approved",
         "currency": "EUR", "cost_rate": RATES[person]}
        for ref, worked in WORKED.items()
        for number, (person, seconds) in enumerate(worked)
    ],
    "psa.resource": [
        {"id": "s", "resource_id": "seat", "kind": "placeholder", "address_id": "desk"}
    ],
    "psa.status.project": [{"project_id": ref, "budget_cost": COSTS[ref]} for ref in WORKED],
    "psa.status.assignment": [
        {"id": f"{ref}{number}", "project_id": ref, "resource_id": person, "status": "approved",
         "planned_hours": seconds,
         "planned_cost": None if (rate := RATES[person]) is None else seconds * rate}
        for ref, worked in WORKED.items()
        for number, (person, seconds) in enumerate(worked)
    ],
    "psa.rate_card": [{"id": "r", "resource_id": "a", "cost_rate": 60}],
}  # fmt: skip


@pytest.fixture
def asking(store: Store, url: str) -> Iterator[Callable[[str, str], list[Any]]]:
    """Asks as a user who is in a role."""
    rows = {
        topic: [
            {
                name: str(value)
                if name == "id"
                else Decimal(value)
                if value is not None and name in ("revenue", "cost", "margin", "margin_ratio",
                            "cost_rate", "budget_cost", "planned_cost", "planned_hours")
                else value
                for name, value in row.items()
            } | ({"work_on": date(2026, 3, 2)} if topic == "psa.time_entry" else {})
            for row in found
        ]
        for topic, found in PAY.items()
    }  # fmt: skip
    generation = store.begin(TABLES, "pay")
    load(store, generation, rows)
    store.go_live(generation, TABLES)
    users = {BI_ROLE: f"bi_{generation.number}", PAY_ROLE: f"pay_{generation.number}"}
    for role, user in users.items():
        store.connection.execute(f"CREATE ROLE {user} LOGIN IN ROLE {role}")

    def ask(role: str, query: str) -> list[Any]:
        with psycopg.connect(as_user(url, users[role])) as connection:
            return connection.execute(query).fetchall()

    yield ask
    for user in users.values():
        store.connection.execute(f"DROP ROLE {user}")


MARGINS = "SELECT project_ref, cost, margin, cost_withheld FROM {} ORDER BY 1"


@pytest.mark.parametrize("view", ["psa.fact_project_month_margin", "psa.margin_by_project_month"])
def test_a_margin_that_tells_what_a_person_costs_is_withheld(
    asking: Callable[[str, str], list[Any]], view: str
) -> None:
    assert asking(BI_ROLE, MARGINS.format(view)) == [
        (ref, None, None, WITHHELD[ref]) if ref in WITHHELD else (ref, cost, 100 - cost, None)
        for ref, cost in COSTS.items()
    ]
    assert asking(PAY_ROLE, MARGINS.format(view)) == [
        (ref, cost, 100 - cost, None) for ref, cost in COSTS.items()
    ]


def test_planned_cost_that_tells_what_a_person_costs_is_withheld(
    asking: Callable[[str, str], list[Any]],
) -> None:
    budgets = "SELECT project_id, budget_cost, cost_withheld FROM psa.dim_project ORDER BY 1"
    assert asking(BI_ROLE, budgets) == [
        (ref, None, WITHHELD[ref]) if ref in WITHHELD else (ref, cost, None)
        for ref, cost in COSTS.items()
    ]
    assert asking(PAY_ROLE, budgets) == [(ref, cost, None) for ref, cost in COSTS.items()]
    planned = "SELECT count(planned_cost) FROM psa.fact_assignment"
    assert asking(BI_ROLE, planned) == [(0,)]
    [(told,)] = asking(PAY_ROLE, planned)
    assert told > len(WORKED)


@pytest.mark.parametrize("are_made_anew", [False, True])
def test_margins_that_the_firm_took_from_the_bi_role_stay_with_the_pay_role(
    store: Store, asking: Callable[[str, str], list[Any]], are_made_anew: bool
) -> None:
    taken = "psa.fact_project_month_margin, psa.margin_by_project_month"
    store.connection.execute(f"REVOKE SELECT ON {taken} FROM {BI_ROLE}")
    if are_made_anew:
        store.connection.execute("DROP VIEW psa.dim_date, psa.pipeline CASCADE")
        store.connection.execute("CREATE VIEW psa.dim_date AS SELECT 1 AS other")
        later = "CREATE VIEW psa.of_a_later_release AS SELECT other FROM psa.dim_date"
        store.connection.execute(later)
    store.connection.execute(f"GRANT CREATE ON SCHEMA psa TO {PAY_ROLE}")
    store.connection.execute("CREATE VIEW psa.of_an_analyst AS SELECT 1 AS own")
    store.connection.execute(f"ALTER VIEW psa.of_an_analyst OWNER TO {PAY_ROLE}")
    following = store.begin(TABLES, "taken")
    store.go_live(following, TABLES)
    try:
        assert asking(PAY_ROLE, MARGINS.format("psa.margin_by_project_month")) == []
        for view in taken.split(", "):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                asking(BI_ROLE, MARGINS.format(view))
        assert asking(BI_ROLE, "SELECT 1 FROM psa.pipeline") == []
        assert asking(BI_ROLE, "SELECT 1 FROM psa.fact_time_entry") == []
        assert asking(PAY_ROLE, "SELECT own FROM psa.of_an_analyst") == [(1,)]
    finally:
        store.connection.execute("DROP VIEW psa.of_an_analyst")
        store.connection.execute(f"REVOKE CREATE ON SCHEMA psa FROM {PAY_ROLE}")
        store.connection.execute(f"GRANT SELECT ON {taken} TO {BI_ROLE}")


def test_rates_are_for_the_pay_role_alone(
    store: Store, asking: Callable[[str, str], list[Any]]
) -> None:
    rates = "SELECT cost_rate FROM psa.pay_rate"
    assert asking(PAY_ROLE, rates) == [(60,)]
    assert len(asking(PAY_ROLE, "SELECT cost_rate FROM psa.pay_time_entry")) == sum(
        map(len, WORKED.values())
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        asking(BI_ROLE, rates)
    # Also one to whom the view was granted by mistake, for the rows are not his.
    store.connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA psa TO {BI_ROLE}")
    live = store.live()
    assert live is not None
    store.connection.execute(f"GRANT USAGE ON SCHEMA {live.schema} TO {BI_ROLE}")
    store.connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {live.schema} TO {BI_ROLE}")
    assert asking(BI_ROLE, rates) == []


def test_a_user_who_may_make_no_roles_is_told_which_an_administrator_makes(
    store: Store, url: str
) -> None:
    with closing(Store(url)) as other:
        other.connection.execute("CREATE ROLE nobody_special LOGIN")
    try:
        poor = closing(Store(as_user(url, "nobody_special")))
        with poor as store_of_poor, pytest.raises(ReadModelUnavailableError) as raised:
            store_of_poor.migrate()
        assert "GRANT" in raised.value.hint
    finally:
        store.connection.execute("DROP ROLE nobody_special")


def test_a_check_says_what_a_user_may_and_changes_nothing(store: Store, url: str) -> None:
    found = ask_read_model(url, TABLES, None)
    assert (found.may_make_schemas, found.may_make_roles, found.foreign) == (True, True, [])
    assert (found.roles, found.lacks) == ([BI_ROLE, PAY_ROLE], [])
    assert found.live == store.live()
    store.connection.execute("CREATE ROLE asks_only LOGIN")
    try:
        poor = ask_read_model(as_user(url, "asks_only"), TABLES, None)
        assert (poor.may_make_schemas, poor.may_make_roles) == (False, False)
        assert poor.foreign == ["psa", "read_model"]
    finally:
        store.connection.execute("DROP ROLE asks_only")
    with own_database(url) as empty:
        assert ask_read_model(empty, TABLES, None).lacks == [name for name, _ in migrations()]
        with psycopg.connect(empty) as connection:
            connection.execute("CREATE SCHEMA read_model")
        assert ask_read_model(empty, TABLES, None).lacks
        with psycopg.connect(empty) as connection:
            query = "SELECT 1 FROM pg_class WHERE relnamespace = 'read_model'::regnamespace"
            assert connection.execute(query).fetchall() == []


def test_a_read_model_of_a_later_version_is_told(store: Store) -> None:
    with store.connection.transaction(force_rollback=True):
        store.connection.execute("INSERT INTO read_model.migration VALUES ('9999_later', '')")
        with pytest.raises(ConfigError, match="of a later version: it has 9999_later"):
            store.lacks()


def test_a_database_that_is_away_is_told_in_a_line(url: str) -> None:
    with pytest.raises(ReadModelUnavailableError, match="does not answer") as raised:
        Store("postgresql://x:secret@127.0.0.1:9/none")
    assert "PSASTREAM_READ_MODEL_URL" in raised.value.hint
    assert "secret" not in str(raised.value)


PAGE = (DOCS / "read-model.md").read_text()
SHOWN = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
QUERIES = [each for block in SHOWN for each in block.split(";\n") if "FROM psa." in each]


def test_the_queries_of_the_page_are_answered(
    both: Callable[[StarView], tuple[list[Any], list[Any]]], store: Store
) -> None:
    both(LIKE[0])
    assert len(QUERIES) == 3
    for query in QUERIES:
        store.connection.execute(query.encode())
