"""Runs of a tap: a child process that is bounded in time, silence and length of lines.

The tap sees its configuration as a file and an environment of its own: nothing secret is in its
arguments, and no variable of ours reaches it. It is the leader of a process group, which is ended
with the run, and it ends when this process is killed. What it writes on standard error goes to our
log at level debug, with secrets masked; of a failure the message names the class of the exception,
since its text may repeat what rows say of people.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import structlog

from connectors.singer.folder import PrivateFolder
from connectors.singer.lines import Line, Lines
from connectors.singer.messages import TapOutputError
from schemas.errors import TargetBusyError

_log = structlog.get_logger()

PASSED_ON: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
    "no_proxy",
)  # fmt: skip
"""Variables that programs need wherever they run."""
CATALOG_BYTES_MAX: Final = 64 * 1024 * 1024
"""A database of thousands of tables is described at length."""
_PIECE_BYTES: Final = 64 * 1024
_SAID_BYTES_MAX: Final = 1_000
_LAST_WORDS_S: Final = 2.0
LEASH: Final = Path(__file__).with_name("leash.py")
_RAISED: Final = re.compile(rb"\s*([A-Za-z_][\w.]{0,100}(?:Error|Exception|Interrupt|Exit))\b")


class TapFailedError(TargetBusyError):
    """A tap ended with a failure, or was ended: it stood still or ran too long."""

    code = "transient.tap_failed"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a run: to the next line, as a whole, for a place among those at once, to end."""

    silence_s: float = 600.0
    run_s: float = 21_600.0
    place_s: float = 200.0
    end_s: float = 5.0


class Tap:
    """One configured tap."""

    def __init__(
        self,
        system: str,
        command: Sequence[str],
        config: Mapping[str, Any],
        *,
        limits: Limits = Limits(),
        at_once: int = 2,
        environment: Mapping[str, str] | None = None,
        folder: PrivateFolder | None = None,
    ) -> None:
        """`command` is an executable, by its path, with its arguments."""
        self._system = system
        self._command = tuple(command)
        self._config = json.dumps(config)
        self._limits = limits
        self._places = asyncio.Semaphore(at_once)
        self._environment = dict(environment or {})
        self._folder = PrivateFolder() if folder is None else folder
        self._told_changed = False

    def run(self, files: Mapping[str, str]) -> AsyncGenerator[Line, None]:
        """Yield the lines of one run, given `files` by their option beside the configuration.

        Raises TapFailedError after the last line, unless the tap ended well. Who stops before the
        end closes the generator, which ends the tap.
        """
        return self._run({"config": self._config, **files}, ())

    async def discover(self) -> object:
        """Return the catalog that the tap discovers. Raises TapFailedError and TapOutputError."""
        found = bytearray()
        run = self._run({"config": self._config}, ("--discover",))
        try:
            async for line in run:
                found += line.data + b"\n"
                if line.is_cut or len(found) > CATALOG_BYTES_MAX:
                    raise TapOutputError("the tap discovers too large a catalog")
            return await asyncio.to_thread(json.loads, bytes(found), parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            raise TapOutputError(
                "the tap discovers no catalog: it is not JSON",
                hint="catalog: none runs a tap that takes none",
            ) from error
        finally:
            await run.aclose()

    def close(self) -> None:
        """Remove what was written for the tap."""
        self._folder.close()

    async def _run(
        self, files: Mapping[str, str], flags: Sequence[str]
    ) -> AsyncGenerator[Line, None]:
        async with self._place():
            with self._given(files) as paths:
                options = [
                    part for name, path in paths.items() for part in (f"--{name}", str(path))
                ]
                async with self._started([*options, *flags]) as (process, said):
                    lines = Lines()
                    async for piece in self._pieces(process):
                        for line in lines.feed(piece):
                            yield line
                    for line in lines.end():
                        yield line
                    await self._require_success(process, said)
                self._check_config(paths["config"])

    @contextmanager
    def _given(self, files: Mapping[str, str]) -> Iterator[dict[str, Path]]:
        with ExitStack() as stack:
            try:
                paths = stack.enter_context(self._folder.holding(files))
            except OSError as error:
                raise TapFailedError(
                    f"what the tap is given cannot be written: {error.strerror}",
                    hint="TMPDIR says where it goes",
                ) from error
            yield paths

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._limits.place_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise TapFailedError(
                f"other streams of {self._system} are still being read",
                hint="max.in.flight says how many taps run at once",
            ) from error
        try:
            yield
        finally:
            self._places.release()

    @asynccontextmanager
    async def _started(self, options: Sequence[str]) -> AsyncIterator[tuple[Process, _Said]]:
        # -I -S: the leash needs nothing that is installed, and starts within milliseconds.
        leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid())]
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                *leash, *self._command, *options, stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
                env={**environment, **self._environment}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise TapFailedError(f"the tap could not be started: {error.strerror}") from error
        said = _Said(self._system, process)
        try:
            yield process, said
        finally:
            await self._end(process)
            await said.close()

    async def _pieces(self, process: Process) -> AsyncIterator[bytes]:
        assert process.stdout is not None
        ends_at = time.monotonic() + self._limits.run_s
        while True:
            left_s = ends_at - time.monotonic()
            try:
                async with asyncio.timeout(max(min(left_s, self._limits.silence_s), 0)):
                    piece = await process.stdout.read(_PIECE_BYTES)
            except TimeoutError as error:
                what = (
                    f"ran longer than {self._limits.run_s:g} s"
                    if left_s <= self._limits.silence_s
                    else f"wrote nothing for {self._limits.silence_s:g} s"
                )
                raise TapFailedError(
                    f"the tap {what}, and was ended",
                    hint="tap.silence.ms and tap.run.ms bound a run",
                ) from error
            if not piece:
                return
            yield piece

    async def _require_success(self, process: Process, said: _Said) -> None:
        try:
            async with asyncio.timeout(self._limits.silence_s):
                code = await process.wait()
        except TimeoutError as error:
            raise TapFailedError("the tap closed its output and went on, and was ended") from error
        if code != 0:
            await said.last()
            how = f"exit code {code}" if code > 0 else f"signal {-code}"
            raised = f", {said.raised}" if said.raised else ""
            raise TapFailedError(
                f"the tap failed: {how}{raised}",
                hint="PSASTREAM_LOG_LEVEL=debug shows what it writes on standard error",
            )

    async def _end(self, process: Process) -> None:
        """End the tap and whatever it has started."""
        _signal(process, signal.SIGTERM)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.end_s):
                    await process.wait()
        finally:
            _signal(process, signal.SIGKILL)
        await process.wait()

    def _check_config(self, path: Path) -> None:
        """Tell once where a tap keeps what is to outlive it: its configuration is made anew."""
        try:
            is_changed = path.read_bytes() != self._config.encode()
        except OSError:
            is_changed = True
        if is_changed and not self._told_changed:
            self._told_changed = True
            _log.warning(
                "singer.tap_changed_its_config",
                system=self._system,
                hint="what it wrote is dropped: give it credentials that last",
            )


class _Said:
    """What a tap writes on standard error: read so that it never waits, logged, bounded."""

    def __init__(self, system: str, process: Process) -> None:
        self._system = system
        self.raised: str | None = None
        assert process.stderr is not None
        self._listener = asyncio.create_task(self._listen(process.stderr))

    async def last(self) -> None:
        """Wait for what the tap wrote last; something it started may write on."""
        await asyncio.wait({self._listener}, timeout=_LAST_WORDS_S)

    async def close(self) -> None:
        """Listen no more."""
        self._listener.cancel()
        await asyncio.wait({self._listener})

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        lines = Lines(_SAID_BYTES_MAX)
        while piece := await stream.read(_PIECE_BYTES):
            for line in lines.feed(piece):
                self._hear(line)
        for line in lines.end():
            self._hear(line)

    def _hear(self, line: Line) -> None:
        if found := _RAISED.match(line.data):
            self.raised = found[1].decode()
        _log.debug(
            "singer.tap_said", system=self._system, said=line.data.decode("utf-8", "replace")
        )


def _signal(process: Process, number: signal.Signals) -> None:
    """Send a signal to the group of a tap: what it started may outlive it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
