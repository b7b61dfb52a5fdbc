"""What to install where a package of an extra is missing."""

from __future__ import annotations

from importlib.metadata import version


def install_hint(extra: str) -> str:
    """Return how to have an extra: from the wheel, for there is no release on a registry.

    A name alone would fetch whatever a stranger has put there under it.
    """
    wheel = f"psastream-{version('psastream')}-py3-none-any.whl"
    return (
        f'pip install "dist/{wheel}[{extra}]", or make setup in the checkout'
        " (psastream docs install)"
    )
