"""A worker's name outlives its process, and two processes do not have it at once."""

from pathlib import Path

import pytest

from schemas.errors import ConfigError
from streams.engine import EngineSettings
from streams.engine.worker_name import WorkerName


def test_a_name_is_the_same_in_every_life_and_another_in_every_directory(tmp_path: Path) -> None:
    first = WorkerName(tmp_path / "state" / "a")
    first.release()
    again, other = WorkerName(tmp_path / "state" / "a"), WorkerName(tmp_path / "state" / "b")
    assert again.text == first.text != other.text
    assert len(first.text) == 32
    again.release()
    other.release()


@pytest.mark.parametrize("left", [b"", b"0123", b"\xff" * 40, b"0" * 33])
def test_a_name_that_was_not_written_to_its_end_is_made_up_anew(
    tmp_path: Path, left: bytes
) -> None:
    (tmp_path / "worker").write_bytes(left)
    first = WorkerName(tmp_path)
    first.release()
    again = WorkerName(tmp_path)
    again.release()
    assert again.text == first.text
    assert (tmp_path / "worker").read_bytes() == first.text.encode()
    assert len(first.text) == 32


def test_a_directory_in_use_is_refused_until_it_is_given_up(tmp_path: Path) -> None:
    first = WorkerName(tmp_path)
    with pytest.raises(ConfigError, match="another worker uses the state directory"):
        WorkerName(tmp_path)
    first.release()
    WorkerName(tmp_path).release()


@pytest.mark.parametrize(
    ("instance_id", "wanted"), [(None, "app-worker-n1"), ("pod-3", "app-worker-pod-3")]
)
def test_a_static_member_keeps_its_id_when_its_directory_is_lost(
    instance_id: str | None, wanted: str
) -> None:
    settings = EngineSettings(
        app_id="app", bootstrap_servers="b:1", state_dir=Path("s"), instance_id=instance_id
    )
    assert settings.transactional_id("n1") == wanted
