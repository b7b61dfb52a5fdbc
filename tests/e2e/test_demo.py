"""The whole product on real parts: one story, then every table against the books."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import RunDemo

pytestmark = pytest.mark.stack


def test_all_books_agree_after_the_story(play_demo: RunDemo) -> None:
    code, printed = play_demo()

    assert code == 0, printed
    assert printed.rstrip().endswith("all books agree")
