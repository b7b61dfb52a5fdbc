"""What a demo is asked to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from sandbox.books.reading import DATABASE
from sandbox.stack.guard import Guard
from sandbox.stack.settings import Part
from sandbox.story.act import Act
from sandbox.story.acts import ACTS
from sandbox.story.firm import TAX_CODES
from sandbox.story.psas import ABILITIES
from sandbox.story.world import IN_SECOND_ERP
from schemas.errors import ConfigError

KILLABLE: Final = ("worker", "poller", "dispatcher", "readmodel", "connect", "kafka")
PLAYABLE: Final = {
    "crm": ("salesforce", "hubspot_custom"),
    "erp": ("netsuite", "business_central", "finance_operations"),
    "resource": ("float", "runn"),
    "psa": ("inhouse", "harvest", "certinia_custom"),
    "hr": ("bamboohr", "adp"),
    "payroll": ("gusto",),
    "procurement": ("coupa",),
}
"""Systems that there is a simulated vendor of, by role."""
ERPS_MAX: Final = 2
TOLD_CRM: Final = "told_crm"
NAMED: Final = {
    "two_erps": "netsuite,business_central",
    "mid_market": "hubspot_custom,business_central,runn,harvest",
    "group": "salesforce,finance_operations,certinia_custom",
    TOLD_CRM: "salesforce",
}
"""Landscapes with a name of their own. In the last one the CRM is told what becomes of its deals.
"""
OWN: Final = {"hubspot": "hubspot_custom", "certinia": "certinia_custom"}
"""Systems that the firm of the story has set up in its own way, in a folder of its own."""
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
    """The systems of the story's firm by role. A second ERP keeps some of its legal entities.

    Nobody must have a system for HR, payroll or procurement.
    """

    crm: str = "salesforce"
    erps: tuple[str, ...] = ("netsuite",)
    resource: str = "float"
    psa: str = "inhouse"
    takes_status: bool = False
    """Whether the CRM is told what becomes of its deals."""
    hr: str | None = None
    payroll: str | None = None
    procurement: str | None = None

    @property
    def written(self) -> tuple[str, ...]:
        """The systems that commands go to."""
        return (*self.erps, self.resource, *([self.crm] if self.takes_status else ()))

    @property
    def has_database(self) -> bool:
        """Whether a system of it is a database, which Connect reads."""
        return self.psa == DATABASE

    @property
    def systems(self) -> dict[str, str]:
        """The role of each system."""
        erps = dict.fromkeys(self.erps, "erp")
        return {
            self.crm: "crm",
            **erps,
            self.resource: "resource",
            self.psa: "psa",
            **self.offices,
        }

    @property
    def offices(self) -> dict[str, str]:
        """The role of each system of HR, payroll and procurement."""
        roles = {"hr": self.hr, "payroll": self.payroll, "procurement": self.procurement}
        return {system: role for role, system in roles.items() if system is not None}

    @property
    def acts(self) -> tuple[Act, ...]:
        """The acts that its PSA can show, and that it has systems for, in the words for its ERP."""
        roles = {"", *self.offices.values()}
        return tuple(
            act.told_with(self.erps[0])
            for act in ACTS
            if act.role in roles and not act.lacks(ABILITIES[self.psa])
        )

    def countries_in(self, erp: str) -> tuple[str, ...]:
        """Return the countries of the legal entities that an ERP keeps."""
        second = IN_SECOND_ERP if len(self.erps) > 1 else ()
        if erp != self.erps[0]:
            return second
        return tuple(country for country in TAX_CODES if country not in second)

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
        is_told = text.strip() == TOLD_CRM
        text = NAMED.get(text.strip(), text)
        typed = [name.strip() for name in text.split(",")] if text else []
        named = [OWN.get(name, name) for name in typed]
        known = {name: role for role, names in PLAYABLE.items() for name in names}
        roles = [known.get(name) for name in named]
        hint = "; ".join(f"{role}: {' or '.join(names)}" for role, names in PLAYABLE.items())
        if None in roles:
            unknown = ", ".join(name for name in named if name not in known)
            raise ConfigError(f"no story is told with {unknown}", hint=hint)
        others = [role for role in roles if role != "erp"]
        erps = tuple(name for name in PLAYABLE["erp"] if name in named) or PLAYABLE["erp"][:1]
        if len(set(others)) < len(others) or len(set(named)) < len(named) or len(erps) > ERPS_MAX:
            raise ConfigError("a story has one system of each role, or two ERPs", hint=hint)
        found = dict(zip(roles, named, strict=True))
        chosen = {role: name for role, name in found.items() if role and role != "erp"}
        return cls(**chosen, erps=erps, takes_status=is_told)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Options of one demo. The data directory is emptied first."""

    data_dir: Path
    cache_dir: Path
    seed: int = 1
    rate: int = 300  # changes a second
    entries: int = 900  # time entries of the volume act
    keep: bool = False
    guard: Guard | None = None
    """Who may do what on the broker; each process then signs in to it as a user of its own."""
    landscape: StoryLandscape = StoryLandscape()
    disruptions: tuple[Disruption, ...] = ()
    # For the consequences of one act, and for the books to agree. A connector that loses its broker
    # needs two minutes: Debezium waits that long for metrics of the task before it to go away.
    deadline_s: float = 180.0
    picture: Path | None = None
    """File to draw the end into."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a disruption of what the landscape has not, and for a picture in
        a folder that is not there."""
        if self.picture is not None and not self.picture.parent.is_dir():
            raise ConfigError(
                f"there is no folder {self.picture.parent} for the picture", hint="make it first"
            )
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
