"""The star schema: SQL files in `star/`, each a view with what its columns mean.

A file may say `like: NAME`: the columns of that view of `psastream sql` come first, with the same
names and meanings, and the view has its name, too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from importlib.resources import files
from typing import Final

from psastream.query.session import METRIC
from psastream.query.views import SUFFIX, Column, packaged_views, parse_view
from psastream.read_model.landing import LandingTable

SCHEMA: Final = "psa"
BI_ROLE: Final = "psastream_bi"
PAY_ROLE: Final = "psastream_pay"
PAY_PREFIX: Final = "pay_"
"""Views for the role that may see what people cost; row-level security of the tables decides."""
_LIKE: Final = "-- like: "
_LANDING: Final = re.compile(r"\blanding\.")
_VIEW: Final = re.compile(rf"\b{SCHEMA}\.(\w+)")


@dataclass(frozen=True, slots=True)
class StarView:
    """A dimension, a fact, or a view for the pay role. `like`: its name in `psastream sql`."""

    name: str
    summary: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    query: str
    like: str | None = None

    @property
    def is_pay(self) -> bool:
        """Whether it is for the pay role alone."""
        return self.name.startswith(PAY_PREFIX)


@cache
def star_views() -> tuple[StarView, ...]:
    """Return the star schema: each view after those that it is made of."""
    folder = files("psastream.read_model") / "star"
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(SUFFIX))
    found = {name: parse_star(name, (folder / f"{name}{SUFFIX}").read_text())
             for name in (each.removesuffix(SUFFIX) for each in names)}  # fmt: skip
    made_of = {name: set(_VIEW.findall(view.query)) for name, view in found.items()}
    return tuple(found[name] for name in TopologicalSorter(made_of).static_order())


def parse_star(name: str, text: str) -> StarView:
    """Read the file of a view."""
    view = parse_view(name, text)
    likes = [line.removeprefix(_LIKE) for line in text.splitlines() if line.startswith(_LIKE)]
    if not likes:
        return StarView(name, view.summary, view.key, view.columns, view.query)
    [twin] = [each for each in packaged_views() if each.name == likes[0]]
    own = {column.name: column for column in view.columns}
    shared = tuple(own.pop(column.name, column) for column in twin.columns)
    columns = (*shared, *own.values())
    return StarView(name, view.summary or twin.summary, twin.key, columns, view.query, twin.name)


def star_fingerprint(tables: Sequence[LandingTable]) -> str:
    """Return what tells one star schema from another."""
    text = "".join(statement for statement in publication("landing", tables))
    return hashlib.sha256(text.encode()).hexdigest()


def publication(landing: str, tables: Sequence[LandingTable]) -> Iterator[str]:
    """Yield the statements that make the views on a landing schema, or move them to it."""
    for view in star_views():
        options = " WITH (security_invoker = true)" if view.is_pay else ""
        query = _LANDING.sub(f"{landing}.", view.query)
        yield f"CREATE OR REPLACE VIEW {SCHEMA}.{view.name}{options} AS {query}"
        if view.like:
            query = f"SELECT * FROM {SCHEMA}.{view.name}"
            yield f"CREATE OR REPLACE VIEW {SCHEMA}.{view.like} AS {query}"
    for name, table in own_measures(tables).items():
        listed = ", ".join(f'"{column}"' for column in table.columns)
        yield (
            f'CREATE OR REPLACE VIEW {SCHEMA}."{name}" AS'
            f' SELECT {listed} FROM {landing}."{table.name}"'
        )
    yield from _comments()
    yield from _own_comments(tables)
    yield from _grants(landing, tables)


def published_names(tables: Sequence[LandingTable]) -> list[str]:
    """Return the names of all views, those first that others are made of."""
    names = [name for view in star_views() for name in (view.name, view.like) if name]
    return [*names, *own_measures(tables)]


def own_measures(tables: Sequence[LandingTable]) -> dict[str, LandingTable]:
    """Return the tables of the firm's own measures, by their names."""
    return {
        table.topic.name.removeprefix(METRIC): table
        for table in tables
        if table.topic.contract is not None and table.topic.name.startswith(METRIC)
    }


def _comments() -> Iterator[str]:
    for view in star_views():
        for name in (view.name, view.like):
            if name is None:
                continue
            yield f"COMMENT ON VIEW {SCHEMA}.{name} IS {_text(view.summary)}"
            for column in view.columns:
                said = _text(f"{column.unit}: {column.meaning}")
                yield f'COMMENT ON COLUMN {SCHEMA}.{name}."{column.name}" IS {said}'


def _own_comments(tables: Sequence[LandingTable]) -> Iterator[str]:
    """Yield what the contracts of the firm's own measures say of them, units among it."""
    for name, table in own_measures(tables).items():
        assert table.topic.contract is not None, name
        record = json.loads(table.topic.contract.text)
        if said := record.get("doc"):
            yield f'COMMENT ON VIEW {SCHEMA}."{name}" IS {_text(said)}'
        for field in record["fields"]:
            if said := field.get("doc"):
                yield f'COMMENT ON COLUMN {SCHEMA}."{name}"."{field["name"]}" IS {_text(said)}'


def _grants(landing: str, tables: Sequence[LandingTable]) -> Iterator[str]:
    yield f"GRANT USAGE ON SCHEMA {SCHEMA} TO {BI_ROLE}, {PAY_ROLE}"
    yield f"GRANT USAGE ON SCHEMA {landing} TO {PAY_ROLE}"
    for view in star_views():
        if view.is_pay:
            yield f"GRANT SELECT ON {SCHEMA}.{view.name} TO {PAY_ROLE}"
            continue
        for name in filter(None, (view.name, view.like)):
            yield f"GRANT SELECT ON {SCHEMA}.{name} TO {BI_ROLE}, {PAY_ROLE}"
    for name in own_measures(tables):
        yield f'GRANT SELECT ON {SCHEMA}."{name}" TO {PAY_ROLE}'
    for table in tables:
        if table.has_pay:
            yield f'GRANT SELECT ON {landing}."{table.name}" TO {PAY_ROLE}'


def _text(said: str) -> str:
    return "'" + said.replace("'", "''") + "'"
