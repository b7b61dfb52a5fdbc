"""What a worker asks Faust to do: to read every source topic, and to leave the rest to the engine.

Nothing here reaches a broker.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from faust.types.enums import ProcessingGuarantee
from yarl import URL

from schemas.errors import ConfigError
from streams.engine import (
    AgentSpec,
    Chunk,
    Effects,
    EngineApp,
    EngineSettings,
    GroupSpec,
    NoInstruments,
    State,
    create_app,
)

STATE_DIR = Path("state")
SETTINGS = EngineSettings(
    app_id="worker",
    bootstrap_servers="k1:9092, k2:9093",
    state_dir=STATE_DIR,
    instance_id="pod-3",
    max_chunk_records=70,
    fetch_max_bytes=2_048,
    in_flight_max_bytes=3_000,
    fetch_interval_s=0.25,
    session_timeout_s=31.0,
    heartbeat_interval_s=4.0,
    request_timeout_s=41.0,
    max_poll_interval_s=301.0,
    metadata_max_age_s=11.0,
)


def ignore(chunk: Chunk, state: State) -> Effects:
    return Effects()


def group(name: str, partitions: int, *topics: str) -> GroupSpec:
    return GroupSpec(
        name, partitions, [AgentSpec(topic, ignore) for topic in topics], f"{name}.log"
    )


@pytest.fixture(scope="module")
def app() -> EngineApp:
    return create_app(SETTINGS, [group("a", 3, "t1", "t2"), group("b", 2, "t3")], NoInstruments())


def test_every_source_topic_is_read_as_chunks_by_an_agent_of_its_own(app: EngineApp) -> None:
    channels = {name: agent.channel for name, agent in app.agents.items()}
    assert {name: (it.topics, it.partitions) for name, it in channels.items()} == {
        "a.t1": (("t1",), 3),
        "a.t2": (("t2",), 3),
        "b.t3": (("t3",), 2),
    }
    for channel in channels.values():
        assert channel.key_type is channel.value_type is bytes
        assert channel.key_serializer == channel.value_serializer == "raw"
    assert app.transport.chunk_topics == {"t1", "t2", "t3"}


def test_the_state_log_of_every_group_is_its_table(app: EngineApp) -> None:
    logs = {name: table.changelog_topic for name, table in app.tables.items()}
    assert {name: (log.topics, log.partitions) for name, log in logs.items()} == {
        "a": (("a.log",), 3),
        "b": (("b.log",), 2),
    }
    assert all(log.compacting and not log.deleting for log in logs.values())
    assert [runtime.spec.name for runtime in app.groups] == ["a", "b"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("id", "worker"),
        ("broker", [URL("kafka://k1:9092"), URL("kafka://k2:9093")]),
        ("datadir", STATE_DIR / "faust"),
        ("consumer_group_instance_id", "pod-3"),
        ("broker_max_poll_records", 70),
        ("consumer_max_fetch_size", 2_048),
        ("broker_session_timeout", 31.0),
        ("broker_heartbeat_interval", 4.0),
        ("broker_request_timeout", 41.0),
        ("broker_max_poll_interval", 301.0),
        ("broker_rebalance_timeout", 301.0),
        ("consumer_metadata_max_age_ms", 11_000),
    ],
)
def test_a_setting_reaches_faust(app: EngineApp, option: str, value: Any) -> None:
    assert getattr(app.conf, option) == value


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("processing_guarantee", ProcessingGuarantee.AT_LEAST_ONCE),  # no transactions of its own
        ("consumer_auto_offset_reset", "earliest"),  # a new group misses nothing
        ("store", URL("memory:")),
        ("topic_allow_declare", False),  # the catalogue makes the topics
        ("topic_disable_leader", True),
        ("table_standby_replicas", 0),
        ("recovery_consistency_check", False),
        ("stream_buffer_maxsize", 16),
        ("stream_wait_empty", False),
        ("stream_recovery_delay", 0.0),
        ("web_enabled", False),  # no port is opened
    ],
)
def test_faust_leaves_commits_topics_and_state_to_the_engine(
    app: EngineApp, option: str, value: Any
) -> None:
    assert getattr(app.conf, option) == value


def test_the_worker_s_memory_is_shared_out_to_fetches_and_chunks(app: EngineApp) -> None:
    assert app.transport.buffer_max_bytes == 1_000
    assert app.transport.fetch_max_bytes == 2_048
    assert app.transport.fetch_interval_s == 0.25
    assert app.transport.window is app.window
    assert app.window.room_bytes("t1", 0) == 2_000


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (group("a", 2, "t3"), "group used more than once: a"),
        (group("b", 2, "t2"), "source topic used more than once: t2"),
        (group("b", 2, "a.log"), "both a source and a state topic: a.log"),
    ],
)
def test_groups_that_share_a_name_or_a_topic_make_no_app(other: GroupSpec, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        create_app(SETTINGS, [group("a", 3, "t1", "t2"), other], NoInstruments())


@pytest.mark.asyncio
async def test_a_chunk_that_waits_for_its_agent_is_there_when_the_flow_goes_on(
    app: EngineApp,
) -> None:
    """Faust resumes once more when a rebalance has ended: chunks have come in the meantime, and
    the positions of the consumer lie behind them."""
    queue = app.agents["a.t1"].channel.queue
    app.flow_control.resume()
    await queue.put("chunk")
    app.flow_control.suspend()
    app.flow_control.clear()
    app.flow_control.resume()
    assert queue.get_nowait() == "chunk"


@pytest.mark.asyncio
async def test_the_first_failure_is_the_one_a_worker_ends_with() -> None:
    app = create_app(SETTINGS, [group("a", 3, "t1")], NoInstruments())
    assert not app.has_failed
    assert app.failure() is None
    first = OSError("the disk is full")
    app.fail(first)
    app.fail(OSError("what followed from it"))
    assert app.has_failed
    assert app.failure() is first
    others = asyncio.all_tasks() - {asyncio.current_task()}
    async with asyncio.timeout(30):
        await asyncio.gather(*others)
    assert app.crash_reason is first


@pytest.mark.asyncio
async def test_a_crash_that_faust_finds_is_a_failure_too() -> None:
    app = create_app(SETTINGS, [group("a", 3, "t1")], NoInstruments())
    found = OSError("a service of its own has ended")
    await app.crash(found)
    assert app.has_failed
    assert app.failure() is found
