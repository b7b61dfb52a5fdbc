"""Schema registry access with one cache a process, on confluent-kafka's client.

Not the registry itself (`sandbox.registry` is a small one for machines that have none).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from http import HTTPStatus
from typing import Final

import httpx2
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from runtime.access import HttpAccess
from runtime.secrets import mask, remember_url
from runtime.sign_ins import REGISTRY, sign_in_failed
from runtime.tls import Stamp, explain
from schemas.codec.record import AvroSchema, load_schema
from schemas.contracts import record_of, value_schema
from schemas.errors import (
    ConfigError,
    DecodeError,
    IncompatibleSchemaError,
    RegistryUnavailableError,
    SchemaMismatchError,
)
from schemas.keys import KEY_SCHEMA
from schemas.topics import Topic

TIMEOUT_S: Final = 10
"""Longest wait for one answer of the registry."""
_NOT_FOUND: Final = range(40401, 40500)
"""Error codes of what a registry does not have: https://docs.confluent.io/platform/current/
schema-registry/develop/api.html."""
_REFUSED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_UNREADABLE: Final = (ValueError, TypeError, AttributeError, LookupError, RecursionError)


class Registration(Enum):
    """How a schema stands in a registry: `ABSENT` one would be taken, `INCOMPATIBLE` one not."""

    REGISTERED = "registered"
    ABSENT = "absent"
    INCOMPATIBLE = "incompatible"


class Registry:
    """Schemas by id and ids by subject, cached for the life of the process; thread-safe.

    Ids and schemas never change once registered, so the caches need no expiry.
    """

    def __init__(self, access: HttpAccess | str) -> None:
        if isinstance(access, str):
            remember_url(access)
            access = HttpAccess.of(access)
        self.url = access.url
        self._access = access
        self._lock = threading.Lock()
        self._made: tuple[Stamp, SchemaRegistryClient] | None = None
        self._schemas: dict[int, AvroSchema] = {}
        self._ids: dict[str, int] = {}

    @property
    def _client(self) -> SchemaRegistryClient:
        """The client on the files as they are: it reads them once, as it is made."""
        stamp = self._access.stamp()
        made = self._made
        if made is None or made[0] != stamp:
            made = self._made = stamp, SchemaRegistryClient(_client_options(self._access))
        return made[1]

    def require(self) -> None:
        """Raise RegistryUnavailableError unless the registry answers."""
        try:
            with self._asking():
                self._client.get_subjects()
        except SchemaRegistryError as error:
            raise self._unavailable(error) from error

    def schema(self, schema_id: int) -> AvroSchema:
        """Return the schema with this id.

        Raises RegistryUnavailableError where the registry does not answer, DecodeError where it
        does not know the id, and SchemaMismatchError where it is no Avro schema that can be read:
        a registry keeps Protobuf and JSON Schema too, and Avro schemas that refer to others.
        """
        with self._lock:
            known = self._schemas.get(schema_id)
        if known is not None:
            return known
        try:
            with self._asking():
                found = self._client.get_schema(schema_id)
        except SchemaRegistryError as error:
            raise DecodeError(
                f"unknown schema id: the registry has no schema {schema_id}",
                hint="register the producer's schema, then replay the dead letters",
            ) from error
        if not isinstance(found.schema_str, str):
            raise self._unavailable("the registry's answer holds no schema")
        parsed = _avro(schema_id, found)
        with self._lock:
            self._schemas[schema_id] = parsed
        return parsed

    def subject_id(self, subject: str, schema: str) -> int:
        """Return the id of the text of a schema that this version of psastream writes.

        Not of the latest: while versions change places, or after one was taken back, the latest is
        of another, and what is written by one schema under the id of another nobody can read.
        Raises ConfigError where the schema is not registered: workers register nothing.
        """
        with self._lock:
            known = self._ids.get(subject)
        if known is not None:
            return known
        asked = Schema(schema, "AVRO")
        try:
            with self._asking():
                schema_id = self._id(self._client.lookup_schema(subject, asked).schema_id)
        except SchemaRegistryError as error:
            raise ConfigError(
                f"the schema of {subject} is not registered: registry {mask(self.url)}",
                hint="run `psastream schemas register` before starting workers",
            ) from error
        with self._lock:
            self._ids[subject] = schema_id
        return schema_id

    def register(self, subject: str, schema: AvroSchema | str) -> int:
        """Register a schema and return its id; for deployments only, never from a worker.

        Raises IncompatibleSchemaError where the registry refuses it. Upholds I9.
        """
        text = schema if isinstance(schema, str) else schema.text
        refusals = (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)
        try:
            with self._asking(*refusals):
                return self._id(self._client.register_schema(subject, Schema(text, "AVRO")))
        except SchemaRegistryError as error:
            raise IncompatibleSchemaError(
                mask(f"the registry refuses the schema of {subject}: {error.error_message}"),
                hint="add fields with defaults; never rename, retype or remove one in use",
            ) from error

    def register_catalogue(self, topics: Iterable[Topic]) -> int:
        """Register key and value of those topics that have a record; return how many subjects."""
        ours = list(subjects_of(topics))
        for subject, schema in ours:
            self.register(subject, schema)
        return len(ours)

    def registration(self, subject: str, schema: AvroSchema | str) -> Registration:
        """Return how a schema stands; registers nothing. Raises RegistryUnavailableError."""
        asked = Schema(schema if isinstance(schema, str) else schema.text, "AVRO")
        with suppress(SchemaRegistryError), self._asking():
            self._client.lookup_schema(subject, asked)
            return Registration.REGISTERED
        try:
            with self._asking():
                is_taken = self._client.test_compatibility_all_versions(subject, asked)
        except SchemaRegistryError:  # it has no such subject, so nothing that it must fit
            return Registration.ABSENT
        return Registration.ABSENT if is_taken else Registration.INCOMPATIBLE

    @contextmanager
    def _asking(self, *told: HTTPStatus) -> Iterator[None]:
        """Let only these statuses out, by default "not found": else the registry is unavailable.

        That it has no such schema a registry says by its error code: a proxy in front of one that
        is away, and a path that is not the registry's, are answered with a bare 404.
        Confluent's client reads answers without looking: a proxy's page or a field of another type
        ends in whatever error Python has for it.
        """
        try:
            yield
        except SchemaRegistryError as error:
            is_told = error.http_status_code in told if told else error.error_code in _NOT_FOUND
            if not is_told:
                raise self._unavailable(error) from error
            raise
        except (httpx2.HTTPError, OSError) as error:
            raise self._unavailable(error) from error
        except _UNREADABLE as error:
            raise self._unavailable(f"an unreadable answer, {type(error).__name__}") from error

    def _id(self, answered: object) -> int:
        """Return the id a registry answered with: 32 bits lie in front of every record."""
        if type(answered) is not int or not 0 <= answered < 2**32:
            raise self._unavailable("the registry's answer holds no id")
        return answered

    def _unavailable(self, cause: object) -> RegistryUnavailableError:
        if getattr(cause, "http_status_code", None) in _REFUSED:
            sign_in_failed(REGISTRY)
            return RegistryUnavailableError(
                mask(f"the schema registry refuses who asks: {self.url}: {cause}"),
                hint="check PSASTREAM_REGISTRY_USERNAME and its password; work waits until then",
            )
        hint = "check PSASTREAM_REGISTRY_URL, and that it runs; work waits until it does"
        if isinstance(cause, BaseException) and (told := explain(cause)) is not None:
            cause, hint = told, "check the PSASTREAM_REGISTRY_SSL variables; work waits until then"
        return RegistryUnavailableError(
            mask(f"the schema registry does not answer: {self.url}: {cause}"), hint=hint
        )


def _client_options(access: HttpAccess) -> dict[str, str | int]:
    """Options of confluent-kafka's client, which takes no address with credentials beside them."""
    options: dict[str, str | int] = {
        "url": access.url,
        "max.retries": 0,
        "timeout": TIMEOUT_S,
    }
    if (sign_in := access.sign_in) is not None:
        options["basic.auth.user.info"] = ":".join(sign_in)
    for key, path in (
        ("ssl.ca.location", access.tls.ca),
        ("ssl.certificate.location", access.tls.certificate),
        ("ssl.key.location", access.tls.key),
    ):
        if path is not None:
            options[key] = str(path)
    return options


def subjects_of(topics: Iterable[Topic]) -> Iterator[tuple[str, AvroSchema | str]]:
    """Yield subject and schema of key and value of those topics that have a record."""
    for topic in topics:
        if record_of(topic) is not None:
            yield f"{topic.name}-key", KEY_SCHEMA
            yield f"{topic.name}-value", value_schema(topic)


def _avro(schema_id: int, found: Schema) -> AvroSchema:
    hint = "the producer must write avro of the topic's contract; see psastream docs topics"
    if found.schema_type != "AVRO":
        raise SchemaMismatchError(f"schema {schema_id} is {found.schema_type}, not AVRO", hint=hint)
    if found.references:
        raise SchemaMismatchError(f"schema {schema_id} refers to other schemas", hint=hint)
    try:
        return load_schema(found.schema_str or "")
    except ConfigError as error:  # the record's fault, not this process's
        raise SchemaMismatchError(f"schema {schema_id} is {error.detail}", hint=hint) from error
