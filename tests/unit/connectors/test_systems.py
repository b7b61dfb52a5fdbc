"""Folders of systems: found, read, and refused with every problem named."""

from __future__ import annotations

import json
import re
import shutil
import sys
from importlib.metadata import EntryPoint
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from connectors.dispatch.main import load_sink
from connectors.polled.main import load_source
from connectors.systems import Systems, class_name
from connectors.toolkit.vendor import Idempotency
from psastream.system import tried_row
from schemas.errors import ConfigError
from schemas.identity import engagement_id
from schemas.landscape import Landscape
from schemas.system import catalogue
from schemas.topics import PRODUCT_TOPICS
from tests.support.folders import folder_of

FLOAT_FOLDER = Path(__file__).parents[3] / "connectors" / "vendors" / "float"

FLOAT = {"FLOAT_URL": "https://float.example", "FLOAT_TOKEN": "token"}

IMPORTS: Final = """
from connectors.toolkit.vendor import Idempotency, Vendor
from connectors.vendors.float.sink import FloatSink
from schemas.commands import StaffProject
"""


def test_every_folder_of_the_product_that_maps_is_a_system() -> None:
    assert {"float", "inhouse", "netsuite", "salesforce"} <= set(Systems().names())
    assert not {"polled", "dispatch", "debezium"} & set(Systems().names())


def test_a_system_has_a_topic_of_each_object_and_the_contract_of_a_polled_one() -> None:
    person = Systems().read("float").topics["person"]
    assert person.name == "src.float.person"
    assert person.contract is not None
    assert person.contract.name == "psa.source.float.Person"
    assert person.personal_data == ("name", "email", "cost_rate", "contracts")
    assert Systems().read("inhouse").topics["tasks"].contract is None


def test_an_unknown_system_is_refused_with_the_name_that_may_be_meant() -> None:
    with pytest.raises(ConfigError, match="there is no system netsuit, did you mean netsuite"):
        Systems().read("netsuit")
    with pytest.raises(ConfigError, match="there is no system workday;"):
        Systems().read("workday")


def test_a_folder_of_the_firm_is_a_system_with_the_code_that_it_names(tmp_path: Path) -> None:
    systems = Systems([folder_of(tmp_path, "float_uk")])
    assert systems.names()[-1] == "float_uk"
    system = systems.read("float_uk")
    assert system.vendor == "float"
    assert {topic.name for topic in system.topics.values()} == {
        f"src.float_uk.{obj}" for obj in Systems().read("float").topics
    }
    assert {mapping.row_prefix.partition(":")[0] for mapping in system.mappings} == {"float_uk"}
    names = [topic.name for topic in catalogue([system], ["float_uk"])]
    assert {"src.float_uk.person", "psa.command.float_uk"} <= set(names)
    assert {topic.name for topic in PRODUCT_TOPICS} <= set(names)


def test_a_connector_file_polls_a_system_of_the_firm(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "float_uk")
    source = json.loads((folder / "source.json").read_text())
    (folder / "source.json").write_text(json.dumps(source | {"topic.prefix": "src.float_uk"}))
    connector = load_source(folder / "source.json", FLOAT, Systems([folder]))
    assert connector.system.name == connector.config.system == "float_uk"
    with pytest.raises(ConfigError, match=r"source\.json: topic\.prefix: there is no system"):
        load_source(folder / "source.json", FLOAT)


@pytest.mark.fault("D9", place="connectors/polled/main.py")
@pytest.mark.parametrize(
    ("system", "obj", "hint"),
    [
        (
            "netsuite",
            "project",
            "connector.class connectors.vendors.netsuite.source.NetSuiteSource reads",
        ),
        ("salesforce", "account", "connectors.vendors.salesforce.source.SalesforceSource reads it"),
        ("inhouse", "projects", "nothing polls it"),
    ],
)
def test_d9_a_source_file_names_the_system_of_its_class(
    tmp_path: Path, system: str, obj: str, hint: str
) -> None:
    folder = folder_of(tmp_path, "float_uk")
    source = json.loads((folder / "source.json").read_text())
    source |= {"topic.prefix": f"src.{system}", "object.include.list": obj}
    (folder / "source.json").write_text(json.dumps(source))
    with pytest.raises(ConfigError, match=f"source.json: topic.prefix: {system} is .*; .*{hint}"):
        load_source(folder / "source.json", FLOAT)


def test_an_object_that_the_code_cannot_read_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "float_uk")
    shutil.copy(folder / "avro" / "role.avsc", folder / "avro" / "skill.avsc")
    mapping = folder / "mapping.yaml"
    mapping.write_text(mapping.read_text() + "\n  skill: {kind: skill, key: id}\n")
    source = json.loads((folder / "source.json").read_text())
    changed = {"topic.prefix": "src.float_uk", "object.include.list": "role,skill"}
    (folder / "source.json").write_text(json.dumps(source | changed))
    with pytest.raises(
        ConfigError, match=r"object\.include\.list: float_uk has no skill"
    ) as caught:
        load_source(folder / "source.json", FLOAT, Systems([folder]))
    assert "skill" not in caught.value.hint
    assert "role" in caught.value.hint


def test_a_sink_file_names_a_system_there_is(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "float_uk")
    sink = json.loads((folder / "sink.json").read_text())
    (folder / "sink.json").write_text(json.dumps(sink | {"target": "float_uk"}))
    assert load_sink(folder / "sink.json", FLOAT, Systems([folder])).target == "float_uk"
    with pytest.raises(ConfigError, match="target: there is no system float_uk"):
        load_sink(folder / "sink.json", FLOAT)


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("netsuite", "connector.class connectors.vendors.netsuite.sink.NetSuiteSink writes it"),
        ("inhouse", "nothing writes it"),
    ],
)
def test_a_sink_file_names_a_system_that_its_class_writes(
    tmp_path: Path, target: str, hint: str
) -> None:
    path = folder_of(tmp_path, "float_uk") / "sink.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target": target}))
    with pytest.raises(ConfigError, match=f"target: {target} is another system's") as caught:
        load_sink(path, FLOAT)
    assert caught.value.hint == hint


def test_a_folder_that_is_called_like_a_system_of_the_product_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="several systems are called float"):
        Systems([folder_of(tmp_path, "float")])


def test_two_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "float_uk")
    other = folder_of(tmp_path / "other", "float_uk")
    with pytest.raises(ConfigError, match="several systems are called float_uk"):
        Systems([folder, other])


def test_the_code_of_a_system_is_found_without_its_contracts(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "float_uk")
    shutil.rmtree(folder / "avro")
    systems = Systems([folder])
    assert systems.vendor_of("float_uk") is systems.vendor_of("float") is systems.vendor("float")
    mapping = folder / "mapping.yaml"
    mapping.write_text(mapping.read_text().replace("vendor: float", "vendor: flaot"))
    with pytest.raises(ConfigError, match="there is no system flaot, did you mean float"):
        systems.vendor_of("float_uk")
    with pytest.raises(ConfigError, match="there is no system gone"):
        systems.vendor_of("gone")


def test_an_installed_package_brings_a_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder_of(tmp_path, "acme_hours")
    (package / "__init__.py").touch()
    code = "from connectors.vendors.float.vendor import VENDOR\n"
    (package / "vendor.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("acme_hours", "acme_hours", "psastream.systems")
    monkeypatch.setattr("connectors.systems.entry_points", lambda group: [entry])
    systems = Systems()
    assert systems.read("acme_hours").topics["role"].name == "src.acme_hours.role"
    assert systems.vendor("acme_hours") is Systems().vendor("float")


@pytest.mark.parametrize("name", ["float", "acme_hours"])
def test_a_package_cannot_take_the_name_of_another_system(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [EntryPoint(name, package, "psastream.systems") for package in ("acme", "other")]
    monkeypatch.setattr("connectors.systems.entry_points", lambda group: entries)
    with pytest.raises(ConfigError, match=f"several systems are called {name}"):
        Systems()


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import acme_missing", "the code of acme_bad cannot be loaded: ModuleNotFoundError"),
        ("1 / 0", "the code of acme_bad cannot be loaded: ZeroDivisionError"),
        ("", "the code of acme_bad cannot be loaded: AttributeError"),
        ("VENDOR = 1", r"VENDOR of acme_bad\.vendor is no Vendor"),
        (
            f"{IMPORTS}VENDOR = Vendor(sink=FloatSink, commands={{StaffProject: 'always'}})",
            "the code of acme_bad cannot be loaded: .* why may upsert_project be repeated",
        ),
        (
            f"{IMPORTS}VENDOR = Vendor(commands={{StaffProject: Idempotency.SEARCH}})",
            "the code of acme_bad cannot be loaded: .* kinds of commands, and no sink",
        ),
    ],
)
def test_code_of_a_package_that_does_not_load_is_named(
    code: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder_of(tmp_path, "acme_bad")
    (package / "__init__.py").touch()
    (package / "vendor.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("acme_bad", "acme_bad", "psastream.systems")
    monkeypatch.setattr("connectors.systems.entry_points", lambda group: [entry])
    for module in [each for each in sys.modules if each.partition(".")[0] == "acme_bad"]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ConfigError, match=problem):
        Systems().vendor("acme_bad")


@pytest.mark.parametrize("package", ["acme_gone.folder", "json.decoder", "", ".", "acme_raises"])
def test_what_is_no_package_is_named(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme_raises").mkdir()
    (tmp_path / "acme_raises" / "__init__.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("acme", package, "psastream.systems")
    monkeypatch.setattr("connectors.systems.entry_points", lambda group: [entry])
    for ask in (Systems().read, Systems().vendor, Systems().vendor_of):
        with pytest.raises(ConfigError, match="the package of system acme cannot be read"):
            ask("acme")


@pytest.mark.fault("D9", place="connectors/systems.py")
def test_d9_code_that_cannot_be_loaded_stops_only_who_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder_of(tmp_path, "acme_broken")
    (package / "__init__.py").touch()
    (package / "vendor.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("acme", "acme_broken", "psastream.systems")
    monkeypatch.setattr("connectors.systems.entry_points", lambda group: [entry])
    with structlog.testing.capture_logs() as lines:
        found = Systems().vendors("connectors.vendors.float.source.FloatSource")
    assert {class_name(each.source) for each in found if each.source} >= {
        "connectors.vendors.float.source.FloatSource",
        "connectors.rest.source.RestSource",
    }
    [line] = lines
    assert (line["event"], line["system"]) == ("systems.left_out", "acme")
    assert "ZeroDivisionError" in line["error"]
    for file, load in (("source.json", load_source), ("sink.json", load_sink)):
        own = json.loads((FLOAT_FOLDER / file).read_text())
        path = tmp_path / file
        path.write_text(json.dumps(own))
        load(path, FLOAT, Systems())
        path.write_text(json.dumps(own | {"connector.class": "acme_broken.source.Source"}))
        with pytest.raises(ConfigError, match="the code of acme cannot be loaded: ZeroDivision"):
            load(path, FLOAT, Systems())


@pytest.mark.fault("D9", place="connectors/polled/source.py")
@pytest.mark.parametrize(
    ("path", "field", "problem"),
    [
        (
            "netsuite/avro/customer.avsc",
            "entityid",
            r"line \d+: other is no column of",
        ),
        ("netsuite/avro/invoice.avsc", "line", r"line \d+: other is no column of"),
        ("salesforce/avro/account.avsc", "SystemModstamp", "there is no field SystemModstamp"),
    ],
)
def test_d9_a_contract_has_what_the_code_of_its_vendor_reads(
    tmp_path: Path, path: str, field: str, problem: str
) -> None:
    like, _, file = path.partition("/")
    folder = folder_of(tmp_path, f"{like}_uk", like)
    for each, written in ((file, f'"name": "{field}"'), ("mapping.yaml", f"from: {field}}}")):
        text = (folder / each).read_text()
        (folder / each).write_text(text.replace(written, written.replace(field, "other"), 1))
    systems = Systems([folder])
    system = systems.read(folder.name)
    source = systems.vendor(system.vendor).source
    assert source is not None
    with pytest.raises(ConfigError) as refused:
        source.objects_of(system)
    [told] = refused.value.problems
    assert re.search(f"{like}_uk/{file}: .*{problem}", told)


def test_a_database_needs_no_code() -> None:
    vendor = Systems().vendor("inhouse")
    assert (vendor.source, vendor.sink, vendor.commands) == (None, None, {})


def test_the_code_of_a_vendor_says_how_each_of_its_commands_may_be_repeated() -> None:
    vendors = {name: Systems().vendor(name) for name in Systems().names()}
    commands = {
        name: {content.kind: why for content, why in vendor.commands.items()}
        for name, vendor in vendors.items()
        if vendor.sink
    }
    assert commands["float"] == {"upsert_project": Idempotency.SEARCH}
    assert commands["netsuite"]["upsert_time_bill"] is Idempotency.UPSERT
    assert commands["netsuite"]["delete_time_bill"] is Idempotency.CHANGE


def test_a_class_is_named_as_connector_files_do() -> None:
    source = Systems().vendor("float").source
    assert source is not None
    assert class_name(source) == "connectors.vendors.float.source.FloatSource"


class TestProblems:
    """One clear error each, with the file."""

    def problem(self, folder: Path) -> str:
        with pytest.raises(ConfigError) as refused:
            Systems([folder]).read(folder.name)
        return refused.value.detail

    def test_no_mapping(self, tmp_path: Path) -> None:
        folder = tmp_path / "empty"
        folder.mkdir()
        assert (
            self.problem(folder) == "empty/mapping.yaml cannot be read: No such file or directory"
        )

    def test_another_name(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path, "float_uk").rename(tmp_path / "float_us")
        expected = "float_us/mapping.yaml: system is float_uk, and its folder is float_us"
        assert self.problem(folder) == expected

    def test_code_of_a_system_that_there_is_not(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path, "float_uk")
        mapping = folder / "mapping.yaml"
        mapping.write_text(mapping.read_text().replace("vendor: float", "vendor: flaot"))
        expected = "float_uk/mapping.yaml: vendor: there is no system flaot, did you mean float"
        assert self.problem(folder).startswith(expected)

    def test_a_contract_is_missing(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path, "float_uk")
        (folder / "avro" / "role.avsc").unlink()
        assert "role: the contract is missing: avro/role.avsc" in self.problem(folder)

    def test_a_contract_is_of_no_object(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path, "float_uk")
        shutil.copy(folder / "avro" / "role.avsc", folder / "avro" / "client.avsc")
        assert "there is no object client, of which there is a contract" in self.problem(folder)

    def test_a_contract_is_no_schema(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path, "float_uk")
        (folder / "avro" / "role.avsc").write_text("{")
        assert "role: contract: not an avro schema" in self.problem(folder)

    def test_a_contract_is_no_record(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path, "float_uk")
        (folder / "avro" / "role.avsc").write_text('"string"')
        assert "role: contract: " in self.problem(folder)

    def test_a_contract_of_a_databases_table(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path, "psa2", like="inhouse")
        (folder / "avro").mkdir()
        (folder / "avro" / "tasks.avsc").write_text("{}")
        assert "tasks: the contract of a database's table is Debezium's" in self.problem(folder)

    def test_personal_data_that_is_no_column(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path, "float_uk")
        mapping = folder / "mapping.yaml"
        mapping.write_text(mapping.read_text().replace("[people_ids]", "[people]"))
        assert "timeoff: unknown source column people" in self.problem(folder)

    @pytest.mark.parametrize("name", ["time off", "a.b", "", "1", "ü"])
    def test_a_name_that_no_topic_can_have(self, tmp_path: Path, name: str) -> None:
        folder = folder_of(tmp_path, "float_uk")
        mapping = folder / "mapping.yaml"
        text = mapping.read_text().replace("\n  timeoff:", f"\n  {json.dumps(name)}:")
        mapping.write_text(text)
        assert "String should match pattern" in self.problem(folder)


def test_an_object_without_targets_is_captured_and_nothing_is_made_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    (folder / "avro").mkdir(parents=True)
    (folder / "mapping.yaml").write_text(
        "system: raw\nvendor: float\ncapture: polled\nobjects: {role: {kind: role, key: id}}\n"
    )
    with as_file(files("connectors.vendors") / "float" / "avro" / "role.avsc") as contract:
        shutil.copy(contract, folder / "avro")
    system = Systems([folder]).read("raw")
    assert list(system.topics) == ["role"]
    assert system.mappings == ()


def test_ids_of_another_system_are_spelled_as_its_folder_says(tmp_path: Path) -> None:
    """A second system of one vendor is one by its declaration, not by its name."""
    sales = folder_of(tmp_path, "sales_uk", like="salesforce")
    delivery = folder_of(tmp_path, "psa2", like="inhouse")
    mapping = delivery / "mapping.yaml"
    mapping.write_text(mapping.read_text().replace("crm:", "sales_uk:"))
    systems = Systems([sales, delivery])
    [projects] = [each for each in systems.read("psa2").mappings if each.topic.endswith("projects")]
    row = {
        "id": 7,
        "name": "Grid",
        "opportunity_ref": "006Tw00000Qr7sT",
        "country_code": "DE",
        "currency": "EUR",
        "status": "active",
        "starts_on": None,
        "ends_on": None,
    }
    made = tried_row(projects, None, row)
    assert made.refused is None
    completed = engagement_id("sales_uk:opportunity:006Tw00000Qr7sTIAR")
    assert made.records["project"]["engagement_id"] == completed


def test_rows_of_a_system_that_there_is_not_are_not_referred_to(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "psa2", like="inhouse")
    mapping = folder / "mapping.yaml"
    mapping.write_text(mapping.read_text().replace('"crm:', '"salesfroce:'))
    with pytest.raises(ConfigError, match=r"line \d+: projects: .*there is no system salesfroce"):
        Systems([folder]).read("psa2")


def deal_of(systems: Systems, native: str) -> Any:
    """The engagement that a project of the packaged PSA is of."""
    mappings = systems.read("inhouse").mappings
    [projects] = [each for each in mappings if each.topic == "src.inhouse.projects"]
    row = dict.fromkeys(("name", "currency", "starts_on", "ends_on"))
    row |= {"id": 7, "opportunity_ref": native, "country_code": "DE", "status": "active"}
    made = tried_row(projects, None, row)
    assert made.refused is None
    return made.records["project"]["engagement_id"]


def landscape(**roles: str) -> Landscape:
    systems = {"netsuite": "erp", "float": "resource", "inhouse": "psa"} | roles
    return Landscape.model_validate(
        {"systems": {name: {"role": systems[name]} for name in systems}}
    )


def test_rows_of_a_role_are_those_of_the_system_in_it() -> None:
    native = "006Tw00000Qr7sTIAR"
    assert deal_of(Systems(), native) == engagement_id(f"salesforce:opportunity:{native}")
    systems = Systems(landscape=landscape(hubspot="crm"))
    assert deal_of(systems, "900000000001") == engagement_id("hubspot:deal:900000000001")


@pytest.mark.parametrize(
    ("systems", "means"),
    [
        ({"salesforce": "crm", "hubspot": "crm"}, "may be salesforce:opportunity or hubspot:deal"),
        ({"harvest": "crm"}, "is made by no system"),
        ({"unknown": "crm"}, "is made by no system"),
    ],
)
def test_rows_of_a_role_that_are_not_one_systems_are_told(
    systems: dict[str, str], means: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Systems(landscape=landscape(**systems)).read("inhouse")
    told = rf"inhouse/mapping.yaml: line \d+: crm:opportunity {means}"
    assert re.fullmatch(told, caught.value.detail)


def test_rows_of_an_entity_that_there_is_not_are_told_with_their_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "psa2", like="inhouse")
    mapping = folder / "mapping.yaml"
    text = mapping.read_text()
    mapping.write_text(text.replace('"crm:opportunity"', '"crm:deal"'))
    with pytest.raises(ConfigError) as caught:
        Systems([folder]).read("psa2")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if "crm:opp" in line]
    told = r"psa2/mapping.yaml: line (\d+): crm:deal is made by no system"
    found = re.fullmatch(told, caught.value.detail)
    assert found is not None
    assert int(found[1]) in range(lines[0] - 1, lines[-1] + 1)


def test_no_system_is_called_like_a_role(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^a role is called crm, no system"):
        Systems([folder_of(tmp_path, "crm")])
