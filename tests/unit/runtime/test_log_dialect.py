"""One dialect in every log line: an event of the catalogue, fields that the catalogue explains."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from connectors.dispatch.commands import Command
from runtime.log_events import FIELDS, LIBRARY, SENTENCES
from runtime.logs import configure_logs
from tests.support.log_calls import LogCall, calls_of, product_calls
from tests.support.logging_back import logging_put_back

COMMAND = Command(
    "cmd-1", "erp", "project", "erp|project|7", 3, payload="{}", origin_key="7",
    correlation_id="cor-abcdefghijklmnop",
)  # fmt: skip


def strange(calls: Iterator[LogCall]) -> Iterator[str]:
    """Yield what is not said as everywhere else."""
    for call in calls:
        if not call.events:
            yield f"{call.place}: the event is no constant alone: fields are named"
        for event in call.events:
            if event not in SENTENCES:
                yield f"{call.place}: {event} has no sentence in runtime/log_events.py"
        for name in sorted(call.fields - FIELDS.keys() - {"exc_info"}):
            yield f"{call.place}: nothing says what {name} holds"
        if call.holds_command and not call.names_command:
            yield f"{call.place}: a command is at hand, and the line does not name it"


@pytest.mark.parametrize(
    "bad",
    [
        '_log.info("not an event of ours")',
        '_log.info(f"worker.{state}")',
        '_log.info("worker.stopped %s", code)',
        '_log.info("worker.stopped", customer_name=name)',
        'def f(command): self._log.warning("dispatch.rejected", error=str(command.error))',
    ],
)
def test_the_check_finds_what_is_strange(bad: str) -> None:
    assert len(list(strange(calls_of(bad, "bad.py")))) == 1


def test_every_line_of_the_product_is_in_the_dialect() -> None:
    calls = list(product_calls())
    assert list(strange(iter(calls))) == []
    said = {event for call in calls for event in call.events} | {LIBRARY}
    assert said == set(SENTENCES)
    explained = {name for call in calls for name in call.fields} | {"trace_id", "span_id"}
    assert FIELDS.keys() - explained == set()


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    with logging_put_back():
        configure_logs(json=True)
        stream = io.StringIO()
        logging.getLogger().handlers[0].setStream(stream)  # type: ignore[attr-defined]
        yield stream


def test_a_line_for_machines_begins_with_what_all_lines_have(logged: io.StringIO) -> None:
    structlog.get_logger().warning("dispatch.rejected", **COMMAND.named, error="no")
    structlog.get_logger().info("acme.own_event")
    logging.getLogger("aiokafka").error("out of luck")
    ours, foreign, library = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert list(ours)[:5] == ["timestamp", "level", "logger", "event", "message"]
    assert ours["timestamp"].endswith("Z") and ours["logger"] == __name__
    assert (ours["event"], ours["message"]) == ("dispatch.rejected", "a command was refused")
    assert (ours["command_id"], ours["correlation_id"]) == ("cmd-1", "cor-abcdefghijklmnop")
    assert (foreign["event"], foreign["message"]) == ("acme.own_event", "acme.own_event")
    assert (library["event"], library["logger"]) == (LIBRARY, "aiokafka")
    assert "out of luck" in library["message"]


def test_a_line_for_people_begins_with_the_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_put_back():
        configure_logs(json=False)
        structlog.get_logger().info("worker.partition_ready", group="g")
    said = capsys.readouterr().err
    assert "partition ready" in said.partition("event=worker.partition_ready")[0]
    assert __name__ not in said


def test_an_error_nobody_caught_is_one_line_for_machines(logged: io.StringIO) -> None:
    try:
        raise RuntimeError("lost")
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    line = json.loads(logged.getvalue())
    assert (line["event"], line["level"]) == ("process.uncaught", "critical")
    assert "RuntimeError: lost" in line["exception"]
