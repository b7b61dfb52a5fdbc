"""Puts the vendors and the admin API together into one ASGI application."""

from __future__ import annotations

from typing import Any, Final

from starlette.applications import Starlette
from starlette.routing import Mount

from sandbox.vendors.admin import AdminApi, Party
from sandbox.vendors.adp.api import AdpApi, AdpSettings
from sandbox.vendors.adp.books import AdpBooks
from sandbox.vendors.bamboohr.api import BambooHrApi, BambooHrSettings
from sandbox.vendors.bamboohr.books import BambooHrBooks
from sandbox.vendors.business_central.api import BusinessCentralApi, BusinessCentralSettings
from sandbox.vendors.business_central.books import BusinessCentralBooks
from sandbox.vendors.certinia.books import CertiniaBooks, CertiniaSettings
from sandbox.vendors.coupa.api import CoupaApi, CoupaSettings
from sandbox.vendors.coupa.books import CoupaBooks
from sandbox.vendors.effects import EffectLog
from sandbox.vendors.finance_operations.api import (
    FinanceOperationsApi,
    FinanceOperationsSettings,
)
from sandbox.vendors.finance_operations.books import FinanceOperationsBooks
from sandbox.vendors.float.api import FloatApi, FloatSettings
from sandbox.vendors.float.tables import FloatBooks
from sandbox.vendors.gusto.api import GustoApi, GustoSettings
from sandbox.vendors.gusto.books import GustoBooks
from sandbox.vendors.harvest.api import HarvestApi, HarvestSettings
from sandbox.vendors.harvest.tables import HarvestBooks
from sandbox.vendors.hubspot.api import HubSpotApi, HubSpotSettings
from sandbox.vendors.hubspot.objects import HubSpotBooks
from sandbox.vendors.kantata.api import KantataApi, KantataSettings
from sandbox.vendors.kantata.books import KantataBooks
from sandbox.vendors.netsuite.api import NetSuiteApi
from sandbox.vendors.netsuite.records import NetSuiteSettings
from sandbox.vendors.netsuite.tables import NetSuiteBooks
from sandbox.vendors.oauth import Credentials
from sandbox.vendors.runn.api import RunnApi, RunnSettings
from sandbox.vendors.runn.tables import RunnBooks
from sandbox.vendors.salesforce.api import SalesforceApi
from sandbox.vendors.salesforce.objects import SalesforceBooks
from sandbox.vendors.salesforce.settings import SalesforceSettings
from sandbox.vendors.site import Site, SiteSettings

_VENDORS: Final[dict[str, tuple[type[SiteSettings], Any, Any]]] = {
    "salesforce": (SalesforceSettings, SalesforceBooks, SalesforceApi),
    "netsuite": (NetSuiteSettings, NetSuiteBooks, NetSuiteApi),
    "float": (FloatSettings, FloatBooks, FloatApi),
    "hubspot": (HubSpotSettings, HubSpotBooks, HubSpotApi),
    "harvest": (HarvestSettings, HarvestBooks, HarvestApi),
    "runn": (RunnSettings, RunnBooks, RunnApi),
    "business_central": (BusinessCentralSettings, BusinessCentralBooks, BusinessCentralApi),
    "kantata": (KantataSettings, KantataBooks, KantataApi),
    "finance_operations": (
        FinanceOperationsSettings,
        FinanceOperationsBooks,
        FinanceOperationsApi,
    ),
    "certinia": (CertiniaSettings, CertiniaBooks, SalesforceApi),
    "adp": (AdpSettings, AdpBooks, AdpApi),
    "bamboohr": (BambooHrSettings, BambooHrBooks, BambooHrApi),
    "coupa": (CoupaSettings, CoupaBooks, CoupaApi),
    "gusto": (GustoSettings, GustoBooks, GustoApi),
}
"""Settings, rows and API of each vendor, by its name and path."""
_OF_SITE: Final = (CertiniaBooks,)
"""Rows that depend on settings, too, and not on the clock alone."""


def create_app(*, base_url: str, seed: int, credentials: Credentials) -> Starlette:
    """The twin's vendors, each below its name, and their admin below `/admin`.

    `base_url` is where clients reach it: vendors hand out and expect absolute addresses.
    """
    effects = EffectLog()
    parties: dict[str, Party] = {}
    routes: list[Mount] = []
    for name, (settings, make_books, make_api) in _VENDORS.items():
        site = Site(name, base_url=base_url, seed=seed, effects=effects, settings=settings())
        books = make_books(site if make_books in _OF_SITE else site.clock)
        parties[name] = Party(site, books)
        routes.append(Mount(f"/{name}", make_api(site, books, credentials).create_app()))
    named = ("salesforce", "netsuite", "business_central", "finance_operations")
    crm, erp, ledger, group = (parties[name].books for name in named)
    assert isinstance(crm, SalesforceBooks)
    assert isinstance(erp, NetSuiteBooks)
    assert isinstance(ledger, BusinessCentralBooks)
    assert isinstance(group, FinanceOperationsBooks)
    admin = AdminApi(parties, effects=effects, crm=crm, erp=erp, ledger=ledger, group=group)
    return Starlette(routes=[*routes, Mount("/admin", admin.create_app())])
