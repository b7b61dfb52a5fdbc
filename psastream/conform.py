"""`psastream system conform`: does a folder's system hold to what the product promises of it?"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path

import typer

from psastream.conformance.suite import Finding, judge
from psastream.lines import say
from psastream.system import read_system


def conform_system(
    folder: Path,
    beside: Sequence[Path] = (),
    *,
    objects: Collection[str],
    clauses: Collection[str],
    as_json: bool,
) -> bool:
    """Print what became of each clause; return whether some hold and none is broken.

    Raises ConfigError where the folder cannot be read, or lacks what is tested by.
    """
    system, vendor = read_system(folder, beside)
    found = judge(folder.resolve(), system, vendor, objects, clauses)
    broken = [each for each in found if each.broken]
    held = sum(each.holds for each in found)
    if as_json:
        said = {"system": system.name, "findings": [asdict(each) for each in found]}
        typer.echo(json.dumps(said, indent=2))
        return bool(held) and not broken
    for each in found:
        say(_said(each), f"{each.obj}: {each.clause}: ")
    say(f"{system.name}: {held} hold, {len(broken)} broken")
    if not held and not broken:
        say("nothing was judged")
    return bool(held) and not broken


def _said(finding: Finding) -> str:
    if finding.broken:
        return f"BROKEN: {finding.broken}"
    return f"not judged: {finding.spared}" if finding.spared else "holds"
