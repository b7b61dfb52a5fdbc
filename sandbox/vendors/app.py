"""Puts the vendors and the admin API together into one ASGI application."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Mount

from sandbox.vendors.admin import AdminApi, Party
from sandbox.vendors.catalogue import twins
from sandbox.vendors.effects import EffectLog
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import Site


def create_app(*, base_url: str, seed: int, credentials: Credentials) -> Starlette:
    """The twin's vendors, each below its name, and their admin below `/admin`.

    `base_url` is where clients reach it: vendors hand out and expect absolute addresses.
    """
    effects = EffectLog()
    parties: dict[str, Party] = {}
    routes: list[Mount] = []
    for name, twin in twins().items():
        site = Site(name, base_url=base_url, seed=seed, effects=effects, settings=twin.settings())
        books = twin.books(site)
        parties[name] = Party(site, books, twin.unlimited, twin.screens(books))
        routes.append(Mount(f"/{name}", twin.api(site, books, credentials).create_app()))
    admin = AdminApi(parties, effects=effects)
    return Starlette(routes=[*routes, Mount("/admin", admin.create_app())])
