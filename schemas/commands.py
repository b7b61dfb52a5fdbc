"""What each kind of command says: one frozen model and one contract a kind.

Tables make them, sinks read them. A command record holds its content twice: in the field that bears
the name of its kind, by the contract `schemas/avro/command/<kind>.avsc`, and as canonical JSON
(`schemas.canonical_json`), of which its id is the hash. A reader ignores fields it does not know,
and refuses a content that lacks one: what is not said is no order to clear it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

WITHDRAW: Final = "withdraw"
"""Kind of the command that takes back all of a natural key below its revision; it says nothing."""


def _named(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("an id is a printable text, not empty: it would address all records")
    return value


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")
    return value


def _no_number(value: object) -> object:
    if not isinstance(value, str | date | None):
        raise ValueError("a date is a text of ISO 8601")
    return value


Id = Annotated[str, AfterValidator(_named)]
Number = Annotated[Decimal, BeforeValidator(_no_truth_value)]
Day = Annotated[date, BeforeValidator(_no_number)]


class CommandContent(BaseModel):
    """Fields of every kind."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: ClassVar[str]

    correlation_id: str | None = None


class UpsertCustomer(CommandContent):
    """A customer as the CRM knows it."""

    kind = "upsert_customer"

    customer_id: Id
    correlation_id: str | None
    name: str | None
    country_code: str | None
    currency: str | None
    tax_number: str | None


class StaffProject(CommandContent):
    """What a system that staffs needs of a project.

    `seen_id` is the id of the row that the tables have seen in the target.
    """

    kind = "upsert_project"

    project_id: Id
    correlation_id: str | None
    seen_id: str | None = None
    name: str | None
    starts_on: Day | None


class UpsertProject(StaffProject):
    """A project as it was sold, for the system that bills it and for the one that staffs it.

    `legal_entity_id` and `tax_code` are those of the ERP, None elsewhere; `contract_value` is in
    `currency`.
    """

    customer_id: str | None
    legal_entity_id: str | None
    currency: str | None
    billing_type: str | None
    tax_code: str | None
    service_lines: str | None
    contract_value: Number | None


class DeleteProject(CommandContent):
    """A project that nobody has booked on and nobody asks for any more."""

    kind = "delete_project"

    project_id: Id


class UpdateProjectBudget(CommandContent):
    """What is staffed on a project: hours, and cost and revenue in `budget_currency`."""

    kind = "update_project_budget"

    project_id: Id
    budget_hours: Number | None
    budget_cost: Number | None
    budget_revenue: Number | None
    budget_currency: str | None


class UpsertTimeBill(CommandContent):
    """Hours to bill. `seconds` are exact, `hours` have two digits; `bill_rate` is for an hour."""

    kind = "upsert_time_bill"

    time_bill_id: Id
    correlation_id: str | None
    time_entry_id: str
    project_ref: str
    project_id: Id
    work_on: Day
    hours: Number
    seconds: int | None = None
    bill_rate: Number
    currency: str


class DeleteTimeBill(CommandContent):
    """Hours that are not to be billed any more."""

    kind = "delete_time_bill"

    time_bill_id: Id
    time_entry_id: str | None = None
    project_ref: str | None = None


class UpdateDealStatus(CommandContent):
    """What has become of a deal: ids of its projects in one text, and how far they are.

    `deal_id` is the id of the deal's row in the CRM.
    """

    kind = "update_deal_status"

    deal_id: Id
    correlation_id: str | None
    engagement_id: Id
    project_ids: str | None
    delivery_status: str | None


CONTENTS: Final[Mapping[str, type[CommandContent]]] = {
    content.kind: content
    for content in (
        UpsertCustomer,
        UpsertProject,
        DeleteProject,
        UpdateProjectBudget,
        UpsertTimeBill,
        DeleteTimeBill,
        UpdateDealStatus,
    )
}
"""The whole content of each kind of command, by the kind."""


def with_amounts(kinds: Iterable[str]) -> list[str]:
    """Return those of the kinds that a system takes whose commands bear an amount.

    Money is moved by what is billed: a project and its time bills bear it at a system that takes
    both, and nothing does at one that only plans.
    """
    moved = (UpsertProject.kind, UpsertTimeBill.kind)
    return list(moved) if set(moved) <= set(kinds) else []
