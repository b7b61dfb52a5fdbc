"""Writes the chart's copies of connector files and alert rules: `python -m deploy.helm`.

A chart can read only what lies inside of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
FILES: Final = Path(__file__).resolve().parent / "psastream" / "files"


def copies() -> dict[Path, bytes]:
    """Each file below the chart's `files`, and what it holds."""
    vendors = REPOSITORY / "connectors" / "vendors"
    found = {
        Path("connectors") / path.relative_to(vendors): path.read_bytes()
        for name in ("source.json", "sink.json", "connector.json")
        for path in vendors.glob(f"*/{name}")
    }
    rules = REPOSITORY / "deploy" / "prometheus" / "rules"
    found |= {Path("rules") / path.name: path.read_bytes() for path in rules.glob("*.rules.yml")}
    return found


if __name__ == "__main__":
    shutil.rmtree(FILES, ignore_errors=True)
    for name, content in copies().items():
        (FILES / name).parent.mkdir(parents=True, exist_ok=True)
        (FILES / name).write_bytes(content)
