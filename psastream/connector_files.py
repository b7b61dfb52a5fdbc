"""Connector files of a system's folder, checked without what their placeholders stand for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from connectors.debezium.client import read_connector_file
from connectors.systems import class_name
from connectors.toolkit.config import offline_problems, read_document
from connectors.toolkit.vendor import Vendor
from schemas.errors import ConfigError
from schemas.system import SystemBundle

SOURCE: Final = "source.json"
SINK: Final = "sink.json"
DATABASE: Final = "connector.json"


def connector_problems(folder: Path, system: SystemBundle, vendor: Vendor) -> list[str]:
    """Return what a poller, a dispatcher or Connect would refuse in the files of a folder.

    Files that are not there are no problem: a firm may have them elsewhere.
    """
    problems: list[str] = []
    checks = {SOURCE: _of_source, SINK: _of_sink, DATABASE: _of_database}
    for name, check in checks.items():
        path = folder / name
        if not path.is_file():
            continue
        try:
            problems += [f"{system.name}/{name}: {each}" for each in check(path, system, vendor)]
        except ConfigError as error:
            problems.append(error.detail)
    return problems


def _of_source(path: Path, system: SystemBundle, vendor: Vendor) -> Iterator[str]:
    document = read_document(path)
    source = vendor.source
    if source is None:
        yield "nothing polls the system"
        return
    yield from _of_class(document, source)
    yield from offline_problems(document, source.config_model)
    yield from _named(document, "topic.prefix", f"src.{system.name}")
    readable = source.objects_of(system)
    known = [obj for obj in system.topics if obj in readable]
    listed = document.get("object.include.list")
    if isinstance(listed, str) and "${" not in listed:
        objects = [each.strip() for each in listed.split(",") if each.strip()]
        if unknown := [obj for obj in objects if obj not in known]:
            yield f"object.include.list: there is no {', '.join(unknown)}, but {', '.join(known)}"


def _of_sink(path: Path, system: SystemBundle, vendor: Vendor) -> Iterator[str]:
    document = read_document(path)
    if vendor.sink is None:
        yield "nothing writes to the system"
        return
    yield from _of_class(document, vendor.sink)
    yield from offline_problems(document, vendor.sink.config_model)
    yield from _named(document, "target", system.name)


def _of_database(path: Path, _system: SystemBundle, _vendor: Vendor) -> Iterator[str]:
    read_connector_file(path)  # raises
    yield from ()


def _of_class(document: dict[str, Any], expected: type) -> Iterator[str]:
    yield from _named(document, "connector.class", class_name(expected))


def _named(document: dict[str, Any], key: str, expected: str) -> Iterator[str]:
    found = document.get(key)
    if isinstance(found, str) and found != expected and "${" not in found:
        yield f"{key}: {found} is not {expected}"
