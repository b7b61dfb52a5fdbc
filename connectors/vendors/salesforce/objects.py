"""Which objects of an org a system reads: those of its `soql.yaml`, or the deals of a CRM.

Packages that are installed in an org bring objects of their own, which its API reads like any
other. A folder that has them names them here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
)

from connectors.toolkit.declaration import Problem, declared_wrong, parse_declared
from schemas.system import SystemBundle

FILE: Final = "soql.yaml"
HINT: Final = "connectors/vendors/salesforce/README.md describes soql.yaml"

ApiName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=80)]
"""Of an object or a field, with its namespace: `pse__Proj__c`."""


class Sobject(BaseModel):
    """An object of the org. `only`: columns of the contract, with the value of the rows to read.

    `optional`: columns that some orgs have not, or do not show; then they are null.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sobject: ApiName
    only: dict[ApiName, StrictBool | StrictInt | StrictStr] = {}
    optional: tuple[ApiName, ...] = ()

    @property
    def condition(self) -> str:
        """What `only` says in SOQL; empty where all rows are read."""
        return " AND ".join(f"{name} = {literal(value)}" for name, value in self.only.items())


class SoqlConfig(BaseModel):
    """A whole soql.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objects: dict[str, Sobject] = Field(min_length=1)


ENGAGEMENT_ID: Final = "PSA_Engagement_Id__c"
PROJECT_IDS: Final = "PSA_Project_Ids__c"
DELIVERY_STATUS: Final = "PSA_Delivery_Status__c"
"""Fields of the opportunity that the sink writes, by the names that it writes unless told others.

A firm that has nothing written has not created them.
"""

DEALS: Final[Mapping[str, Sobject]] = {
    "account": Sobject(sobject="Account"),
    "opportunity": Sobject(sobject="Opportunity", optional=(PROJECT_IDS, DELIVERY_STATUS)),
    "opportunity_line_item": Sobject(sobject="OpportunityLineItem"),
}


def read_objects(system: SystemBundle) -> Mapping[str, Sobject]:
    """Return the objects of the org by their names here.

    Raises ConfigError naming every problem of the file with its line.
    """
    text = system.files.get(FILE)
    if text is None:
        return DEALS
    file = f"{system.name}/{FILE}"
    found = parse_declared(text, file, SoqlConfig, HINT).objects
    problems: list[Problem] = [
        (("objects",), f"{name} of mapping.yaml is not declared")
        for name in sorted(system.topics.keys() - found.keys())
    ]
    for name, obj in found.items():
        if name not in system.topics:
            problems.append((("objects", name), f"there is no object {name} in mapping.yaml"))
            continue
        fields: Any = system.contract(name).parsed["fields"]
        columns = {field["name"] for field in fields}
        problems += [
            (("objects", name, key, place), f"{name}: the contract has no column {column}")
            for key, places in (
                ("only", zip(obj.only, obj.only, strict=True)),
                ("optional", enumerate(obj.optional)),
            )
            for place, column in places
            if column not in columns
        ]
    if problems:
        raise declared_wrong(text, file, problems, HINT)
    return found


def literal(value: bool | int | str) -> str:
    """Return a value as SOQL spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
