"""The ways in which a folder of a system is wrong: each gets one problem, with file and line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.polled.main import load_source, load_sources
from connectors.systems import Systems
from schemas.errors import ConfigError
from schemas.landscape import load_landscape

MAPPING = """\
system: acme
vendor: float
capture: polled
objects:
  role:
    kind: role
    key: id
    targets:
      - entity: role
        fields:
          name: {from: name, text: trim}
          correlation_id: {mint: correlation, of: "acme:role", from: id}
        required: [name]
  person:
    kind: person
    key: people_id
    personal_data: [name]
    targets:
      - entity: rate_card
        fields:
          resource_id: {mint: resource, of: "acme:person", from: people_id}
          bill_rate: {from: rate}
          currency: {from: currency, text: upper}
          correlation_id: {mint: correlation, of: "acme:person", from: people_id}
        absent: [cost_rate, cost_rates]
        required: [resource_id]
"""
ROLE = """\
{"type": "record", "name": "Role", "namespace": "acme", "fields": [
  {"name": "id", "type": ["null", "long"], "default": null},
  {"name": "name", "type": ["null", "string"], "default": null}
]}
"""
RATE = '["null", {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}]'
PERSON = """\
{"type": "record", "name": "Person", "namespace": "acme", "fields": [
  {"name": "people_id", "type": ["null", "long"], "default": null},
  {"name": "name", "type": ["null", "string"], "default": null},
  {"name": "rate", "type": RATE, "default": null},
  {"name": "currency", "type": ["null", "string"], "default": null}
]}
""".replace("RATE", RATE)
SOURCE = {
    "name": "acme",
    "connector.class": "connectors.vendors.float.source.FloatSource",
    "topic.prefix": "src.acme",
    "object.include.list": "role,person",
    "url": "https://acme.example",
    "auth.token": "token-of-acme",
    "user.agent": "psastream (ops@acme.example)",
}
TEXTS = {"mapping.yaml": MAPPING, "avro/role.avsc": ROLE, "avro/person.avsc": PERSON}


def folder_with(tmp_path: Path, file: str = "", old: str = "", new: str = "") -> Path:
    folder = tmp_path / "acme"
    (folder / "avro").mkdir(parents=True)
    for name, text in TEXTS.items():
        assert name != file or old in text, old
        (folder / name).write_text(text.replace(old, new, 1) if name == file else text)
    (folder / "source.json").write_text(json.dumps(SOURCE))
    return folder


def read(folder: Path) -> None:
    systems = Systems([folder])
    system = systems.read("acme")
    source = systems.vendor(system.vendor).source
    assert source is not None
    source.objects_of(system)


def test_the_folder_that_is_made_wrong_is_sound(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    read(folder)
    connector = load_source(folder / "source.json", {}, Systems([folder]))
    for obj in connector.config.objects:
        connector.source.reader(obj, connector.system.contract(obj))


def test_rows_that_only_others_name_are_referred_to_where_they_are_declared(tmp_path: Path) -> None:
    file = "mapping.yaml"
    folder = folder_with(tmp_path, file, 'acme:role"', 'acme:desk"')
    text = (folder / file).read_text()
    (folder / file).write_text(text.replace("capture: polled", "capture: polled\nembedded: [desk]"))
    read(folder)


M, R, P = "mapping.yaml", "avro/role.avsc", "avro/person.avsc"
# What is replaced, with what, what stands in the line that is told, and what is said of it.
WRONG: list[tuple[str, str, str, str, str]] = [
    (M, "system: acme", "system: Acme", "system:", "system: String should match pattern"),
    (M, "vendor: float", "vendor: 7", "vendor:", "vendor: Input should be a valid string"),
    (M, "capture: polled", "capture: webhook", "capture:", "capture: Input should be 'polled', "),
    (M, "capture: polled\n", "", "system:", "capture: Field required"),
    (M, "capture: polled", "capture: polled\npolls: 3", "polls:", "polls: Extra inputs"),
    (
        M,
        "capture: polled",
        "capture: polled\ncapture: polled",
        "capture:",
        "capture is there twice",
    ),
    (M, "  role:\n", "  ro-le:\n", "ro-le:", "ro-le.* String should match pattern"),
    (M, "kind: role", "kind: Role", "kind: Role", "kind: String should match"),
    (M, "    kind: role\n", "", "role:", "kind: Field required"),
    (M, "kind: role", "kind: person", "kind: person", "kind person is that of "),
    (M, "key: id", "key: uid", "  role:", "unknown source column uid"),
    (M, "key: id", "key: name", "key: name", "key is name, and its rows are told apart by id"),
    (M, "key: people_id", "key: name", "key: name", "key is name, and its rows are told apart by "),
    (M, "key: id", "key: id\n    deleted_when: gone", "  role:", "unknown source column gone"),
    (M, "key: id", "key: id\n    deleted_when: name", "deleted_when", "deleted_when is not for"),
    (M, "[name]\n    t", "[nam]\n    t", "  person:", "unknown source column nam"),
    (M, "key: id", "key: id\n    columns: {id: long}", "  role:", "columns are declared by"),
    (M, "entity: role", "entity: roll", "entity: roll", "unknown entity roll"),
    (M, "{from: name, text: trim}", "{from: nam, text: trim}", " name: {", "unknown source column"),
    (M, "{from: name, text: trim}", "{from: name, txt: trim}", " name: {", "txt: Extra inputs"),
    (M, "{from: name, text: trim}", "{from: name, text: cut}", " name: {", "text: Input should be"),
    (M, "{from: name, text: trim}", "{text: trim}", " name: {", "`from` or `sql` is missing"),
    (M, "{from: name, text: trim}", "{constant: 1}", " name: {", "1 is not a value of String"),
    (M, "{from: name, text: trim}", "{from: name, values: {}}", " name: {", "values"),
    (M, "{from: name, text: trim}", "{from: id, text: trim}", " name: {", "text is not for Int64"),
    (M, "{from: name, text: trim}", "{from: id}", " name: {", "Int64 does not become String"),
    (
        M,
        "{from: name, text: trim}",
        "{from: name, scale: '2'}",
        " name: {",
        "scale is for decimals",
    ),
    (M, "{from: name, text: trim}", "[name]", " name: [", "name: Input should be a valid dict"),
    (M, 'of: "acme:role"', 'of: "acme"', "acme", "is not <system>:<kind>"),
    (M, "acme:role", "acme:rol", "acme:rol", "is of kind rol, did you mean acme:role"),
    (M, "acme:role", "acme:desk", "acme:desk", "no object of acme is of kind desk"),
    (M, "acme:role", "float:prson", "float:prson", "kind prson, did you mean float:person"),
    (M, "mint: correlation, of", "mint: coral, of", "coral", "mint: Input should be"),
    (M, 'correlation, of: "acme:role",', "correlation,", "correlation,", "`of` belongs to a mint"),
    (M, "required: [name]", "absent: [name]", "entity: role", "role.name is mapped twice"),
    (M, "[resource_id]", "[cost_rate]", "entity: rate", "cost_rate is required and absent"),
    (M, "required: [name]", "checks: {name: {length: x}}", "checks:", "length: Input should be"),
    (M, "required: [name]", "checks: {name: {}}", "checks:", "a check is exactly one of"),
    (M, "required: [name]", "checks: {name: {between: [0, 1]}}", "checks:", "between is for numb"),
    (M, "{from: currency, text: upper}", "{constant: EURO}", "EURO", "'EURO' must be an ISO 4217"),
    (M, "{from: rate}", "{from: rate, duration: weeks}", "weeks", "duration: Input should be"),
    (M, "{from: rate}", "{from: rate, negate: true}", "negate", "negate is not for Decimal"),
    (M, "objects:", "objects: &a", "objects: &a", "anchors and aliases are not taken"),
    (M, "objects:", "objects: [", "    kind: role", "mapping.yaml is not yaml"),
    (R, '"string"', '"double"', '"double"', "name: no conversion to Avro type double"),
    (
        R,
        '"string"',
        '{"type": "enum", "name": "E", "symbols": ["A"]}',
        "enum",
        "name: no conversion",
    ),
    (
        R,
        '["null", "string"]',
        '["null", "string", "long"]',
        '"name": "name"',
        "not one type beside",
    ),
    (R, '["null", "string"]', '["string", "null"]', '"name": "name"', "name is not nullable with"),
    (R, '"string"], "default": null', '"string"]', '"name": "name"', "name is not nullable with"),
    (
        R,
        '["null", "string"], "default": null',
        '"string"',
        '"name": "name"',
        "name is not nullable",
    ),
    (
        R,
        '"string"',
        '{"type": "array", "items": "float"}',
        "float",
        "no conversion to Avro type fl",
    ),
    (P, RATE, '["null", "bytes"]', "bytes", "rate: no conversion to Avro type bytes"),
]


@pytest.mark.fault("D9", place="connectors/polled/source.py")
@pytest.mark.parametrize(
    "wrong", WRONG, ids=[f"{at}-{case[2]:.30}" for at, case in enumerate(WRONG)]
)
def test_d9_a_folder_that_is_wrong_is_refused_with_file_and_line(
    tmp_path: Path, wrong: tuple[str, str, str, str, str]
) -> None:
    file, old, new, at, problem = wrong
    folder = folder_with(tmp_path, file, old, new)
    with pytest.raises(ConfigError) as refused:
        read(folder)
    (told,) = refused.value.problems
    lines = (folder / file).read_text().splitlines()
    expected = {number for number, line in enumerate(lines, 1) if at in line}
    assert told.startswith(f"acme/{file}")
    assert int(told.split("line ")[1].split(":")[0]) in expected
    assert problem.replace(".*", "") in told or all(part in told for part in problem.split(".*"))


def cut_out(folder: Path, name: str) -> None:
    (folder / name).unlink()


def write(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)


FILES: list[tuple[Callable[[Path], None], str]] = [
    (lambda folder: cut_out(folder, M), "acme/mapping.yaml cannot be read: No such file"),
    (lambda folder: cut_out(folder, R), "line 5: role: the contract is missing: avro/role.avsc"),
    (
        lambda folder: write(folder, M, b"\xff"),
        "acme/mapping.yaml cannot be read: no text in UTF-8",
    ),
    (
        lambda folder: write(folder, R, b"\xff"),
        "acme/avro/role.avsc cannot be read: no text in UTF",
    ),
    (lambda folder: write(folder, R, b"{"), "line 5: role: contract: not an avro schema"),
    (lambda folder: write(folder, R, b'"string"'), "line 5: role: contract: "),
    (
        lambda folder: write(folder, "avro/skill.avsc", ROLE.encode()),
        "line 4: there is no object skill, of which there is a contract",
    ),
    (lambda folder: (folder / "avro").rename(folder / "x") and None, "the contract is missing"),
]


@pytest.mark.fault("D9", place="connectors/systems.py")
@pytest.mark.parametrize(("spoil", "problem"), FILES)
def test_d9_a_file_that_is_wrong_or_not_there_is_named(
    tmp_path: Path, spoil: Callable[[Path], None], problem: str
) -> None:
    folder = folder_with(tmp_path)
    spoil(folder)
    with pytest.raises(ConfigError) as refused:
        read(folder)
    assert problem in refused.value.problems[0]
    assert "acme/" in refused.value.problems[0]


def test_a_folder_of_another_name_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    with pytest.raises(ConfigError, match=r"acme2/mapping\.yaml: system is acme, and its folder"):
        Systems([folder.rename(tmp_path / "acme2")]).read("acme2")


@pytest.mark.fault("D9", place="connectors/toolkit/config.py")
@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("name", "..", "name: String should match pattern"),
        ("topic.prefix", "acme", "topic.prefix: String should match pattern"),
        ("topic.prefix", "src.acne", "topic.prefix: there is no system acne, did you mean acme"),
        ("topic.prefix", "src.netsuite", "topic.prefix: netsuite is another system's"),
        ("object.include.list", "role,rol", "object.include.list: acme has no rol"),
        ("object.include.list", "role,role", "an object is listed twice"),
        ("object.include.list", "", "object.include.list: "),
        ("connector.class", "os.system", "connector.class names no source: os.system"),
        ("connector.class", ["a"], "connector.class names no source"),
        ("connector.class", "connectors.vendors.float.sink.FloatSink", "names no source"),
        ("poll.interval.ms", 0, "poll.interval.ms: Input should be greater than"),
        ("poll.intervall.ms", 10, "poll.intervall.ms: Extra inputs"),
        ("max.delete.ratio", 2, "max.delete.ratio: Input should be less than"),
        ("auth.token", "${env:ACME}", "auth.token: environment variable ACME is not set"),
        ("auth.token", "a\nb", "auth.token: it holds a line break"),
        ("url", "acme.example", "url: "),
        ("url", "https://acme.example/", "url: "),
        ("url", "https://ann:secret-of-ann@acme.example", "url: .*credentials do not belong"),
        ("url", "https://acme.example:99999", "url: .*no URL with a host and a port"),
        ("url", "https://acme.example:0", "url: .*no URL with http or https, a host and a port"),
        ("url", "https://acme.example:x", "url: .*no URL with a host and a port"),
        ("url", "https://[::1", "url: .*no URL with a host and a port"),
        ("url", "https://:443", "url: .*no URL with http or https, a host"),
        ("url", "https://acme.example?key=7", "url: .*no query and no fragment"),
        ("url", "https://acme.example/a#b", "url: .*no query and no fragment"),
    ],
)
def test_d9_a_connector_file_that_is_wrong_is_refused_by_its_key(
    tmp_path: Path, key: str, value: object, problem: str
) -> None:
    folder = folder_with(tmp_path)
    (folder / "source.json").write_text(json.dumps(SOURCE | {key: value}))
    with pytest.raises(ConfigError, match=rf"source\.json.*{problem}") as refused:
        load_source(folder / "source.json", {}, Systems([folder]))
    assert len(refused.value.problems) == 1
    assert "secret-of-ann" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://acme.example:8443/v3", "http://127.0.0.1:1", "http://[::1]:80"]
)
def test_an_address_may_have_a_port_and_a_path(tmp_path: Path, url: str) -> None:
    folder = folder_with(tmp_path)
    (folder / "source.json").write_text(json.dumps(SOURCE | {"url": url}))
    assert load_source(folder / "source.json", {}, Systems([folder])).config.url == url


@pytest.mark.fault("D9", place="connectors/polled/main.py")
@pytest.mark.parametrize(
    ("objects", "problem"),
    [("role", "src.acme.role$"), ("person,role", "src.acme.person, src.acme.role$")],
)
def test_d9_two_files_that_poll_into_one_topic_are_refused(
    tmp_path: Path, objects: str, problem: str
) -> None:
    folder = folder_with(tmp_path)
    second = SOURCE | {"name": "second", "object.include.list": objects}
    (folder / "second.json").write_text(json.dumps(second))
    with pytest.raises(ConfigError) as refused:
        load_sources([folder / "source.json", folder / "second.json"], {}, Systems([folder]))
    assert refused.value.detail == f"several files poll into {problem.removesuffix('$')}"


def test_two_files_may_share_the_objects_of_a_system(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    paths = []
    for obj in ("role", "person"):
        paths.append(folder / f"{obj}.json")
        paths[-1].write_text(json.dumps(SOURCE | {"name": obj, "object.include.list": obj}))
    assert len(load_sources(paths, {}, Systems([folder]))) == 2


@pytest.mark.fault("D9", place="schemas/landscape.py")
@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("role: crm", "role: sales", "line 2: systems.a.role: Input should be"),
        ("role: crm", "rolle: crm", "line 2: systems.a"),
        ("a: {role: crm}", "a: {role: resource}", "systems: 2 play the role resource"),
        ("stage: won", "stage: wonn", "line 6: firm.hand_off_stage: Input should be"),
        ("  a:", "  A-1:", "line 2: "),
        ("firm:", "farm:", "line 5: farm: Extra inputs"),
    ],
)
def test_d9_a_landscape_that_is_wrong_is_refused(old: str, new: str, problem: str) -> None:
    text = (
        "systems:\n  a: {role: crm}\n  b: {role: erp}\n  c: {role: resource}\n"
        "firm:\n  hand_off_stage: won\n"
    )
    load_landscape(text)
    with pytest.raises(ConfigError) as refused:
        load_landscape(text.replace(old, new))
    assert problem in str(refused.value)
