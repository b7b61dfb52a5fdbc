"""What a broker must be able to do, and how the topics must be that are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from connectors.dispatch.dispatcher import SESSION_TIMEOUT_MS
from psastream.check.findings import Finding
from psastream.verdict import Verdict
from runtime.brokers import BrokerTraits, PresentTopic
from runtime.kafka import topic_settings, wrong_partitions
from schemas.topics import Topic
from streams.engine.settings import EngineSettings

BROKER: Final = "broker"
TOPICS: Final = "topics"
NAMED_MAX: Final = 5
"""Topics that are named where many lack the same."""
_ENGINE: Final = {name: field.default for name, field in EngineSettings.model_fields.items()}
TRANSACTION_MS: Final = int(1_000 * _ENGINE["transaction_timeout_s"])
SESSIONS_MS: Final = (SESSION_TIMEOUT_MS, int(1_000 * _ENGINE["session_timeout_s"]))
"""Time-outs that our consumer groups ask for."""
_FATAL: Final = ("cleanup.policy",)
"""Settings of a topic with which rows are lost, or kept for ever."""


def broker_findings(broker: BrokerTraits, *, copies: int) -> Iterator[Finding]:
    """Yield what is found of the brokers of a cluster; `copies` are those of each topic."""
    name = f"{broker.nodes} broker" + ("" if broker.nodes == 1 else "s")
    yield Finding(BROKER, name, Verdict.OK, "answers" if broker.nodes == 1 else "answer")
    if broker.nodes < copies:
        yield Finding(
            BROKER,
            name,
            Verdict.FAIL,
            f"each topic is to have {copies} copies",
            f"add brokers, or set PSASTREAM_REPLICATION_FACTOR to {broker.nodes}",
        )
    if broker.transaction_problem:
        yield Finding(
            BROKER,
            "transactions",
            Verdict.FAIL,
            f"none can begin: {broker.transaction_problem}",
            "see that the brokers can make __transaction_state: with fewer than three of them set"
            " transaction.state.log.replication.factor and .min.isr; and that the user may write"
            " with transactional ids that begin with psastream",
        )
    else:
        yield Finding(BROKER, "transactions", Verdict.OK, "can begin")
    if not broker.settings:
        yield Finding(
            BROKER,
            "settings",
            Verdict.SKIP,
            "cannot be read",
            "give the user DescribeConfigs on the cluster to have them looked at",
        )
        return
    yield from _limits(broker, copies)


def _limits(broker: BrokerTraits, copies: int) -> Iterator[Finding]:
    def number(key: str, otherwise: int) -> int:
        text = broker.settings.get(key) or ""
        return int(text) if text.lstrip("-").isdigit() else otherwise

    def fails(key: str, detail: str, remedy: str) -> Finding:
        told = f"{key} is {broker.settings.get(key)}: {detail}"
        return Finding(BROKER, "settings", Verdict.FAIL, told, remedy)

    found = []
    if number("transaction.max.timeout.ms", TRANSACTION_MS) < TRANSACTION_MS:
        found.append(
            fails(
                "transaction.max.timeout.ms",
                f"workers ask for {TRANSACTION_MS}",
                f"raise it to {TRANSACTION_MS} or more",
            )
        )
    if number("group.max.session.timeout.ms", max(SESSIONS_MS)) < max(SESSIONS_MS):
        found.append(
            fails(
                "group.max.session.timeout.ms",
                f"workers ask for {max(SESSIONS_MS)}",
                f"raise it to {max(SESSIONS_MS)} or more",
            )
        )
    if number("group.min.session.timeout.ms", 0) > min(SESSIONS_MS):
        found.append(
            fails(
                "group.min.session.timeout.ms",
                f"dispatchers ask for {min(SESSIONS_MS)}",
                f"lower it to {min(SESSIONS_MS)} or less",
            )
        )
    if number("min.insync.replicas", 1) > copies:
        found.append(
            fails(
                "min.insync.replicas",
                f"no write to a topic of {copies} would be taken",
                "lower it, or raise PSASTREAM_REPLICATION_FACTOR",
            )
        )
    if broker.settings.get("auto.create.topics.enable") == "true":
        found.append(
            Finding(
                BROKER,
                "settings",
                Verdict.WARN,
                "auto.create.topics.enable is true: a topic that is read too early is made with"
                " another partition count",
                "set it to false",
            )
        )
    yield from found or [Finding(BROKER, "settings", Verdict.OK, "fit")]


def topic_findings(
    topics: Sequence[Topic], present: Mapping[str, PresentTopic], *, copies: int, are_made: bool
) -> Iterator[Finding]:
    """Yield what is found of the catalogue's topics; with `are_made` missing ones are no matter."""
    missing = [topic.name for topic in topics if topic.name not in present]
    if missing and not are_made:
        yield Finding(
            TOPICS,
            f"{len(missing)} of {len(topics)}",
            Verdict.FAIL,
            f"are missing: {some(missing)}",
            "psastream topics apply makes them",
        )
    wrong = wrong_partitions(topics, {name: each.partitions for name, each in present.items()})
    for told in wrong:
        yield Finding(
            TOPICS,
            "",
            Verdict.FAIL,
            told,
            "move the data to a topic of the right size; the count decides where rows live",
        )
    off: dict[tuple[str, str, str], list[str]] = {}
    few: list[str] = []
    for topic in topics:
        found = present.get(topic.name)
        if found is None:
            continue
        if found.copies < copies:
            few.append(topic.name)
        for key, value in topic_settings(topic).items():
            if key in found.settings and found.settings[key] != value:
                off.setdefault((key, value, found.settings[key]), []).append(topic.name)
    for (key, value, told), names in off.items():
        yield Finding(
            TOPICS,
            some(names),
            Verdict.FAIL if key in _FATAL else Verdict.WARN,
            f"{key} is {told}, not {value}",
            f"kafka-configs.sh --alter --entity-type topics --add-config {key}={value}"
            " --entity-name each of them",
        )
    if few:
        yield Finding(
            TOPICS,
            some(few),
            Verdict.WARN,
            f"have fewer than {copies} copies",
            "kafka-reassign-partitions.sh adds copies; or set PSASTREAM_REPLICATION_FACTOR to"
            " what they have",
        )
    if present and not (missing or wrong or off or few):
        yield Finding(TOPICS, f"{len(topics)}", Verdict.OK, "are there, as the catalogue has them")


def some(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    shown = ", ".join(names[:NAMED_MAX])
    return shown + (f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else "")
