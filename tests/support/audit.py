"""Asks whether advisories are known for the locked packages: `python -m tests.support.audit`.

pip-audit passes over a package that its service does not know, and ends with 0. So what it has
passed over is counted here, and one package is asked for first: a mirror of packages often holds no
advisories, and then all others need not be asked for.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

LOCK: Final = Path("requirements/all.lock")
VERSION: Final = "2.10.1"
TIMEOUT_S: Final = 300.0
_PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


class Verdict(IntEnum):
    """How an audit ended; also the exit code."""

    CLEAN = 0
    VULNERABLE = 1
    NOT_AUDITED = 3


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of the packages that were asked for."""

    verdict: Verdict
    lines: Sequence[str]


def told(report: dict[str, Any]) -> Told:
    """Judge a report in pip-audit's JSON."""
    packages = report["dependencies"]
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    found = [
        f"{each['name']} {each['version']}: {flaw['id']}"
        f" (mended in {', '.join(flaw['fix_versions']) or 'no version yet'})"
        for each in packages
        for flaw in each.get("vulns", ())
    ]
    if found:
        return Told(Verdict.VULNERABLE, found)
    if skipped or not packages:
        some = f"{len(skipped)} of {len(packages)} packages"
        line = f"NOT AUDITED: no advisories can be had here for {some}; audit where there are"
        return Told(Verdict.NOT_AUDITED, [line])
    return Told(Verdict.CLEAN, [f"no advisory for {len(packages)} packages"])


def ask(requirements: Sequence[str]) -> Told:
    """Have pip-audit look up pinned packages."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("\n".join(requirements) + "\n")
        uv = str(Path(sys.executable).with_name("uv"))
        command = [uv, "tool", "run", "--quiet", "--from", f"pip-audit=={VERSION}", "pip-audit"]
        options = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json", "-r"]
        try:
            done = subprocess.run(
                [*command, *options, str(file)],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return _failed(type(error).__name__)
        try:
            return told(json.loads(done.stdout))
        except (ValueError, KeyError):
            return _failed((done.stderr.strip().splitlines() or ["it said nothing"])[-1])


def _failed(said: str) -> Told:
    return Told(Verdict.NOT_AUDITED, [f"NOT AUDITED: pip-audit failed: {said}"])


def main() -> int:
    """Print what is known; return the exit code."""
    pins = sorted({f"{name}=={version}" for name, version in _PINNED.findall(LOCK.read_text())})
    answer = ask(pins[:1])
    if answer.verdict is not Verdict.NOT_AUDITED:
        answer = ask(pins)
    for line in answer.lines:
        sys.stdout.write(f"{line}\n")
    return answer.verdict


if __name__ == "__main__":
    sys.exit(main())
