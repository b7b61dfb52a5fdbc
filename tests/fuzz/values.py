"""Values for fuzzers, from a plain `random.Random`: a million inputs leave no time for more."""

from __future__ import annotations

import decimal
import json
import random
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

INTS: Final = [-(2**31), -719_163, -719_162, -1, 0, 1, 63, 64, 2_932_896, 2_932_897, 6_661_026,
               95_026_601, 2**31 - 1]  # fmt: skip
LONGS: Final = [-(2**63), -62_135_596_800_001, -62_135_596_800_000_001, -1, 0, 1, 2**31,
                253_402_300_799_999, 253_402_300_800_000, 253_402_300_799_999_999,
                1_767_225_600_000, 2**63 - 1]  # fmt: skip
TEXTS: Final = [
    "", " ", "x", "EUR", "eur ", "DE", "T", "F", "true", "0", "1", "-1", "007", "12.5", "1e3",
    "NaN", "1/2", "Infinity", "9" * 40, "0.333333333", "2026-02-30", "2026-01-05", "20206-01-05",
    "1/2/2026", "2026-01-05T00:00:00Z", "20206-01-05T00:00:00Z", "0000-01-01T00:00:00.000000Z",
    "P0Y0M0DT0H50M0S", "2026-01-05 00:00:00", "9999-12-31T23:59:59-14:00", "ada@example.com",
    "Ada@Example.COM ",
    "approved", "draft", "won", "Closed Won", "active", "A", "[", "null", "cus-001000000000001AAA",
    "eng-006000000000001AAA", "001000000000001", "001000000000001AAA", "\x00", "a\x00b", "\u200b",
    "ü" * 100, "\U0001f600", "\u2028", "a" * 5000, "__debezium_unavailable_value", "a|b", "|", ":",
]  # fmt: skip
Maker = Callable[[random.Random], Any]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LETTERS: Final = "abcAZ09 -_.:|/\\\"'\n\täß€😀\x00"
_EXACT: Final = decimal.Context(prec=80)


def text(chance: random.Random) -> str:
    """A text: one that is known to be trouble, or a few characters."""
    choice = chance.random()
    if choice < 0.6:
        return TEXTS[int(choice / 0.6 * len(TEXTS))]
    return "".join(chance.choices(_LETTERS, k=int((choice - 0.6) * 30)))


def integer(chance: random.Random, bits: int) -> int:
    """An integer of so many bits: an extreme one, a small one, or any."""
    choice = chance.random()
    if choice < 0.4:
        return chance.choice(INTS if bits == 32 else LONGS)
    if choice < 0.7:
        return chance.randrange(-200, 30_000)
    return chance.randrange(-(2 ** (bits - 1)), 2 ** (bits - 1))


def floating(chance: random.Random, *, single: bool = False) -> float:
    """A float, of any bits now and then."""
    if chance.random() < 0.5:
        return chance.choice([0.0, -0.0, 1.5, -1.0, 1e300 if not single else 1e30, 0.1 * single])
    code, size = ("<f", 4) if single else ("<d", 8)
    return float(struct.unpack(code, chance.randbytes(size))[0])


def unscaled(chance: random.Random, precision: int) -> int:
    """The digits of a decimal of this precision."""
    limit = 10**precision - 1
    if chance.random() < 0.4:
        return max(-limit, min(limit, chance.choice([0, limit, -limit, 127, 128, -129, 1, 800])))
    return chance.randrange(-limit, limit + 1) if chance.random() < 0.5 else chance.randrange(10)


def decimal_of(digits: int, scale: int) -> Decimal:
    """Digits at a scale, exact."""
    return _EXACT.scaleb(Decimal(digits), -scale)


def day(chance: random.Random) -> date:
    """Any day Python knows."""
    return date.fromordinal(chance.randrange(1, date.max.toordinal() + 1))


def instant(chance: random.Random, step_us: int) -> datetime:
    """An instant that Python knows, in whole steps."""
    seconds = chance.randrange(-60_000_000_000, 253_402_300_799)
    part = chance.randrange(10**6 // step_us) * step_us
    return _EPOCH + timedelta(seconds=seconds, microseconds=part)


def maker(avro: Any) -> Maker:  # noqa: PLR0911 - one for each type
    """What makes any value of a type of a schema without references, as fastavro takes it."""
    match avro:
        case list():
            branches = [maker(branch) for branch in avro]
            return lambda chance: chance.choice(branches)(chance)
        case {"type": "record", "fields": fields}:
            made = [(each["name"], maker(each["type"])) for each in fields]
            return lambda chance: {name: make(chance) for name, make in made}
        case {"logicalType": "decimal", "precision": int(precision), **rest}:
            scale: Any = rest.get("scale", 0)
            return lambda chance: decimal_of(unscaled(chance, precision), scale)
        case {"logicalType": "date"}:
            return day
        case {"logicalType": "timestamp-millis"}:
            return lambda chance: instant(chance, 1000)
        case {"logicalType": "timestamp-micros"}:
            return lambda chance: instant(chance, 1)
        case {"type": "array", "items": items}:
            item = maker(items)
            return lambda chance: [item(chance) for _ in range(chance.choice([0, 1, 2, 7, 8]))]
        case {"type": "map", "values": held}:
            value = maker(held)
            return lambda chance: {text(chance): value(chance) for _ in range(chance.randrange(3))}
        case {"type": "enum", "symbols": symbols}:
            return lambda chance: chance.choice(symbols)
        case {"type": "fixed", "size": int(size)}:
            return lambda chance: chance.randbytes(size)
        case {"type": inner}:
            return maker(inner)
        case str():
            return _PLAIN[avro]
    raise AssertionError(avro)


_PLAIN: Final[dict[str, Maker]] = {
    "null": lambda _: None,
    "boolean": lambda chance: chance.random() < 0.5,
    "int": lambda chance: integer(chance, 32),
    "long": lambda chance: integer(chance, 64),
    "string": text,
    "bytes": lambda chance: chance.randbytes(chance.randrange(12)),
    "float": lambda chance: floating(chance, single=True),
    "double": floating,
}


def inlined(node: Any, names: dict[str, Any] | None = None) -> Any:
    """The parsed schema with every named type in the place of its name."""
    names = {} if names is None else names
    if isinstance(node, str):
        return names.get(node, node)
    if isinstance(node, list):
        return [inlined(item, names) for item in node]
    made = dict(node)
    if "fields" in made:
        made["fields"] = [{**each, "type": inlined(each["type"], names)} for each in made["fields"]]
    for part in ("items", "values"):
        if part in made:
            made[part] = inlined(made[part], names)
    if not isinstance(made["type"], str) or made["type"] in names:
        made["type"] = inlined(made["type"], names)
    if "name" in made:
        names[made["name"]] = made
    return made


def damaged(chance: random.Random, payload: bytes) -> bytes:
    """The payload with one thing wrong: a bit, an end, bytes too many, or other bytes."""
    victim = bytearray(payload)
    match chance.randrange(4):
        case 0 if victim:
            victim[chance.randrange(len(victim))] ^= chance.randrange(1, 256)
        case 1 if victim:
            del victim[chance.randrange(len(victim)) :]
        case 2:
            return chance.randbytes(chance.randrange(40))
        case _:
            victim += chance.randbytes(chance.randrange(1, 12))
    return bytes(victim)


def junk(chance: random.Random, depth: int = 2) -> Any:  # noqa: PLR0911 - one for each kind
    """Any JSON value; texts may be none that can be encoded, numbers none that fit anywhere."""
    choice = chance.randrange(11 if depth else 8)
    match choice:
        case 0:
            return None
        case 1:
            return chance.random() < 0.5
        case 2:
            return chance.choice([0, 1, -1, 7, 2**31, 2**63, -(2**63) - 1, 10**30, 20260501])
        case 3:
            return chance.choice([0.5, -0.0, 1e308, 1.0, 0.1])
        case 4 | 5 | 6:
            return text(chance)
        case 7:
            return chance.choice(["\ud83d", "ok \ud83d", "", "x" * 3000])
        case 8:
            return [junk(chance, depth - 1) for _ in range(chance.randrange(3))]
        case _:
            return {
                chance.choice(["id", "name", "items", "x", "", "\x00"]): junk(chance, depth - 1)
                for _ in range(chance.randrange(3))
            }


def spoiled(chance: random.Random, document: Any, *, times: int = 1) -> Any:
    """A copy of a JSON document with some of its values replaced, dropped, doubled or wrapped."""
    made = json.loads(json.dumps(document))
    for _ in range(times):
        made = _spoil(chance, made)
    return made


def _spoil(chance: random.Random, node: Any) -> Any:
    if isinstance(node, dict) and node and chance.random() < 0.85:
        name = chance.choice(list(node))
        match chance.randrange(8):
            case 0:
                del node[name]
            case 1:
                node[text(chance)] = node[name]
            case 2 | 3:
                node[name] = junk(chance)
            case _:
                node[name] = _spoil(chance, node[name])
        return node
    if isinstance(node, list) and node and chance.random() < 0.85:
        at = chance.randrange(len(node))
        match chance.randrange(6):
            case 0:
                del node[at]
            case 1:
                node.append(node[at])
            case _:
                node[at] = _spoil(chance, node[at])
        return node
    return chance.choice([junk(chance), [node], {"value": node}, None])
