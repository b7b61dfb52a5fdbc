"""Single records of an org: made, shown, changed and deleted by id, and upserted by external id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Generic

from starlette.requests import Request
from starlette.responses import Response

from sandbox.vendors import wire
from sandbox.vendors.salesforce.errors import SalesforceError, standard_error
from sandbox.vendors.salesforce.org import (
    COMMON,
    NAME_MAX,
    FieldType,
    OrgBooks,
    Row,
    present,
    typed,
)
from sandbox.vendors.salesforce.settings import OrgSettings
from sandbox.vendors.site import Site, UnknownRowError
from sandbox.vendors.wire import ExactJSONResponse

_TEXT_FORMS: Final = {
    FieldType.BOOLEAN: bool,
    FieldType.STRING: str,
    FieldType.ID: str,
    FieldType.DATE: str,
    FieldType.DATETIME: str,
}
"""What JSON must hold for a field; of numbers, texts will do."""

Handler = Callable[[Request], Awaitable[Response]]


class RecordsApi(Generic[OrgSettings]):
    """Handlers below `/sobjects/{object}`."""

    def __init__(self, site: Site[OrgSettings], books: OrgBooks) -> None:
        self._site = site
        self._books = books

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """Method, path below the object, and handler."""
        by_id, by_external_id = "/{id}", "/{field}/{value}"
        return (
            ("POST", "", self._create),
            ("GET", by_id, self._show),
            ("PATCH", by_id, self._update),
            ("DELETE", by_id, self._delete),
            ("GET", by_external_id, self._show_by_external_id),
            ("PATCH", by_external_id, self._upsert),
        )

    async def _create(self, request: Request) -> Response:
        return self._made(request, await _body(request))

    async def _show(self, request: Request) -> Response:
        return self._shown(request, self._named(request))

    async def _update(self, request: Request) -> Response:
        row = self._named(request)
        self._change(request, row, await _body(request))
        return Response(status_code=204)

    async def _delete(self, request: Request) -> Response:
        row = self._named(request)
        name = self._object(request, writes=True)
        self._require_unlocked(row)
        self._books.delete(name, str(row["Id"]))
        self._site.record_effect("delete", name, self._name_of(name, row))
        return Response(status_code=204)

    async def _show_by_external_id(self, request: Request) -> Response:
        found = self._found(request)
        if not found:
            raise standard_error(404)
        return self._several(request, found) or self._shown(request, found[0])

    async def _upsert(self, request: Request) -> Response:
        body = await _body(request)
        field, value = request.path_params["field"], request.path_params["value"]
        found = self._found(request)
        for named in ("Id", field):
            if named in body:
                told = f"The {named} field should not be specified in the sobject data."
                raise SalesforceError(400, "INVALID_FIELD", told)
        if several := self._several(request, found):
            return several
        if not found:
            return self._made(request, {**body, field: value})
        self._change(request, found[0], body)
        return ExactJSONResponse(_saved(found[0]["Id"], created=False))

    def _made(self, request: Request, body: Mapping[str, Any]) -> Response:
        name = self._object(request, writes=True)
        values = self._checked(name, body)
        required = self._books.schema.required.get(name, ())
        if missing := [each for each in required if values.get(each) in (None, "")]:
            told = f"Required fields are missing: [{', '.join(missing)}]"
            raise SalesforceError(400, "REQUIRED_FIELD_MISSING", told, *missing)
        self._require_unique(name, values)
        row = self._books.create(name, body)
        self._site.record_effect("create", name, self._name_of(name, row), body)
        return ExactJSONResponse(_saved(row["Id"], created=True), status_code=201)

    def _change(self, request: Request, row: Row, body: Mapping[str, Any]) -> None:
        name = self._object(request, writes=True)
        values = self._checked(name, body)
        required = self._books.schema.required.get(name, ())
        if empty := [each for each in required if each in values and values[each] in (None, "")]:
            told = f"Required fields are missing: [{', '.join(empty)}]"
            raise SalesforceError(400, "REQUIRED_FIELD_MISSING", told, *empty)
        self._require_unlocked(row)
        self._require_unique(name, values, row)
        self._books.update(name, str(row["Id"]), body)
        self._site.record_effect("update", name, self._name_of(name, row), body)

    def _named(self, request: Request) -> Row:
        """The row of the id in the path, which may have 15 characters."""
        name, row_id = self._object(request), request.path_params["id"]
        try:
            found = next(
                (row for row in self._books.table(name) if str(row["Id"])[:15] == row_id), None
            )
            row = found or self._books.row(name, row_id)
        except UnknownRowError as error:
            raise standard_error(404) from error
        if row["IsDeleted"]:
            raise SalesforceError(404, "ENTITY_IS_DELETED", "entity is deleted")
        return row

    def _found(self, request: Request) -> list[Row]:
        name, field = self._object(request), request.path_params["field"]
        if field not in self._books.schema.external_ids.get(name, ()) or self._is_hidden(
            name, field
        ):
            told = f"Provided external ID field does not exist or is not accessible: {field}"
            raise SalesforceError(404, "NOT_FOUND", told)
        return self._books.bearing(name, field, request.path_params["value"])

    def _several(self, request: Request, found: list[Row]) -> Response | None:
        if len(found) < 2:
            return None
        name, version = self._object(request), request.path_params["version"]
        urls = [f"/services/data/{version}/sobjects/{name}/{row['Id']}" for row in found]
        return ExactJSONResponse(urls, status_code=300)

    def _shown(self, request: Request, row: Row) -> Response:
        name, version = self._object(request), request.path_params["version"]
        asked = [each for each in request.query_params.get("fields", "").split(",") if each]
        fields = [
            each for each in self._books.schema.objects[name] if not self._is_hidden(name, each)
        ]
        for each in asked:
            if each not in fields:
                raise _no_column(name, each)
        url = f"/services/data/{version}/sobjects/{name}/{row['Id']}"
        shown = present({each: row[each] for each in ("Id", *(asked or fields))})
        return ExactJSONResponse({"attributes": {"type": name, "url": url}, **shown})

    def _object(self, request: Request, *, writes: bool = False) -> str:
        name: str = request.path_params["object"]
        if name not in self._books.schema.objects:
            raise standard_error(404)
        if writes and name in self._site.settings.closed_objects:
            told = "insufficient access rights on object id"
            raise SalesforceError(403, "INSUFFICIENT_ACCESS_OR_READONLY", told)
        return name

    def _is_hidden(self, name: str, field: str) -> bool:
        return self._site.drift.is_removed(name, field)

    def _checked(self, name: str, body: Mapping[str, Any]) -> Row:
        """What a client sets, as it is stored."""
        fields, derived = self._books.schema.objects[name], self._books.schema.derived
        values: Row = {}
        for field, value in body.items():
            if field not in fields or self._is_hidden(name, field):
                raise _no_column(name, field)
            if field in COMMON or field in derived.get(name, ()):
                told = (
                    f"Unable to create/update fields: {field}. Please check the security settings"
                )
                raise SalesforceError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", told, field)
            values[field] = _read(field, fields[field], value)
        return values

    def _require_unlocked(self, row: Row) -> None:
        if row["Id"] in self._site.settings.locked_rows:
            told = "unable to obtain exclusive access to this record"
            raise SalesforceError(400, "UNABLE_TO_LOCK_ROW", told)

    def _require_unique(self, name: str, values: Row, row: Row | None = None) -> None:
        if not self._site.settings.unique_external_ids:
            return
        for field in self._books.schema.external_ids.get(name, ()):
            value = values.get(field)
            for other in self._books.bearing(name, field, str(value)) if value else ():
                if other is not row:
                    told = (
                        f"duplicate value found: {field} duplicates value on record with id:"
                        f" {str(other['Id'])[:15]}"
                    )
                    raise SalesforceError(400, "DUPLICATE_VALUE", told)

    def _name_of(self, name: str, row: Mapping[str, Any]) -> str:
        """What effects name a row by: its external id, else its id."""
        ids = (row.get(field) for field in self._books.schema.external_ids.get(name, ()))
        return str(next((each for each in ids if each), row["Id"]))


async def _body(request: Request) -> Mapping[str, Any]:
    try:
        body = wire.loads(await request.body())
    except ValueError as error:
        raise SalesforceError(400, "JSON_PARSER_ERROR", "Unexpected end of content") from error
    if not isinstance(body, dict):
        raise SalesforceError(400, "JSON_PARSER_ERROR", "The HTTP entity body is no object")
    return body


def _saved(row_id: object, *, created: bool) -> dict[str, object]:
    return {"id": row_id, "success": True, "errors": [], "created": created}


def _read(field: str, kind: FieldType, value: Any) -> Any:
    form = _TEXT_FORMS.get(kind)
    try:
        if value is not None and form is not None and not isinstance(value, form):
            raise ValueError(f"{value!r} is no {kind.value}")
        stored = typed(kind, value)
    except (ValueError, ArithmeticError) as error:
        told = f"Cannot deserialize instance of {kind.value} from {type(value).__name__}: {error}"
        raise SalesforceError(400, "JSON_PARSER_ERROR", told) from error
    if field == "Name" and isinstance(stored, str) and len(stored) > NAME_MAX:
        told = f"Name: data value too large: {stored[:20]}... (max length={NAME_MAX})"
        raise SalesforceError(400, "STRING_TOO_LONG", told, field)
    return stored


def _no_column(name: str, field: str) -> SalesforceError:
    return SalesforceError(
        400, "INVALID_FIELD", f"No such column '{field}' on sobject of type {name}"
    )
