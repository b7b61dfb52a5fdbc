"""Would Kafka Connect take the connectors of the given files, and are they as the files say?

Connect itself validates a configuration (`PUT /connector-plugins/{class}/config/validate`): it
fills in the variables that only its worker knows, and Debezium's connectors sign in to the database
and see what it can do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.debezium.client import (
    OWNER_KEY,
    STRIMZI,
    ConnectClient,
    ConnectorFile,
    ConnectorStatus,
)
from connectors.toolkit.faults import RecordNotFoundError
from psastream.check.findings import Finding
from psastream.verdict import Verdict
from runtime.access import HttpAccess

CONNECTORS: Final = "connectors"
ASK_S: Final = 30.0
"""Longest wait for an answer: a connector that is validated asks its database."""


@dataclass(frozen=True, slots=True)
class Told:
    """What Connect says of a connector file: None for a connector that it does not have.

    `has_class`: whether its plugin is installed. `errors`: what is wrong with its configuration.
    `differs`: keys whose values are others in Connect than in the file. `adds`: those that only
    Connect has. `is_strimzis`: whether it says that a KafkaConnector keeps it.
    """

    name: str
    connector_class: str
    has_class: bool
    errors: Sequence[str] = ()
    status: ConnectorStatus | None = None
    differs: Sequence[str] = ()
    adds: Sequence[str] = ()
    is_strimzis: bool = False


async def ask_connect(access: HttpAccess | str, connectors: Sequence[ConnectorFile]) -> list[Told]:
    """Ask for each file. Raises TransientError, AuthenticationError, UnreadableBodyError."""
    client = ConnectClient(access, timeout_s=ASK_S, attempts=1)
    try:
        classes = await client.plugins()
        return [await _ask(client, each, classes) for each in connectors]
    finally:
        await client.close()


async def _ask(client: ConnectClient, connector: ConnectorFile, classes: Sequence[str]) -> Told:
    named = str(connector.config.get("connector.class", ""))
    if named not in classes:
        return Told(connector.name, named, has_class=False)
    errors = await client.validate(connector)
    try:
        status = await client.status(connector.name)
        config = await client.config(connector.name)
    except RecordNotFoundError:
        return Told(connector.name, named, True, errors)
    wanted = {key: str(value) for key, value in connector.config.items()}
    held = {key: value for key, value in config.items() if key not in ("name", OWNER_KEY)}
    return Told(
        *(connector.name, named, True, errors, status),
        differs=sorted(key for key in wanted if wanted[key] != held.get(key)),
        adds=sorted(held.keys() - wanted.keys()),
        is_strimzis=config.get(OWNER_KEY) == STRIMZI,
    )


def connector_findings(
    told: Sequence[Told], *, are_made: bool, owner: str = "psastream"
) -> Iterator[Finding]:
    """Yield what is found of connectors; with `are_made` one that is not there is no matter.

    `owner` keeps them; a KafkaConnector of Strimzi's may add keys to those of the file.
    """
    yield Finding(CONNECTORS, "Kafka Connect", Verdict.OK, "answers")
    for each in told:
        if not each.has_class:
            yield Finding(
                CONNECTORS,
                each.name,
                Verdict.FAIL,
                f"Connect has no plugin {each.connector_class or 'without a connector.class'}",
                "install Debezium's plugin in the plugin.path of every Connect worker",
            )
            continue
        for error in each.errors:
            yield Finding(
                CONNECTORS,
                each.name,
                Verdict.FAIL,
                error,
                "correct the file, or the environment of the Connect worker that fills it in",
            )
        yield from _state(each, are_made, owner)


def _state(each: Told, are_made: bool, owner: str) -> Iterator[Finding]:
    apply = "psastream connectors apply --config its file"
    if owner == STRIMZI:
        apply = "kubectl apply its KafkaConnector, as python -m deploy.strimzi writes it"
    if each.status is None:
        if not are_made:
            yield Finding(CONNECTORS, each.name, Verdict.WARN, "is not registered yet", apply)
        elif not each.errors:
            yield Finding(CONNECTORS, each.name, Verdict.OK, "Connect takes its configuration")
        return
    if each.is_strimzis and owner != STRIMZI:
        yield Finding(
            CONNECTORS,
            each.name,
            Verdict.FAIL,
            f"a KafkaConnector of Strimzi's keeps it, and PSASTREAM_CONNECTOR_OWNER is {owner}",
            "let one of the two keep it: psastream docs kafka-access",
        )
    differs = sorted([*each.differs, *(() if owner == STRIMZI else each.adds)])
    if differs and not are_made:
        keys = ", ".join(differs)
        told = f"is registered with other values than its file: {keys}"
        yield Finding(CONNECTORS, each.name, Verdict.WARN, told, apply)
    if each.status.is_running:
        yield Finding(CONNECTORS, each.name, Verdict.OK, "runs")
        return
    reason = each.status.traces[0].partition("\n")[0] if each.status.traces else ""
    told = f"{each.status.state}, tasks {', '.join(each.status.tasks) or 'none'}"
    yield Finding(
        CONNECTORS,
        each.name,
        Verdict.WARN if are_made else Verdict.FAIL,  # what is made next may be its cure
        f"{told}: {reason}" if reason else told,
        "psastream docs runbooks/connector-failed",
    )
