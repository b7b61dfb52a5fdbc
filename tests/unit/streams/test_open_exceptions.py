"""What of the exceptions of tables is kept in the state to be counted."""

from streams.agents.lookups import WAITING
from streams.agents.open_exceptions import PREFIX, kept
from streams.groups import make_groups
from tables.foundation.effects import Outbox
from tables.foundation.exceptions import Finding, Subject, tell
from tests.support.catalogue import LANDSCAPE
from tests.support.topology import FixedRegistry


def test_an_exception_is_kept_while_it_is_open_and_the_last_word_of_a_chunk_counts() -> None:
    outbox = Outbox()
    finding = Finding("billing.over_cap", "detail", "hint", {}, None, None)
    for name, findings in (("a", [finding]), ("b", [finding, None]), ("c", [None])):
        subject, told = Subject(f"billing:{name}", "inhouse", "kind", name, None), ""
        for each in findings:
            told = tell(outbox, subject, each, told or "never" * (each is None), 0)
    outbox.add("psa.status.project", "billing:d", None)
    assert kept(outbox) == {
        PREFIX + b"billing:a": b"inhouse|billing.over_cap",
        PREFIX + b"billing:b": None,
        PREFIX + b"billing:c": None,
    }


def test_every_group_of_the_product_counts_its_exceptions_or_rows_that_wait() -> None:
    normalize, *tables = make_groups([], FixedRegistry(), LANDSCAPE)
    assert {group.counted for group in tables} == {PREFIX}
    assert (normalize.name, normalize.counted) == ("normalize", WAITING)
