"""Every name of Faust and aiokafka the engine relies on beyond their public interface.

Both are pinned exactly; a renamed or removed name fails here, at import, and not in production.
"""

import inspect
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.producer.sender import Sender, TxnOffsetCommitHandler
from aiokafka.producer.transaction_manager import TransactionManager, TransactionState
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)
from faust.app.base import App
from faust.stores.base import Store
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer as BaseConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import ConsumerMessage

__all__ = [
    "AIOKafkaConsumerThread",
    "AIOKafkaProducer",
    "BatchBuilder",
    "CompactArray",
    "CompactString",
    "Consumer",
    "ConsumerMessage",
    "CoordinationType",
    "FetchResult",
    "GroupAuthorizationFailedError",
    "Int16",
    "Int32",
    "Int64",
    "KafkaError",
    "Request",
    "RequestStruct",
    "Response",
    "Schema",
    "Sender",
    "Store",
    "TaggedFields",
    "TransactionState",
    "Transport",
    "TxnOffsetCommitHandler",
]

_METHODS: dict[type[Any], tuple[str, ...]] = {
    App: ("_on_rebalance_when_stopped", "crash", "FlowControlQueue"),
    BaseConsumer: (
        "_wait_next_records",
        "_add_gap",
        "_commit_offsets",
        "ack",
        "getmany",
        "highwaters",
        "seek_to_committed",
    ),
    Consumer: ("_new_consumer_thread",),
    AIOKafkaConsumerThread: (
        "_create_worker_consumer",
        "_fetch_records",
        "call_thread",
        "seek_to_beginning",
        "verify_event_path",
    ),
    Recovery: ("_restart_recovery", "_build_highwaters", "on_recovery_completed", "need_recovery"),
    Store: ("on_rebalance", "persisted_offset", "need_active_standby_for"),
    Fetcher: ("fetched_records", "_create_fetch_waiter", "_notify"),
    FetchResult: ("getall", "has_more", "check_assignment", "_update_position"),
    PartitionRecords: ("_consumer_record", "_unpack_records"),
    SubscriptionState: ("fetch_context", "wait_for_assignment"),
    AIOKafkaProducer: ("send_batch", "send_offsets_to_transaction", "abort_transaction"),
    BatchBuilder: ("append", "close", "record_count"),
    Sender: ("_do_txn_offset_commit", "_find_coordinator"),
    TxnOffsetCommitHandler: ("do", "create_request", "handle_response"),
    TransactionManager: ("error_transaction",),
}

_ATTRIBUTES: dict[type[Any], tuple[str, ...]] = {
    AIOKafkaClient: ("_sasl_plain_password",),
    BaseConsumer: ("_unacked_messages", "flow_active", "_waiting_for_ack", "_read_offset"),
    AIOKafkaConsumer: ("_isolation_level", "_fetch_max_bytes", "_fetcher", "_coordinator"),
    Fetcher: (
        "_records",
        "_wait_consume_future",
        "_closed",
        "_subscriptions",
        "_max_partition_fetch_bytes",
        "_fetch_task",
        "_fetch_min_bytes",
        "_fetch_max_wait_ms",
    ),
    GroupCoordinator: (
        "_pending_exception",
        "_coordination_task",
        "member_id",
        "_group_instance_id",
    ),
    AIOKafkaProducer: ("_sender", "_txn_manager", "_COMPRESSORS"),
    TransactionManager: ("_pending_txn_offsets",),
    Sender: ("_acks", "_txn_manager", "_message_accumulator", "_retry_backoff"),
    TxnOffsetCommitHandler: ("_offsets", "_group_id", "_sender"),
    FetchResult: ("_partition_records",),
    PartitionRecords: ("next_fetch_offset", "_consumer_record"),
}


def missing_names() -> list[str]:
    """The relied-upon names the installed versions do not have."""
    missing = [
        f"{owner.__name__}.{name}"
        for owner, names in _METHODS.items()
        for name in names
        if not callable(getattr(owner, name, None))
    ]
    for owner, names in _ATTRIBUTES.items():
        source = inspect.getsource(owner)
        missing += [f"{owner.__name__}.{name}" for name in names if name not in source]
    return missing


if _missing := missing_names():
    raise ImportError(f"faust or aiokafka lack {', '.join(_missing)}; install the pinned versions")
