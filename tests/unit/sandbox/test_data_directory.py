"""Whose folder is emptied: only one that a stack of ours made."""

from pathlib import Path

import pytest

from sandbox.stack.data_directory import DataDirectory
from sandbox.stack.errors import ForeignDirectoryError, UnwritableDirectoryError

PLACE = "sandbox/stack/data_directory.py"


@pytest.mark.fault("D10", place=PLACE)
def test_d10_a_folder_with_other_files_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "photos").mkdir()
    for _ in range(2):
        with pytest.raises(ForeignDirectoryError):
            DataDirectory(tmp_path).open(fresh=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert (tmp_path / "photos").is_dir()


@pytest.mark.fault("D10", place=PLACE)
def test_d10_a_folder_used_without_emptying_stays_foreign(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    kept = DataDirectory(tmp_path)
    kept.open(fresh=False)
    kept.close()
    with pytest.raises(ForeignDirectoryError):
        DataDirectory(tmp_path).open(fresh=True)


@pytest.mark.parametrize("folder", ["", "new"])
def test_our_own_folder_is_emptied_again_and_again(tmp_path: Path, folder: str) -> None:
    root = tmp_path / folder
    for _ in range(2):
        directory = DataDirectory(root)
        directory.open(fresh=True)
        assert not (root / "old").exists()
        (root / "old").write_text("of the last run")
        directory.close()


@pytest.mark.fault("D12", place=PLACE)
def test_d12_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableDirectoryError) as caught:
        DataDirectory(tmp_path / "file" / "below").open(fresh=True)
    assert "--data-dir" in caught.value.hint
