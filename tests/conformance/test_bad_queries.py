"""Queries of a vendor's own language: each fault of a reader breaks the clause that is about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from connectors.vendors.netsuite import source as netsuite
from connectors.vendors.salesforce import source as salesforce
from psastream.conformance.suite import conform, read_subject
from psastream.system import read_system
from tests.conformance.bad_queries import account_with, org_with
from tests.conformance.test_vendors import VENDORS

FAULTS: Final = (
    ("salesforce", "account", "skips ties", "ties"),
    ("salesforce", "account", "knows better", "late rows"),
    ("salesforce", "account", "sweeps the news", "silent changes"),
    ("salesforce", "account", "shows living rows", "deletes"),
    ("salesforce", "account", "short is the end", "short pages"),
    ("salesforce", "account", "one page is all", "whole list"),
    ("salesforce", "account", "deleted is deleted", "restored rows"),
    ("netsuite", "customer", "skips ties", "ties"),
    ("netsuite", "customer", "asks in local time", "changes"),
    ("netsuite", "customer", "takes another column", "exact values"),
    ("netsuite", "customer", "takes ids for currencies", "exact values"),
    ("netsuite", "customer", "shows local time", "exact values"),
    ("netsuite", "customer", "joins what is not there", "nulls"),
    ("netsuite", "customer", "no deletes", "deletes"),
    ("netsuite", "customer", "one page is all", "whole list"),
    ("netsuite", "project", "shows raw dates", "whole list"),
    ("netsuite", "time_bill", "asks for hours", "exact values"),
    ("netsuite", "invoice", "takes the whole for a line", "whole list"),
)
"""System, object, fault of its reader, and the clause that is broken by it."""


@pytest.mark.parametrize(("name", "obj", "fault", "clause"), FAULTS)
def test_a_fault_breaks_the_clause_that_is_about_it(
    name: str, obj: str, fault: str, clause: str
) -> None:
    subject = read_subject(VENDORS / name, *read_system(VENDORS / name))
    assert subject is not None
    source: type[salesforce.SalesforceSource | netsuite.NetSuiteSource] = (
        org_with(fault) if name == "salesforce" else account_with(fault)
    )
    [finding] = conform(replace(subject, source=source), [obj], [clause])
    assert finding.broken
