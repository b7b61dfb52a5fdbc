"""The documentation as a site: every page and link of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.taps import installed

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_site_builds_with_every_page_link_and_block(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "mkdocs.yml", tmp_path)
    shutil.copytree(REPOSITORY / "docs", tmp_path / "docs")
    done = subprocess.run(
        [str(installed("zensical", "site")), "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr  # a link that leads nowhere ends it
    for page in (tmp_path / "docs").rglob("*.md"):
        name = page.relative_to(tmp_path / "docs").with_suffix("")
        folder = name.parent if name.name == "README" else name
        built = (tmp_path / "site" / folder / "index.html").read_text()
        assert built.count("<pre") >= page.read_text().count("\n```") // 2, page
        assert "\n```" not in built, page
