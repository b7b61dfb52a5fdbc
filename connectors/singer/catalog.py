"""A tap's catalog, with one stream of it selected. Does no IO.

The root of the metadata says `selected`, `replication-method` and `replication-key`, as
singer-python reads them; the entry itself says them too, as Meltano's SDK does, and its schema
`selected`, as older taps do. Of properties, those that no contract takes are not asked for: a tap
may leave them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.singer.declaration import Replication, StreamConfig
from connectors.singer.messages import TapOutputError


def select(
    catalog: object, of: StreamConfig, method: Replication, wanted: frozenset[str]
) -> dict[str, Any]:
    """Return a catalog that selects one stream and of it the properties `wanted`.

    Raises TapOutputError where the catalog is none, or does not have the stream once.
    """
    entries = [*_entries(catalog)]
    chosen = [entry for entry in entries if _id(entry) == of.catalog_id]
    if len(chosen) != 1:
        known = ", ".join(sorted(str(_id(entry))[:60] for entry in entries)[:20]) or "none"
        raise TapOutputError(
            f"the tap's catalog has {len(chosen)} streams {of.catalog_id}",
            hint=f"stream or tap_stream_id of singer.yaml names one of: {known}",
        )
    others = [_marked(entry, selected=False) for entry in entries if entry is not chosen[0]]
    return {"streams": [_chosen(chosen[0], of, method, wanted), *others]}


def new_properties(catalog: object, of: StreamConfig, known: frozenset[str]) -> tuple[str, ...]:
    """Names of properties of the stream that nobody asks for and nobody has named as unused."""
    [entry] = [each for each in _entries(catalog) if _id(each) == of.catalog_id]
    schema = entry.get("schema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    names = properties if isinstance(properties, dict) else {}
    return tuple(sorted(set(names) - known - set(of.unused)))


def _entries(catalog: object) -> Iterator[dict[str, Any]]:
    streams = catalog.get("streams") if isinstance(catalog, dict) else None
    if not isinstance(streams, list) or not all(isinstance(entry, dict) for entry in streams):
        raise TapOutputError(
            "the tap discovers no catalog", hint="catalog: none runs a tap that takes none"
        )
    yield from streams


def _id(entry: Mapping[str, Any]) -> object:
    return entry.get("tap_stream_id") or entry.get("stream")


def _chosen(
    entry: Mapping[str, Any], of: StreamConfig, method: Replication, wanted: frozenset[str]
) -> dict[str, Any]:
    marked = _marked(entry, selected=True, method=method, key=of.replication_key)
    metadata = [_property(each, wanted) for each in marked["metadata"]]
    return marked | {"metadata": metadata}


def _marked(
    entry: Mapping[str, Any],
    *,
    selected: bool,
    method: Replication | None = None,
    key: str | None = None,
) -> dict[str, Any]:
    words: dict[str, Any] = {"selected": selected}
    more: dict[str, Any] = {}
    if method is not None:
        words["replication-method"] = more["replication_method"] = method.value
    if key is not None:
        words["replication-key"] = more["replication_key"] = key
    found = entry.get("metadata")
    metadata = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    root = [each for each in metadata if each.get("breadcrumb") == []]
    rest = [each for each in metadata if each.get("breadcrumb") != []]
    told = root[0].get("metadata") if root else None
    before = told if isinstance(told, dict) else {}
    first = {"breadcrumb": [], "metadata": {**before, **words}}
    if isinstance(schema := entry.get("schema"), dict):
        more["schema"] = {**schema, "selected": selected}
    return {**entry, "selected": selected, **more, "metadata": [first, *rest]}


def _property(each: Mapping[str, Any], wanted: frozenset[str]) -> Mapping[str, Any]:
    match each:
        case {"breadcrumb": ["properties", str(name)], "metadata": dict(words)}:
            return {**each, "metadata": {**words, "selected": name in wanted}}
        case _:
            return each
