"""What tables keep of the records they read: one frozen model a contract, only the fields used.

Field names are those of the Avro contracts; a test holds them together.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    """Base: immutable, ignores fields a table does not use, compares by value."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Customer(Fact):
    """`canonical/customer`."""

    id: str
    source_system: str
    customer_id: str
    name: str | None = None
    country_code: str | None = None
    currency: str | None = None
    tax_number: str | None = None
    is_active: bool | None = None
    correlation_id: str | None = None


class LegalEntity(Fact):
    """`canonical/legal_entity`."""

    id: str
    source_system: str | None = None
    native_id: str
    country_code: str | None = None
    tax_code: str | None = None
    is_active: bool | None = None


class Opportunity(Fact):
    """`canonical/opportunity`."""

    id: str
    engagement_id: str
    customer_id: str | None = None
    name: str | None = None
    stage: str
    probability_ratio: Decimal | None = None
    amount: Decimal | None = None
    currency: str | None = None
    starts_on: date | None = None
    billing_type: str | None = None
    project_ids: str | None = None
    delivery_status: str | None = None
    correlation_id: str | None = None

    @property
    def native_id(self) -> str:
        """Id of the row in its own system."""
        return self.id.rpartition(":")[2]


class OpportunityLine(Fact):
    """`canonical/opportunity_line`."""

    id: str
    engagement_id: str
    service_line: str | None = None
    country_code: str | None = None
    amount: Decimal | None = None


class CustomerDemand(Fact):
    """`internal/customer_demand`."""

    engagement_id: str
    customer_id: str
    is_handed_off: bool
    erps: tuple[str, ...] | None = None


class CustomerStatus(Fact):
    """`internal/customer_status`."""

    engagement_id: str
    customer_id: str
    name: str | None = None
    country_code: str | None = None
    currency: str | None = None
    tax_number: str | None = None
    is_in_erp: bool
    erps: tuple[str, ...] | None = None

    def is_in(self, erp: str | None) -> bool:
        """Whether an ERP holds the customer; what was told before there were several: the one."""
        return self.is_in_erp if self.erps is None else erp in self.erps


class Project(Fact):
    """`canonical/project`."""

    id: str
    source_system: str
    project_id: str | None = None
    engagement_id: str | None = None
    customer_id: str | None = None
    name: str | None = None
    status: str | None = None
    currency: str | None = None
    starts_on: date | None = None
    legal_entity_id: str | None = None
    tax_code: str | None = None
    billing_type: str | None = None
    service_lines: str | None = None
    contract_value: Decimal | None = None
    budget_hours: Decimal | None = None
    budget_cost: Decimal | None = None
    budget_revenue: Decimal | None = None
    budget_currency: str | None = None


class ProjectLink(Project):
    """`internal/project_link`: a source project with what is planned on it."""

    assigned_hours: Decimal | None = None
    assigned_cost: Decimal | None = None
    assigned_revenue: Decimal | None = None
    assigned_currency: str | None = None

    @property
    def native_id(self) -> str:
        """Id of the row in its own system."""
        return self.id.rpartition(":")[2]


class ProjectContext(Fact):
    """`internal/project_context`."""

    id: str
    project_id: str
    is_in_erp: bool
    erp: str | None = None
    billing_type: str | None = None
    contract_value: Decimal | None = None
    currency: str | None = None
    budget_hours: Decimal | None = None


class CommandResult(Fact):
    """`command/command_result`."""

    natural_key: str
    kind: str
    revision: int
    status: str
    target_id: str | None = None
    error_detail: str | None = None


class DatedRate(Fact):
    """Item of `cost_rates` of `canonical/rate_card`."""

    starts_on: date
    rate: Decimal | None = None


class RateCard(Fact):
    """`canonical/rate_card`."""

    id: str
    resource_id: str | None = None
    cost_rate: Decimal | None = None
    bill_rate: Decimal | None = None
    currency: str | None = None
    cost_rates: tuple[DatedRate, ...] | None = None
    source_position: int | None = None
    source_at: datetime | None = None


class Assignment(Fact):
    """`canonical/assignment`."""

    id: str
    project_ref: str
    resource_ref: str
    starts_on: date
    ends_on: date
    hours_per_day: Decimal
    seconds_per_day: int | None = None
    status: str
    is_billable: bool | None = None


class WorkPattern(Fact):
    """Item of `work_patterns` of `canonical/resource`."""

    starts_on: date
    seconds: tuple[int, ...]


class Resource(Fact):
    """`canonical/resource`."""

    id: str
    resource_id: str
    address_id: str | None = None
    kind: str | None = None
    work_hours: tuple[Decimal, ...] | None = None
    work_patterns: tuple[WorkPattern, ...] | None = None
    region_ref: str | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    is_active: bool | None = None
    source_position: int | None = None
    source_at: datetime | None = None


class Employment(Fact):
    """Item of `employments` of `internal/calendar`: days of employment, both included."""

    starts_on: date | None = None
    ends_on: date | None = None


class DayOff(Fact):
    """Item of `days_off` of `internal/calendar`."""

    starts_on: date
    ends_on: date
    seconds: int | None = None
    is_holiday: bool


class KnownPattern(Fact):
    """Item of `patterns` of `internal/calendar`; without seconds, nobody knows them."""

    starts_on: date
    seconds: tuple[int, ...] | None = None


class Calendar(Fact):
    """`internal/calendar`: the days of a person."""

    resource_id: str
    kind: str | None = None
    employments: tuple[Employment, ...] = ()
    patterns: tuple[KnownPattern, ...] = ()
    days_off: tuple[DayOff, ...] = ()


class Absence(Fact):
    """`canonical/absence`: leave of people, or holidays of a place."""

    id: str
    kind: str
    resource_refs: tuple[str, ...] | None = None
    region_ref: str | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    dates: tuple[date, ...] | None = None
    is_whole_day: bool | None = None
    seconds_per_day: int | None = None
    status: str | None = None
    source_position: int | None = None


class Expense(Fact):
    """`canonical/expense`."""

    id: str
    project_ref: str
    spent_on: date
    amount: Decimal
    currency: str
    status: str
    is_billable: bool | None = None
    source_position: int | None = None


class TimeBill(Fact):
    """`canonical/time_bill`: a billing transaction as the ERP holds it."""

    id: str
    time_bill_id: str | None = None
    project_ref: str | None = None
    time_entry_id: str | None = None
    project_id: str | None = None
    work_on: date | None = None
    hours: Decimal | None = None
    seconds: int | None = None
    bill_rate: Decimal | None = None
    currency: str | None = None
    is_billable: bool | None = None


class InvoiceLine(Fact):
    """`canonical/invoice`: signed as the customer owes it."""

    id: str
    number: str | None = None
    kind: str | None = None
    status: str | None = None
    project_ref: str | None = None
    time_entry_id: str | None = None
    hours: Decimal | None = None
    seconds: int | None = None
    amount: Decimal | None = None
    currency: str | None = None


class MeasurePartial(Fact):
    """`internal/measure_partial`."""

    measure: str
    definition: str
    dimension: str
    source: str
    sums: tuple[str, ...]


class Partial(Fact):
    """`internal/partial`."""

    measure: str
    dimension: str
    source: str
    seconds: int | None = None
    total_seconds: int | None = None
    count: int | None = None
    amount: Decimal | None = None
    weighted_amount: Decimal | None = None
