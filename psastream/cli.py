"""Commands of `psastream`. Each does three things: read settings, wire, run.

Heavy imports happen inside the commands, so that `psastream --help` answers at once.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from psastream.exits import errors_as_exit_codes, settings_from_environment

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="Change-data-capture streaming for professional-services firms.",
)
topics = typer.Typer(no_args_is_help=True, help="The topic catalogue.")
schemas = typer.Typer(no_args_is_help=True, help="The Avro contracts.")
connectors = typer.Typer(no_args_is_help=True, help="Debezium connectors on Kafka Connect.")
prove = typer.Typer(no_args_is_help=True, help="Proofs from the topics alone.")
exceptions = typer.Typer(no_args_is_help=True, help="What waits for a person.")
system = typer.Typer(no_args_is_help=True, help="Folders that declare a system.")
app.add_typer(topics, name="topics")
app.add_typer(system, name="system")
app.add_typer(schemas, name="schemas")
app.add_typer(connectors, name="connectors")
app.add_typer(prove, name="prove")
app.add_typer(exceptions, name="exceptions")

Config = Annotated[
    list[Path], typer.Option("--config", exists=True, dir_okay=False, help="connector file")
]
Target = Annotated[str | None, typer.Option("--target", help="system that refuses")]
ReasonName = Annotated[
    str | None, typer.Option("--class", help="kind of cure: permission, closed, setting, …")
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"psastream {version('psastream')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="print the version"),
    ] = False,
) -> None:
    pass


@app.command()
def demo(  # noqa: PLR0917 - each parameter is an option on the command line
    seed: Annotated[int, typer.Option(help="the story: same seed, same story")] = 1,
    rate: Annotated[int, typer.Option(min=1, help="changes a second in the PSA")] = 300,
    entries: Annotated[int, typer.Option(min=10, help="time entries to book")] = 900,
    keep: Annotated[bool, typer.Option("--keep", help="stay up and print the addresses")] = False,
    kill: Annotated[
        list[str] | None,
        typer.Option(help="SIGKILL a part in an act: part@act[:changes], as in worker@hours:100"),
    ] = None,
    landscape: Annotated[
        str, typer.Option(help="systems of the firm, joined by commas; others stay")
    ] = "",
    data_dir: Annotated[Path, typer.Option(help="local data; emptied first")] = Path(
        ".psastream/demo"
    ),
) -> None:
    """Tell a firm's story through the real parts, then compare all outputs with its books."""
    from psastream.running import run
    from runtime.logs import configure_logs
    from sandbox.demo.options import DemoOptions, Disruption, StoryLandscape
    from sandbox.demo.run import run_demo
    from sandbox.stack.settings import cache_dir_from

    configure_logs(json=False, level="ERROR")  # the parts log to files of their own
    with errors_as_exit_codes():
        options = DemoOptions(
            data_dir=data_dir.resolve(),
            cache_dir=cache_dir_from(os.environ),
            seed=seed,
            rate=rate,
            entries=entries,
            keep=keep,
            disruptions=tuple(Disruption.parse(text) for text in kill or ()),
            landscape=StoryLandscape.parse(landscape),
        )
        raise typer.Exit(run(run_demo(options)))


@app.command()
def up(
    source: Annotated[list[Path] | None, typer.Option(help="polled source file")] = None,
    sink: Annotated[list[Path] | None, typer.Option(help="command sink file")] = None,
    database: Annotated[list[Path] | None, typer.Option(help="Debezium connector file")] = None,
    data_dir: Annotated[Path, typer.Option(help="local state, kept between runs")] = Path(
        ".psastream/up"
    ),
) -> None:
    """Run all processes on your own broker and connector files; start what is not named."""
    from psastream.running import run
    from psastream.up import UpOptions, run_up
    from runtime.logs import configure_logs

    configure_logs(json=False, level="WARNING")
    with errors_as_exit_codes():
        options = UpOptions(data_dir.resolve(), source or (), sink or (), database or ())
        raise typer.Exit(run(run_up(options)))


@app.command()
def worker() -> None:
    """Run the stream worker: normalize, live tables, commands, measures."""
    from psastream.worker import run_worker

    with errors_as_exit_codes():
        raise typer.Exit(run_worker(settings_from_environment()))


@app.command()
def reread(
    topic: Annotated[str, typer.Argument(help="a topic the worker reads, such as psa.project")],
) -> None:
    """Have the worker read a topic from its first record, into the state there is.

    Stop all workers first, and all dispatchers unless it is a topic of a source (src.…).
    """
    from psastream.anew import reread_topic

    with errors_as_exit_codes():
        reread_topic(settings_from_environment(), topic)
        typer.echo(f"{topic} is read from its first record when a worker starts")


@app.command()
def rebuild(
    group: Annotated[
        str, typer.Argument(help="normalize, customer, engagement, project, rollup or measures")
    ],
) -> None:
    """Have an agent group computed from nothing: its state is deleted, its topics read again.

    Stop all workers and dispatchers first. Start the dispatchers last, when the workers have
    caught up: half-read topics order what is wrong.
    """
    from psastream.anew import rebuild_group

    with errors_as_exit_codes():
        count = rebuild_group(settings_from_environment(), group)
        typer.echo(f"{group} reads {count} topics from their first records when a worker starts")
        typer.echo("start the dispatchers when it has read them all")


@app.command()
def poll(config: Config) -> None:
    """Run the polled sources whose connector files are given."""
    from connectors.polled.main import run_poller

    with errors_as_exit_codes():
        raise typer.Exit(run_poller(settings_from_environment(), config))


@app.command()
def dispatch(config: Config) -> None:
    """Execute commands against the targets whose connector files are given."""
    from connectors.dispatch.main import run_dispatcher

    with errors_as_exit_codes():
        raise typer.Exit(run_dispatcher(settings_from_environment(), config))


@app.command()
def flows(
    mermaid: Annotated[bool, typer.Option("--mermaid", help="print a picture's text")] = False,
) -> None:
    """Print who sends what to whom: rows that systems give, commands that they take."""
    from psastream.flows import as_mermaid, as_text, flows_of
    from psastream.landscape import ANY_ADDRESSES, read_firm
    from runtime.settings import Settings

    with errors_as_exit_codes():
        found = flows_of(read_firm(Settings.from_env({**ANY_ADDRESSES, **os.environ})))
        for line in as_mermaid(found) if mermaid else as_text(found):
            typer.echo(line)


@topics.command("list")
def topics_list(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print the catalogue."""
    from psastream.catalogue import catalogue_json, print_catalogue
    from psastream.landscape import ANY_ADDRESSES, read_firm
    from runtime.settings import Settings

    with errors_as_exit_codes():
        firm = read_firm(Settings.from_env({**ANY_ADDRESSES, **os.environ}))
        if as_json:
            typer.echo(catalogue_json(firm.topics))
        else:
            print_catalogue(firm.topics)


@topics.command("apply")
def topics_apply() -> None:
    """Create the topics that are missing; refuse where one has another partition count."""
    from psastream.landscape import read_firm
    from runtime.kafka import create_topics

    with errors_as_exit_codes():
        settings = settings_from_environment()
        topics = read_firm(settings).topics
        created = create_topics(
            settings.kafka, topics, replication_factor=settings.replication_factor
        )
        typer.echo(f"{len(created)} topics created, {len(topics) - len(created)} were there")


@topics.command("read")
def topics_read(topic: Annotated[str, typer.Argument(help="topic, as in topics list")]) -> None:
    """Print the last value of every key of a topic, as a line of JSON each."""
    from psastream.topic_rows import rows_of

    with errors_as_exit_codes():
        for row in rows_of(settings_from_environment(), topic):
            typer.echo(row)


Folder = Annotated[Path, typer.Argument(help="folder of the system")]
Beside = Annotated[
    list[Path] | None,
    typer.Option(
        envvar="PSASTREAM_SYSTEMS", help="folder of another system, to whose rows it refers"
    ),
]


@system.command("init")
def system_init(
    source: Annotated[
        str, typer.Argument(help="a database, as a libpq URI, or the file of an OpenAPI document")
    ],
    schema: Annotated[str, typer.Option(help="schema of the database to declare")] = "",
    to: Annotated[Path, typer.Option(help="folder to make the system's folder in")] = Path(),
    system: Annotated[str, typer.Option(help="name of the system, where not the schema's")] = "",
    tables: Annotated[str, typer.Option(help="tables to declare, a,b,c; none: all")] = "",
) -> None:
    """Write a folder to begin with from a PostgreSQL database, or from the description of an API.

    From a database: tables, columns, connector file. From an OpenAPI document: lists, columns,
    pages, how to sign in.
    """
    from psastream.starter import read_tables, starter_of, write_starter
    from psastream.starter_openapi import is_document, read_document, starter_of_api
    from psastream.starter_openapi import write_api_starter as write_api
    from runtime.secrets import remember_url
    from schemas.errors import ConfigError

    with errors_as_exit_codes():
        name = system or schema
        if is_document(source):
            api = starter_of_api(name, read_document(Path(source)))
            files, warnings = write_api(api, to / name), api.warnings
        elif not schema:
            raise ConfigError(
                "--schema is missing: which schema of the database?",
                hint="the file of an OpenAPI document ends in .json, .yaml or .yml",
            )
        else:
            remember_url(source)
            only = [each.strip() for each in tables.split(",") if each.strip()]
            starter = starter_of(schema, read_tables(source, schema), system=name, only=only)
            files, warnings = write_starter(starter, to / name), starter.warnings
        for file in files:
            typer.echo(f"{file} written")
        for warning in warnings:
            typer.echo(f"note: {warning}")
        typer.echo("next: give objects targets in mapping.yaml; psastream system check says more")


@system.command("check")
def system_check(
    folder: Folder,
    beside: Beside = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Check a folder whole, offline: print what follows from it, or each problem on a line."""
    from psastream.exits import Exit
    from psastream.system import check_system

    with errors_as_exit_codes():
        is_sound = check_system(folder, beside or (), as_json=as_json)
        raise typer.Exit(Exit.OK if is_sound else Exit.CONFIG)


@system.command("try")
def system_try(
    folder: Folder,
    obj: Annotated[str, typer.Argument(help="object whose rows they are")],
    rows: Annotated[Path, typer.Option(help="source rows: JSON, a list or one a line")],
    beside: Beside = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print what is made of source rows, or why they are refused; exit code 1 if one is."""
    from psastream.exits import Exit
    from psastream.system import try_rows

    with errors_as_exit_codes():
        is_sound = try_rows(folder, obj, rows, beside or (), as_json=as_json)
        raise typer.Exit(Exit.OK if is_sound else Exit.FAILED)


@system.command("conform")
def system_conform(
    folder: Folder,
    objects: Annotated[
        list[str] | None, typer.Option("--object", help="only this object; may be repeated")
    ] = None,
    clauses: Annotated[
        list[str] | None, typer.Option("--clause", help="only this clause; may be repeated")
    ] = None,
    beside: Beside = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Run a folder's source against its vendor's documented API, hostile answers included."""
    from psastream.conform import conform_system
    from psastream.exits import Exit

    with errors_as_exit_codes():
        is_sound = conform_system(
            folder,
            beside or (),
            objects=objects or (),
            clauses=clauses or (),
            as_json=as_json,
        )
        raise typer.Exit(Exit.OK if is_sound else Exit.FAILED)


@schemas.command("register")
def schemas_register() -> None:
    """Register every contract; fails where one is incompatible with what is registered."""
    from psastream.landscape import read_firm
    from runtime.registry import Registry

    with errors_as_exit_codes():
        settings = settings_from_environment()
        topics = read_firm(settings).topics
        count = Registry(settings.registry_url).register_catalogue(topics)
        typer.echo(f"{count} subjects registered")


@connectors.command("apply")
def connectors_apply(config: Config) -> None:
    """Register Debezium connectors, or update them."""
    from psastream.connect import apply_connectors

    with errors_as_exit_codes():
        apply_connectors(settings_from_environment(), config)


@connectors.command("watch")
def connectors_watch(config: Config) -> None:
    """Watch Debezium connectors: states as metrics, restarts of what has failed."""
    from psastream.connect import watch_connectors

    with errors_as_exit_codes():
        raise typer.Exit(watch_connectors(settings_from_environment(), config))


@connectors.command("status")
def connectors_status(
    names: Annotated[list[str], typer.Argument(help="names in their connector files")],
) -> None:
    """Print the state of connectors and their tasks; exit code 1 if one is not running."""
    from psastream.connect import print_status

    with errors_as_exit_codes():
        raise typer.Exit(print_status(settings_from_environment(), names))


@exceptions.command("list")
def exceptions_list(
    target: Target = None,
    reason: ReasonName = None,
    older_than: Annotated[str | None, typer.Option(help="least age: 30m, 2h, 7d")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print what is open, oldest first."""
    from psastream.exceptions import Filter, list_exceptions, parse_age, parse_reason

    with errors_as_exit_codes():
        wanted = Filter(
            target=target,
            reason=parse_reason(reason) if reason else None,
            older_than=parse_age(older_than) if older_than else None,
        )
        list_exceptions(settings_from_environment(), wanted, as_json=as_json)


@exceptions.command("show")
def exceptions_show(
    exception_id: Annotated[str, typer.Argument(help="as `psastream exceptions list` prints it")],
) -> None:
    """Print one: the command, what the target said, the attempts, what to do."""
    from psastream.exceptions import show_exception

    with errors_as_exit_codes():
        show_exception(settings_from_environment(), exception_id)


@exceptions.command("retry")
def exceptions_retry(
    ids: Annotated[list[str] | None, typer.Argument(help="exceptions by id")] = None,
    target: Target = None,
    reason: ReasonName = None,
) -> None:
    """Have refused commands tried again now: by id, by target or by class."""
    from psastream.exceptions import Filter, parse_reason, retry_exceptions

    with errors_as_exit_codes():
        wanted = Filter(
            ids=tuple(ids or ()), target=target, reason=parse_reason(reason) if reason else None
        )
        retry_exceptions(settings_from_environment(), wanted)


@app.command()
def waiting(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List rows of sources that wait for what they look up."""
    from psastream.waiting import show_waiting

    with errors_as_exit_codes():
        show_waiting(settings_from_environment().kafka, as_json=as_json)


@prove.command("accounting")
def prove_accounting(
    group: Annotated[list[str] | None, typer.Option(help="agent group; by default all")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Prove that every source record was applied, stale, parked or dead-lettered."""
    from psastream.exits import Exit
    from psastream.prove import print_proof, proof_json, prove_accounting
    from psastream.worker import chosen_groups
    from runtime.registry import Registry

    with errors_as_exit_codes():
        settings = settings_from_environment()
        registry = Registry(settings.registry_url)
        proof = prove_accounting(settings.kafka, registry, chosen_groups(settings, registry, group))
        if as_json:
            typer.echo(proof_json(proof))
        else:
            print_proof(proof)
        raise typer.Exit(Exit.OK if proof.holds else Exit.FAILED)


if __name__ == "__main__":
    app()
