"""Options of a demo, its report, and the driver of acts."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from rich.console import Console

from sandbox.books.audit import Audit
from sandbox.books.comparison import Difference
from sandbox.demo.audience import LiveAudience, PlainAudience
from sandbox.demo.options import DemoOptions, Disruption, StoryLandscape
from sandbox.demo.report import print_audit
from sandbox.story.act import Act, Stage, StoryError, play
from sandbox.story.acts import ACTS
from sandbox.story.psa import Ability
from sandbox.story.world import World
from schemas.errors import BrokerUnavailableError, ConfigError


class Recorder:
    """An audience that remembers."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def act_began(self, act: Act) -> None:
        self.heard.append(f"began {act.name}")

    def changed(self, act: Act, changes: int) -> None:
        self.heard.append(f"changed {changes}")

    def waiting(self, act: Act, missing: str) -> None:
        self.heard.append(f"waiting for {missing}")

    def act_ended(self, act: Act, seconds: float, outcome: str) -> None:
        self.heard.append(f"ended with {outcome}")


def world() -> World:
    """A world without systems, for acts that touch none."""
    nothing = cast(Any, None)
    return World(
        admin=nothing,
        crm=nothing,
        psa=nothing,
        erps={},
        resource_tool=nothing,
        library=nothing,
        random=Random(1),
        rate=100_000,
        entries=0,
    )


def two_changes(_: World) -> Iterator[None]:
    yield
    yield


def test_an_act_ends_once_nothing_is_missing() -> None:
    answers = iter(["the invoice", None])
    act = Act("a", "A", "", two_changes, lambda _: next(answers), lambda _: "one invoice")
    recorder = Recorder()

    play([act], world(), Stage(recorder, 60.0, threading.Event()))

    assert recorder.heard == [
        "began a",
        "changed 1",
        "changed 2",
        "waiting for the invoice",
        "ended with one invoice",
    ]


def test_a_missing_consequence_is_named_at_the_deadline() -> None:
    act = Act("a", "A", "", two_changes, lambda _: "the invoice")
    with pytest.raises(StoryError, match="act a: not within 0 s: the invoice"):
        play([act], world(), Stage(Recorder(), 0.0, threading.Event()))


def test_a_part_that_is_down_for_a_moment_is_waited_for() -> None:
    outcomes: Iterator[Exception | None] = iter([BrokerUnavailableError("no broker"), None])

    def missing(_: World) -> str | None:
        if (error := next(outcomes)) is not None:
            raise error
        return None

    recorder = Recorder()
    play(
        [Act("a", "A", "", two_changes, missing)], world(), Stage(recorder, 60.0, threading.Event())
    )
    assert any("no broker" in heard for heard in recorder.heard)


def test_what_came_of_an_act_is_asked_again_while_a_part_is_down() -> None:
    outcomes: Iterator[Exception | str] = iter([BrokerUnavailableError("no broker"), "paid"])

    def outcome(_: World) -> str:
        if isinstance(said := next(outcomes), Exception):
            raise said
        return said

    recorder = Recorder()
    act = Act("a", "A", "", two_changes, lambda _: None, outcome)
    play([act], world(), Stage(recorder, 60.0, threading.Event()))
    assert recorder.heard[-1] == "ended with paid"


def test_a_stopped_story_ends_before_its_next_change() -> None:
    stop, recorder = threading.Event(), Recorder()
    stop.set()
    act = Act("a", "A", "", two_changes, lambda _: None)
    with pytest.raises(StoryError, match="stopped"):
        play([act], world(), Stage(recorder, 60.0, stop))
    assert recorder.heard == ["began a", "changed 1"]


def test_acts_have_names_of_their_own() -> None:
    assert len({act.name for act in ACTS}) == len(ACTS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("worker@hours:200", Disruption("worker", "hours", 200)),
        ("kafka@tax", Disruption("kafka", "tax", 1)),
    ],
)
def test_a_disruption_is_read(text: str, expected: Disruption) -> None:
    assert Disruption.parse(text) == expected


@pytest.mark.parametrize("text", ["postgres@hours", "worker@lunch", "worker", "worker@hours:"])
def test_a_wrong_disruption_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a disruption"):
        Disruption.parse(text)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([], "all books agree"),
        ([Difference("t", "k", "hours", "1", "2")], "books differ: 1 differences"),
    ],
)
def test_the_last_line_is_the_verdict(differences: list[Difference], verdict: str) -> None:
    printed = io.StringIO()
    print_audit(Console(file=printed, width=80), Audit({"t": 1234, "u": 1}, differences))
    lines = printed.getvalue().rstrip().splitlines()
    assert lines[-1] == verdict
    assert lines[1].startswith("1,235 rows in 2 tables: ")
    assert any(line.split() == ["t", "1,234", "1"] for line in lines) == bool(differences)


@pytest.mark.parametrize("is_live", [False, True])
def test_both_displays_show_acts_and_notes(is_live: bool) -> None:
    printed = io.StringIO()
    console = Console(file=printed, width=80, force_terminal=is_live)
    audience = LiveAudience(console) if is_live else PlainAudience(console)
    with audience:
        audience.act_began(ACTS[0])
        audience.changed(ACTS[0], 7)
        audience.act_ended(ACTS[0], 1.5, "all there")
        audience.note("worker is killed")
        audience.pulse("3 records")
    for text in (ACTS[0].title, "7 changes, 1.5 s", "all there", "worker is killed"):
        assert text in printed.getvalue()


def test_waiting_is_told_every_half_minute_where_there_is_no_terminal() -> None:
    printed, now_s = io.StringIO(), 0.0
    audience = PlainAudience(Console(file=printed, width=80), lambda: now_s)
    audience.act_began(ACTS[0])
    for second in range(70):
        now_s = float(second)
        audience.waiting(ACTS[0], f"invoice {second}")
    lines = printed.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[-1] for line in lines if "waiting for" in line] == ["30", "60"]


def test_a_terminal_has_one_line_of_what_is_going_on() -> None:
    printed = io.StringIO()
    audience = LiveAudience(Console(file=printed, width=80, force_terminal=True), lambda: 0.0)
    audience.act_began(ACTS[0])
    audience.changed(ACTS[0], 1)
    audience.pulse("written: 3 records")
    console = Console(width=80)
    shown = [console.render_lines(audience.line())]
    audience.waiting(ACTS[0], "an invoice " * 20)
    shown.append(console.render_lines(audience.line()))
    first, second = ("".join(part.text for part in line) for [line] in shown)
    assert "1 change, 0 s  written: 3 records" in first
    assert "waiting for an invoice" in second
    assert second.rstrip().endswith("…")


def test_an_act_lacks_what_a_psa_cannot_show() -> None:
    act = Act("a", "A", "", two_changes, lambda _: None, needs=frozenset({Ability.EARLY_HOURS}))
    assert act.lacks(frozenset({Ability.ANY_HOURS})) == [Ability.EARLY_HOURS]
    assert act.lacks(frozenset(Ability)) == []


def test_acts_that_the_psa_cannot_show_are_left_out_and_said_so() -> None:
    harvest = StoryLandscape.parse("harvest")
    assert harvest == StoryLandscape(psa="harvest")
    left = [act.name for act in ACTS if act not in harvest.acts and not act.role]
    assert left == ["early", "impossible"]
    assert harvest.left_out == {
        "Hours arrive before their project": f"harvest: {Ability.EARLY_HOURS.value}",
        "A day has 30 hours": f"harvest: {Ability.ANY_HOURS.value}",
    }
    plain = [act.name for act in ACTS if act not in StoryLandscape().acts and not act.role]
    assert plain == ["timers", "stopped"]


def test_a_disruption_in_an_act_that_is_left_out_is_refused() -> None:
    harvest = StoryLandscape(psa="harvest")

    def options(act: str, part: str = "worker") -> DemoOptions:
        return DemoOptions(Path(), Path(), landscape=harvest, disruptions=(Disruption(part, act),))

    assert options("timers").disruptions
    with pytest.raises(ConfigError, match="Connect does not run with harvest"):
        options("timers", "connect")
    assert DemoOptions(Path(), Path(), disruptions=(Disruption("connect", "hours"),)).disruptions
    with pytest.raises(ConfigError, match="the act early is left out with harvest") as caught:
        options("early")
    assert "early" not in str(caught.value.hint)


def test_a_picture_needs_a_folder() -> None:
    with pytest.raises(ConfigError, match="there is no folder missing for the picture"):
        DemoOptions(Path(), Path(), picture=Path("missing/demo.svg"))


def test_a_story_is_told_with_the_systems_that_are_named() -> None:
    assert StoryLandscape.parse("") == StoryLandscape()
    assert StoryLandscape.parse("hubspot_custom, inhouse") == StoryLandscape(crm="hubspot_custom")
    assert StoryLandscape.parse("runn,harvest") == StoryLandscape(resource="runn", psa="harvest")
    two = StoryLandscape(erps=("netsuite", "business_central"))
    assert StoryLandscape.parse("two_erps") == two
    assert StoryLandscape.parse("told_crm") == StoryLandscape(takes_status=True)
    assert StoryLandscape.parse("business_central").erps == ("business_central",)
    mid_market = StoryLandscape(
        crm="hubspot_custom", erps=("business_central",), resource="runn", psa="harvest"
    )
    assert StoryLandscape.parse("mid_market") == mid_market
    assert StoryLandscape.parse("hubspot,business_central,runn,harvest") == mid_market
    group = StoryLandscape(erps=("finance_operations",), psa="certinia_custom")
    assert StoryLandscape.parse("group") == group
    assert StoryLandscape.parse("salesforce,finance_operations,certinia") == group
    assert StoryLandscape.parse("business_central,netsuite") == two
    other = StoryLandscape(erps=("netsuite", "finance_operations"))
    assert StoryLandscape.parse("finance_operations,netsuite") == other
    assert StoryLandscape.parse("finance_operations").erps == ("finance_operations",)
    assert two.systems == {
        "salesforce": "crm", "netsuite": "erp", "business_central": "erp", "float": "resource",
        "inhouse": "psa",
    }  # fmt: skip


def test_each_erp_keeps_the_legal_entities_that_the_others_do_not() -> None:
    alone, two = StoryLandscape.parse("business_central"), StoryLandscape.parse("two_erps")
    assert alone.countries_in("business_central") == ("DE", "GB", "US", "FR", "PL")
    assert two.countries_in("business_central") == ("GB",)
    assert two.countries_in("netsuite") == ("DE", "US", "FR", "PL")


@pytest.mark.parametrize("erp", ["business_central", "finance_operations"])
def test_acts_are_told_in_the_words_for_the_erp(erp: str) -> None:
    alone = StoryLandscape.parse(erp)
    other = {act.name for act in alone.acts} - {act.name for act in alone.acts if act in ACTS}
    assert other == {"refusal", "tax"}
    assert all(act in ACTS for act in StoryLandscape.parse("two_erps").acts)


def test_a_second_erp_keeps_some_legal_entities() -> None:
    first, second = cast(Any, object()), cast(Any, object())
    stage = world()
    stage.erps = {"a": first}
    assert [stage.erp_in(country) for country in ("GB", "DE")] == [first, first]
    stage.erps = {"a": first, "b": second}
    assert [stage.erp_in(country) for country in ("GB", "DE")] == [second, first]


def test_a_firm_may_have_systems_for_people_pay_and_purchases() -> None:
    plain, whole = StoryLandscape(), StoryLandscape.parse("bamboohr,gusto,coupa")
    assert plain.offices == {}
    assert whole.offices == {"bamboohr": "hr", "gusto": "payroll", "coupa": "procurement"}
    assert whole.systems == plain.systems | whole.offices
    added = [act.name for act in whole.acts if act not in plain.acts]
    assert added == ["employed", "paid", "bought"]
    assert [act.name for act in StoryLandscape.parse("adp").acts if act.role] == ["employed"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("salesforce,hubspot_custom", "a story has one system of each role, or two ERPs"),
        ("netsuite,netsuite", "a story has one system of each role, or two ERPs"),
        (
            "netsuite,business_central,finance_operations",
            "a story has one system of each role, or two ERPs",
        ),
        ("float,workday", "no story is told with workday"),
        ("float,", "no story is told with "),
    ],
)
def test_a_landscape_that_no_story_is_told_in_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        StoryLandscape.parse(text)
    assert caught.value.detail == problem
    assert "crm: salesforce or hubspot_custom" in str(caught.value.hint)
