"""The sandbox's registry, and what our client makes of the answers of any registry."""

from __future__ import annotations

import asyncio
import copy
import decimal
import io
import json
import random
from typing import Any, Final
from urllib.parse import quote

import fastavro
import httpx2

from runtime.registry import Registry
from sandbox.registry.api import create_app
from sandbox.registry.compatibility import CompatibilityLevel
from sandbox.registry.errors import RequestRefusedError
from sandbox.registry.service import Registry as SandboxRegistry
from schemas.codec.record import FASTAVRO_ERRORS, AvroSchema, load_schema
from schemas.contracts import value_schema
from tests.fuzz import values
from tests.fuzz.case import Case, Kind
from tests.fuzz.codec import any_type, record_type
from tests.support.catalogue import WITH_RECORDS
from tests.unit.sandbox.test_registry_service import MemoryLog


def run_versions(case: Case) -> None:
    """Versions of a schema: what the registry lets in, fastavro reads with every later one."""
    chance = case.chance
    while case.counted < case.size:
        registry = SandboxRegistry(
            MemoryLog(), default_level=CompatibilityLevel.BACKWARD_TRANSITIVE
        )
        registry.load()
        kept: list[AvroSchema] = []
        definition = record_type(chance, "R", 1) | {"namespace": "psa"}
        for _ in range(min(8, case.size - case.counted)):
            case.step()
            with case.guarded(lambda d=definition: json.dumps(d)):
                try:
                    registry.register("s", json.dumps(definition))
                except RequestRefusedError:
                    pass
                else:
                    kept.append(load_schema(definition))
            if kept:
                definition = _next_version(chance, kept[-1].text)
        _read_all(case, kept)


def _next_version(chance: random.Random, text: str) -> Any:
    made = json.loads(text)
    fields = made["fields"]
    for _ in range(chance.randrange(1, 3)):
        match chance.randrange(6):
            case 0 if len(fields) > 1:
                del fields[chance.randrange(len(fields))]
            case 1:
                avro = any_type(chance, f"N{chance.randrange(10**6)}", 1)
                fields.append({"name": f"n{chance.randrange(9)}", "type": avro})
            case 2:
                plain = chance.choice(["long", "double", "string", "bytes", "int", "float"])
                name = f"n{chance.randrange(9)}"
                fields.append({"name": name, "type": ["null", plain], "default": None})
            case 3 if fields:
                field = chance.choice(fields)
                field["type"] = chance.choice(["long", "double", "string", "bytes", "boolean"])
            case 4 if fields:
                field = chance.choice(fields)
                field["aliases"], field["name"] = [field["name"]], f"r{chance.randrange(9)}"
            case _:
                made["fields"] = values.spoiled(chance, fields)
        if not _is_fields(made["fields"]):
            break
        fields = made["fields"]
    return made


def _is_fields(fields: Any) -> bool:
    return isinstance(fields, list) and all(
        isinstance(field, dict) and field.get("name") for field in fields
    )


def _read_all(case: Case, kept: list[AvroSchema]) -> None:
    for at, writer in enumerate(kept[:-1]):
        make = values.maker(values.inlined(writer.parsed))
        out = io.BytesIO()
        with decimal.localcontext(prec=60):
            try:
                fastavro.schemaless_writer(out, writer.parsed, make(case.chance))
            except FASTAVRO_ERRORS:  # a default fills what no value was made for
                continue
            for reader in kept[at + 1 :]:
                source = io.BytesIO(out.getvalue())
                try:
                    fastavro.schemaless_reader(source, writer.parsed, reader.parsed)
                except (
                    UnicodeDecodeError
                ):  # bytes that are no text: allowed, and nobody can read it
                    continue
                except (fastavro.read.SchemaResolutionError, *FASTAVRO_ERRORS) as error:
                    detail = f"{writer.text}\n{reader.text}\n{out.getvalue().hex()}\n{error!r}"
                    case.found(Kind.DISAGREEMENT, detail, signature=f"{type(error).__name__}")
                    return


_PATHS: Final = ["/", "/subjects", "/subjects/{s}", "/subjects/{s}/versions", "/schemas/types",
                 "/subjects/{s}/versions/{v}", "/subjects/{s}/versions/{v}/schema",
                 "/schemas/ids/{v}", "/schemas/ids/{v}/schema", "/schemas/ids/{v}/versions",
                 "/config", "/config/{s}", "/compatibility/subjects/{s}/versions/{v}",
                 "/compatibility/subjects/{s}/versions", "/mode"]  # fmt: skip
_NUMBERS: Final = ["latest", "1", "2", "0", "-1", "x", "²", "9" * 30, "9" * 5000, "1.0", ""]


def run_requests(case: Case) -> None:
    """Requests of any kind to the sandbox's registry: none ends in an error of its own."""
    asyncio.run(_ask(case))


async def _ask(case: Case) -> None:
    chance = case.chance
    registry = SandboxRegistry(MemoryLog(), default_level=CompatibilityLevel.BACKWARD)
    registry.load()
    transport = httpx2.ASGITransport(app=create_app(registry))
    async with httpx2.AsyncClient(transport=transport, base_url="http://registry") as client:
        for _ in range(case.size):
            case.step()
            path = chance.choice(_PATHS).format(
                s=quote(values.text(chance)[:50], safe=""), v=quote(chance.choice(_NUMBERS))
            )
            method = chance.choice(["GET", "GET", "POST", "POST", "PUT", "DELETE", "PATCH"])
            content = _request_body(chance)
            with case.guarded(lambda m=method, p=path, c=content: f"{m} {p} {c!r:.800}"):
                answer = await client.request(method, path, content=content)
                case.expect(
                    answer.status_code < 500,
                    Kind.CRASH,
                    lambda a=answer, m=method, p=path: f"{m} {p}: {a.status_code} {a.text[:300]}",
                    f"registry answers {answer.status_code}",
                )


def _request_body(chance: random.Random) -> bytes:
    choice = chance.random()
    if choice < 0.1:
        return chance.randbytes(chance.randrange(20))
    schema = json.dumps(record_type(chance, "R", 1))
    if choice < 0.2:
        schema = chance.choice(["", "int", '"int"', "[]", "{}", "[" * 5000, '["null", "null"]'])
    body: Any = {"schema": schema}
    if choice > 0.7:
        body = {"compatibility": chance.choice(["FULL", "none", "", "X", 1, None])}
    if choice > 0.5:
        body = values.spoiled(chance, body)
    return json.dumps(body).encode()


def run_client(case: Case) -> None:
    """Answers of any shape to our registry client: a schema, an id, or an error of the tree."""
    chance = case.chance
    shown: list[str] = []
    headers = {"Content-Type": "application/json"}

    def answer(_: httpx2.Request) -> httpx2.Response:
        schema = load_schema(record_type(chance, "R", 1)).text
        sound = {"id": 7, "schema": schema, "subject": "s", "version": 1, "schemaType": "AVRO"}
        body: Any = copy.deepcopy(sound)
        choice = chance.random()
        if choice < 0.6:
            body = values.spoiled(chance, body)
        elif choice < 0.7:
            kinds = ["PROTOBUF", "JSON", "", None, 7]
            body |= {"schemaType": chance.choice(kinds), "references": [{"name": "x"}]}
        elif choice < 0.8:
            body["schema"] = chance.choice(["", "int", "{}", "[" * 5000, "\x00", '"int"'])
        status = (
            200 if chance.random() < 0.7 else chance.choice([201, 204, 302, 404, 409, 422, 500])
        )
        content = json.dumps(body).encode()
        if chance.random() < 0.1:
            content = chance.choice([b"", b"<html>", b"\xff", content[:20], b"[" * 5000])
        shown[:] = [f"{status} {content!r:.800}"]
        return httpx2.Response(status, content=content, headers=headers)

    http = httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://registry")
    schema = load_schema({"type": "record", "name": "R", "fields": []})
    registry = Registry("http://registry")  # making one takes longer than asking it
    registry._client._rest_client.session = http
    for _ in range(case.size):
        case.step()
        subject = f"s{chance.getrandbits(60)}"
        with case.guarded(lambda: f"answered {shown}"):
            match chance.randrange(3):
                case 0:
                    assert isinstance(registry.schema(chance.randrange(2**32)), AvroSchema)
                case 1:
                    topic = chance.choice(WITH_RECORDS)
                    registry._ids.clear()
                    registry._client.clear_caches()
                    assert isinstance(
                        registry.subject_id(topic.name, value_schema(topic).text), int
                    )
                case _:
                    assert isinstance(registry.register(subject, schema), int)
