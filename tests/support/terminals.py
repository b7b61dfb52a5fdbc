"""A terminal of 80 columns that output goes to."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import termios
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Thread

import pytest

from psastream.lines import wrapped

WIDTH = 80


def lines_on_terminal(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[str]:
    """Return what is printed to a terminal of 80 columns, on either stream."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
    said = bytearray()

    def read() -> None:
        with suppress(OSError):  # what says that nothing more comes
            while part := os.read(ours, 65_536):
                said.extend(part)

    reader = Thread(target=read)
    reader.start()
    with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        patch.setattr(sys, "stderr", terminal)
        act()
    reader.join()
    os.close(ours)
    return said.decode().splitlines()


def whole(said: Iterable[tuple[str, str]]) -> list[str]:
    """Return what goes to no terminal, by the beginnings of lines and what is said behind them."""
    return [line for head, text in said for line in wrapped(head, text, None)]
