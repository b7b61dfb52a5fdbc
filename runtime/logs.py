"""Logging set-up of a process: structlog, JSON for machines or plain lines for people.

Each line has an event, a code for machines, and a sentence for people (`runtime.log_events`).
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final

import stamina.instrumentation
import structlog

from runtime.log_events import LIBRARY, SENTENCES, UNCAUGHT
from runtime.retries import REMINDER_S, on_stamina_retry
from runtime.secrets import mask
from runtime.tracing import tracing

TEXT_MAX: Final = 2_000
"""Characters of one text in a log line: a vendor's page is not a log."""
TRACE_MAX: Final = 20_000
KINDS_MAX: Final = 1_000
"""Lines of libraries that are remembered, so as not to be repeated."""

_log = structlog.get_logger()

_UNREACHABLE: Final = (
    "Unable connect",
    "Unable to request metadata",
    "Unable to update metadata",
    "Failed fetch messages",
    "Failed to get offsets",
    "Group Coordinator Request failed",
    "Error sending",
    "Could not send",
    "Heartbeat send request failed",
    "Heartbeat session expired",
    "Marking the coordinator dead",
    "OffsetCommit",
    "LeaveGroup",
    "Got error produce response",
    "not found in cluster metadata",
    "KafkaConnectionError",
)
"""What clients of Kafka say while a broker is away."""
_REJOINS: Final = ("member_id was not recognized", "keepalive is not responding")
"""What they say in a process that stood still or was cut off longer than its session."""
_SILENT: Final = ("because it is rebalancing", "Missing sensor state", "Crashed reason=")
"""What happens in the ordinary course, or is said by a line of ours."""


def _words_for(said: str) -> tuple[str, str] | None:
    """The fact and what to do about a line of a library; None where it says nothing."""
    if any(words in said for words in _SILENT):
        return None
    if any(words in said for words in _REJOINS):
        return "this process was not heard of for a while", "it joins its group again by itself"
    if any(words in said for words in _UNREACHABLE):
        return "a broker does not answer", "check the brokers; work goes on when they do"
    return "", "see the lines of ours around this one"


class LibraryLines(logging.Filter):
    """Lets a library's warning through once a minute, whatever its arguments, in our words.

    Below WARNING libraries say nothing. Lines of ours come through structlog.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds that never go back."""
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._told_s: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written. A filter, as the standard library has them."""
        if isinstance(record.msg, dict):  # ours: structlog hands its lines on like this
            return True
        if record.levelno < logging.WARNING:
            return False
        said = " ".join(record.getMessage().split())
        words = _words_for(said)
        if words is None:
            return False
        fact, hint = words
        kind = fact or (record.name, record.msg)
        now_s = self._clock()
        with self._lock:
            told_s = self._told_s.get(kind)
            if told_s is not None and now_s - told_s < REMINDER_S:
                return False
            # A library that puts its arguments into the text says something new each time.
            while len(self._told_s) >= KINDS_MAX:
                del self._told_s[next(iter(self._told_s))]
            self._told_s.pop(kind, None)  # the newest last
            self._told_s[kind] = now_s
        if fact:  # nothing is wrong here: the trace would say where it was noticed
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.exc_info = None
        record.msg = "%s: %s says: %s; %s"
        record.args = (fact or "a library reports trouble", _library(record.name), said, hint)
        return True


def _library(logger: str) -> str:
    """The library behind a logger. Faust's services log under the modules of their subclasses."""
    package = logger.partition(".")[0]
    return "faust" if package == "streams" else package


def clean_event(
    logger: object, name: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Mask secrets and bound texts in every value of a log line, however deep. A processor."""
    return {key: _clean(value, _limit(key)) for key, value in event.items()}


def say_sentence(
    logger: object, name: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Put the sentence of its event into a log line, and what all lines have to its front.

    A processor. An event that is not in the catalogue, of a system that is not the product's, is
    its own sentence.
    """
    said = event.pop("event")
    is_ours = event.get("_from_structlog", True)
    event_of = said if is_ours else LIBRARY
    sentence = SENTENCES.get(said, said) if is_ours else said
    first = {key: event.pop(key) for key in ("timestamp", "level", "logger") if key in event}
    return {**first, "event": event_of, "message": sentence, **event}


def name_trace(
    logger: object, name: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Put the ids of the current span into a log line, where it is kept. A processor."""
    made = tracing()
    if made is not None and (span := made.current()) is not None:
        at = span.get_span_context()
        event["trace_id"], event["span_id"] = f"{at.trace_id:032x}", f"{at.span_id:016x}"
    return event


def _without_logger(
    logger: object, name: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Leave out which module speaks: people see what it says. A processor."""
    event.pop("logger", None)
    return event


def _limit(key: str) -> int:
    return TRACE_MAX if key in {"exception", "stack"} else TEXT_MAX


def _clean(value: object, limit: int) -> object:
    if value is None or isinstance(value, bool | int | float | logging.LogRecord):
        return value
    if isinstance(value, Mapping):
        return {str(key): _clean(item, limit) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, limit) for item in value]
    text = mask(value if isinstance(value, str) else str(value))
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Log an error nobody caught, as one line. For `sys.excepthook` where lines are for machines.

    A user's interrupt is no error.
    """
    if issubclass(kind, KeyboardInterrupt):
        return
    _log.critical(UNCAUGHT, exc_info=(kind, error, trace))


def log_uncaught_in_thread(said: threading.ExceptHookArgs) -> None:
    """Log an error that ended a thread, as one line. For `threading.excepthook`."""
    if said.exc_value is not None and said.exc_type is not SystemExit:
        log_uncaught(said.exc_type, said.exc_value, said.exc_traceback)


def report_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print an error nobody caught, without secrets. For `sys.excepthook`."""
    sys.stderr.write(mask("".join(traceback.format_exception(kind, error, trace))))


def report_uncaught_in_thread(said: threading.ExceptHookArgs) -> None:
    """Print an error that ended a thread, without secrets. For `threading.excepthook`."""
    if said.exc_value is not None and said.exc_type is not SystemExit:
        report_uncaught(said.exc_type, said.exc_value, said.exc_traceback)


def configure_logs(*, json: bool, level: str = "INFO") -> None:
    """Route structlog, the standard library and uncaught errors to standard error in one format.

    No line holds a secret, or more of a text than TEXT_MAX characters.
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        name_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        clean_event,
    ]
    rendering: list[structlog.types.Processor] = (
        [structlog.processors.JSONRenderer()]
        if json
        else [_without_logger, structlog.dev.ConsoleRenderer(colors=False, event_key="message")]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Not cached: a logger that has been used follows when this is called again.
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                say_sentence,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *rendering,
            ],
            foreign_pre_chain=shared,
        )
    )
    sys.excepthook = log_uncaught if json else report_uncaught
    threading.excepthook = log_uncaught_in_thread if json else report_uncaught_in_thread
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    handler.addFilter(LibraryLines())
    stamina.instrumentation.set_on_retry_hooks([on_stamina_retry])
