"""What the next vendor brings, and no more: run in a copy of the repository that holds it.

`python -m tests.support.next_vendor NAME` ends with an error where NAME is not served, read,
written to or shown as every vendor is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from starlette.testclient import TestClient

from psastream.conformance.suite import conform, conform_sink, read_sink_subject, read_subject
from psastream.system import read_system
from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import ENVIRONMENT_FILE, read_credentials, write_credentials
from tests.support import catalogue_pages, public_names

URL: Final = "http://twin"
CLAUSES: Final = ("samples", "nulls", "whole list", "changes")
SINK_CLAUSES: Final = ("one effect",)


def main(name: str) -> None:
    """Raises AssertionError for what does not hold."""
    folder = catalogue_pages.VENDORS / name
    assert Path.cwd() in folder.parents, f"{folder} is not in the copy"
    system, vendor = read_system(folder)
    serve(name)
    source, sink = (read(folder, system, vendor) for read in (read_subject, read_sink_subject))
    assert source is not None and sink is not None
    found = conform(source, list(source.samples)[:1], CLAUSES)
    found += conform_sink(sink, [], SINK_CLAUSES)
    assert found
    assert [(each.clause, each.broken) for each in found if each.broken] == []
    show(name)


def serve(name: str) -> None:
    """Its API asks for what it declared, and the admin API knows it."""
    with TemporaryDirectory() as directory:
        credentials = read_credentials(Path(directory))
        write_credentials(Path(directory), URL, credentials)
        environment = (Path(directory) / ENVIRONMENT_FILE).read_text()
    assert f"{URL}/{name}" in environment
    http = TestClient(create_app(base_url=URL, seed=1, credentials=credentials))
    assert name in http.get("/admin/books").json()
    assert http.request("DELETE", f"/admin/{name}/limits").status_code == 204
    asked = http.get(f"/{name}/projects/", headers={"accept-version": "1.0.0"})
    assert asked.status_code == 401, asked.text


def show(name: str) -> None:
    """Pages and the list of public names have it."""
    title = name.capitalize()
    assert f"## {title}\n" in catalogue_pages.answered()
    assert f"{title}:\n" in catalogue_pages.sinks()
    names = [
        f"{model.__name__} {field}"
        for model in public_names.connectors()
        for field in model.model_fields
    ]
    assert f"{title}SinkConfig token" in names, names


if __name__ == "__main__":
    main(sys.argv[1])
