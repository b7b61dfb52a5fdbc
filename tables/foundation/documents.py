"""The working set of one chunk: typed documents over a partition's key-value state.

A table reads and writes documents here; nothing is visible to others until the engine commits
what `changes()` returns. Not a store: it holds one chunk's worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from pydantic import BaseModel

Document = TypeVar("Document", bound=BaseModel)


class KeyValue(Protocol):
    """Committed state of one partition."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys, None where there is none."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys with this prefix and their values, in key order."""


class Documents:
    """Documents by string key; reads see this chunk's writes."""

    def __init__(self, committed: KeyValue) -> None:
        self._committed = committed
        self._written: dict[bytes, bytes | None] = {}
        # Written keys by what stands before their first |: what most scans ask for.
        self._families: dict[bytes, list[bytes]] = {}

    def get(self, model: type[Document], key: str) -> Document | None:
        """Return the document at a key, or None."""
        data = self.raw(key)
        return None if data is None else model.model_validate_json(data)

    def put(self, key: str, document: BaseModel) -> None:
        """Write a document."""
        self._write(key, document.model_dump_json(exclude_defaults=True).encode())

    def keep(self, key: str, document: Document, nothing: Document) -> None:
        """Write a document, or remove it where it says `nothing`."""
        if document == nothing:
            self.delete(key)
        else:
            self.put(key, document)

    def raw(self, key: str) -> bytes | None:
        """Return the bytes at a key, or None."""
        name = key.encode()
        return self._written[name] if name in self._written else self._committed.get(name)

    def raw_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the bytes at keys, in order."""
        names = [key.encode() for key in keys]
        values = self._committed.get_many(names)
        if self._written:
            return [
                self._written.get(name, value) for name, value in zip(names, values, strict=True)
            ]
        return values

    def put_raw(self, key: str, value: bytes) -> None:
        """Write bytes at a key."""
        self._write(key, value)

    def delete(self, key: str) -> None:
        """Remove a key."""
        self._write(key, None)

    def keys(self, prefix: str) -> list[str]:
        """Return the keys with a prefix, in key order, this chunk's writes included."""
        start = prefix.encode()
        found = {key for key, _ in self._committed.scan(start)}
        family = start.partition(b"|")[0]
        written = self._families.get(family, ()) if b"|" in start else self._written
        for key in written:
            if key.startswith(start):
                if self._written[key] is None:
                    found.discard(key)
                else:
                    found.add(key)
        return [key.decode() for key in sorted(found)]

    def _write(self, key: str, value: bytes | None) -> None:
        name = key.encode()
        if name not in self._written:
            family, bar, _ = name.partition(b"|")
            if bar:
                self._families.setdefault(family, []).append(name)
        self._written[name] = value

    def changes(self) -> dict[bytes, bytes | None]:
        """Return what this chunk wrote: key → new bytes, None for a removal."""
        return self._written
