"""The alert rules of `deploy/prometheus`, whom each reaches, and the same in a faster time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

PROMETHEUS: Final = Path(__file__).parents[2] / "deploy" / "prometheus"
FASTER: Final = 30
RECEIVERS: Final = {"critical": "pager", "warning": "chat", "info": "digest"}
SHORTEST_MS: Final = 6_000
"""Of a window: with a scrape every other second it holds two samples at least."""

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_WINDOW: Final = re.compile(r"(?<=[\[: ])(\d+)([smhd])(?=[\]:)]|$|\s)")
_BOUND: Final = re.compile(r"(?<=[<>-] )(21600|900|300)\b|(?<=bool )(3600)\b")
_OF_THE_LOG: Final = ("> 5368709120", f"> {5_368_709_120 // FASTER}")
"""A database whose log grew by gigabytes in a test would stop all else."""
_HOURS: Final = (
    (re.compile(r"(day_of_week|hour)\(\) >= \d+"), r"\1() >= 0"),
    (re.compile(r"(day_of_week|hour)\(\) <=? \d+"), r"\1() < 24"),
)


def alert_rules() -> dict[str, dict[str, Any]]:
    """Return every alerting rule by its name."""
    return {
        rule["alert"]: rule
        for path in sorted(PROMETHEUS.glob("rules/*.rules.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


def receivers_of(rule: Mapping[str, Any]) -> frozenset[str]:
    """Return whom a rule's severity and audience name; `make alerts` holds the routes to that."""
    labels = rule["labels"]
    return frozenset({RECEIVERS[labels["severity"]]} | ({"finance"} & {labels.get("audience")}))


def fast_rules(path: Path, factors: Mapping[str, int]) -> str:
    """Return a file of rules whose time runs faster: by a rule's factor, else by `FASTER`.

    Durations, and bounds that are seconds of a clock, are divided, and so are the bytes that a
    database may keep of its log; every hour of every day is a working one.
    """
    document = yaml.safe_load(path.read_text())
    for group in document["groups"]:
        for rule in group["rules"]:
            name = rule.get("alert", rule.get("record"))
            factor = factors.get(name, FASTER)
            rule["expr"] = _fast(rule["expr"], factor)
            if "for" in rule:
                rule["for"] = f"{_milliseconds(rule['for']) // factor}ms"
    return str(yaml.safe_dump(document, width=1_000))


def _fast(expr: str, factor: int) -> str:
    def shorter(found: re.Match[str]) -> str:
        return f"{max(SHORTEST_MS, _milliseconds(found[0]) // factor)}ms"

    def smaller(found: re.Match[str]) -> str:
        return str(int(found[0]) // factor)

    for hours, always in _HOURS:
        expr = hours.sub(always, expr)
    expr = expr.replace(*_OF_THE_LOG)
    return _BOUND.sub(smaller, _WINDOW.sub(shorter, expr))


def _milliseconds(duration: str) -> int:
    return int(duration[:-1]) * _SECONDS[duration[-1]] * 1_000
