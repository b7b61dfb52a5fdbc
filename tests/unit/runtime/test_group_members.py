"""Asking who is in a group: it must answer, since a process that must end asks it."""

import threading

import pytest

from runtime.kafka import KafkaSettings, describe_members

DEADLINE_S = 10.0
NOBODY_LISTENS = KafkaSettings(bootstrap_servers="127.0.0.1:1")


@pytest.mark.fault("D15", place="runtime/kafka.py")
def test_d15_who_is_in_a_group_is_answered_where_no_broker_is() -> None:
    said: list[str] = []

    def ask() -> None:
        said.append(describe_members(NOBODY_LISTENS, "psastream-dispatch", timeout_s=0.2))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(DEADLINE_S)

    # The client's own words: it was still there when its request ended.
    assert [line for line in said if "Local: Timed out" in line]
