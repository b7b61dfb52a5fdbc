"""Which request meets which fault: order, counts, scopes, and the same draws for the same seed."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.vendors.effects import EffectLog
from sandbox.vendors.faults import FaultKind, FaultPlan, FaultRule
from sandbox.vendors.site import Site, SiteSettings


def draw(plan: FaultPlan, *, path: str = "/x", is_write: bool = False) -> FaultKind | None:
    rule = plan.draw(path=path, is_write=is_write, is_token_request=path.endswith("/token"))
    return rule.kind if rule else None


def test_a_counted_rule_ends_and_the_next_one_follows() -> None:
    plan = FaultPlan("1")
    plan.add(FaultRule(kind=FaultKind.SERVER_ERROR, count=2))
    plan.add(FaultRule(kind=FaultKind.UNAVAILABLE, count=1))
    assert [draw(plan) for _ in range(4)] == [
        FaultKind.SERVER_ERROR,
        FaultKind.SERVER_ERROR,
        FaultKind.UNAVAILABLE,
        None,
    ]
    assert plan.drawn == {"server_error": 2, "unavailable": 1}


def test_scope_and_path_choose_requests() -> None:
    plan = FaultPlan("1")
    plan.add(FaultRule(kind=FaultKind.SERVER_ERROR, scope="write", path="/job/"))
    assert draw(plan, path="/job/1") is None
    assert draw(plan, path="/customer/1", is_write=True) is None
    assert draw(plan, path="/job/1", is_write=True) is FaultKind.SERVER_ERROR


def test_signing_in_is_spared_unless_named() -> None:
    plan = FaultPlan("1")
    plan.add(FaultRule(kind=FaultKind.SERVER_ERROR))
    assert draw(plan, path="/token") is None
    plan.clear()
    plan.add(FaultRule(kind=FaultKind.SERVER_ERROR, path="/token"))
    assert draw(plan, path="/token") is FaultKind.SERVER_ERROR


@pytest.mark.parametrize("kind", [FaultKind.COMMIT_THEN_TIMEOUT, FaultKind.COMMIT_THEN_ERROR])
def test_only_a_write_can_be_committed_and_then_lost(kind: FaultKind) -> None:
    plan = FaultPlan("1")
    plan.add(FaultRule(kind=kind, count=1))
    assert draw(plan) is None
    assert draw(plan, is_write=True) is kind


def test_a_record_is_listed_late_where_searches_lag() -> None:
    settings = SiteSettings(search_lag_s=3_600)
    site = Site("any", base_url="", seed=1, effects=EffectLog(), settings=settings)
    site.made("1")
    assert not site.is_listed("1")
    assert site.is_listed("2")
    site.configure({"search_lag_s": 0})
    site.made("3")
    assert site.is_listed("3")


def test_the_rules_of_a_path_end_alone() -> None:
    plan = FaultPlan("1")
    for path in ("/job/", "/customer/"):
        plan.add(FaultRule(kind=FaultKind.SERVER_ERROR, path=path))
    plan.clear("/job/")
    assert draw(plan, path="/job/1") is None
    assert draw(plan, path="/customer/1") is FaultKind.SERVER_ERROR


@pytest.mark.asyncio
async def test_requests_that_a_path_delays_go_on_once_it_is_cleared() -> None:
    plan = FaultPlan("1")
    rules = {path: FaultRule(kind=FaultKind.DELAY, path=path, delay_s=60) for path in ("/a", "/b")}
    delayed = {path: asyncio.create_task(plan.pause(rule)) for path, rule in rules.items()}
    await asyncio.sleep(0)
    plan.clear("/a")
    await delayed["/a"]
    assert not delayed["/b"].done()
    plan.clear()
    await delayed["/b"]


@given(seed=st.text(), probability=st.floats(0, 1))
def test_a_seed_repeats_its_faults(seed: str, probability: float) -> None:
    def draws() -> list[FaultKind | None]:
        plan = FaultPlan(seed)
        plan.add(FaultRule(kind=FaultKind.SERVER_ERROR, probability=probability))
        return [draw(plan) for _ in range(50)]

    assert draws() == draws()


def test_the_probability_is_kept_roughly() -> None:
    plan = FaultPlan("1")
    plan.add(FaultRule(kind=FaultKind.SERVER_ERROR, probability=0.3))
    met = sum(draw(plan) is not None for _ in range(1_000))
    assert 250 < met < 350
