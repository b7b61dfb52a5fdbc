"""What a process says when a part does not answer: one line a minute, in our words."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import stamina
import structlog

from runtime.kafka import QUIET, KafkaSettings, require_broker
from runtime.logs import KINDS_MAX, LibraryLines, configure_logs
from runtime.registry import Registry
from runtime.retries import REMINDER_S, Retries
from schemas.errors import BrokerUnavailableError, RegistryUnavailableError

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What a process logs, as JSON lines; logging is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logs(json=True)
    stream = io.StringIO()
    root.handlers[0].setStream(stream)  # type: ignore[attr-defined]
    yield stream
    root.handlers = handlers
    root.setLevel(level)
    stamina.instrumentation.set_on_retry_hooks(None)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.fault("D14", place="runtime/retries.py")
def test_d14_a_retry_is_told_once_a_minute_and_its_end(logged: io.StringIO) -> None:
    now = [0.0]
    retries = Retries(lambda: now[0])
    error = RegistryUnavailableError("the registry is away", hint="start it")
    for partition in range(20):
        retries.tell(error, partition=partition)
    now[0] = REMINDER_S
    retries.tell(error)
    retries.tell(BrokerUnavailableError("no broker"))
    retries.tell_recovered(error)
    retries.tell_recovered(error)
    retries.tell(error)
    said = lines(logged)
    assert [(line["event"], line["code"]) for line in said] == [
        ("retry.told", "transient.registry_unavailable"),
        ("retry.told", "transient.registry_unavailable"),
        ("retry.told", "transient.broker_unavailable"),
        ("retry.recovered", "transient.registry_unavailable"),
        ("retry.told", "transient.registry_unavailable"),
    ]
    assert (said[0]["error"], said[0]["hint"]) == ("the registry is away", "start it")
    assert said[1]["since_s"] == REMINDER_S
    assert all(line.get("hint") for line in said if line["event"] == "retry.told")


def test_a_failure_long_after_the_last_is_another_one(logged: io.StringIO) -> None:
    now = [0.0]
    retries = Retries(lambda: now[0])
    error = BrokerUnavailableError("no broker")
    for now[0] in (0.0, 100.0, 10_000.0):
        retries.tell(error)
    assert [line.get("since_s") for line in lines(logged)] == [None, 100, None]


@pytest.mark.fault("D14", place="runtime/logs.py")
def test_d14_a_retry_of_stamina_speaks_in_our_words(logged: io.StringIO) -> None:
    failures = [OSError("no answer"), OSError("no answer")]
    for attempt in stamina.retry_context(on=OSError, wait_initial=0.0, wait_max=0.0):
        with attempt:
            if failures:
                raise failures.pop()
    [line] = lines(logged)
    assert (line["event"], line["code"]) == ("retry.told", "OSError")
    assert "context block" not in logged.getvalue()


@pytest.mark.fault("D14", place="runtime/logs.py")
@pytest.mark.parametrize("library", ["aiokafka.consumer", "faust.app", "mode.services", "httpx2"])
def test_d14_a_librarys_line_comes_once_a_minute_with_what_to_do(
    library: str, logged: io.StringIO
) -> None:
    log = logging.getLogger(library)
    log.info("[^--Agent]: Starting...")
    for number in range(280):
        log.error("Stream has not\nstarted processing %r", number)
    [line] = lines(logged)
    assert line["event"] == "library.said"
    assert line["message"] == (
        f"a library reports trouble: {library.partition('.')[0]} says:"
        " Stream has not started processing 0; see the lines of ours around this one"
    )


@pytest.mark.fault("D14", place="runtime/logs.py")
def test_d14_lines_that_are_never_the_same_are_not_all_remembered() -> None:
    lines = LibraryLines(clock=lambda: 0.0)
    for number in range(KINDS_MAX + 50):
        said = logging.LogRecord("lib", logging.WARNING, "", 0, f"lost {number}", None, None)
        assert lines.filter(said)
    assert len(lines._told_s) == KINDS_MAX
    again = logging.LogRecord("lib", logging.WARNING, "", 0, f"lost {number}", None, None)
    assert not lines.filter(again)


@pytest.mark.fault("D11", place="runtime/logs.py")
def test_d11_whatever_a_client_says_of_a_lost_broker_is_one_line(logged: io.StringIO) -> None:
    log = logging.getLogger("aiokafka")
    for node in range(20):
        log.error("Unable connect to node with id %s: %s", node, OSError("refused"))
        log.error("Failed fetch messages from %s: %s", node, "KafkaConnectionError")
        log.error("Heartbeat session expired - marking coordinator dead")
    [line] = lines(logged)
    assert line["level"] == "warning"
    assert str(line["message"]).startswith(
        "a broker does not answer: aiokafka says: Unable connect"
    )


@pytest.mark.fault("D14", place="runtime/logs.py")
def test_d14_what_happens_in_the_ordinary_course_is_not_told(logged: io.StringIO) -> None:
    log = logging.getLogger("streams.engine.app")  # Faust's services take the module of a subclass
    log.info("[^EngineApp]: Starting...")
    log.warning("Heartbeat failed for group %s because it is rebalancing", "g")
    log.warning("[^EngineApp]: Missing sensor state for rebalance #%s", 2)
    log.error("[^EngineApp]: Crashed reason=%r", OSError())
    log.error("[^--ChunkConsumerThread]: Thread keepalive is not responding...")
    log.warning("Heartbeat failed: local member_id was not recognized; resetting")
    structlog.get_logger().info("worker.partition_ready", group="g")
    assert [line["message"] for line in lines(logged)] == [
        "this process was not heard of for a while: faust says: [^--ChunkConsumerThread]: Thread"
        " keepalive is not responding...; it joins its group again by itself",
        "partition ready",
    ]


@pytest.mark.fault("D11", place="runtime/kafka.py")
def test_d11_a_broker_that_does_not_answer_is_named_with_the_reason(
    capfd: pytest.CaptureFixture[str],
) -> None:
    client = KafkaSettings(bootstrap_servers=NOWHERE).client()
    with pytest.raises(BrokerUnavailableError, match="no Kafka broker answers") as raised:
        require_broker(client, timeout_s=0.0)
    assert "Connection refused" in raised.value.detail
    assert "PSASTREAM_BOOTSTRAP_SERVERS" in raised.value.hint
    assert capfd.readouterr().err == ""


def test_a_broker_nobody_wants_any_more_is_not_waited_for() -> None:
    require_broker({"bootstrap.servers": NOWHERE, **QUIET}, is_wanted=lambda: False)


@pytest.mark.fault("D11", place="runtime/registry.py")
def test_d11_a_registry_that_does_not_answer_is_named() -> None:
    with pytest.raises(
        RegistryUnavailableError, match=f"does not answer: http://{NOWHERE}"
    ) as caught:
        Registry(f"http://{NOWHERE}").require()
    assert "PSASTREAM_REGISTRY_URL" in (caught.value.hint or "")
