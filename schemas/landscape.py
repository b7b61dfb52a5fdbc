"""Which system plays which role at a firm, and the firm's own parameters: `landscape.yaml`.

The tables know roles and no vendor: a row is the ERP's because the landscape says of its system
that it is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from schemas.errors import ConfigError, UnknownSystemError
from schemas.yaml_text import line_of, read_document

_HINT: Final = "docs/configuration.md describes landscape.yaml"


class Role(Enum):
    """What a system is to a firm."""

    CRM = "crm"  # sells: customers and deals
    ERP = "erp"  # bills: legal entities, customers, projects, time bills and invoices
    RESOURCE = "resource"  # staffs: people, projects and assignments
    PSA = "psa"  # delivers: projects, tasks, hours and expenses


ORDERED_FROM: Final = (Role.ERP, Role.RESOURCE)
"""Roles whose systems are kept right by commands."""

SystemName = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]*$", max_length=40)]
Stage = Literal["prospect", "qualified", "proposed", "negotiating", "won"]
STAGES: Final[tuple[str, ...]] = get_args(Stage)
"""Canonical stages of a deal that is not lost, in their order."""


class System(BaseModel):
    """One system of a firm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role


class Firm(BaseModel):
    """Parameters of the firm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hand_off_stage: Stage = Field(
        default="won", description="canonical stage from which on a deal is delivery's"
    )

    def has_handed_off(self, stage: str) -> bool:
        """Whether sales has handed a deal over: it is in the firm's stage or in a later one."""
        return stage in STAGES[STAGES.index(self.hand_off_stage) :]


class Landscape(BaseModel):
    """The systems of a firm by name, and the firm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    systems: Mapping[SystemName, System] = Field(min_length=1)
    firm: Firm = Firm()

    def role_of(self, system: str) -> Role:
        """Return the role of a system. Raises UnknownSystemError."""
        try:
            return self.systems[system].role
        except KeyError:
            raise UnknownSystemError(
                "the landscape does not name the record's system",
                hint="add the system with its role to landscape.yaml, or drop its topics",
                context={"system": system[:40]},
            ) from None

    def plays(self, system: str, role: Role) -> bool:
        """Whether a system plays a role; one that the landscape does not name plays none."""
        found = self.systems.get(system)
        return found is not None and found.role is role

    def of(self, role: Role) -> list[str]:
        """Return the systems that play a role, in the order of the file."""
        return [name for name, system in self.systems.items() if system.role is role]

    def only(self, role: Role) -> str:
        """Return the system that plays a role of which a landscape has one (`ORDERED_FROM`)."""
        (system,) = self.of(role)
        return system


def load_landscape(text: str) -> Landscape:
    """Parse the text of a landscape.yaml. Raises ConfigError naming every problem at once."""
    document = read_document(text, "landscape", hint=_HINT)
    try:
        landscape = Landscape.model_validate(document)
    except ValidationError as error:
        problems = [
            f"line {line_of(text, problem['loc'])}:"
            f" {'.'.join(str(part) for part in problem['loc']) or 'landscape'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        ]
        raise ConfigError(f"landscape is not valid: {'; '.join(problems)}", hint=_HINT) from error
    if problems := [*_numbers_of_systems(landscape)]:
        raise ConfigError(f"landscape is not valid: {'; '.join(problems)}", hint=_HINT)
    return landscape


def _numbers_of_systems(landscape: Landscape) -> list[str]:
    """Problems with how many systems play a role: commands go to one of each `ORDERED_FROM`."""
    problems = [
        f"systems: {len(found)} play the role {role.value} ({', '.join(found) or 'none'}), not 1"
        for role in ORDERED_FROM
        if len(found := landscape.of(role)) != 1
    ]
    if not landscape.of(Role.CRM):
        problems.append(f"systems: none plays the role {Role.CRM.value}")
    return problems
