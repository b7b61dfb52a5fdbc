"""What `docs/sql.md` says of each view, made from its file and the types DuckDB gives it."""

from __future__ import annotations

from psastream.query.session import Session
from psastream.query.views import View, packaged_views
from tests.support.catalogue import CATALOGUE


def page() -> str:
    """A section a view, a row a column."""
    session = Session(CATALOGUE, packaged_views(), lambda _: ())
    return "\n\n".join(
        _section(view, dict(session.columns_of(view.name))) for view in session.views.values()
    )


def _section(view: View, types: dict[str, str]) -> str:
    key = ", ".join(f"`{name}`" for name in view.key)
    lines = [f"### {view.name}", "", f"{view.summary} One row for each {key}.", ""]
    lines += ["| column | type | unit | meaning |", "| --- | --- | --- | --- |"]
    for column in view.columns:
        kind = types[column.name].replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")
        lines.append(f"| `{column.name}` | {kind} | {column.unit} | {column.meaning} |")
    return "\n".join(lines)
