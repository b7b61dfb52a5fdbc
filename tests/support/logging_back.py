"""Logging as it was, after a process of ours has configured it."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def logging_put_back() -> Iterator[None]:
    """Put back handlers, level and hooks at the end of the block."""
    root, hook, thread_hook = logging.getLogger(), sys.excepthook, threading.excepthook
    handlers, level = root.handlers, root.level
    try:
        yield
    finally:
        root.handlers, sys.excepthook, threading.excepthook = handlers, hook, thread_hook
        root.setLevel(level)
        structlog.reset_defaults()
