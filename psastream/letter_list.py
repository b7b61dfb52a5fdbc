"""Dead letters one by one: which records, why, and what they hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from psastream.letters import TOPIC, identity, key_of, read_decisions, told
from psastream.lines import instant, say, say_of, shown_age
from psastream.topic_rows import Unreadable, lines_of
from runtime.kafka import read_topic, require_broker
from runtime.offsets import present_places
from runtime.secrets import mask
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import ConfigError

Letter = Mapping[str, Any]
PLACE: Final = ("topic", "partition", "offset")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which dead letters are meant; None: any."""

    topic: str | None = None
    code: str | None = None

    def matches(self, letter: Letter) -> bool:
        """Whether a dead letter is meant."""
        return self.topic in (None, letter["topic"]) and self.code in (None, letter["error_code"])


def list_letters(
    settings: Settings, chosen: Chosen, *, limit: int, as_json: bool, is_whole: bool = False
) -> bool:
    """Print the dead letters that are meant, newest first; return whether all could be read.

    `is_whole`: those that were released or discarded, too. Raises ConfigError,
    BrokerUnavailableError and RegistryUnavailableError.
    """
    letters, unreadable = _read(settings)
    found = newest_first(each for each in letters if chosen.matches(each))
    meant = [each for each in found if is_whole or each["decision"] is None]
    if as_json:
        print(mask(json.dumps(meant[:limit], indent=2)))
    else:
        at = datetime.now(UTC)
        for letter in meant[:limit]:
            say_of(place_of(letter), said_of(letter, at=at))
        for line in told({**each, "raised_at": _instant(each)} for each in meant):
            say(line)
        say(
            (f"{len(meant)} kept" if len(meant) <= limit else f"{limit} of {len(meant)} (--limit)")
            + (f"; {len(found) - len(meant)} decided about (--all)" if found != meant else "")
        )
    for each in unreadable:
        say(str(each), is_error=True)
    return not unreadable


def show_letter(settings: Settings, place: str, *, as_json: bool = False) -> None:
    """Print one whole. Raises ConfigError where none is kept of that place."""
    letters, _ = _read(settings)
    letter = next((each for each in letters if place_of(each) == place), None)
    if letter is None:
        raise ConfigError(f"no dead letter: {place}", hint="psastream dlq list")
    if as_json:
        print(mask(json.dumps(letter, indent=2)))
        return
    for head, said in lines_of_letter(letter):
        say(said, head)


def _read(settings: Settings) -> tuple[list[Letter], Sequence[Unreadable]]:
    kafka = settings.kafka
    require_broker(kafka.client())
    if TOPIC not in present_places(kafka, [TOPIC]):
        raise ConfigError(f"there is no topic {TOPIC}", hint="psastream topics apply makes it")
    serde = Serde.of(settings)
    # Each is kept under a key of its own, but for one that was written twice.
    values = {
        each.key(): value
        for each in read_topic(kafka, TOPIC)
        if (value := each.value()) is not None
    }
    decided = read_decisions(kafka, serde)
    letters: list[Letter] = []
    unreadable: list[Unreadable] = []
    for message_key, row in zip(values, lines_of(values, serde.read), strict=True):
        if isinstance(row, Unreadable):
            unreadable.append(row)
        else:
            key = key_of(message_key, serde)
            decision = decided.get(identity(key, serde.read(values[message_key])))
            letters.append({"letter": key, **json.loads(row), **decision_of(decision)})
    return letters, unreadable


def decision_of(decided: Letter | None) -> dict[str, str | None]:
    """Return what was decided about a dead letter, when, by whom and why; null where nothing."""
    told = decided or dict.fromkeys(("decision", "decided_at", "decided_by", "note"))
    at = told["decided_at"]
    return {
        "decision": told["decision"],
        "decided_at": at and instant(at),
        "decided_by": told["decided_by"],
        "note": told["note"],
    }


def newest_first(letters: Iterable[Letter]) -> list[Letter]:
    """Return dead letters by when they were raised."""
    return sorted(letters, key=lambda each: (each["raised_at"] or "", place_of(each)), reverse=True)


def place_of(letter: Letter) -> str:
    """Return the key of a dead letter: where its record stood, or which row it is."""
    if (key := letter.get("letter")) is not None:
        return str(key)
    return "|".join(str(letter[name]) for name in PLACE)


def said_of(letter: Letter, *, at: datetime) -> str:
    """Return code, age and detail of a dead letter."""
    raised_at = _instant(letter)
    age = [] if raised_at is None else [shown_age(at - raised_at)]
    decision = [letter["decision"]] if letter.get("decision") else []
    return "  ".join([*decision, str(letter["error_code"]), *age, letter["detail"] or ""])


def lines_of_letter(letter: Letter) -> Iterator[tuple[str, str]]:
    """Yield a dead letter whole: its record last, as what it says.

    A line is its beginning, and what is said behind it.
    """
    shown = {
        "dead letter": place_of(letter),
        "read by": letter["agent"],
        "raised": letter["raised_at"],
        "why": f"{letter['error_code']}: {letter['detail'] or ''}",
        "to do": letter["hint"],
        "correlation": letter["correlation_id"],
        "decided": letter.get("decision")
        and f"{letter['decision']} at {letter['decided_at']} by {letter['decided_by']}",
        "note": letter.get("note"),
    }
    for name, value in shown.items():
        if value:
            yield f"{name + ':':<13}", str(value)
    for name in ("key", "value"):
        yield f"{name}:", ""
        for line in json.dumps(letter[name], indent=2, ensure_ascii=False).splitlines():
            said = line.lstrip(" ")
            yield "  " + " " * (len(line) - len(said)), said


def _instant(letter: Letter) -> datetime | None:
    text = letter["raised_at"]
    return None if text is None else datetime.fromisoformat(text)
