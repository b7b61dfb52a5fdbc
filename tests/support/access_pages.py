"""The users of the packaged firm on Kafka, as docs/kafka-access.md shows them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from deploy.strimzi.__main__ import packaged_files
from psastream.access.files import firm_users
from psastream.access.rights import Resource, Right, User
from tests.support.catalogue import FIRM, SYSTEMS


@cache
def packaged_users() -> tuple[User, ...]:
    """Return the users of the packaged firm."""
    return firm_users(FIRM, packaged_files(SYSTEMS))


def page() -> str:
    """One table for each user."""
    return "\n\n".join("\n".join(_lines(user)) for user in packaged_users())


def _lines(user: User) -> Iterator[str]:
    yield f"### {user.name}"
    yield ""
    yield f"{user.purpose}."
    yield ""
    yield "| may | what | for |"
    yield "| --- | --- | --- |"
    alike: dict[tuple[Resource, tuple[str, ...], str], list[Right]] = {}
    for right in user.rights:
        alike.setdefault((right.resource, right.operations, right.why), []).append(right)
    for (resource, operations, why), rights in alike.items():
        names = ", ".join(f"`{it.name}{'*' if it.is_prefix else ''}`" for it in rights)
        what = "the cluster" if resource is Resource.CLUSTER else f"{_WORDS[resource]} {names}"
        yield f"| {', '.join(operations)} | {what} | {why} |"


_WORDS = {
    Resource.TOPIC: "topics",
    Resource.GROUP: "consumer group",
    Resource.TRANSACTIONAL_ID: "transactional id",
}
