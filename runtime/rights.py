"""What a broker refuses for want of a right, told as that: waiting does not help, a rule does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from schemas.errors import BrokerUnavailableError, ContextValue

_WANTING: Final[Mapping[int | None, str]] = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topics",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "consumer groups",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional ids",
}
_ANSWER_S: Final = 15.0
HINT: Final = (
    "give {user} its rights on {what}: psastream docs kafka-access has those of each process"
)

_user = "the user of this process"


class AccessRefusedError(BrokerUnavailableError):
    """The broker refuses what its user has no right to: somebody must add a rule."""

    code = "transient.access_refused"


def is_refused(error: object) -> bool:
    """Whether a broker has refused a request for want of a right."""
    return _code(error) in _WANTING


def signs_in(options: Mapping[str, object]) -> None:
    """Remember as whom clients of these librdkafka options come: a process is one user."""
    global _user  # noqa: PLW0603 as all clients of a process sign in alike
    _user = user_of(options)


def refused(
    detail: str, error: object, *, context: Mapping[str, ContextValue] | None = None
) -> AccessRefusedError | None:
    """Return what to raise where a request was refused for want of a right, else None.

    `error` is one of librdkafka's, or the code of one of Kafka's.
    """
    hint = hint_of(error)
    return AccessRefusedError(detail, hint=hint, context=context) if hint else None


def hint_of(error: object) -> str:
    """Return what helps where a request was refused for want of a right; else nothing."""
    what = _WANTING.get(_code(error))
    return "" if what is None else HINT.format(user=_user, what=what)


def user_of(options: Mapping[str, object]) -> str:
    """Say as whom clients of these librdkafka options come."""
    name = options.get("sasl.username")
    if name:
        return f"the user {name}"
    if options.get("ssl.certificate.location"):
        return "the user of this process's certificate"
    return "the user of this process"


def hidden_topics(options: Mapping[str, str | int | bool], names: Iterable[str]) -> list[str]:
    """Return those of some topics that the broker does not show to this user.

    A list of all topics leaves them out, as it does those that there are not. Blocks; what cannot
    be asked is not among them.
    """
    wanted = list(names)
    if not wanted:
        return []
    admin = AdminClient(dict(options))
    answers = admin.describe_topics(TopicCollection(wanted), request_timeout=_ANSWER_S)
    hidden = []
    for name, answer in answers.items():
        try:
            answer.result(_ANSWER_S)
        except (KafkaException, TimeoutError) as error:
            if is_refused(error):
                hidden.append(name)
    return hidden


def require_shown(options: Mapping[str, str | int | bool], names: Iterable[str]) -> None:
    """Raise AccessRefusedError for topics that the broker does not show to this user. Blocks."""
    if hidden := hidden_topics(options, names):
        raise AccessRefusedError(
            f"the broker does not show {user_of(options)} the topics {', '.join(sorted(hidden))}",
            hint=HINT.format(user=user_of(options), what="topics"),
        )


def _code(error: object) -> int | None:
    if isinstance(error, KafkaException):
        error = error.args[0] if error.args else None
    if isinstance(error, KafkaError):
        return int(error.code())
    return error if isinstance(error, int) else None
