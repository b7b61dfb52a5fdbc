"""The rules of users as commands of Kafka's own, for clusters that no operator keeps. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from psastream.access.rights import Resource, Right, User

_OPTIONS = {
    Resource.TOPIC: "--topic",
    Resource.GROUP: "--group",
    Resource.TRANSACTIONAL_ID: "--transactional-id",
    Resource.CLUSTER: "--cluster",
}
_HEAD = """\
#!/bin/sh
# Rules of the users of psastream; adding one that there is changes nothing.
# BOOTSTRAP_SERVERS: the brokers; COMMAND_CONFIG: client properties of somebody who may alter rules.
# Where users sign in by certificates, PRINCIPAL=User:CN= says how principals begin.
set -eu
acls() {
  kafka-acls.sh --bootstrap-server "$BOOTSTRAP_SERVERS" --command-config "$COMMAND_CONFIG" \\
    --add "$@"
}
"""


def acl_script(users: Iterable[User]) -> str:
    """Return a shell script that adds the rules of users.

    What may be done alike is added by one command: each takes seconds.
    """
    parts = [_HEAD]
    for user in users:
        parts.append(f"\n# {user.name}: {user.purpose}\n")
        parts += [f"{command}\n" for command in _commands(user)]
    return "".join(parts)


def _commands(user: User) -> Iterator[str]:
    alike: dict[tuple[Resource, bool, tuple[str, ...]], list[Right]] = {}
    for right in user.rights:
        key = (right.resource, right.is_prefix, tuple(each.value for each in right.operations))
        alike.setdefault(key, []).append(right)
    for (resource, is_prefix, operations), rights in alike.items():
        first = f'acls --allow-principal "${{PRINCIPAL:-User:}}{user.name}"'
        words = [f"--operation {each}" for each in operations]
        if is_prefix:
            words.append("--resource-pattern-type prefixed")
        option = _OPTIONS[resource]
        if resource is Resource.CLUSTER:
            words.append(option)
        else:
            words += [f"{option} {shlex.quote(right.name)}" for right in rights]
        yield " \\\n  ".join(
            [f"{first} {' '.join(words[: len(operations)])}", *words[len(operations) :]]
        )
