"""Keys and ciphertext: what opens, what does not, and what changes in place."""

from __future__ import annotations

from base64 import b64encode

import pytest

from runtime.data_keys import REFRESH_S, KafkaKeyLog
from runtime.kafka import KafkaSettings, Span
from runtime.master_keys import KeyFile, new_line
from schemas.codec.framing import SEALED, unframe
from schemas.errors import ConfigError, DecodeError, FatalError
from tests.support.sealed import MASTER, Firm

PERSON = "float:person:7"


def test_what_was_sealed_opens_in_another_process() -> None:
    firm = Firm()
    values = firm.sealing().seal([PERSON, "firm", PERSON], [b"Ada", None, b"Ada"])
    assert values[1] is None and values[0] != values[2]
    assert all(value is None or b"Ada" not in value for value in values)
    assert firm.sealing().open_values(values) == [b"Ada", None, b"Ada"]


def test_what_is_not_encrypted_is_taken_as_it_is() -> None:
    assert Firm().sealing().open(b"\x00plain") == b"\x00plain"


def test_whose_key_a_record_needs_is_told() -> None:
    sealing = Firm().sealing()
    [sealed] = sealing.seal([PERSON], [b"Ada"])
    assert sealing.subjects(sealed or b"") == {PERSON}
    assert sealing.subjects(b"plain") == set()


def test_what_was_changed_is_told() -> None:
    firm = Firm()
    sealing = firm.sealing()
    [first, second] = sealing.seal([PERSON, "firm"], [b"Ada", b"Bob"])
    assert first is not None and second is not None
    with pytest.raises(DecodeError, match="changed"):
        sealing.open(first[:-1] + bytes([first[-1] ^ 1]))
    with pytest.raises(DecodeError, match="changed"):  # under the id of another key
        sealing.open(second[:16] + first[16:])
    [kept] = sealing.open_values([first[:-1] + b"?"])
    with pytest.raises(DecodeError, match="encrypted"):
        unframe(kept or b"")


def test_a_key_opens_for_its_subject_alone() -> None:
    firm = Firm()
    firm.keys().to_seal([PERSON, "firm"])
    (name, value), (other, _) = firm.records
    firm.records[:] = [(other, value)]
    key_id = bytes.fromhex(other.rpartition("|")[2])
    with pytest.raises(ConfigError, match="another than the one"):
        firm.keys().to_open(key_id)
    assert name != other


def test_a_destroyed_key_opens_nothing_and_a_running_process_learns_it() -> None:
    firm = Firm()
    running = firm.sealing()
    [value] = running.seal([PERSON], [b"Ada"])
    assert value is not None
    assert firm.keys().forget([PERSON]) == 1
    assert running.open_values([value]) == [b"Ada"]  # a moment more
    firm.now_s += REFRESH_S + 1
    assert running.open_values([value]) == [None]
    [later] = running.seal([PERSON], [b"Ada"])
    assert later is not None and later.startswith(SEALED)
    assert firm.sealing().open_values([later]) == [None]


def test_a_key_that_another_process_makes_after_somebody_was_forgotten_is_none() -> None:
    firm = Firm()
    late = firm.keys()
    late.refresh()
    firm.keys().forget([PERSON])
    assert late.to_seal([PERSON]) == {PERSON: None}
    records = [*firm.records]
    other = Firm()
    other.keys().to_seal([PERSON])  # as if it had not read that
    firm.records[:] = [*records, *other.records]
    assert firm.keys().to_seal([PERSON]) == {PERSON: None}


@pytest.mark.parametrize(
    "foreign",
    [
        ("firm", b"{}"),
        ("firm|odd", b"{}"),
        ("firm|0011223344556677", b"{"),
        ("firm|00", b"{}"),
        ("firm|0011223344556677", b"[]"),
        ("firm|0011223344556677", b"5"),
    ],
)
def test_who_cannot_read_a_record_of_the_keys_opens_nothing_more(
    foreign: tuple[str, bytes],
) -> None:
    """What comes after it would pass for destroyed otherwise, and its records for deleted."""
    firm = Firm()
    [value] = firm.sealing().seal([PERSON], [b"Ada"])
    firm.records.insert(0, foreign)
    sealing = firm.sealing()
    for _ in range(2):
        with pytest.raises(FatalError, match="no record of keys"):
            sealing.open_values([value])


def test_keys_that_are_lost_are_not_taken_for_destroyed() -> None:
    firm = Firm()
    [value] = firm.sealing().seal([PERSON], [b"Ada"])
    firm.records.clear()
    with pytest.raises(FatalError, match="holds no key"):
        firm.sealing().open_values([value])


class Shorter(KafkaKeyLog):
    """Whose topic ends before what was read of it."""

    def _span(self) -> Span:
        return 0, self._next - 1


def test_a_topic_of_keys_that_was_made_again_is_told() -> None:
    log = Shorter(KafkaSettings(bootstrap_servers="127.0.0.1:9"))
    with pytest.raises(FatalError, match="was made again"):
        log.news()


def test_two_processes_use_one_key_and_a_rotation_makes_another() -> None:
    firm = Firm()
    first, second = firm.keys(), firm.keys()
    key = first.to_seal([PERSON])[PERSON]
    assert key is not None
    assert second.to_seal([PERSON])[PERSON] == second.to_open(key.id)
    assert firm.keys().rotate() == 1
    second.catch_up()
    newer = second.to_seal([PERSON])[PERSON]
    assert newer is not None and newer.id != key.id
    assert second.to_open(key.id) is not None
    firm.master += "\n" + new_line("2")
    firm.keys().rewrap()
    kept = dict(firm.records)  # as compaction leaves it: in whatever order
    firm.records[:] = sorted(kept.items(), key=lambda it: it[0] != f"{PERSON}|{newer.id.hex()}")
    last = firm.keys().to_seal([PERSON])[PERSON]
    assert last is not None and last.id == newer.id


def test_a_master_key_that_is_missing_is_named() -> None:
    firm = Firm()
    firm.keys().to_seal([PERSON])
    firm.master = new_line("other")
    key_id = bytes.fromhex(firm.records[0][0].rpartition("|")[2])
    with pytest.raises(ConfigError, match="under the master key 1"):
        firm.keys().to_open(key_id)


@pytest.mark.parametrize(
    "text", ["", "1", "1:short", f"{MASTER}\n{MASTER}", "a b:" + "A" * 43 + "="]
)
def test_master_keys_that_are_none_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KeyFile(lambda: text)
    assert MASTER.partition(":")[2] not in str(caught.value)


def test_a_file_that_is_broken_while_it_is_used_changes_nothing() -> None:
    texts = [MASTER]
    keys = KeyFile(lambda: texts[0])
    wrapped = keys.wrap(b"k" * 32, b"a")
    texts[0] = "half a li"
    assert keys.unwrap("1", wrapped, b"a") == b"k" * 32
    assert b64encode(b"k" * 32) not in wrapped
