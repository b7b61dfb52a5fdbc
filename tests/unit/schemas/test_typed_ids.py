"""Ids as people type them: one id, whatever its spelling."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import identity
from schemas.exact import FEW
from schemas.mapping.mint import correlation_ids, native_ids, typed_texts
from streams.agents.normalize import make_normalizer
from tables.flows.time_bill import Billable
from tables.foundation.effects import Outbox
from tables.project.bill_orders import order_bills
from tables.project.billing import BillingDocument
from tests.support.source_events import (
    FakeRegistry,
    MemoryState,
    Source,
    chunk_of,
    mapping_of,
    published,
)

PLACE = "schemas/identity.py"
FORM = identity.IdForm.CASE_SUFFIX
DEAL = "006Tw00000Qr7sTIAR"
BLANKS = st.text(st.sampled_from(identity.BLANKS), max_size=3)
ids_of_15 = st.from_regex(r"[0-9A-Za-z]{15}", fullmatch=True)


@st.composite
def spellings(draw: st.DrawFn, id_of_18: str) -> str:
    """An id of 18 characters with blanks, of 15, or in other letters."""
    core = draw(st.sampled_from([id_of_18, id_of_18[:15], id_of_18.lower(), id_of_18.upper()]))
    return draw(BLANKS) + core + draw(BLANKS)


def mapped(topic: str, **row: Any) -> dict[str, Any] | None:
    """The first canonical record of a row, or None where it was refused."""
    registry = FakeRegistry()
    source = Source(topic, registry)
    normalize = make_normalizer(mapping_of(topic), registry)
    effects = normalize(chunk_of(topic, [source.change(1000, row)]), MemoryState())
    first = published(effects)[0]
    return first.value if first.topic != "psa.dlq" else None


def psa_project(reference: str | None) -> dict[str, Any]:
    row = {"id": 4, "name": "Grid", "opportunity_ref": reference, "country_code": "DE"}
    dates = {"starts_on": None, "ends_on": None, "updated_at": "2026-01-01T00:00:00.000000Z"}
    found = mapped("src.inhouse.projects", **row, **dates, currency="EUR", status="active")
    assert found is not None
    return found


@pytest.mark.fault("C18", place=PLACE)
@pytest.mark.parametrize(
    ("short", "long"),
    [("a0D30000001n7Pi", "a0D30000001n7PiEAI"), ("0019000000B98de", "0019000000B98deAAB")],
)
def test_c18_an_id_of_15_characters_is_completed(short: str, long: str) -> None:
    """Published pairs (connectors/vendors/salesforce/README.md)."""
    assert identity.case_suffixed(short) == long


@pytest.mark.fault("C18", place=PLACE)
@given(st.data())
def test_c18_every_spelling_of_an_id_is_one_id(data: st.DataObject) -> None:
    wanted = identity.case_suffixed(data.draw(ids_of_15))
    assert len(wanted) == 18
    assert identity.native_id(FORM, data.draw(spellings(wanted))) == wanted


@pytest.mark.fault("C18", place=PLACE)
@given(st.text("AbC1-,"), st.text("AbC1-,"))
def test_c18_ids_whose_case_does_not_count_are_one_in_any_case(one: str, other: str) -> None:
    form = identity.IdForm.ANY_CASE
    same = identity.native_id(form, one) == identity.native_id(form, other)
    assert same == (one.casefold() == other.casefold())
    assert identity.native_id(form, one.swapcase()) == identity.native_id(form, one)


@pytest.mark.fault("C18", place=PLACE)
@given(ids_of_15, ids_of_15)
def test_c18_two_ids_stay_two(one: str, other: str) -> None:
    same = identity.native_id(FORM, one) == identity.native_id(FORM, other)
    assert same == (one == other)


@pytest.mark.fault("C18", place=PLACE)
@given(st.sampled_from(list(identity.IdForm)), st.text(st.characters(exclude_categories=["Cs"])))
def test_c18_an_id_settles_at_once_and_never_breaks_a_key(form: identity.IdForm, text: str) -> None:
    settled = identity.native_id(form, text)
    assert settled is None or settled == identity.native_id(form, settled)
    assert not {"|", "#"} & set(settled or "")


@pytest.mark.fault("C18", place=PLACE)
@pytest.mark.parametrize("text", ["PRJ#12", "PRJ#A1", "C# port", "#", "a|b", "|#|"])
@pytest.mark.parametrize("form", list(identity.IdForm))
def test_c18_an_id_that_holds_a_separator_is_billed_like_any_other(
    form: identity.IdForm, text: str
) -> None:
    """The number of a time bill follows a `#`: of `PRJ#12` it was taken for the twelfth."""
    native = identity.native_id(form, text)
    assert native is not None
    project = identity.source_id("inhouse", "project", native)
    work, rate = date(2026, 11, 2), Decimal(100)
    document, outbox = BillingDocument(), Outbox()
    order_bills(
        document,
        "e",
        Billable("netsuite", project, "eng-abcdefghijkl-de", work, 3_600, rate, "EUR"),
        is_read=True,
        erp_of=lambda _: "netsuite",
        owns=lambda ref: ref == project,
        correlation=None,
        outbox=outbox,
        timestamp_ms=1,
    )
    [emit] = outbox.emits
    assert emit.key == f"netsuite:time_bill:{identity.time_bill_id('e', project)}"
    assert (emit.record or {})["origin_key"] == project


@pytest.mark.fault("C18", place=PLACE)
@given(st.lists(st.one_of(BLANKS, st.text(max_size=6), st.none()), max_size=8))
def test_c18_columns_are_settled_as_single_ids_are(texts: list[str | None]) -> None:
    frame = pl.DataFrame({"id": texts}, schema={"id": pl.String}).select(
        native_ids(FORM, pl.col("id")).alias("native"),
        typed_texts(pl.col("id")).alias("typed"),
    )
    assert frame["native"].to_list() == [identity.native_id(FORM, each) for each in texts]
    assert frame["typed"].to_list() == [identity.typed(each) for each in texts]


@pytest.mark.parametrize("repeated", [1, FEW])
def test_correlation_ids_of_few_roots_and_of_many_are_those_of_single_ones(repeated: int) -> None:
    roots = ["inhouse:time_entry:1", None, "", "ü"] * repeated
    expected = [None if root is None else identity.correlation_id(root) for root in roots]
    assert correlation_ids(pl.Series(roots, dtype=pl.String)).to_list() == expected


@pytest.mark.fault("C18", place=PLACE)
@given(st.data())
def test_c18_a_project_finds_its_deal_however_it_was_typed(data: st.DataObject) -> None:
    found = psa_project(data.draw(spellings(DEAL)))
    engagement = identity.engagement_id(f"salesforce:opportunity:{DEAL}")
    assert found["engagement_id"] == engagement
    assert found["project_id"] == identity.project_id(engagement, "DE")
    root = f"salesforce:opportunity:{DEAL}"
    assert found["correlation_id"] == identity.correlation_id(root)


@pytest.mark.fault("C18", place=PLACE)
@pytest.mark.parametrize("blank", ["", " ", "\u00a0", "\u200b", " \ufeff\t", None])
def test_c18_a_blank_is_no_deal(blank: str | None) -> None:
    found = psa_project(blank)
    assert (found["engagement_id"], found["project_id"]) == (None, None)
    assert found["correlation_id"] == identity.correlation_id("inhouse:project:4")


@pytest.mark.fault("C18", place=PLACE)
@given(BLANKS, BLANKS)
def test_c18_a_project_code_is_found_between_blanks(before: str, after: str) -> None:
    code = "eng-ztncreidx6ci-de"
    found = mapped(
        "src.float.project", project_id=7, name="x", project_code=f"{before}{code}{after}", active=1
    )
    assert found is not None
    assert (found["project_id"], found["engagement_id"]) == (code, "eng-ztncreidx6ci")


@pytest.mark.fault("C18", place=PLACE)
@pytest.mark.parametrize("blank", ["\u00a0", " "])
def test_c18_what_the_erp_finds_exactly_is_read_exactly(blank: str) -> None:
    """Nobody types an external id; one that differs in a blank is another record to the ERP."""
    found = mapped(
        "src.netsuite.customer", id="7", companyname="x", externalid=f"cus-{'a' * 16}{blank}"
    )
    assert found is not None
    assert found["customer_id"] == identity.customer_id("netsuite:customer:7")


@pytest.mark.fault("C18", place=PLACE)
@given(BLANKS, BLANKS)
def test_c18_an_address_is_one_person_between_blanks(before: str, after: str) -> None:
    assert identity.resource_id(f"{before}Ada@Example.com{after}") == identity.resource_id(
        "ada@example.com"
    )


@pytest.mark.fault("C5", place=PLACE)
@given(st.lists(st.integers(0, 10**30), unique=True, min_size=2), st.randoms())
def test_c5_numbers_of_vendors_are_ordered_as_numbers(numbers: list[int], chances: Any) -> None:
    ids = [f"netsuite:subsidiary:{number}" for number in numbers]
    chances.shuffle(ids)
    ordered = [f"netsuite:subsidiary:{number}" for number in sorted(numbers)]
    assert sorted(ids, key=identity.vendor_order) == ordered


@pytest.mark.fault("C5", place=PLACE)
@given(st.lists(st.text(max_size=5), max_size=6), st.randoms())
def test_c5_any_ids_have_an_order(natives: list[str], chances: Any) -> None:
    ordered = sorted((f"crm:account:{each}" for each in natives), key=identity.vendor_order)
    shuffled = [*ordered]
    chances.shuffle(shuffled)
    assert sorted(shuffled, key=identity.vendor_order) == ordered
