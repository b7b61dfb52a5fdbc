"""Deals of orgs that name their stages themselves: what is won or lost is told by fixed fields."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.source_events import canonical

OPPORTUNITY = "src.salesforce.opportunity"


def stage_of(**values: object) -> Any:
    deal = {
        "Id": "006000000000001AAA",
        "AccountId": "001000000000001AAA",
        "Name": "Rollout",
        "StageName": "Verbal OK",
        "IsClosed": False,
        "IsWon": False,
        "ForecastCategory": None,
    }
    return canonical(OPPORTUNITY, deal | values)["opportunity"]["stage"]


@pytest.mark.fault("C2", place="connectors/vendors/salesforce/mapping.yaml")
@pytest.mark.parametrize("name", ["Verbal OK", "Closed Won", "Closed Lost", "Gewonnen", None])
def test_c2_won_and_lost_are_what_the_fixed_fields_say(name: str | None) -> None:
    assert stage_of(StageName=name, IsClosed=True, IsWon=True) == "won"
    assert stage_of(StageName=name, IsClosed=True, IsWon=False) == "lost"


@pytest.mark.fault("C2", place="connectors/vendors/salesforce/mapping.yaml")
@pytest.mark.parametrize(
    ("category", "stage"),
    [
        ("Omitted", "prospect"),
        ("Pipeline", "qualified"),
        ("BestCase", "proposed"),
        ("MostLikely", "negotiating"),
        ("Forecast", "negotiating"),
    ],
)
def test_c2_an_open_stage_of_any_name_is_placed_by_its_category(category: str, stage: str) -> None:
    assert stage_of(ForecastCategory=category) == stage


def test_a_shipped_name_says_more_than_its_category() -> None:
    assert stage_of(StageName="Proposal/Price Quote", ForecastCategory="Pipeline") == "proposed"
