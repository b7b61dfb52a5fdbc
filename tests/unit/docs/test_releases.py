"""What a release promises of names, versions and days."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import yaml

from psastream.check.files import Files, read_configuration
from psastream.exits import settings_from_environment
from psastream.verdict import Verdict
from runtime.deprecations import DEPRECATIONS, Deprecation
from tests.support import releases
from tests.support.logging_back import logging_put_back
from tests.support.public_names import CHART, REPOSITORY, public_names
from tests.support.releases import Release, broken, changes, check_next, gone, moved, too_early

NAME = Deprecation("settings", "PSASTREAM_OLD", "0.1.0", "set PSASTREAM_NEW instead")
BEFORE = Release("0.1.0", {"settings": ["PSASTREAM_OLD"]}, {"project": 5})
NOW = Release("0.1.0", {"settings": ["PSASTREAM_NEW"]}, {"project": 5})
DAYS = {"0.1.0": date(2026, 1, 1)}


def test_nothing_public_went_away_without_its_end_announced() -> None:
    assert broken(releases.last(), releases.current()) == [], (
        "keep the old name, too, and announce its end in runtime/deprecations.py (docs/releases.md)"
    )


@pytest.mark.parametrize("kind", sorted(public_names()))
def test_names_of_every_kind_are_listed(kind: str) -> None:
    names = releases.last().names[kind]
    assert len(names) > 30
    assert names == sorted(set(names))


def test_a_name_that_went_away_is_found_and_an_announced_one_may() -> None:
    assert gone(BEFORE, NOW) == [("settings", "PSASTREAM_OLD")]
    assert broken(BEFORE, NOW, []) == ["settings: PSASTREAM_OLD"]
    assert broken(BEFORE, NOW, [replace(NAME, since="0.2.0")]) == ["settings: PSASTREAM_OLD"]
    assert broken(BEFORE, NOW, [NAME]) == []
    assert list(changes(BEFORE, NOW))[1:] == [
        "gone  settings: PSASTREAM_OLD",
        "new   settings: PSASTREAM_NEW",
    ]


def test_an_announced_name_works_for_180_days() -> None:
    assert too_early(BEFORE, NOW, DAYS, date(2026, 6, 29), [NAME]) == [
        "settings: PSASTREAM_OLD may go on 2026-06-30"
    ]
    assert too_early(BEFORE, NOW, DAYS, date(2026, 6, 30), [NAME]) == []


@pytest.mark.parametrize(
    ("version", "now", "refused"),
    [
        ("0.1.0", BEFORE, "is not after"),
        ("0.2.0", NOW, "public names are gone: settings: PSASTREAM_OLD"),
        ("0.1.1", replace(BEFORE, layouts={"project": 6}), "takes a minor version"),
    ],
)
def test_a_release_that_breaks_a_promise_is_refused(
    version: str, now: Release, refused: str
) -> None:
    with pytest.raises(releases.RefusedError, match=refused):
        check_next(version, BEFORE, now, date(2027, 1, 1))


def test_a_cut_writes_the_version_wherever_it_is_named_the_day_and_the_names(
    tmp_path: Path,
) -> None:
    for name in (*releases.NAMING, "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    now = replace(NOW, version=releases.product_version())

    releases.write("7.8.9", now, date(2027, 1, 2), tmp_path)

    for name in releases.NAMING:
        text = (tmp_path / name).read_text()
        assert "7.8.9" in text
        assert not re.search(rf"psastream[:-]{re.escape(now.version)}", text)
    assert tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]["version"] == "7.8.9"
    changelog = (tmp_path / "CHANGELOG.md").read_text()
    assert changelog.split("\n## ")[1].strip() == "Unreleased"
    assert next(iter(releases.dates(changelog).items())) == ("7.8.9", date(2027, 1, 2))
    [written] = releases.releases(tmp_path / releases.FOLDER.relative_to(REPOSITORY))
    assert written == replace(now, version="7.8.9")


def test_groups_whose_state_is_computed_again_are_told_in_the_changelog() -> None:
    unreleased = releases.CHANGELOG.read_text().split("\n## ")[1]
    for group in moved(releases.last(), releases.current()):
        assert re.search(rf"\b[Ss]tate of\b[^.]*\b{group}\b", unreleased), group


def test_the_changelog_lists_releases_with_their_days_the_last_one_first() -> None:
    text = releases.CHANGELOG.read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    days = releases.dates(text)

    assert headings == ["Unreleased", *(f"{version} - {day}" for version, day in days.items())]
    assert [*days] == [it.version for it in reversed(releases.releases())]
    assert [*days.values()] == sorted(days.values(), reverse=True)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds


def test_what_the_changelog_said_of_a_release_stays() -> None:
    """A line for what came later belongs under Unreleased."""
    version = releases.last().version
    commit = releases.commit_of(version)
    if commit is None:
        pytest.skip(f"the history here does not reach back to {version}")

    assert section(releases.CHANGELOG.read_text(), version) == section(
        releases.file_at(commit, "CHANGELOG.md"), version
    )


def section(changelog: str, version: str) -> str:
    return changelog.split(f"\n## {version} - ")[1].split("\n## ", maxsplit=1)[0]


def test_the_last_release_and_whatever_names_a_version_agree() -> None:
    version = releases.product_version()
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert version == releases.last().version == chart["version"] == chart["appVersion"]
    for page in ("install", "kubernetes"):
        text = (REPOSITORY / "docs" / f"{page}.md").read_text()
        named = re.findall(r"psastream(?:-connect)?[:-](\d+\.\d+\.\d+)", text)
        assert named
        assert set(named) == {version}


def test_what_is_announced_was_public_and_is_told_in_the_changelog() -> None:
    text = releases.CHANGELOG.read_text()
    known = {it.version: it.names for it in releases.releases()}
    known["Unreleased"] = public_names()
    for each in DEPRECATIONS:
        assert each.name in known.get(each.since, known["Unreleased"])[each.kind]
        assert f"`{each.name}`" in text


def test_a_variable_that_is_deprecated_and_set_warns_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("PSASTREAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PSASTREAM_BOOTSTRAP_SERVERS", "localhost:9092")
    monkeypatch.setenv("PSASTREAM_REGISTRY_URL", "http://localhost:8081")
    set_here = replace(NAME, name="PSASTREAM_REGISTRY_URL")

    with logging_put_back():
        settings_from_environment([set_here, NAME])

    told = capsys.readouterr().err
    assert "settings.deprecated" in told
    assert "PSASTREAM_REGISTRY_URL is deprecated since 0.1.0" in told
    assert "set PSASTREAM_NEW instead" in told
    assert "PSASTREAM_OLD" not in told


def test_check_warns_of_a_variable_that_is_deprecated_and_set() -> None:
    environment = {
        "PSASTREAM_BOOTSTRAP_SERVERS": "localhost:9092",
        "PSASTREAM_REGISTRY_URL": "http://localhost:8081",
    }
    set_here = replace(NAME, name="PSASTREAM_REGISTRY_URL")

    found = read_configuration(
        Files(), environment, needs_addresses=True, deprecations=[set_here, NAME]
    )

    warned = [each for each in found.findings if each.verdict is Verdict.WARN]
    assert [(each.area, each.subject) for each in warned] == [
        ("variables", "PSASTREAM_REGISTRY_URL")
    ]
    assert "set PSASTREAM_NEW instead" in warned[0].remedy
