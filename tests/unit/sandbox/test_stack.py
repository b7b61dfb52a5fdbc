"""Rules of the embedded stack that need no process: settings, lock, configuration, reports."""

import asyncio
import io
import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from rich.console import Console

from sandbox.stack.connect import worker_properties
from sandbox.stack.errors import (
    MissingPackageError,
    MissingResourceError,
    StackError,
    UnwritableDirectoryError,
)
from sandbox.stack.jars import fetch_jars, parse_lock, read_lock
from sandbox.stack.kafka import Java, server_properties
from sandbox.stack.packages import import_package, package_directory
from sandbox.stack.reporter import BriefReporter, PlainReporter, RichReporter
from sandbox.stack.resources import require
from sandbox.stack.settings import Part, StackAddresses, StackSettings, cache_dir_from
from sandbox.stack.tasks import run_all
from schemas.errors import ConfigError

HERE = Path("stack")


def properties(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def test_a_given_address_replaces_its_part() -> None:
    settings = StackSettings(data_dir=HERE, cache_dir=HERE, bootstrap_servers="kafka:9092")

    assert settings.parts_to_start == {Part.CONNECT, Part.POSTGRES, Part.REGISTRY}
    assert settings.given_addresses == StackAddresses(bootstrap_servers="kafka:9092")


@pytest.mark.parametrize(
    ("parts", "missing"),
    [({Part.CONNECT, Part.KAFKA}, "registry"), ({Part.REGISTRY}, "kafka")],
)
def test_a_part_without_what_it_needs_is_refused(parts: frozenset[Part], missing: str) -> None:
    with pytest.raises(ValidationError, match=f"needs .*{missing}"):
        StackSettings(data_dir=HERE, cache_dir=HERE, parts=parts)


def test_what_a_part_needs_may_be_given() -> None:
    settings = StackSettings(
        data_dir=HERE,
        cache_dir=HERE,
        parts=frozenset({Part.CONNECT}),
        bootstrap_servers="kafka:9092",
        registry_url="http://registry:8081",
    )

    assert settings.parts_to_start == {Part.CONNECT}


def test_the_cache_is_where_the_user_says() -> None:
    assert cache_dir_from({"PSASTREAM_CACHE_DIR": "elsewhere"}) == Path("elsewhere")
    assert cache_dir_from({}).name == "psastream"


def test_a_lock_line_names_class_path_coordinate_and_checksum() -> None:
    (jar,) = parse_lock("# comment\n\nkafka org.apache:thing:1.2 abc\n")

    assert (jar.group, str(jar), jar.sha256) == ("kafka", "org.apache:thing:1.2", "abc")


def test_the_lock_holds_each_library_once_with_a_checksum() -> None:
    jars = read_lock()
    libraries = [(jar.organisation, jar.artifact) for jar in jars]

    assert {jar.group for jar in jars} == {"kafka", "debezium"}
    assert len(set(libraries)) == len(libraries)
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in jars)


def test_kafka_and_connect_come_in_one_version() -> None:
    versions = {jar.version for jar in read_lock() if jar.organisation == "org.apache.kafka"}

    assert len(versions) == 1


def test_debezium_comes_in_one_version_and_without_a_driver_under_a_licence_to_be_taken() -> None:
    further = read_lock("databases.lock")
    versions = {
        jar.version
        for jar in (*read_lock(), *further)
        if jar.artifact.startswith("debezium-") and jar.organisation == "io.debezium"
    }

    assert len(versions) == 1
    assert "debezium-connector-oracle" in {jar.artifact for jar in further}
    assert not {jar for jar in further if jar.organisation.startswith("com.oracle")}


def test_the_broker_listens_on_the_loopback_address_only() -> None:
    broker = properties(server_properties(HERE, 9092, 9093))

    listeners = re.findall(r"//([^,]*)", broker["listeners"])
    assert listeners == ["127.0.0.1:9092", "127.0.0.1:9093"]
    assert broker["auto.create.topics.enable"] == "false"


@pytest.mark.parametrize("quick_start", [True, False])
def test_java_compiles_for_a_short_life_unless_it_is_measured(quick_start: bool) -> None:
    command = Java(HERE / "java", HERE, quick_start).command("kafka.Kafka", heap_mb=512)
    assert ("-XX:TieredStopAtLevel=1" in command) is quick_start


def test_java_tells_what_chosen_loggers_do_and_warns_of_the_rest() -> None:
    command = Java(HERE / "java", HERE).command("kafka.Kafka", heap_mb=512, told={"a.B": "info"})
    levels = [part for part in command if part.startswith("-Dorg.slf4j") and "evel" in part]
    assert levels == ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    assert "-Dorg.slf4j.simpleLogger.log.a.B=info" in command


def test_connect_inherits_the_addresses_and_names_its_topics() -> None:
    addresses = StackAddresses(bootstrap_servers="kafka:9092", registry_url="http://registry:8081")

    worker = properties(worker_properties(HERE, 8083, addresses))

    assert worker["bootstrap.servers"] == "kafka:9092"
    assert worker["value.converter.schema.registry.url"] == "http://registry:8081"
    assert {value for name, value in worker.items() if name.endswith("storage.topic")} == {
        "psastream-connect-configs",
        "psastream-connect-offsets",
        "psastream-connect-status",
    }
    assert worker["consumer.isolation.level"] == "read_committed", "a sink would write what is not"


@pytest.mark.fault("D6", place="sandbox/stack/connect.py")
def test_d6_connect_resolves_only_what_connector_files_name() -> None:
    addresses = StackAddresses(bootstrap_servers="kafka:9092", registry_url="http://registry:8081")

    worker = properties(worker_properties(HERE, 8083, addresses))

    allowed = re.compile(worker["config.providers.env.param.allowlist.pattern"])
    assert allowed.fullmatch("INHOUSE_PSA_PASSWORD")
    assert not allowed.fullmatch("FLOAT_TOKEN")
    assert worker["connector.client.config.override.policy"] == "None"


def test_connect_resolves_what_files_of_a_firms_own_name_too() -> None:
    addresses = StackAddresses(bootstrap_servers="kafka:9092", registry_url="http://registry:8081")

    worker = properties(worker_properties(HERE, 8083, addresses, ["FIRM_HOST"]))

    allowed = re.compile(worker["config.providers.env.param.allowlist.pattern"])
    assert allowed.fullmatch("FIRM_HOST") and allowed.fullmatch("INHOUSE_PSA_HOST")
    assert not allowed.fullmatch("FIRM_HOST2")


def test_a_missing_package_names_the_extra_to_install() -> None:
    for look_up in (import_package, package_directory):
        with pytest.raises(
            MissingPackageError, match=r"no_such_package.*\.whl\[sandbox\]"
        ) as error:
            look_up("no_such_package")
        assert isinstance(error.value, ConfigError), "its exit code is 2: nothing was started"


def test_too_little_of_a_resource_tells_both_amounts_and_the_remedy() -> None:
    require("memory", 10, 10, hint="")
    with pytest.raises(MissingResourceError, match=r"1\.0 GB free.*2\.0 GB; close a browser"):
        require("memory", 10**9, 2 * 10**9, hint="close a browser")


def test_plain_progress_takes_few_lines() -> None:
    stream = io.StringIO()
    reporter = PlainReporter(stream)

    for done in range(1, 103):
        reporter.progress("jars", done, 102)

    lines = stream.getvalue().splitlines()
    assert lines[-1] == "jars: 102 of 102"
    assert len(lines) < 10


def test_brief_progress_is_a_line_a_part_until_it_is_left() -> None:
    stream = io.StringIO()
    with BriefReporter(stream) as reporter:
        reporter.step("kafka", "starting")
        reporter.progress("jars", 1, 1)
        reporter.done("kafka", 1.25)
    reporter.done("kafka", 3.0)

    assert stream.getvalue() == "kafka: done after 1.2 s\n"


def test_rich_progress_shows_the_last_word_on_each_step() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)

    with RichReporter(console) as reporter:
        reporter.step("kafka", "starting")
        reporter.progress("jars", 3, 102)
        reporter.done("kafka", 1.25)

    shown = console.file.getvalue()  # type: ignore[attr-defined]
    last_frame = shown[shown.rindex("kafka") :]
    assert "done after 1.2 s" in last_frame
    assert "3/102" in last_frame


@pytest.mark.asyncio
async def test_the_first_failure_is_raised_as_it_is_and_cancels_the_others() -> None:
    cancelled = asyncio.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise StackError("no")

    with pytest.raises(StackError, match="no"):
        await run_all([wait_for_ever(), fail()])

    assert cancelled.is_set()


@pytest.mark.fault("D12", place="sandbox/stack/jars.py")
@pytest.mark.parametrize("folder", ["/proc/nowhere", "/dev/null/cache", "a\0b", "x" * 5_000])
def test_d12_a_cache_that_cannot_be_written_is_named_with_its_remedy(folder: str) -> None:
    with pytest.raises(UnwritableDirectoryError) as caught:
        asyncio.run(fetch_jars([], Path(folder), PlainReporter(io.StringIO())))
    assert "cache" in caught.value.detail
    assert "\0" not in caught.value.detail
    assert "PSASTREAM_CACHE_DIR" in caught.value.hint
