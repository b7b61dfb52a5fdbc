"""What the dashboards take from the alert rules, so that a line and its alert never differ."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import yaml

RULES: Final = Path(__file__).resolve().parents[1] / "prometheus" / "rules"
_COMPARED = re.compile(r"[<>=]=?\s*(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule of Prometheus. `bound` is the largest number it compares with, in the query's unit."""

    bound: float
    runbook: str


@cache
def alerts() -> dict[str, Alert]:
    """Every alert by its name."""
    return {
        rule["alert"]: Alert(
            max(float(number) for number in _COMPARED.findall(rule["expr"])),
            Path(rule["annotations"]["runbook"]).name,
        )
        for path in sorted(RULES.glob("*.rules.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
