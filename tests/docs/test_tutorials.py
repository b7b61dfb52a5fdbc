"""Tutorials on a system of one's own, word by word: its files, its commands, its margins."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.blocks import DEADLINE_S, Block, Running, Shell, blocks, needing, write_files
from tests.support.eventually import eventually
from tests.support.outside import address_of, outside_database

pytestmark = pytest.mark.stack

UP = "Ctrl-C ends it"
REST, MEASURE, DATABASE = (f"docs/{name}-tutorial.md" for name in ("rest", "measure", "database"))
ENTRY = {
    "id": 9, "project": {"id": 3}, "worker": {"email": "ada@example.com"}, "minutes": 50,
    "day": "2026-03-03", "billable": True, "approved": True, "rate": 120.5, "cost": 61,
    "currency": "eur", "changed_at": "2026-03-03T17:01:09Z",
}  # fmt: skip
PROJECT = {"id": 3, "title": "Quay", "open": True, "currency": "EUR", "changed_at": None}
LISTS: Mapping[str, list[dict[str, Any]]] = {
    "/api/projects": [PROJECT],
    "/api/entries": [ENTRY, {**ENTRY, "id": 10, "minutes": 10}],
}
NOI = """
CREATE TABLE tickets_ticket (
    id bigint PRIMARY KEY, parent_id bigint, ref text, title text, closed boolean);
CREATE TABLE users_user (
    id bigint PRIMARY KEY, first_name text, last_name text, end_date date, password text);
CREATE TABLE working_session (
    id bigint PRIMARY KEY, start_date date, start_time time, end_date date, end_time time,
    user_id bigint, ticket_id bigint, computed_duration text, reporting_type text);
INSERT INTO tickets_ticket VALUES (3, NULL, NULL, 'Quay', false), (5, 3, NULL, 'Piles', false);
INSERT INTO users_user VALUES (1, 'Ada', 'Adler', NULL, 'secret');
INSERT INTO working_session VALUES
    (7, '2026-03-02', '09:00', '2026-03-02', '11:20', 1, 5, '2:00', '10');
"""


class Worklog(BaseHTTPRequestHandler):
    """The API of the tutorial of REST sources."""

    def do_GET(self) -> None:
        rows = LISTS.get(self.path.partition("?")[0])
        allowed = self.headers["Authorization"] == "Bearer t0ken"
        body = json.dumps({"items": rows, "next": None}).encode()
        self.send_response(200 if rows and allowed else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def worklog() -> Iterator[str]:
    """The address of the API."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Worklog)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def replaced(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@contextmanager
def up(shell: Shell, command: str) -> Iterator[None]:
    """Run `psastream up` beside what follows; what it prints is copied into the shell."""
    running: Running = shell.begun(command, shell.folder / "up.log")
    before = shell.begin
    try:
        told = running.says(UP)
        shell.begin += "\n" + "\n".join(re.findall(r"^  (export .*)$", told, re.MULTILINE))
        yield
    finally:
        code = running.end()
        shell.begin = before
    assert code == 0, running.log.read_text()


def answers(shell: Shell, block: Block) -> list[dict[str, Any]]:
    """Run commands that read topics, each until it answers; the rows."""
    found = [
        eventually(lambda line=command: shell.run(line), deadline_s=DEADLINE_S)
        for command in block.commands
    ]
    return [json.loads(line) for answer in found for line in answer.splitlines()]


def exports(shell: Shell, page: str) -> None:
    """Set the variables that a page has set before."""
    for block in blocks():
        for command in block.commands if block.page == page else ():
            if command.startswith("export "):
                shell.run(command)


@contextmanager
def worked(page: str, worklog: str, folder: Path) -> Iterator[tuple[Shell, list[Block]]]:
    """A firm with the API, up by the first block of a page; the shell beside it, the others."""
    write_files(page, folder)
    replaced(folder / "worklog.json", "https://worklog.example.com", worklog)
    shell = Shell(folder, {"WORKLOG_TOKEN": "t0ken"})
    exports(shell, page)
    start, *asked = [block for block in needing("broker") if block.page == page]
    (command,) = start.commands
    with up(shell, command):
        yield shell, asked


def test_an_api_of_ones_own_gives_margins(worklog: str, tmp_path: Path) -> None:
    with worked(REST, worklog, tmp_path) as (shell, asked):
        (row,) = [row for block in asked for row in answers(shell, block)]
    found = row["period"], row["hours"], row["revenue"], row["cost"], row["currency"]
    assert found == ("2026-03", "1.00", "120.500000", "61.000000", "EUR")


def _seconds(shell: Shell, read: str) -> int:
    lines = shell.run(read).splitlines()
    return int(json.loads(lines[-1])["seconds"]) if lines else 0


def test_a_measure_of_ones_own_follows_the_rows(worklog: str, tmp_path: Path) -> None:
    with worked(MEASURE, worklog, tmp_path) as (shell, (block, again)):
        read, query = block.commands
        (line,) = eventually(lambda: shell.run(read).splitlines(), deadline_s=DEADLINE_S)
        row = json.loads(line)
        assert (row["project_ref"], row["work_on"]) == ("worklog:project:3", "2026-03-03")
        assert (row["seconds"], row["entries"], row["worth"]) == (3600, 2, "120.500000")
        assert "worklog:project:3" in shell.run(query)
    replaced(tmp_path / "project_days.sql", "SUM(seconds)", "SUM(2 * seconds)")
    (command,) = again.commands
    with up(shell, command):
        assert eventually(lambda: _seconds(shell, read) == 7200, deadline_s=DEADLINE_S)


def test_a_database_of_ones_own_gives_margins(tmp_path: Path) -> None:
    with outside_database("noi") as dsn:
        with psycopg.connect(dsn, autocommit=True) as database:
            database.execute(NOI)
        shell = Shell(tmp_path, given=address_of("noi", dsn))
        begin, address, *asked = [block for block in needing("database") if block.page == DATABASE]
        (init,) = begin.commands
        written = shell.run(init.replace("postgresql://noi@db.example.com/noi", f"'{dsn}'"))
        assert "users_user.password" in written
        write_files(DATABASE, tmp_path)
        exports(shell, DATABASE)
        command = address.commands[-1]
        with up(shell, command):
            (row,) = [row for block in asked for row in answers(shell, block)]
    found = row["project_ref"], row["period"], row["revenue"], row["cost"], row["currency"]
    assert found == ("noi:ticket:3", "2026-03", "190.000000", "121.000000", "EUR")
