"""Where a partition goes on in a source, and when it must not. Pure.

The state says up to which offset of which topic it was computed (the fence); Kafka says what is
committed, what the topic holds and what its id is. Offsets mean nothing in another topic: one that
was deleted and made again has the same name and another id (KIP-516).
"""

from dataclasses import dataclass
from typing import Final

from streams.engine.errors import SourceChangedError, StateGapError

ANEW: Final = "psastream: read anew"
"""Metadata of a committed position that an operator has set: the state's fence is void there."""

_CHOICE: Final = (
    "stop all workers; `psastream reread {topic}` has the topic read from its first record into"
    " the state there is, `psastream rebuild {group}` computes the whole group anew"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A source partition, and the group that reads it."""

    group: str
    topic: str
    partition: int

    def context(self, **more: int | str | None) -> dict[str, int | str | None]:
        """Where it happened, for errors."""
        return {
            "group": self.group,
            "topic": self.topic,
            "partition": self.partition,
            **more,
        }


@dataclass(frozen=True, slots=True)
class Source:
    """What Kafka says of a source partition: offsets and the id of its topic."""

    start: int
    end: int
    committed: int | None
    topic_id: str
    is_anew: bool = False


@dataclass(frozen=True, slots=True)
class Fence:
    """The last source offset the state holds, and the id of the topic it is of."""

    offset: int
    topic_id: str | None


def next_offset(place: Place, fence: Fence | None, source: Source) -> int:
    """The offset to go on from. Upholds I3 and I6.

    Raises SourceChangedError where the fence is of another topic, or lies beyond the end of this
    one; StateGapError where offsets that the state lacks would be left out.
    """
    committed = max(source.start, source.committed or source.start)
    if source.is_anew:
        return committed
    if fence is None:
        if source.committed is not None:
            check_gap(place, 0, committed, source)
        return committed
    if fence.topic_id != source.topic_id:
        raise SourceChangedError(
            f"the topic was deleted and made again: it holds offsets {source.start} to"
            f" {source.end}, the state knows {fence.offset + 1} of the topic before it",
            hint=_CHOICE.format(topic=place.topic, group=place.group),
            context=place.context(known_id=fence.topic_id, found_id=source.topic_id),
        )
    if fence.offset >= source.end:
        raise SourceChangedError(
            f"the topic ends at {source.end}, but the state holds it up to {fence.offset}: the"
            " brokers have lost its end, and what is written there now is new",
            hint=_CHOICE.format(topic=place.topic, group=place.group),
            context=place.context(),
        )
    check_gap(place, fence.offset + 1, committed, source)
    return fence.offset + 1


def check_gap(place: Place, known: int, position: int, source: Source | None = None) -> None:
    """Raise StateGapError if the state ends before `position`, at `known`. Upholds I6."""
    missing = position - known
    if missing <= 0:
        return
    if source is not None and known < source.start:
        why = f": the topic begins at {source.start}, what lay before it was deleted unread"
    else:
        why = ""
    error = StateGapError(
        f"the state lacks {missing} offsets below the position to go on from{why}",
        hint="see the runbook state-gap; " + _CHOICE.format(topic=place.topic, group=place.group),
        context=place.context(state_position=known, position=position),
    )
    error.missing = missing
    raise error
