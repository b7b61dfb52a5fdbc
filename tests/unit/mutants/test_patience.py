"""A mutant that waits for ever is ended soon; one that computes is left to its limit of CPU."""

import multiprocessing
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.mutants.patience import await_end


@pytest.mark.parametrize(
    ("work", "arguments", "code"),
    [
        (time.sleep, (600,), -signal.SIGKILL),
        (sum, (range(20_000_000),), 0),  # longer than the patience
        (len, ([],), 0),
    ],
)
def test_only_what_stands_still_is_ended(
    work: Callable[..., Any], arguments: tuple[Any, ...], code: int
) -> None:
    process = multiprocessing.get_context("forkserver").Process(target=work, args=arguments)
    process.start()
    await_end(process, patience_s=0.3, look_s=0.05)
    assert process.exitcode == code
