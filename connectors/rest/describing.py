"""What a declared API says of the fields of an object: a list of them, beside that of its rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from connectors.polled.answers import name_of
from connectors.rest.declaration import DescribedBy, ObjectConfig
from connectors.rest.paths import ABSENT, at, step
from connectors.rest.reader import Api
from connectors.toolkit.metadata import Described
from schemas.errors import SchemaMismatchError


async def described(
    api: Api, declared: ObjectConfig, columns: Collection[str]
) -> Mapping[str, Described | None] | None:
    """Return the fields of an object by its columns; others by their own names.

    None: the API says nothing of it. Of a column that lies elsewhere in a row nothing is said.
    Raises what requests raise, and SchemaMismatchError.
    """
    by = declared.described
    if by is None:
        return None
    paths = {declared.columns.get(column, step(column)): column for column in columns}
    said = {path for path in paths if by.below is None or path.startswith(f"{by.below}.")}
    found: dict[str, Described | None] = {
        column: None
        for path, column in paths.items()
        if path not in said or column in declared.optional
    }
    async for page in api.pages(by, {}):
        for entry in page.rows:
            name, field = _field(by, entry)
            path = step(name) if by.below is None else f"{by.below}.{step(name)}"
            found[paths.get(path, name)] = field
    return found


def _field(by: DescribedBy, entry: Any) -> tuple[str, Described]:
    label = None if by.label is None else at(entry, by.label)
    field = Described(
        _text(by, entry, by.type),
        None,  # what its values are in JSON, the contract says
        _values(by, entry),
        label if isinstance(label, str) else None,
    )
    return _text(by, entry, by.name), field


def _values(by: DescribedBy, entry: Any) -> frozenset[str] | None:
    """Return what a field may hold; a list without any value bounds nothing."""
    if by.values is None or by.value is None:
        return None
    listed = at(entry, by.values)
    if listed is None or listed is ABSENT or listed == []:
        return None
    if not isinstance(listed, list):
        raise SchemaMismatchError(f"{by.path}: {by.values} is {name_of(listed)}, not a list")
    return frozenset(_text(by, each, by.value) for each in listed)


def _text(by: DescribedBy, entry: Any, path: str) -> str:
    found = at(entry, path)
    if not isinstance(found, str):
        raise SchemaMismatchError(
            f"{by.path} has no text at {path}",
            hint="correct described in rest.yaml, or see the vendor's release notes",
        )
    return found
