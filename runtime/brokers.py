"""What the brokers of a cluster and its topics are like, for those who check before they start."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from runtime.kafka import (
    ANSWER_MARGIN_S,
    METADATA_TIMEOUT_S,
    KafkaSettings,
    make_producer,
    no_answer,
    require_broker,
)
from runtime.secrets import mask

PROBE_ID: Final = "psastream-check"
"""Transactional id of a producer that begins nothing."""
TRANSACTION_S: Final = 15.0
REACH_S: Final = 8.0
"""Longest wait for a broker to answer."""


@dataclass(frozen=True, slots=True)
class BrokerTraits:
    """How many brokers there are, the settings of one, why no transaction can begin.

    `settings` are empty where we may not read them; `transaction_problem` where there is none.
    """

    nodes: int
    settings: Mapping[str, str] = field(default_factory=dict)
    transaction_problem: str = ""


@dataclass(frozen=True, slots=True)
class PresentTopic:
    """A topic as it is: partitions, copies of the one that has the fewest, settings."""

    partitions: int
    copies: int
    settings: Mapping[str, str] = field(default_factory=dict)


def broker_traits(settings: KafkaSettings) -> BrokerTraits:
    """Ask the brokers. Raises BrokerUnavailableError."""
    require_broker(settings.client(), timeout_s=REACH_S)
    admin = AdminClient(settings.client())
    try:
        nodes = admin.list_topics(timeout=METADATA_TIMEOUT_S).brokers
    except KafkaException as error:
        raise no_answer(settings, error) from error
    resource = ConfigResource(ResourceType.BROKER, str(min(nodes)))
    return BrokerTraits(
        len(nodes), _configs(admin, [resource]).get(resource.name, {}), _no_transaction(settings)
    )


def present_topics(settings: KafkaSettings, names: Collection[str]) -> dict[str, PresentTopic]:
    """Return those of some topics that there are. Raises BrokerUnavailableError."""
    admin = AdminClient(settings.client())
    try:
        found = admin.list_topics(timeout=METADATA_TIMEOUT_S).topics
    except KafkaException as error:
        raise no_answer(settings, error) from error
    there = [name for name in names if name in found]
    told = _configs(admin, [ConfigResource(ResourceType.TOPIC, name) for name in there])
    return {
        name: PresentTopic(
            len(found[name].partitions),
            min((len(each.replicas) for each in found[name].partitions.values()), default=0),
            told.get(name, {}),
        )
        for name in there
    }


def _configs(admin: AdminClient, resources: list[ConfigResource]) -> dict[str, dict[str, str]]:
    """Return settings by name of the resource; of one that we may not read, none."""
    found: dict[str, dict[str, str]] = {}
    if not resources:
        return found
    answers = admin.describe_configs(resources, request_timeout=METADATA_TIMEOUT_S)
    for resource, answer in answers.items():
        try:
            entries = answer.result(METADATA_TIMEOUT_S + ANSWER_MARGIN_S)
        except (KafkaException, TimeoutError):  # a right that we lack hides the settings alone
            continue
        found[resource.name] = {
            key: entry.value for key, entry in entries.items() if entry.value is not None
        }
    return found


def _no_transaction(settings: KafkaSettings) -> str:
    """Why a transactional producer cannot begin; empty where it can."""
    try:
        make_producer(settings, transactional_id=PROBE_ID).init_transactions(TRANSACTION_S)
    except KafkaException as error:
        return mask(str(error.args[0].str()))
    return ""
