"""A canonical field that names a kind, a state or a currency holds words its contract lists."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
import yaml

from schemas.codec.record import load_schema
from schemas.contracts import record_schema, vocabularies
from schemas.errors import ConfigError
from schemas.landscape import STAGES
from schemas.mapping.config import Rule
from schemas.yaml_text import line_of
from tables.measures import utilization
from tables.project import billing, contract, hours, people, planning
from tests.support.catalogue import load_mappings
from tests.support.source_events import canonical, mapping_text
from tests.unit.schemas.test_mapping import CASES

CANONICAL = [
    file.name.removesuffix(".avsc")
    for file in files("schemas").joinpath("avro", "canonical").iterdir()
]
CURRENCY = "must be an ISO 4217 code"


def words_of(entity: str, field: str) -> set[str]:
    return set(vocabularies(record_schema(f"canonical/{entity}"))[field])


@pytest.mark.fault("D9", place="schemas/contracts.py")
@pytest.mark.parametrize(
    ("entity", "field", "known"),
    [
        ("absence", "kind", {people.HOLIDAY}),
        ("absence", "status", {people.APPROVED}),
        ("assignment", "status", planning.COUNTED_STATUSES),
        ("expense", "status", {hours.APPROVED}),
        ("invoice", "kind", {billing.CREDIT_MEMO}),
        ("invoice", "status", billing.NOT_INVOICED),
        ("opportunity", "billing_type", contract.RULES.keys() - {None}),
        ("opportunity", "stage", set(STAGES)),
        ("project", "billing_type", contract.RULES.keys() - {None}),
        ("resource", "kind", {utilization.PLACEHOLDER}),
        ("time_entry", "status", {hours.APPROVED}),
    ],
)
def test_d9_what_a_table_looks_for_is_a_word_of_the_contract(
    entity: str, field: str, known: set[str]
) -> None:
    assert known
    assert set(known) <= words_of(entity, field)


@pytest.mark.parametrize("entity", CANONICAL)
def test_every_word_a_contract_may_hold_is_listed(entity: str) -> None:
    record = load_schema(files("schemas").joinpath(f"avro/canonical/{entity}.avsc").read_text())
    fields: Any = record.parsed["fields"]
    texts = {each["name"] for each in fields if each["type"] == ["null", "string"]}
    found = vocabularies(record)
    assert found.keys() <= texts
    of_words = {"status", "kind", "stage", "billing_type", "country_code", "per"}
    assert {name for name in texts if name in of_words or name.endswith("currency")} == set(found)
    for name, words in found.items():
        assert words in ("currency", "country") or len(set(words)) == len(words) > 1, name


SOURCES = [
    ("salesforce", "{true: won}", "{true: wonn}", "'wonn' must be one of prospect, "),
    ("netsuite", "V: void", "V: voided", "'voided' must be one of draft, open, paid, void"),
    ("netsuite", "CustCred: credit_memo", "CustCred: x", "'x' must be one of invoice, credit_memo"),
    ("netsuite", "{constant: active}", "{constant: open}", "'open' must be one of planned, "),
    ("float", "2: approved, 3: c", "2: ok, 3: c", "'ok' must be one of tentative, approved"),
    ("float", "{constant: EUR}", "{constant: EURO}", f"'EURO' {CURRENCY}"),
    ("inhouse", "[planned, ", "[planed, ", "'planed' must be one of planned, active"),
]


@pytest.mark.fault("D9", place="schemas/mapping/loader.py")
@pytest.mark.parametrize(("system", "old", "new", "problem"), SOURCES)
def test_d9_a_word_that_no_table_knows_is_refused_as_the_file_is_read(
    system: str, old: str, new: str, problem: str
) -> None:
    text = mapping_text(system)
    assert old in text
    with pytest.raises(ConfigError) as refused:
        load_mappings(text.replace(old, new, 1))
    (told,) = refused.value.problems
    assert problem in told
    wrong = text[: text.index(old)].count("\n") + 1
    told_at = int(told.split("line ")[1].split(":")[0])
    assert told_at <= wrong < told_at + 12  # the line of the rule


def test_each_wrong_word_is_told_once() -> None:
    text = mapping_text("netsuite").replace("D: draft, E: draft", "D: drafted, E: drafted")
    with pytest.raises(ConfigError) as refused:
        load_mappings(text)
    assert len(refused.value.problems) == 1


ENTRIES = "src.inhouse.time_entries"
ENTRY = next(row for topic, row, *_ in CASES if topic == ENTRIES)


def entries(field: str, rule: object) -> str:
    config = yaml.safe_load(mapping_text("inhouse"))
    config["objects"]["time_entries"]["targets"][0]["fields"][field] = rule
    text: str = yaml.safe_dump(config)
    return text


@pytest.mark.fault("D9", place="schemas/mapping/loader.py")
@pytest.mark.parametrize("rule", [{"from": "status"}, {"from": "status", "text": "trim"}])
def test_d9_a_word_that_no_table_knows_refuses_its_row(rule: object) -> None:
    mapping = load_mappings(entries("status", rule))[ENTRIES]
    sound = canonical(ENTRIES, ENTRY, mapping=mapping)
    assert sound["time_entry"]["status"] == ENTRY["status"]
    told = canonical(ENTRIES, ENTRY | {"status": "aproved"}, mapping=mapping)
    assert told["dlq"]["detail"] == "status must be one of draft, submitted, approved, rejected"


@pytest.mark.fault("D9", place="schemas/mapping/loader.py")
@pytest.mark.parametrize(("currency", "is_sound"), [("EUR", True), (None, True), ("EURO", False)])
def test_d9_a_currency_is_one_without_a_check_in_the_mapping(
    currency: str | None, is_sound: bool
) -> None:
    told = canonical(ENTRIES, ENTRY | {"currency": currency})
    assert ("dlq" not in told) is is_sound
    if not is_sound:
        assert told["dlq"]["detail"] == f"currency {CURRENCY}"


def test_a_value_that_is_kept_cannot_be_of_a_vocabulary() -> None:
    config = yaml.safe_load(entries("status", {"from": "status"}))
    target = config["objects"]["time_entries"]["targets"][0]
    target["unset_kept"], target["required"] = ["status"], []
    with pytest.raises(ConfigError, match=r"time_entry\.status is in unset_kept, so nothing can"):
        load_mappings(yaml.safe_dump(config))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"constant": "a"}, ("a",)),
        ({"constant": False}, (False,)),
        ({"from": "x", "values": ["a", "b"]}, ("a", "b")),
        ({"from": "x", "values": {1: "a", 2: "b", 3: "a"}}, ("a", "b", "a")),
        ({"from": "x"}, None),
        ({"from": "x", "text": "trim"}, None),
        ({"first_non_null": [{"constant": "a"}, {"from": "x", "values": {1: "b"}}]}, ("a", "b")),
        ({"first_non_null": [{"constant": "a"}, {"from": "x"}]}, None),
    ],
)
def test_what_a_rule_can_make_is_known_where_it_lists_it(rule: object, words: object) -> None:
    assert Rule.model_validate(rule).words == words


def test_the_line_of_a_wrong_word_is_that_of_its_field() -> None:
    text = mapping_text("float").replace("{constant: EUR}", "{constant: EURO}")
    at = line_of(text, ("objects", "person", "targets", 1, "fields", "currency"))
    with pytest.raises(ConfigError, match=f"line {at}: person: rate_card.currency: 'EURO'"):
        load_mappings(text)


@pytest.mark.parametrize(
    ("status", "word"), [(0, "tentative"), (1, "tentative"), (2, "approved"), (3, "completed")]
)
def test_an_allocation_that_is_a_draft_is_no_more_than_tentative(status: int, word: str) -> None:
    row = next(row for topic, row, *_ in CASES if topic == "src.float.allocation")
    told = canonical("src.float.allocation", row | {"status": status})
    assert told["assignment"]["status"] == word
