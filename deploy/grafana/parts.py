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
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.alerts import alerts

PROMETHEUS: Final = models.DataSourceRef(type_val="prometheus", uid="${prometheus}")
READ_MODEL: Final = models.DataSourceRef(
    type_val="grafana-postgresql-datasource", uid="${read_model}"
)
TAG: Final = "psastream"
INSTANCE: Final = 'instance=~"$instance"'
CURRENCIES: Final = "SELECT DISTINCT currency FROM psa.fact_billing ORDER BY currency"
RATE: Final = "[$__rate_interval]"

GREEN, RED = "green", "red"
Unit = Literal["bytes", "short", "s", "percentunit", "rowsps", "ops", "none", "locale"]


@dataclass(frozen=True, slots=True)
class Query:
    """A question to Prometheus; `legend` names its series by their labels."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Sql:
    """A question to the read model. `is_series`: its first column, `time`, is when."""

    text: str
    is_series: bool = False


class _SqlTarget(Dataquery):
    """What Grafana's data source of PostgreSQL takes; the SDK has none of its own."""

    def __init__(self, query: Sql, reference: str) -> None:
        self._query = query
        self._reference = reference

    def to_json(self) -> dict[str, object]:
        return {
            "datasource": READ_MODEL,
            "editorMode": "code",
            "format": "time_series" if self._query.is_series else "table",
            "rawQuery": True,
            "rawSql": self._query.text,
            "refId": self._reference,
        }


class _SqlBuilder(Builder[Dataquery]):
    def __init__(self, query: Sql, reference: str) -> None:
        self._built = _SqlTarget(query, reference)

    def build(self) -> Dataquery:
        return self._built


def _target(
    query: Query | Sql, reference: str = "A", *, is_instant: bool = False, is_table: bool = False
) -> Builder[Dataquery]:
    if isinstance(query, Sql):
        return _SqlBuilder(query, reference)
    asked = prometheus.Dataquery().expr(query.expr).datasource(PROMETHEUS).ref_id(reference)
    asked.legend_format(query.legend or "__auto")
    if is_table:
        asked.format(PromQueryFormat.TABLE)
    return asked.instant() if is_instant else asked.range()


def _source(query: Query | Sql) -> models.DataSourceRef:
    return READ_MODEL if isinstance(query, Sql) else PROMETHEUS


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
    query: Query | Sql,
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
    is_named = isinstance(query, Query) and bool(query.legend)
    bound = alerts()[alert].bound if alert else 1
    panel = (
        stat.Panel()
        .title(title)
        .description(meaning)
        .datasource(_source(query))
        .with_target(_target(query, is_instant=True))
        .unit(unit)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .color_mode(BigValueColorMode.BACKGROUND if is_coloured else BigValueColorMode.NONE)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.VALUE_AND_NAME if is_named else BigValueTextMode.VALUE)
        .links(_links(names))
        .span(span)
        .height(4)
    )
    return panel.thresholds(_steps(bound, is_floor=is_floor)) if is_coloured else panel


def graph(
    title: str,
    queries: Query | Sql | Sequence[Query],
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
    asked = queries if isinstance(queries, Sequence) else [queries]
    panel = (
        timeseries.Panel()
        .title(title)
        .description(meaning)
        .datasource(_source(asked[0]))
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
    for reference, query in zip("ABCDEFGH", asked, strict=False):
        panel.with_target(_target(query, reference))
    if isinstance(asked[0], Sql):  # a value a month or week, which holds for all of it
        panel.draw_style(GraphDrawStyle.BARS).fill_opacity(60)
    return panel


def rows(title: str, query: Query | Sql, meaning: str, *, span: int = 8) -> table.Panel:
    """A row for each series, its labels as columns, or for each row of an answer.

    A column `ratio` is shown in percent.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(meaning)
        .datasource(_source(query))
        .with_target(_target(query, is_instant=True, is_table=True))
        .span(span)
        .height(8)
    )
    if isinstance(query, Query):
        hidden = models.DataTransformerConfig("organize", options={"excludeByName": {"Time": True}})
        return panel.with_transformation(hidden)
    in_percent = [
        models.DynamicConfigValue("unit", "percentunit"),
        models.DynamicConfigValue("decimals", 1),
    ]
    return panel.unit("locale").override_by_name("ratio", in_percent)


Panel = stat.Panel | timeseries.Panel | table.Panel
Part = builders.Row | Panel


def dashboard(
    uid: str,
    title: str,
    meaning: str,
    parts: Iterable[Part],
    *,
    since: str = "now-6h",
    is_business: bool = False,
) -> models.Dashboard:
    """A dashboard of `parts`, a row beginning a new line. `uid` is its file and its address.

    `is_business`: it asks the read model too, and shows one currency at a time.
    """
    built = (
        builders.Dashboard(title)
        .uid(f"psastream-{uid}")
        .description(meaning)
        .tags([TAG])
        .time(since, "now")
        .refresh("5m" if is_business else "30s")
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
    if is_business:
        built.with_variable(
            builders.DatasourceVariable("read_model")
            .label("Read model")
            .description("The PostgreSQL that holds the read model.")
            .type("grafana-postgresql-datasource")
        ).with_variable(
            builders.QueryVariable("currency")
            .label("Currency")
            .description("Amounts of different currencies are never added up.")
            .datasource(READ_MODEL)
            .query(CURRENCIES)
            .refresh(models.VariableRefresh.ON_DASHBOARD_LOAD)
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
