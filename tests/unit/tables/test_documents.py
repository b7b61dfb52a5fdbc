"""What a chunk has written is what it reads, and what it has not is what was committed."""

from __future__ import annotations

from tables.foundation.documents import Documents
from tables.foundation.facts import Employment
from tests.support.topology import MemoryState


def committed() -> MemoryState:
    found = MemoryState()
    found.commit(dict.fromkeys((b"a|1", b"a|2", b"ab|1", b"b"), b"old"))
    return found


def test_keys_are_those_of_the_state_with_what_the_chunk_added_and_removed() -> None:
    documents = Documents(committed())
    documents.put_raw("a|3", b"new")
    documents.put_raw("a|0", b"new")
    documents.delete("a|1")
    documents.delete("a|9")  # was never there
    documents.put_raw("ab|2", b"new")
    assert documents.keys("a|") == ["a|0", "a|2", "a|3"]
    assert documents.keys("a") == ["ab|1", "ab|2", "a|0", "a|2", "a|3"]
    assert documents.keys("ab|") == ["ab|1", "ab|2"]
    assert documents.keys("c|") == []
    documents.delete("a|3")
    documents.put_raw("a|1", b"back")
    assert documents.keys("a|") == ["a|0", "a|1", "a|2"]


def test_values_are_the_chunks_before_the_states() -> None:
    documents = Documents(committed())
    assert documents.raw_many(["a|1", "x"]) == [b"old", None]
    documents.put_raw("a|1", b"new")
    documents.delete("a|2")
    assert documents.raw_many(["a|1", "a|2", "b", "x"]) == [b"new", None, b"old", None]
    assert [documents.raw(key) for key in ("a|1", "a|2", "b")] == [b"new", None, b"old"]
    assert documents.changes() == {b"a|1": b"new", b"a|2": None}


def test_a_document_comes_back_as_it_was_written() -> None:
    documents, document = Documents(MemoryState()), Employment()
    documents.put("e", document)
    assert documents.get(Employment, "e") == document
    documents.delete("e")
    assert documents.get(Employment, "e") is None
