"""What `docs/read-model.md` says of the star schema, made from its files."""

from __future__ import annotations

from psastream.read_model.star import StarView, star_views


def page() -> str:
    """A section a view, a row a column."""
    return "\n\n".join(map(_section, star_views()))


def _section(view: StarView) -> str:
    key = ", ".join(f"`{name}`" for name in view.key)
    title = f"### {view.name}" + (f" ({view.like})" if view.like else "")
    lines = [title, "", f"{view.summary} One row for each {key}.", ""]
    lines += ["| column | unit | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{it.name}` | {it.unit} | {it.meaning} |" for it in view.columns]
    return "\n".join(lines)
