"""Float as a target of the conformance suite."""

from __future__ import annotations

from types import MappingProxyType

from sandbox.vendors.target import TwinTarget


class FloatTarget(TwinTarget):
    """Projects of the resource manager."""

    vendor = "float"
    tables = MappingProxyType({"projects": "project_code"})
