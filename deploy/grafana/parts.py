"""What every dashboard is made of: variables, selectors of Prometheus, and kinds of panels.

A panel that names an alert has its bound as a line and its runbook as a link.
"""

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from grafana_foundation_sdk.builders import common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.alerts import alerts

PROMETHEUS: Final = models.DataSourceRef(type_val="prometheus", uid="${prometheus}")
TAG: Final = "psastream"
INSTANCE: Final = 'instance=~"$instance"'
RATE: Final = "[$__rate_interval]"

GREEN, RED = "green", "red"
Unit = Literal["short", "s", "dateTimeFromNow", "percentunit", "rowsps", "ops", "none"]


@dataclass(frozen=True, slots=True)
class Query:
    """A question to Prometheus; `legend` names its series by their labels."""

    expr: str
    legend: str = ""


def series(metric: str, *matchers: str) -> str:
    """Selector of a metric of the chosen processes."""
    return f"{metric}{{{', '.join((*matchers, INSTANCE))}}}"


def or_else(value: int, expr: str, *labels: str) -> str:
    """`expr`, or `value` for `none` where nothing is found: what never happened has no series."""
    other = f"vector({value})"
    for label in labels:
        other = f'label_replace({other}, "{label}", "none", "", "")'
    return f"{expr} or on () {other}"


def or_zero(expr: str, *labels: str) -> str:
    """`or_else` with a zero."""
    return or_else(0, expr, *labels)


def sum_by(labels: str, expr: str) -> str:
    """The sum of `expr` for each value of `labels`, or a zero for `none`."""
    return or_zero(f"sum by ({labels}) ({expr})", *labels.split(", "))


def max_by(labels: str, expr: str) -> str:
    """The largest of `expr` for each value of `labels`, or a zero for `none`."""
    return or_zero(f"max by ({labels}) ({expr})", *labels.split(", "))


def percentile(ratio: float, labels: str, histogram: str) -> str:
    """The time, in seconds, that `ratio` of what was measured took at most.

    Zero where nothing was measured: a quantile of no observations is no number.
    """
    buckets = series(f"{histogram}_bucket")
    expr = f"histogram_quantile({ratio}, sum by ({labels}, le) (rate({buckets}{RATE})))"
    return or_zero(f"({expr} >= 0)", *labels.split(", "))


def _steps(bound: float, *, is_floor: bool = False) -> builders.ThresholdsConfig:
    """Green on the good side of `bound`, red on the other. None and one differ at one."""
    below, above = (RED, GREEN) if is_floor else (GREEN, RED)
    return builders.ThresholdsConfig().steps(
        [models.Threshold(None, below), models.Threshold(bound or 1, above)]
    )


def _links(names: Iterable[str]) -> list[Builder[models.DashboardLink]]:
    runbooks = dict.fromkeys(alerts()[name].runbook for name in names)
    return [
        builders.DashboardLink(f"Runbook: {runbook.removesuffix('.md').replace('-', ' ')}")
        .type(models.DashboardLinkType.LINK)
        .url(f"${{runbooks}}/{runbook}")
        .target_blank(True)
        for runbook in runbooks
    ]


def number(
    title: str,
    query: Query,
    meaning: str,
    *,
    unit: Unit = "short",
    alert: str = "",
    is_floor: bool = False,
    is_alarming: bool = False,
    also: Sequence[str] = (),
    span: int = 3,
) -> stat.Panel:
    """The latest value of each series, large.

    `alert` colours it by its bound: red beyond, or below where `is_floor`; without one it is red
    from 1 on where `is_alarming`. Runbooks of `alert` and `also` are linked.
    """
    names = ((alert,) if alert else ()) + tuple(also)
    is_coloured = bool(alert) or is_alarming
    bound = alerts()[alert].bound if alert else 1
    panel = (
        stat.Panel()
        .title(title)
        .description(meaning)
        .datasource(PROMETHEUS)
        .with_target(
            prometheus.Dataquery()
            .expr(query.expr)
            .legend_format(query.legend or "__auto")
            .instant()
            .datasource(PROMETHEUS)
            .ref_id("A")
        )
        .unit(unit)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .color_mode(BigValueColorMode.BACKGROUND if is_coloured else BigValueColorMode.NONE)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.VALUE_AND_NAME if query.legend else BigValueTextMode.VALUE)
        .links(_links(names))
        .span(span)
        .height(4)
    )
    return panel.thresholds(_steps(bound, is_floor=is_floor)) if is_coloured else panel


def graph(
    title: str,
    queries: Query | Sequence[Query],
    meaning: str,
    *,
    unit: Unit = "short",
    alert: str = "",
    is_floor: bool = False,
    also: Sequence[str] = (),
    span: int = 8,
) -> timeseries.Panel:
    """Values over time, with a line at the bound of `alert`."""
    names = ((alert,) if alert else ()) + tuple(also)
    panel = (
        timeseries.Panel()
        .title(title)
        .description(meaning)
        .datasource(PROMETHEUS)
        .unit(unit)
        .fill_opacity(8)
        .axis_soft_min(0)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .links(_links(names))
        .span(span)
        .height(7)
    )
    if alert:
        panel.thresholds(_steps(alerts()[alert].bound, is_floor=is_floor)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.LINE)
        )
    asked = [queries] if isinstance(queries, Query) else queries
    for reference, query in zip("ABCDEFGH", asked, strict=False):
        panel.with_target(
            prometheus.Dataquery()
            .expr(query.expr)
            .legend_format(query.legend)
            .range()
            .datasource(PROMETHEUS)
            .ref_id(reference)
        )
    return panel


def rows(title: str, query: Query, meaning: str, *, span: int = 8) -> table.Panel:
    """A row for each series, its labels as columns."""
    return (
        table.Panel()
        .title(title)
        .description(meaning)
        .datasource(PROMETHEUS)
        .with_target(
            prometheus.Dataquery()
            .expr(query.expr)
            .instant()
            .format(PromQueryFormat.TABLE)
            .datasource(PROMETHEUS)
            .ref_id("A")
        )
        .with_transformation(
            models.DataTransformerConfig("organize", options={"excludeByName": {"Time": True}})
        )
        .span(span)
        .height(7)
    )


Panel = stat.Panel | timeseries.Panel | table.Panel
Part = builders.Row | Panel


def dashboard(
    uid: str, title: str, meaning: str, parts: Iterable[Part], *, since: str = "now-6h"
) -> models.Dashboard:
    """A dashboard of `parts`, a row beginning a new line. `uid` is its file and its address."""
    built = (
        builders.Dashboard(title)
        .uid(f"psastream-{uid}")
        .description(meaning)
        .tags([TAG])
        .time(since, "now")
        .refresh("30s")
        .timezone("browser")
        .editable()
        .with_variable(
            builders.DatasourceVariable("prometheus")
            .label("Environment")
            .description("The Prometheus of an environment.")
            .type("prometheus")
        )
        .with_variable(
            builders.QueryVariable("instance")
            .label("Process")
            .datasource(PROMETHEUS)
            .query('label_values(up{job=~"psastream-.*"}, instance)')
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(models.VariableOption(text="All", value="$__all", selected=True))
        )
        .with_variable(
            builders.TextBoxVariable("runbooks")
            .label("Runbooks")
            .description("Where the runbooks of docs/runbooks are served.")
            .default_value("/public/runbooks")
        )
        .link(
            builders.DashboardLink("psastream")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    numbers = itertools.count(1)
    for part in parts:
        if isinstance(part, builders.Row):
            built.with_row(part.id(next(numbers)))
        else:
            built.with_panel(part.id(next(numbers)))
    return built.build()


def as_json(it: models.Dashboard) -> str:
    """The text of a dashboard's file."""
    return json.dumps(it, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
