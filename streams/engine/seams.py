"""What a test may put in place of the engine's own parts. A worker takes the defaults."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from streams.engine.commit import TransactionalWriter
from streams.engine.marks import Reached, pass_by
from streams.engine.state_log import StateLog
from streams.engine.state_store import StateStore


@dataclass(frozen=True, slots=True)
class Seams:
    """The makers of what a processor works with; each is called as its default is."""

    reached: Reached = pass_by
    writer: Callable[..., TransactionalWriter] = TransactionalWriter
    store: Callable[..., StateStore] = StateStore
    log: Callable[..., StateLog] = StateLog
    clock: Callable[[], float] = time.time
    """Seconds since the epoch."""
