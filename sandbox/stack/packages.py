"""The optional Python packages that carry the parts."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from runtime.extras import install_hint
from sandbox.stack.errors import MissingPackageError


def import_package(name: str) -> Any:
    """The module `name` of the `sandbox` extra.

    Raises MissingPackageError, naming the extra, if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise _missing(name.partition(".")[0]) from error


def package_directory(name: str) -> Path:
    """Where the files of package `name` lie. Does not import it: some act when imported.

    Raises MissingPackageError, naming the extra, if it is not installed.
    """
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise _missing(name)
    return Path(found.origin).parent


def _missing(name: str) -> MissingPackageError:
    return MissingPackageError(
        f"python package {name} is not installed", hint=install_hint("sandbox")
    )
