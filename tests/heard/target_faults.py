"""Faults of the systems that commands are carried out in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sandbox.vendors.faults import FaultKind
from tests.heard.orders import customers, plans, send
from tests.support.heard import Watched, fault

WRITTEN: Final = ("dispatcher", "vendors", "registry")
PROJECTS: Final = "/v3/projects"
MANY: Final = 1_200
HOUR_S: Final = 3_600.0


@fault(
    "PsastreamCommandsRetrying",
    done="the resource tool hangs at a project, and each attempt times out",
    mended="it answers",
    labels={"target": "float"},
    needs=WRITTEN,
)
def a_project_hangs(it: Watched) -> Iterator[None]:
    it.system.admin.add_fault(
        "float", FaultKind.DELAY, scope="write", path=PROJECTS, delay_s=HOUR_S
    )
    send(it.system, plans("hangs"))
    yield
    it.system.admin.clear_faults("float", PROJECTS)


@fault(
    "PsastreamCommandBacklog",
    done=f"{MANY:,} customers are ordered at once, and the ERP is slow",
    mended="it is fast again",
    labels={"target": "netsuite"},
    breaks=["netsuite orders"],
    needs=WRITTEN,
)
def many_are_ordered(it: Watched) -> Iterator[None]:
    path = "cus-many"
    it.system.admin.add_fault("netsuite", FaultKind.DELAY, scope="write", path=path, delay_s=2.0)
    send(it.system, customers("netsuite", "many", MANY))
    yield
    it.system.admin.clear_faults("netsuite", path)


@fault(
    "PsastreamTargetPaused",
    done="an ERP refuses our token for what is written",
    mended="it takes it again",
    labels={"target": "business_central"},
    breaks=["business central"],
    needs=WRITTEN,
)
def the_token_is_refused(it: Watched) -> Iterator[None]:
    erp, path = "business_central", "/customers"
    it.system.admin.add_fault(erp, FaultKind.EXPIRED_TOKEN, scope="write", path=path)
    send(it.system, customers(erp, "refused"))
    yield
    it.system.admin.clear_faults(erp, path)
