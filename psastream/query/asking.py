"""`psastream sql`: one question, or a shell for many, over topics of a broker or an export."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.table import Table

from psastream.called import called
from psastream.exits import Exit, print_error
from psastream.landscape import read_firm
from psastream.lines import say, terminal_width
from psastream.query.export import MANIFEST, Format, write_files, write_manifest
from psastream.query.exported import ExportedTables
from psastream.query.reading import LiveTopics
from psastream.query.session import (
    METRIC,
    WITHOUT_DUCKDB,
    Session,
    has_duckdb,
    own_measures,
    public_topics,
)
from psastream.query.shown import Form, print_answer
from psastream.query.views import packaged_views
from psastream.topic_rows import Unreadable
from runtime.extras import install_hint
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import PsaStreamError
from schemas.topics import Topic

PROMPT: Final = "psastream> "
MORE: Final = "      ...> "
HELP: Final = """A query ends with ; and may take several lines.
  .views       what can be asked
  DESCRIBE x;  columns of a view or table
  .quit        leave; so does Ctrl-D"""
EXAMPLE: Final = "'SELECT project, month, currency, margin FROM margin_by_project_month'"
_LEAVE: Final = (".quit", ".exit", "quit", "exit")
_HELP: Final = (".help", "help")
"""Words of other shells are taken, too, with a semicolon or without."""
TOLD_MAX: Final = 5
SEALED: Final = "encrypted, null here; PSASTREAM_MASTER_KEYS_FILE names the keys that open it"
Asked = Settings | Path
"""What is asked: the topics of a broker as they stand now, or the folder of an export."""


class Teller:
    """Tells on standard error what cannot be decoded, the first of it one by one, and what is
    encrypted, once.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sealed: set[str] = set()

    def __call__(self, unreadable: Unreadable) -> None:
        self.count += 1
        if self.count <= TOLD_MAX:
            say(str(unreadable), is_error=True)

    def sealed(self, topic: Topic) -> None:
        """Say which columns of a topic are null since nobody here has the keys."""
        if topic.name not in self._sealed:
            self._sealed.add(topic.name)
            say(f"{topic.name}: {', '.join(topic.personal_data)}: {SEALED}", is_error=True)

    def close(self) -> None:
        """Say how many there were; exit where there were any: the answers lack them."""
        if self.count:
            say(f"{self.count} rows cannot be decoded", is_error=True)
            raise typer.Exit(Exit.FAILED)


def ask(asked: Asked, query: str, form: Form) -> None:
    """Answer one query. Raises ConfigError, BrokerUnavailableError, RegistryUnavailableError."""
    teller = Teller()
    session = _open(asked, teller)
    answer = session.ask(query)
    print_answer(answer, form, sys.stdout, width=terminal_width())
    teller.close()


def export(settings: Settings, directory: Path, form: Format) -> None:
    """Write every view and public topic to a folder.

    Raises ConfigError, BrokerUnavailableError, RegistryUnavailableError.
    """
    teller = Teller()
    files, rows = write_export(settings, directory, form, teller)
    say(f"{files} files with {rows} rows are in {directory}; {MANIFEST} says which")
    teller.close()


def write_export(
    settings: Settings, directory: Path, form: Format, teller: Teller
) -> tuple[int, int]:
    """Write every view and public topic to a folder; return how many files and rows.

    Raises as `export`.
    """
    session, live = _live_session(settings, teller, is_locked=False)
    session.load(list(session.topics))
    files = write_files(session, directory, form)
    write_manifest(directory, files, live.offsets(), form)
    return len(files), sum(each["rows"] for each in files)


def _open(asked: Asked, teller: Teller) -> Session:
    if isinstance(asked, Settings):
        return _live_session(asked, teller)[0]
    tables = ExportedTables(asked)
    return Session((), (), tables, files=tables.columns())


def _live_session(
    settings: Settings, teller: Teller, *, is_locked: bool = True
) -> tuple[Session, LiveTopics]:
    """Return a session over the topics of the firm, and what reads them."""
    topics = read_firm(settings).topics
    tables = {topic.name: topic for topic in public_topics(topics)}
    serde = Serde.of(settings)
    live = LiveTopics(
        settings.kafka, serde.schema, tables, teller, serde.opened, tell_sealed=teller.sealed
    )
    return Session(topics, packaged_views(), live, is_locked=is_locked), live


def list_relations(asked: Asked) -> None:
    """Print what can be asked, without asking a broker. Raises ConfigError."""
    if isinstance(asked, Settings):
        topics = [topic.name for topic in public_topics(read_firm(asked).topics)]
        print_views([*(view.name for view in packaged_views()), *topics])
    else:
        print_views(ExportedTables(asked).columns().keys(), f" --from {shlex.quote(str(asked))}")


def print_views(names: Collection[str], option: str = "") -> None:
    """Print those views, measures of the firm's own and tables that can be asked.

    `option` stands in the examples.
    """
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for view in packaged_views():
        if view.name in names:
            table.add_row(view.name, view.summary)
    for name in own_measures(names):
        table.add_row(name.removeprefix(METRIC), "A measure of the firm's own.")
    Console().print(table)
    command = f"{called()} sql{option}"
    typer.echo()
    say("Each psa topic of `psastream topics list` is a table under its name, but internal ones.")
    typer.echo(
        f"  {command} \\\n    {EXAMPLE}\n  {command} 'DESCRIBE pipeline'\n  {command} --shell"
    )
    if not has_duckdb():
        typer.echo()
        say(WITHOUT_DUCKDB)
        say(install_hint("sql"), "  try: ")


def shell(asked: Asked, form: Form) -> None:
    """Answer one query after the other, as they are typed or come in. An error ends none of it."""
    teller = Teller()
    session = _open(asked, teller)
    is_typed = sys.stdin.isatty()
    if is_typed:
        with suppress(ImportError):
            import readline  # noqa: F401  # lines can be edited and called back
        typer.echo(HELP)
    failed = False
    for text in _statements(is_typed):
        if text == ".views":
            print_views(session.relations)
            continue
        if text in _HELP:
            typer.echo(HELP)
            continue
        try:
            print_answer(session.ask(text), form, sys.stdout, width=terminal_width())
        except PsaStreamError as error:
            failed = True
            print_error(error)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
    teller.close()
    if failed and not is_typed:
        raise typer.Exit(Exit.FAILED)


def _statements(is_typed: bool) -> Iterator[str]:
    """Yield what is typed: a line that begins with a point, or all up to a semicolon."""
    lines: list[str] = []
    while True:
        try:
            line = _line(MORE if lines else PROMPT) if is_typed else sys.stdin.readline()
        except KeyboardInterrupt:
            lines.clear()
            typer.echo()
            continue
        except EOFError:
            line = ""
        word = "" if lines else line.strip().removesuffix(";").rstrip().lower()
        if not line or word in _LEAVE:
            break
        if word.startswith(".") or word in _HELP:
            yield word
        elif line.strip() or lines:
            lines.append(line)
        if lines and line.rstrip().endswith(";"):
            yield "".join(lines)
            lines.clear()
    if "".join(lines).strip():
        yield "".join(lines)


def _line(prompt: str) -> str:
    return input(prompt) + "\n"
