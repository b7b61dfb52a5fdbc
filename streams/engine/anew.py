"""Has a group compute again what it computed before. For operators, while no worker runs.

Blocking calls. The choice is written where the position is, in the group's committed offsets, so
it holds for the next worker, whichever it is, and ends with the first chunk that is committed.
"""

import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from runtime.kafka import require_broker
from runtime.rights import refused
from schemas.errors import BrokerUnavailableError, ConfigError, FatalError
from streams.engine.connection import librdkafka_options
from streams.engine.contract import GroupSpec
from streams.engine.positions import ANEW
from streams.engine.settings import EngineSettings

_TIMEOUT_S: Final = 10.0
_DELETED_S: Final = 60.0  # a busy broker takes its time with the files of a topic
_POLL_S: Final = 0.1
_ABSENT: Final = KafkaError.UNKNOWN_TOPIC_OR_PART


def reread(settings: EngineSettings, groups: Sequence[GroupSpec], topic: str) -> None:
    """Have the group that reads `topic` go on at its first record, whatever its state says.

    Raises ConfigError where no group reads it, FatalError while workers run, and
    BrokerUnavailableError.
    """
    readers = [group for group in groups if topic in group.handlers()]
    if not readers:
        known = sorted(name for group in groups for name in group.handlers())
        raise ConfigError(f"no group reads {topic}", hint=f"choose from {', '.join(known)}")
    admin = _admin(settings)
    _refuse_running(admin, settings)
    _go_back(admin, settings, readers[0], [topic])


def require_no_members(settings: EngineSettings, group_id: str, *, who: str, hint: str) -> None:
    """See that nobody is in a consumer group; `who` says what its members are.

    Raises FatalError where somebody is, and BrokerUnavailableError.
    """
    _refuse_members(_admin(settings), group_id, who=who, hint=hint)


def refuse_workers(settings: EngineSettings) -> None:
    """See that no worker runs. Raises FatalError where one does, and BrokerUnavailableError."""
    _refuse_running(_admin(settings), settings)


def copies_of(settings: EngineSettings, group: GroupSpec, otherwise: int) -> int:
    """Return with how many copies the state log of a group is made again.

    As many as it has; `otherwise` where it is not there. Raises ConfigError where there are fewer
    brokers, and BrokerUnavailableError.
    """
    try:
        found = _admin(settings).list_topics(timeout=_TIMEOUT_S)
    except KafkaException as error:
        raise _unavailable(error) from error
    copies = otherwise
    if (log := found.topics.get(group.state_topic)) is not None:
        copies = min(len(each.replicas) for each in log.partitions.values())
    if (nodes := len(found.brokers)) < copies:
        raise ConfigError(
            f"{group.state_topic} is to have {copies} copies, and there are {nodes} brokers",
            hint="nothing was changed; start the other brokers, or where the topic is gone set"
            " PSASTREAM_REPLICATION_FACTOR to the copies that there can be",
        )
    return copies


def forget_state(settings: EngineSettings, group: GroupSpec) -> None:
    """Delete the state log of a group. To be made again, then `reread_all`.

    Raises FatalError while workers run, and BrokerUnavailableError.
    """
    admin = _admin(settings)
    _refuse_running(admin, settings)
    try:
        admin.delete_topics([group.state_topic])[group.state_topic].result(_TIMEOUT_S)
    except TimeoutError as error:
        raise _unavailable(error) from error
    except KafkaException as error:
        if error.args[0].code() != _ABSENT:
            raise _unavailable(error) from error
    deadline_s = time.monotonic() + _DELETED_S
    while _exists(admin, group.state_topic):
        if time.monotonic() > deadline_s:
            raise _unavailable(TimeoutError(f"{group.state_topic} is still there"))
        time.sleep(_POLL_S)


def reread_all(settings: EngineSettings, group: GroupSpec) -> None:
    """Have a group go on at the first record of every topic it reads. Raises as `reread`."""
    admin = _admin(settings)
    _go_back(admin, settings, group, list(group.handlers()))


def _admin(settings: EngineSettings) -> AdminClient:
    """Make a client whose broker answers. Raises BrokerUnavailableError."""
    options = librdkafka_options(settings)
    require_broker(options, timeout_s=settings.reach_timeout_s)
    return AdminClient(options)


def _exists(admin: AdminClient, topic: str) -> bool:
    try:
        admin.describe_topics(TopicCollection([topic]))[topic].result(_TIMEOUT_S)
    except TimeoutError as error:
        raise _unavailable(error) from error
    except KafkaException as error:
        if error.args[0].code() == _ABSENT:
            return False
        raise _unavailable(error) from error
    return True


def _refuse_running(admin: AdminClient, settings: EngineSettings) -> None:
    hint = (
        "stop all workers first; one that was killed, or has a PSASTREAM_INSTANCE_ID, leaves after"
        " its session"
    )
    _refuse_members(admin, settings.app_id, who="workers", hint=hint)


def _refuse_members(admin: AdminClient, group_id: str, *, who: str, hint: str) -> None:
    found = admin.describe_consumer_groups([group_id], request_timeout=_TIMEOUT_S)
    try:
        members = found[group_id].result(_TIMEOUT_S).members
    except TimeoutError as error:
        raise _unavailable(error, f"who is in the group {group_id} is not known") from error
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return
        raise _unavailable(error, f"who is in the group {group_id} is not known") from error
    if members:
        raise FatalError(f"{len(members)} {who} are in the group {group_id}", hint=hint)


def _go_back(
    admin: AdminClient, settings: EngineSettings, group: GroupSpec, topics: Sequence[str]
) -> None:
    places = [TopicPartition(t, p) for t in topics for p in range(group.partitions)]
    try:
        starts = admin.list_offsets(
            dict.fromkeys(places, OffsetSpec.earliest()), request_timeout=_TIMEOUT_S
        )
        positions = [
            TopicPartition(at.topic, at.partition, future.result(_TIMEOUT_S).offset, ANEW)
            for at, future in starts.items()
        ]
        request = [ConsumerGroupTopicPartitions(settings.app_id, positions)]
        [altered] = admin.alter_consumer_group_offsets(request, request_timeout=_TIMEOUT_S).values()
        failed = [at.error for at in altered.result(_TIMEOUT_S).topic_partitions if at.error]
    except (KafkaException, TimeoutError) as error:
        raise _unavailable(error) from error
    if failed:
        raise _unavailable(KafkaException(failed[0]))


def _unavailable(
    error: BaseException, said: str = "the positions of the group were not all set"
) -> BrokerUnavailableError:
    detail = f"{said}: {error!r}"
    return refused(detail, error) or BrokerUnavailableError(
        detail, hint="check the brokers, then give the same command again"
    )
