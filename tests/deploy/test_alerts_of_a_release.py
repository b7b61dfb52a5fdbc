"""The rules of a release over the series that its PodMonitor gives its pods. `make verify-deploy`.

A process that is gone has no series: whatever else of its kind, or of another release in the same
Prometheus, goes on.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.chart import Manifest, Part, manifests, named, of_kind, parts, read, rendered, run
from tests.support.dashboards import promtool

NAMESPACE = "psastream"  # of the release that is rendered
RELEASE = "three-brokers-tls"
GONE_AT_M = 10

Labels = dict[str, str]


def processes(found: list[Manifest]) -> dict[str, Part]:
    """Return what runs until it is stopped, by the name of its Deployment or StatefulSet."""
    return {str(part).partition("/")[2]: part for part in parts(found) if part.is_process}


def target(part: Part, found: list[Manifest], namespace: str = NAMESPACE) -> Labels:
    """Return the labels of a pod's series as prometheus-operator and Prometheus make them."""
    [endpoint] = named(found, "PodMonitor", "psastream")["spec"]["podMetricsEndpoints"]
    pod = {
        f"__meta_kubernetes_pod_label_{re.sub(r'[^a-zA-Z0-9_]', '_', key)}": value
        for key, value in part.pod["metadata"]["labels"].items()
    }
    name = part.owner["metadata"]["name"]
    labels = {"namespace": namespace, "job": "by-the-monitor", "pod": f"{name}-0", "instance": name}
    for each in endpoint["relabelings"]:
        assert each["action"] == "replace"
        [source] = each["sourceLabels"]
        if it := re.fullmatch(each["regex"], pod.get(source, "")):
            labels[each["targetLabel"]] = it.expand(
                each.get("replacement", "$1").replace("$", "\\")
            )
    return labels


def series(labels: Labels, values: str, name: str = "up") -> dict[str, str]:
    """Return a series for promtool."""
    told = ", ".join(f"{key}={json.dumps(value)}" for key, value in labels.items())
    return {"series": f"{name}{{{told}}}", "values": values}


def fired(
    found: list[Manifest], recorded: list[dict[str, str]], folder: Path, alert: str
) -> list[Labels]:
    """Return the labels of what fires of an alert, eight minutes after something was gone."""
    [rule] = of_kind(found, "PrometheusRule")
    (folder / "rules.yml").write_text(json.dumps(rule["spec"]))
    asked: dict[str, Any] = {
        "expr": f'ALERTS{{alertname="{alert}", alertstate="firing"}}',
        "eval_time": f"{GONE_AT_M + 8}m",
    }
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "30s",
        "tests": [{"interval": "30s", "input_series": recorded, "promql_expr_test": [asked]}],
    }
    (folder / "test.yml").write_text(json.dumps(test))
    said = run([promtool(), "test", "rules", folder / "test.yml"])
    text = said.text + said.errors
    got = re.findall(r'\{__name__="ALERTS", (.*?)\}', text.partition("got:")[2])
    assert said.code == (1 if got else 0), text
    return [dict(re.findall(r'(\w+)="([^"]*)"', each)) for each in got]


ALL = f"1x{GONE_AT_M * 2 + 20}"
UNTIL_GONE = f"1x{GONE_AT_M * 2} stale"
"""As Kubernetes takes away a pod that is not made anew."""
UNTIL_DEAD = f"1x{GONE_AT_M * 2} 0x20"
"""As a pod whose container ends again and again."""


@pytest.mark.parametrize("end", [UNTIL_GONE, UNTIL_DEAD], ids=["gone", "dead"])
def test_a_process_that_dies_alone_is_missed(end: str, tmp_path: Path) -> None:
    """Beside all others of its release, and another firm of which all answer."""
    found = manifests(RELEASE)
    for name, part in processes(found).items():
        recorded = [
            series(target(each, found, namespace), end if is_dead else ALL)
            for other, each in processes(found).items()
            for namespace in (NAMESPACE, "test")
            for is_dead in [(other, namespace) == (name, NAMESPACE)]
        ]
        is_paged = part.component != "read-model"
        alert = "PsastreamProcessDown" if is_paged else "PsastreamReadModelDown"

        [told] = fired(found, recorded, tmp_path, alert)

        assert told["namespace"] == NAMESPACE
        assert told["job"] == f"psastream-{part.component}"
        system = part.pod["metadata"]["labels"].get("psastream/system")
        assert told.get("for_system") == system, name


def test_what_runs_in_another_namespace_is_told_of_there(tmp_path: Path) -> None:
    found = manifests(RELEASE)
    recorded = [
        series(target(part, found, namespace), ALL if namespace == NAMESPACE else UNTIL_DEAD)
        for part in processes(found).values()
        for namespace in (NAMESPACE, "test")
    ]
    worker = {"namespace": "test", "job": "psastream-worker", "topic": "psa.expense"}
    recorded.append(series({**worker, "partition": "0"}, "20000x60", "psastream_lag_records"))

    assert fired(found, recorded, tmp_path, "PsastreamProcessDown") == []
    assert fired(found, recorded, tmp_path, "PsastreamLagHigh") == []


def test_of_a_dispatcher_and_one_that_stands_by_one_is_enough(tmp_path: Path) -> None:
    found = manifests(RELEASE)
    recorded = [series(target(part, found), ALL) for part in processes(found).values()]
    second = target(processes(found)["psastream-dispatcher-float"], found) | {"instance": "second"}

    assert (
        fired(found, [*recorded, series(second, UNTIL_DEAD)], tmp_path, "PsastreamProcessDown")
        == []
    )


def test_what_the_firm_does_not_run_is_not_missed(tmp_path: Path) -> None:
    """The small firm has no measures of its own, no read model, and here no database either."""
    text = rendered(
        "small", "--set", "metrics.podMonitor.enabled=true", "--set", "metrics.rules.enabled=true",
        "--set-json", 'systems.inhouse={"role": "psa", "poll": {"settings": {"name": "x"}},'
        ' "secret": "psastream-float"}',
    )  # fmt: skip
    found = read(text)
    recorded = [series(target(part, found), ALL) for part in processes(found).values()]
    gone = {"namespace": NAMESPACE, "instance": "before"}
    for job in ("psastream-measures", "psastream-read-model", "psastream-connect-watcher"):
        recorded.append(series({**gone, "job": job}, UNTIL_GONE))

    assert "psastream-connect-watcher" not in processes(found)
    assert fired(found, recorded, tmp_path, "PsastreamProcessDown") == []
    assert fired(found, recorded, tmp_path, "PsastreamReadModelDown") == []


def test_every_series_that_a_rule_reads_is_of_its_own_release() -> None:
    groups = named(manifests(RELEASE), "PrometheusRule", "psastream")["spec"]["groups"]
    metric = re.compile(r"\b(?:psastream[_:][\w:]+|process_start_time_seconds|up)\b(.?\S*)")
    read_by_rules = [
        (rule["expr"], rest)
        for group in groups
        for rule in group["rules"]
        for rest in metric.findall(rule["expr"])
    ]

    assert len(read_by_rules) > 100
    for expr, rest in read_by_rules:
        assert rest.startswith(f'{{namespace="{NAMESPACE}"'), expr
