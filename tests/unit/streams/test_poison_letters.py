"""What becomes of a record that makes an agent of the product fail."""

from dataclasses import replace

import pytest

from streams.engine import Effects, Failure, GroupSpec
from streams.groups import make_groups
from tests.support.catalogue import LANDSCAPE
from tests.support.source_events import FakeRegistry, chunk_of, mapping_of, published

GROUPS = make_groups([mapping_of("src.inhouse.time_entries")], FakeRegistry(), LANDSCAPE)


@pytest.mark.fault("B1", place="streams/groups.py")
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
@pytest.mark.parametrize("timestamp_ms", [-1, 1_767_225_600_000, 2**62])
def test_b1_each_group_dead_letters_whole_what_it_cannot_digest(
    group: GroupSpec, timestamp_ms: int
) -> None:
    chunk = replace(chunk_of("psa.project", [b"\x00\xff"], start=7), timestamps_ms=[timestamp_ms])
    assert group.dead_letters is not None
    letters = group.dead_letters(chunk, Failure("record.poison", "what", "do"))
    (record,) = published(Effects(outputs=[*letters]))
    assert record.value is not None
    assert (record.topic, record.key) == ("psa.dlq", "psa.project|0|7")
    assert record.value["value"] == b"\x00\xff"
    assert record.value["agent"] == group.name
    assert record.value["error_code"] == "record.poison"
    has_instant = timestamp_ms == 1_767_225_600_000
    assert (record.value["raised_at"] is not None) == has_instant
