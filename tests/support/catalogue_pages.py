"""The tables of docs/ that are made from the code.

`python -m tests.support.catalogue_pages` writes them; a test compares them.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from connectors.debezium.client import POLICY as CONNECT
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.pace import PACES
from connectors.polled.config import ApiConfig, PolledConfig
from connectors.rest.declaration import FILE as DECLARATION
from connectors.rest.declaration import read_declaration
from connectors.rest.policy import policy_of
from connectors.rest.source import RestConnectorConfig
from connectors.singer.source import SingerConnectorConfig
from connectors.systems import Systems
from connectors.toolkit.faults import COMMON_RULES, Meaning, Rule
from psastream.catalogue import record_name
from psastream.conformance.suite import (
    listed,
    listed_of_databases,
    listed_of_sinks,
    listed_of_taps,
)
from runtime.kafka import SECRETS as KAFKA_SECRETS
from runtime.log_events import FIELDS, SENTENCES
from runtime.settings import FILE_SUFFIX, PREFIX, SECRETS, Settings
from schemas.errors import FatalError, PsaStreamError, RecordError, TransientError
from schemas.topics import DAY_MS, Route, Topic
from tests.support import access_pages, canonical_page, flow_pictures, star_pages, view_pages
from tests.support.catalogue import CATALOGUE
from tests.support.faults import KINDS, proofs
from tests.support.heard_list import read_lines
from tests.support.log_calls import product_calls
from tests.support.metric_catalogue import product_metrics

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
VENDORS: Final = DOCS.parent / "connectors" / "vendors"
VENDOR_PACKAGE: Final = "connectors.vendors."
AUTH: Final = "auth.py"
PACKAGES: Final = (
    "schemas", "tables", "streams", "connectors", "runtime", "sandbox", "psastream",
)  # fmt: skip
ENTRY_POINTS: Final = ("__main__", "leash")  # modules that are programs
MARKER: Final = "<!-- {edge} {name}: python -m tests.support.catalogue_pages -->"

# Keys whose models carry no description.
MEANINGS: Final = {
    "connector.class": "class that reads or writes",
    "topic.prefix": "`src.<system>`",
    "object.include.list": "objects to read, comma-separated",
    "url": "base URL of the API",
    "poll.interval.ms": "pause between polls of an object",
    "sweep.interval.ms": "time between full comparisons of an object",
    "snapshot.mode": "what to publish without a bookmark: `initial` (every row), `no_data` (what"
    " changed since the start, less the overlap); `always`: every row, at each start",
    "max.delete.ratio": "larger shares of vanished rows are not believed to be deleted",
    "page.size": "rows a request",
    "request.timeout.ms": "longest wait for an answer",
    "max.in.flight": "requests, or taps, at once",
    "requests.per.second": "pace of requests",
    "auth.token": "API token",
    "auth.client.id": "OAuth client",
    "auth.certificate.id": "certificate that signs in",
    "auth.username": "user the connector acts for",
    "auth.audience": "audience of the signed assertion",
    "auth.private.key.file": "RSA key in PEM",
    "api.version": "version of the REST API",
}


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _kept(topic: Topic) -> str:
    if topic.retention_ms is not None:
        return f"{topic.retention_ms // DAY_MS} days"
    return topic.cleanup.value


def _route(topic: Topic) -> str:
    if topic.name.startswith("src.") and topic.contract is None:
        return "chosen by Debezium"
    match topic.route:
        case Route.CO_PARTITION:
            return f"`{topic.route_field}`"
        case Route.BROADCAST:
            return "every partition"
        case Route.KEY:
            return "key"


def topics() -> str:
    """One row a topic of the catalogue."""
    head = (
        "topic",
        "key",
        "record",
        "partition by",
        "partitions",
        "kept",
        "owner",
        "personal data",
    )
    return _table(
        head,
        (
            (
                f"`{topic.name}`",
                topic.key.replace("|", "\\|"),
                f"`{record_name(topic)}`" if record_name(topic) else "",
                _route(topic),
                str(topic.partitions),
                _kept(topic),
                topic.owner,
                ", ".join(f"`{name}`" for name in topic.personal_data),
            )
            for topic in CATALOGUE
        ),
    )


def metrics() -> str:
    """One row a Prometheus metric."""
    return _table(
        ("metric", "type", "labels", "meaning"),
        (
            (f"`{it.name}`", it.kind, ", ".join(f"`{label}`" for label in it.labels), it.meaning)
            for it in product_metrics()
        ),
    )


def settings() -> str:
    """One row a `PSASTREAM_` variable."""
    rows = []
    for name, field in Settings.model_fields.items():
        variable = "PSASTREAM_KAFKA_*" if name == "kafka_extra" else f"{PREFIX}{name.upper()}"
        rows.append((f"`{variable}`", _default(field), _meaning(name, field)))
        if name in SECRETS:
            rows.append((f"`{variable}{FILE_SUFFIX}`", "none", "file that holds it, read anew"))
    rows += [
        (f"`{_variable(key)}{FILE_SUFFIX}`", "none", f"file that holds `{key}`, read anew")
        for key in sorted(KAFKA_SECRETS)
    ]
    return _table(("variable", "default", "meaning"), rows)


def _variable(key: str) -> str:
    return f"{PREFIX}KAFKA_{key.upper().replace('.', '_')}"


def _meaning(name: str, field: FieldInfo) -> str:
    """What a setting means. Raises KeyError where neither its model nor this module says it."""
    if field.description:
        return canonical_page.angled(field.description)
    return MEANINGS[name]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is None or default is PydanticUndefined or default == {}:
        return "none"
    return f"`{getattr(default, 'value', default)}`"


def _keys(model: type[BaseModel], *, besides: type[BaseModel] | None = None) -> str:
    known = besides.model_fields if besides else {}
    rows = []
    for name, field in model.model_fields.items():
        if name in known and _default(field) == _default(known[name]):
            continue
        key = field.alias or name
        rows.append((f"`{key}`", _default(field), _meaning(key, field)))
    return _table(("key", "default", "meaning"), rows)


def errors() -> str:
    """One row an error class of ours."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for info in pkgutil.walk_packages(module.__path__, f"{package}."):
            if not info.name.endswith(ENTRY_POINTS):
                importlib.import_module(info.name)
    found = {it.code: it for it in _descendants(PsaStreamError) if _is_ours(it)}
    return _table(
        ("code", "class", "what the process does", "meaning"),
        (
            (
                f'<a id="{code}"></a>`{code}`',
                f"`{it.__name__}`",
                _action(it),
                _first_line(it.__doc__),
            )
            for code, it in sorted(found.items())
        ),
    )


def _is_ours(error: type[PsaStreamError]) -> bool:
    return error.__module__.partition(".")[0] in PACKAGES and not error.__name__.startswith("_")


def _descendants(error: type[PsaStreamError]) -> Iterator[type[PsaStreamError]]:
    for child in error.__subclasses__():
        yield child
        yield from _descendants(child)


def _action(error: type[PsaStreamError]) -> str:
    actions = {TransientError: "retries", RecordError: "dead-letters, goes on", FatalError: "stops"}
    return next((text for base, text in actions.items() if issubclass(error, base)), "")


def _first_line(text: str | None) -> str:
    return re.split(r"(?<=\.)\s|\n\n", (text or "").strip(), maxsplit=1)[0].replace("\n    ", " ")


def _outcomes(rules: Iterable[Rule]) -> str:
    """One row an answer that a table knows."""
    rows = []
    for row in rules:
        status = str(row.first) if row.first == row.last else f"{row.first} to {row.last}"
        codes = ", ".join(f"`{it}`" if it else "no code" for it in sorted(row.codes, key=str))
        narrow = [*sorted(row.methods), *([f"body: {row.shape.value}"] if row.shape else [])]
        narrow += [f'text: "{row.words}"'] if row.words else []
        narrow += [f"field: {it}" for it in sorted(row.fields, key=str)]
        meaning = row.meaning.value
        if row.meaning in (Meaning.REFUSED_RECORD, Meaning.NOT_FOUND):
            meaning += f" ({row.reason.value})"
        rows.append((status, codes, "; ".join(narrow), meaning, row.evidence))
    return _table(("status", "codes", "only", "meaning", "evidence"), rows)


def _declared(system: str) -> str:
    """The rows that a rest.yaml declares."""
    return _outcomes(policy_of(system, read_declaration(Systems().read(system))).rules)


def answered() -> str:
    """The rows of each system with code, under its name: of what is written, then of its lists."""
    return "\n\n".join(_answered(name) for name in _by_title() if (VENDORS / name / AUTH).is_file())


def _answered(name: str) -> str:
    policy = importlib.import_module(f"{VENDOR_PACKAGE}{name}.{AUTH.removesuffix('.py')}").POLICY
    parts = [f"## {_title(name)}", _outcomes(policy.rules)]
    if (VENDORS / name / DECLARATION).is_file():
        parts += ["Its lists are read by declaration:", _declared(name)]
    return "\n\n".join(parts)


def declared() -> str:
    """The rows of each system that is read by declaration alone, under its name."""
    systems = Systems()
    names = [name for name in systems.names() if systems.read(name).vendor == "rest"]
    return "\n\n".join(f"### {_title(name)}\n\n{_declared(name)}" for name in names)


def sources() -> str:
    """The keys of each source of a system's own, under its name."""
    return _keys_of({name: Systems().vendor(name).source for name in _by_title()}, ApiConfig)


def sinks() -> str:
    """The keys of each sink, under its system's name."""
    return _keys_of({name: Systems().vendor(name).sink for name in _by_title()}, SinkConfig)


def _keys_of(parts: Mapping[str, Any], besides: type[BaseModel]) -> str:
    """What each adds to or changes of common keys; those of one class stand together."""
    named: dict[type[BaseModel], list[str]] = {}
    for name, part in parts.items():
        if part is not None and part.config_model.__module__.startswith(VENDOR_PACKAGE):
            named.setdefault(part.config_model, []).append(_title(name))
    return "\n\n".join(
        f"{', '.join(titles)}:\n\n{_keys(model, besides=besides)}"
        for model, titles in named.items()
    )


def _by_title() -> list[str]:
    names = [name for name in Systems().names() if (VENDORS / name / "README.md").is_file()]
    return sorted(names, key=_title)


def _title(system: str) -> str:
    """What a system is called in its README."""
    readme = (VENDORS / system / "README.md").read_text()
    return readme.partition("\n")[0].removeprefix("# ")


def paces() -> str:
    """One row a reason of a refusal: what cures it, and how often it is tried again."""
    rows = []
    for reason, pace in PACES.items():
        others = "are held back" if pace.is_shared else "are sent"
        pauses = f"{_span(pace.first_s)}, doubling to {_span(pace.longest_s)}"
        rows.append((reason.value, pace.cure, pauses, str(pace.probes), others))
    return _table(("reason", "tried until", "pauses", "tried at first", "others of the kind"), rows)


def _span(seconds: float) -> str:
    if seconds < 3_600:
        return f"{seconds / 60:g} min"
    return f"{seconds / 3_600:g} h"


def log_events() -> str:
    """One row an event of the logs: how severe it is, what it says, which fields it has."""
    levels: dict[str, set[str]] = {event: set() for event in SENTENCES}
    fields: dict[str, set[str]] = {event: set() for event in SENTENCES}
    for call in product_calls():
        for event in call.events:
            levels[event].add(call.level)
            fields[event] |= call.fields
    return _table(
        ("event", "level", "message", "fields"),
        (
            (
                f"`{event}`",
                ", ".join(sorted(levels[event])),
                sentence,
                ", ".join(f"`{name}`" for name in sorted(fields[event])),
            )
            for event, sentence in sorted(SENTENCES.items())
        ),
    )


def log_fields() -> str:
    """One row a field of the logs."""
    return _table(
        ("field", "what it holds"), ((f"`{name}`", FIELDS[name]) for name in sorted(FIELDS))
    )


def faults() -> str:
    """One row a kind of fault: where it is decided, and which tests show that it is gone."""
    shown = proofs()
    rows = []
    for number, kind in KINDS.items():
        mine = [proof for proof in shown if proof.number == number]
        places = dict.fromkeys(f"`{proof.place}`" for proof in mine)
        tests = (f"`{proof.test}`" for proof in mine)
        rows.append((number, kind, "<br>".join(places), "<br>".join(tests)))
    return _table(("number", "kind", "decided in", "tests"), rows)


def clauses() -> str:
    """Every clause of the conformance suite."""
    return _table(("clause", "what holds"), listed())


def clauses_of_taps() -> str:
    """Every clause about the runs of a Singer tap."""
    return _table(("clause", "what holds"), listed_of_taps())


def clauses_of_databases() -> str:
    """Every clause about a table that Debezium captures."""
    return _table(("clause", "what holds"), listed_of_databases())


def clauses_of_sinks() -> str:
    """Every clause about what is written."""
    return _table(("clause", "what holds"), listed_of_sinks())


def heard() -> str:
    """Every alert: the fault that `make prove-alerts` heard it of, what it said, what ended it."""
    rows = [
        (f"`{it.alert}`", it.done, ", ".join(it.told), it.said.replace("|", "\\|"), it.mended)
        for it in read_lines()
    ]
    return _table(("alert", "fault", "told to", "what it said", "what ended it"), sorted(rows))


BLOCKS: Final[dict[str, dict[str, Callable[[], str]]]] = {
    "topics.md": {"topics": topics},
    "canonical.md": {"canonical": canonical_page.page},
    "metrics.md": {"metrics": metrics},
    "conformance.md": {
        "clauses": clauses,
        "clauses of sinks": clauses_of_sinks,
        "clauses of databases": clauses_of_databases,
        "clauses of taps": clauses_of_taps,
    },
    "flows.md": {"flows": flow_pictures.page},
    "service-levels.md": {"heard": heard},
    "logs.md": {"log fields": log_fields, "log events": log_events},
    "sql.md": {"views": view_pages.page},
    "read-model.md": {"star": star_pages.page},
    "kafka-access.md": {"users": access_pages.page},
    "errors.md": {"errors": errors},
    "faults.md": {"faults": faults},
    "outcomes.md": {
        "outcomes vendors": answered,
        "outcomes declared": declared,
        "outcomes connect": lambda: _outcomes(CONNECT.rules),
        "paces": paces,
        "outcomes common": lambda: _outcomes(COMMON_RULES),
    },
    "configuration.md": {
        "settings": settings,
        "polled": lambda: _keys(ApiConfig),
        "polled vendors": sources,
        "polled rest": lambda: _keys(RestConnectorConfig, besides=ApiConfig),
        "polled singer": lambda: _keys(SingerConnectorConfig, besides=PolledConfig),
        "sink": lambda: _keys(SinkConfig),
        "sink vendors": sinks,
    },
}
"""By page, the blocks between its markers."""


def rendered(page: str) -> str:
    """A page with its blocks as the code has them. Raises ValueError without a marker."""
    text = (DOCS / page).read_text()
    for name, render in BLOCKS[page].items():
        begin, end = (MARKER.format(edge=edge, name=name) for edge in ("begin", "end"))
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{page} has no block {name}")
        text = f"{before}{begin}\n{render()}\n{end}{after}"
    return text


def write() -> None:
    """Bring all pages up to date."""
    for page in BLOCKS:
        (DOCS / page).write_text(rendered(page))


if __name__ == "__main__":
    write()
