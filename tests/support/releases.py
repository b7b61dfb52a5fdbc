"""Releases: what was public in each, what is gone since, and how the next one is cut.

`python -m tests.support.releases` says what changed since the last one; `cut VERSION` writes the
files of the next (`docs/releases.md`). The commit that adds `tests/golden/releases/VERSION.json` is
the release.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from runtime.deprecations import DEPRECATIONS, Deprecation
from tests.support.public_names import REPOSITORY, public_names, state_layouts

FOLDER: Final = REPOSITORY / "tests" / "golden" / "releases"
CHANGELOG: Final = REPOSITORY / "CHANGELOG.md"
PYPROJECT: Final = REPOSITORY / "pyproject.toml"
NAMING: Final = (
    "pyproject.toml", "deploy/helm/psastream/Chart.yaml", "deploy/image/Dockerfile",
    "docs/images.md", "docs/install.md", "docs/kubernetes.md", "tests/docs/not_executed.toml",
)  # fmt: skip
"""Files that name the version of the product; `cut` changes it in all of them."""
NOTICE: Final = timedelta(days=180)
"""Least time between the release that announces an end and the one without the name."""
UNRELEASED: Final = "## Unreleased"
_HEADING: Final = re.compile(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2})$", re.MULTILINE)


class RefusedError(Exception):
    """A release that cannot be; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Release:
    """What was public in a release, and the layouts of its state."""

    version: str
    names: Mapping[str, Sequence[str]]
    layouts: Mapping[str, int]


def product_version() -> str:
    """Return the version that the package says."""
    return str(tomllib.loads(PYPROJECT.read_text())["project"]["version"])


def order(version: str) -> tuple[int, ...]:
    """Return what versions are sorted by."""
    return tuple(map(int, version.split(".")))


def releases(folder: Path = FOLDER) -> list[Release]:
    """Return every release, the first one first."""
    paths = sorted(folder.glob("*.json"), key=lambda path: order(path.stem))
    return [Release(path.stem, **json.loads(path.read_text())) for path in paths]


def last() -> Release:
    """Return the last release."""
    return releases()[-1]


def current() -> Release:
    """Return what is public now."""
    return Release(product_version(), public_names(), state_layouts())


def dates(changelog: str) -> dict[str, date]:
    """Return the day of each release, the last one first."""
    return {version: date.fromisoformat(day) for version, day in _HEADING.findall(changelog)}


def gone(before: Release, now: Release) -> list[tuple[str, str]]:
    """Return kind and name of what was public before and is no more."""
    return [
        (kind, name)
        for kind, names in before.names.items()
        for name in names
        if name not in set(now.names.get(kind, ()))
    ]


def moved(before: Release, now: Release) -> list[str]:
    """Return the groups whose state is computed again by an upgrade."""
    return [name for name, it in now.layouts.items() if before.layouts.get(name, it) != it]


def broken(
    before: Release, now: Release, deprecations: Iterable[Deprecation] = DEPRECATIONS
) -> list[str]:
    """Return what went away without its end having been announced by the release before."""
    announced = {
        (each.kind, each.name)
        for each in deprecations
        if order(each.since) <= order(before.version)
    }
    return [f"{kind}: {name}" for kind, name in gone(before, now) if (kind, name) not in announced]


def too_early(
    before: Release,
    now: Release,
    days: Mapping[str, date],
    today: date,
    deprecations: Iterable[Deprecation] = DEPRECATIONS,
) -> list[str]:
    """Return what would go away before its time: `NOTICE` after the release that announced it."""
    missing = set(gone(before, now))
    return [
        f"{each.kind}: {each.name} may go on {days[each.since] + NOTICE}"
        for each in deprecations
        if (each.kind, each.name) in missing and today < days[each.since] + NOTICE
    ]


def check_next(version: str, before: Release, now: Release, today: date) -> None:
    """Raise RefusedError where what changed since the last release does not fit a version."""
    text = CHANGELOG.read_text()
    problems = [*broken(before, now), *too_early(before, now, dates(text), today)]
    if problems:
        raise RefusedError(f"public names are gone: {'; '.join(problems)}")
    was, will = order(before.version), order(version)
    if will <= was:
        raise RefusedError(f"{version} is not after {before.version}")
    if will[:2] == was[:2] and (gone(before, now) or moved(before, now)):
        raise RefusedError(
            f"{version} is a patch of {before.version}: public names or layouts of state changed,"
            " which takes a minor version"
        )
    if not text.split(UNRELEASED, 1)[1].split("\n## ", 1)[0].strip():
        raise RefusedError("nothing stands under Unreleased in CHANGELOG.md")


def write(version: str, now: Release, today: date, root: Path = REPOSITORY) -> None:
    """Write version, day and public names of a release into the files of a checkout."""
    old = re.compile(rf"(?<![\w.]){re.escape(now.version)}(?![\w.])")
    for name in NAMING:
        path = root / name
        path.write_text(old.sub(version, path.read_text()))
    changelog = root / CHANGELOG.relative_to(REPOSITORY)
    heading = f"{UNRELEASED}\n\n## {version} - {today.isoformat()}"
    changelog.write_text(changelog.read_text().replace(UNRELEASED, heading, 1))
    folder = root / FOLDER.relative_to(REPOSITORY)
    folder.mkdir(parents=True, exist_ok=True)
    content = {"names": now.names, "layouts": now.layouts}
    (folder / f"{version}.json").write_text(json.dumps(content, indent=1) + "\n")


def commit_of(version: str) -> str | None:
    """Return the commit of a release; None where the history here does not reach back to it."""
    path = (FOLDER / f"{version}.json").relative_to(REPOSITORY)
    found = _git("log", "--diff-filter=A", "--format=%H", "--", str(path)).split()
    return found[-1] if found else None


def file_at(commit: str, name: str) -> str:
    """Return the text of a file in a commit."""
    return _git("show", f"{commit}:{name}")


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout


def changes(before: Release, now: Release) -> Iterator[str]:
    """Yield what changed since a release, a line each."""
    yield f"since {before.version}"
    yield from (f"gone  {kind}: {name}" for kind, name in gone(before, now))
    yield from (f"new   {kind}: {name}" for kind, name in gone(now, before))
    yield from (f"state of {group} is computed again" for group in moved(before, now))


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    match arguments:
        case []:
            sys.stdout.writelines(f"{line}\n" for line in changes(last(), current()))
            return 0
        case ["cut", version] if re.fullmatch(r"\d+\.\d+\.\d+", version):
            now, today = current(), datetime.now(UTC).date()
            try:
                if known := releases():
                    check_next(version, known[-1], now, today)
            except RefusedError as refused:
                sys.stderr.write(f"{refused}\n")
                return 1
            write(version, now, today)
            sys.stdout.write(f"written; now check, commit, tag v{version}: docs/releases.md\n")
            return 0
    sys.stderr.write("usage: python -m tests.support.releases [cut MAJOR.MINOR.PATCH]\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
