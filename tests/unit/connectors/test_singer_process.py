"""Taps as programs: how each kind of bad end shows, and that nothing of a run stays behind."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from connectors.polled.model import Page
from connectors.singer import folder as folders
from connectors.singer.folder import PREFIX, PrivateFolder
from connectors.singer.lines import HEAD_BYTES, LINE_BYTES_MAX
from connectors.singer.messages import TapOutputError
from connectors.singer.process import LEASH, Limits, Tap, TapFailedError
from connectors.singer.reader import SingerReader
from connectors.singer.source import SingerSource
from runtime.secrets import forget
from schemas.errors import PsaStreamError, SchemaMismatchError
from tests.support.eventually import eventually
from tests.support.polled import Clock, MemoryLog
from tests.support.singer import SCHEMA, poller_of, scripted, visit

SILENCE = {"tap.silence.ms": 6_000}  # beyond the start of a tap on a busy machine
SCHEMA_LINE = json.dumps(
    {"type": "SCHEMA", "stream": "visits", "schema": SCHEMA, "key_properties": ["id"]}
)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(folders.tempfile, "tempdir", str(tmp_path))
    yield
    forget("t0kenCanary")


def line_of(row: object) -> str:
    return json.dumps({"type": "RECORD", "stream": "visits", "record": row}) + "\n"


def put(tmp_path: Path, *rows: object) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(rows))


def starts(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "started").read_text().splitlines()]


def reader_of(source: SingerSource) -> SingerReader:
    reader = source.reader("visit", source.system.contract("visit"))
    assert isinstance(reader, SingerReader)
    return reader


def read(source: SingerSource, *, is_whole: bool = True) -> tuple[list[Page], Exception | None]:
    """The pages of one read, and the error it ended with."""

    async def all_pages() -> tuple[list[Page], Exception | None]:
        pages: list[Page] = []
        reader = reader_of(source)
        try:
            async for page in reader.changes(None) if is_whole else reader.continued(None):
                pages.append(page)
        except PsaStreamError as error:
            return pages, error
        finally:
            await source.close()
        return pages, None

    return asyncio.run(all_pages())


def ids(pages: Sequence[Page]) -> list[str]:
    return [row.id for page in pages for row in page.rows]


def is_running(pid: int) -> bool:
    """Whether a process runs: one that ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_tap_is_polled_and_goes_on_from_its_state(tmp_path: Path) -> None:
    put(tmp_path, visit(1), visit(2, changed_at="2026-05-04T12:00:01Z"))
    source, log, clock = scripted(tmp_path), MemoryLog(), Clock()

    async def polls() -> None:
        poller = poller_of(reader_of(source), log, clock)
        await poller.poll()
        await poller.poll()
        put(tmp_path, visit(2, "new", "2026-05-04T12:00:05Z"), visit(1))
        await poller.poll()
        await source.close()

    asyncio.run(polls())
    assert log.operations() == [("r", "1"), ("r", "2"), ("u", "2")]
    # A catalog is discovered once; all rows are read without a state, then from it.
    assert [start["state"] for start in starts(tmp_path)] == [
        None,
        None,
        None,
        {"changed_at": "2026-05-04T12:00:01Z"},
    ]
    assert log.batches[-1].bookmark.token == '{"changed_at":"2026-05-04T12:00:05Z"}'


def test_a_tap_gets_its_secrets_as_a_private_file_and_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_TOKEN", "0therCanary")
    put(tmp_path, visit(1))
    assert ids(read(scripted(tmp_path))[0]) == ["1"]
    discovery, run = starts(tmp_path)
    assert run["config"]["token"] == "t0kenCanary"
    assert run["modes"] == discovery["modes"] == [0o600, 0o700]
    assert "Canary" not in " ".join(run["argv"]) + json.dumps(run["environment"])
    assert discovery["argv"][1::2][:2] == ["--config", "--discover"]
    assert run["environment"]["PATH"] == os.environ["PATH"]
    assert not [*tmp_path.glob(f"{PREFIX}*")]


def test_a_variable_that_singer_yaml_names_reaches_the_tap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAP_REGION", "north")
    put(tmp_path)
    source = scripted(tmp_path, more="environment: [TAP_REGION]\n")
    read(source)
    assert starts(tmp_path)[0]["environment"]["TAP_REGION"] == "north"


RECORDS = line_of(visit(1)) + line_of(visit(2))
BAD_ENDS: dict[str, tuple[list[list[object]], type[Exception], str]] = {
    "a failure": ([["rows"], ["exit", 3]], TapFailedError, "exit code 3"),
    "a trace": (
        [["rows"], ["err", "Traceback\nrequests.exceptions.HTTPError: 401 for Ada\n"], ["exit", 1]],
        TapFailedError,
        "the tap failed: exit code 1, requests.exceptions.HTTPError",
    ),
    "a signal": ([["rows"], ["signal", 9]], TapFailedError, "signal 9"),
    "silence with words on standard error": (
        [["rows"], ["err", "retrying\n"], ["sleep", 60]], TapFailedError, "wrote nothing for 6 s",
    ),
    "a child that keeps the output open": (
        [["rows"], ["child", 60]], TapFailedError, "wrote nothing for 6 s",
    ),
    "garbage": ([["rows"], ["write", "INFO done\n"]], TapOutputError, "a line that is not JSON"),
    "half a message": (
        [["rows"], ["write", '{"type": "STATE", "val']], TapOutputError, "is not JSON",
    ),
    "half a message of a tap that failed": (
        [["rows"], ["write", '{"type": "RECORD", "stream": "visits", "re'], ["exit", 1]],
        TapFailedError,
        "exit code 1",
    ),
    "a state that is none": (
        [["rows"], ["write", '{"type": "STATE", "value": [1]}\n']],
        TapOutputError,
        "STATE is a list, not an object",
    ),
    "files in place of rows": (
        [["rows"], ["write", '{"type": "BATCH", "stream": "visits"}\n']], TapOutputError, "BATCH",
    ),
    "another schema midway": (
        [
            ["rows"],
            ["write", '{"type": "SCHEMA", "stream": "visits", "key_properties": ["id"],'
                      ' "schema": {"properties": {"id": {"type": "integer"}}}}\n'],
        ],
        SchemaMismatchError,
        "there is no property text; there is no property changed_at",
    ),
    "no rows and no schema": ([["exit", 0]], TapOutputError, "without a SCHEMA of visits"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ENDS)
def test_a_bad_end_is_told_and_what_came_before_it_is_read(tmp_path: Path, case: str) -> None:
    acts, error_class, said = BAD_ENDS[case]
    put(tmp_path, visit(1), visit(2))
    pages, error = read(
        scripted(tmp_path, acts, **(SILENCE if said.startswith("wrote nothing") else {}))
    )
    assert type(error) is error_class and said in str(error), error
    assert ids(pages) == ([] if case == "no rows and no schema" else ["1", "2"])
    assert "Ada" not in str(error)
    assert not is_running(starts(tmp_path)[-1]["pid"])
    assert not [*tmp_path.glob(f"{PREFIX}*")], "its configuration stayed behind"


def test_a_run_is_bounded_however_much_the_tap_writes(tmp_path: Path) -> None:
    put(tmp_path)
    acts = [["rows"], *([["write", '{"type": "STATE", "value": {}}\n'], ["sleep", 0.05]] * 100)]
    _, error = read(scripted(tmp_path, acts, **{"tap.run.ms": 700}))
    assert isinstance(error, TapFailedError) and "ran longer than 0.7 s" in str(error)


def test_a_line_of_megabytes_is_a_row_refused_and_the_rest_is_read(tmp_path: Path) -> None:
    acts = [
        ["write", SCHEMA_LINE + '\n{"type": "RECORD", "stream": "visits", "record": {"text": "'],
        ["flood", "x", LINE_BYTES_MAX],
        ["write", '"}}\n' + line_of(visit(2))],
    ]
    pages, error = read(scripted(tmp_path, acts))
    assert error is None and ids(pages) == ["2"]
    [row] = [row for page in pages for row in page.unreadable]
    assert row.is_nameless and "more than 16777216 bytes" in row.detail
    assert len(str(row.raw)) <= HEAD_BYTES


def test_what_a_tap_says_on_standard_error_is_read_and_logged_as_detail(tmp_path: Path) -> None:
    put(tmp_path, visit(1))
    with structlog.testing.capture_logs() as logs:
        pages, error = read(scripted(tmp_path, [["err flood", f"{'said ' * 999}\n", 99], ["rows"]]))
    assert error is None and ids(pages) == ["1"]
    told = [entry for entry in logs if entry["event"] == "singer.tap_said"]
    assert len(told) == 99 and {entry["log_level"] for entry in told} == {"debug"}
    assert max(len(entry["said"]) for entry in told) <= HEAD_BYTES


def test_what_a_tap_changes_in_its_configuration_is_told_once(tmp_path: Path) -> None:
    put(tmp_path, visit(1))
    source = scripted(tmp_path, [["rows"], ["rewrite"]])

    async def twice() -> None:
        reader = reader_of(source)
        for _ in range(2):
            assert [page async for page in reader.changes(None)]
        await source.close()

    with structlog.testing.capture_logs() as logs:
        asyncio.run(twice())
    assert [entry["event"] for entry in logs].count("singer.tap_changed_its_config") == 1


def test_a_scan_that_is_given_up_ends_its_tap_and_what_that_started(tmp_path: Path) -> None:
    put(tmp_path, visit(1))
    source = scripted(tmp_path, [["child", 60], ["rows"], ["sleep", 60]], **{"page.size": 1})

    async def one_page() -> None:
        pages = reader_of(source).changes(None)
        assert [row.id for row in (await anext(pages)).rows] == ["1"]
        assert is_running(starts(tmp_path)[-1]["pid"])
        await pages.aclose()
        await source.close()

    asyncio.run(one_page())
    child = int((tmp_path / "started.child").read_text())
    eventually(lambda: not is_running(child), deadline_s=10)
    assert not is_running(starts(tmp_path)[-1]["pid"])


def has_run(tmp_path: Path) -> bool:
    """Whether the tap was started after its discovery."""
    return (tmp_path / "started").exists() and len(starts(tmp_path)) == 2


def test_a_cancelled_poll_ends_its_tap(tmp_path: Path) -> None:
    put(tmp_path, visit(1))
    source = scripted(tmp_path, [["rows"], ["sleep", 60]])

    async def cancelled() -> None:
        poll = asyncio.create_task(poller_of(reader_of(source), MemoryLog(), Clock()).poll())
        await asyncio.to_thread(eventually, lambda: has_run(tmp_path), deadline_s=30)
        poll.cancel()
        with suppress(asyncio.CancelledError):
            await poll
        await source.close()

    asyncio.run(cancelled())
    assert not is_running(starts(tmp_path)[-1]["pid"])
    assert not [*tmp_path.glob(f"{PREFIX}*")]


def test_a_tap_ends_with_the_process_that_started_it() -> None:
    """The poller killed: nobody is left to end its tap."""
    bare = [sys.executable, "-I", "-S"]
    tap = ["-c", "import time; time.sleep(60)"]
    start = (
        f"import os, subprocess, time; command = {[*bare, str(LEASH)]!r} + [str(os.getpid())]"
        f" + {[*bare, *tap]!r}; print(subprocess.Popen(command).pid, flush=True); time.sleep(60)"
    )
    poller = subprocess.Popen([*bare, "-c", start], stdout=subprocess.PIPE, text=True)
    assert poller.stdout is not None
    pid = int(poller.stdout.readline())
    command = Path(f"/proc/{pid}/cmdline")
    eventually(lambda: "leash" not in command.read_text(), deadline_s=30)
    assert is_running(pid)
    poller.kill()
    poller.communicate()
    eventually(lambda: not is_running(pid), deadline_s=30)


def test_what_a_killed_process_left_is_removed_and_what_is_used_is_not(tmp_path: Path) -> None:
    left, foreign = tmp_path / f"{PREFIX}left", tmp_path / f"{PREFIX}foreign"
    for path in (left, foreign):
        path.mkdir()
        (path / "config.json").write_text("{}")
    (left / "lock").touch()
    one, other = PrivateFolder(tmp_path), PrivateFolder(tmp_path)
    with one.holding({"config": "{}"}) as paths, other.holding({"config": "{}"}):
        assert not left.exists() and foreign.exists()
        assert paths["config"].read_text() == "{}"
        assert len([*tmp_path.glob(f"{PREFIX}*")]) == 3
    for each in (one, other, one):
        each.close()
    assert [*tmp_path.glob(f"{PREFIX}*")] == [foreign]


def test_a_tap_waits_for_its_place_and_not_for_ever(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        "import time; print('{}', flush=True); time.sleep(60)",
    ]
    tap = Tap("visits", command, {}, limits=Limits(place_s=0.1), at_once=1)

    async def both() -> None:
        first = tap.run({})
        await anext(first)
        with pytest.raises(TapFailedError, match="other streams of visits are still being read"):
            await anext(tap.run({}))
        await first.aclose()
        second = tap.run({})
        await anext(second)
        await second.aclose()
        tap.close()

    asyncio.run(both())


def test_a_tap_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    tap = Tap("visits", [str(tmp_path / "gone")], {})

    async def run() -> None:
        await anext(tap.run({}))

    with pytest.raises(TapFailedError, match="exit code 1, FileNotFoundError"):
        asyncio.run(run())
    tap.close()


def test_a_tap_that_does_not_end_when_asked_is_ended(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print({}, flush=True)"
    command = [sys.executable, "-I", "-S", "-c", f"{deaf}; time.sleep(60)"]
    tap = Tap("visits", command, {}, limits=Limits(end_s=0.05))

    async def run() -> None:
        lines = tap.run({})
        await anext(lines)
        await lines.aclose()
        tap.close()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_tap_whose_files_cannot_be_written_is_told(tmp_path: Path) -> None:
    tap = Tap("visits", [sys.executable], {}, folder=PrivateFolder(tmp_path / "gone"))

    async def run() -> None:
        await anext(tap.run({}))

    with pytest.raises(TapFailedError, match="cannot be written: No such file or directory"):
        asyncio.run(run())


@pytest.mark.parametrize("output", ["no catalog", "[" * 100_000])
def test_a_tap_that_discovers_no_catalog_is_told(output: str) -> None:
    code = f"print({output[0]!r} * {len(output)})" if output[0] == "[" else f"print({output!r})"
    tap = Tap("visits", [sys.executable, "-I", "-S", "-c", code], {})
    with pytest.raises(TapOutputError, match="discovers no catalog: it is not JSON"):
        asyncio.run(tap.discover())
    tap.close()


def test_a_configuration_that_the_tap_removes_was_changed_too(tmp_path: Path) -> None:
    code = "import os, sys; os.remove(sys.argv[2])"
    tap = Tap("visits", [sys.executable, "-I", "-S", "-c", code], {})

    async def run() -> None:
        assert [line async for line in tap.run({})] == []

    with structlog.testing.capture_logs() as logs:
        asyncio.run(run())
    tap.close()
    assert [entry["event"] for entry in logs] == ["singer.tap_changed_its_config"]
