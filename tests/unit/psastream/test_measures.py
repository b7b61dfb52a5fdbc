"""Measures of the firm's own are read from files and folders, and are topics of the firm."""

from __future__ import annotations

from pathlib import Path

import pytest

from psastream.landscape import ANY_ADDRESSES, read_firm
from psastream.measures import read_measures
from runtime.settings import Settings
from schemas.errors import ConfigError

TEXT = """-- name: NAME
-- key: currency
-- sums: amount
-- unit: currency
-- period: none
SELECT currency, SUM(amount) AS amount FROM expense GROUP BY currency
"""


def written(folder: Path, *names: str) -> list[Path]:
    files = []
    for number, name in enumerate(names):
        files.append(folder / f"{number}.sql")
        files[-1].write_text(TEXT.replace("NAME", name))
    return files


def test_measures_of_a_folder_and_of_files_are_topics_of_the_firm(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (file,) = written(tmp_path / "more", "spent_too")
    written(tmp_path, "spent")
    named = {"PSASTREAM_MEASURES": f"{tmp_path}:{file}"}
    firm = read_firm(Settings.from_env({**ANY_ADDRESSES, **named}))
    assert [each.name for each in firm.measures] == ["spent", "spent_too"]
    names = [topic.name for topic in firm.topics]
    assert names[-2:] == ["psa.metric.spent", "psa.metric.spent_too"]
    without = read_firm(Settings.from_env(ANY_ADDRESSES))
    assert (without.measures, len(names)) == ((), len(without.topics) + 2)


def test_every_problem_of_every_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    good, twice, bad = written(tmp_path, "spent", "spent", "Bad")
    paths = [good, twice, bad, tmp_path / "none", tmp_path / "no.sql"]
    with pytest.raises(ConfigError) as raised:
        read_measures(paths)
    problems = raised.value.problems
    assert len(problems) == 4
    assert problems[0] == f"{tmp_path / 'none'} holds no file that ends in .sql"
    assert problems[1] == f"{twice}: there is another measure spent"
    assert problems[2].startswith(f"{bad}: line 1: 'Bad' is no name")
    assert problems[3].startswith(f"{tmp_path / 'no.sql'} cannot be read: ")
