"""What is wrong with a command as it was typed, told as every other error is."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any, Final

from typer import Abort
from typer._click.exceptions import (
    BadParameter,
    ClickException,
    MissingParameter,
    NoArgsIsHelpError,
    NoSuchOption,
    UsageError,
)
from typer.core import TyperGroup

from psastream.exits import Exit, print_error
from schemas.errors import ConfigError

_WORDS: Final = (
    (r"Input should be a valid integer\b.*", r"takes a whole number"),
    (r"Input should be a valid number\b.*", r"takes a number"),
    (r"Input should be greater than or equal to (\S+)", r"takes \1 or more"),
    (r"Input should be less than or equal to (\S+)", r"takes \1 at most"),
    (r"Value error, '(.*)' is not one of (.*?)\.?", r"takes \2, not \1"),
    (r"(?:file|directory) '(.*)' does not exist\.?", r"names what there is not: \1"),
    (r"(?:file|directory) '(.*)' is a (?:file|directory)\.?", r"names what it does not take: \1"),
)
"""What a value must be, in the words of those who check it and in ours."""
_NO_COMMAND: Final = re.compile(r"No such command '(.*?)'\.(?: Did you mean '(.*?)'\?)?.*")


class Group(TyperGroup):
    """The commands; one that is typed wrongly ends with exit code 2 and what to do."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and leave with its exit code."""
        typed = sys.argv[1:] if args is None else args
        try:
            code = super().main(
                [_as_value(word) for word in typed],
                prog_name,
                complete_var,
                False,
                windows_expand_args,
                **extra,
            )
        except NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except ClickException as error:
            print_error(as_error(error))
            sys.exit(Exit.CONFIG)
        except Abort:
            sys.exit(Exit.FAILED)
        sys.exit(code if isinstance(code, int) else Exit.OK)


def _as_value(word: str) -> str:
    """Return a word as it is to be read: a query may begin with a comment, which no option does."""
    return f"\n{word}" if re.match(r"--\s", word) else word


def as_error(error: ClickException) -> ConfigError:
    """Return an error of the command line in our words."""
    context = error.ctx if isinstance(error, UsageError) else None
    hint = f"{context.command_path} -h" if context is not None else "psastream -h"
    if isinstance(error, BadParameter):
        name = error.param.get_error_hint().strip("'") if error.param is not None else "a value"
        name = name.partition(" / ")[0].strip("'")
        if isinstance(error, MissingParameter):
            return ConfigError(f"{name} is missing", hint=hint)
        return ConfigError(f"{name} {_said(error.message)}", hint=hint)
    if isinstance(error, NoSuchOption):
        near = sorted(error.possibilities or ())
        meant = f"; did you mean {', '.join(near)}?" if near else ""
        return ConfigError(f"there is no option {error.option_name}{meant}", hint=hint)
    if found := _NO_COMMAND.fullmatch(error.message):
        meant = f"; did you mean {found[2]}?" if found[2] else ""
        return ConfigError(f"there is no command {found[1]}{meant}", hint=hint)
    return ConfigError(error.message[:1].lower() + error.message[1:].rstrip("."), hint=hint)


def _said(message: str) -> str:
    for pattern, words in _WORDS:
        if found := re.fullmatch(pattern, message):
            return found.expand(words).replace("'", "")
    return f"is refused: {message.rstrip('.')}"
