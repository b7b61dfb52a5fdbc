"""Processes: each runs until it is stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from psastream.commands.options import Config, Databases, Sinks, Sources
from psastream.exits import errors_as_exit_codes, settings_from_environment
from psastream.lines import say


def demo(  # noqa: PLR0917 - each parameter is an option on the command line
    seed: Annotated[int, typer.Option(help="the story: same seed, same story")] = 1,
    rate: Annotated[int, typer.Option(min=1, help="changes a second in the PSA")] = 300,
    entries: Annotated[int, typer.Option(min=10, help="time entries to book")] = 900,
    keep: Annotated[
        bool, typer.Option("--keep", help="stay up, and print commands to try")
    ] = False,
    kill: Annotated[
        list[str] | None,
        typer.Option(help="SIGKILL a part in an act: part@act[:changes], as in worker@hours:100"),
    ] = None,
    landscape: Annotated[
        str, typer.Option(help="systems of the firm, joined by commas; others stay")
    ] = "",
    picture: Annotated[
        Path | None, typer.Option(dir_okay=False, help="SVG file to draw the end into")
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="local data; emptied first")] = Path(
        ".psastream/demo"
    ),
) -> None:
    """Tell a firm's story through the real parts, and show what was done for the firm.

    Then all outputs are compared with its books; exit code 1 if they differ. Ctrl-C ends
    everything in order, with exit code 0.
    """
    from psastream.running import run
    from runtime.logs import configure_logs

    configure_logs(json=False, level="ERROR")  # the parts log to files of their own
    with errors_as_exit_codes():
        _require_sandbox()
        from sandbox.demo.options import DemoOptions, Disruption, StoryLandscape
        from sandbox.demo.run import run_demo
        from sandbox.stack.settings import cache_dir_from

        options = DemoOptions(
            data_dir=data_dir.resolve(),
            cache_dir=cache_dir_from(os.environ),
            seed=seed,
            rate=rate,
            entries=entries,
            keep=keep,
            disruptions=tuple(Disruption.parse(text) for text in kill or ()),
            landscape=StoryLandscape.parse(landscape),
            picture=picture,
        )
        raise typer.Exit(run(run_demo(options), lambda text: say(text, is_error=True)))


def up(
    *,
    source: Sources = None,
    sink: Sinks = None,
    database: Databases = None,
    data_dir: Annotated[Path, typer.Option(help="local state, kept between runs")] = Path(
        ".psastream/up"
    ),
    read_model: Annotated[
        bool, typer.Option(help="keep a read model in PostgreSQL; one of its own if none is named")
    ] = True,
    rebuild: Annotated[
        list[str] | None,
        typer.Option(help="agent group to compute anew first, such as measures; may be repeated"),
    ] = None,
) -> None:
    """Run all processes on your own broker and connector files; start what is not named."""
    from psastream.check.files import Files
    from psastream.running import run
    from runtime.logs import configure_logs
    from schemas.errors import ConfigError

    configure_logs(json=False, level="WARNING")
    with errors_as_exit_codes():
        _require_sandbox()
        from psastream.up import UpOptions, run_up

        files = Files(source or (), sink or (), database or ())
        if rebuild and sink:
            raise ConfigError(
                "--rebuild is for a start without --sink: half-read topics order what is wrong",
                hint="leave the sinks out until the groups have read all topics again",
            )
        options = UpOptions(data_dir.resolve(), files, read_model, tuple(rebuild or ()))
        raise typer.Exit(run(run_up(options)))


def worker(
    measures: Annotated[
        bool, typer.Option("--measures", help="the measures of PSASTREAM_MEASURES, and only these")
    ] = False,
) -> None:
    """Run the stream worker: normalize, live tables, commands, measures."""
    from psastream.worker import APP_ID, MEASURES_APP_ID, run_worker

    with errors_as_exit_codes():
        app_id = MEASURES_APP_ID if measures else APP_ID
        raise typer.Exit(run_worker(settings_from_environment(), app_id))


def poll(config: Config) -> None:
    """Run the polled sources whose connector files are given."""
    from connectors.polled.main import run_poller

    with errors_as_exit_codes():
        raise typer.Exit(run_poller(settings_from_environment(), config))


def dispatch(config: Config) -> None:
    """Execute commands against the targets whose connector files are given."""
    from connectors.dispatch.main import run_dispatcher

    with errors_as_exit_codes():
        raise typer.Exit(run_dispatcher(settings_from_environment(), config))


def _require_sandbox() -> None:
    """Raise ConfigError where there is no sandbox, as in the image, MissingPackageError where the
    extra is missing whose packages its modules import.
    """
    from importlib.util import find_spec

    from runtime.extras import install_hint
    from schemas.errors import ConfigError

    if find_spec("sandbox") is None:
        raise ConfigError("there is no sandbox in the image", hint=install_hint("sandbox"))
    from sandbox.stack.packages import package_directory

    for name in ("platformdirs", "psutil"):
        package_directory(name)
