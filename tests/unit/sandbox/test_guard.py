"""A guarded broker: who signs in as whom, and what is set where."""

from __future__ import annotations

from pathlib import Path

import pytest

from psastream.access.rights import Operation, Resource, Right, Rule, User
from sandbox.demo.guarding import CONNECT, variables_as
from sandbox.demo.options import StoryLandscape
from sandbox.demo.parts import connector_files, guard_of_story
from sandbox.stack.connect import worker_properties
from sandbox.stack.guard import binding, guard_of, guarding_properties
from sandbox.stack.kafka import server_properties
from sandbox.stack.settings import StackAddresses

ADDRESSES = StackAddresses(bootstrap_servers="127.0.0.1:1", guarded_servers="127.0.0.1:2")
READER = User("reader", "reads", (Right(Resource.TOPIC, "a", (Operation.READ,)),))


@pytest.mark.parametrize("text", ["", "two_erps", "told_crm", "harvest", "mid_market", "group"])
def test_a_story_has_a_user_for_each_of_its_systems(text: str) -> None:
    landscape = StoryLandscape.parse(text)
    guard = guard_of_story(landscape)
    names = {user.name for user in guard.users}

    polled = {name for name in landscape.systems if name != "inhouse"}
    assert {f"psastream-poller-{name.replace('_', '-')}" for name in polled} < names
    written = {f"psastream-dispatcher-{name.replace('_', '-')}" for name in landscape.written}
    assert written == {name for name in names if name.startswith("psastream-dispatcher-")}
    assert ("psastream-dispatcher-salesforce" in names) == (text == "told_crm")
    assert connector_files(landscape, "sink.json").keys() == set(landscape.written)
    assert guard.connect == (CONNECT if landscape.has_database else None)
    assert guard.passwords.keys() == names
    assert len(set(guard.passwords.values())) == len(names)


def test_a_process_signs_in_by_variables_and_reaches_the_guarded_listener() -> None:
    guard = guard_of([READER])

    assert variables_as(guard, "reader", ADDRESSES) == {
        "PSASTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:2",
        "PSASTREAM_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "PSASTREAM_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "PSASTREAM_KAFKA_SASL_USERNAME": "reader",
        "PSASTREAM_KAFKA_SASL_PASSWORD": guard.passwords["reader"],
    }
    assert variables_as(None, "reader", ADDRESSES) == {"PSASTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def test_a_guarded_broker_refuses_what_no_rule_allows() -> None:
    plain = server_properties(Path("logs"), 1, 2)
    guarded = server_properties(Path("logs"), 1, 2, 0, guarding_properties(3))

    assert "authorizer" not in plain
    assert "GUARDED://127.0.0.1:3" in guarded
    assert "allow.everyone.if.no.acl.found=false\n" in guarded
    assert "super.users=User:ANONYMOUS\n" in guarded


def test_connect_and_its_connectors_sign_in_alike() -> None:
    sign_in = guard_of([READER]).java_options("reader")
    text = worker_properties(Path("connect"), 8, ADDRESSES, (), sign_in)

    assert "bootstrap.servers=127.0.0.1:2\n" in text
    for prefix in ("", "producer.", "consumer.", "admin."):
        assert f"\n{prefix}sasl.mechanism=SCRAM-SHA-512\n" in text
    assert "sasl" not in worker_properties(Path("connect"), 8, ADDRESSES)


def test_a_rule_reaches_kafka_as_it_is_declared() -> None:
    rule = Rule(Resource.TRANSACTIONAL_ID, "w-", True, Operation.WRITE)

    found = binding("worker", rule)

    assert (found.principal, found.name) == ("User:worker", "w-")
    assert found.resource_pattern_type.name == "PREFIXED"
    assert found.operation.name == "WRITE"
