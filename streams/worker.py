"""Runs an engine app as a process: topic check, start, watchdog, signals, exit code.

Builds no app and reads no environment; the command line does both and exits with `run()`.
"""

import asyncio
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog
import uvloop

from runtime.kafka import require_broker
from runtime.retries import tell_retry
from runtime.threads import in_daemon_thread
from schemas.errors import BrokerUnavailableError, ConfigError, FatalError, PsaStreamError
from streams.collector import collect_young, collector_spared
from streams.engine.app import EngineApp
from streams.engine.connection import librdkafka_options
from streams.engine.health import Health
from streams.engine.instruments import Instruments, NoInstruments
from streams.engine.poison import PROCESS_ENDS
from streams.engine.topics import check_topics

_log = structlog.get_logger()

EXIT_STOPPED = 0
EXIT_FAILED = 1
EXIT_CONFIG = 2

_ASK_S = 1.0  # how long a worker that stops waits for a broker
_CUT_OFF_STOP_S = 3.0  # how long it takes to stop when none answers


class Worker:
    """One worker process: it may be run once."""

    def __init__(
        self,
        app: EngineApp,
        instruments: Instruments | None = None,
        *,
        stop_timeout_s: float = 25.0,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`stop_timeout_s` must lie below the grace period of whoever sends SIGTERM.

        `check` is called once the broker answers, and raises what forbids to work.
        """
        self._check = check
        self.app = app
        self.health = Health(app, instruments or NoInstruments())
        self.failure: BaseException | None = None
        """Why it has ended by itself."""
        self._stop_timeout_s = stop_timeout_s
        self._stop_requested: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_resort: threading.Timer | None = None

    def run(self) -> int:
        """Work until SIGTERM, SIGINT, `stop` or a failure. Blocking; returns the exit code.

        Ends the process itself, with that code, if it cannot stop in time: a handler thread
        cannot be interrupted.
        """
        try:
            with collector_spared(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(self._main())
        finally:
            self._loop = None
            if self._last_resort is not None:
                self._last_resort.cancel()

    def reasons(self) -> list[str]:
        """Say what keeps the worker from being ready; empty where nothing is known to."""
        app = self.app
        if not app.started or app.consumer_generation_id <= 0:
            return ["it has not joined its group"]
        if app.rebalancing:
            return ["partitions are being assigned"]
        return [
            f"{group.spec.name}: {count} partitions are being restored"
            for group in app.groups
            if (count := sum(not each.is_ready for each in list(group.processors.values())))
        ]

    def stop(self) -> None:
        """Ask the worker to stop. May be called from any thread, and of one that has stopped."""
        if self._loop is not None and self._stop_requested is not None:
            with suppress(RuntimeError):  # its loop is closed
                self._loop.call_soon_threadsafe(self._stop_requested.set)

    async def _main(self) -> int:
        self._loop = asyncio.get_running_loop()
        self._stop_requested = asyncio.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self._stop_requested.set)
        code = EXIT_STOPPED
        try:
            await self._work()
        except PsaStreamError as error:
            self.failure = error
            _log.error("worker.failed", code=error.code, error=str(error))
            code = EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED
        except PROCESS_ENDS:
            raise
        # The last resort of the process: whatever it is, it is logged and becomes the exit code.
        # polars raises what is no Exception.
        except BaseException as error:
            self.failure = error
            _log.exception("worker.failed")
            code = EXIT_FAILED
        await self._shut_down(code)
        return code

    async def _work(self) -> None:
        assert self._stop_requested is not None
        stop_requested = self._stop_requested
        await asyncio.to_thread(
            check_topics,
            self.app.settings,
            [group.spec for group in self.app.groups],
            lambda: not stop_requested.is_set(),
        )
        if stop_requested.is_set():
            return
        await asyncio.to_thread(self._check)
        make_writable(self.app.settings.state_dir)
        self.app.loop = asyncio.get_running_loop()
        self.app.finalize()
        waits = {
            asyncio.create_task(self._stop_requested.wait(), name="stop"),
            asyncio.create_task(self._run_app(), name="app"),
            asyncio.create_task(self.health.watch(), name="watchdog"),
            asyncio.create_task(self.health.watch_topics(), name="topics"),
            asyncio.create_task(collect_young(), name="collector"),
        }
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waits:
                task.cancel()

    async def _run_app(self) -> None:
        await self._end_what_was_left_open()
        await self.app.start()
        await self.app.wait_until_stopped()
        raise self.app.failure() or FatalError("the app stopped by itself")

    async def _end_what_was_left_open(self) -> None:
        """Have the committer ready: no transaction of an earlier life is open then.

        Raises BrokerUnavailableError after `commit_attempts`: brokers that have just started may
        not have elected who coordinates transactions.
        """
        attempts = self.app.settings.commit_attempts
        for left in reversed(range(attempts)):
            try:
                return await self.app.committer.ready()
            except BrokerUnavailableError as error:
                if not left:
                    raise
                tell_retry(error)

    async def _shut_down(self, code: int) -> None:
        self.health.begin_stop()
        # Until the event loop is closed too: that waits for every thread it has started.
        # On a thread of its own: restores may hold all that are shared, and do not know yet.
        if await in_daemon_thread(self._is_cut_off):
            # Nothing can be committed, and nobody can be told; the state log has all there is.
            _log.warning("worker.stopping_cut_off", hint="its partitions move after the session")
            self._limit_stop(_CUT_OFF_STOP_S, code)
        else:
            self._limit_stop(self._stop_timeout_s, code or EXIT_FAILED)
        await asyncio.gather(*(group.halt() for group in self.app.groups))
        await self.app.committer.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._stop_timeout_s):
                await self.app.stop()
        self.app.threads.shutdown(wait=True)
        _log.info("worker.stopped", exit_code=code)

    def _limit_stop(self, timeout_s: float, code: int) -> None:
        self._last_resort = threading.Timer(timeout_s, os._exit, (code,))
        self._last_resort.daemon = True
        self._last_resort.start()

    def _is_cut_off(self) -> bool:
        try:
            require_broker(librdkafka_options(self.app.settings), timeout_s=_ASK_S)
        except BrokerUnavailableError:
            return True
        return False


def make_writable(directory: Path) -> None:
    """Make a directory for local state. Raises ConfigError where it cannot be made or written."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ConfigError(
            f"the state directory cannot be written: {directory}: {error.strerror}",
            hint="give the user of this process the right to it, or name another one by"
            " PSASTREAM_DATA_DIR",
        ) from error
