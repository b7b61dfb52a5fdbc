"""Kantata as a target of the conformance suite."""

from __future__ import annotations

from types import MappingProxyType

from sandbox.vendors.target import TwinTarget


class KantataTarget(TwinTarget):
    """Projects of the PSA, and what other systems call them."""

    vendor = "kantata"
    tables = MappingProxyType({"workspaces": None, "external_references": "service_model_ref"})
