"""Fuzzers of things that are broken in each way: what the frame must find."""

from __future__ import annotations

import os
import time

from schemas.errors import DecodeError
from tests.fuzz.case import Case, Fuzzer, Kind


def _sound(case: Case) -> None:
    for _ in range(case.size):
        case.step()
        with case.guarded(lambda: "an input"):
            raise DecodeError("refused")


def _crashes(case: Case) -> None:
    for _ in range(case.size):
        case.step()
        value = case.chance.randrange(3)
        with case.guarded(lambda v=value: str(v)):
            _ = 1 / value


def _ends(case: Case) -> None:
    case.step()
    os._exit(7)


def _hangs(case: Case) -> None:
    case.step()
    time.sleep(60)


def _drops(case: Case) -> None:
    case.step(case.size)
    case.expect(False, Kind.SILENT_DROP, lambda: "lost", "lost")


def _disagrees(case: Case) -> None:
    case.step(case.size)
    case.found(Kind.DISAGREEMENT, "1 and 2")


FUZZERS = (
    Fuzzer("sound", "", _sound, 1, 5),
    Fuzzer("crashes", "", _crashes, 1, 20),
    Fuzzer("ends", "", _ends, 1, 20),
    Fuzzer("hangs", "", _hangs, 1, 20, hang_s=0.2),
    Fuzzer("drops", "", _drops, 1, 20),
    Fuzzer("disagrees", "", _disagrees, 1, 20),
)
BY_NAME = {fuzzer.name: fuzzer for fuzzer in FUZZERS}
