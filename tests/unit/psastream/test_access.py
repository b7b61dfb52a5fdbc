"""Who may touch what on Kafka: rights follow from the firm, and none goes beyond its process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from connectors.debezium.client import read_connector_file
from connectors.systems import Systems
from psastream.access.capture import Capture, capture_of, platform_topics
from psastream.access.files import firm_users
from psastream.access.rights import Operation, Resource, Right, Rule, User, merged
from psastream.access.users import Connectors, together, users_of
from psastream.check.files import systems_of as captured_systems
from psastream.landscape import ANY_ADDRESSES, FirmSystems, read_firm, systems_of
from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.landscape import load_landscape
from schemas.topics import BOOKMARKS, INTERNAL, KEYS, SOURCE_ORDERS, STATE_LOGS, Cleanup
from tests.support.access_pages import packaged_users
from tests.support.catalogue import FIRM, SOURCES
from tests.support.databases import page_files

VENDORS = Path("connectors/vendors")
USERS = {user.name: user for user in packaged_users()}
MEASURE = """-- name: client_hours
-- key: project_id
-- sums: seconds
-- unit: s
-- period: none
SELECT project_id, SUM(seconds) AS seconds FROM time_entry GROUP BY project_id
"""


def may(user: User, operation: Operation, resource: Resource = Resource.TOPIC) -> set[str]:
    """Names of what a user may do something to."""
    return {
        rule.name
        for rule in user.rules
        if rule.operation is operation and rule.resource is resource
    }


def firm_with(text: str) -> FirmSystems:
    landscape = load_landscape(text)
    return systems_of(landscape, Systems((), landscape))


def test_each_process_of_the_firm_has_a_user_of_its_own() -> None:
    assert set(USERS) == {
        "psastream-worker",
        "psastream-poller-salesforce",
        "psastream-poller-netsuite",
        "psastream-poller-float",
        "psastream-dispatcher-netsuite",
        "psastream-dispatcher-float",
        "psastream-read-model",
        "psastream-connect",
        "psastream-deployer",
        "psastream-reader",
        "psastream-operator",
        "psastream-maintainer",
    }


def test_no_user_may_alter_rules_or_whatever_it_likes() -> None:
    for user in USERS.values():
        assert may(user, Operation.DELETE) <= {topic.name for topic in STATE_LOGS}
        for rule in user.rules:
            assert rule.name not in ("", "*")
            if rule.resource is Resource.CLUSTER:
                assert rule.operation is Operation.DESCRIBE_CONFIGS
            if rule.is_prefix:
                assert rule.name == "psastream-worker-"


def test_a_poller_writes_the_topics_of_its_system_alone() -> None:
    poller = USERS["psastream-poller-float"]
    own = {topic.name for topic in FIRM.bundles["float"].topics.values()}

    assert may(poller, Operation.WRITE) == own | {BOOKMARKS.name, SOURCE_ORDERS.name, "psa.dlq"}
    assert may(poller, Operation.READ) == {BOOKMARKS.name, SOURCE_ORDERS.name}
    assert may(poller, Operation.WRITE, Resource.TRANSACTIONAL_ID) == {"psastream-source-float"}


def test_a_dispatcher_reads_the_commands_of_its_target_and_sees_that_there_are_others() -> None:
    dispatcher = USERS["psastream-dispatcher-float"]

    assert "psa.command.float" in may(dispatcher, Operation.READ)
    assert "psa.command.netsuite" not in may(dispatcher, Operation.READ)
    # The member that leads the group assigns partitions for all, of topics that it can see.
    assert "psa.command.netsuite" in may(dispatcher, Operation.DESCRIBE)


def test_commands_are_ordered_by_workers_alone() -> None:
    writers = {
        name for name, it in USERS.items() if "psa.command.float" in may(it, Operation.WRITE)
    }

    assert writers == {"psastream-worker"}


def test_operators_alone_decide_what_commands_are_sent() -> None:
    decided = {"psa.command_decision", "psa.command_retry"}
    writers = {name for name, user in USERS.items() if decided & may(user, Operation.WRITE)}
    assert writers == {"psastream-operator"}
    for target in ("netsuite", "float"):
        assert decided <= may(USERS[f"psastream-dispatcher-{target}"], Operation.READ)


def test_readers_see_no_state_no_bookmarks_and_no_source() -> None:
    seen = may(USERS["psastream-reader"], Operation.READ)

    assert "psa.metric.project_margin" in seen
    assert not any(name.startswith(("src.", "psastream-", "psa.internal.")) for name in seen)
    assert not may(USERS["psastream-reader"], Operation.WRITE)


def test_what_nobody_reads_or_makes_is_written_by_nobody() -> None:
    unread = {"psa.internal.projection", "psa.internal.measure_partial"}
    assert unread < {topic.name for topic in INTERNAL}
    firm = firm_with("systems: {hubspot: {role: crm}}")
    [worker] = [it for it in firm_users(firm, ()) if it.name == "psastream-worker"]

    assert not unread & may(USERS["psastream-worker"], Operation.WRITE)
    assert "psa.customer" in may(worker, Operation.WRITE)
    assert "psa.time_entry" not in may(worker, Operation.WRITE)


def test_a_firm_with_measures_of_its_own_has_a_user_that_writes_them(tmp_path: Path) -> None:
    (tmp_path / "client_hours.sql").write_text(MEASURE)
    named = {"PSASTREAM_MEASURES": str(tmp_path)}
    firm = read_firm(Settings.from_env(ANY_ADDRESSES | named))
    users = {user.name: user for user in firm_users(firm, ())}

    assert "psa.metric.client_hours" in may(users["psastream-measures"], Operation.WRITE)
    assert "psa.metric.client_hours" not in may(users["psastream-worker"], Operation.WRITE)
    assert "psa.metric.client_hours" in may(users["psastream-reader"], Operation.READ)


def test_connect_makes_no_topic_and_writes_what_it_captures_alone() -> None:
    connect = USERS["psastream-connect"]
    capture = capture_of(
        "inhouse-psa",
        {
            "topic.prefix": "src",
            "table.include.list": "inhouse.tasks",
            "heartbeat.interval.ms": "9",
        },
        FIRM.topics,
    )

    assert capture.topics == ("src.inhouse.tasks",)
    assert capture.heartbeat == "__debezium-heartbeat.src"
    assert not may(connect, Operation.CREATE)
    assert {name for name in may(connect, Operation.WRITE) if name.startswith("src.")} == {
        topic.name for topic in FIRM.bundles["inhouse"].topics.values()
    }
    own = {topic.name for topic in platform_topics([capture])}
    assert own < may(connect, Operation.WRITE)


def history_of(name: str) -> Capture:
    """What a connector captures that keeps the schemas of its tables in a topic of its own."""
    config = {
        "topic.prefix": "src",
        "table.include.list": "inhouse.tasks",
        "schema.history.internal.kafka.topic": "psastream-history-inhouse",
        "schema.history.internal.consumer.group.id": "psastream-history-inhouse",
    }
    return capture_of(name, config, FIRM.topics)


def test_a_history_of_schemas_is_kept_for_ever_in_order_and_read_by_its_connector() -> None:
    capture = history_of("inhouse-psa")
    [history] = [it for it in platform_topics([capture]) if it.name == capture.history]

    assert (history.name, history.partitions) == ("psastream-history-inhouse", 1)
    assert (history.cleanup, history.retention_ms) == (Cleanup.DELETE, -1)
    connectors = Connectors({}, {}, (capture,))
    [connect] = [it for it in users_of(FIRM, {}, connectors) if it.name == "psastream-connect"]
    for operation in (Operation.READ, Operation.WRITE, Operation.DESCRIBE_CONFIGS):
        assert history.name in may(connect, operation)
    assert capture.history_group in may(connect, Operation.READ, Resource.GROUP)


def test_two_connectors_with_one_history_of_schemas_are_refused() -> None:
    with pytest.raises(ConfigError, match="inhouse-2 and inhouse-1 keep schemas in one"):
        platform_topics([history_of("inhouse-1"), history_of("inhouse-2")])


def test_a_table_without_a_topic_is_refused() -> None:
    config = {"topic.prefix": "src", "table.include.list": "inhouse.tasks,inhouse.salaries"}

    with pytest.raises(ConfigError, match=r"no topic for inhouse\.salaries"):
        capture_of("inhouse-psa", config, FIRM.topics)


TABLES = {"topic.prefix": "src", "table.include.list": "inhouse.tasks,inhouse.time_entries"}
ROUTED = {
    "transforms": "system",
    "transforms.system.type": "org.apache.kafka.connect.transforms.RegexRouter",
    "transforms.system.replacement": "src.inhouse.$1",
}
OWN = {
    "transforms": "own",
    "transforms.own.type": "org.apache.kafka.connect.transforms.Filter",
    "transforms.own.predicate": "own",
    "predicates.own.type": "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
    "predicates.own.pattern": "src[.]inhouse[.]t.*s",
}


@pytest.mark.parametrize(
    ("config", "topics"),
    [
        ({}, {"tasks", "time_entries"}),
        ({"table.include.list": "inhouse[.]t.*"}, {"tasks", "time_entries"}),
        (
            {
                **ROUTED,
                "table.include.list": "public.tasks",
                "transforms.system.regex": "src[.]public[.](.*)",
            },
            {"tasks"},
        ),
        (
            {
                **ROUTED,
                "connector.class": "io.debezium.connector.sqlserver.SqlServerConnector",
                "database.names": "Work",
                "table.include.list": "dbo.tasks",
                "transforms.system.regex": "src[.]Work[.]dbo[.](.*)",
            },
            {"tasks"},
        ),
        (OWN | {"table.include.list": "inhouse.tasks,inhouse.projects"}, {"projects"}),
        (OWN | {"transforms.own.negate": "true"}, {"tasks", "time_entries"}),
        (OWN | {"predicates.own.type": "org.example.ByHour"}, {"tasks", "time_entries"}),
        (OWN | {"transforms.own.type": "org.example.Filter"}, {"tasks", "time_entries"}),
    ],
)
def test_topics_are_those_behind_the_transforms_of_a_connector(
    config: dict[str, str], topics: set[str]
) -> None:
    capture = capture_of("psa", TABLES | config, FIRM.topics)

    assert set(capture.topics) == {f"src.inhouse.{name}" for name in topics}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"table.include.list": "inhouse[.]x.*"}, r"no topic for inhouse\[\.\]x"),
        ({"transforms.system.regex": "src[.]other[.](.*)"}, r"no topic for public\.tasks"),
        ({"table.include.list": "public[.]t.*"}, "is a pattern, and topics are renamed"),
    ],
)
def test_a_table_that_is_renamed_otherwise_is_refused(config: dict[str, str], told: str) -> None:
    routed = ROUTED if "transforms.system.regex" in config or "renamed" in told else {}
    config = {**TABLES, "table.include.list": "public.tasks", **routed, **config}

    with pytest.raises(ConfigError, match=told):
        capture_of("psa", config, FIRM.topics)


def test_the_connectors_of_other_databases_write_the_topics_of_their_system(
    tmp_path: Path,
) -> None:
    """As the page shows them: with heartbeats and signals that are read and dropped."""
    for name, tables in (("mysql", "lower"), ("sqlserver", "lower"), ("oracle", "upper")):
        path = tmp_path / f"{name}.json"
        path.write_text(page_files()[path.name])
        connector = read_connector_file(path)
        wanted = {f"src.worklog.{getattr(table, tables)()}" for table in ("entries", "tasks")}
        firm = [replace(SOURCES[-1], name=topic) for topic in wanted]
        capture = capture_of(connector.name, connector.config, firm)

        assert set(capture.topics) == wanted
        assert (capture.heartbeat, capture.history, capture.history_group) == (
            "__debezium-heartbeat.src",
            "psastream-history-worklog",
            "psastream-history-worklog",
        )
        assert captured_systems(connector) == {"worklog"}


def test_a_source_file_of_another_firms_system_is_refused() -> None:
    firm = firm_with("systems: {hubspot: {role: crm}}")

    with pytest.raises(ConfigError, match=r"src\.float is of no system of the firm"):
        firm_users(firm, [VENDORS / "float" / "source.json"])


def test_one_process_for_several_systems_has_the_rights_of_all() -> None:
    pollers = [user for name, user in USERS.items() if name.startswith("psastream-poller-")]

    one = together("psastream-poller", "psastream poll", pollers)

    assert one.rules == frozenset().union(*(each.rules for each in pollers))
    assert len({(it.resource, it.name, it.is_prefix) for it in one.rights}) == len(one.rights)


def test_rights_on_one_resource_become_one() -> None:
    read = Right(Resource.TOPIC, "a", (Operation.READ,), "x")
    write = Right(Resource.TOPIC, "a", (Operation.WRITE, Operation.READ), "y")

    [found] = merged([read, write])

    assert found == Right(Resource.TOPIC, "a", (Operation.READ, Operation.WRITE), "x; y")
    assert set(found.rules) == {
        Rule(Resource.TOPIC, "a", False, Operation.READ),
        Rule(Resource.TOPIC, "a", False, Operation.WRITE),
    }


def test_a_firm_that_encrypts_gives_keys_to_whoever_writes_or_reads_records() -> None:
    users = {user.name: user for user in firm_users(replace(FIRM, is_sealed=True), ())}
    readers = {name for name, user in users.items() if KEYS.name in may(user, Operation.READ)}
    makers = {name for name, user in users.items() if KEYS.name in may(user, Operation.WRITE)}

    assert readers == users.keys() - {"psastream-deployer"}
    assert readers - makers == {"psastream-read-model", "psastream-reader"}
    custodian = users["psastream-custodian"]
    assert may(custodian, Operation.WRITE) == {
        KEYS.name,
        "psa.resource",
        "psa.time_entry",
        "psa.job",
    }
    assert not [user for user in USERS.values() if KEYS.name in may(user, Operation.READ)]
