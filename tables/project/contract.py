"""What a contract pays for delivered time: the one place that decides by billing type.

A billing type says whether hours are billed one by one, and how fees become revenue. Fees of a
fixed price follow the work: the contract value times hours delivered / hours budgeted, up to all of
it. What a rule needs and nobody knows gives no revenue and a reason, never a guess.

A contract that names no billing type is billed as its time entries say: by the hour, where they
are billable and have a rate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from schemas.exact import SECONDS_AN_HOUR
from tables.foundation.facts import Opportunity, Project, ProjectContext, ProjectLink
from tables.project.hours import MONEY_UNITS

TIME_AND_MATERIALS: Final = "time_and_materials"
CAPPED: Final = "capped"
FIXED_FEE: Final = "fixed_fee"
MILESTONE: Final = "milestone"
RETAINER: Final = "retainer"
NON_BILLABLE: Final = "non_billable"

NO_VALUE: Final = "no_contract_value"
NO_CURRENCY: Final = "no_contract_currency"
NO_BUDGET: Final = "no_budget"
NEGATIVE_VALUE: Final = "negative_contract_value"
NEGATIVE_BUDGET: Final = "negative_budget"
NO_SCHEDULE: Final = "no_fee_schedule"
OTHER_CURRENCY: Final = "not_in_contract_currency"
UNKNOWN_TYPE: Final = "unknown_billing_type"

_UNITS_A_MICRO: Final = MONEY_UNITS // 10**6


class Worked(NamedTuple):
    """Approved time of a month in a currency, and what it is worth at its rates."""

    seconds: int
    charged: int  # in MONEY_UNITS


class Fees(NamedTuple):
    """Revenue of a month's time in `MONEY_UNITS`; None, and the reason, where nobody knows it."""

    amount: int | None
    reason: str | None = None


Months = Mapping[tuple[str, str], Worked]
"""What was worked on a project, by month (YYYY-MM) and currency."""

Revenue = dict[tuple[str, str], Fees]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a billing type means. `fees` tells revenue; None: hours at their rates."""

    is_hourly: bool  # hours are billed one by one
    is_paid: bool  # the customer pays at all
    fees: Callable[[Contract, Months], Revenue] | None
    is_capped: bool = False  # the customer pays no more than the contract value


@dataclass(frozen=True, slots=True)
class Contract:
    """What was agreed for one project, as far as the systems know it."""

    billing_type: str | None = None
    value: Decimal | None = None
    currency: str | None = None
    budget_hours: Decimal | None = None

    @property
    def rule(self) -> Rule:
        """What the billing type means; one nobody has heard of bills nothing."""
        return RULES.get(self.billing_type, _UNKNOWN)

    @property
    def cap(self) -> int | None:
        """What the customer pays at most, in `MONEY_UNITS`; None: nothing, or nobody knows."""
        if not self.rule.is_capped or self.value is None or _fee_unknown(self):
            return None
        return int(Fraction(self.value) * MONEY_UNITS)

    @property
    def fault(self) -> str | None:
        """Why no fee can follow from what was agreed; None where it can be right."""
        if self.rule.fees not in (_by_completion, _up_to_value):
            return None
        if self.value is not None and self.value < 0:
            return NEGATIVE_VALUE
        is_spread = self.rule.fees is _by_completion
        if is_spread and self.budget_hours is not None and self.budget_hours < 0:
            return NEGATIVE_BUDGET
        return None

    def revenue(self, months: Months) -> Revenue:
        """Return the fees of each month; a fixed price adds rows in the contract's currency."""
        if self.rule.fees is None:
            return {key: Fees(worked.charged) for key, worked in months.items()}
        return self.rule.fees(self, months)

    def pack(self) -> str:
        """Return the stored form; nothing in it contains a bar."""
        parts = (self.billing_type, self.value, self.currency, self.budget_hours)
        return "|".join("" if part is None else str(part) for part in parts)

    @classmethod
    def unpack(cls, stored: str) -> Contract:
        """Read the stored form."""
        billing_type, value, currency, budget_hours = stored.split("|")
        return cls(
            billing_type or None,
            Decimal(value) if value else None,
            currency or None,
            Decimal(budget_hours) if budget_hours else None,
        )


def agreed(
    deal: Opportunity | None,
    value: Decimal | None,
    erp: ProjectLink | None,
    rm: ProjectLink | None,
) -> Contract:
    """Return the contract of a project from its deal, its ERP row and its plan.

    `value` is what the deal's lines come to for the project, None where the deal asks for none:
    then, as for a billing type the deal does not name, the ERP's row counts. The budget is the
    resource tool's plan, or else what the ERP has.
    """
    currency = deal.currency if deal else None
    if value is None:
        value, currency = (erp.contract_value, erp.currency) if erp else (None, None)
    planned = rm.assigned_hours if rm else None
    return Contract(
        billing_type=(deal.billing_type if deal else None) or (erp.billing_type if erp else None),
        value=value,
        currency=currency,
        budget_hours=planned if planned is not None or erp is None else erp.budget_hours,
    )


def contract_of(project: Project, context: ProjectContext | None) -> Contract:
    """Return the contract of a source project: its engagement's, or else what its own row says."""
    if context is not None and context.billing_type is not None:
        return Contract(
            context.billing_type, context.contract_value, context.currency, context.budget_hours
        )
    return Contract(
        project.billing_type, project.contract_value, project.currency, project.budget_hours
    )


def _by_completion(contract: Contract, months: Months) -> Revenue:
    """Spread the contract value over the months by the share of the budget worked by their end."""
    reason = _fee_unknown(contract) or (None if contract.budget_hours else NO_BUDGET)
    if reason or contract.value is None or contract.currency is None:
        return _unknown(months, reason)
    budget = int(Fraction(contract.budget_hours or 0) * SECONDS_AN_HOUR)
    seconds: dict[str, int] = defaultdict(int)
    for (month, _), worked in months.items():
        seconds[month] += worked.seconds
    found = dict.fromkeys(months, Fees(0))
    delivered, earned = 0, 0
    for month in sorted(seconds):
        delivered += seconds[month]
        complete = Fraction(min(max(delivered, 0), budget), budget)
        by_now = round(Fraction(contract.value) * 10**6 * complete) * _UNITS_A_MICRO
        found[month, contract.currency] = Fees(by_now - earned)
        earned = by_now
    return found


def _up_to_value(contract: Contract, months: Months) -> Revenue:
    """Count time at its rates until the contract value is reached."""
    cap = contract.cap
    if cap is None:
        return _unknown(months, _fee_unknown(contract))
    found: Revenue = {}
    charged, earned = 0, 0
    for (month, currency), worked in sorted(months.items()):
        if currency != contract.currency:
            other = Fees(None, OTHER_CURRENCY) if worked.charged else Fees(0)
            found[month, currency] = other
            continue
        charged += worked.charged
        found[month, currency] = Fees(min(charged, cap) - earned)
        earned = min(charged, cap)
    return found


def _nothing(_: Contract, months: Months) -> Revenue:
    return dict.fromkeys(months, Fees(0))


def _no_schedule(_: Contract, months: Months) -> Revenue:
    return _unknown(months, NO_SCHEDULE)


def _fee_unknown(contract: Contract) -> str | None:
    if contract.fault or not contract.value:
        return contract.fault or NO_VALUE
    return None if contract.currency else NO_CURRENCY


def _unknown(months: Months, reason: str | None) -> Revenue:
    return dict.fromkeys(months, Fees(None, reason))


_HOURLY: Final = Rule(is_hourly=True, is_paid=True, fees=None)
_UNKNOWN: Final = Rule(
    is_hourly=False, is_paid=True, fees=lambda _, months: _unknown(months, UNKNOWN_TYPE)
)
RULES: Final[Mapping[str | None, Rule]] = {
    None: _HOURLY,
    TIME_AND_MATERIALS: _HOURLY,
    CAPPED: Rule(is_hourly=True, is_paid=True, fees=_up_to_value, is_capped=True),
    FIXED_FEE: Rule(is_hourly=False, is_paid=True, fees=_by_completion),
    # Milestones say when a fixed price is invoiced, and not how much of it has been earned.
    MILESTONE: Rule(is_hourly=False, is_paid=True, fees=_by_completion),
    # No source tells for which time a retainer is paid.
    RETAINER: Rule(is_hourly=False, is_paid=True, fees=_no_schedule),
    NON_BILLABLE: Rule(is_hourly=False, is_paid=False, fees=_nothing),
}
