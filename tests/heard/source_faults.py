"""Faults of the vendors' APIs that are polled."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from sandbox.story.world import IN_SECOND_ERP
from sandbox.vendors.faults import FaultKind
from schemas.identity import engagement_id, project_id
from tests.support.eventually import eventually
from tests.support.heard import DEADLINE_S, Watched, fault

GENEROUS: Final = 10_000_000
POLLED: Final = ("poller", "vendors")


@fault(
    "PsastreamSourceSilent",
    done="a vendor's API hangs and answers nobody",
    mended="it answers",
    breaks=["vendors"],
)
def vendors_hang(it: Watched) -> Iterator[None]:
    with it.frozen("vendors"):
        yield


@fault(
    "PsastreamSourceStopped",
    done="the vendor takes a field away that a contract needs",
    mended="it gives it back",
    labels={"system": "salesforce", "object": "account", "reason": "schema"},
    breaks=["salesforce"],
    needs=POLLED,
)
def field_goes(it: Watched) -> Iterator[None]:
    it.system.admin.remove_field("salesforce", "Account", "Tax_Number__c")
    yield
    it.system.admin.reset_fields("salesforce")


@fault(
    "PsastreamQuotaRunningOut",
    "PsastreamQuotaLow",
    done="others have used up most of the day's requests",
    mended="the allowance is raised, and the poller is started again, which waited for it",
    labels={"system": "salesforce"},
    breaks=["salesforce"],
    needs=POLLED,
    faster=300,
)
def quota_runs_out(it: Watched) -> Iterator[None]:
    [left] = it.ask('psastream_source_quota_remaining_ratio{system="salesforce"}')
    used = (1 - float(left["value"][1])) * GENEROUS
    it.system.admin.configure("salesforce", daily_requests=int(used / 0.72))
    yield
    it.system.admin.configure("salesforce", daily_requests=GENEROUS)
    with it.stopped("poller"):
        pass


@fault(
    "PsastreamSweepRepairs",
    done="a row shows up with a time stamp of long ago",
    mended="a day has passed since a sweep found it",
    labels={"system": "salesforce", "object": "account"},
    breaks=["salesforce"],
    needs=POLLED,
    faster=2_880,
)
def row_shows_late(it: Watched) -> Iterator[None]:
    row = {"Name": "Late Industries", "BillingCountryCode": "DE", "CurrencyIsoCode": "EUR"}
    stamp = {"SystemModstamp": "2026-01-05T08:00:00.000+0000"}
    it.system.admin.create("salesforce", "Account", row | stamp)
    yield


@fault(
    "PsastreamNewFields",
    done="the vendor shows a field that no contract knows",
    mended="a day has passed since it was first seen",
    labels={"system": "float", "object": "person"},
    needs=POLLED,
    faster=2_880,
)
def field_comes(it: Watched) -> Iterator[None]:
    it.system.admin.add_field("float", "people", "nickname", "Bo")
    yield


@fault(
    "PsastreamDeletesRefused",
    done="the token's user loses the right to see roles",
    mended="the right is given back",
    labels={"system": "float", "object": "role"},
    needs=POLLED,
)
def rows_are_hidden(it: Watched) -> Iterator[None]:
    it.system.admin.configure("float", hidden_collections=["roles"])
    yield
    it.system.admin.configure("float", hidden_collections=[])


@fault(
    "PsastreamOversizeRows",
    done="somebody pastes a million characters into the notes of a project",
    mended="a quarter hour has passed, and no other is that long",
    labels={"system": "float", "object": "project"},
    needs=POLLED,
)
def row_is_too_long(it: Watched) -> Iterator[None]:
    [project, *_] = it.system.admin.books()["float"]["projects"]
    it.system.admin.update("float", "projects", project["project_id"], {"notes": "x" * 1_100_000})
    yield
    it.system.admin.update("float", "projects", project["project_id"], {"notes": "short"})


@fault(
    "PsastreamSignInFailing",
    done="the vendor's token endpoint fails, and the tokens have ended",
    mended="it signs in again",
    labels={"service": "business_central"},
    breaks=["business central"],
    needs=POLLED,
)
def nobody_signs_in(it: Watched) -> Iterator[None]:
    it.system.admin.add_fault("business_central", FaultKind.UNAVAILABLE, path="/oauth2/v2.0/token")
    it.system.admin.expire_tokens("business_central")
    yield
    it.system.admin.clear_faults("business_central")


@fault(
    "PsastreamRowsWaiting",
    done="lines of an invoice come, and the list of invoices does not answer",
    mended="it answers",
    labels={"rows": "business_central:invoice_line"},
    breaks=["business central"],
    needs=[*POLLED, "worker", "dispatcher", "connect", "registry"],
    faster=120,
)
def header_is_missing(it: Watched) -> Iterator[None]:
    world = it.system.world
    [project, *_] = [each for each in world.cast.projects if each.country_code in IN_SECOND_ERP]
    assert project.deal is not None
    assert project.country_code is not None
    number = project_id(engagement_id(project.deal.ref), project.country_code)
    it.system.insert_entry(project_id=int(project.id), currency=project.currency, hours=Decimal(3))
    it.system.admin.add_fault("business_central", FaultKind.UNAVAILABLE, path="/salesInvoices")
    eventually(lambda: it.system.admin.invoice_job(number), deadline_s=DEADLINE_S)
    yield
    it.system.admin.clear_faults("business_central")
