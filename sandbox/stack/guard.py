"""A broker that asks who is there and refuses what no rule allows, as one in production does.

It has a second listener, for users who sign in; what comes over the first is the platform's own
and may do everything. It tells each decision in its log.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from psastream.access.rights import Operation, Resource, Rule, User
from runtime.kafka import KafkaSettings, create_topics
from sandbox.stack.ports import HOST
from schemas.topics import Topic

MECHANISM: Final = "SCRAM-SHA-512"
PROTOCOL: Final = "SASL_PLAINTEXT"
ITERATIONS: Final = 4096
"""The fewest that Kafka takes: a sandbox listens on loopback alone."""
ANSWER_S: Final = 30.0
DECISIONS_LOGGER: Final = "kafka.authorizer.logger"
_MODULE: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required"
_TYPES: Final = {
    Resource.TOPIC: ResourceType.TOPIC,
    Resource.GROUP: ResourceType.GROUP,
    Resource.TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID,
    Resource.CLUSTER: ResourceType.BROKER,
}
_OPERATIONS: Final = {
    Operation.READ: AclOperation.READ,
    Operation.WRITE: AclOperation.WRITE,
    Operation.CREATE: AclOperation.CREATE,
    Operation.DELETE: AclOperation.DELETE,
    Operation.DESCRIBE: AclOperation.DESCRIBE,
    Operation.DESCRIBE_CONFIGS: AclOperation.DESCRIBE_CONFIGS,
}


@dataclass(frozen=True, slots=True)
class Guard:
    """Who may do what on the broker. `topics` are made before any user comes.

    `connect`: the user that Kafka Connect signs in as.
    """

    users: Sequence[User]
    passwords: Mapping[str, str]
    topics: Sequence[Topic] = ()
    connect: str | None = None

    def options(self, user: str) -> dict[str, str]:
        """Return the librdkafka keys by which a user signs in."""
        return {
            "security.protocol": PROTOCOL,
            "sasl.mechanism": MECHANISM,
            "sasl.username": user,
            "sasl.password": self.passwords[user],
        }

    def java_options(self, user: str) -> dict[str, str]:
        """Return the keys by which a user signs in from Java."""
        login = f'{_MODULE} username="{user}" password="{self.passwords[user]}";'
        return {
            "security.protocol": PROTOCOL,
            "sasl.mechanism": MECHANISM,
            "sasl.jaas.config": login,
        }


def guard_of(
    users: Sequence[User], topics: Sequence[Topic] = (), connect: str | None = None
) -> Guard:
    """Return a guard with passwords of its own making."""
    return Guard(users, {each.name: secrets.token_hex(16) for each in users}, topics, connect)


def guarding_properties(port: int) -> dict[str, str]:
    """Return further properties of a broker that guards a listener on `port`."""
    listener = f"GUARDED://{HOST}:{port}"
    return {
        "listeners": listener,
        "advertised.listeners": listener,
        "listener.security.protocol.map": f"GUARDED:{PROTOCOL}",
        "inter.broker.listener.name": "PLAINTEXT",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": "User:ANONYMOUS",
        "listener.name.guarded.sasl.enabled.mechanisms": MECHANISM,
        "listener.name.guarded.scram-sha-512.sasl.jaas.config": f"{_MODULE};",
    }


def post(guard: Guard, bootstrap_servers: str) -> None:
    """Make users, rules and topics; blocks. Raises KafkaException, BrokerUnavailableError."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
    known = [
        UserScramCredentialUpsertion(name, info, password.encode())
        for name, password in guard.passwords.items()
    ]
    _await(admin.alter_user_scram_credentials(known).values())
    _await(admin.create_acls(bindings(guard.users)).values())
    kafka = KafkaSettings(bootstrap_servers=bootstrap_servers)
    create_topics(kafka, guard.topics, replication_factor=1)


def bindings(users: Iterable[User]) -> list[AclBinding]:
    """Return the rules of users as Kafka takes them."""
    return [binding(user.name, rule) for user in users for rule in sorted(user.rules)]


def binding(user: str, rule: Rule) -> AclBinding:
    """Return a rule as Kafka takes it."""
    pattern = ResourcePatternType.PREFIXED if rule.is_prefix else ResourcePatternType.LITERAL
    return AclBinding(
        _TYPES[rule.resource],
        rule.name,
        pattern,
        f"User:{user}",
        "*",
        _OPERATIONS[rule.operation],
        AclPermissionType.ALLOW,
    )


def _await(futures: Iterable[Future[object]]) -> None:
    for future in futures:
        future.result(ANSWER_S)
