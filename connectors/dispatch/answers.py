"""Answers of a target, checked at the edge: a model says what is used, the rest may be anything.

An answer of another shape is a sick proxy or a changed API, never a reason to end: after a write
nobody can tell what came of it, so its outcome is unknown; a read is repeated.
"""

from __future__ import annotations

from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from connectors.toolkit.faults import UnclearAnswerError

NAMES_SHOWN: Final = 5
NAME_LENGTH: Final = 40


class Answer(BaseModel):
    """Base of the models of answers: strict on the fields named, lenient on others."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", hide_input_in_errors=True)


AnyAnswer = TypeVar("AnyAnswer", bound=Answer)


def read_answer(model: type[AnyAnswer], body: object, *, system: str, is_read: bool) -> AnyAnswer:
    """Return the body as the model.

    Raises UnclearAnswerError naming the shape that came instead, with `outcome_unknown` set
    for the answer of a write. The message holds names of fields, never their content.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part)[:NAME_LENGTH] for part in first["loc"])
        detail = f"{shape_of(body)}; {where or 'the body'}: {first['msg']}"
        raise unexpected(detail, system=system, is_read=is_read) from error


def unexpected(detail: str, *, system: str, is_read: bool) -> UnclearAnswerError:
    """Return the error for an answer of a shape that nobody can use."""
    return UnclearAnswerError(
        f"{system} sent an answer of an unexpected shape: {detail}",
        outcome_unknown=not is_read,
        context={"system": system},
    )


def shape_of(value: object) -> str:
    """Say what a JSON value looks like, without its content.

    >>> shape_of({"id": 7, "name": "x"})
    'an object with id, name'
    """
    match value:
        case None:
            return "an empty body"
        case dict():
            names = [str(name)[:NAME_LENGTH] for name in list(value)[:NAMES_SHOWN]]
            more = ", …" if len(value) > NAMES_SHOWN else ""
            return (
                f"an object with {', '.join(names)}{more}" if names else "an object without fields"
            )
        case list():
            return f"a list of {len(value)}"
        case str():
            return "a text"
        case bool():
            return "a truth value"
        case _:
            return "a number"
