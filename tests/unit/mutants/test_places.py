"""Which lines count as running what stands at a place: tests of others would notice nothing."""

from textwrap import dedent

import pytest

from tests.mutants.places import Layout

SOURCE = dedent(
    """\
    LIMIT = 5

    RULES = {
        "first": Rule(True, lambda months:
            months + 1),
        "second": Rule(
            False,
            lambda months: sum(
                month * 2
                for month in months
            ),
        ),
    }


    @cached(16)
    def total(
        numbers, start=3
    ):
        picked = sorted(
            numbers,
            key=lambda number:
                -number,
        )
        for number in picked:
            start += number * 2
        return start
    """
)


def place(text: str) -> tuple[int, int]:
    """Line and column at which a text stands."""
    before = SOURCE[: SOURCE.index(text)]
    return before.count("\n") + 1, len(before) - before.rfind("\n") - 1


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("5", (1, 1)),
        ("months + 1", (5, 5)),
        ("month * 2", (8, 11)),  # of a lambda its body
        ("True, lambda", (3, 13)),  # what stands beside it belongs to the statement
        ("numbers,\n        key", (20, 24)),
        ("-number", (23, 23)),
        ("number in picked", (25, 25)),  # of a loop its head
        ("number * 2", (26, 26)),
    ],
)
def test_a_place_is_run_by_the_lines_of_its_lambda_or_its_statement(
    text: str, lines: tuple[int, int]
) -> None:
    found = Layout.of(SOURCE).lines(*place(text))
    assert (found.start, found.stop - 1) == lines


@pytest.mark.parametrize(
    ("text", "at_import"),
    [
        ("5", True),
        ("True, lambda", True),
        ("False", True),
        ("months + 1", False),
        ("month * 2", False),
        ("16", True),
        ("3\n", True),
        ("numbers,\n        key", False),
        ("-number", False),
        ("return start", False),
    ],
)
def test_what_stands_in_no_function_and_no_lambda_runs_at_import(
    text: str, at_import: bool
) -> None:
    assert Layout.of(SOURCE).runs_at_import(*place(text)) == at_import
