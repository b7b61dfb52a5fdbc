"""The list of alerts that were heard names every alert of the rules, and whom it reaches now."""

from tests.support.heard_list import read_lines
from tests.support.heard_rules import PROMETHEUS, alert_rules, fast_rules, receivers_of


def test_every_alert_was_heard() -> None:
    heard = {line.alert for line in read_lines()}
    assert heard == alert_rules().keys(), "run: make prove-alerts"


def test_an_alert_still_reaches_those_whom_it_was_told() -> None:
    rules = alert_rules()
    told = {(line.alert, frozenset(line.told)) for line in read_lines()}
    assert told == {(alert, receivers_of(rules[alert])) for alert, _ in told}


def test_only_the_time_of_a_rule_runs_faster() -> None:
    path = PROMETHEUS / "rules" / "psastream.rules.yml"
    fast = fast_rules(path, {"PsastreamNewFields": 2_880})
    assert "psastream_source_new_fields_total[30000ms]" in fast
    assert "time() - 30" in fast
    assert ") > 10000" in fast
    assert "psastream_certificate_remaining_seconds) < 1209600" in fast
