"""The registry's rules over an in-memory log: ids, versions, deletion, levels, reload."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.registry.compatibility import CompatibilityLevel
from sandbox.registry.errors import RequestRefusedError
from sandbox.registry.log_records import decode
from sandbox.registry.service import Registry
from schemas.errors import BrokerUnavailableError, TableCorruptedError

SUBJECT = "src.in-house.project-value"


class MemoryLog:
    """An ordered log in a list. `lose_next_acknowledgement` stores a record and then fails."""

    def __init__(self, records: list[tuple[bytes, bytes | None]] | None = None) -> None:
        self.records = list(records or [])
        self.lose_next_acknowledgement = False
        self._read = 0

    def append(self, key: bytes, value: bytes | None) -> None:
        self.records.append((key, value))
        if self.lose_next_acknowledgement:
            self.lose_next_acknowledgement = False
            raise BrokerUnavailableError("no acknowledgement")

    def read_new(self, apply: Callable[[bytes, bytes | None], None]) -> None:
        while self._read < len(self.records):
            self._read += 1
            apply(*self.records[self._read - 1])


def registry_over(
    log: MemoryLog, level: CompatibilityLevel = CompatibilityLevel.BACKWARD_TRANSITIVE
) -> Registry:
    registry = Registry(log, default_level=level)
    registry.load()
    return registry


def schema_with(*fields: str, optional: bool = True) -> str:
    default = {"default": None} if optional else {}
    return json.dumps(
        {
            "type": "record",
            "name": "R",
            "fields": [{"name": name, "type": ["null", "int"], **default} for name in fields],
        }
    )


def error_code(action: Callable[[], object]) -> int:
    with pytest.raises(RequestRefusedError) as refusal:
        action()
    return refusal.value.error_code


def test_registering_again_changes_nothing() -> None:
    log = MemoryLog()
    registry = registry_over(log)
    first = registry.register(SUBJECT, schema_with("a"))
    assert registry.register(SUBJECT, schema_with("a")) == first
    assert len(log.records) == 1


def test_a_schema_has_one_id_in_all_subjects() -> None:
    registry = registry_over(MemoryLog())
    shared = registry.register("one-value", schema_with("a"))
    other = registry.register("two-value", schema_with("b"))
    assert registry.register("two-value", schema_with("a")) == shared != other
    assert [(usage.subject, usage.version) for usage in registry.usages(shared)] == [
        ("one-value", 1),
        ("two-value", 2),
    ]


def test_concurrent_registrations_of_one_schema_give_one_id() -> None:
    log = MemoryLog()
    registry = registry_over(log)
    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(lambda _: registry.register(SUBJECT, schema_with("a")), range(64)))
    assert ids == {1}
    assert len(log.records) == 1


def test_i9_an_incompatible_schema_is_refused_and_leaves_no_trace() -> None:
    log = MemoryLog()
    registry = registry_over(log)
    registry.register(SUBJECT, schema_with("a"))
    with pytest.raises(RequestRefusedError) as refusal:
        registry.register(SUBJECT, schema_with("a", "b", optional=False))
    assert refusal.value.status == 409
    assert "R.b" in str(refusal.value)
    assert len(log.records) == 1


def test_a_repeated_request_adopts_the_record_whose_acknowledgement_was_lost() -> None:
    log = MemoryLog()
    registry = registry_over(log)
    log.lose_next_acknowledgement = True
    with pytest.raises(BrokerUnavailableError):
        registry.register(SUBJECT, schema_with("a"))
    assert registry.register(SUBJECT, schema_with("a")) == 1
    assert len(log.records) == 1


def test_a_deleted_version_is_hidden_keeps_its_number_and_serves_its_id() -> None:
    registry = registry_over(MemoryLog())
    schema_id = registry.register(SUBJECT, schema_with("a"))
    registry.register(SUBJECT, schema_with("a", "b"))
    assert registry.delete_version(SUBJECT, "1") == 1
    assert error_code(lambda: registry.version(SUBJECT, "1")) == 40402
    assert registry.version(SUBJECT, "1", with_deleted=True).is_deleted
    assert json.loads(registry.schema(schema_id).text) == json.loads(schema_with("a"))
    assert registry.register(SUBJECT, schema_with("a")) == schema_id
    assert [version.version for version in registry.versions(SUBJECT)] == [2, 3]


def test_a_deleted_subject_starts_again_behind_its_old_versions() -> None:
    registry = registry_over(MemoryLog())
    registry.register(SUBJECT, schema_with("a"))
    registry.register(SUBJECT, schema_with("a", "b"))
    assert registry.delete_subject(SUBJECT) == [1, 2]
    assert registry.subjects() == []
    assert registry.subjects(with_deleted=True) == [SUBJECT]
    registry.register(SUBJECT, '"string"')  # not held to what was deleted
    assert registry.version(SUBJECT, "latest").version == 3


def test_deleted_versions_do_not_restrain_later_ones() -> None:
    registry = registry_over(MemoryLog())
    registry.register(SUBJECT, schema_with("a"))
    registry.delete_version(SUBJECT, "latest")
    assert registry.register(SUBJECT, '"string"') == 2


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (lambda registry: registry.versions("none"), 40401),
        (lambda registry: registry.version("none", "1"), 40401),
        (lambda registry: registry.version(SUBJECT, "9"), 40402),
        (lambda registry: registry.version(SUBJECT, "0"), 42202),
        (lambda registry: registry.version(SUBJECT, "newest"), 42202),
        (lambda registry: registry.schema(9), 40403),
        (lambda registry: registry.look_up(SUBJECT, '"int"'), 40403),
        (lambda registry: registry.look_up("none", '"int"'), 40401),
        (lambda registry: registry.register(SUBJECT, "{"), 42201),
        (lambda registry: registry.level(SUBJECT), 40408),
        (lambda registry: registry.set_level(SUBJECT, "MOST"), 42203),
        (lambda registry: registry.delete_subject("none"), 40401),
        (lambda registry: registry.check("none", '"int"', "1"), 40401),
        (
            lambda registry: (registry.delete_subject(SUBJECT), registry.delete_subject(SUBJECT)),
            40404,
        ),
        (
            lambda registry: (
                registry.delete_version(SUBJECT, "1"),
                registry.delete_version(SUBJECT, "1"),
            ),
            40406,
        ),
    ],
)
def test_refusals_carry_the_codes_clients_act_on(
    action: Callable[[Registry], object], expected: int
) -> None:
    registry = registry_over(MemoryLog())
    registry.register(SUBJECT, schema_with("a"))
    assert error_code(lambda: action(registry)) == expected


def test_the_subject_level_goes_before_the_global_before_the_default() -> None:
    registry = registry_over(MemoryLog(), CompatibilityLevel.FULL)
    assert registry.level(SUBJECT, or_global=True) == "FULL"
    registry.set_level(None, "FORWARD")
    assert registry.level(SUBJECT, or_global=True) == "FORWARD"
    registry.set_level(SUBJECT, "none")
    assert registry.level(SUBJECT) == "NONE"
    assert registry.level(None) == "FORWARD"


def test_a_check_registers_nothing_and_says_why() -> None:
    log = MemoryLog()
    registry = registry_over(log)
    assert registry.check(SUBJECT, '"string"', "latest") == []
    registry.register(SUBJECT, schema_with("a"))
    assert registry.check(SUBJECT, schema_with("a", "b"), "latest") == []
    assert registry.check(SUBJECT, '"string"', None) == [
        "the new schema cannot read earlier data: the schema: reader type string cannot read record"
    ]
    assert len(log.records) == 1


def test_records_have_confluents_bytes() -> None:
    log = MemoryLog()
    registry = registry_over(log)
    registry.register("s", '"int"')
    registry.set_level(None, "FULL")
    registry.delete_subject("s")
    assert log.records == [
        (
            b'{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}',
            rb'{"subject":"s","version":1,"id":1,"schema":"\"int\"","deleted":false}',
        ),
        (b'{"keytype":"CONFIG","subject":null,"magic":0}', b'{"compatibilityLevel":"FULL"}'),
        (
            b'{"keytype":"DELETE_SUBJECT","subject":"s","magic":0}',
            b'{"subject":"s","version":1}',
        ),
    ]


def test_records_of_a_real_registry_are_read() -> None:
    log = MemoryLog(
        [
            (b'{"keytype":"NOOP","magic":0}', None),
            (b'{"keytype":"MODE","subject":null,"magic":0}', b'{"mode":"READWRITE"}'),
            (
                b'{"keytype":"SCHEMA","subject":"s","version":3,"magic":1}',
                rb'{"subject":"s","version":3,"id":7,"md5":"x","schema":"\"int\"","deleted":false}',
            ),
            (b'{"keytype":"SCHEMA","subject":"s","version":4,"magic":1}', None),
        ]
    )
    registry = registry_over(log)
    assert registry.version("s", "latest").schema_id == 7
    assert registry.register("t", '"long"') == 8


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"not json", None),
        (b"{}", b"{}"),
        (b'{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}', b"{}"),
        (
            b'{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}',
            b'{"subject":"s","version":1,"id":1,"schemaType":"PROTOBUF","schema":"x"}',
        ),
    ],
)
def test_records_that_cannot_be_represented_stop_the_load(key: bytes, value: bytes | None) -> None:
    with pytest.raises(TableCorruptedError):
        decode(key, value)


operations = st.lists(
    st.tuples(
        st.sampled_from(["register", "delete_version", "delete_subject", "set_level"]),
        st.sampled_from(["s", "t"]),
        st.sampled_from(["a", "b", "ab", "abc", "-"]),
        st.sampled_from([None, "NONE", "FULL", "FORWARD"]),
    ),
    max_size=20,
)


@given(operations)
def test_i6_a_registry_reloaded_from_its_log_answers_as_the_live_one(
    steps: list[tuple[str, str, str, str | None]],
) -> None:
    log = MemoryLog()
    live = registry_over(log)
    ids: dict[str, int] = {}
    for operation, subject, fields, level in steps:
        text = '"string"' if fields == "-" else schema_with(*fields)
        try:
            if operation == "register":
                assert ids.setdefault(text, live.register(subject, text)) == live.register(
                    subject, text
                )
            elif operation == "delete_version":
                live.delete_version(subject, "latest")
            elif operation == "delete_subject":
                live.delete_subject(subject)
            else:
                live.set_level(subject if level else None, level or "BACKWARD")
        except RequestRefusedError:
            continue
    assert len(set(ids.values())) == len(ids)
    reloaded = registry_over(MemoryLog(log.records))
    assert describe(reloaded) == describe(live)


def describe(registry: Registry) -> object:
    subjects = registry.subjects(with_deleted=True)
    return (
        [registry.versions(subject, with_deleted=True) for subject in subjects],
        [registry.level(subject, or_global=True) for subject in (None, "s", "t")],
        registry.highest_id(),
    )
