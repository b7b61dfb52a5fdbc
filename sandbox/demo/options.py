"""What a demo is asked to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from sandbox.story.acts import ACTS
from schemas.errors import ConfigError

KILLABLE: Final = ("worker", "poller", "dispatcher", "connect", "kafka")
_DISRUPTION: Final = re.compile(r"(?P<part>[a-z]+)@(?P<act>[a-z]+)(:(?P<changes>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Disruption:
    """Kill a part (SIGKILL) once an act has made so many changes; it is started again."""

    part: str
    act: str
    after_changes: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `part@act` or `part@act:changes`. Raises ConfigError."""
        match = _DISRUPTION.fullmatch(text)
        acts = [act.name for act in ACTS]
        if match is None or match["part"] not in KILLABLE or match["act"] not in acts:
            raise ConfigError(
                f"not a disruption: {text}",
                hint=f"part@act[:changes], part of {', '.join(KILLABLE)}, act of {', '.join(acts)}",
            )
        return cls(match["part"], match["act"], int(match["changes"] or 1))


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Options of one demo. The data directory is emptied first."""

    data_dir: Path
    cache_dir: Path
    seed: int = 1
    rate: int = 300  # changes a second
    entries: int = 900  # time entries of the volume act
    keep: bool = False
    disruptions: tuple[Disruption, ...] = ()
    # For the consequences of one act, and for the books to agree. A connector that loses its broker
    # needs two minutes: Debezium waits that long for metrics of the task before it to go away.
    deadline_s: float = 180.0
