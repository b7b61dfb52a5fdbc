"""What must stand still before a topic is read again."""

from __future__ import annotations

import pytest

from psastream import anew
from runtime.settings import Settings
from schemas.errors import FatalError

SETTINGS = Settings.from_env(
    {"PSASTREAM_BOOTSTRAP_SERVERS": "b:9092", "PSASTREAM_REGISTRY_URL": "http://r:8081"}
)


def refuse(*_: object, **__: object) -> None:
    raise FatalError("1 dispatchers are in the group")


@pytest.fixture
def read_again(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have a dispatcher run; return the topics that are read again."""
    topics: list[str] = []
    monkeypatch.setattr(anew, "chosen_groups", lambda *_: [])
    monkeypatch.setattr(anew, "require_no_members", refuse)
    monkeypatch.setattr(anew, "refuse_workers", lambda _: None)
    monkeypatch.setattr(anew, "reread", lambda _engine, _groups, topic: topics.append(topic))
    return topics


def test_a_topic_of_ours_is_not_read_again_while_dispatchers_run(read_again: list[str]) -> None:
    with pytest.raises(FatalError, match="dispatchers"):
        anew.reread_topic(SETTINGS, "psa.project")
    assert read_again == []


def test_a_topic_of_a_source_is_read_again_while_dispatchers_run(read_again: list[str]) -> None:
    anew.reread_topic(SETTINGS, "src.inhouse.projects")
    assert read_again == ["src.inhouse.projects"]
