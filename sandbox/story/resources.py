"""The resource tools that a story can be told in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sandbox.story.float import Float
from sandbox.story.resource import ResourceTool
from sandbox.story.runn import Runn
from sandbox.vendors.client import VendorAdmin

RESOURCE_TOOLS: Final[Mapping[str, Callable[[VendorAdmin], ResourceTool]]] = {
    Float.system: Float,
    Runn.system: Runn,
}
"""By the name of the system."""
