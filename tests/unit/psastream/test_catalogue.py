"""The printed catalogue of topics."""

import pytest

from psastream.catalogue import print_catalogue
from schemas.topics import CATALOGUE


def test_no_name_is_cut_off_however_narrow_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_catalogue()
    printed = capsys.readouterr().out.split()
    assert {topic.name for topic in CATALOGUE} <= set(printed)
