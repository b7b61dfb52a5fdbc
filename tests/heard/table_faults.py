"""Faults of what tables are told, and of the read model that is told by them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import psycopg

from runtime.kafka import read_topic
from tests.support.eventually import eventually
from tests.support.heard import DEADLINE_S, Watched, fault

BILLING: Final = "psa.status.billing"
ALONE: Final = "US"
"""In its project no other fault books anything."""
UNUSED: Final = "written_off"


@fault(
    "PsastreamTableExceptions",
    done="two people of the resource tool have one e-mail address",
    mended="one of them gets another",
    labels={"system": "float", "code": "person.shared_address"},
    needs=["worker", "poller", "vendors", "registry"],
)
def an_address_is_shared(it: Watched) -> Iterator[None]:
    admin = it.system.admin
    person = {"email": "office@psastream.example", "start_date": "2026-09-01"}
    _, second = admin.create_many(
        "float", "people", [person | {"name": name} for name in ("Olga Oster", "Piet Post")]
    )
    yield
    admin.update("float", "people", second["people_id"], {"email": "piet@psastream.example"})


@fault(
    "PsastreamReadModelBehind",
    done="an administrator closes the read model's database and ends its connections",
    mended="it is opened again",
    breaks=["readmodel"],
)
def its_database_is_closed(it: Watched) -> Iterator[None]:
    name = it.system.parts.read_model_url.rpartition("/")[2]
    with psycopg.connect(it.system.parts.postgres_dsn, autocommit=True) as database:
        database.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        yield
        database.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@fault(
    "PsastreamConservationBroken",
    done="a script writes a billing state with an hour more than was worked",
    mended="the state is taken out again",
    labels={"between": "margin_billing"},
    needs=["worker", "poller", "dispatcher", "readmodel", "registry"],
)
def an_hour_is_made_up(it: Watched) -> Iterator[None]:
    projects = it.system.world.cast.projects
    project = next(each for each in projects if each.country_code == ALONE)
    it.system.insert_entry(project_id=int(project.id), currency=project.currency)

    def is_of_it(value: bytes) -> bool:
        row = it.system.serde.read(value)  # in the state that nothing follows until it is invoiced
        return str(row["project_ref"]).endswith(f":{project.id}") and row["state"] == "transferred"

    def told() -> list[tuple[int, bytes, bytes]]:
        return [
            (message.partition(), message.key(), message.value())
            for message in read_topic(it.system.parts.kafka, BILLING)
            if message.value() is not None and is_of_it(message.value())
        ]

    partition, key, value = eventually(told, deadline_s=DEADLINE_S)[-1]
    made_up = {"hours": Decimal(1), "seconds": 3_600, "amount": Decimal(0), "entries": 1}
    # A state that the project has no hours in: the worker never writes it anew.
    row = {**it.system.serde.read(value), "state": UNUSED, **made_up}
    key = key.replace(b"transferred", UNUSED.encode())
    it.system.produce(BILLING, partition, key, it.system.serde.value(BILLING, row))
    yield
    it.system.produce(BILLING, partition, key, None)
