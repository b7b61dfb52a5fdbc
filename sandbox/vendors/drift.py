"""Schema drift: fields a vendor adds to what it returns, and fields it takes away."""

from __future__ import annotations

from collections import defaultdict
from typing import Any


class Drift:
    """Differences between an object's normal fields and the ones the API shows now."""

    def __init__(self) -> None:
        self._added: dict[str, dict[str, Any]] = defaultdict(dict)
        self._removed: dict[str, set[str]] = defaultdict(set)

    def add(self, record_type: str, field: str, value: object) -> None:
        """Every record returned shows `field` from now on."""
        self._added[record_type][field] = value

    def remove(self, record_type: str, field: str) -> None:
        """The API does not know `field` any more."""
        self._removed[record_type].add(field)

    def reset(self) -> None:
        self._added.clear()
        self._removed.clear()

    def shown(self, record_type: str, row: dict[str, Any]) -> dict[str, Any]:
        """A row with the fields that the API shows now."""
        removed = self._removed.get(record_type)
        kept = {name: row[name] for name in row if name not in removed} if removed else row
        return kept | self._added.get(record_type, {})

    def added(self, record_type: str) -> dict[str, Any]:
        return dict(self._added.get(record_type, {}))

    def is_removed(self, record_type: str, field: str) -> bool:
        return field in self._removed.get(record_type, ())
