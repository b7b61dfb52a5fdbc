"""The local state on a real RocksDB: atomic, a faithful mirror, and rebuilt when in doubt."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from runtime.clocks import SKEW
from schemas.errors import FatalError
from streams.engine import EngineSettings
from streams.engine.errors import StateDamagedError
from streams.engine.state_store import FLOOR_KEY, LOCAL_LAYOUT_KEY, StateStore, fence_key


@pytest.fixture
def settings(tmp_path: Path) -> EngineSettings:
    return EngineSettings(app_id="a", bootstrap_servers="unused:1", state_dir=tmp_path)


@pytest.fixture
def store(settings: EngineSettings) -> Iterator[StateStore]:
    store = opened(settings)
    yield store
    store.close()


def opened(
    settings: EngineSettings, log_id: str = "log-1", clock: Callable[[], float] = time.time
) -> StateStore:
    store = StateStore(settings.state_dir / "group" / "0", settings, clock)
    store.open(log_id)
    return store


def test_applied_changes_are_read_back(store: StateStore) -> None:
    store.apply({b"a": b"1", b"b": b"2", b"c": b"3"}, log_offset=7)
    store.apply({b"b": None, b"c": b"4"}, log_offset=9)
    assert store.get(b"a") == b"1"
    assert store.get_many([b"c", b"b", b"a", b"x"]) == [b"4", None, b"1", None]
    assert store.get_many([]) == []
    assert store.log_offset == 9


def test_the_floor_of_record_times_is_that_of_the_state(store: StateStore) -> None:
    assert store.floor_ms() == 0
    store.apply({FLOOR_KEY: b"1234"}, log_offset=1)
    assert store.floor_ms() == 1234


def test_scan_returns_the_prefix_in_key_order(store: StateStore) -> None:
    store.apply({b"p:2": b"b", b"p:1": b"a", b"o:9": b"x", b"q:1": b"y"}, log_offset=1)
    assert list(store.scan(b"p:")) == [(b"p:1", b"a"), (b"p:2", b"b")]
    assert list(store.scan(b"z")) == []


def test_reopening_leaves_no_files_behind(settings: EngineSettings) -> None:
    """A partition is opened at each rebalance, so for years."""
    for offset in range(8):
        store = opened(settings)
        store.apply({b"a": b"1"}, log_offset=offset)
        store.close()
    diaries = [each.name for each in store.path.iterdir() if each.name.startswith("LOG")]
    assert len(diaries) <= 2
    [*_, options] = sorted(store.path.glob("OPTIONS-*"))
    assert "stats_dump_period_sec=0" in options.read_text()


def test_a_directory_of_another_layout_is_rebuilt(settings: EngineSettings) -> None:
    first = opened(settings)
    first.apply({b"a": b"1", LOCAL_LAYOUT_KEY: b"0"}, log_offset=3)
    first.close()
    second = opened(settings)
    assert (second.get(b"a"), second.log_offset, second.rebuilds) == (None, None, 1)
    second.apply({b"a": b"1"}, log_offset=3)
    second.close()
    third = opened(settings)
    assert (third.get(b"a"), third.rebuilds) == (b"1", 0)
    third.close()


def test_state_position_and_fence_survive_a_restart(settings: EngineSettings) -> None:
    first = opened(settings)
    assert (first.log_offset, first.fence("src")) == (None, None)
    first.apply({b"a": b"1", fence_key("src"): b"41"}, log_offset=3)
    first.close()
    second = opened(settings)
    assert (second.get(b"a"), second.log_offset, second.fence("src")) == (b"1", 3, 41)
    second.close()


def test_state_of_another_log_is_dropped(settings: EngineSettings) -> None:
    first = opened(settings)
    first.apply({b"a": b"1"}, log_offset=3)
    first.close()
    second = opened(settings, log_id="log-2")
    assert (second.get(b"a"), second.log_offset) == (None, None)
    second.close()


def test_reset_keeps_nothing_but_the_identity(settings: EngineSettings) -> None:
    first = opened(settings)
    first.apply({b"a": b"1"}, log_offset=3)
    first.reset("test")
    assert (first.get(b"a"), first.log_offset) == (None, None)
    first.apply({b"b": b"2"}, log_offset=4)
    first.close()
    second = opened(settings)
    assert second.get(b"b") == b"2"
    second.reset("test")
    second.apply({b"b": b"2"}, log_offset=4)
    second.close()
    third = opened(settings, log_id="log-2")
    assert third.get(b"b") is None
    third.close()


def test_the_directory_of_the_states_is_made(settings: EngineSettings, tmp_path: Path) -> None:
    new = settings.model_copy(update={"state_dir": tmp_path / "not" / "there"})
    opened(new).close()
    assert (tmp_path / "not" / "there" / "group" / "0").is_dir()


def test_state_that_is_open_does_not_grow_old(settings: EngineSettings) -> None:
    """It has seen every tombstone, for it is written only by what follows its position."""
    now_s = [1_000.0]
    store = opened(settings, clock=lambda: now_s[0])
    store.apply({b"a": b"1"}, log_offset=3)
    now_s[0] += settings.local_state_max_age_s + 1
    store.open("log-1")
    assert (store.get(b"a"), store.rebuilds) == (b"1", 0)
    store.close()


def test_state_older_than_the_tombstones_is_dropped(settings: EngineSettings) -> None:
    first = opened(settings, clock=lambda: 1_000.0)
    first.apply({b"a": b"1"}, log_offset=3)
    first.close()
    limit_s = 1_000.0 + settings.local_state_max_age_s
    second = opened(settings, clock=lambda: limit_s)
    assert (second.get(b"a"), second.log_offset) == (b"1", 3)
    second.close()
    third = opened(settings, clock=lambda: limit_s + 1)
    assert (third.get(b"a"), third.log_offset) == (None, None)
    third.close()


@pytest.mark.fault("C11", place="streams/engine/state_store.py")
def test_c11_state_last_complete_in_the_future_is_dropped(settings: EngineSettings) -> None:
    first = opened(settings, clock=lambda: 1_000_000.0)
    first.apply({b"a": b"1"}, log_offset=3)
    first.close()
    second = opened(settings, clock=lambda: 1_000_000.0 - SKEW.total_seconds())
    assert second.log_offset == 3
    second.close()
    third = opened(settings, clock=lambda: 1_000.0)
    assert third.log_offset is None
    third.close()


def test_what_is_restored_is_as_old_as_it_is_said_to_be(settings: EngineSettings) -> None:
    first = opened(settings, clock=lambda: 9_000.0)
    first.apply({b"a": b"1"}, log_offset=3, complete_at_s=1_000.0)
    first.close()
    second = opened(settings, clock=lambda: 1_001.0 + settings.local_state_max_age_s)
    assert second.log_offset is None
    second.close()


def test_a_killed_process_leaves_a_position_that_is_true_and_its_age(
    settings: EngineSettings,
) -> None:
    """Each batch writes its number to ten keys; its files are fresh, whatever the clock says."""
    program = """
import os, sys
from pathlib import Path
from streams.engine import EngineSettings
from streams.engine.state_store import StateStore
settings = EngineSettings.model_validate_json(sys.argv[1])
now = [0.0]
store = StateStore(settings.state_dir / "group" / "0", settings, lambda: now[0])
store.open("log-1")
for number in range(1, 501):
    now[0] = float(number)
    store.apply({b"%d" % key: b"%d" % number + bytes(2_000) for key in range(10)}, number)
os._exit(0)
"""
    small = settings.model_copy(update={"rocksdb_write_buffer_bytes": 100_000})
    subprocess.run([sys.executable, "-c", program, small.model_dump_json()], check=True)
    store = opened(small, clock=lambda: 501.0)
    position = store.log_offset
    assert position is not None
    assert 0 < position < 500, "some batches had been written to disk, the last had not"
    values = store.get_many([b"%d" % key for key in range(10)])
    assert values == [b"%d" % position + bytes(2_000)] * 10
    assert store.complete_at_s == position
    store.close()


@pytest.mark.fault("B7", place="streams/engine/state_store.py")
def test_b7_directory_in_use_is_left_alone(store: StateStore, settings: EngineSettings) -> None:
    store.apply({b"a": b"1"}, log_offset=1)
    with pytest.raises(FatalError, match="in use"):
        opened(settings)
    assert store.get(b"a") == b"1"


def test_closed_store_refuses_everything(settings: EngineSettings) -> None:
    store = opened(settings)
    store.close()
    for call in (
        lambda: store.get(b"a"),
        lambda: store.get_many([b"a"]),
        lambda: store.apply({b"a": b"1"}, 1),
        lambda: store.open("log-1"),
        lambda: store.reset("damaged"),
        lambda: list(store.scan(b"a")),
    ):
        with pytest.raises(FatalError, match="closed"):
            call()


PLACE = "streams/engine/state_store.py"
HELD = {b"k%04d" % number: b"%d" % number * 20 for number in range(2_000)}


def written(settings: EngineSettings) -> Path:
    """A closed directory that holds HELD."""
    store = opened(settings)
    store.apply(HELD, log_offset=5)
    store.close()
    return store.path


def largest(directory: Path) -> Path:
    return max(directory.glob("*.sst"), key=lambda path: path.stat().st_size)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.fault("B7", place=PLACE)
@pytest.mark.parametrize("read", ["get", "get_many", "scan"])
def test_b7_a_rotten_block_found_on_read_is_damage(settings: EngineSettings, read: str) -> None:
    flip(largest(written(settings)), 5_000)
    store = opened(settings)
    reads = {
        "get": lambda: [store.get(key) for key in HELD],
        "get_many": lambda: store.get_many(list(HELD)),
        "scan": lambda: list(store.scan(b"k")),
    }
    with pytest.raises(StateDamagedError, match="checksum"):
        reads[read]()
    store.reset("damaged")
    assert (store.get(b"k0000"), store.log_offset, store.rebuilds) == (None, None, 1)
    store.close()


@pytest.mark.fault("B7", place=PLACE)
def test_b7_a_rotten_block_of_what_says_whose_the_state_is_has_it_rebuilt(
    settings: EngineSettings,
) -> None:
    flip(largest(written(settings)), 40)  # among the first keys
    store = opened(settings)
    assert (store.get(b"k0000"), store.log_offset, store.rebuilds) == (None, None, 1)
    store.close()


@pytest.mark.fault("B7", place=PLACE)
@pytest.mark.parametrize("how", ["flipped", "cut", "emptied", "removed", "zeroed"])
@pytest.mark.parametrize("seed", range(4))
def test_b7_whatever_is_damaged_is_found_or_does_no_harm(
    settings: EngineSettings, how: str, seed: int
) -> None:
    """Each file of the directory, at a place by chance: the state is whole, empty or refused."""
    directory = written(settings)
    chance = Random(f"{how} {seed}")
    names = sorted(path for path in directory.iterdir() if path.name != "LOCK")
    path = chance.choice([path for path in names if path.stat().st_size])
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data))
    match how:
        case "flipped":
            data[at] ^= 1 << chance.randrange(8)
        case "cut":
            del data[at:]
        case "emptied":
            data.clear()
        case "zeroed":
            data[at : at + 100] = bytes(len(data[at : at + 100]))
    path.write_bytes(data)
    if how == "removed":
        path.unlink()
    store = opened(settings)
    try:
        position, held = store.log_offset, dict(store.scan(b"k"))
        assert (position, held) in ((5, HELD), (None, {}))
    except StateDamagedError:
        store.reset("damaged")
        assert store.log_offset is None
    store.close()
