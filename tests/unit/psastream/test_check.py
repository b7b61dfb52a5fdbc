"""A check: each finding where there is cause for it, and none where there is none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiohttp import web
from typer.testing import CliRunner

from connectors.debezium.client import (
    OWNER_KEY,
    STRIMZI,
    ConnectorFile,
    read_connector_file,
)
from connectors.toolkit.faults import UnreadableBodyError
from psastream.check.broker import (
    SESSIONS_MS,
    TRANSACTION_MS,
    broker_findings,
    some,
    topic_findings,
)
from psastream.check.clocks import Clock, asked_over_http, clock_findings
from psastream.check.connect import Told, ask_connect, connector_findings
from psastream.check.databases import (
    Address,
    Database,
    Slot,
    address_of,
    away,
    database_findings,
    named_tables,
    not_asked,
)
from psastream.check.files import Files, read_configuration, systems_of
from psastream.check.findings import Finding, findings_json, lines_of
from psastream.check.read_model import ReadModel, read_model_findings
from psastream.check.registry import schema_findings
from psastream.check.run import AREAS, ask_all, exit_of
from psastream.check.sign_in import Asked, sign_in_finding
from psastream.cli import app
from psastream.exits import Exit
from psastream.read_model.following import STALE_AFTER
from psastream.read_model.store import Generation
from psastream.verdict import Verdict
from runtime.brokers import BrokerTraits, PresentTopic
from runtime.kafka import topic_settings
from runtime.registry import Registration
from schemas.errors import AuthenticationError, SchemaMismatchError, TransientError
from schemas.topics import Topic
from tests.support.catalogue import CATALOGUE
from tests.support.rest_api import REST, write_folder
from tests.support.vendor_server import serving
from tests.unit.streams.test_metrics_port import free_port

RECORDED = Path(__file__).parent / "recorded"
FOLDER = Path("connectors/vendors")
CONNECTOR = read_connector_file(FOLDER / "inhouse" / "connector.json")
AT = datetime(2026, 11, 28, 10, tzinfo=UTC)

BROKERS = BrokerTraits(
    3,
    {
        "transaction.max.timeout.ms": str(TRANSACTION_MS),
        "group.max.session.timeout.ms": str(max(SESSIONS_MS)),
        "group.min.session.timeout.ms": str(min(SESSIONS_MS)),
        "min.insync.replicas": "2",
        "auto.create.topics.enable": "false",
    },
)
"""The least that will do."""


def present(topic: Topic, **settings: str) -> PresentTopic:
    return PresentTopic(topic.partitions, 3, {**topic_settings(topic), **settings})


TOPICS = {topic.name: present(topic) for topic in CATALOGUE}
SOUND = Database(
    AT,
    "logical",
    True,
    dict.fromkeys(named_tables(CONNECTOR), True),
    Slot("pgoutput", "inhouse_psa", "reserved"),
    9,
    frozenset(named_tables(CONNECTOR)),
)
"""As PostgreSQL 18 tells it."""


def told(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Verdict and words of what is not well."""
    return [
        (each.verdict.value, f"{each.subject}: {each.detail}")
        for each in findings
        if each.verdict is not Verdict.OK
    ]


def remedies(findings: Iterable[Finding]) -> list[str]:
    return [each.remedy for each in findings if each.verdict is not Verdict.OK]


def settings(**changed: str) -> BrokerTraits:
    named = {key.replace("_", "."): value for key, value in changed.items()}
    return replace(BROKERS, settings={**BROKERS.settings, **named})


def test_brokers_that_can_do_all_are_well() -> None:
    found = list(broker_findings(BROKERS, copies=3))
    assert told(found) == []
    assert [each.detail for each in found] == ["answer", "can begin", "fit"]


@pytest.mark.parametrize(
    ("brokers", "copies", "verdict", "words"),
    [
        (replace(BROKERS, nodes=1), 3, "fail", "each topic is to have 3 copies"),
        (replace(BROKERS, transaction_problem="timed out"), 3, "fail", "none can begin: timed out"),
        (replace(BROKERS, settings={}), 3, "skip", "settings: cannot be read"),
        (
            settings(transaction_max_timeout_ms=str(TRANSACTION_MS - 1)),
            3,
            "fail",
            f"workers ask for {TRANSACTION_MS}",
        ),
        (
            settings(group_max_session_timeout_ms=str(max(SESSIONS_MS) - 1)),
            3,
            "fail",
            f"workers ask for {max(SESSIONS_MS)}",
        ),
        (
            settings(group_min_session_timeout_ms=str(min(SESSIONS_MS) + 1)),
            3,
            "fail",
            f"dispatchers ask for {min(SESSIONS_MS)}",
        ),
        (settings(min_insync_replicas="3"), 2, "fail", "no write to a topic of 2 would be taken"),
        (settings(auto_create_topics_enable="true"), 3, "warn", "another partition count"),
    ],
)
def test_what_brokers_lack_is_told_with_what_to_do(
    brokers: BrokerTraits, copies: int, verdict: str, words: str
) -> None:
    (found,) = told(broker_findings(brokers, copies=copies))
    assert found[0] == verdict and words in found[1]
    assert all(remedies(broker_findings(brokers, copies=copies)))


def test_as_many_insync_replicas_as_copies_will_do() -> None:
    assert told(broker_findings(settings(min_insync_replicas="3"), copies=3)) == []


@pytest.mark.parametrize(("count", "shown"), [(1, "0"), (5, "0, 1, 2, 3, 4")])
def test_a_few_names_are_all_shown(count: int, shown: str) -> None:
    names = [str(number) for number in range(count)]
    assert some(names) == shown
    assert some([*"01234", *"56"]) == "0, 1, 2, 3, 4 and 2 more"


def without(name: str) -> dict[str, PresentTopic]:
    return {topic: each for topic, each in TOPICS.items() if topic != name}


def test_topics_as_the_catalogue_has_them_are_well() -> None:
    found = list(topic_findings(CATALOGUE, TOPICS, copies=3, are_made=False))
    assert told(found) == []
    assert len(found) == 1


@pytest.mark.parametrize(
    ("topics", "verdict", "words"),
    [
        (without("psa.project"), "fail", "are missing: psa.project"),
        ({}, "fail", f"{len(CATALOGUE)} of {len(CATALOGUE)}: are missing: "),
        (
            {**TOPICS, "psa.project": replace(TOPICS["psa.project"], partitions=2)},
            "fail",
            "psa.project has 2 partitions, not 4",
        ),
        (
            {**TOPICS, "psa.project": replace(TOPICS["psa.project"], copies=1)},
            "warn",
            "psa.project: have fewer than 3 copies",
        ),
        (
            {
                **TOPICS,
                "psa.project": replace(
                    TOPICS["psa.project"], settings={"cleanup.policy": "delete"}
                ),
            },
            "fail",
            "psa.project: cleanup.policy is delete, not compact",
        ),
        (
            {
                **TOPICS,
                "psa.dlq": replace(TOPICS["psa.dlq"], settings={"retention.ms": "1"}),
            },
            "warn",
            "psa.dlq: retention.ms is 1, not 7776000000",
        ),
    ],
)
def test_a_topic_that_is_not_as_it_must_be_is_told(
    topics: Mapping[str, PresentTopic], verdict: str, words: str
) -> None:
    (found,) = told(topic_findings(CATALOGUE, topics, copies=3, are_made=False))
    assert found[0] == verdict and words in found[1]


def test_topics_that_are_made_next_are_not_missed() -> None:
    assert told(topic_findings(CATALOGUE, {}, copies=1, are_made=True)) == []


@pytest.mark.parametrize(
    ("registration", "are_made", "expected"),
    [
        (Registration.REGISTERED, False, []),
        (Registration.ABSENT, False, [("fail", "1 of 2: are not registered: psa.project-value")]),
        (Registration.ABSENT, True, []),
        (
            Registration.INCOMPATIBLE,
            True,
            [
                (
                    "fail",
                    "psa.project-value: the registry holds schemas that this version's does not"
                    " fit",
                )
            ],
        ),
    ],
)
def test_contracts_are_registered_or_told(
    registration: Registration, are_made: bool, expected: list[tuple[str, str]]
) -> None:
    found = {"psa.project-key": Registration.REGISTERED, "psa.project-value": registration}
    assert told(schema_findings(found, are_made=are_made)) == expected


def connect_that_answers(**changed: str) -> Callable[[web.Request], Any]:
    """Kafka Connect as it answered in a real run, but for what is changed, by path."""
    name = CONNECTOR.name
    config = {**CONNECTOR.config, "name": name}
    plugin = CONNECTOR.config["connector.class"]
    status = json.loads((RECORDED / "connect.json").read_text())[name]["status"]
    answers = {
        "/connector-plugins": json.dumps([{"class": plugin, "type": "source"}]),
        f"/connector-plugins/{plugin}/config/validate": (
            RECORDED / "connect-valid.json"
        ).read_text(),
        f"/connectors/{name}/status": json.dumps(status),
        f"/connectors/{name}/config": json.dumps(config),
        **changed,
    }

    async def answer(request: web.Request) -> web.Response:
        text = answers[request.path]
        code = 404 if "error_code" in text else 200
        return web.Response(text=text, status=code, content_type="application/json")

    return answer


def ask(answer: Callable[[web.Request], Any]) -> list[Told]:
    async def work() -> list[Told]:
        async with serving(answer) as url:
            return await ask_connect(url, [CONNECTOR])

    return asyncio.run(work())


STATUS = f"/connectors/{CONNECTOR.name}/status"
CONFIG = f"/connectors/{CONNECTOR.name}/config"
VALIDATE = f"/connector-plugins/{CONNECTOR.config['connector.class']}/config/validate"
ABSENT = '{"error_code": 404, "message": "No status found for connector inhouse-psa"}'


def test_a_connector_that_runs_as_its_file_says_is_well() -> None:
    found = list(connector_findings(ask(connect_that_answers()), are_made=False))
    assert told(found) == []
    assert [each.detail for each in found] == ["answers", "runs"]


@pytest.mark.parametrize(
    ("changed", "verdict", "words"),
    [
        ({"/connector-plugins": "[]"}, "fail", "Connect has no plugin io.debezium"),
        (
            {VALIDATE: (RECORDED / "connect-invalid.json").read_text()},
            "fail",
            "database.hostname: Error while validating connector config",
        ),
        ({STATUS: ABSENT}, "warn", "is not registered yet"),
        (
            {CONFIG: json.dumps({**CONNECTOR.config, "slot.name": "other", "new": "1"})},
            "warn",
            "other values than its file: new, slot.name",
        ),
        (
            {STATUS: '{"connector": {"state": "RUNNING"}, "tasks": [{"state": "FAILED"}]}'},
            "fail",
            "RUNNING, tasks FAILED",
        ),
    ],
)
def test_what_connect_says_against_a_connector_is_told(
    changed: dict[str, str], verdict: str, words: str
) -> None:
    found = list(connector_findings(ask(connect_that_answers(**changed)), are_made=False))
    assert [(each[0], words in each[1]) for each in told(found)] == [(verdict, True)]
    assert all(remedies(found))


def test_a_kafkaconnector_of_strimzis_may_add_to_the_file_and_no_more() -> None:
    added = {**CONNECTOR.config, OWNER_KEY: STRIMZI, "tasks.max": "1"}
    answered = ask(connect_that_answers(**{CONFIG: json.dumps(added)}))
    assert told(connector_findings(answered, are_made=False, owner=STRIMZI)) == []

    changed = json.dumps({**added, "slot.name": "other"})
    answered = ask(connect_that_answers(**{CONFIG: changed}))
    found = list(connector_findings(answered, are_made=False, owner=STRIMZI))
    assert told(found) == [
        ("warn", f"{CONNECTOR.name}: is registered with other values than its file: slot.name")
    ]
    assert [each for each in remedies(found) if "kubectl apply" in each]


def test_a_connector_that_both_would_keep_is_told() -> None:
    kept = json.dumps({**CONNECTOR.config, OWNER_KEY: STRIMZI})
    answered = ask(connect_that_answers(**{CONFIG: kept}))
    (found,) = told(connector_findings(answered, are_made=False))
    assert found[0] == "fail" and "a KafkaConnector of Strimzi's keeps it" in found[1]


@pytest.mark.parametrize("path", ["/connector-plugins", VALIDATE, CONFIG])
def test_an_answer_of_another_form_is_no_answer(path: str) -> None:
    with pytest.raises(UnreadableBodyError):
        ask(connect_that_answers(**{path: '"?"'}))


def test_connectors_that_are_made_next_are_not_missed() -> None:
    answered = ask(connect_that_answers(**{STATUS: ABSENT}))
    assert told(connector_findings(answered, are_made=True)) == []
    config = json.dumps({**CONNECTOR.config, "slot.name": "other"})
    paused = '{"connector": {"state": "PAUSED"}, "tasks": []}'
    answered = ask(connect_that_answers(**{STATUS: paused, CONFIG: config}))
    (found,) = told(connector_findings(answered, are_made=True))
    assert found == ("warn", "inhouse-psa: PAUSED, tasks none")


def test_a_database_that_can_be_read_is_well() -> None:
    assert told(database_findings(CONNECTOR, SOUND)) == []
    fresh = replace(SOUND, slot=None, publication=None)
    assert told(database_findings(CONNECTOR, fresh)) == []


def with_settings(**changed: str) -> ConnectorFile:
    named = {key.replace("_", "."): value for key, value in changed.items()}
    return replace(CONNECTOR, config={**CONNECTOR.config, **named})


BY_HAND = with_settings(publication_autocreate_mode="disabled")


@pytest.mark.parametrize(
    ("connector", "database", "words"),
    [
        (CONNECTOR, replace(SOUND, wal_level="replica"), "wal_level is replica, not logical"),
        (CONNECTOR, replace(SOUND, may_replicate=False), "the user may not replicate"),
        (CONNECTOR, replace(SOUND, slot=None, slots_left=0), "no room for one more"),
        (
            CONNECTOR,
            replace(SOUND, slot=Slot("pgoutput", "inhouse_psa", "lost")),
            "psastream_inhouse_psa is lost",
        ),
        (
            CONNECTOR,
            replace(SOUND, slot=Slot("wal2json", "inhouse_psa", "reserved")),
            "is of wal2json, not of pgoutput",
        ),
        (BY_HAND, replace(SOUND, publication=None), "publication.autocreate.mode makes none"),
        (
            BY_HAND,
            replace(SOUND, publication=frozenset(named_tables(CONNECTOR)[1:])),
            "lacks inhouse.projects",
        ),
        (
            CONNECTOR,
            replace(SOUND, tables=dict.fromkeys(named_tables(CONNECTOR)[1:], True)),
            "there is no table inhouse.projects",
        ),
        (
            CONNECTOR,
            replace(SOUND, tables={**SOUND.tables, "inhouse.tasks": False}),
            "the user may not read inhouse.tasks",
        ),
    ],
)
def test_what_keeps_debezium_from_a_database_is_told(
    connector: ConnectorFile, database: Database, words: str
) -> None:
    (found,) = told(database_findings(connector, database))
    assert found[0] == "fail" and words in found[1]
    assert all(remedies(database_findings(connector, database)))


def test_a_publication_that_debezium_makes_may_lack_tables() -> None:
    assert told(database_findings(CONNECTOR, replace(SOUND, publication=frozenset()))) == []


def test_tables_that_a_file_gives_by_a_pattern_are_debeziums_to_find() -> None:
    connector = with_settings(table_include_list="a.b, a[.].*, c.d.e,a.f")
    assert named_tables(connector) == ["a.b", "a.f"]


LIVE = Generation(3, "layout", AT)
KEPT = ReadModel(AT, True, True, live=LIVE, layout="layout")


@pytest.mark.parametrize(
    "read_model",
    [
        KEPT,
        replace(KEPT, may_make_roles=False),
        replace(KEPT, layout=None),
        replace(KEPT, at=AT + STALE_AFTER - timedelta(seconds=1)),
    ],
    ids=["whole", "roles-by-hand", "topics-unknown", "not-stale"],
)
def test_a_read_model_that_can_be_kept_is_well(read_model: ReadModel) -> None:
    (found,) = read_model_findings(read_model, is_made=False)
    assert found.verdict is Verdict.OK


@pytest.mark.parametrize(
    ("read_model", "verdict", "words"),
    [
        (replace(KEPT, may_make_schemas=False), "fail", "may make no schemas"),
        (replace(KEPT, foreign=["psa"]), "fail", "does not own the schemas psa"),
        (
            replace(KEPT, may_make_roles=False, roles=["psastream_bi"]),
            "fail",
            "there is no role psastream_pay, and the user may make none",
        ),
        (replace(KEPT, lacks=["0001_x"], live=None), "warn", "lacks migrations: 0001_x"),
        (replace(KEPT, live=None), "warn", "was not filled yet"),
        (replace(KEPT, layout="other"), "warn", "other contracts, or from other topics"),
        (replace(KEPT, at=AT + STALE_AFTER), "warn", "was not followed for 12h"),
    ],
)
def test_what_keeps_a_read_model_from_being_kept_is_told(
    read_model: ReadModel, verdict: str, words: str
) -> None:
    ((found, said),) = told(read_model_findings(read_model, is_made=False))
    assert found == verdict
    assert words in said
    assert all(remedies(read_model_findings(read_model, is_made=False)))
    is_told_anyway = [each for each, _ in told(read_model_findings(read_model, is_made=True))]
    assert is_told_anyway == (["fail"] if verdict == "fail" else [])


def test_for_up_a_read_model_that_is_away_only_warns() -> None:
    url = f"postgresql://user:secret-token@127.0.0.1:{free_port()}/firm"
    environment = {"PSASTREAM_READ_MODEL_URL": url}
    configuration = read_configuration(Files(), environment, needs_addresses=False)
    for makes, verdict in ((True, "warn"), (False, "fail")):
        found = ask_all(configuration, environment, makes=makes)
        (away,) = [each for each in found if each.area == "read model"]
        assert away.verdict.value == verdict
        assert "PSASTREAM_READ_MODEL_URL" in away.remedy
        assert "secret-token" not in away.detail


def test_a_database_is_asked_where_its_variables_are_set_here() -> None:
    missing = address_of(CONNECTOR, {"INHOUSE_PSA_HOST": "db"})
    assert missing == [f"INHOUSE_PSA_{name}" for name in ("PORT", "DATABASE", "USER", "PASSWORD")]
    (found,) = told([not_asked(CONNECTOR, missing)])
    assert found[0] == "skip" and "INHOUSE_PSA_PORT" in found[1]
    names = ("HOST", "PORT", "DATABASE", "USER", "PASSWORD")
    found_address = address_of(CONNECTOR, {f"INHOUSE_PSA_{name}": name.lower() for name in names})
    assert found_address == Address("host", "port", "database", "user", "password")


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [
        (Asked("float (sink)", AT), "ok"),
        (Asked("float (sink)", AT, is_known=False), "skip"),
        (Asked("float (sink)", AT, error=TransientError("no connection")), "warn"),
        (Asked("float (sink)", AT, error=AuthenticationError("denies access")), "fail"),
        (Asked("float (sink)", AT, error=SchemaMismatchError("lacks a field")), "fail"),
    ],
)
def test_a_vendor_lets_us_in_or_says_why_not(asked: Asked, verdict: str) -> None:
    found = sign_in_finding(asked)
    assert found.verdict.value == verdict
    assert bool(found.remedy) is (verdict in ("warn", "fail"))


@pytest.mark.parametrize(
    ("said", "detail", "remedy"),
    [
        (
            'connection to server at "10.0.0.7", port 5433 failed: Connection refused\n'
            "\tIs the server running on that host and accepting TCP/IP connections?",
            "its database at db:5433 is not reached: Connection refused",
            "host and port",
        ),
        (
            'connection failed: FATAL:  password authentication failed for user "psa"',
            "its database at db:5433 does not let us in: connection failed: FATAL:  password"
            ' authentication failed for user "psa"',
            "password and pg_hba.conf",
        ),
    ],
)
def test_a_database_that_is_not_reached_is_told_from_one_that_refuses(
    said: str, detail: str, remedy: str
) -> None:
    connector = ConnectorFile("inhouse-psa", {})
    address = Address("db", "5433", "psa", "psa", "secret")
    found = away(connector, address, psycopg.OperationalError(said))
    assert (found.verdict, found.detail) == (Verdict.FAIL, detail)
    assert remedy in (found.remedy or "")


@pytest.mark.parametrize(
    ("apart_s", "expected"),
    [
        (60, None),
        (-60, None),
        (61, ("warn", "db: 61s ahead of this host's")),
        (-300, ("warn", "db: 5m behind this host's")),
        (301, ("fail", "db: 5m ahead of this host's")),
    ],
)
def test_clocks_that_are_apart_are_told(apart_s: int, expected: tuple[str, str] | None) -> None:
    clock = Clock("db", AT + timedelta(seconds=apart_s), AT)
    assert told(clock_findings(clock)) == ([expected] if expected else [])


@pytest.mark.parametrize("date", ["Sat, 28 Nov 2026 10:17:04 GMT", "28 Nov 2026 10:17:04 -0000"])
def test_a_server_tells_its_clock_whatever_else_it_answers(date: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=405, headers={"Date": date})

    async def work() -> Clock:
        async with serving(answer) as url:
            return await asyncio.to_thread(asked_over_http, "registry", url)

    assert asyncio.run(work()).told == datetime(2026, 11, 28, 10, 17, 4, tzinfo=UTC)


def test_a_server_that_is_away_tells_no_clock() -> None:
    clock = asked_over_http("registry", f"http://127.0.0.1:{free_port()}")
    assert clock.told is None
    assert list(clock_findings(clock)) == []


FLOAT = {"FLOAT_URL": "https://float.example", "FLOAT_TOKEN": "token"}
ADDRESSES = {
    "PSASTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "PSASTREAM_REGISTRY_URL": "http://127.0.0.1:1",
}
CONNECT = {"PSASTREAM_CONNECT_URL": "http://connect:8083"}
ALL = Files(
    [FOLDER / "float" / "source.json"],
    [FOLDER / "float" / "sink.json"],
    [FOLDER / "inhouse" / "connector.json"],
)


def found_in(files: Files, environment: dict[str, str]) -> list[tuple[str, str]]:
    given = {**CONNECT, **ADDRESSES, **environment}
    return told(read_configuration(files, given, needs_addresses=True).findings)


def test_systems_that_nobody_reads_and_targets_that_nobody_writes_are_told() -> None:
    assert [words for _, words in found_in(ALL, FLOAT)] == [
        "salesforce: nothing captures it",
        "netsuite: nothing captures it",
        "netsuite: nobody carries out its commands: they wait in psa.command.netsuite",
    ]
    assert found_in(Files(), {}) == [("skip", ": none was given")]
    assert systems_of(CONNECTOR) == {"inhouse"}


@pytest.mark.parametrize(
    ("config", "systems"),
    [
        ({"table.include.list": "public.ticket,public.users"}, {"noi"}),
        ({"table.include.list": "public[.]ticket, other\\.(a|b)"}, {"noi", "other"}),
        ({"schema.include.list": "public"}, {"noi"}),
        ({"schema.include.list": "other", "topic.prefix": "src"}, {"other"}),
        ({"table.include.list": "public.ticket", "transforms": ""}, {"public"}),
        ({"table.include.list": "public.t", "transforms.system.regex": "src[.]("}, {"public"}),
        ({"table.include.list": "public.t", "transforms.system.type": "x.Filter"}, {"public"}),
        ({}, set()),
    ],
)
def test_a_connector_captures_the_systems_that_its_topics_are_routed_to(
    config: dict[str, str], systems: set[str]
) -> None:
    routed = {
        "topic.prefix": "src",
        "transforms": "system, unwrap",
        "transforms.system.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.system.regex": "src[.]public[.](.*)",
        "transforms.system.replacement": "src.noi.$1",
    }
    assert systems_of(replace(CONNECTOR, config={**routed, **config})) == systems


def test_each_problem_is_a_finding_of_its_own(tmp_path: Path) -> None:
    landscape = tmp_path / "landscape.yaml"
    landscape.write_text("systems: {salesforce: {role: crm}, inhouse: {role: erp}}")
    found = found_in(ALL, {"PSASTREAM_LANDSCAPE": str(landscape)})
    assert [words for _, words in found if "FLOAT_" in words] == [
        words for _, words in found if "source.json" in words or "sink.json" in words
    ]
    assert len([words for _, words in found if "FLOAT_TOKEN" in words]) == 2
    assert len([words for _, words in found if "inhouse plays the role erp" in words]) == 2


def test_the_firms_folders_are_known_whatever_else_is_wrong(tmp_path: Path) -> None:
    write_folder(tmp_path, REST.format(paginator="{type: page_number}"))
    source = tmp_path / "source.json"
    source.write_text(
        '{"name": "visits", "connector.class": "connectors.rest.source.RestSource",'
        ' "topic.prefix": "src.visits", "object.include.list": "visit",'
        ' "url": "https://visits.example", "auth.token": "t"}'
    )
    environment = {"PSASTREAM_SYSTEMS": str(tmp_path / "visits"), "PSASTREAM_LOG_LEVEL": "loud"}
    found = read_configuration(Files([source]), environment, needs_addresses=True).findings
    of_files = [(each.subject, each.detail) for each in found if each.area == "files"]
    assert of_files == [(str(source), "can be used")]
    assert [each.area for each in found if each.verdict is Verdict.FAIL] == ["variables"] * 3


def test_addresses_that_are_not_set_fail_where_they_are_needed() -> None:
    needed = read_configuration(Files(), {}, needs_addresses=True)
    assert not needed.is_sound
    uncovered = read_configuration(ALL, {**FLOAT, **ADDRESSES, **CONNECT}, needs_addresses=True)
    assert uncovered.is_sound, "what only warns keeps nothing from its start"
    assert [words for _, words in told(needed.findings)][:2] == [
        ": PSASTREAM_BOOTSTRAP_SERVERS: is not set",
        ": PSASTREAM_REGISTRY_URL: is not set",
    ]
    assert read_configuration(Files(), {}, needs_addresses=False).is_sound


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([("broker", Verdict.OK), ("files", Verdict.WARN), ("files", Verdict.SKIP)], Exit.OK),
        ([("broker", Verdict.FAIL), ("files", Verdict.WARN)], Exit.FAILED),
        ([("broker", Verdict.FAIL), ("files", Verdict.FAIL)], Exit.CONFIG),
    ],
)
def test_the_exit_code_says_what_kind_of_part_fails(
    findings: list[tuple[str, Verdict]], expected: Exit
) -> None:
    assert exit_of([Finding(area, "", verdict, "") for area, verdict in findings]) is expected


def test_findings_are_told_whole_within_the_width() -> None:
    long = "psa.internal.customer_status " * 9
    findings = [
        Finding("connectors", "x" * 100, Verdict.FAIL, f"{long}\x1b[2J", long),
        Finding("topics", "87", Verdict.OK, "are there", "not told"),
        Finding("sign-in", "float", Verdict.WARN, "away", "wait"),
    ]
    lines = list(lines_of(findings))
    assert max(map(len, lines)) <= 80
    assert all(line.isprintable() for line in lines)
    assert "".join(lines).count("psa.internal.customer_status") == 18
    assert "not told" not in "".join(lines)
    assert lines[-1] == "1 fail, 1 warn, 1 ok"
    assert list(lines_of([])) == ["nothing was looked at"]
    assert findings_json(findings)["verdict"] == "fail"
    assert findings_json(findings)["findings"][2] == {
        "area": "sign-in",
        "subject": "float",
        "verdict": "warn",
        "detail": "away",
        "remedy": "wait",
    }


@pytest.mark.fault("D11", place="psastream/check/run.py")
def test_d11_all_is_looked_at_although_nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.brokers.REACH_S", 0.0)
    away = f"http://127.0.0.1:{free_port()}"
    environment = {
        **ADDRESSES,
        "PSASTREAM_REGISTRY_URL": away,
        "PSASTREAM_CONNECT_URL": away,
        "FLOAT_URL": away,
        "FLOAT_TOKEN": "secret-token",
        **{f"INHOUSE_PSA_{name}": "x" for name in ("DATABASE", "USER", "PASSWORD")},
        "INHOUSE_PSA_HOST": "127.0.0.1",
        "INHOUSE_PSA_PORT": str(free_port()),
    }
    options = [
        *("--source", str(ALL.sources[0]), "--sink", str(ALL.sinks[0])),
        *("--database", str(ALL.databases[0]), "--json"),
    ]
    shown = CliRunner().invoke(app, ["check", *options], env=environment)
    assert shown.exit_code == 1, shown.output
    found = json.loads(shown.stdout)["findings"]
    failing = {each["area"] for each in found if each["verdict"] == "fail"}
    assert failing == {"broker", "schemas", "connectors", "databases"}
    assert {each["verdict"] for each in found if each["area"] == "sign-in"} == {"warn"}
    assert all(each["remedy"] for each in found if each["verdict"] in ("fail", "warn"))
    assert "secret-token" not in shown.output


def skipped_in(environment: Mapping[str, str], *options: str) -> dict[str, str]:
    """By area why it was not looked at, by a check that ends with two."""
    shown = CliRunner().invoke(app, ["check", "--json", *options], env=environment)
    assert shown.exit_code == 2, shown.output
    found = json.loads(shown.stdout)["findings"]
    return {each["area"]: each["detail"] for each in found if each["verdict"] == "skip"}


def test_what_is_not_looked_at_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.brokers.REACH_S", 0.0)
    source, database = ("--source", str(ALL.sources[0])), ("--database", str(ALL.databases[0]))
    connect = {"PSASTREAM_CONNECT_URL": f"http://127.0.0.1:{free_port()}"}
    files = "not looked at: every file must be right first"
    broker = {"topics": "not looked at: no broker answers"}
    of_source = {"sign-in": files, "metadata": files, "clocks": files}
    of_database = {"connectors": files, "databases": files}
    assert skipped_in({**ADDRESSES, **connect}, *source) == {**broker, **of_source}
    assert (
        skipped_in({**ADDRESSES, **connect}, *source, *database)
        == skipped_in(ADDRESSES, *source, *database)
        == {**broker, **of_source, **of_database}
    )
    first = "not looked at: variables must be right first"
    assert skipped_in({}, *source, *database) == dict.fromkeys(AREAS, first)
    first = "not looked at: the landscape must be right first"
    nowhere = {**ADDRESSES, "PSASTREAM_LANDSCAPE": "/nowhere.yaml"}
    assert skipped_in(nowhere, *source) == dict.fromkeys(AREAS, first)


def test_what_is_wrong_with_a_file_ends_a_check_with_two() -> None:
    shown = CliRunner().invoke(
        app, ["check", "--source", "/nowhere.json"], env={**ADDRESSES, "COLUMNS": "80"}
    )
    assert shown.exit_code == 2
    assert "/nowhere.json" in shown.output
