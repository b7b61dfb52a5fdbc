"""A Singer tap as its specification has it, made of a `conformance.yaml` and sample rows.

It runs in this process: what a child process may do beyond its output is the business of
`connectors.singer.process`.
https://github.com/singer-io/getting-started/blob/master/docs/SPEC.md
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from connectors.singer.lines import Line
from connectors.singer.process import TapFailedError
from psastream.conformance.account import Account, Stored
from psastream.conformance.documented import Answer, Api, Single
from psastream.conformance.paths import dump, load

Edit = Callable[[list[bytes]], list[bytes]]
"""What is done to the lines of a run."""


class DocumentedTap(Account):
    """Streams by `table`. `fails_at`: the line of a run at which it ends with a failure."""

    answers: tuple[Answer, ...] = ()
    token_path: str | None = None
    secrets: frozenset[str] = frozenset()

    def __init__(
        self,
        api: Api,
        samples: Mapping[str, list[dict[str, Any]]],
        environment: Mapping[str, str],
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(api.objects, samples, clock)
        self.environment = environment
        self.fails_at: int | None = None
        self.edit: Edit = lambda lines: lines
        self.runs = 0
        self.written = 0
        """Lines of the last run."""

    def paging_of(self, obj: str) -> Single:
        """A run shows all there is."""
        return Single(type="single")

    def close(self) -> None:
        """Nothing is left of a run."""

    async def discover(self) -> object:
        """Return the catalog."""
        return {
            "streams": [
                {
                    "stream": self._stream(obj),
                    "tap_stream_id": self._stream(obj),
                    "schema": self._schema(obj),
                    "key_properties": [self.documented(obj).id],
                    "metadata": [{"breadcrumb": [], "metadata": {"inclusion": "available"}}],
                }
                for obj in self.rows
            ]
        }

    async def run(self, files: Mapping[str, str]) -> AsyncGenerator[Line, None]:
        """Yield the lines of a run. Raises TapFailedError unless it ends well."""
        self.runs += 1
        given = {name: load(text) for name, text in files.items()}
        lines = self.edit([*self._lines(given.get("catalog"), given.get("state"))])
        self.written = 0
        for line in lines:
            self.written += 1
            if self.written == self.fails_at:
                raise TapFailedError("the tap failed: exit code 1")
            yield Line(line)

    def _lines(self, catalog: Any, state: Any) -> Iterator[bytes]:
        for entry in catalog["streams"] if catalog else ():
            [root] = [each for each in entry["metadata"] if each["breadcrumb"] == []]
            for obj in self.rows:
                if self._stream(obj) == entry["stream"] and root["metadata"].get("selected"):
                    yield from self._told(obj, root["metadata"], state)

    def _told(self, obj: str, words: Mapping[str, Any], state: Any) -> Iterator[bytes]:
        stream, documented = self._stream(obj), self.documented(obj)
        yield dump(
            {
                "type": "SCHEMA", "stream": stream, "schema": self._schema(obj),
                "key_properties": [documented.id],
            }
        )  # fmt: skip
        rows = self.visible(obj)[: self.quirks.shown_rows]
        is_whole = words.get("replication-method") != "INCREMENTAL"
        since = None if is_whole or not state else state["bookmarks"].get(stream)
        shown = [each for each in rows if since is None or self._stamp(each, obj) >= since]
        told = self.quirks.reshape([each.row for each in shown])
        self.pages += bool(told)
        for row in told:
            yield dump({"type": "RECORD", "stream": stream, "record": row})
        if shown and documented.changed_at is not None:
            newest = max(self._stamp(each, obj) for each in shown)
            yield dump({"type": "STATE", "value": {"bookmarks": {stream: newest}}})

    def _stamp(self, stored: Stored, obj: str) -> str:
        documented = self.documented(obj)
        assert documented.changed_at is not None
        return str(documented.changed_at.format.write(stored.stamp))

    def _stream(self, obj: str) -> str:
        return str(self.documented(obj).lists[0].table)

    def _schema(self, obj: str) -> dict[str, Any]:
        sample = self.template(obj)
        properties = {name: {"type": ["null", *_types(sample[name])]} for name in sample}
        return {"type": "object", "properties": properties}


def _types(value: object) -> list[str]:
    """What JSON schema calls the type of a value."""
    match value:
        case bool():
            return ["boolean"]
        case int() | Decimal():
            return ["number"]
        case str():
            return ["string"]
        case list():
            return ["array"]
        case dict():
            return ["object"]
    return ["string", "number", "boolean"]
