"""Exit codes, the same for every command, and how an error ends one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum

import structlog
import typer

from psastream.lines import say
from runtime.deprecations import DEPRECATIONS, Deprecation, deprecated_settings
from runtime.logs import configure_logs
from runtime.settings import Settings
from schemas.errors import ConfigError, PsaStreamError

_log = structlog.get_logger()


class Exit(IntEnum):
    """What the exit code of a command says."""

    OK = 0
    # Going on would do damage, the result is not what it must be, a part that was asked does not do
    # its work, or not all could be read.
    FAILED = 1
    CONFIG = 2  # the configuration, or what was asked for, is wrong: nothing was started


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """Print an error of ours as one readable block and leave with its exit code."""
    try:
        yield
    except PsaStreamError as error:
        print_error(error)
        code = Exit.CONFIG if isinstance(error, ConfigError) else Exit.FAILED
        raise typer.Exit(code) from error


def print_error(error: PsaStreamError) -> None:
    """Print what is wrong on standard error, what to do, and what explains its code."""
    say(error.detail, "psastream: ", is_error=True)
    if error.hint:
        say(error.hint, "  try: ", is_error=True)
    say(f"psastream explain {error.code}", "  see: ", is_error=True)


def settings_from_environment(
    deprecations: Iterable[Deprecation] = DEPRECATIONS,
) -> Settings:
    """Read the settings of this process and set its logging up. Raises ConfigError.

    Variables that are deprecated are told in its log.
    """
    settings = Settings.from_env(os.environ)
    configure_logs(json=settings.log_json, level=settings.log_level)
    for each in deprecated_settings(os.environ, deprecations):
        _log.warning("settings.deprecated", variable=each.name, hint=each.told)
    return settings
