"""The whole product on real parts: one story, every table against the books, and what is left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from typer.testing import CliRunner, Result

from connectors.dispatch.decisions import DECISIONS as COMMAND_DECISIONS
from psastream.cli import app
from psastream.letters import DECISIONS
from psastream.query.views import packaged_views
from psastream.read_model.landing import landing_tables
from runtime.kafka import KafkaSettings, make_producer, read_compacted, topic_spans
from runtime.registry import Registry
from runtime.serde import Serde
from schemas.topics import BOOKMARKS, SOURCE_ORDERS, STATE_LOGS, state_topic
from streams.agents.lookups import PROJECTIONS
from tables.measures.own_rows import PARTIAL_TOPIC
from tests.support.catalogue import CATALOGUE, OF_NO_SYSTEM
from tests.support.dashboards import (
    FILES,
    answers_differ,
    prometheus_queries,
    scraped,
    something,
)
from tests.support.eventually import eventually
from tests.support.kept_demo import KeptDemo
from tests.support.read_model import differences, joined

pytestmark = pytest.mark.stack

PRIVATE = {BOOKMARKS.name, SOURCE_ORDERS.name, *(topic.name for topic in STATE_LOGS)}
VIEWS = packaged_views()
MARGIN = "psa.metric.project_margin"
TOPICS = [topic for topic in CATALOGUE if topic.name not in PRIVATE]
# The firm of the demo has no measures of its own, its mappings look nothing up, nobody decides
# about dead letters, and it has not every system.
EMPTY = {PARTIAL_TOPIC, PROJECTIONS.name, DECISIONS, COMMAND_DECISIONS} | OF_NO_SYSTEM


def test_all_books_agree_after_the_story(kept_demo: KeptDemo) -> None:
    assert "all books agree" in kept_demo.printed
    assert not re.search(r"\w+ ended\s+with\s+code", kept_demo.printed)  # no part gave up


def test_the_end_says_what_was_done_for_the_firm(kept_demo: KeptDemo) -> None:
    _, _, end = kept_demo.printed.partition("Margin by project and month")
    for text in (
        "Nordlicht grid transformation DE, for Nordlicht Energie SE",
        "  2026-09 ",
        "Ada Adler ",
        "netsuite project: Please enter value(s) for: Tax Code",
        "  released ",
        "From the commit in the database of inhouse",
    ):
        assert text in end
    for nothing in ("no margins", "no utilization", "no exceptions", "no latency"):
        assert nothing not in end


def test_commands_work_as_they_are_printed(kept_demo: KeptDemo) -> None:
    """In another shell, which knows nothing."""
    _, _, rest = kept_demo.printed.partition("in another shell:\n")
    block, _, _ = rest.partition("Addresses:\n")
    shell = subprocess.run(
        ["sh", "-e", "-c", block],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shell.returncode == 0, shell.stdout + shell.stderr
    for said in ("Nordlicht control room (DE)", "Tax Code", "dispatcher"):
        assert said in shell.stdout


def test_the_status_tells_that_all_works(kept_demo: KeptDemo) -> None:
    def well() -> str:  # a part of a busy machine may not answer in time
        shown = in_another_shell(kept_demo, "psastream status --json")
        return shown.stdout if shown.returncode == 0 else ""

    told = json.loads(eventually(well, deadline_s=120))
    assert told["unknown"] == []
    ready = {each["name"]: each["is_ready"] for each in told["processes"]}
    assert ready == {"readmodel": True, "worker": True, "poller": True, "dispatcher": True}
    lags = {each["group"]: (each["members"], each["records"]) for each in told["groups"]}
    groups = ("normalize", "customer", "engagement", "project", "rollup", "dispatch")
    assert lags == dict.fromkeys(groups, (1, 0))
    assert [each["is_running"] for each in told["connectors"]] == [True]
    captured = {each["system"]: each["captured_at"] for each in told["sources"]}
    assert set(captured) == {"salesforce", "netsuite", "float", "inhouse"} and all(
        captured.values()
    )
    assert {each["target"]: each["is_paused"] for each in told["targets"]} == {
        "netsuite": False,
        "float": False,
    }
    assert told["exceptions"]["open"] > 0 and told["exceptions"]["money"]
    assert [each["error_code"] for each in told["dead_letters"]] == ["record.invalid_entity"]
    assert all(each["newest_at"] for each in told["numbers"])


def test_the_read_model_holds_what_the_topics_hold(kept_demo: KeptDemo) -> None:
    assert "readmodel is killed" in kept_demo.printed
    eventually(
        lambda: in_another_shell(kept_demo, "psastream readmodel status").returncode == 0,
        deadline_s=120,
    )
    tables = landing_tables(CATALOGUE)
    kafka = KafkaSettings(bootstrap_servers=kept_demo.addresses["kafka"])
    registry = Registry(kept_demo.addresses["schema registry"])
    with psycopg.connect(kept_demo.addresses["read model"]) as connection:
        [schema] = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'psa_landing_%'"
        ).fetchone() or ("",)
        assert differences(connection, schema, tables, kafka, registry) == {}
        unlike = {
            name: found for name, found in joined(connection).items() if found[0] or not found[1]
        }
        assert unlike == {}
        # Entries are rounded one by one, their sum once.
        unlike_billing = connection.execute(
            """SELECT * FROM (
                 SELECT project_ref, currency, sum(seconds) AS seconds, sum(amount) AS amount
                 FROM psa.blocked_time GROUP BY project_ref, currency
               ) AS t
               FULL JOIN (SELECT * FROM psa.fact_billing WHERE state = 'blocked') AS b
                 USING (project_ref, currency)
               WHERE t.seconds IS DISTINCT FROM b.seconds OR abs(t.amount - b.amount) > 0.001"""
        ).fetchall()
        assert unlike_billing == []
        margins = connection.execute(
            "SELECT currency, sum(margin) FROM psa.margin_by_project_month"
            " GROUP BY currency ORDER BY currency"
        ).fetchall()
    serde, wanted = Serde(registry), Counter[str]()
    for value in read_compacted(kafka, MARGIN).values():
        row = serde.read(value)
        wanted[row["currency"]] += row["margin"] or Decimal(0)
    assert len(margins) > 1
    assert {currency: margin or Decimal(0) for currency, margin in margins} == wanted


def test_every_panel_to_prometheus_shows_something_of_a_healthy_system(
    kept_demo: KeptDemo, tmp_path: Path
) -> None:
    """Nothing that counts from its first event on leaves a panel without data."""
    recorded = []
    for part in ("worker", "poller", "dispatcher"):
        with urllib.request.urlopen(kept_demo.addresses[f"{part} metrics"]) as page:
            recorded += scraped(page.read().decode(), part)

    asked = [query for path in FILES for query in prometheus_queries(path)]
    differences = answers_differ(recorded, something(asked), tmp_path)
    assert not differences, differences


def test_what_would_be_written_is_listed_and_shown(kept_demo: KeptDemo) -> None:
    shown = in_another_shell(kept_demo, "psastream commands list --json")
    assert shown.returncode == 0, shown.stderr
    (refused,) = json.loads(shown.stdout)
    assert (refused["kind"], refused["state"]) == ("upsert_project", "refused")
    assert (refused["currency"], refused["target"]) == ("PLN", "netsuite")
    one = in_another_shell(kept_demo, f"psastream commands show {refused['natural_key']}")
    assert f"command id: {refused['command_id']}" in one.stdout
    assert f"project:    {refused['project']}" in one.stdout
    whole = asked(kept_demo, "commands", "show", refused["natural_key"], "--json")
    assert json.loads(whole.stdout) == refused
    none = in_another_shell(kept_demo, "psastream commands show netsuite:project:nowhere")
    assert (none.returncode, none.stdout) == (2, "")
    done = in_another_shell(
        kept_demo, "psastream commands list --target float --state succeeded --limit 2"
    )
    *keys, counted, of_kind = done.stdout.splitlines()
    assert counted.startswith("2 of ") and of_kind.startswith("upsert_project: ")
    assert all(line.startswith(("float:", "  ")) for line in keys)
    unknown = in_another_shell(kept_demo, "psastream commands list --target flaot")
    assert unknown.returncode == 2 and "float" in unknown.stderr


def test_dead_letters_and_exceptions_are_listed_and_shown(kept_demo: KeptDemo) -> None:
    shown = in_another_shell(kept_demo, "psastream dlq list --json")
    assert shown.returncode == 0, shown.stderr
    (letter,) = json.loads(shown.stdout)
    place = "|".join(str(letter[name]) for name in ("topic", "partition", "offset"))
    one = in_another_shell(kept_demo, f"psastream dlq show '{place}'")
    assert f"dead letter: {place}" in one.stdout and '"after": {' in one.stdout
    assert json.loads(asked(kept_demo, "dlq", "show", place, "--json").stdout) == letter
    none = in_another_shell(kept_demo, "psastream dlq list --code record.decode")
    assert none.stdout == "0 kept\n"
    waits = in_another_shell(kept_demo, "psastream exceptions list").stdout
    assert "dead letters: 1 of src.inhouse.time_entries" in waits
    assert "\n  Baltyk routing study (PL), for Baltyk Logistyka\n" in waits
    (listed,) = json.loads(
        asked(kept_demo, "exceptions", "list", "--target", "netsuite", "--json").stdout
    )
    whole = asked(kept_demo, "exceptions", "show", listed["exception_id"], "--json")
    assert json.loads(whole.stdout) == listed
    assert (listed["customer"], listed["raised_at"][-1]) == ("Baltyk Logistyka", "Z")
    unheld = asked(kept_demo, "exceptions", "release", listed["exception_id"])
    assert (unheld.exit_code, "not held back" in unheld.stderr) == (2, True)
    chosen = in_another_shell(kept_demo, "psastream exceptions list --target netsuite").stdout
    assert "dead letters" not in chosen and "1 open; 41,505.12 PLN" in chosen


def test_a_status_is_shown_again_while_it_is_watched(kept_demo: KeptDemo) -> None:
    command = "psastream status --watch --every 1 --json 2>/dev/null | head -n 2"
    first, second = map(json.loads, in_another_shell(kept_demo, command).stdout.splitlines())
    assert first["at"] < second["at"]
    assert first.keys() == second.keys()


def test_a_check_finds_everything_in_order(kept_demo: KeptDemo) -> None:
    files = kept_demo.data_dir / "connectors"
    options = [f"--{path.stem.rpartition('-')[2]} {path}" for path in sorted(files.glob("*.json"))]
    options.append("--database connectors/vendors/inhouse/connector.json")
    shown = in_another_shell(kept_demo, f"psastream check --json {' '.join(options)}")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    found = json.loads(shown.stdout)["findings"]
    assert [each for each in found if each["verdict"] != "ok"] == []
    assert Counter(each["area"] for each in found) == {
        "variables": 1,
        "landscape": 1,
        "files": 6,
        "broker": 3,
        "topics": 1,
        "state": 5,
        "schemas": 1,
        "connectors": 2,
        "databases": 1,
        "read model": 1,
        "sign-in": 5,
        "clocks": 8,
        "metadata": 3,
    }


def test_a_stock_avro_consumer_reads_every_topic(kept_demo: KeptDemo) -> None:
    """With nothing of ours but the addresses."""
    registry_url = kept_demo.addresses["schema registry"]
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": registry_url}))
    serde = Serde(Registry(registry_url))
    read: set[str] = set()
    for topic, key, value in messages(kept_demo.addresses["kafka"]):
        read_key = deserialize(key, SerializationContext(topic, MessageField.KEY))
        if topic.startswith("src.inhouse."):  # Debezium's own schemas
            assert set(read_key) == {"id"}
        else:
            assert isinstance(read_key, str)
        if value is not None:
            record = deserialize(value, SerializationContext(topic, MessageField.VALUE))
            assert record == serde.read(value)
            read.add(topic)
    assert read == {topic.name for topic in TOPICS} - EMPTY


def test_i5_accounting_is_proved_and_a_false_count_is_found(kept_demo: KeptDemo) -> None:
    """The false count goes to the state log behind the worker's back."""
    proof = prove_accounting(kept_demo)
    assert proof.returncode == 0, proof.stdout + proof.stderr
    shown = json.loads(proof.stdout)
    consumed = Counter({line["group"]: 0 for line in shown["lines"]})
    for line in shown["lines"]:
        consumed[line["group"]] += sum(line["tally"]["accounting"].values())
    assert min(consumed.values()) > 0
    assert {line["topic"] for line in shown["lines"] if line["is_whole"]} >= {
        "src.inhouse.time_entries",
        "src.netsuite.customer",
    }
    true = max(
        (line for line in shown["lines"] if line["topic"] == "src.inhouse.time_entries"),
        key=lambda line: line["found"],
    )
    tally, accounting = true["tally"], true["tally"]["accounting"]
    false = f"{tally['start']} {tally['end']} {accounting['applied'] - 1} 0 0 0"
    producer = make_producer(KafkaSettings(bootstrap_servers=kept_demo.addresses["kafka"]))
    producer.produce(
        state_topic(true["group"]),
        false.encode(),
        f"!a:{true['topic']}".encode(),
        true["partition"],
    )
    assert producer.flush(30) == 0
    disproof = prove_accounting(kept_demo)
    assert disproof.returncode == 1, disproof.stdout + disproof.stderr
    wrong = [line for line in json.loads(disproof.stdout)["lines"] if not line["holds"]]
    assert [(line["topic"], line["partition"]) for line in wrong] == [
        (true["topic"], true["partition"])
    ]


def test_sql_answers_with_what_the_topics_hold(kept_demo: KeptDemo) -> None:
    """Every view has rows, every table those of its topic, and margins are the metric's."""
    queries = [f"SELECT '{view.name}' AS name, count(*) AS rows FROM {view.name}" for view in VIEWS]
    counted = rows_of(asked(kept_demo, "sql", "--json", " UNION ALL ".join(queries)))
    assert {row["name"]: row["rows"] > 0 for row in counted} == {v.name: True for v in VIEWS}
    published = published_by(kept_demo, MARGIN)
    query = "SELECT * FROM margin_by_project_month"
    margins = rows_of(asked(kept_demo, "sql", "--json", query))
    assert {row["project_id"] for row in margins} == {row["project_id"] for row in published}
    assert sum(Decimal(row["cost"]) for row in margins) == sum(row["cost"] for row in published)
    named = {row["project_id"]: row for row in margins}
    assert {row["is_internal"] for row in margins} == {True, False}
    assert all(row["project"] for row in margins)
    assert all(row["customer"] for row in named.values() if not row["is_internal"])


def test_an_export_holds_what_the_topics_hold(kept_demo: KeptDemo, tmp_path: Path) -> None:
    written = asked(kept_demo, "export", "--format", "parquet", str(tmp_path))
    assert written.exit_code == 0, written.stderr
    published = published_by(kept_demo, MARGIN)
    for name in (MARGIN, "margin_by_project_month"):
        frame = pl.read_parquet(tmp_path / f"{name}.parquet")
        assert sum(frame["cost"]) == sum(row["cost"] for row in published)
        assert frame.height == len(published)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    spans = topic_spans(KafkaSettings(bootstrap_servers=kept_demo.addresses["kafka"]), MARGIN)
    assert manifest["offsets"][MARGIN] == {str(n): end for n, (_, end) in spans.items()}


def test_a_topic_is_read_by_rows_by_records_and_as_they_come(kept_demo: KeptDemo) -> None:
    read = "topics", "read", "psa.metric.pipeline_health"
    rows = rows_of(asked(kept_demo, *read))
    won = rows_of(asked(kept_demo, *read, "--where", "stage = 'won'"))
    assert won == [row for row in rows if row["stage"] == "won"] != []
    records = sorted(rows_of(asked(kept_demo, *read, "--from", "beginning")), key=place)
    last = {record["key"]: record["value"] for record in records}
    assert sorted(map(str, filter(None, last.values()))) == sorted(map(str, rows))
    assert rows_of(asked(kept_demo, *read, "--from", "end")) == []
    assert sorted(rows_of(asked(kept_demo, *read, "--from", "1d")), key=place) == records
    wrong = asked(kept_demo, *read, "--where", "stge = 'won'")
    assert (wrong.exit_code, "the columns are stage," in wrong.stderr) == (2, True), wrong.stderr
    command = [sys.executable, "-m", "psastream", *read, "--from", "beginning", "--follow"]
    followed = subprocess.Popen(command, env=variables(kept_demo), stdout=subprocess.PIPE)
    assert followed.stdout is not None
    lines = [json.loads(followed.stdout.readline()) for _ in records]
    assert sorted(lines, key=place) == records
    followed.send_signal(signal.SIGINT)
    assert (followed.stdout.read(), followed.wait(30)) == (b"", 0)


def test_ctrl_c_ends_a_demo_that_stayed_up(kept_demo: KeptDemo) -> None:
    """The last test of the module: it ends what the others use."""
    assert kept_demo.end() == 0


def in_another_shell(demo: KeptDemo, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell that knows what the demo tells to read, and nothing else of it."""
    return subprocess.run(
        ["sh", "-c", f". {demo.data_dir / 'env.sh'}\n{command}"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def prove_accounting(demo: KeptDemo) -> subprocess.CompletedProcess[str]:
    """Run the command as an operator does."""
    command = [sys.executable, "-m", "psastream", "prove", "accounting", "--json"]
    return subprocess.run(command, env=variables(demo), capture_output=True, text=True, check=False)


def asked(demo: KeptDemo, *arguments: str) -> Result:
    """Run a command in this process, which has imported what it needs."""
    return CliRunner().invoke(app, arguments, env=variables(demo))


def rows_of(printed: Result) -> list[dict[str, Any]]:
    assert printed.exit_code == 0, printed.output
    return [json.loads(line) for line in printed.stdout.splitlines()]


def place(record: Mapping[str, Any]) -> tuple[int, int]:
    return record["partition"], record["offset"]


def variables(demo: KeptDemo) -> dict[str, str]:
    return {
        **os.environ,
        "PSASTREAM_BOOTSTRAP_SERVERS": demo.addresses["kafka"],
        "PSASTREAM_REGISTRY_URL": demo.addresses["schema registry"],
    }


def published_by(demo: KeptDemo, topic: str) -> list[dict[str, Any]]:
    """The rows of a topic, read without what is tried."""
    serde = Serde(Registry(demo.addresses["schema registry"]))
    kafka = KafkaSettings(bootstrap_servers=demo.addresses["kafka"])
    return [serde.read(each) for each in read_compacted(kafka, topic).values()]


def messages(servers: str) -> Iterator[tuple[str, bytes, bytes | None]]:
    """Topic, key and value of every message, up to the end of each partition."""
    unread = {(topic.name, number) for topic in TOPICS for number in range(topic.partitions)}
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "stock-consumer",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for topic, number in unread])
    try:
        while unread:
            message = consumer.poll(30)
            assert message is not None, f"no end of {unread}"
            if message.error() is None:
                yield message.topic(), message.key(), message.value()
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                unread.discard((message.topic(), message.partition()))
    finally:
        consumer.close()
