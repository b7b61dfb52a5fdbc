"""How to start Apache Kafka: one process that is broker and controller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sandbox.stack.health import KafkaHealth
from sandbox.stack.ports import HOST
from sandbox.stack.process import ProcessSpec

# Any valid id: a sandbox has one cluster, and its data directory keeps it apart from others.
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"
LARGEST_MESSAGE_BYTES = 16 * 1024 * 1024
_LISTENER_LISTS = ("listeners", "advertised.listeners", "listener.security.protocol.map")
COORDINATOR_LOGGER = "org.apache.kafka.coordinator.common.runtime.CoordinatorRuntime"
"""Tells, once a start and partition, that the groups' offsets are loaded: nothing else does."""


@dataclass(frozen=True, slots=True)
class Java:
    """A Java program starter: the executable, the folder with Kafka's jars, how to compile."""

    executable: Path
    libraries: Path
    quick_start: bool = True

    def command(
        self,
        main_class: str,
        *arguments: str,
        heap_mb: int,
        log_level: str = "warn",
        told: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[str, ...]:
        """Command line of `main_class`; logs go to standard error.

        The loggers in `told` have levels of their own.
        """
        return (
            str(self.executable),
            f"-Xmx{heap_mb}m",
            # Small heap, few cores: the serial collector starts faster and takes less memory.
            "-XX:+UseSerialGC",
            # The second compiler pays off after minutes of load; until then it takes as much of the
            # processor as all else.
            *(("-XX:TieredStopAtLevel=1",) if self.quick_start else ()),
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.net.preferIPv4Stack=true",
            f"-Dorg.slf4j.simpleLogger.defaultLogLevel={log_level}",
            *(f"-Dorg.slf4j.simpleLogger.log.{name}={level}" for name, level in told.items()),
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
            "-cp",
            f"{self.libraries}/*",
            main_class,
            *arguments,
        )


def server_properties(
    log_dir: Path,
    port: int,
    controller_port: int,
    join_wait_ms: int = 0,
    further: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Broker configuration: production's semantics, sized for one small machine.

    `further` properties come last; those that are lists of listeners add to them.
    """
    properties: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": log_dir,
        # Topics are declared in the catalogue; a typing error must not create one.
        "auto.create.topics.enable": "false",
        "message.max.bytes": LARGEST_MESSAGE_BYTES,
        "replica.fetch.max.bytes": LARGEST_MESSAGE_BYTES,
        "log.segment.bytes": 64 * 1024 * 1024,
        "log.cleaner.dedupe.buffer.size": 32 * 1024 * 1024,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        # Heirs of a worker that is gone wait for the end of its transaction: the usual 10 s are
        # about as long as the time-out itself.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": join_wait_ms,
        # Lets tests lose a worker without waiting for the usual lowest of six seconds.
        "group.min.session.timeout.ms": 1000,
        # A killed broker may register again only after its old session has ended.
        "broker.session.timeout.ms": 4000,
        "broker.heartbeat.interval.ms": 1000,
        "num.network.threads": 2,
        "num.io.threads": 4,
    }
    for name, value in further.items():
        properties[name] = f"{properties[name]},{value}" if name in _LISTENER_LISTS else value
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def kafka_spec(
    java: Java,
    directory: Path,
    ports: Sequence[int],
    *,
    heap_mb: int,
    join_wait_ms: int,
    further: Mapping[str, str] = MappingProxyType({}),
    told: Mapping[str, str] = MappingProxyType({}),
) -> ProcessSpec:
    """The broker process on `ports` (clients, controller); writes its configuration."""
    port, controller_port = ports
    directory.mkdir(parents=True, exist_ok=True)
    config = _config_path(directory)
    config.write_text(
        server_properties(_log_dir(directory), port, controller_port, join_wait_ms, further)
    )
    return ProcessSpec(
        name="kafka",
        command=java.command(
            "kafka.Kafka", str(config), heap_mb=heap_mb, told={COORDINATOR_LOGGER: "info", **told}
        ),
        # One that was killed amid its work reads its logs first, and a busy machine takes its time.
        health=KafkaHealth(f"{HOST}:{port}", timeout_s=120.0),
    )


def format_command(java: Java, directory: Path) -> tuple[str, ...] | None:
    """The command that formats the data of a configured broker; None if that is done."""
    if (_log_dir(directory) / "meta.properties").exists():
        return None
    config = str(_config_path(directory))
    arguments = ("format", "--cluster-id", CLUSTER_ID, "--config", config)
    return java.command("kafka.tools.StorageTool", *arguments, heap_mb=256)


def _config_path(directory: Path) -> Path:
    return directory / "server.properties"


def _log_dir(directory: Path) -> Path:
    return directory / "data"
