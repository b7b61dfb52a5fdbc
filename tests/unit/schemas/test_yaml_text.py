"""YAML that is no file of ours is refused with its line, in a time that its length bounds."""

from __future__ import annotations

import pytest

from schemas.errors import ConfigError
from schemas.yaml_text import line_of, read_document

PLACE = "schemas/yaml_text.py"


@pytest.mark.fault("D9", place=PLACE)
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (r'"\UFFFFFFFF"', "no character"),
        (r'"\U00110000"', "no character"),
        (r'"\uD800"', "half a character"),
        (r'"ok \uDC00"', "half a character"),
        (r'{"\uD800": 1}', "half a character"),
        ("1" + ":1" * 200 + ".5", "no value of .*float"),
        ("1" + ":1" * 100_000, "no value of .*int"),
        ("0x" + "f" * 100_000, "no value of .*int"),
        ("1" * 65, "no value of .*int"),
        ("." + "1" * 64, "no value of .*float"),
        ("{1: a, 01: b}", "01 is there twice"),
        ("{1: a, 0x1: b}", "0x1 is there twice"),
        ("{1: a, 1.0: b}", "1.0 is there twice"),
        ("{1: a, true: b}", "true is there twice"),
        ("{yes: a, on: b}", "on is there twice"),
        ("{~: a, null: b}", "null is there twice"),
        ("{a: 1, 'a': 2}", "a is there twice"),
        ("{.nan: 1, .NaN: 2}", ".NaN is there twice"),
        ("{!!map x: 1}", "expected a mapping node"),
    ],
)
def test_d9_what_python_makes_no_value_of_is_refused_with_its_line(
    value: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=f"^it is not yaml: line 3: .*{problem}") as refused:
        read_document(f"a: 1\nb: 2\nc: {value}\nd: 3\n", "it")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (r'"\U0010FFFF"', "\U0010ffff"),
        ("1" * 64, int("1" * 64)),
        ("." + "1" * 63, 0.1111111111111111),
        ("1:30", 90),
        ("x" * 1000, "x" * 1000),
        ("{1: a, '1': b, 2: c}", {1: "a", "1": "b", 2: "c"}),
    ],
)
def test_other_values_are_read_as_they_are(value: str, read: object) -> None:
    assert read_document(f"c: {value}\n", "it") == {"c": read}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ([], 1),
        (["a"], 1),
        (["a", 0], 2),
        (["a", 1], 3),
        (["a", 1, "y"], 4),
        (["a", 1, "z"], 3),
        (["a", 2], 1),
        (["b", 1], 6),
        (["b", "x"], 5),
        (["c"], 1),
    ],
)
def test_a_part_stands_where_its_name_does_or_what_it_would_be_in(
    path: list[object], line: int
) -> None:
    text = "a:\n  - 1\n  - x: 1\n    y: 2\nb:\n  1: x\n"
    assert line_of(text, path) == line


def test_the_lines_of_many_problems_are_found_in_one_reading() -> None:
    """Read anew for each, the text would take a quarter of an hour."""
    text = "".join(f"name_{number}: {number}\n" for number in range(5_000))
    lines = [line_of(text, [f"name_{number}"]) for number in range(5_000)]
    assert lines == list(range(1, 5_001))
