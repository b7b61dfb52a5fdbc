"""What a simulated vendor is: `TWIN` of the `twin.py` in its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox.vendors.secret import Credentials, Secret
from sandbox.vendors.site import Books, SettingsT, Site

BooksT = TypeVar("BooksT", bound=Books)


class VendorApi(Protocol):
    """The API of one vendor."""

    def create_app(self) -> ASGIApp:
        """The ASGI application, faults included."""


def _nothing_but_url(url: str, credentials: Credentials) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Twin(Generic[SettingsT, BooksT]):
    """The parts of one simulated vendor, and what clients of it are told.

    `secrets` are what clients sign in with. `environment` returns the other variables of its
    connector files, given where its API is. `unlimited`: settings that lift what counts requests
    over time. `screens`: what people do in its screens besides rows, below its name in the admin
    API.
    """

    settings: type[SettingsT]
    books: Callable[[Site[SettingsT]], BooksT]
    api: Callable[[Site[SettingsT], BooksT, Credentials], VendorApi]
    secrets: Sequence[Secret] = ()
    environment: Callable[[str, Credentials], Mapping[str, str]] = _nothing_but_url
    unlimited: Mapping[str, object] = field(default_factory=dict)
    screens: Callable[[BooksT], Sequence[Route]] = lambda books: ()


AnyTwin = Twin[Any, Any]
