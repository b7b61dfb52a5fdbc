"""Few rows one after the other, or as columns: state, outputs and accounting are the same bytes."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.property.test_tables_oracle import any_history, seeds
from tests.support.examples import examples
from tests.support.firms import erps_of, open_feeder
from tests.support.histories import Change
from tests.support.topology import Topology


def played(history: list[Change], seed: int, chunk_max: int, few: int) -> Topology:
    """Work a history off, in pieces that the seed decides; up to `few` rows one by one."""
    feeder = open_feeder(erps_of(history), seed=seed, chunk_max=chunk_max, few=few)
    for change in history:
        feeder.feed(change)
    feeder.topology.run()
    return feeder.topology


@settings(
    max_examples=examples(10),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(any_history, seeds, st.sampled_from([1, 3, 7, 200]), st.sampled_from([1, 3, 1_000]))
def test_rows_one_by_one_do_what_columns_do(
    history: list[Change], seed: int, chunk_max: int, few: int
) -> None:
    columns, rows = (played(history, seed, chunk_max, each) for each in (0, few))
    assert rows.topics == columns.topics
    assert rows.states() == columns.states()
    assert rows.outcomes == columns.outcomes
