"""One case of a fuzzer: where its chance comes from, what it looked at and what it found."""

from __future__ import annotations

import faulthandler
import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from schemas.errors import PsaStreamError

HANG_S: Final = 30.0
"""How long a step may take: on a busy machine, a hundred times what the slowest one needs."""


class Kind(StrEnum):
    """What a fuzzer can find."""

    CRASH = "crash"  # an error outside the tree of `schemas/errors.py`, or the end of the process
    HANG = "hang"
    SILENT_DROP = "silent drop"  # an input neither published, nor refused, nor dead-lettered
    DISAGREEMENT = "disagreement"  # two independent ways to the same answer differ


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found; findings of one `signature` are most likely one defect."""

    kind: Kind
    fuzzer: str
    case: int
    size: int
    signature: str
    detail: str


@dataclass
class Case:
    """One run of a fuzzer over `size` inputs; the same numbers always make the same inputs."""

    fuzzer: str
    seed: str
    number: int
    size: int
    hang_s: float | None = None
    counted: int = 0
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.seed}/{self.fuzzer}/{self.number}")

    def step(self, inputs: int = 1) -> None:
        """Count inputs that are looked at now, and wind the watchdog up for them."""
        self.counted += inputs
        self.wind_up()

    def wind_up(self) -> None:
        """Print a traceback and end this process unless called again in time."""
        if self.hang_s is not None:
            faulthandler.dump_traceback_later(self.hang_s, exit=True)

    def found(self, kind: Kind, detail: str, *, signature: str = "") -> None:
        """Note a finding and go on."""
        self.findings.append(
            Finding(kind, self.fuzzer, self.number, self.size, signature or detail[:80], detail)
        )

    def expect(self, is_so: bool, kind: Kind, detail: Callable[[], str], signature: str) -> None:
        """Note a finding unless it is so; `detail` is made only then."""
        if not is_so:
            self.found(kind, detail(), signature=signature)

    @contextmanager
    def guarded(self, what: Callable[[], str]) -> Iterator[None]:
        """Whatever is raised outside the documented tree of errors is a finding, nothing more.

        An error of the tree ends the block: the input was refused.
        """
        try:
            yield
        except PsaStreamError:
            pass
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # polars panics with one that is no Exception
            self.crashed(error, what())

    def crashed(self, error: BaseException, what: str) -> None:
        """Note an error that should not have come out."""
        frames = [
            frame for frame in traceback.extract_tb(error.__traceback__) if _is_ours(frame.filename)
        ]
        last = frames[-1] if frames else None
        where = f"{Path(last.filename).name}:{last.name}" if last else "?"
        trace = "".join(traceback.format_exception(error)[-12:])
        signature = f"{type(error).__name__} in {where}"
        self.found(Kind.CRASH, f"{what}\n{trace}", signature=signature)


def _is_ours(filename: str) -> bool:
    return "site-packages" not in filename and "/lib/python" not in filename


@dataclass(frozen=True, slots=True)
class Fuzzer:
    """A fuzzer: `run` looks at `case.size` inputs of what `subject` says.

    `weight`: its share of all inputs. `size`: inputs of a case.
    """

    name: str
    subject: str
    run: Callable[[Case], None]
    weight: int
    size: int
    hang_s: float = HANG_S


@dataclass
class Tally:
    """What came of all cases of a fuzzer."""

    inputs: int = 0
    seconds: float = 0.0  # of processor time
    kinds: Counter[Kind] = field(default_factory=Counter)

    def line(self, name: str) -> str:
        """One line of the summary."""
        counts = ", ".join(f"{self.kinds[kind]:,} {_plural(kind)}" for kind in Kind)
        return f"{name}: {self.inputs:,} inputs, {counts}"


def _plural(kind: Kind) -> str:
    return "crashes" if kind is Kind.CRASH else f"{kind.value}s"


def run_case(fuzzer: Fuzzer, seed: str, number: int, size: int, *, is_watched: bool = True) -> Case:
    """Run one case in this process, which ends where a step of it hangs if it `is_watched`."""
    case = Case(fuzzer.name, seed, number, size, fuzzer.hang_s if is_watched else None)
    case.wind_up()
    try:
        fuzzer.run(case)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        case.crashed(error, "the case ended here")
    finally:
        faulthandler.cancel_dump_traceback_later()
    return case
