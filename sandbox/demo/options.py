"""What a demo is asked to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from sandbox.books.reading import DATABASE
from sandbox.stack.settings import Part
from sandbox.story.act import Act
from sandbox.story.acts import ACTS
from sandbox.story.psas import ABILITIES
from schemas.errors import ConfigError

KILLABLE: Final = ("worker", "poller", "dispatcher", "connect", "kafka")
PLAYABLE: Final = {
    "crm": ("salesforce", "hubspot_custom"),
    "erp": ("netsuite",),
    "resource": ("float",),
    "psa": ("inhouse", "harvest"),
}
"""Systems that there is a simulated vendor of, by role."""
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
class StoryLandscape:
    """The systems of the story's firm by role."""

    crm: str = "salesforce"
    erp: str = "netsuite"
    resource: str = "float"
    psa: str = "inhouse"

    @property
    def has_database(self) -> bool:
        """Whether a system of it is a database, which Connect reads."""
        return self.psa == DATABASE

    @property
    def acts(self) -> tuple[Act, ...]:
        """The acts that its PSA can show."""
        return tuple(act for act in ACTS if not act.lacks(ABILITIES[self.psa]))

    @property
    def left_out(self) -> dict[str, str]:
        """Why the others are left out, by title."""
        lacking = {act.title: act.lacks(ABILITIES[self.psa]) for act in ACTS}
        return {
            title: f"{self.psa}: {'; '.join(each.value for each in found)}"
            for title, found in lacking.items()
            if found
        }

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read systems joined by commas; roles of none keep theirs. Raises ConfigError."""
        named = [name.strip() for name in text.split(",")] if text else []
        known = {name: role for role, names in PLAYABLE.items() for name in names}
        roles = [known.get(name) for name in named]
        hint = "; ".join(f"{role}: {' or '.join(names)}" for role, names in PLAYABLE.items())
        if None in roles:
            unknown = ", ".join(name for name in named if name not in known)
            raise ConfigError(f"no story is told with {unknown}", hint=hint)
        if len(set(roles)) < len(roles):
            raise ConfigError("a story has one system of each role", hint=hint)
        return cls(**{role: name for role, name in zip(roles, named, strict=True) if role})


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Options of one demo. The data directory is emptied first."""

    data_dir: Path
    cache_dir: Path
    seed: int = 1
    rate: int = 300  # changes a second
    entries: int = 900  # time entries of the volume act
    keep: bool = False
    landscape: StoryLandscape = StoryLandscape()
    disruptions: tuple[Disruption, ...] = ()
    # For the consequences of one act, and for the books to agree. A connector that loses its broker
    # needs two minutes: Debezium waits that long for metrics of the task before it to go away.
    deadline_s: float = 180.0

    def __post_init__(self) -> None:
        """Raises ConfigError for a disruption of what the landscape has not."""
        played = [act.name for act in self.landscape.acts]
        for disruption in self.disruptions:
            if disruption.part == Part.CONNECT and not self.landscape.has_database:
                raise ConfigError(
                    f"Connect does not run with {self.landscape.psa}",
                    hint="it runs for a database",
                )
            if disruption.act not in played:
                raise ConfigError(
                    f"the act {disruption.act} is left out with {self.landscape.psa}",
                    hint=f"acts that are played: {', '.join(played)}",
                )
