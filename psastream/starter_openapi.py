"""A folder to begin with, from an OpenAPI document: lists, columns, paging, authentication.

What a document says is taken as it is (OpenAPI 3.0 and 3.1, https://spec.openapis.org/oas); what it
does not say, such as which parameter asks for changes, is taken from names that are in common use,
and each such guess is told. Nothing is made of the rows yet: what they mean no document tells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from psastream.starter import PERSONAL, write_files
from schemas.errors import ConfigError

SIZE_MAX: Final = 50_000_000
_DEPTH_MAX: Final = 20
_SYSTEM: Final = re.compile(r"[a-z][a-z0-9_]*")
_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYS: Final = ("id", "uuid", "guid", "key")
_STAMP: Final = re.compile(
    r"(updated|modified|changed|last_?updated|last_?modified|lastmodifieddate|modification)"
    r"_?(at|on|date|time|datetime|timestamp)?_?(utc)?|systemmodstamp",
    re.IGNORECASE,
)
_CREATED: Final = re.compile(r"created?_?(at|on|date|time|datetime|timestamp)?", re.IGNORECASE)
_SINCE: Final = re.compile(
    r"((updated|modified|changed|last_?updated|last_?modified)_?(at|on|date|time)?_?"
    r"(since|after|from|gte|min)|(modified|updated|changed)|since|if_modified_since)",
    re.IGNORECASE,
)
_LIMITS: Final = ("per_page", "page_size", "pagesize", "limit", "perpage", "count", "max_results")
_PAGES: Final = ("page", "page_number", "pagenumber")
_OFFSETS: Final = ("offset", "start", "skip")
_CURSORS: Final = ("cursor", "after", "page_token", "pagetoken", "starting_after", "next_token")
_NEXT: Final = re.compile(
    r"(next|after|cursor|token)([._]?(cursor|page|page_?token|token|after))?", re.IGNORECASE
)
_LINK: Final = re.compile(r"(next|next_?(link|url|page_?url|uri))", re.IGNORECASE)

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ApiStarter:
    """The files of a folder by their paths in it, and what is guessed or could not be said."""

    files: dict[str, str]
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _List:
    """A path whose answer is a list of rows. `selector`: the path to them; none, it is the list."""

    path: str
    name: str
    selector: str
    row: Schema
    answer: Schema
    queries: Mapping[str, Schema]


def is_document(source: str) -> bool:
    """Whether the source of a system is the file of a document, and no address of a database."""
    return "://" not in source and source.endswith((".json", ".yaml", ".yml"))


def read_document(file: Path) -> dict[str, Any]:
    """Return an OpenAPI document of JSON or YAML. Raises ConfigError where it is none."""
    try:
        if file.stat().st_size > SIZE_MAX:
            raise ConfigError(
                f"{file} is larger than {SIZE_MAX:,} bytes", hint="is it the document?"
            )
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}", hint="name a file") from error
    try:
        document = json.loads(text) if text.lstrip()[:1] == "{" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(
            f"{file} is neither JSON nor YAML: {error}", hint="save it anew"
        ) from error
    version = document.get("openapi") if isinstance(document, dict) else None
    if not isinstance(version, str) or not version.startswith("3."):
        told = "of Swagger 2" if isinstance(document, dict) and "swagger" in document else "no such"
        raise ConfigError(
            f"{file} is {told} document: openapi: 3.x is read",
            hint="converters to OpenAPI 3 exist for Swagger 2",
        )
    return dict(document)


def starter_of_api(system: str, document: Schema) -> ApiStarter:
    """Return what to begin with for the lists of an API. Raises ConfigError where it has none."""
    if not _SYSTEM.fullmatch(system):
        raise ConfigError(
            f"{system} cannot be the name of a system",
            hint="lower-case letters, digits and underscores: --system",
        )
    warnings: list[str] = []
    resolve = _Resolver(document)
    mapped: dict[str, Any] = {}
    asked: dict[str, Any] = {}
    contracts: dict[str, str] = {}
    auth = _auth(document, resolve, warnings)
    for each in _lists(document, resolve, warnings):
        made = _object(each, resolve, warnings)
        if made is None:
            continue
        mapped[each.name], asked[each.name], fields = made
        contract = {
            "type": "record",
            "name": _record_name(each.name),
            "namespace": f"psa.source.{system}",
            "doc": _one_line(each.row.get("description")) or f"A row of {each.path}.",
            "fields": fields,
        }
        contracts[f"avro/{each.name}.avsc"] = json.dumps(contract, indent=2) + "\n"
    if not mapped:
        raise ConfigError(
            "the document has no list of rows with a key that a path without parameters answers",
            hint="; ".join(warnings[:5]) or "it declares no answers of JSON",
        )
    mapping = {"system": system, "vendor": "rest", "capture": "polled", "objects": mapped}
    files = {
        "mapping.yaml": _dump(mapping),
        "rest.yaml": _dump({"auth": auth.declared, "objects": asked}),
        "source.json": json.dumps(_connector(system, document, auth, asked, warnings), indent=2)
        + "\n",
        **contracts,
    }
    return ApiStarter(files, warnings)


def write_api_starter(starter: ApiStarter, folder: Path) -> list[Path]:
    """Write the files of a system; return them. Raises ConfigError where one is there already."""
    return write_files(starter.files, folder)


class _Resolver:
    """Follows references inside the document, and joins what `allOf` lists."""

    def __init__(self, document: Schema) -> None:
        self._document = document

    def __call__(self, value: object, depth: int = 0) -> Schema:
        """Return a schema without reference at its top; an empty one where it leads nowhere."""
        if not isinstance(value, dict) or depth > _DEPTH_MAX:
            return {}
        if isinstance(reference := value.get("$ref"), str):
            return self(self._at(reference), depth + 1)
        if parts := value.get("allOf"):
            return self._joined(value, parts, depth)
        for word in ("oneOf", "anyOf"):
            others = [
                one for one in value.get(word) or () if self(one, depth + 1).get("type") != "null"
            ]
            if len(others) == 1:  # the nullable form of 3.1
                return self(others[0], depth + 1)
        return value

    def _joined(self, value: Schema, parts: object, depth: int) -> Schema:
        properties: dict[str, Any] = {}
        required: list[Any] = []
        rest: dict[str, Any] = {}
        for part in [*(parts if isinstance(parts, list) else []), {**value, "allOf": None}]:
            known = self(part, depth + 1)
            properties |= known.get("properties") or {}
            required += known.get("required") or []
            rest |= {name: it for name, it in known.items() if it is not None}
        return {**rest, "properties": properties, "required": required}

    def _at(self, reference: str) -> object:
        found: Any = self._document
        if not reference.startswith("#/"):
            return None  # of another document
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        return found


def _lists(document: Schema, resolve: _Resolver, warnings: list[str]) -> Iterator[_List]:
    """Yield the lists, one a name: the shortest path of those that show the same rows."""
    taken: dict[str, str] = {}
    paths = document.get("paths")
    for path in sorted(paths if isinstance(paths, dict) else (), key=lambda it: (len(str(it)), it)):
        item = resolve(paths[path]) if isinstance(paths, dict) else {}
        operation = resolve(item.get("get"))
        found = _rows_of(resolve(_answer(operation, resolve)), resolve)
        if found is None:
            continue
        selector, row, answer = found
        queries, needed = _queries(
            [*_sequence(item, "parameters"), *_sequence(operation, "parameters")], resolve
        )
        if "{" in str(path):
            warnings.append(
                f"{path} is left out: its rows are below others; see parent in rest.yaml"
            )
            continue
        if needed:
            warnings.append(f"{path} is left out: it must be asked with {', '.join(needed)}")
            continue
        name = _object_name(str(path))
        if not name:
            warnings.append(f"{path} is left out: no object can have a name of it")
        elif name in taken:
            warnings.append(f"{path} is left out: {name} is read from {taken[name]}")
        else:
            taken[name] = str(path)
            yield _List(str(path), name, selector, row, answer, queries)


def _answer(operation: Schema, resolve: _Resolver) -> object:
    answers = operation.get("responses")
    for status in ("200", 200, "2XX", "default"):
        content = resolve((answers or {}).get(status) if isinstance(answers, dict) else None).get(
            "content"
        )
        for kind, media in content.items() if isinstance(content, dict) else ():
            if "json" in str(kind) or kind == "*/*":
                return resolve(media).get("schema")
    return None


def _rows_of(answer: Schema, resolve: _Resolver) -> tuple[str, Schema, Schema] | None:
    """Return the path to the rows of an answer, the schema of a row and that of the answer."""
    if _is(answer, "array"):
        row = resolve(answer.get("items"))
        return ("", row, {}) if row.get("properties") else None
    found = []
    for path, value in _nested(answer, resolve):
        if _is(value, "array") and (row := resolve(value.get("items"))).get("properties"):
            found.append((path, row))
    return (*found[0], answer) if len(found) == 1 else None


def _nested(
    schema: Schema, resolve: _Resolver, above: str = "", depth: int = 0
) -> Iterator[tuple[str, Schema]]:
    """Yield paths and schemas of what an answer holds, two levels deep."""
    for name, each in _properties(schema).items():
        value = resolve(each)
        if _FIELD.fullmatch(name):
            yield f"{above}{name}", value
            if depth == 0 and not _is(value, "array"):
                yield from _nested(value, resolve, f"{above}{name}.", 1)


def _queries(
    parameters: Sequence[object], resolve: _Resolver
) -> tuple[dict[str, Schema], list[str]]:
    """Return the parameters of a query by name, and those without which nothing is answered."""
    found: dict[str, Schema] = {}
    needed = []
    for each in map(resolve, parameters):
        name = each.get("name")
        if each.get("in") == "query" and isinstance(name, str):
            found[name] = resolve(each.get("schema"))
            if each.get("required") is True and name.lower() not in (*_LIMITS, *_PAGES, *_OFFSETS):
                needed.append(name)
    return found, needed


def _object(
    each: _List, resolve: _Resolver, warnings: list[str]
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]] | None:
    """Return an object as mapping.yaml, rest.yaml and its contract declare it."""
    properties = {name: resolve(value) for name, value in _properties(each.row).items()}
    key = _key(each.name, properties)
    if key is None:
        warnings.append(f"{each.path} is left out: no field of its rows looks like a key")
        return None
    fields: list[dict[str, Any]] = []
    paths: dict[str, str] = {}
    unused, optional = [], []
    required = each.row.get("required")
    named = set(required) if isinstance(required, list) else set()
    for name, value in properties.items():
        avro = _avro(value) if _FIELD.fullmatch(name) else None
        if avro is not None:
            made = [_field(name, avro, _one_line(value.get("description")) or f"{name}.")]
        else:
            inner = _inner(name, value, resolve, properties)
            paths |= inner
            made = [_field(it, _type_at(value, resolve, path), path) for it, path in inner.items()]
        if not made:
            unused.append(name)
        elif named and name not in named and name != key:
            optional += [it["name"] for it in made]
        fields += made
    asked: dict[str, Any] = {"path": each.path}
    if each.selector:
        asked["data_selector"] = each.selector
    asked |= _changes(each, properties, warnings)
    asked["paginator"] = _paginator(each, resolve, warnings)
    asked |= {
        word: it
        for word, it in (("columns", paths), ("optional", optional), ("unused", unused))
        if it
    }
    mapped: dict[str, Any] = {"kind": each.name, "key": key}
    if personal := [it["name"] for it in fields if PERSONAL.search(it["name"].lower())]:
        mapped["personal_data"] = personal
    return mapped, asked, fields


def _inner(
    name: str, value: Schema, resolve: _Resolver, properties: Mapping[str, Schema]
) -> dict[str, str]:
    """Return columns for the key and the name of an object in a row, by their paths."""
    known = {inner: resolve(it) for inner, it in _properties(value).items()}
    found = {}
    for word, inner in (("id", _key(_words(name), known)), ("name", "name")):
        column = f"{name}_{word}"
        is_new = _FIELD.fullmatch(column) and column not in properties
        if inner in known and is_new and _avro(known[inner]) is not None:
            found[column] = f"{name}.{inner}"
    return found


def _type_at(value: Schema, resolve: _Resolver, path: str) -> Any:
    return _avro(resolve(_properties(value).get(path.partition(".")[2])))


def _key(name: str, properties: Mapping[str, Schema]) -> str | None:
    singular = _singular(name)
    wanted = [*_KEYS, f"{singular}_id", f"{singular.replace('_', '')}id", f"{name}_id"]
    by_name = {each.lower(): each for each in properties if _FIELD.fullmatch(each)}
    for each in wanted:
        found = by_name.get(each)
        if found is not None and _avro(properties[found]) in ("long", "string"):
            return found
    return None


def _changes(each: _List, properties: Mapping[str, Schema], warnings: list[str]) -> dict[str, Any]:
    """Return how changes are asked for: by names in common use, or not at all."""
    texts = [name for name, value in properties.items() if _avro(value) == "string"]
    stamps = [name for name in texts if _STAMP.fullmatch(name)]
    created = [name for name in texts if _CREATED.fullmatch(name)]
    asks = [name for name in each.queries if _SINCE.fullmatch(name)]
    if not stamps or not asks:
        what = (
            "no field tells when a row changed" if not stamps else "no parameter asks for changes"
        )
        warnings.append(f"{each.name}: {what}, so every poll reads all rows")
        return {}
    warnings.append(
        f"{each.name}: {asks[0]} is taken to ask for rows by {stamps[0]}: does it, and inclusively?"
    )
    return {
        "params": {asks[0]: "{since}"},
        "incremental": {"cursor_columns": [stamps[0], *created[:1]]},
    }


def _paginator(each: _List, resolve: _Resolver, warnings: list[str]) -> dict[str, Any]:
    by_name = {name.lower(): name for name in each.queries}

    def named(words: Sequence[str]) -> str | None:
        return next((by_name[word] for word in words if word in by_name), None)

    limit = named(_LIMITS)
    page = {"limit_param": limit} if limit else {}
    tells = {
        path: value
        for path, value in _nested(each.answer, resolve)
        if not _is(value, "object") and not _is(value, "array") and path != each.selector
    }
    if (cursor := named(_CURSORS)) and (path := _first(_NEXT, tells)):
        return {"type": "cursor", "cursor_path": path, "cursor_param": cursor, **page}
    if path := _first(_LINK, tells):
        return {"type": "json_link", "next_url_path": path, **page}
    if number := named(_PAGES):
        return {"type": "page_number", "page_param": number, **page}
    if offset := named(_OFFSETS):
        return {
            "type": "offset",
            "offset_param": offset,
            **({"limit_param": limit} if limit else {"limit_param": None}),
        }
    warnings.append(f"{each.name}: nothing tells of pages; the whole list is taken for one")
    return {"type": "single_page"}


def _first(words: re.Pattern[str], paths: Mapping[str, Schema]) -> str | None:
    last = {path: path.rpartition(".")[2] for path in paths}
    return next(
        (path for path in paths if words.fullmatch(path) or words.fullmatch(last[path])), None
    )


@dataclass(frozen=True, slots=True)
class _Auth:
    declared: dict[str, Any]
    keys: tuple[str, ...]


def _auth(document: Schema, resolve: _Resolver, warnings: list[str]) -> _Auth:
    """Return the first way to sign in that is known, by the order of the document."""
    schemes = resolve(document.get("components")).get("securitySchemes")
    for each in map(resolve, schemes.values() if isinstance(schemes, dict) else ()):
        found = _scheme(each, resolve)
        if found is not None:
            return found
    warnings.append("the document tells no way to sign in that is known; a bearer token is assumed")
    return _Auth({"type": "bearer"}, ("token",))


def _scheme(scheme: Schema, resolve: _Resolver) -> _Auth | None:
    kind = scheme.get("type")
    if kind == "http" and str(scheme.get("scheme")).lower() == "bearer":
        return _Auth({"type": "bearer"}, ("token",))
    if kind == "http" and str(scheme.get("scheme")).lower() == "basic":
        return _Auth({"type": "http_basic"}, ("username", "password"))
    name, place = scheme.get("name"), scheme.get("in")
    if kind == "apiKey" and place in ("header", "query") and isinstance(name, str) and name:
        declared = {"type": "api_key", "name": name, "location": place}
        return _Auth(declared, ("token",))
    flows = resolve(scheme.get("flows"))
    for flow, type_name, keys in (
        ("clientCredentials", "oauth2_client_credentials", ("client.id", "client.secret")),
        (
            "authorizationCode",
            "oauth2_refresh_token",
            ("client.id", "client.secret", "refresh.token"),
        ),
    ):
        url = resolve(flows.get(flow)).get("tokenUrl")
        if kind == "oauth2" and isinstance(url, str) and re.match(r"https://[^\s/?#@]+/|/", url):
            return _Auth({"type": type_name, "token_url": url}, keys)
    return None


def _connector(
    system: str, document: Schema, auth: _Auth, objects: Mapping[str, Any], warnings: list[str]
) -> dict[str, Any]:
    """A connector file; where the API is and its credentials come from the environment."""
    prefix = system.upper()
    servers = _sequence(document, "servers")
    url = servers[0].get("url") if servers and isinstance(servers[0], dict) else None
    if not isinstance(url, str) or not re.fullmatch(r"https?://[^\s{}]+", url):
        warnings.append(f"the document names no single address; {prefix}_URL sets it")
        url = f"${{env:{prefix}_URL}}"
    return {
        "name": system.replace("_", "-"),
        "connector.class": "connectors.rest.source.RestSource",
        "topic.prefix": f"src.{system}",
        "object.include.list": ",".join(objects),
        "url": url.rstrip("/"),
        **{
            f"auth.{key}": f"${{env:{prefix}_{key.upper().replace('.', '_')}}}" for key in auth.keys
        },
        "poll.interval.ms": 60_000,
        "overlap.ms": 600_000,
        "sweep.interval.ms": 86_400_000,
        "max.delete.ratio": 0.2,
        "max.delete.rows": 10,
        "page.size": 100,
        "requests.per.second": 1,
    }


def _avro(value: Schema) -> Any:
    """Return the Avro type of a plain value; None of what has parts, or no type."""
    types = value.get("type")
    named = [each for each in types if each != "null"] if isinstance(types, list) else [types]
    match named:
        case ["integer"]:
            return "long"
        case ["number"]:
            return {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9}
        case ["boolean"]:
            return "boolean"
        case ["string"] if value.get("format") == "date":
            return {"type": "int", "logicalType": "date"}
        case ["string"]:
            return "string"
    return None


def _field(name: str, avro: Any, doc: str) -> dict[str, Any]:
    return {"name": name, "type": ["null", avro], "default": None, "doc": doc}


def _is(schema: Schema, name: str) -> bool:
    types = schema.get("type")
    return types == name or (isinstance(types, list) and name in types)


def _properties(schema: Schema) -> dict[str, Any]:
    found = schema.get("properties")
    return (
        {name: it for name, it in found.items() if isinstance(name, str)}
        if isinstance(found, dict)
        else {}
    )


def _sequence(of: Schema, name: str) -> list[Any]:
    found = of.get(name)
    return found if isinstance(found, list) else []


def _object_name(path: str) -> str:
    """The last word of a path, in the singular: /v2/time-entries.json → time_entry."""
    last = path.rstrip("/").rpartition("/")[2].partition(".")[0]
    name = _words(last)
    return _singular(name) if re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) else ""


def _words(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


def _singular(name: str) -> str:
    for ending, singular in (
        ("ies", "y"),
        ("sses", "ss"),
        ("xes", "x"),
        ("ss", "ss"),
        ("us", "us"),
        ("s", ""),
    ):
        if name.endswith(ending) and len(name) > len(ending) + 1:
            return name.removesuffix(ending) + singular
    return name


def _record_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _one_line(text: object) -> str:
    return " ".join(text.split())[:200] if isinstance(text, str) else ""


def _dump(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, default_flow_style=False, allow_unicode=True)
