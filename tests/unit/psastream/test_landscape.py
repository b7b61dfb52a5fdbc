"""The landscape of a firm as processes read it."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from connectors.systems import Systems
from connectors.toolkit.vendor import Idempotency
from connectors.vendors.netsuite import vendor as netsuite
from psastream.flows import flows_of
from psastream.landscape import FirmSystems, read_firm, read_landscape, systems_of
from runtime.settings import Settings
from schemas.commands import UpsertProject
from schemas.errors import ConfigError
from schemas.landscape import Landscape, Role, System, load_landscape
from schemas.topics import COMMAND_PREFIX
from streams.groups import make_groups
from tests.support.catalogue import LANDSCAPE
from tests.support.topology import FixedRegistry


def settings(landscape: Path | None = None) -> Settings:
    return Settings(
        bootstrap_servers="b:1", registry_url="http://r", landscape=landscape, replication_factor=1
    )


def test_without_a_file_the_packaged_landscape_holds() -> None:
    assert read_landscape(settings()) == LANDSCAPE
    firm = read_firm(settings())
    assert {mapping.topic.split(".")[1] for mapping in firm.mappings} == set(LANDSCAPE.systems)
    topics = [topic.name for topic in firm.topics]
    assert len(set(topics)) == len(topics)
    assert {"psa.command.netsuite", "psa.command.float"} == {
        name for name in topics if name.startswith(COMMAND_PREFIX)
    }


def test_a_firm_brings_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "landscape.yaml"
    path.write_text(
        "systems: {salesforce: {role: crm}, netsuite: {role: erp}, float: {role: resource}}"
    )
    firm = read_firm(settings(path))
    assert firm.landscape.of(Role.PSA) == []
    assert not any("inhouse" in mapping.topic for mapping in firm.mappings)
    assert not any("inhouse" in topic.name for topic in firm.topics)


def test_hr_payroll_and_procurement_are_published_and_change_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "landscape.yaml"
    roles = {"bamboohr": "hr", "gusto": "payroll", "coupa": "procurement"}
    more = "".join(f"\n  {name}: {{role: {role}}}" for name, role in roles.items())
    packaged = files("connectors").joinpath("landscape.yaml").read_text()
    path.write_text(packaged.replace("systems:", f"systems:{more}", 1))
    firm, plain = read_firm(settings(path)), read_firm(settings())

    def reads(each: FirmSystems) -> set[str]:
        _, *tables = make_groups(each.mappings, FixedRegistry(), each.landscape)
        return {agent.topic for group in tables for agent in group.agents}

    made = targets_of(firm) - targets_of(plain)
    assert made == {
        "psa.employment", "psa.job", "psa.compensation", "psa.payroll_cost", "psa.purchase_order",
        "psa.supplier_invoice", "psa.goods_receipt",
    }  # fmt: skip
    assert reads(firm) == reads(plain)
    assert not made & reads(firm)
    assert firm.targets == plain.targets
    told = {flow.system: flow.gives for flow in flows_of(firm)}
    assert told["coupa"] == ("goods_receipt", "purchase_order", "supplier_invoice")


def test_a_psa_that_takes_projects_is_sent_them_and_must_take_them(tmp_path: Path) -> None:
    path = tmp_path / "landscape.yaml"
    packaged = files("connectors").joinpath("landscape.yaml").read_text()
    path.write_text(packaged.replace("systems:", "systems:\n  kantata: {role: psa}", 1))
    assert read_firm(settings(path)).targets == read_firm(settings()).targets
    path.write_text(path.read_text().replace("{role: psa}", "{role: psa, takes_projects: true}", 1))
    firm = read_firm(settings(path))
    assert firm.targets == [*read_firm(settings()).targets, "kantata"]
    assert {flow.system: flow.takes for flow in flows_of(firm)}["kantata"] == ("upsert_project",)
    assert {flow.system: flow.takes for flow in flows_of(firm)}["inhouse"] == ()
    taking = packaged.replace("inhouse: {role: psa}", "inhouse: {role: psa, takes_projects: true}")
    path.write_text(taking)
    with pytest.raises(ConfigError, match="inhouse plays the role psa, and its sink has no upsert"):
        read_firm(settings(path))


def test_a_crm_that_takes_status_must_take_it_and_show_it(tmp_path: Path) -> None:
    path = tmp_path / "landscape.yaml"
    systems = "systems: {dataverse: {role: crm}, netsuite: {role: erp}}"
    path.write_text(systems)
    assert read_firm(settings(path)).targets == ["netsuite"]
    path.write_text(systems.replace("role: crm", "role: crm, takes_status: true"))
    with pytest.raises(ConfigError) as refused:
        read_firm(settings(path))
    assert list(refused.value.problems) == [
        "dataverse plays the role crm, and its sink has no update_deal_status",
        "dataverse plays the role crm, and its mapping makes no opportunity.project_ids,"
        " opportunity.delivery_status",
    ]


def targets_of(firm: FirmSystems) -> set[str]:
    return {target.topic.name for mapping in firm.mappings for target in mapping.targets}


def test_a_file_that_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    with pytest.raises(ConfigError, match=r"mine\.yaml cannot be read: No such file") as caught:
        read_landscape(settings(path))
    assert "PSASTREAM_LANDSCAPE" in caught.value.hint
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"mine\.yaml cannot be read: no text in UTF-8"):
        read_landscape(settings(path))
    path.write_text("systems: {}")
    with pytest.raises(ConfigError, match=r"mine\.yaml: landscape is not valid: line 1: systems"):
        read_landscape(settings(path))


def test_a_system_that_nobody_has_described_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "landscape.yaml"
    path.write_text(
        "systems: {sugar: {role: crm}, netsuite: {role: erp}, float: {role: resource},"
        " mosaic: {role: psa}}"
    )
    with pytest.raises(ConfigError, match=r"no system sugar.*no system mosaic"):
        read_firm(settings(path))


class Ledger:
    """A copy of the packaged ERP in a folder of its own, whose mapping can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "ledger"
        packaged = Path("connectors/vendors/netsuite")
        shutil.copytree(packaged / "avro", self.folder / "avro")
        text = (packaged / "mapping.yaml").read_text().replace("system: netsuite", "system: ledger")
        self.text = text.replace("capture: polled", "capture: polled\nvendor: netsuite")

    def problem(self, text: str) -> str:
        """Return why a firm with this ERP is refused, "" where it is not."""
        (self.folder / "mapping.yaml").write_text(text)
        roles = {"salesforce": "crm", "ledger": "erp", "float": "resource"}
        systems = ", ".join(f"{system}: {{role: {role}}}" for system, role in roles.items())
        try:
            systems_of(load_landscape(f"systems: {{{systems}}}"), Systems([self.folder]))
        except ConfigError as error:
            return error.detail
        return ""

    def without(self, *fields: str) -> str:
        """Return the mapping without the rules of fields, each in one line, wherever they are."""
        found = self.text
        for field in fields:
            found, count = re.subn(f"\n +{field}: {{.*", "", found)
            assert count, field
        return found


def test_an_erp_must_show_what_it_holds_and_what_is_invoiced(tmp_path: Path) -> None:
    """Else what is ordered never shows, and time that was billed is changed."""
    ledger = Ledger(tmp_path)
    assert ledger.problem(ledger.text) == ""
    (ledger.folder / "avro" / "invoice.avsc").unlink()
    told = ledger.problem(ledger.text.split("\n  invoice:")[0] + "\n")
    assert told == "ledger plays the role erp, and its mapping makes no invoice"


@pytest.mark.parametrize(
    ("fields", "unseen"),
    [
        (["tax_number"], "customer.tax_number"),
        (["budget_cost", "budget_currency"], "project.budget_cost, project.budget_currency"),
        (["bill_rate"], "time_bill.bill_rate"),
        (["source_at"], ""),
    ],
)
def test_an_erp_must_show_each_field_that_is_kept_right_there(
    tmp_path: Path, fields: list[str], unseen: str
) -> None:
    """Else the target would never be seen to hold what was ordered."""
    ledger = Ledger(tmp_path)
    told = ledger.problem(ledger.without(*fields))
    assert told == (unseen and f"ledger plays the role erp, and its mapping makes no {unseen}")


class Demanding(UpsertProject):
    """What a sink asks for that no table says."""

    approved_by: str
    colour: str | None = None


def test_a_sink_that_must_be_told_what_no_command_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, and not by each of its commands."""
    vendor = Systems().vendor("netsuite")
    others = {kind: why for kind, why in vendor.commands.items() if kind is not UpsertProject}
    commands = {**others, Demanding: Idempotency.UPSERT}
    demanding = replace(vendor, commands=commands)
    monkeypatch.setattr(netsuite, "VENDOR", demanding)
    ledger = Ledger(tmp_path)
    assert ledger.problem(ledger.text) == (
        "ledger plays the role erp, and its sink asks for upsert_project.approved_by, which no"
        " command says"
    )


@pytest.mark.parametrize(
    ("erp", "tool", "missing"),
    [
        (
            "inhouse",
            "float",
            "upsert_customer, upsert_project, delete_project, update_project_budget,"
            " upsert_time_bill, delete_time_bill",
        ),
        (
            "float",
            "netsuite",
            "upsert_customer, delete_project, update_project_budget, upsert_time_bill,"
            " delete_time_bill",
        ),
    ],
)
def test_no_system_plays_a_role_whose_commands_it_does_not_take(
    erp: str, tool: str, missing: str
) -> None:
    roles = {"salesforce": "crm", erp: "erp", tool: "resource"}
    systems = ", ".join(f"{system}: {{role: {role}}}" for system, role in roles.items())
    text = f"systems: {{{systems}}}"
    problem = f"^{erp} plays the role erp, and its sink has no {missing};"
    with pytest.raises(ConfigError, match=problem):
        systems_of(load_landscape(text), Systems())


def test_a_tool_that_is_only_read_is_told_its_role() -> None:
    """Its people, assignments and time off are those of the firm in either role."""
    text = "systems: {harvest: {role: ROLE}}"
    with pytest.raises(ConfigError, match="its sink has no upsert_project") as caught:
        systems_of(load_landscape(text.replace("ROLE", "resource")), Systems())
    assert "one that is only read plays the role psa" in caught.value.hint
    assert systems_of(load_landscape(text.replace("ROLE", "psa")), Systems()).targets == []
    with pytest.raises(ConfigError) as caught:
        systems_of(load_landscape(text.replace("ROLE", "erp")), Systems())
    assert "psa" not in caught.value.hint


def two_erps(folder: Path, *, other: str = "erp") -> Landscape:
    """The packaged ERP, and a second system like it, in a folder of its own."""
    packaged = Path("connectors/vendors/netsuite")
    shutil.copytree(packaged / "avro", folder / "avro")
    text = (packaged / "mapping.yaml").read_text().replace("system: netsuite", "system: ledger")
    vendor = "capture: polled\nvendor: netsuite"
    (folder / "mapping.yaml").write_text(text.replace("capture: polled", vendor))
    roles = {"salesforce": "crm", "netsuite": "erp", "ledger": other, "float": "resource"}
    systems = ", ".join(f"{system}: {{role: {role}}}" for system, role in roles.items())
    return load_landscape(f"systems: {{{systems}}}")


def test_a_firm_of_two_erps_sends_commands_to_both(tmp_path: Path) -> None:
    landscape = two_erps(tmp_path / "ledger")
    firm = systems_of(landscape, Systems([tmp_path / "ledger"]))
    assert firm.targets == ["netsuite", "ledger", "float"]
    topics = {topic.name for topic in firm.topics}
    assert {"psa.command.netsuite", "psa.command.ledger"} <= topics


def test_each_of_two_erps_tells_its_legal_entities(tmp_path: Path) -> None:
    landscape, folder = two_erps(tmp_path / "ledger"), tmp_path / "ledger"
    text = (folder / "mapping.yaml").read_text()
    head, _, rest = text.partition("  subsidiary:")
    (folder / "mapping.yaml").write_text(head + "  customer:" + rest.partition("  customer:")[2])
    (folder / "avro" / "subsidiary.avsc").unlink()
    told = "ledger is one of 2 ERPs, and its mapping makes no legal_entity: no project would be its"
    with pytest.raises(ConfigError) as caught:
        systems_of(landscape, Systems([folder]))
    assert caught.value.detail == told
    alone = "systems: {salesforce: {role: crm}, ledger: {role: erp}, float: {role: resource}}"
    assert "ledger" in systems_of(load_landscape(alone), Systems([folder])).bundles


def test_nobody_else_tells_legal_entities_where_two_erps_do(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    landscape = two_erps(folder, other="psa")
    assert "ledger" in systems_of(landscape, Systems([folder])).bundles
    third = tmp_path / "third"
    two_erps(third)
    text = (third / "mapping.yaml").read_text().replace("system: ledger", "system: third")
    (third / "mapping.yaml").write_text(text)
    systems = {**landscape.systems, "third": System(role=Role.ERP)}
    with pytest.raises(ConfigError) as caught:
        systems_of(Landscape(systems=systems), Systems([folder, third]))
    assert caught.value.detail == (
        "ledger plays the role psa, and its mapping makes legal_entity: which of 2 ERPs bills for"
        " one is told by the ERP that has it"
    )
