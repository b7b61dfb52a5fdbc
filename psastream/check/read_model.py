"""Can the read model be kept in its database, and can what it holds be gone on with?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psastream.check.findings import Finding
from psastream.lines import shown_age
from psastream.read_model.following import STALE_AFTER, layout_of
from psastream.read_model.landing import LandingTable
from psastream.read_model.star import BI_ROLE, PAY_ROLE, SCHEMA
from psastream.read_model.store import META, ROLES_BY_HAND, Generation, Store, as_ours
from psastream.verdict import Verdict
from runtime.kafka import KafkaSettings
from schemas.errors import BrokerUnavailableError, ConfigError, ReadModelUnavailableError

READ_MODEL: Final = "read model"
_ROLES: Final = (BI_ROLE, PAY_ROLE)
_REFILL: Final = (
    "psastream readmodel run fills it anew; what is there can be asked until that is whole"
)


@dataclass(frozen=True, slots=True)
class ReadModel:
    """What the database told.

    `foreign`: schemas of ours that another owns. `roles`: those of ours that are there.
    `lacks`: migrations that were not applied. `layout`: of the topics and contracts of now, None
    where it was not asked, or nobody knows it.
    """

    at: datetime
    may_make_schemas: bool
    may_make_roles: bool
    foreign: Sequence[str] = ()
    roles: Sequence[str] = _ROLES
    lacks: Sequence[str] = ()
    live: Generation | None = None
    layout: str | None = None


def ask_read_model(
    url: str, tables: Sequence[LandingTable], kafka: KafkaSettings | None
) -> ReadModel:
    """Ask its database, and `kafka` which topics there are; changes nothing.

    Raises ReadModelUnavailableError, and ConfigError where the server is too old, or the database
    is of another version of psastream.
    """
    with closing(Store(url)) as store:
        with as_ours():
            traits = store.connection.execute(_TRAITS, ([META, SCHEMA], list(_ROLES))).fetchone()
        if traits is None:
            raise ReadModelUnavailableError("the read model tells nothing of its user")
        at, may_make_schemas, may_make_roles, foreign, roles = traits
        if foreign:
            return ReadModel(at, may_make_schemas, may_make_roles, foreign, roles)
        lacks = store.lacks()
        live = None if lacks else store.live()
    layout: str | None = None
    if live is not None and kafka is not None:
        with suppress(BrokerUnavailableError, ConfigError):  # said of broker and topics
            layout = layout_of(kafka, tables)
    return ReadModel(at, may_make_schemas, may_make_roles, foreign, roles, lacks, live, layout)


def read_model_findings(told: ReadModel, *, is_made: bool) -> Iterator[Finding]:
    """Yield what is found of a read model; with `is_made` it is no matter what is in it."""
    problems = [*_rights(told)]
    if not problems and not is_made:
        problems += _content(told)
    yield from problems or [Finding(READ_MODEL, "", Verdict.OK, "can be kept in its database")]


def _rights(told: ReadModel) -> Iterator[Finding]:
    if not told.may_make_schemas:
        yield Finding(
            READ_MODEL,
            "",
            Verdict.FAIL,
            "the user may make no schemas",
            "as an administrator: GRANT CREATE ON DATABASE its database TO the user",
        )
    if told.foreign:
        yield Finding(
            READ_MODEL,
            "",
            Verdict.FAIL,
            f"the user does not own the schemas {', '.join(told.foreign)}",
            "sign in as their owner; or ALTER SCHEMA … OWNER TO the user, and all that is in them",
        )
    absent = [role for role in _ROLES if role not in told.roles]
    if absent and not told.may_make_roles:
        yield Finding(
            READ_MODEL,
            "",
            Verdict.FAIL,
            f"there is no role {', '.join(absent)}, and the user may make none",
            ROLES_BY_HAND,
        )


def _content(told: ReadModel) -> Iterator[Finding]:
    if told.lacks:
        detail = f"lacks migrations: {', '.join(told.lacks)}"
        remedy = "psastream readmodel migrate; psastream readmodel run does it, too"
    elif told.live is None:
        detail, remedy = "was not filled yet", "psastream readmodel run"
    elif told.layout not in (None, told.live.layout):
        detail, remedy = "was filled by other contracts, or from other topics", _REFILL
    elif (silent := told.at - told.live.seen_at) >= STALE_AFTER:
        detail, remedy = f"was not followed for {shown_age(silent)}", _REFILL
    else:
        return
    yield Finding(READ_MODEL, "", Verdict.WARN, detail, remedy)


_TRAITS: Final = """
    SELECT clock_timestamp(), has_database_privilege(current_database(), 'CREATE'),
           (SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user),
           ARRAY(SELECT nspname::text FROM pg_namespace
                  WHERE nspname = ANY (%s) AND NOT pg_has_role(nspowner, 'USAGE') ORDER BY 1),
           ARRAY(SELECT rolname::text FROM pg_roles WHERE rolname = ANY (%s) ORDER BY 1)
"""
