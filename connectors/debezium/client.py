"""Kafka Connect's REST interface, as far as running Debezium connectors needs it.

Connector files are sent unchanged: their placeholders are resolved by the Connect workers, which
need Kafka's EnvVarConfigProvider under the name `env`. No secret passes through here.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import structlog
from pydantic import BaseModel, ValidationError

from connectors.toolkit.config import read_document
from connectors.toolkit.faults import (
    ErrorPolicy,
    Fault,
    Meaning,
    Shape,
    UnreadableBodyError,
    rule,
    text_or_none,
)
from connectors.toolkit.http import Limiter, RetrySettings, VendorClient
from runtime.access import HttpAccess
from runtime.secrets import mask
from runtime.tls import client_context
from schemas.errors import ConfigError, FatalError, ReplicationSlotLostError
from schemas.topics import SOURCE_PREFIX

_log = structlog.get_logger()

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
"""Of a connector: a part of the path of its REST interface, where `..` is another one."""
_VARIABLE: Final = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
NOTHING: Final[Mapping[str, str]] = {}
"""What an order without a content bears: Connect answers 415 to one that does not say JSON."""
OWNER_KEY: Final = "psastream.connector.owner"
"""Who keeps a connector, among its configuration; without it psastream does."""
STRIMZI: Final = "strimzi"
_CAUSE: Final = "Caused by: "
FAILED: Final = "FAILED"
RUNNING: Final = "RUNNING"
SLOT_LOST_TEXTS: Final = (
    "can no longer get changes from replication slot",
    "cannot read from logical replication slot",
    "can no longer access replication slot",
    "no longer available on the server",
    "Unable to obtain valid replication slot",
    "re-snapshot is required",
)
"""What PostgreSQL and Debezium say of a slot that is gone or invalid, and of a place in a log.

By version of PostgreSQL (13 to 17, and 18) as PeerDB-io/peerdb and the tests of electric-sql/
electric know it; the last three are Debezium's: of any place (MySQL's, too), of its
PostgresReplicationConnection, and of its LogMinerHelper (Oracle).
"""


def read_faults(body: object) -> Sequence[Fault]:
    """Read `{"error_code", "message"}`."""
    if not isinstance(body, dict):
        return ()
    code, message = text_or_none(body.get("error_code")), text_or_none(body.get("message"))
    return (Fault(code=code, detail=message or ""),)


_REST: Final = "Apache Kafka documentation, Kafka Connect: REST API"
_RESTART: Final = "Apache Kafka KIP-745: restart answers 202 or 204"

POLICY: Final = ErrorPolicy(
    system="connect",
    read_faults=read_faults,
    rules=(
        rule(201, Meaning.ACCEPTED, methods=["PUT"], evidence=_REST),
        rule((202, 204), Meaning.ACCEPTED, methods=["DELETE", "POST"], evidence=_RESTART),
        rule(202, Meaning.ACCEPTED, methods=["PUT"], evidence=f"{_REST}: PUT …/resume"),
        rule(400, Meaning.REFUSED_RECORD, shape=Shape.JSON, evidence=_REST),
        rule(404, Meaning.NOT_FOUND, shape=Shape.JSON, evidence=_REST),
        rule(409, Meaning.RETRY, evidence=f"{_REST}: the workers are rebalancing"),
    ),
)


class ConnectorFailedError(FatalError):
    """A connector fails again and again; restarting does not help."""

    code = "fatal.connector_failed"


@dataclass(frozen=True, slots=True)
class ConnectorFile:
    """A connector as Connect's POST takes it."""

    name: str
    config: Mapping[str, str]

    @property
    def variables(self) -> frozenset[str]:
        """The variables that it has the worker's environment fill in."""
        return frozenset(
            name for text in self.config.values() for name in _VARIABLE.findall(str(text))
        )


@dataclass(frozen=True, slots=True)
class ConnectorStatus:
    """States of a connector and of its tasks, and the traces of those that failed."""

    state: str
    tasks: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether the connector and all its tasks, at least one, run."""
        return self.state == RUNNING and bool(self.tasks) and set(self.tasks) == {RUNNING}

    @property
    def has_failed(self) -> bool:
        """Whether the connector or a task has failed."""
        return FAILED in {self.state, *self.tasks}


def read_connector_file(path: Path) -> ConnectorFile:
    """Return the connector at `path`. Raises ConfigError unless it is `{"name", "config"}`."""
    document = read_document(path)
    name, config = document.get("name"), document.get("config")
    if (
        not isinstance(name, str)
        or not isinstance(config, dict)
        or document.keys()
        - {
            "name",
            "config",
        }
    ):
        raise ConfigError(f"{path} is not a connector file: it needs name and config, no more")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{path}: its name {name!a} is none", hint="letters, digits, and . _ - between them"
        )
    prefix = config.get("topic.prefix")
    is_sink = not config.keys().isdisjoint(("topics", "topics.regex"))
    if prefix != SOURCE_PREFIX and not is_sink:
        raise ConfigError(
            f"{path}: topic.prefix is {prefix!a}, not {SOURCE_PREFIX}",
            hint="topics are named src.<schema>.<table>; others are read by nobody",
        )
    return ConnectorFile(name, config)


class ConnectClient:
    """A client of one Connect cluster. `close` when done."""

    def __init__(
        self, access: HttpAccess | str, *, timeout_s: float = 30.0, attempts: int = 10
    ) -> None:
        if isinstance(access, str):
            access = HttpAccess.of(access)
        self._client = VendorClient(
            access.url,
            _BasicCredentials(access),
            POLICY,
            tls=client_context(access.tls) if access.tls.paths else None,
            user_agent="psastream",
            timeout_s=timeout_s,
            limiter=Limiter(2),
            retry=RetrySettings(attempts=attempts),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def register(self, connector: ConnectorFile) -> bool:
        """Create or reconfigure a connector; True when it is new. Repeating it changes nothing.

        Raises VendorRejectedError for a configuration the plugin refuses, TransientError.
        """
        response = await self._client.request(
            "PUT",
            f"/connectors/{quote(connector.name)}/config",
            json=dict(connector.config),
        )
        return response.status == 201

    async def status(self, name: str) -> ConnectorStatus:
        """Return the state of a connector. Raises VendorRejectedError where it does not exist."""
        response = await self._client.request("GET", f"/connectors/{quote(name)}/status")
        return _status(response.body)

    async def statuses(self) -> dict[str, ConnectorStatus]:
        """Return the state of every connector there is, by name. Raises UnreadableBodyError."""
        response = await self._client.request("GET", "/connectors?expand=status")
        if not isinstance(response.body, dict):
            raise UnreadableBodyError("connect told its connectors in another form")
        return {
            str(name): _status(told.get("status") if isinstance(told, dict) else None)
            for name, told in sorted(response.body.items())
        }

    async def config(self, name: str) -> dict[str, str]:
        """Return the configuration of a connector. Raises RecordNotFoundError where there is none.

        Placeholders stand in it as they were sent.
        """
        response = await self._client.request("GET", f"/connectors/{quote(name)}/config")
        if not isinstance(response.body, dict):
            raise UnreadableBodyError("connect told a configuration of another form")
        return {str(key): str(value) for key, value in response.body.items()}

    async def plugins(self) -> list[str]:
        """Return the classes of the connectors that are installed."""
        response = await self._client.request("GET", "/connector-plugins")
        found = response.body if isinstance(response.body, list) else [None]
        named = [str(each["class"]) for each in found if isinstance(each, dict) and "class" in each]
        if len(named) < len(found):
            raise UnreadableBodyError("connect told its plugins in another form")
        return named

    async def validate(self, connector: ConnectorFile) -> list[str]:
        """Return what is wrong with a configuration, by its plugin: `key: problem`.

        Placeholders are filled in by the worker that is asked. Of a database's connector that takes
        a visit to its database. Raises VendorRejectedError, UnreadableBodyError.
        """
        named = quote(str(connector.config["connector.class"]))
        response = await self._client.request(
            "PUT",
            f"/connector-plugins/{named}/config/validate",
            json={"name": connector.name, **connector.config},
            is_read=True,
        )
        return _validated(response.body)

    async def restart_failed(self, name: str) -> None:
        """Restart a connector's failed parts and leave the others running."""
        await self._client.request(
            "POST",
            f"/connectors/{quote(name)}/restart",
            json=NOTHING,
            params={"includeTasks": "true", "onlyFailed": "true"},
        )

    async def pause(self, name: str) -> None:
        """Have a connector capture nothing until it is resumed, by whoever restarts."""
        await self._client.request("PUT", f"/connectors/{quote(name)}/pause", json=NOTHING)

    async def resume(self, name: str) -> None:
        """Have a connector that is paused or stopped go on; one that runs stays as it is."""
        await self._client.request("PUT", f"/connectors/{quote(name)}/resume", json=NOTHING)


@dataclass(slots=True)
class RestartBudget:
    """At most `restarts` in `window_s`; `clock_s` is a monotonic clock."""

    restarts: int
    window_s: float
    clock_s: Callable[[], float]
    _taken_s: list[float] = field(default_factory=list)

    @property
    def taken(self) -> int:
        """How many restarts were taken in the present window."""
        now_s = self.clock_s()
        return sum(now_s - taken < self.window_s for taken in self._taken_s)

    def take(self) -> bool:
        """Take one restart; False when none is left."""
        now_s = self.clock_s()
        self._taken_s = [taken for taken in self._taken_s if now_s - taken < self.window_s]
        if len(self._taken_s) >= self.restarts:
            return False
        self._taken_s.append(now_s)
        return True


async def heal(client: ConnectClient, name: str, budget: RestartBudget) -> ConnectorStatus:
    """Return a connector's state, restarting what failed while the budget lasts.

    Raises ReplicationSlotLostError when the database dropped changes not yet read, which a restart
    would hide, and ConnectorFailedError when the budget is spent.
    """
    status = await client.status(name)
    if not status.has_failed:
        return status
    reason = reason_of(status.traces[0]) if status.traces else "no trace"
    if any(text in trace for trace in status.traces for text in SLOT_LOST_TEXTS):
        raise ReplicationSlotLostError(
            f"connector {name} lost its replication slot: {reason}",
            hint="take a new snapshot, then reconcile: changes in between are gone; where the slot "
            "is there and sound, end the long transactions that keep it, and restart",
        )
    if not budget.take():
        raise ConnectorFailedError(
            f"connector {name} {'keeps failing' if budget.restarts else 'has failed'}: {reason}",
            hint="see the trace in Connect's status",
        )
    _log.warning("connector.restarted", connector=name, reason=reason)
    await client.restart_failed(name)
    return status


class _BasicCredentials:
    """Name and password of RFC 7617, or none."""

    def __init__(self, access: HttpAccess) -> None:
        self._access = access

    async def headers(self) -> Mapping[str, str]:
        sign_in = self._access.sign_in
        if sign_in is None:
            return {}
        return {"Authorization": "Basic " + b64encode(":".join(sign_in).encode()).decode()}

    def invalidate(self) -> None:
        """There is nothing to forget: the next request asks with the same."""


class _Part(BaseModel):
    """A connector or a task, as the status tells it."""

    state: str
    trace: str | None = None


class _Value(BaseModel):
    """What was found of a key."""

    name: str
    errors: tuple[str, ...] = ()


class _Key(BaseModel):
    """A key of a configuration, as it was validated."""

    value: _Value


class _ValidationBody(BaseModel):
    """The body of `PUT /connector-plugins/{class}/config/validate`, the fields that are used."""

    configs: tuple[_Key, ...]


def _validated(body: Any) -> list[str]:
    """Read a validation. Raises UnreadableBodyError where it is none."""
    try:
        found = _ValidationBody.model_validate(body)
    except ValidationError as error:
        raise UnreadableBodyError("connect told a validation of another form") from error
    return [
        _printable(f"{key.value.name}: {problem}")
        for key in found.configs
        for problem in key.value.errors
    ]


class _StatusBody(BaseModel):
    """The body of `GET /connectors/{name}/status`, the fields that are used."""

    connector: _Part
    tasks: tuple[_Part, ...] = ()


def _status(body: Any) -> ConnectorStatus:
    """Read a status. Raises UnreadableBodyError where it is none."""
    try:
        status = _StatusBody.model_validate(body)
    except ValidationError as error:
        where = ", ".join(".".join(map(str, item["loc"])) for item in error.errors())
        raise UnreadableBodyError(f"connect told a status of another form: {where}") from error
    parts = [status.connector, *status.tasks]
    return ConnectorStatus(
        state=status.connector.state,
        tasks=tuple(task.state for task in status.tasks),
        traces=tuple(_printable(part.trace) for part in parts if part.trace),
    )


def _printable(trace: str) -> str:
    """A trace as people and logs may see it: of a driver it can hold the whole address."""
    return mask(trace.encode(errors="replace").decode())


def reason_of(trace: str) -> str:
    """Return what a trace says first, which Connect says of any failure, and its last cause."""
    first, *rest = trace.splitlines() or [""]
    causes = [line.removeprefix(_CAUSE) for line in rest if line.startswith(_CAUSE)]
    return f"{first}: {causes[-1]}" if causes else first
