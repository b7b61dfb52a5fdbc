"""Schemas of a registry that are none a record of ours may have been written with."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from runtime.registry import Registry
from schemas.codec.columnar import ChunkReader
from schemas.codec.framing import frame
from schemas.contracts import value_schema
from schemas.errors import ConfigError, DecodeError, RegistryUnavailableError, SchemaMismatchError
from schemas.keys import KEY_SCHEMA
from tests.support.catalogue import WITH_RECORDS

AVRO = {"type": "record", "name": "R", "fields": [{"name": "n", "type": "int"}]}
ANSWERS: dict[str, dict[str, Any]] = {
    "/schemas/ids/1": {"schema": json.dumps(AVRO)},
    "/schemas/ids/2": {"schemaType": "PROTOBUF", "schema": 'syntax = "proto3"; message R {}'},
    "/schemas/ids/3": {"schemaType": "JSON", "schema": '{"type": "object"}'},
    "/schemas/ids/4": {
        "schema": json.dumps(AVRO | {"fields": [{"name": "o", "type": "psa.Other"}]}),
        "references": [{"name": "psa.Other", "subject": "other", "version": 1}],
    },
    "/schemas/ids/5": {"schema": "not json"},
    "/schemas/ids/6": {"schema": '"string"'},
    "/schemas/ids/7": {"schema": '{"type": "record", "fields": []}'},
}

UNREADABLE = (
    b"", b"<html>maintenance</html>", b"\xff", b"null", b"[]", b'"x"', b"7", b"{}", b"[" * 5_000,
    b'{"schema": 7}', b'{"schema": {"type": "record"}}', b'{"schema": null, "id": "7"}',
    b'{"schema": null, "id": true}', b'{"schema": null, "id": -1}',
    b'{"schema": [], "id": 4294967296}',
)  # fmt: skip
OURS = WITH_RECORDS[: len(UNREADABLE)]
RAW = {f"/schemas/ids/{100 + number}": body for number, body in enumerate(UNREADABLE)} | {
    f"/subjects/{topic.name}-value": body for topic, body in zip(OURS, UNREADABLE, strict=True)
}
NOT_THE_REGISTRYS = (
    b"", b"<html>default backend - 404</html>", b"null", b"[]", b'{"message": "no route"}',
    b'{"error_code": 404, "message": "HTTP 404 Not Found"}', b'{"error_code": "40403"}',
)  # fmt: skip
ABSENT = {f"/schemas/ids/{200 + number}": body for number, body in enumerate(NOT_THE_REGISTRYS)} | {
    f"/subjects/{topic.name}-key": body
    for topic, body in zip(WITH_RECORDS, NOT_THE_REGISTRYS, strict=False)
}
UNKNOWN = b'{"error_code": 40403, "message": "Schema not found"}'
VERSIONED = WITH_RECORDS[-1]
REGISTERED = {
    value_schema(VERSIONED).text: 3,
    json.dumps(AVRO): 9,  # of another version, and the latest
}


class _Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        body, status = RAW.get(path), 200
        if body is None and path in ANSWERS:
            body = json.dumps(ANSWERS[path]).encode()
        if body is None:
            body, status = ABSENT.get(path, UNKNOWN), 404
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.partition("?")[0]
        body, status = RAW.get(path), 200
        if path in ABSENT:
            body, status = ABSENT[path], 404
        if body is None:
            schema_id = REGISTERED.get(asked["schema"])
            status = 404 if schema_id is None else 200
            answer = {"subject": path, "version": 1, "id": schema_id, **asked}
            body = json.dumps(answer if schema_id else {"error_code": 40403}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    server = HTTPServer(("127.0.0.1", 0), _Answering)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Registry(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.fault("B6", place="runtime/registry.py")
@pytest.mark.parametrize("schema_id", range(2, 8))
def test_b6_a_record_of_a_schema_that_is_not_ours_is_an_error_of_that_record(
    registry: Registry, schema_id: int
) -> None:
    values = [frame(1, b"\x0e"), frame(schema_id, b"\x0e"), frame(1, b"\x10")]
    chunk = ChunkReader(registry.schema).decode(values)
    assert [index for index, _ in chunk.errors] == [1]
    assert isinstance(chunk.errors[0][1], SchemaMismatchError)
    assert chunk.frame.to_dicts() == [{"n": 7}, {"n": 8}]


@pytest.mark.fault("B6", place="runtime/registry.py")
def test_b6_an_answer_of_a_proxy_is_no_answer_of_the_registry(registry: Registry) -> None:
    for number, _ in enumerate(UNREADABLE):
        with pytest.raises(RegistryUnavailableError):
            registry.schema(100 + number)
        with pytest.raises(RegistryUnavailableError):
            registry.subject_id(f"{OURS[number].name}-value", value_schema(OURS[number]).text)


@pytest.mark.fault("B6", place="runtime/registry.py")
@pytest.mark.parametrize("number", range(len(NOT_THE_REGISTRYS)))
def test_b6_not_found_by_a_proxy_is_not_unknown_to_the_registry(
    registry: Registry, number: int
) -> None:
    """Else each record met while the registry is away becomes a dead letter."""
    with pytest.raises(RegistryUnavailableError):
        registry.schema(200 + number)
    with pytest.raises(RegistryUnavailableError):
        registry.subject_id(f"{WITH_RECORDS[number].name}-key", KEY_SCHEMA)


def test_a_schema_the_registry_does_not_know_is_the_records_error(registry: Registry) -> None:
    with pytest.raises(DecodeError, match="unknown schema id"):
        registry.schema(404)


def test_what_is_written_bears_the_id_of_the_schema_it_was_written_with(registry: Registry) -> None:
    """Versions change places while a worker runs: the latest schema is not its own."""
    assert registry.subject_id(f"{VERSIONED.name}-value", value_schema(VERSIONED).text) == 3


def test_a_version_that_is_not_registered_writes_nothing(registry: Registry) -> None:
    """Neither under the id of another version: nobody could read it."""
    with pytest.raises(ConfigError, match="is not registered"):
        registry.subject_id(f"{VERSIONED.name}-key", KEY_SCHEMA)
