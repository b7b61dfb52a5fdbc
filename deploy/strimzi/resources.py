"""Strimzi's resources for a firm: topics, users, Kafka Connect and its connectors. Pure.

Fields are those of `kafka.strimzi.io/v1`, of which `tests/deploy` generates the schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
BROKERS_VARIABLE: Final = "PSASTREAM_BOOTSTRAP_SERVERS"
_REGISTRY_URL: Final = f"${{env:{REGISTRY_VARIABLE}}}"
_URL_KEY: Final = ".schema.registry.url"
_USER_VARIABLE: Final = "PSASTREAM_REGISTRY_USERNAME"
_SIGN_IN_VARIABLE: Final = "PSASTREAM_REGISTRY_PASSWORD"
_TRUSTSTORE_VARIABLE: Final = "PSASTREAM_REGISTRY_TRUSTSTORE_PASSWORD"
_VOLUME: Final = "registry-ca"
_FOLDER: Final = f"/mnt/{_VOLUME}"
"""Strimzi mounts what is added below /mnt and nowhere else."""
_STORE: Final = "ca.p12"
_CONVERTERS: Final = {
    key: value
    for name in ("key.converter", "value.converter")
    for key, value in ((name, AVRO_CONVERTER), (f"{name}{_URL_KEY}", _REGISTRY_URL))
}
_VARIABLE: Final = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_NUMBER: Final = re.compile(r"-?[0-9]+")

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cluster:
    """The Kafka cluster that a Strimzi operator keeps, and what is beside it.

    `authentication` is `scram-sha-512` or `tls`, as its listener has it; `image` is that of the
    target `strimzi` of `deploy/image/Dockerfile`, whose Connect is of `kafka_version`.
    `connector_owner` is who keeps the connectors: `strimzi` by KafkaConnectors, or `psastream`.

    `registry_ca_secret` names the Secret of the authorities that sign the registry's certificate,
    `ca.p12` (PKCS #12) with `ca.password`; without it those count that Java trusts.
    `registry_user_secret` names that of who signs in at the registry, `username` and `password`.
    Raises ConfigError where authorities are named for a registry without `https`.
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
    registry_ca_secret: str = ""
    registry_user_secret: str = ""

    def __post_init__(self) -> None:
        if self.registry_ca_secret and not self.registry_url.startswith("https://"):
            raise ConfigError(
                f"the registry is asked without TLS, at {self.registry_url}, so no authority of "
                f"{self.registry_ca_secret} is looked at",
                hint="give an https address, or no Secret of authorities",
            )


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
    does not take: Strimzi calls it after its resource, and its watcher would not find it. And for
    one that psastream writes and that lacks what it takes to reach the registry.
    """
    if not connectors:
        return []
    converters = _with_access(_CONVERTERS, cluster)
    reaching = [replace(each, config=_with_access(each.config, cluster)) for each in connectors]
    configs = [converters, *(each.config for each in reaching)]
    variables = sorted({name for each in configs for name in variables_of(each)})
    found = [_connect(converters, variables, cluster)]
    if cluster.connector_owner == STRIMZI:
        return found + [_connector(each) for each in reaching]
    for connector, whole in zip(connectors, reaching, strict=True):
        if lacking := sorted(whole.config.keys() - connector.config.keys()):
            pairs = ", ".join(f"{key}={whole.config[key]}" for key in lacking)
            raise ConfigError(
                f"the connector {connector.name} names converters, which inherit nothing of the "
                f"worker's: it lacks {pairs}",
                hint="add them to its file; with the chart, to capture.settings of its system",
            )
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


def _with_access(config: Mapping[str, str], cluster: Cluster) -> dict[str, str]:
    """Return a configuration whose converters of the firm's registry can reach it.

    One of another registry is given nothing: it would send our password there.
    """
    access = _registry_access(cluster)
    converters = [
        name.removesuffix(_URL_KEY)
        for name, value in config.items()
        if name.endswith(_URL_KEY) and value == _REGISTRY_URL
    ]
    added = {f"{name}.{key}": value for name in converters for key, value in access.items()}
    return {**added, **config}


def _registry_access(cluster: Cluster) -> dict[str, str]:
    """Return keys of the Avro converter, which reads key stores of Java's only, no PEM."""
    access = {}
    if cluster.registry_ca_secret:
        access |= {
            "schema.registry.ssl.truststore.type": "PKCS12",
            "schema.registry.ssl.truststore.location": f"{_FOLDER}/{_STORE}",
            "schema.registry.ssl.truststore.password": f"${{env:{_TRUSTSTORE_VARIABLE}}}",
        }
    if cluster.registry_user_secret:
        access |= {
            "basic.auth.credentials.source": "USER_INFO",
            "basic.auth.user.info": f"${{env:{_USER_VARIABLE}}}:${{env:{_SIGN_IN_VARIABLE}}}",
        }
    return access


def _connect(converters: Mapping[str, str], variables: Sequence[str], cluster: Cluster) -> Resource:
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
        "config": _connect_config(converters, variables),
        "template": _template(variables, cluster),
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


def _template(variables: Sequence[str], cluster: Cluster) -> Resource:
    container: Resource = {"env": [_variable(name, cluster) for name in variables]}
    if not cluster.registry_ca_secret:
        return {"connectContainer": container}
    container["volumeMounts"] = [{"name": _VOLUME, "mountPath": _FOLDER, "readOnly": True}]
    secret = {
        "secretName": cluster.registry_ca_secret,
        "items": [{"key": _STORE, "path": _STORE}],
    }
    return {
        "pod": {"volumes": [{"name": _VOLUME, "secret": secret}]},
        "connectContainer": container,
    }


def _connect_config(converters: Mapping[str, str], variables: Sequence[str]) -> Resource:
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
    """An address is told; all else comes from a Secret: the registry's, or a database's."""
    told = {REGISTRY_VARIABLE: cluster.registry_url, BROKERS_VARIABLE: cluster.bootstrap_servers}
    if name in told:
        return {"name": name, "value": told[name]}
    secret, _, key = name.lower().rpartition("_")
    of_registry = {
        _USER_VARIABLE: (cluster.registry_user_secret, "username"),
        _SIGN_IN_VARIABLE: (cluster.registry_user_secret, "password"),
        _TRUSTSTORE_VARIABLE: (cluster.registry_ca_secret, "ca.password"),
    }
    named = of_registry.get(name, ("", ""))
    secret, key = named if named[0] else (secret.replace("_", "-"), key)
    reference = {"name": secret, "key": key}
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def _plain(value: str) -> str | int:
    return int(value) if _NUMBER.fullmatch(value) else value
