"""Takes out of an environment what production does not run: `trim.py ENVIRONMENT DIRECTORY`.

The product's `sandbox` goes to a directory of its own, tests of packages go. What packages say they
have installed (RECORD) stays true.
"""

import csv
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath


def main(environment: str, directory: str) -> None:
    """Move the sandbox to the directory, and remove tests."""
    [packages] = Path(environment).glob("lib/python*/site-packages")
    Path(directory).mkdir(parents=True)
    shutil.move(packages / "sandbox", Path(directory) / "sandbox")
    for folder in [path for path in packages.rglob("tests") if path.is_dir()]:
        shutil.rmtree(folder, ignore_errors=True)  # one may lie in another
    for record in packages.glob("*.dist-info/RECORD"):
        is_product = record.parent.name.startswith("psastream-")
        _rewrite(record, partial(_is_kept, is_product=is_product))


def _is_kept(path: PurePosixPath, *, is_product: bool) -> bool:
    return "tests" not in path.parts[:-1] and not (is_product and path.parts[0] == "sandbox")


def _rewrite(record: Path, is_kept: Callable[[PurePosixPath], bool]) -> None:
    with record.open(newline="") as file:
        rows = list(csv.reader(file))
    kept = [row for row in rows if is_kept(PurePosixPath(row[0]))]
    if len(kept) < len(rows):
        with record.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
