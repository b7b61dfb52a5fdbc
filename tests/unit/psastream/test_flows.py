"""Who sends what to whom."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from psastream.cli import app
from psastream.flows import SystemFlow, as_mermaid, as_text, flows_of
from tests.support.catalogue import FIRM

FLOWS = [
    SystemFlow("crm1", "crm", ("customer", "opportunity"), ()),
    SystemFlow("tool", "resource", (), ("upsert_project",)),
]


def test_a_firm_s_systems_give_what_is_mapped_and_take_what_their_role_is_sent() -> None:
    flows = {flow.system: flow for flow in flows_of(FIRM)}
    assert list(flows) == list(FIRM.landscape.systems)
    assert flows["salesforce"].role == "crm"
    assert flows["salesforce"].gives == ("customer", "opportunity", "opportunity_line")
    assert flows["salesforce"].takes == ()
    assert flows["float"].takes == ("upsert_project",)
    assert "upsert_time_bill" in flows["netsuite"].takes
    assert {"time_entry", "expense"} <= set(flows["inhouse"].gives)


def test_flows_as_text() -> None:
    assert list(as_text(FLOWS)) == [
        "crm1 (crm) gives customer, opportunity",
        "tool (resource) gives nothing",
        "tool (resource) takes upsert_project",
    ]


def test_flows_as_a_picture() -> None:
    assert list(as_mermaid(FLOWS)) == [
        "flowchart LR",
        '  crm1["crm1 (crm)"]',
        '  crm1 -- "customer<br>opportunity" --> psastream',
        '  tool["tool (resource)"]',
        '  psastream -. "upsert_project" .-> tool',
    ]


@pytest.mark.parametrize(
    ("option", "first"), [([], "salesforce (crm) gives"), (["--mermaid"], "flowchart LR")]
)
def test_the_command_needs_nothing_but_the_landscape(
    option: list[str], first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PSASTREAM_BOOTSTRAP_SERVERS", "PSASTREAM_REGISTRY_URL"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(app, ["flows", *option])
    assert result.exit_code == 0
    assert result.output.startswith(first)


def test_flows_are_json_where_that_is_asked_for() -> None:
    shown = CliRunner().invoke(app, ["flows", "--json"])
    told = {each["system"]: each for each in json.loads(shown.stdout)}
    assert told["float"]["role"] == "resource"
    assert "upsert_project" in told["netsuite"]["takes"]
