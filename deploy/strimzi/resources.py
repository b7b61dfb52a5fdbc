"""Strimzi's resources for a firm: topics, users, Kafka Connect and its connectors. Pure.

Fields are those of `kafka.strimzi.io/v1`, of which `tests/deploy` generates the schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from connectors.debezium.client import OWNER_KEY, STRIMZI, ConnectorFile
from psastream.access.capture import CONNECT_GROUP
from psastream.access.rights import Right, User
from runtime.kafka import topic_settings
from sandbox.stack.connect import AVRO_CONVERTER, ENVIRONMENT_PROVIDER, MESSAGE_MAX_BYTES
from schemas.errors import ConfigError
from schemas.topics import Topic

VERSION: Final = "kafka.strimzi.io/v1"
CLUSTER: Final = "strimzi.io/cluster"
REGISTRY_VARIABLE: Final = "PSASTREAM_REGISTRY_URL"
_VARIABLE: Final = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_NUMBER: Final = re.compile(r"-?[0-9]+")

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cluster:
    """The Kafka cluster that a Strimzi operator keeps, and what is beside it.

    `authentication` is `scram-sha-512` or `tls`, as its listener has it; `image` is that of the
    target `strimzi` of `deploy/image/Dockerfile`, whose Connect is of `kafka_version`.
    `connector_owner` is who keeps the connectors: `strimzi` by KafkaConnectors, or `psastream`.
    """

    name: str = "kafka"
    authentication: str = "scram-sha-512"
    replicas: int = 3
    bootstrap_servers: str = "kafka-kafka-bootstrap:9093"
    registry_url: str = "http://registry:8081"
    image: str = "psastream-connect:strimzi"
    kafka_version: str = "4.2.1"
    connect_replicas: int = 1
    connector_owner: str = "psastream"


def topic_resources(topics: Iterable[Topic], cluster: Cluster) -> list[Resource]:
    """Return a KafkaTopic for each topic.

    Raises ConfigError where two would have one name: Kubernetes knows no `_`.
    """
    found: dict[str, Topic] = {}
    for topic in topics:
        name = resource_name(topic.name)
        if name in found:
            raise ConfigError(
                f"the topics {found[name].name} and {topic.name} would be one resource",
                hint="give one of the two another name",
            )
        found[name] = topic
    return [_topic(name, topic, cluster) for name, topic in found.items()]


def user_resources(users: Iterable[User], cluster: Cluster) -> list[Resource]:
    """Return a KafkaUser for each user, with its rights and no others."""
    return [
        _resource(
            "KafkaUser",
            user.name,
            {
                "authentication": {"type": cluster.authentication},
                "authorization": {"type": "simple", "acls": [_acl(each) for each in user.rights]},
            },
            labels={CLUSTER: cluster.name},
            annotations={"psastream/purpose": user.purpose},
        )
        for user in users
    ]


def connect_resources(connectors: Sequence[ConnectorFile], cluster: Cluster) -> list[Resource]:
    """Return Kafka Connect, and its connectors where Strimzi keeps them.

    Nothing where no database is captured. Raises ConfigError for a connector whose name Kubernetes
    does not take: Strimzi calls it after its resource, and its watcher would not find it.
    """
    if not connectors:
        return []
    variables = sorted({name for each in connectors for name in variables_of(each.config)})
    found = [_connect(variables, cluster)]
    if cluster.connector_owner == STRIMZI:
        found += [_connector(each) for each in connectors]
    return found


def as_yaml(resources: Iterable[Resource], head: str) -> str:
    """Return resources as the text of a file, with a comment at its head."""
    text = yaml.safe_dump_all(resources, sort_keys=False, explicit_start=True, width=100)
    return f"# {head}\n{text}"


def resource_name(name: str) -> str:
    """Return the name of a Kubernetes resource for what is called so in Kafka."""
    return name.replace("_", "-").strip("-.").lower()


def variables_of(config: Mapping[str, str]) -> set[str]:
    """Return the environment variables that a connector's configuration names."""
    return {name for value in config.values() for name in _VARIABLE.findall(value)}


def _resource(
    kind: str,
    name: str,
    spec: Resource,
    *,
    labels: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
) -> Resource:
    metadata: Resource = {"name": name, "labels": dict(labels)}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _topic(name: str, topic: Topic, cluster: Cluster) -> Resource:
    spec = {
        **({"topicName": topic.name} if topic.name != name else {}),
        "partitions": topic.partitions,
        "replicas": cluster.replicas,
        "config": {key: _plain(value) for key, value in topic_settings(topic).items()},
    }
    return _resource("KafkaTopic", name, spec, labels={CLUSTER: cluster.name})


def _acl(right: Right) -> Resource:
    resource: Resource = {"type": right.resource.value}
    if right.resource.value != "cluster":
        resource |= {"name": right.name, "patternType": "prefix" if right.is_prefix else "literal"}
    return {"resource": resource, "operations": [each.value for each in right.operations]}


def _connector(connector: ConnectorFile) -> Resource:
    if resource_name(connector.name) != connector.name:
        raise ConfigError(
            f"the connector {connector.name} cannot be a KafkaConnector, which Strimzi calls after "
            "its resource",
            hint="name it with small letters, digits, and . - between them",
        )
    config = connector.config
    return _resource(
        "KafkaConnector",
        connector.name,
        {
            "class": config["connector.class"],
            "tasksMax": int(config.get("tasks.max", "1")),
            "autoRestart": {"enabled": True, "maxRestarts": 10},
            "config": {
                **{
                    name: _plain(value)
                    for name, value in config.items()
                    if name not in ("connector.class", "tasks.max")
                },
                OWNER_KEY: STRIMZI,
            },
        },
        labels={CLUSTER: CONNECT_GROUP},
    )


def _connect(variables: Sequence[str], cluster: Cluster) -> Resource:
    user = CONNECT_GROUP
    signs_in: Resource = {"type": cluster.authentication}
    if cluster.authentication == "tls":
        signs_in["certificateAndKey"] = {
            "secretName": user,
            "certificate": "user.crt",
            "key": "user.key",
        }
    else:
        signs_in |= {
            "username": user,
            "passwordSecret": {"secretName": user, "password": "password"},
        }
    spec = {
        "replicas": cluster.connect_replicas,
        "version": cluster.kafka_version,
        "image": cluster.image,
        "bootstrapServers": cluster.bootstrap_servers,
        "groupId": CONNECT_GROUP,
        "configStorageTopic": f"{CONNECT_GROUP}-configs",
        "offsetStorageTopic": f"{CONNECT_GROUP}-offsets",
        "statusStorageTopic": f"{CONNECT_GROUP}-status",
        "tls": {
            "trustedCertificates": [
                {"secretName": f"{cluster.name}-cluster-ca-cert", "pattern": "*.crt"}
            ]
        },
        "authentication": signs_in,
        "config": _connect_config(variables),
        "template": {
            "connectContainer": {"env": [_variable(name, cluster) for name in variables]},
        },
    }
    return _resource(
        "KafkaConnect",
        CONNECT_GROUP,
        spec,
        labels={},
        # Its operator deletes connectors that have no resource, and sets back those that have one.
        annotations=(
            {"strimzi.io/use-connector-resources": "true"}
            if cluster.connector_owner == STRIMZI
            else None
        ),
    )


def _connect_config(variables: Sequence[str]) -> Resource:
    converters = {
        key: value
        for name in ("key.converter", "value.converter")
        for key, value in (
            (name, AVRO_CONVERTER),
            (f"{name}.schema.registry.url", f"${{env:{REGISTRY_VARIABLE}}}"),
        )
    }
    return {
        **converters,
        # A connector that could choose its clients' settings could send what it reads anywhere.
        "connector.client.config.override.policy": "None",
        # These and no others: whoever may register a connector may read what is resolved.
        "config.providers": "env",
        "config.providers.env.class": ENVIRONMENT_PROVIDER,
        "config.providers.env.param.allowlist.pattern": "|".join(variables),
        "consumer.isolation.level": "read_committed",
        "producer.compression.type": "zstd",
        "producer.max.request.size": MESSAGE_MAX_BYTES,
        "config.storage.replication.factor": -1,
        "offset.storage.replication.factor": -1,
        "status.storage.replication.factor": -1,
        # A task that is not given time to stop keeps its replication slot from the next one.
        "task.shutdown.graceful.timeout.ms": 300_000,
    }


def _variable(name: str, cluster: Cluster) -> Resource:
    """An address is told; all else comes from the Secret of the connector's database."""
    if name == REGISTRY_VARIABLE:
        return {"name": name, "value": cluster.registry_url}
    secret, _, key = name.lower().rpartition("_")
    reference = {"name": secret.replace("_", "-"), "key": key}
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def _plain(value: str) -> str | int:
    return int(value) if _NUMBER.fullmatch(value) else value
