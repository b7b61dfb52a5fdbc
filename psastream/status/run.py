"""Shows a status once, or again and again."""

from __future__ import annotations

import json
import shutil
import sys
import time
from datetime import UTC, datetime

from psastream.exits import Exit
from psastream.landscape import read_firm
from psastream.status.gathering import gather
from psastream.status.model import Status, status_json
from psastream.status.screen import WIDTH, screen_of
from psastream.verdict import Verdict
from runtime.secrets import mask
from runtime.settings import Settings

_CLEAR = "\x1b[H\x1b[2J"


def show_status(settings: Settings, *, as_json: bool, every_s: float | None = None) -> Exit:
    """Print the status; with `every_s` until it is interrupted. Raises ConfigError.

    FAILED where a part does not do its work, as of the last time; what is for a person to look at
    is no failure.
    """
    firm = read_firm(settings)
    verdict = Verdict.OK
    try:
        while True:
            status = gather(settings, firm, _utc_now)
            verdict = status.verdict()
            _write(status, as_json=as_json, is_watching=every_s is not None)
            if every_s is None:
                break
            time.sleep(every_s)
    except KeyboardInterrupt:
        sys.stdout.write("\n")
    return Exit.FAILED if verdict is Verdict.FAIL else Exit.OK


def _write(status: Status, *, as_json: bool, is_watching: bool) -> None:
    if as_json:
        text = json.dumps(status_json(status), indent=None if is_watching else 2)
    else:
        width = shutil.get_terminal_size((WIDTH, 0)).columns
        text = "\n".join(screen_of(status, width))
        if is_watching and sys.stdout.isatty():
            text = _CLEAR + text
    sys.stdout.write(mask(text) + "\n")
    sys.stdout.flush()


def _utc_now() -> datetime:
    return datetime.now(UTC)
