"""Settings of the chunk engine: sizes, deadlines, places. Reads no environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from runtime.tls import SecretFile

WORKER: Final = "-worker-"
"""After the app id in transactional ids: a right to those that begin so is to workers' alone."""
RECOVERY: Final = "-recovery"
"""After the app id: the group of consumers that read state logs; nobody joins it."""


class EngineSettings(BaseModel):
    """How one worker process runs. All sizes are bytes, all durations seconds, by their suffix."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    app_id: str = Field(min_length=1)
    """Consumer group, and prefix of the transactional ids."""
    bootstrap_servers: str
    """Comma-separated host:port list."""
    kafka_options: Mapping[str, str] = Field(default_factory=dict, repr=False)
    """librdkafka keys for TLS and SASL, such as security.protocol and sasl.username."""
    kafka_secrets: Mapping[str, SecretFile] = Field(default_factory=dict, repr=False)
    """Those of them whose value a file holds, which may change."""
    state_dir: Path
    """Holds one RocksDB directory per group and partition; a cache of the state logs."""
    instance_id: str | None = None
    """Static membership: the pod name. None: dynamic membership."""

    max_chunk_records: int = Field(default=50_000, ge=1)
    fetch_max_bytes: int = Field(default=8 << 20, ge=1024)
    """Of one partition in one answer of a broker; less where many partitions share the buffers."""
    in_flight_max_bytes: int = Field(default=384 << 20, ge=3)
    """Of the worker, shared by its partitions: a third in answers of the brokers, compressed, and
    two thirds in chunks, uncompressed, in work or waiting. Exceeded by at most one record of a
    chunk and one batch of a broker."""
    fetch_interval_s: float = Field(default=0.05, ge=0)
    """How long a broker gathers few records for the fetch after one that brought records; twice as
    long after one that brought more than a hundred."""
    commit_interval_s: float = Field(default=0.045, ge=0)
    """Least time from the beginning of a transaction to that of the next, where records are few;
    the longest that a transaction waits for what is being folded."""
    handler_threads: int = Field(default=4, ge=1)
    batch_max_bytes: int = Field(default=900_000, ge=1024)
    """Largest record batch written; below max.message.bytes of every topic written to."""
    compression: str | None = "snappy"
    """Codec of what the engine writes. aiokafka compresses on the event loop and holds the
    interpreter while it does; its lz4 runs at a high level and holds both far longer."""

    reach_timeout_s: float = 8.0
    """How long a worker that starts waits for a broker to answer."""
    session_timeout_s: float = 30.0
    heartbeat_interval_s: float = 3.0
    request_timeout_s: float = 40.0
    max_poll_interval_s: float = 300.0
    metadata_max_age_s: float = 10.0
    """How soon topics are seen that a broker did not know yet when it was asked: the leader of the
    group assigns only partitions it knows, and nobody works the others until then."""
    topic_check_interval_s: float = 30.0
    """How often the ids of the topics in use are compared with those at the start."""
    transaction_timeout_s: float = 20.0
    """How long the transaction of a worker that is gone may keep its heirs, and all who read what
    it has written to, waiting."""
    commit_timeout_s: float = 15.0
    commit_attempts: int = Field(default=5, ge=2)
    """Attempts to commit one chunk before the process stops; each resolves the last one first. The
    first may be together with other chunks, and fail for one of them."""
    recovery_timeout_s: float = 1800.0
    """Longest restore of one partition from its state log."""
    halt_timeout_s: float = 10.0
    """Longest wait for the chunk in work when a partition is revoked or the worker stops."""
    retry_backoff_s: float = 0.5
    retry_backoff_max_s: float = 15.0
    stall_timeout_s: float = 600.0
    """No progress while there is lag for this long stops the process."""

    dead_letter_run_max: int = Field(default=1_000, ge=0)
    """Dead letters of a source partition in a row after which the fault is not in the records."""
    dead_letter_ratio_max: float = Field(default=0.5, ge=0, le=1)
    """Share of dead letters in the last 10,000 records of a source partition, likewise; it is
    asked once there are more of them than a run may have."""

    allow_state_gap: bool = False
    """Go on although the state lacks records whose offsets are committed: data is missing."""
    local_state_max_age_s: float = 43_200.0
    """Older local state is rebuilt from the log; below delete.retention.ms of the state topics."""
    rocksdb_block_cache_bytes: int = 16 << 20
    rocksdb_write_buffer_bytes: int = 16 << 20

    @property
    def buffer_max_bytes(self) -> int:
        """The part of `in_flight_max_bytes` that answers of brokers may take up."""
        return self.in_flight_max_bytes // 3

    @property
    def chunks_max_bytes(self) -> int:
        """The part of `in_flight_max_bytes` that chunks may take up."""
        return self.in_flight_max_bytes - self.buffer_max_bytes

    def kafka_options_now(self) -> dict[str, str]:
        """`kafka_options` with the secrets of now."""
        return {
            **self.kafka_options,
            **{key: file.value for key, file in self.kafka_secrets.items()},
        }

    def transactional_id(self, name: str) -> str:
        """The id by which a worker fences its earlier lives.

        `name` is that of its state directory; a static member has one that outlives the directory.
        """
        return f"{self.app_id}{WORKER}{self.instance_id or name}"
