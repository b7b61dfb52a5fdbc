"""The problems of a mapping.yaml as one error that names each with its place."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.errors import ConfigError
from schemas.yaml_text import line_of, position_of

Problem = tuple[tuple[object, ...], str, int | None]
"""Where in the file it is, as names and positions from its root, and what it is.

With a number, it is at that character of the text there.
"""


def refusal(text: str, file: str, problems: Sequence[Problem]) -> ConfigError:
    """The error of a file that has these problems."""
    lines = [f"{_where(text, path, at)}: {problem}" for path, problem, at in problems]
    return ConfigError(
        f"{file}: mapping is not valid: {'; '.join(lines)}",
        problems=[f"{file}: {problem}" for problem in lines],
        hint="names are those of the avro contracts: the system's own, and schemas/avro",
    )


def _where(text: str, path: tuple[object, ...], at: int | None) -> str:
    if at is None:
        return f"line {line_of(text, path)}"
    line, column = position_of(text, path, at)
    return f"line {line}, column {column}"
