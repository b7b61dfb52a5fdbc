"""Runs a demo from the first part to the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from rich.console import Console

from psastream.query.asking import Teller, write_export
from psastream.query.export import Format
from psastream.query.session import has_duckdb
from runtime.settings import Settings
from sandbox.books.audit import Audit
from sandbox.books.reading import Library
from sandbox.demo.audience import DemoAudience, make_audience
from sandbox.demo.freshness import MarginReader
from sandbox.demo.gather import gather
from sandbox.demo.keeper import Keeper, keep_alive
from sandbox.demo.next_steps import (
    print_kept,
    print_next,
    print_next_without_sql,
    write_environment,
)
from sandbox.demo.options import DemoOptions
from sandbox.demo.parts import Parts, start_parts
from sandbox.demo.picture import picture
from sandbox.demo.pulse import show_pulse
from sandbox.demo.report import print_audit
from sandbox.demo.screen import print_result
from sandbox.stack.reporter import BriefReporter, Reporter, RichReporter
from sandbox.stack.settings import Part, StackAddresses, StackSettings
from sandbox.stack.supervisor import Stack
from sandbox.story.act import Act, Stage, StoryError, patiently, play
from sandbox.story.crm import CRMS
from sandbox.story.erps import ERPS
from sandbox.story.offices import HRS, PAYROLLS, PROCUREMENTS
from sandbox.story.psas import open_psa
from sandbox.story.resources import RESOURCE_TOOLS
from sandbox.story.world import Cast, World
from sandbox.vendors.client import VendorAdmin

EXIT_AGREE: Final = 0
EXIT_DIFFER: Final = 1
AUDIT_INTERVAL_S: Final = 0.5
TABLES: Final = "tables"
"""Folder in the data directory with what the topics held in the end."""


async def run_demo(options: DemoOptions, console: Console | None = None) -> int:
    """Run the demo; return 0 if all books agree, 1 if they differ or the story got stuck.

    Raises StackError where the parts cannot run on this machine. With `options.keep` everything
    stays up until the task is cancelled.
    """
    console = console or Console()
    has_database = options.landscape.has_database
    settings = StackSettings(
        data_dir=options.data_dir,
        cache_dir=options.cache_dir,
        fresh=True,
        parts=frozenset(Part) - (frozenset() if has_database else {Part.CONNECT}),
        dispensable_parts=frozenset() if has_database else frozenset({Part.POSTGRES}),
    )
    async with contextlib.AsyncExitStack() as exits:
        ending = exits.enter_context(_Ending())
        with _reporter(console) as reporter:
            stack = await exits.enter_async_context(Stack(settings, reporter, options.guard))
        exits.callback(ending.begin)
        for part, reason in stack.left_out.items():
            console.print(f"{part} is left out, and with it the read model: {reason}")
        parts = await start_parts(stack, options)
        code = await _run(stack, parts, options, console)
        if options.keep:
            one_broker = {"PSASTREAM_REPLICATION_FACTOR": "1"}
            environment = write_environment(options.data_dir, {**parts.variables, **one_broker})
            print_kept(console, environment, _addresses(stack.addresses, parts))
            await keep_alive(stack, parts, _tell_kept)
        tables = await _leave_tables(parts, options)
    if tables is None:
        print_next_without_sql(console)
    else:
        print_next(console, tables)
    return code


async def _run(stack: Stack, parts: Parts, options: DemoOptions, console: Console) -> int:
    acts = options.landscape.acts
    reader = MarginReader(parts.kafka, parts.registry_url)
    with make_audience(console) as audience, open_world(parts, options) as world:
        for title, reason in options.landscape.left_out.items():
            audience.note(f"left out: {title} ({reason})")
        keeper = Keeper(stack, options.disruptions, audience, parts.connector)
        stage = Stage(_Followers(audience, keeper), options.deadline_s, threading.Event())
        story = asyncio.create_task(_tell(acts, world, stage, keeper))
        watch = asyncio.create_task(keeper.watch(parts))
        pulse = asyncio.create_task(show_pulse(parts, audience))
        reading = asyncio.create_task(asyncio.to_thread(reader.follow, stage.stop))
        try:
            await asyncio.wait({story, watch}, return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
            audit = await story
        except StoryError as error:
            audience.note(f"the story got stuck: {error}")
            audit = await asyncio.to_thread(patiently, world.audit, options.deadline_s)
        finally:
            stage.stop.set()
            watch.cancel()
            pulse.cancel()
            await asyncio.gather(story, watch, pulse, reading, return_exceptions=True)
        await reading
        result = await asyncio.to_thread(
            patiently,
            lambda: gather(world.library, reader, options.landscape),
            options.deadline_s,
        )
    console.print()
    print_result(console, result)
    print_audit(console, audit)
    if options.picture is not None:
        options.picture.write_text(picture(result, audit))
    console.print()
    return EXIT_DIFFER if audit.differences else EXIT_AGREE


async def _leave_tables(parts: Parts, options: DemoOptions) -> Path | None:
    """Write what the topics hold to files, and return their folder. None without DuckDB."""
    if not has_duckdb():
        return None
    settings = Settings.from_env(parts.variables)
    folder = options.data_dir / TABLES

    def leave() -> None:
        write_export(settings, folder, Format.PARQUET, Teller())

    await asyncio.to_thread(patiently, leave, options.deadline_s)
    return folder


async def _tell(acts: Sequence[Act], world: World, stage: Stage, keeper: Keeper) -> Audit:
    """Play the story on a thread of its own, then wait for the books to agree."""
    await asyncio.to_thread(play, acts, world, stage)
    await keeper.finish()
    return await asyncio.to_thread(settle, world, stage)


def _tell_kept(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def settle(world: World, stage: Stage) -> Audit:
    """Return the first audit without differences, or the last one before the deadline."""
    deadline_at = time.monotonic() + stage.deadline_s
    while True:
        audit = patiently(world.audit, stage.deadline_s)
        if not audit.differences or time.monotonic() > deadline_at:
            return audit
        if stage.stop.wait(AUDIT_INTERVAL_S):
            return audit


class _Followers:
    """Tells both the display and the keeper how the story goes."""

    def __init__(self, display: DemoAudience, keeper: Keeper) -> None:
        self._display = display
        self._keeper = keeper

    def act_began(self, act: Act) -> None:
        self._display.act_began(act)

    def changed(self, act: Act, changes: int) -> None:
        self._display.changed(act, changes)
        self._keeper.changed(act, changes)

    def waiting(self, act: Act, missing: str) -> None:
        self._display.waiting(act, missing)

    def act_ended(self, act: Act, seconds: float, outcome: str) -> None:
        self._display.act_ended(act, seconds, outcome)


@contextlib.contextmanager
def open_world(parts: Parts, options: DemoOptions) -> Iterator[World]:
    """Open what a story is told in: the systems of its firm, and what is read of the product."""
    landscape, cast = options.landscape, Cast()
    crm, system = landscape.crm, landscape.psa
    with (
        VendorAdmin(parts.vendors_url) as admin,
        open_psa(system, admin, parts.postgres_dsn, cast.next_id) as psa,
    ):
        yield World(
            admin=admin,
            crm=CRMS[crm](admin),
            psa=psa,
            erps={erp: ERPS[erp](admin) for erp in landscape.erps},
            resource_tool=RESOURCE_TOOLS[landscape.resource](admin),
            library=Library(
                parts.kafka,
                parts.registry_url,
                admin,
                parts.postgres_dsn,
                crm=crm,
                psa=system,
                erps=landscape.erps,
                resource=landscape.resource,
                takes_status=landscape.takes_status,
                offices=tuple(landscape.offices),
            ),
            random=Random(options.seed),  # noqa: S311 - a story, not a secret
            rate=options.rate,
            entries=options.entries,
            cast=cast,
            hr=HRS[landscape.hr](admin) if landscape.hr else None,
            payroll=PAYROLLS[landscape.payroll](admin) if landscape.payroll else None,
            procurement=(
                PROCUREMENTS[landscape.procurement](admin) if landscape.procurement else None
            ),
        )


@contextlib.contextmanager
def _reporter(console: Console) -> Iterator[Reporter]:
    if console.is_interactive:
        with RichReporter(console) as reporter:
            yield reporter
    else:
        with BriefReporter(sys.stderr) as reporter:
            yield reporter


class _Ending:
    """Says that the parts end, and how long it took; to be entered before they are started."""

    def __init__(self) -> None:
        self._began_at_s: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._began_at_s is not None:
            sys.stderr.write(f"all parts ended after {time.monotonic() - self._began_at_s:.1f} s\n")

    def begin(self) -> None:
        """The parts end now."""
        self._began_at_s = time.monotonic()
        sys.stderr.write("the parts end, the last to start first\n")


def _addresses(addresses: StackAddresses, parts: Parts) -> dict[str, str]:
    """Return where everything that runs is, by name."""
    lines = {
        "kafka": addresses.bootstrap_servers,
        "schema registry": addresses.registry_url,
        "connect": addresses.connect_url,
        "postgres": addresses.postgres_dsn,
        "read model": parts.read_model_url,
        "vendors": parts.vendors_url,
        **{f"{name} metrics": url for name, url in parts.metrics_urls.items()},
    }
    return {name: address for name, address in lines.items() if address}
