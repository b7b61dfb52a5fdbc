"""Which partition a record goes to.

The partition is the CRC-32 of the co-partition key modulo the partition count, set explicitly on
every record psastream writes. It does not depend on a client library's default partitioner.
"""

from __future__ import annotations

from zlib import crc32


def partition_of(co_partition_key: str, partitions: int) -> int:
    """Return the partition, `0 <= partition < partitions`, of a co-partition key."""
    return crc32(co_partition_key.encode()) % partitions
