"""A status as lines of text for a terminal: nothing is wider than it, whatever parts are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from psastream.lines import cut, shown_age, wrapped
from psastream.status.model import (
    QUOTA_LOW,
    ConnectorState,
    GroupState,
    LetterState,
    ProcessState,
    SourceState,
    Status,
    TargetState,
    Unknown,
)
from psastream.verdict import Verdict

WIDTH: Final = 80
NAME_MAX: Final = 28
_MARK: Final = 6


def screen_of(status: Status, width: int = WIDTH) -> list[str]:
    """Return the lines of a status, each within the width."""
    at = status.at
    sections: Sequence[tuple[str, Iterable[tuple[Verdict, Sequence[str]]]]] = (
        ("processes", ((it.verdict(), _process(it)) for it in status.processes)),
        ("groups", ((it.verdict(at), _group(it, at)) for it in status.groups)),
        ("connectors", ((it.verdict(), _connector(it)) for it in status.connectors)),
        ("sources", ((it.verdict(at), _source(it, at)) for it in status.sources)),
        ("targets", ((it.verdict(), _target(it)) for it in status.targets)),
        ("exceptions", _exceptions(status)),
        ("dead letters", ((it.verdict(), _letter(it, at)) for it in status.dead_letters or ())),
        (
            "last numbers",
            ((it.verdict(), (it.topic, _ago(it.newest_at, at))) for it in status.numbers),
        ),
    )
    lines = [f"psastream, {at:%Y-%m-%d %H:%M:%S} UTC: {verdict_line(status)}"]
    for title, rows in sections:
        shown = list(_rows(rows))
        if shown:
            lines += ["", title, *shown]
    if status.unknown:
        lines += ["", "not known", *_unknown(status.unknown, width)]
    return [cut(line, width) for line in lines]


def verdict_line(status: Status) -> str:
    """Return the worst of all parts in a line, and which parts those are."""
    worst = status.verdict()
    if worst in (Verdict.OK, Verdict.SKIP):
        return "all is well"
    names = [name for name, verdict in status.verdicts() if verdict is worst]
    return f"{worst.value}: {', '.join(dict.fromkeys(names))}"


def _rows(rows: Iterable[tuple[Verdict, Sequence[str]]]) -> Iterator[str]:
    """Line columns up: the verdict, then cells as wide as the widest of their column."""
    kept = [(verdict, [cut(cell, NAME_MAX) for cell in cells[:-1]] + [cells[-1]])
            for verdict, cells in rows]  # fmt: skip
    columns = max((len(cells) for _, cells in kept), default=0)
    widths = [
        max((len(cells[column]) for _, cells in kept if column < len(cells) - 1), default=0)
        for column in range(columns)
    ]
    for verdict, cells in kept:
        head = "".join(f"{cell:<{widths[column]}}  " for column, cell in enumerate(cells[:-1]))
        yield f"  {verdict.value:<{_MARK}}{head}{cells[-1]}"


def _process(state: ProcessState) -> Sequence[str]:
    if state.is_live is None:
        return state.name, f"does not answer at {state.url}"
    if state.is_live and state.is_ready:
        return state.name, "ready"
    said = "not ready" if state.is_live else "not live: to be started again"
    return state.name, ": ".join((said, "; ".join(state.reasons))) if state.reasons else said


def _group(state: GroupState, at: datetime) -> Sequence[str]:
    if state.missing:
        missing = f"{state.missing[0]} is missing" + _more(len(state.missing) - 1)
        return state.group, f"{missing}; psastream topics apply makes it"
    lag = f"lag {state.records:,}" if state.records else "no lag"
    if state.oldest_at is not None:
        lag += f", oldest {shown_age(at - state.oldest_at)}"
    if state.members:
        return state.group, lag
    if state.is_dry_run:
        return (
            state.group,
            f"{lag}; no dispatcher has run so far, commands wait",
        )
    return state.group, f"{lag}; nobody reads: no process is in the group"


def _connector(state: ConnectorState) -> Sequence[str]:
    tasks = ", ".join(state.tasks) or "none"
    return state.name, f"{state.state}, tasks {tasks}" + (
        f": {state.problem}" if state.problem else ""
    )


def _source(state: SourceState, at: datetime) -> Sequence[str]:
    said = []
    if state.stopped:
        stopped = [f"{obj} ({reason})" for obj, reason in sorted(state.stopped.items())]
        said.append(f"stopped: {', '.join(stopped)}")
    if state.paused:
        said.append(f"paused by a person: {', '.join(state.paused)}")
    if unpolled := [obj for obj in state.unpolled if obj not in state.stopped]:
        said.append(f"no complete poll yet: {', '.join(unpolled)}")
    if state.is_polled is False:
        said.append("nobody polls it")
    captured = state.captured_at
    said.append("nothing captured" if captured is None else f"captured {_ago(captured, at)}")
    if state.polled_at is not None and state.is_late(at):
        said.insert(0, f"not polled since {state.polled_at:%Y-%m-%d %H:%M:%S}{_every(state)}")
    elif state.polled_at is not None:
        said.append(f"polled {_ago(state.polled_at, at)}")
    if state.quota_ratio is not None and state.quota_ratio < QUOTA_LOW:
        said.append(f"{state.quota_ratio:.0%} of its requests left")
    return state.system, "; ".join(said)


def _every(state: SourceState) -> str:
    interval = state.interval
    return "" if interval is None else f", to be every {interval.total_seconds():g} s"


def _target(state: TargetState) -> Sequence[str]:
    said = {True: "paused", False: "open", None: "not known whether open"}[state.is_paused]
    waiting = ", ".join(f"{count} {name}" for name, count in state.open.items() if count)
    refused = "" if not state.refused else f"{state.refused} refused, {state.held or 0} held back"
    stopped = f"stopped: {', '.join(state.stopped)}" if state.stopped else ""
    shadowed = f"{state.shadowed} in shadow" if state.shadowed else ""
    parts = (said, stopped, waiting, refused, shadowed)
    return state.target, "; ".join(part for part in parts if part)


def _exceptions(status: Status) -> Iterator[tuple[Verdict, Sequence[str]]]:
    state = status.exceptions
    if state is None:
        return
    if not state.open or state.oldest_at is None:
        yield Verdict.OK, ("none",)
        return
    oldest = shown_age(status.at - state.oldest_at)
    without = state.open - sum(each.exceptions for each in state.money)
    amounts = [f"{each.amount:,.2f}" for each in state.money]
    width = max((len(amount) for amount in amounts), default=0)
    for each, amount in zip(state.money, amounts, strict=True):
        yield Verdict.WARN, (f"{amount:>{width}} {each.currency}", f"in {each.exceptions}")
    if without:
        yield Verdict.WARN, ("no money", f"in {without}")
    yield Verdict.WARN, (f"{state.open} open", f"oldest {oldest}; psastream exceptions list")


def _letter(state: LetterState, at: datetime) -> Sequence[str]:
    return f"{state.count:,}", state.topic, f"{state.error_code}, last {_ago(state.last_at, at)}"


def _unknown(parts: Sequence[Unknown], width: int) -> Iterator[str]:
    """What to do about each stands on lines below it, where one is not enough."""
    widest = max(len(it.part) for it in parts)
    for it in parts:
        head = f"  {it.verdict().value:<{_MARK}}{it.part:<{widest}}  "
        said = f"{it.detail}; {it.remedy}" if it.remedy else it.detail
        yield from wrapped(head, said, width)


def _ago(instant: datetime | None, at: datetime) -> str:
    return "never" if instant is None else f"{shown_age(at - instant)} ago"


def _more(count: int) -> str:
    return f" and {count} more" if count else ""
