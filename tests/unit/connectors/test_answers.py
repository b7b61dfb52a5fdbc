"""Answers of another shape, as their errors put them: fields by name, content never."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated

import pytest
from pydantic import AfterValidator, Field

from connectors.dispatch import answers as dispatched
from connectors.polled import answers as polled
from schemas.errors import PsaStreamError

SECRET = "s3cret of a customer"


def _refuse(_value: str) -> str:
    raise ValueError("is not what we need")


class Written(dispatched.Answer):
    id: int
    name: Annotated[str, Field(max_length=3)] = ""
    note: Annotated[str, AfterValidator(_refuse)] = ""


class Read(polled.Answer):
    id: int
    name: Annotated[str, Field(max_length=3)] = ""
    note: Annotated[str, AfterValidator(_refuse)] = ""


READERS: dict[str, Callable[[object], object]] = {
    "write": lambda body: dispatched.read_answer(Written, body, system="erp", is_read=False),
    "read back": lambda body: dispatched.read_answer(Written, body, system="erp", is_read=True),
    "poll": lambda body: polled.read_answer(Read, body, of="erp rows"),
}

BODIES: dict[str, object] = {
    "wrong type": {"id": SECRET},
    "too long": {"id": 1, "name": SECRET},
    "refused by a validator": {"id": 1, "note": SECRET},
    "object for a number": {"id": {"name": SECRET}},
    "text": SECRET,
    "list": [SECRET],
    "missing, among others": {"name": "x", "other": SECRET},
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_error_of_an_answer_never_holds_what_the_vendor_wrote(
    read: Callable[[object], object], body: object
) -> None:
    with pytest.raises(PsaStreamError) as caught:
        read(body)
    error = caught.value
    assert SECRET not in str(error)
    assert SECRET not in repr(error.context)
    assert SECRET not in "".join(traceback.format_exception(error))  # with its cause, as in a log


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("value", ["1", 1.0, True, None, Decimal(1)])
def test_a_field_of_another_type_is_not_made_to_fit(
    read: Callable[[object], object], value: object
) -> None:
    with pytest.raises(PsaStreamError):
        read({"id": value})


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_fields_that_nobody_reads_are_let_pass(read: Callable[[object], object]) -> None:
    assert read({"id": 1, "name": "x", "other": SECRET}) == read({"id": 1, "name": "x"})
