"""What a firm takes: the page has the calculator's table, and the chart enough for its firms."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from bench.capacity import FIRMS, RESIDENT_MB, need, table

ROOT: Final = Path(__file__).parents[3]
CHART: Final = ROOT / "deploy" / "helm" / "psastream"
GIB: Final = 1_073_741_824


def values(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHART / name).read_text())
    return found["workers"]


def test_the_page_has_the_table_of_the_calculator() -> None:
    page = (ROOT / "docs" / "capacity.md").read_text()
    begin, end = (
        f"<!-- {each} capacity: python -m bench.capacity -->\n" for each in ("begin", "end")
    )
    assert page.partition(begin)[2].partition(end)[0].splitlines() == list(table(FIRMS))


def test_what_a_firm_takes_grows_with_its_people() -> None:
    small, large = need(50), need(500)
    assert large.changes_a_day == 10 * small.changes_a_day
    assert large.rows == 10 * small.rows
    assert large.state_gb == pytest.approx(10 * small.state_gb)
    assert small.cores < large.cores < 1


@pytest.mark.parametrize(("name", "people"), [("values-small.yaml", 250), ("values.yaml", 1_000)])
def test_volumes_of_the_chart_hold_the_state_of_the_firms_they_are_for(
    name: str, people: int
) -> None:
    size = values(name)["storage"]["size"]
    assert int(size.removesuffix("Gi")) * GIB > need(people).state_gb * 1e9


def test_workers_of_the_chart_have_what_was_measured() -> None:
    resources = values("values.yaml")["resources"]
    assert int(resources["requests"]["memory"].removesuffix("Gi")) * GIB > RESIDENT_MB * 1e6
    assert float(resources["requests"]["cpu"]) > need(3_000).cores
