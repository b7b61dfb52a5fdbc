"""A process as it was, after one of ours has set it up: its logging, the secrets it masks."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from stamina.instrumentation import get_on_retry_hooks, set_on_retry_hooks

from runtime import secrets


@contextmanager
def logging_put_back() -> Iterator[None]:
    """Put back handlers, level, hooks and structlog's configuration at the end of the block."""
    root, hook, thread_hook = logging.getLogger(), sys.excepthook, threading.excepthook
    handlers, level = root.handlers, root.level
    retry_hooks, configuration = get_on_retry_hooks(), structlog.get_config()
    try:
        yield
    finally:
        root.handlers, sys.excepthook, threading.excepthook = handlers, hook, thread_hook
        root.setLevel(level)
        set_on_retry_hooks(retry_hooks)
        structlog.configure(**configuration)


@contextmanager
def secrets_put_back() -> Iterator[None]:
    """Forget at the end of the block the secrets that were remembered in it."""
    before = set(secrets._remembered._spellings)
    try:
        yield
    finally:
        for secret in set(secrets._remembered._spellings) - before:
            secrets.forget(secret)
