"""The bookkeeping of latency probes: bundled metrics, order, percentiles."""

import pytest

from bench.probes import Probes, latency


def test_a_metric_covers_the_first_probes_of_its_project() -> None:
    probes = Probes(["a", "b", "a", "a"])
    probes.show("a", 2, at=5.0)
    assert probes.seen_at == [5.0, None, 5.0, None]
    assert probes.missing == 2
    probes.show("b", 1, at=6.0)
    probes.show("a", 3, at=7.0)
    assert probes.seen_at == [5.0, 6.0, 5.0, 7.0]
    assert probes.missing == 0


def test_an_older_metric_changes_nothing() -> None:
    probes = Probes(["a", "a"])
    probes.show("a", 2, at=1.0)
    probes.show("a", 1, at=2.0)
    assert probes.seen_at == [1.0, 1.0]


def test_more_hours_than_probes_are_an_error() -> None:
    with pytest.raises(ValueError, match="2 hours of 1"):
        Probes(["a"]).show("a", 2, at=1.0)


def test_percentiles_are_milliseconds_of_what_was_seen() -> None:
    due_at = [float(number) for number in range(1_000)]
    seen_at: list[float | None] = [due + (number + 1) / 1_000 for number, due in enumerate(due_at)]
    seen_at[0] = None
    found = latency(due_at, seen_at)
    assert (found.count, found.missing) == (999, 1)
    assert found.p50 == pytest.approx(501, abs=2)
    assert found.p99 == pytest.approx(990, abs=2)
    assert found.highest == pytest.approx(1_000)


def test_nothing_seen_is_an_error() -> None:
    with pytest.raises(ValueError, match="no probe"):
        latency([1.0], [None])
