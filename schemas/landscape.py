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

_HINT: Final = "psastream docs configuration describes landscape.yaml"


class Role(Enum):
    """What a system is to a firm."""

    CRM = "crm"  # sells: customers and deals
    ERP = "erp"  # bills: legal entities, customers, projects, time bills and invoices
    RESOURCE = "resource"  # staffs: people, projects and assignments
    PSA = "psa"  # delivers: projects, tasks, hours and expenses
    HR = "hr"  # employs: employments, jobs, pay and leave
    PAYROLL = "payroll"  # pays: what people cost in a period
    PROCUREMENT = "procurement"  # buys: orders, receipts and invoices of suppliers


SystemName = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]*$", max_length=40)]
Stage = Literal["prospect", "qualified", "proposed", "negotiating", "won"]
STAGES: Final[tuple[str, ...]] = get_args(Stage)
"""Canonical stages of a deal that is not lost, in their order."""


NativeId = Annotated[str, StringConstraints(min_length=1)]


class System(BaseModel):
    """One system of a firm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    legal_entities: tuple[NativeId, ...] | None = Field(
        default=None,
        min_length=1,
        description="of an ERP: native ids of the legal entities that it bills for; none: all",
    )
    takes_projects: bool = Field(
        default=False,
        description="of a PSA: whether projects are opened in it as they were sold; of one at most",
    )
    takes_status: bool = Field(
        default=False,
        description="of a CRM: whether ids and status of its deals' projects are written to it",
    )

    @property
    def is_written(self) -> bool:
        """Whether what its role is sent goes to it."""
        return {Role.PSA: self.takes_projects, Role.CRM: self.takes_status}.get(self.role, True)


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

    def takers(self, role: Role) -> list[str]:
        """Return the systems of a role that what the role is sent goes to.

        Of PSAs those that take projects, of CRMs those that take their status: the others are only
        read.
        """
        return [name for name in self.of(role) if self.systems[name].is_written]

    @property
    def erps(self) -> list[str]:
        """The ERPs, in the order of the file."""
        return self.of(Role.ERP)

    def erp_of(self, system: str | None) -> str | None:
        """Return the ERP whose a legal entity or a time bill of a system is.

        Where a firm has one, it is that one's. Of several it is the system itself; None: it is
        none of them, and nobody knows.
        """
        erps = self.erps
        if len(erps) == 1:
            return erps[0]
        return system if system in erps else None

    def bills_for(self, erp: str, legal_entity: str) -> bool:
        """Whether an ERP bills for a legal entity, given by its id in there."""
        listed = self.systems[erp].legal_entities
        return listed is None or legal_entity in listed

    def named_for(self, role: Role) -> str:
        """Return whom an exception names about what a role tells: the first system that plays it.

        Where none does, the first of the landscape.
        """
        return next(iter([*self.of(role), *self.systems]))


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
    if problems := [*_numbers_of_systems(landscape), *_misplaced(landscape)]:
        raise ConfigError(f"landscape is not valid: {'; '.join(problems)}", hint=_HINT)
    return landscape


def _numbers_of_systems(landscape: Landscape) -> list[str]:
    """Problems with how many systems do a thing: nothing says which of two does it."""
    problems = []
    staffing, taking = landscape.of(Role.RESOURCE), landscape.takers(Role.PSA)
    if len(staffing) > 1:
        names = ", ".join(staffing)
        problems.append(f"systems: {len(staffing)} play the role resource ({names}), not 1")
    if len(taking) > 1:
        problems.append(f"systems: {len(taking)} have takes_projects ({', '.join(taking)}), not 1")
    return problems


def _misplaced(landscape: Landscape) -> list[str]:
    """Problems with parameters of a role that another one does not know."""
    parameters = {
        "legal_entities": (Role.ERP, "an ERP bills for them"),
        "takes_projects": (Role.PSA, "it is said of a PSA"),
        "takes_status": (Role.CRM, "it is said of a CRM"),
    }
    return [
        f"systems.{name}.{parameter}: {meaning}, and {name} plays the role {system.role.value}"
        for parameter, (role, meaning) in parameters.items()
        for name, system in landscape.systems.items()
        if system.role is not role and getattr(system, parameter) not in (None, False)
    ]
