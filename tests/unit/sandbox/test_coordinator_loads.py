"""What the broker's log says of the group coordinator, as `StackBroker` reads it."""

import pytest

from tests.support.stack import loads_of

TOLD = "2026-11-27T21:32:00.371Z [thread] INFO CoordinatorRuntime - [GroupCoordinator id=1] "
ORDERED = "Scheduling loading of metadata from __consumer_offsets-1 with epoch {}"
FINISHED = "Finished loading of metadata from __consumer_offsets-1 with epoch {} in 50ms where 34ms"
FAILED = "Failed to load metadata from __consumer_offsets-1 with epoch {} due to java.lang.Error."
IGNORED = "Ignored load completion from __consumer_offsets-1 because context is in ACTIVE state."
UNLOADED = "Finished unloading metadata for __consumer_offsets-1 with epoch OptionalInt[1]."
OTHER = "Finished loading of metadata from __consumer_offsets-11 with epoch 2 in 2ms"

FIRST_LIFE = (ORDERED.format(0), FINISHED.format(0))
SECOND_LIFE = (*FIRST_LIFE, ORDERED.format(0), FINISHED.format(0), UNLOADED, ORDERED.format(2))


@pytest.mark.parametrize(
    ("lines", "ended"),
    [
        ((ORDERED.format(0),), None),
        (FIRST_LIFE, True),
        (SECOND_LIFE, None),
        ((*SECOND_LIFE, FINISHED.format(2)), True),
        ((*SECOND_LIFE, FINISHED.format(0)), None),
        ((*SECOND_LIFE, FINISHED.format(0), IGNORED), False),
        ((*SECOND_LIFE, FAILED.format(0)), False),
        ((*SECOND_LIFE, FAILED.format(0), ORDERED.format(3), FINISHED.format(3)), True),
    ],
)
def test_a_load_has_ended_when_the_end_is_its_own(
    lines: tuple[str, ...], ended: bool | None
) -> None:
    log = "".join(f"{TOLD}{line}\n" for line in lines)

    assert loads_of(log) == {"__consumer_offsets-1": ended}


def test_partitions_are_told_apart() -> None:
    log = f"{ORDERED.format(2)}\n{ORDERED.format(2).replace('-1 ', '-11 ')}\n{OTHER}\n"

    assert loads_of(log) == {"__consumer_offsets-1": None, "__consumer_offsets-11": True}


def test_a_log_without_loads_tells_nothing() -> None:
    assert loads_of("kafka.Kafka - started\n") == {}
