import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import identity


@pytest.mark.parametrize(
    ("minted", "expected"),
    [
        (identity.customer_id("salesforce:account:0011"), "cus-tcfah34gffomrrrv"),
        (identity.engagement_id("salesforce:opportunity:0061"), "eng-ztncreidx6ci"),
        (identity.resource_id(" Ada@Example.com"), "res-wx6ilzkxkx46bubq"),
        (identity.correlation_id("é"), "cor-jkmvk7sagpbvhhpc"),
        (
            identity.time_bill_id("inhouse:time_entry:1", "inhouse:project:2"),
            "tb-275nwwmeniryihqg",
        ),
        (
            identity.command_id(
                "netsuite", "upsert_customer", "netsuite:customer:c", revision=1, payload="{}"
            ),
            "cmd-qyy7d3its3rukwvirxezeczz",
        ),
    ],
)
def test_ids_never_change_for_the_target_systems_hold_them(minted: str, expected: str) -> None:
    assert minted == expected


@given(
    parts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3),
    length=st.integers(1, 52),
)
def test_an_id_is_the_beginning_of_the_encoded_digest(parts: list[str], length: int) -> None:
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    encoded = base64.b32encode(digest).decode().lower()
    assert identity.mint("x", *parts, length=length) == f"x-{encoded[:length]}"
