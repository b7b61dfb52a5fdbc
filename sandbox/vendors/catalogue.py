"""The simulated vendors there are: folders beside this file that hold a `twin.py`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from sandbox.vendors.twin import AnyTwin

PACKAGE: Final = "sandbox.vendors"
CODE: Final = "twin.py"


@lru_cache(maxsize=1)
def twins() -> Mapping[str, AnyTwin]:
    """Return each simulated vendor by its name."""
    names = sorted(it.name for it in files(PACKAGE).iterdir() if it.joinpath(CODE).is_file())
    module = CODE.removesuffix(".py")
    return MappingProxyType(
        {name: import_module(f"{PACKAGE}.{name}.{module}").TWIN for name in names}
    )
