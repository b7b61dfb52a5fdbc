"""Logging set-up of a process: structlog, JSON for machines or plain lines for people."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Final

import structlog

from runtime.secrets import mask

TEXT_MAX: Final = 2_000
"""Characters of one text in a log line: a vendor's page is not a log."""
TRACE_MAX: Final = 20_000


def clean_event(
    logger: object, name: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Mask secrets and bound texts in every value of a log line, however deep. A processor."""
    return {key: _clean(value, _limit(key)) for key, value in event.items()}


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


def report_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print an error nobody caught, without secrets. For `sys.excepthook`."""
    sys.stderr.write(mask("".join(traceback.format_exception(kind, error, trace))))


def configure_logs(*, json: bool, level: str = "INFO") -> None:
    """Route structlog, the standard library and uncaught errors to standard error in one format.

    No line holds a secret, or more of a text than TEXT_MAX characters.
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        clean_event,
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    sys.excepthook = report_uncaught
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # One line a request of the registry client says nothing that its errors do not.
    logging.getLogger("httpx2").setLevel("WARNING")
