"""Puts the vendors and the admin API together into one ASGI application."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Mount

from sandbox.vendors.admin import AdminApi, Party
from sandbox.vendors.business_central.api import BusinessCentralApi, BusinessCentralSettings
from sandbox.vendors.business_central.books import BusinessCentralBooks
from sandbox.vendors.certinia.books import CertiniaBooks, CertiniaSettings
from sandbox.vendors.effects import EffectLog
from sandbox.vendors.finance_operations.api import (
    FinanceOperationsApi,
    FinanceOperationsSettings,
)
from sandbox.vendors.finance_operations.books import FinanceOperationsBooks
from sandbox.vendors.float.api import FloatApi, FloatSettings
from sandbox.vendors.float.tables import FloatBooks
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
from sandbox.vendors.site import Site


def create_app(*, base_url: str, seed: int, credentials: Credentials) -> Starlette:
    """The twin's vendors, each below its name, and their admin below `/admin`.

    `base_url` is where clients reach it: vendors hand out and expect absolute addresses.
    """
    effects = EffectLog()
    crm = Site(
        "salesforce", base_url=base_url, seed=seed, effects=effects, settings=SalesforceSettings()
    )
    erp = Site(
        "netsuite", base_url=base_url, seed=seed, effects=effects, settings=NetSuiteSettings()
    )
    planner = Site("float", base_url=base_url, seed=seed, effects=effects, settings=FloatSettings())
    inbound = Site(
        "hubspot", base_url=base_url, seed=seed, effects=effects, settings=HubSpotSettings()
    )
    ledger = Site(
        "business_central",
        base_url=base_url,
        seed=seed,
        effects=effects,
        settings=BusinessCentralSettings(),
    )
    ledger_books = BusinessCentralBooks(ledger.clock)
    inbound_books = HubSpotBooks(inbound.clock)
    tracker = Site(
        "harvest", base_url=base_url, seed=seed, effects=effects, settings=HarvestSettings()
    )
    tracker_books = HarvestBooks(tracker.clock)
    studio = Site(
        "kantata", base_url=base_url, seed=seed, effects=effects, settings=KantataSettings()
    )
    studio_books = KantataBooks(studio.clock)
    group = Site(
        "finance_operations",
        base_url=base_url,
        seed=seed,
        effects=effects,
        settings=FinanceOperationsSettings(),
    )
    group_books = FinanceOperationsBooks(group.clock)
    staffing = Site("runn", base_url=base_url, seed=seed, effects=effects, settings=RunnSettings())
    staffing_books = RunnBooks(staffing.clock)
    delivery = Site(
        "certinia", base_url=base_url, seed=seed, effects=effects, settings=CertiniaSettings()
    )
    delivery_books = CertiniaBooks(delivery)
    crm_books = SalesforceBooks(crm.clock)
    erp_books = NetSuiteBooks(erp.clock)
    planner_books = FloatBooks(planner.clock)
    admin = AdminApi(
        {
            "salesforce": Party(crm, crm_books),
            "netsuite": Party(erp, erp_books),
            "float": Party(planner, planner_books),
            "hubspot": Party(inbound, inbound_books),
            "harvest": Party(tracker, tracker_books),
            "runn": Party(staffing, staffing_books),
            "business_central": Party(ledger, ledger_books),
            "kantata": Party(studio, studio_books),
            "finance_operations": Party(group, group_books),
            "certinia": Party(delivery, delivery_books),
        },
        effects=effects,
        crm=crm_books,
        erp=erp_books,
        ledger=ledger_books,
        group=group_books,
    )
    return Starlette(
        routes=[
            Mount("/salesforce", SalesforceApi(crm, crm_books, credentials).create_app()),
            Mount("/netsuite", NetSuiteApi(erp, erp_books, credentials).create_app()),
            Mount("/float", FloatApi(planner, planner_books, credentials).create_app()),
            Mount("/hubspot", HubSpotApi(inbound, inbound_books, credentials).create_app()),
            Mount("/harvest", HarvestApi(tracker, tracker_books, credentials).create_app()),
            Mount("/runn", RunnApi(staffing, staffing_books, credentials).create_app()),
            Mount(
                "/business_central",
                BusinessCentralApi(ledger, ledger_books, credentials).create_app(),
            ),
            Mount("/kantata", KantataApi(studio, studio_books, credentials).create_app()),
            Mount(
                "/finance_operations",
                FinanceOperationsApi(group, group_books, credentials).create_app(),
            ),
            Mount("/certinia", SalesforceApi(delivery, delivery_books, credentials).create_app()),
            Mount("/admin", admin.create_app()),
        ]
    )
