"""What a vendor's answer must look like before anything reads it.

A whole answer is parsed by a model, and one that does not fit is an error of the object that was
asked for: it pauses and says so. The rows in it are still anything; they are parsed one by one, so
that a bad row is an error of that row only.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from connectors.toolkit.body import Several
from connectors.toolkit.faults import UnreadableBodyError
from schemas.errors import SchemaMismatchError

_REASONS_MAX: Final = 3


class Answer(BaseModel):
    """Base of the models: fields of the right type, strangers let pass."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", hide_input_in_errors=True)


Model = TypeVar("Model", bound=Answer)


def read_instant(value: object) -> datetime:
    """Return a UTC instant; text without a zone is UTC. Raises ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError(f"{name_of(value)} is not a time")
    try:
        instant = datetime.fromisoformat(value)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError("the text is not a time between the years 1 and 9999") from error


Instant = Annotated[datetime, BeforeValidator(read_instant)]
"""A time as text, read as UTC."""


def read_answer(model: type[Model], body: object, *, of: str) -> Model:
    """Return the parsed answer; `of` names what was asked.

    Raises UnreadableBodyError for an answer without content, which asking again may cure, and
    SchemaMismatchError for another shape.
    """
    if body is None:
        raise UnreadableBodyError(
            f"{of} came without content", hint="a proxy, or the vendor is in trouble"
        )
    try:
        return model.model_validate(body)
    except ValidationError as error:
        reasons = [
            ".".join(str(part) for part in problem["loc"]) + f" {problem['msg']}".rstrip()
            for problem in error.errors(include_input=False, include_url=False)[:_REASONS_MAX]
        ]
        raise SchemaMismatchError(
            f"{of} has another shape than documented: {'; '.join(reasons).strip()}",
            hint="see the vendor's release notes; the object is read again when the shape is back",
        ) from error


def read_list(body: object, *, of: str) -> list[Any]:
    """Return an answer that is a bare list. Raises as `read_answer`."""
    if body is None:
        raise UnreadableBodyError(
            f"{of} came without content", hint="a proxy, or the vendor is in trouble"
        )
    if not isinstance(body, list):
        raise SchemaMismatchError(f"{of} is {name_of(body)}, not a list")
    return body


def name_of(value: object) -> str:
    """Return what JSON calls the type of a value."""
    return _NAMES.get(type(value), "a number")


_NAMES: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "a truth value",
    str: "a text",
    list: "a list",
    dict: "an object",
    Several: "a name that is there twice",
}
