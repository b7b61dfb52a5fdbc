"""Prometheus instruments of dispatch. Labels are bounded: targets, kinds, reasons, currencies."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from connectors.dispatch.commands import Command, OpenException
from connectors.dispatch.decisions import ALL

OBJECTIVE: Final = timedelta(minutes=5)
"""From a change until the command it causes is settled: the recovery objective of every flow that
sends commands (docs/service-levels.md). A bound of a bucket, so that the share within is exact."""
_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400)


class DispatchMetrics:
    """All instruments of one dispatcher."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.commands = Counter(
            "psastream_commands",
            "Commands by what became of them; skipped = replayed or out of date, shadowed = looked"
            " up and not sent, since their kind is in shadow.",
            ("target", "kind", "status"),
            registry=registry,
        )
        self.open = Gauge(
            "psastream_commands_open",
            "Commands not settled yet: queued, in_flight, or retrying (paused or under way again).",
            ("target", "state"),
            registry=registry,
        )
        self._overdue = Gauge(
            "psastream_commands_overdue",
            "Commands not settled within 5 minutes of the change that caused them.",
            ("target", "kind"),
            registry=registry,
        )
        self._overdue_money = Gauge(
            "psastream_commands_overdue_money",
            "Money that they move. For display: the exact amounts are in the command topics.",
            ("target", "currency"),
            registry=registry,
        )
        self._overdue_known: set[tuple[str, str]] = set()
        self._overdue_money_known: set[tuple[str, str]] = set()
        self.settle_time = Histogram(
            "psastream_command_seconds",
            "Time from the change that caused a command until it was settled.",
            ("target", "kind"),
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self.retries = Counter(
            "psastream_dispatch_retries",
            "Attempts and look-ups that must be repeated, by error code.",
            ("target", "reason"),
            registry=registry,
        )
        self.paused = Gauge(
            "psastream_target_paused",
            "1 while a target takes no command at all, until it answers one well: credentials,"
            " quota, asked to wait, down, or until a person: its ledger was lost, tables are"
            " computed anew, or it was stopped.",
            ("target",),
            registry=registry,
        )
        self._stopped = Gauge(
            "psastream_commands_stopped",
            "1 while a person, or the sink's file, lets no command of a kind be sent; kind is all"
            " where that is the whole target.",
            ("target", "kind"),
            registry=registry,
        )
        self._stopped_known: set[tuple[str, str]] = set()
        self.dead_letters = Counter(
            "psastream_dispatch_dead_letters",
            "Records of command topics that are no commands.",
            ("target",),
            registry=registry,
        )
        self._exceptions = Gauge(
            "psastream_exceptions_open",
            "Rejections that wait for a person, each told by the one dispatcher that owns it; not"
            " what is in shadow (psastream_commands_shadowed).",
            ("system",),
            registry=registry,
        )
        self._exceptions_money = Gauge(
            "psastream_exceptions_open_money",
            "Money that waits with them. For display: the exact amounts are in psa.exception.",
            ("system", "currency"),
            registry=registry,
        )

        self._shadowed = Gauge(
            "psastream_commands_shadowed",
            "Commands in shadow by what each would do: create, change, delete, or be refused.",
            ("target", "kind", "plan"),
            registry=registry,
        )
        self._shadowed_money = Gauge(
            "psastream_commands_shadowed_money",
            "Money that they would move. For display: the exact amounts are in psa.exception.",
            ("target", "plan", "currency"),
            registry=registry,
        )

    def expect(self, target: str, kinds: Iterable[str]) -> None:
        """Let the times of kinds of commands begin with none.

        An increase is known from the second sample of a series on: those that are settled in the
        first minute, by a dispatcher that was away, would be nowhere.
        """
        self._stopped_known |= {(target, kind) for kind in (ALL, *kinds)}
        for kind in kinds:
            self.settle_time.labels(target, kind)

    def show_open(self, target: str, waiting: int, in_flight: int, retrying: int) -> None:
        """Let the gauge say what becomes of the commands of a target that are not settled."""
        self.open.labels(target, "in_flight").set(in_flight)
        self.open.labels(target, "retrying").set(retrying)
        self.open.labels(target, "queued").set(max(0, waiting - in_flight - retrying))

    def show_stopped(self, target: str, kinds: Iterable[str]) -> None:
        """Let the gauge say which kinds of a target people have stopped, and no others."""
        stopped = {(target, kind) for kind in kinds}
        self._stopped_known |= stopped
        for labels in self._stopped_known:
            if labels[0] == target:
                self._stopped.labels(*labels).set(labels in stopped)

    def show_overdue(
        self, unsettled: Iterable[tuple[datetime | None, Command]], now: datetime
    ) -> None:
        """Let the gauges say which of all commands that are not settled, each with since when it
        waits, are overdue.
        """
        counts: Counts[tuple[str, str]] = Counts()
        amounts: dict[tuple[str, str], Decimal] = {}
        for since, command in unsettled:
            if since is None or now - since <= OBJECTIVE:
                continue
            counts[command.target, command.kind] += 1
            if command.amount is not None and command.currency is not None:
                key = (command.target, command.currency)
                amounts[key] = amounts.get(key, Decimal(0)) + command.amount
        # Set to zero, not taken away: an alert must not end because a series was gone for a scrape.
        self._overdue_known |= counts.keys()
        self._overdue_money_known |= amounts.keys()
        for labels in self._overdue_known:
            self._overdue.labels(*labels).set(counts[labels])
        for labels in self._overdue_money_known:
            self._overdue_money.labels(*labels).set(float(amounts.get(labels, 0)))

    def show_exceptions(self, exceptions: Iterable[OpenException]) -> ExceptionTotals:
        """Begin the gauges of open exceptions anew; return what keeps them up to date."""
        for gauge in (
            self._exceptions, self._exceptions_money, self._shadowed, self._shadowed_money
        ):  # fmt: skip
            gauge.clear()
        totals = ExceptionTotals(
            Totals(self._exceptions, self._exceptions_money),
            Totals(self._shadowed, self._shadowed_money),
        )
        for item in exceptions:
            totals.change(None, item)
        return totals


class Totals:
    """How many of something there are, and how much money, as two gauges show it."""

    def __init__(self, count: Gauge, money: Gauge) -> None:
        self._count = count
        self._money = money
        self._counts: dict[tuple[str, ...], int] = {}
        self._amounts: dict[tuple[str, ...], Decimal] = {}

    def add(
        self, labels: tuple[str, ...], money: tuple[str, ...], item: OpenException, sign: int
    ) -> None:
        """Add an exception, or take it away; `money` are the labels of its amount."""
        self._counts[labels] = self._counts.get(labels, 0) + sign
        self._count.labels(*labels).set(self._counts[labels])
        if item.amount is not None and item.currency is not None:
            key = (*money, item.currency)
            self._amounts[key] = self._amounts.get(key, Decimal(0)) + sign * item.amount
            self._money.labels(*key).set(float(self._amounts[key]))


class ExceptionTotals:
    """How many exceptions are open, and what money waits with them, as gauges show it."""

    def __init__(self, waiting: Totals, shadowed: Totals) -> None:
        """What is in shadow waits for nobody: it is beside the others."""
        self._waiting = waiting
        self._shadowed = shadowed

    def change(self, before: OpenException | None, after: OpenException | None) -> None:
        """Let one take the place of another; None is none."""
        for item, sign in ((before, -1), (after, 1)):
            if item is None:
                continue
            if item.plan is None:
                self._waiting.add((item.system,), (item.system,), item, sign)
            else:
                labels = (item.system, item.kind or "", item.plan)
                self._shadowed.add(labels, (item.system, item.plan), item, sign)
