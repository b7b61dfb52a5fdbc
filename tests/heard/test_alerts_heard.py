"""Faults of the running product, the alerts heard of them, and their end: `make prove-alerts`.

Prometheus over what its processes serve, Alertmanager with our routes. Time runs thirty times as
fast for most rules, and not for the product. What was heard is written down (`heard.json`).
"""

from __future__ import annotations

import pytest

from tests.heard.conftest import FAULTS
from tests.support.heard import Fault, Hearing
from tests.support.heard_list import Line, read_lines, write_lines
from tests.support.heard_rules import alert_rules

pytestmark = pytest.mark.stack


def test_every_alert_is_tried_or_cannot_be() -> None:
    tried = {alert for fault in FAULTS for alert in fault.alerts}
    assert tried == alert_rules().keys()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_heard_by_whom_it_concerns_and_so_is_its_end(
    hearing: Hearing, fault: Fault
) -> None:
    heard = hearing.heard(fault)

    assert [it.alert for it in heard] == list(fault.alerts)
    lines = [
        Line(it.alert, fault.done, fault.mended, it.told, it.said, fault.faster) for it in heard
    ]
    write_lines(lines, {(alert, each.done) for each in FAULTS for alert in each.alerts})


def test_what_was_written_down_is_what_is_tried() -> None:
    tried = {(alert, it.done, it.mended) for it in FAULTS for alert in it.alerts}
    written = {(it.alert, it.done, it.mended) for it in read_lines()}
    assert written <= tried
    assert tried <= written
