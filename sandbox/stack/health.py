"""Questions that tell whether a part is ready to be used."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import psycopg
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

ATTEMPT_TIMEOUT_S = 5.0


class Health(Protocol):
    """One question, asked again until it is answered with yes or `timeout_s` has passed."""

    @property
    def timeout_s(self) -> float: ...

    async def is_healthy(self) -> bool:
        """Whether the part is ready now. Never raises for a part that is not."""


@dataclass(frozen=True, slots=True)
class HttpHealth:
    """Ready when a GET of `url` answers with a status below 400."""

    url: str
    timeout_s: float = 60.0

    async def is_healthy(self) -> bool:
        timeout = aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(self.url) as response,
            ):
                return response.ok
        except (aiohttp.ClientError, TimeoutError):
            return False


@dataclass(frozen=True, slots=True)
class KafkaHealth:
    """Ready when the cluster lists a broker that accepts requests."""

    bootstrap_servers: str
    timeout_s: float = 60.0

    async def is_healthy(self) -> bool:
        if not await self._listens():
            return False  # what the client would log as an error
        client = AIOKafkaClient(
            bootstrap_servers=self.bootstrap_servers,
            request_timeout_ms=int(ATTEMPT_TIMEOUT_S * 1000),
        )
        try:
            await client.bootstrap()
            return bool(client.cluster.brokers())
        except KafkaError:
            return False
        finally:
            await client.close()

    async def _listens(self) -> bool:
        for server in self.bootstrap_servers.split(","):
            host, _, port = server.strip().rpartition(":")
            try:
                async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
                    _, writer = await asyncio.open_connection(host, int(port))
            except OSError:  # a time-out is one
                continue
            writer.close()
            return True
        return False


@dataclass(frozen=True, slots=True)
class PostgresHealth:
    """Ready when the server accepts a session."""

    dsn: str
    timeout_s: float = 60.0

    async def is_healthy(self) -> bool:
        try:
            connection = await psycopg.AsyncConnection.connect(self.dsn, connect_timeout=5)
        except psycopg.OperationalError:
            return False
        await connection.close()
        return True
