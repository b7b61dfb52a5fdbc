"""The printed catalogue of topics."""

import json

import pytest

from psastream.catalogue import catalogue_json, print_catalogue
from tests.support.catalogue import CATALOGUE


def test_no_name_is_cut_off_however_narrow_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # of what reads it: no terminal
    print_catalogue(CATALOGUE)
    printed = capsys.readouterr().out.split()
    assert {topic.name for topic in CATALOGUE} <= set(printed)
    assert {"psa.source.float.Person", "canonical/project"} <= set(printed)


def test_a_terminal_of_80_columns_shows_what_people_look_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_catalogue(CATALOGUE, 80)
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["topic", "kept", "owner"]
    assert {topic.name for topic in CATALOGUE} <= {line.split()[0] for line in lines if line}
    assert max(map(len, lines)) <= 80
    assert ["psa.project", "compact", "normalize"] in [line.split() for line in lines]


def test_the_catalogue_as_json_names_the_contract_of_each_topic() -> None:
    topics = {topic["name"]: topic for topic in json.loads(catalogue_json(CATALOGUE))}
    assert topics.keys() == {topic.name for topic in CATALOGUE}
    assert topics["src.float.person"]["record"] == "psa.source.float.Person"
    assert topics["psa.project"]["record"] == "canonical/project"
    assert topics["src.inhouse.projects"]["record"] is None
