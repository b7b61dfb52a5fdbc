"""Sign-ins that failed, as every process tells them."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

KAFKA: Final = "kafka"
REGISTRY: Final = "registry"

FAILURES: Final = Counter(
    "psastream_sign_in_failures_total",
    "Sign-ins that a service refused, and tokens that could not be got or renewed.",
    ("service",),
)


def sign_in_failed(service: str) -> None:
    """Note that a service refused who we are, or that no token for it could be got."""
    FAILURES.labels(service).inc()


def signs_in_at(service: str) -> None:
    """This process signs in at a service: its failures are counted from zero."""
    FAILURES.labels(service)
