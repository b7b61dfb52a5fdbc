"""Names that go away: what is public of psastream, and was said to have an end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Deprecation:
    """A public name that works as before and will not for good.

    `kind` and `name` are those of the list of public names of a release; `since` is the release
    that announced it; `instead` says what to do, as a whole sentence's end.
    """

    kind: str
    name: str
    since: str
    instead: str

    @property
    def told(self) -> str:
        """What is said to who still uses it."""
        return f"{self.name} is deprecated since {self.since} and will be removed: {self.instead}"


DEPRECATIONS: Final[tuple[Deprecation, ...]] = ()
"""All that are announced, also those whose name is gone by now."""

SETTING: Final = "settings"


def deprecated_settings(
    environment: Mapping[str, str], deprecations: Iterable[Deprecation] = DEPRECATIONS
) -> Sequence[Deprecation]:
    """Return those of the variables that are set."""
    return [each for each in deprecations if each.kind == SETTING and each.name in environment]
