"""Commits positions as a member of the consumer group, in a generation, in a transaction (KIP-447).

aiokafka speaks version 0 of TxnOffsetCommit, which names neither, so the group's coordinator would
take positions from a worker that has lost its partitions. Version 3 is declared here with
aiokafka's own types, field by field as Kafka's `TxnOffsetCommitRequest.json` and
`TxnOffsetCommitResponse.json` have it (brokers from 2.5 on), and sent by its sender.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from streams.engine.faust_internals import (
    AIOKafkaProducer,
    CompactArray,
    CompactString,
    CoordinationType,
    GroupAuthorizationFailedError,
    Int16,
    Int32,
    Int64,
    KafkaError,
    Request,
    RequestStruct,
    Response,
    Schema,
    Sender,
    TaggedFields,
    TxnOffsetCommitHandler,
)

_NO_TAGS: Mapping[int, bytes] = {}
_NO_LEADER_EPOCH = -1
_CONCURRENT_TRANSACTIONS = 51
_REFUSALS = {22: "ILLEGAL_GENERATION", 25: "UNKNOWN_MEMBER_ID", 82: "FENCED_INSTANCE_ID"}


@dataclass(frozen=True, slots=True)
class Member:
    """Who reads the sources, in one generation of the group."""

    generation: int
    member_id: str
    instance_id: str | None = None


NOBODY = Member(-1, "")
"""Whose positions a coordinator takes without asking for a membership."""


class MembershipLostError(KafkaError):  # type: ignore[misc]
    """The group's coordinator knows the member no more, or not in this generation."""


class _ResponseV3(Response):  # type: ignore[misc]
    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition_index", Int32), ("error_code", Int16), ("tags", TaggedFields)
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _RequestV3(RequestStruct):  # type: ignore[misc]
    API_KEY = 28
    API_VERSION = 3
    RESPONSE_TYPE = _ResponseV3
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        ("transactional_id", CompactString("utf-8")),
        ("group_id", CompactString("utf-8")),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", CompactString("utf-8")),
        ("group_instance_id", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition_index", Int32),
                        ("committed_offset", Int64),
                        ("committed_leader_epoch", Int32),
                        ("committed_metadata", CompactString("utf-8")),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _TxnOffsetCommit(Request[_RequestV3]):  # type: ignore[misc]
    API_KEY = 28

    def __init__(self, *fields: Any) -> None:
        self._fields = fields

    def build(self, request_struct_class: type[Any]) -> Any:
        return request_struct_class(*self._fields)


class _MemberOffsetCommitHandler(TxnOffsetCommitHandler):  # type: ignore[misc]
    """aiokafka's handler, with the member in the request."""

    def __init__(self, sender: "MemberSender", offsets: Any, group_id: str) -> None:
        super().__init__(sender, offsets, group_id)
        self._member = sender.member

    def create_request(self) -> _TxnOffsetCommit:
        manager = self._sender._txn_manager
        topics: defaultdict[str, list[Any]] = defaultdict(list)
        for place, at in sorted(self._offsets.items()):
            topics[place.topic].append(
                (place.partition, at.offset, _NO_LEADER_EPOCH, at.metadata, _NO_TAGS)
            )
        return _TxnOffsetCommit(
            manager.transactional_id,
            self._group_id,
            manager.producer_id,
            manager.producer_epoch,
            self._member.generation,
            self._member.member_id,
            self._member.instance_id,
            [(topic, partitions, _NO_TAGS) for topic, partitions in topics.items()],
            _NO_TAGS,
        )

    def handle_response(self, response: Any) -> float | None:
        answers = [
            (topic, [(partition, code) for partition, code, _ in partitions])
            for topic, partitions, _ in response.topics
        ]
        codes = {code for _, partitions in answers for _, code in partitions}
        if refused := sorted(codes & _REFUSALS.keys()):
            # Not as an error of the transaction: aiokafka forgets what is in one that has failed,
            # and then leaves it open when it is aborted.
            _, _, waiter = self._sender._txn_manager._pending_txn_offsets.popleft()
            waiter.set_exception(
                MembershipLostError(", ".join(_REFUSALS[code] for code in refused))
            )
            return None
        if _CONCURRENT_TRANSACTIONS in codes:
            backoff_s: float = self._default_backoff
            return backoff_s
        retry_s: float | None = super().handle_response(SimpleNamespace(errors=answers))
        return retry_s


class MemberSender(Sender):  # type: ignore[misc]
    """aiokafka's sender, which commits positions as `member`."""

    member: Member = NOBODY

    @classmethod
    def of(cls, producer: AIOKafkaProducer) -> "MemberSender":
        """Put a sender of this kind into a producer that is not started yet."""
        own = producer._sender
        made = cls(
            own.client,
            acks=own._acks,
            txn_manager=own._txn_manager,
            message_accumulator=own._message_accumulator,
            retry_backoff_ms=own._retry_backoff * 1000,
            request_timeout_ms=own._request_timeout_ms,
        )
        producer._sender = made
        return made

    async def _do_txn_offset_commit(self, offsets: Any, group_id: str) -> None:
        try:
            node_id = await self._find_coordinator(CoordinationType.GROUP, group_id)
        except GroupAuthorizationFailedError as error:
            self._txn_manager.error_transaction(error)
            return
        await _MemberOffsetCommitHandler(self, offsets, group_id).do(node_id)
