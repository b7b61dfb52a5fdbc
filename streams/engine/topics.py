"""Checks, before the worker joins its group, that the topics it needs exist as it needs them."""

from collections.abc import Callable, Sequence

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from runtime.kafka import require_broker
from runtime.rights import require_shown
from schemas.errors import BrokerUnavailableError, ConfigError
from streams.engine.connection import librdkafka_options
from streams.engine.contract import GroupSpec
from streams.engine.settings import EngineSettings


def check_groups(groups: Sequence[GroupSpec]) -> None:
    """Raise ConfigError unless names, topics and state topics are each used once."""
    used = [agent.topic for group in groups for agent in group.agents]
    for what, names in (
        ("group", [group.name for group in groups]),
        ("source topic", used),
        ("state topic", [group.state_topic for group in groups]),
    ):
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ConfigError(f"{what} used more than once: {', '.join(repeated)}")
    both = sorted(set(used) & {group.state_topic for group in groups})
    if both:
        raise ConfigError(f"both a source and a state topic: {', '.join(both)}")


def check_topics(
    settings: EngineSettings,
    groups: Sequence[GroupSpec],
    is_wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Raise ConfigError naming every missing topic or wrong partition count. Blocking.

    Faust subscribes to nothing when a topic is absent, and stays so. Upholds I4. Raises
    BrokerUnavailableError within 10 s, AccessRefusedError where the broker does not show a topic to
    this user; returns early when it is not wanted any more.
    """
    options = librdkafka_options(settings)
    require_broker(options, timeout_s=settings.reach_timeout_s, is_wanted=is_wanted)
    if not is_wanted():
        return
    admin = AdminClient(options)
    try:
        found = admin.list_topics(timeout=settings.request_timeout_s).topics
    except KafkaException as error:
        raise BrokerUnavailableError(
            f"cannot list topics: {error}",
            context={"bootstrap_servers": settings.bootstrap_servers},
        ) from error
    wanted = {
        topic: group.partitions
        for group in groups
        for topic in (group.state_topic, *group.handlers())
    }
    outputs = sorted({topic for group in groups for topic in group.output_topics})
    require_shown(options, [each for each in (*sorted(wanted), *outputs) if each not in found])
    problems = [f"{topic} is missing" for topic in sorted(wanted) if topic not in found]
    problems += [f"{topic} is missing" for topic in outputs if topic not in found]
    problems += [
        f"{topic} has {len(found[topic].partitions)} partitions instead of {partitions}"
        for topic, partitions in sorted(wanted.items())
        if topic in found and len(found[topic].partitions) != partitions
    ]
    if problems:
        raise ConfigError(
            f"topics are not as the worker needs them: {'; '.join(problems)}",
            hint="create the topics from the catalogue before starting workers",
        )
