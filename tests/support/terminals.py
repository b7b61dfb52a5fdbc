"""A terminal of 80 columns that output goes to."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import termios
from collections.abc import Callable

import pytest


def lines_on_terminal(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[str]:
    """Return what is printed to a terminal of 80 columns; up to some 4,000 characters."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        act()
        terminal.flush()
        said = os.read(ours, 65_536).decode()
    os.close(ours)
    return said.splitlines()
