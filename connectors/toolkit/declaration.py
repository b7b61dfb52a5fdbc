"""Files in which a folder declares how its system is asked: YAML, held against a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from schemas.errors import ConfigError
from schemas.yaml_text import line_of, read_document

Model = TypeVar("Model", bound=BaseModel)

Problem = tuple[tuple[object, ...], str]
"""The place in the document, and what is wrong there."""


def parse_declared(text: str, file: str, model: type[Model], hint: str) -> Model:
    """Return what a file declares. Raises ConfigError naming every problem with its line."""
    document = read_document(text, file, hint=hint)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        problems = [
            (problem["loc"], f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}")
            for problem in error.errors(include_url=False, include_input=False)
        ]
        raise declared_wrong(text, file, problems, hint) from error


def declared_wrong(text: str, file: str, problems: Sequence[Problem], hint: str) -> ConfigError:
    """Return the error that names every problem of a file with its line."""
    lines = [f"line {line_of(text, path)}: {problem}" for path, problem in problems]
    return ConfigError(
        f"{file} is not valid: {'; '.join(lines)}",
        problems=[f"{file}: {line}" for line in lines],
        hint=hint,
    )
