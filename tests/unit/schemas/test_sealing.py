"""What is encrypted follows from what the catalogue calls personal, and nothing is left out."""

from __future__ import annotations

from schemas.contracts import record_of
from schemas.sealing import FIELD, IN_CLEAR, Form, form_of, joined, share_of, shares_of, split
from schemas.topics import Topic
from tests.support.catalogue import CATALOGUE


def names_of(topic: Topic) -> set[str]:
    record = record_of(topic)
    assert record is not None
    fields = record.parsed["fields"]
    assert isinstance(fields, list)
    return {str(field["name"]) for field in fields if isinstance(field, dict)}


def test_all_that_is_personal_is_encrypted_or_has_a_reason() -> None:
    left = {
        topic.name
        for topic in CATALOGUE
        if topic.personal_data and form_of(topic) is None and topic.name not in IN_CLEAR
    }
    assert left == {name for name in left if name.startswith("src.inhouse.")}  # Debezium's
    assert {topic.name for topic in CATALOGUE if form_of(topic) is Form.FIELDS} == {
        "psa.customer", "psa.resource", "psa.rate_card", "psa.time_entry", "psa.status.customer",
        "psa.dlq", "psa.job", "psa.compensation", "psa.payroll_cost", "psa.purchase_order",
        "psa.supplier_invoice",
    }  # fmt: skip


def test_every_contract_with_the_field_says_what_goes_into_it() -> None:
    for topic in CATALOGUE:
        if record_of(topic) is not None and FIELD in names_of(topic):
            shared = [name for names in shares_of(topic).values() for name in names]
            assert sorted(shared) == sorted(topic.personal_data), topic.name
            record = record_of(topic)
            assert record is not None
            for names in shares_of(topic).values():  # they are null where there is no key
                empty = dict.fromkeys(names)
                share = share_of(record, names)
                assert share.decode(record, share.encode(empty)) == empty


PAID = {"rate", "gross", "employer_taxes", "employer_benefits"}


def test_all_that_tells_what_somebody_costs_is_pay() -> None:
    for topic in CATALOGUE:
        costs = {name for name in topic.personal_data if "cost_rate" in name or name in PAID}
        if form_of(topic) is Form.FIELDS:
            assert set(topic.pay_data) == costs, topic.name


def test_parts_come_out_as_they_went_in() -> None:
    parts = [b"one", b"", b"three" * 100]
    assert [*split(joined(parts))] == parts
