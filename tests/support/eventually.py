"""Waiting for something to become true, without sleeping for a guessed time."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

_PAUSE_S = 0.05


def eventually(fn: Callable[[], Result], *, deadline_s: float) -> Result:
    """Return the first truthy result of `fn`; raise AssertionError after `deadline_s` seconds."""
    deadline_at = time.monotonic() + deadline_s
    while True:
        result = fn()
        if result:
            return result
        if time.monotonic() > deadline_at:
            raise AssertionError(f"not within {deadline_s} s; last result: {result!r}")
        time.sleep(_PAUSE_S)
