"""The text of a rest.yaml as checked models: how an API is asked, and what its answers say.

The words are those of dlt's `rest_api` source where it has one (`data_selector`, `paginator`, the
types of both `auth` and `paginator`), and of Airbyte's manifests where it has none. What an API is
stands here; where it is, what it may be asked with and how fast stands in the connector file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from connectors.rest.asks import PAGE_SIZE
from connectors.rest.paging import Paginator, SinglePage
from connectors.rest.paths import Path
from connectors.toolkit.declaration import Problem, declared_wrong, parse_declared
from connectors.toolkit.faults import Meaning
from schemas.errors import ConfigError
from schemas.system import SystemBundle

FILE: Final = "rest.yaml"
HINT: Final = "psastream docs rest describes rest.yaml"
SINCE: Final = "since"
PARENT: Final = "parent"
ID: Final = "id"
MESSAGE: Final = "message"
FROM: Final = "from"
TO: Final = "to"
PLACEHOLDER: Final = re.compile(r"\{([a-z_][a-z0-9_]*)\}")

Text = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]*$", max_length=40)]
Header = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9-]+$")]
UrlPath = Annotated[str, StringConstraints(pattern=r"^/[^\s?#]*$")]
TokenUrl = Annotated[str, StringConstraints(pattern=r"^(https://[^\s/?#@]+)?/[^\s?#]*$")]
RowPath = Annotated[str, StringConstraints(pattern=r"^[^\s.]+(\.[^\s.]+)*$")]
Status = Annotated[int, Field(ge=200, le=599)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class BearerAuth(_Model):
    """`Authorization: Bearer`, with the connector file's `auth.token`."""

    type: Literal["bearer"]


class ApiKeyAuth(_Model):
    """A key in a header or in the query: the connector file's `auth.token`."""

    type: Literal["api_key"]
    name: Text
    location: Literal["header", "query"] = "header"


class BasicAuth(_Model):
    """`Authorization: Basic`, with `auth.username` and `auth.password`."""

    type: Literal["http_basic"]


class BasicKeyAuth(_Model):
    """`Authorization: Basic` with a key as the user name: the connector file's `auth.token`.

    `password`: what the vendor wants, or ignores, in the place of one.
    """

    type: Literal["http_basic_key"]
    password: str = "x"  # noqa: S105 - a word that vendors ignore


class _OAuth2(_Model):
    """`token_url`: a path below the connector file's `auth.url`, or `url`; or an https address.

    `scope` may hold parameters. `client_certificate`: who asks, for tokens and with them, shows the
    certificate of `auth.certificate.file` and `auth.certificate.key.file` (mutual TLS).
    """

    token_url: TokenUrl
    scope: Text | None = None
    client_certificate: bool = False


class ClientCredentialsAuth(_OAuth2):
    """RFC 6749, 4.4: `auth.client.id` and `auth.client.secret`, in the body or as Basic."""

    type: Literal["oauth2_client_credentials"]
    client_in: Literal["body", "header"] = "body"


class RefreshTokenAuth(_OAuth2):
    """RFC 6749, 6: those of the client, and `auth.refresh.token`."""

    type: Literal["oauth2_refresh_token"]
    client_in: Literal["body", "header"] = "body"


class JwtBearerAuth(_OAuth2):
    """RFC 7523, 2.1: an assertion that `auth.client.id` signs for `auth.username` (RS256)."""

    type: Literal["oauth2_jwt_bearer"]
    audience: Text


Auth = Annotated[
    BearerAuth
    | ApiKeyAuth
    | BasicAuth
    | BasicKeyAuth
    | ClientCredentialsAuth
    | RefreshTokenAuth
    | JwtBearerAuth,
    Field(discriminator="type"),
]


class Answers(Enum):
    """What an answer means: the words of `outcomes`."""

    RETRY = "retry"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    REAUTHENTICATE = "reauthenticate"
    REFUSED = "refused"
    NOT_FOUND = "not_found"
    EXPIRED = "expired"
    NOTHING = "nothing"

    @property
    def meaning(self) -> Meaning:
        """The same in the words of every connector."""
        return _MEANINGS[self]


_MEANINGS: Final[Mapping[Answers, Meaning]] = {
    Answers.RETRY: Meaning.RETRY,
    Answers.RATE_LIMITED: Meaning.RATE_LIMITED,
    Answers.QUOTA: Meaning.QUOTA,
    Answers.REAUTHENTICATE: Meaning.REAUTHENTICATE,
    Answers.REFUSED: Meaning.REFUSED_ACCOUNT,
    Answers.NOT_FOUND: Meaning.NOT_FOUND,
    Answers.EXPIRED: Meaning.LOG_INCOMPLETE,
    Answers.NOTHING: Meaning.ACCEPTED,
}


class Outcome(_Model):
    """One row of the outcome table: the first that fits an answer counts, before HTTP's own.

    `status` is one or several. `code` narrows it to answers whose body
    has one of these at `errors.code`. `evidence` says where the vendor writes so.
    """

    status: Status | Annotated[tuple[Status, ...], Field(min_length=1)]
    means: Answers
    code: tuple[Text, ...] = ()
    words: str = ""
    evidence: Text


class Errors(_Model):
    """Where an error body holds its code and its text; `list` leads to several errors."""

    list: Path | None = None
    code: Path | None = None
    detail: Path | None = None


class RateLimit(_Model):
    """What answers tell of the pace: how long to wait, in the form of Retry-After, and how many
    requests are left of how many.
    """

    wait_header: Header = "Retry-After"
    remaining_header: Header | None = None
    limit_header: Header | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.remaining_header is None) is not (self.limit_header is None):
            raise ValueError("remaining_header and limit_header tell a share together")
        return self


class Format(Enum):
    """How an instant is written in a request. It is cut to the unit, never rounded up."""

    SECONDS = "seconds"  # 2026-01-02T03:04:05Z
    MILLISECONDS = "milliseconds"  # 2026-01-02T03:04:05.678Z
    DATE = "date"  # 2026-01-02
    EPOCH_SECONDS = "epoch_seconds"
    EPOCH_MILLISECONDS = "epoch_milliseconds"

    def write(self, instant: datetime) -> str:
        """Return the text of an instant one unit earlier, so that `after` asks no later than `at`.

        No later than it: what comes once more costs nothing, what is left out is lost.
        """
        moment = max(instant.astimezone(UTC) - _UNITS[self], _EPOCH)
        match self:
            case Format.DATE:
                return moment.date().isoformat()
            case Format.EPOCH_SECONDS:
                return str((moment - _EPOCH) // timedelta(seconds=1))
            case Format.EPOCH_MILLISECONDS:
                return str((moment - _EPOCH) // timedelta(milliseconds=1))
            case _:
                text = moment.replace(tzinfo=None).isoformat(timespec=self.value)
                return f"{text}Z"


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {
    Format.SECONDS: timedelta(seconds=1),
    Format.MILLISECONDS: timedelta(milliseconds=1),
    Format.DATE: timedelta(days=1),
    Format.EPOCH_SECONDS: timedelta(seconds=1),
    Format.EPOCH_MILLISECONDS: timedelta(milliseconds=1),
}


class StampForm(Enum):
    """How a row tells its time of change."""

    ISO8601 = "iso8601"
    EPOCH_SECONDS = "epoch_seconds"
    EPOCH_MILLISECONDS = "epoch_milliseconds"


class Incremental(_Model):
    """The time of change of a row, and how it is asked for: `{since}` in a request.

    `cursor_columns`: the first that is not null counts.
    """

    cursor_columns: tuple[Text, ...] = Field(min_length=1)
    format: Format = Format.SECONDS
    reads: StampForm = StampForm.ISO8601


class Endpoint(_Model):
    """One list of the API. A parameter with `{since}` is left out where all rows are read.

    `row_path`: where the list holds references only, what a row is at in the answer, with fields of
    the reference in braces.
    """

    path: UrlPath
    method: Literal["GET", "POST"] = "GET"
    params: dict[Text, str] = {}
    body: dict[str, Any] | None = Field(default=None, alias="json")
    data_selector: Path | None = None  # none: the answer is the list itself
    row_path: RowPath | None = None
    paginator: Paginator | None = None  # none: that of the file

    def texts(self) -> Iterator[str]:
        """Every text that may hold a placeholder."""
        yield self.path
        yield from self.params.values()
        yield from _texts(self.body)


class Deleted(Endpoint):
    """A list of what was deleted: the id of a row, and when. It may be asked for with `{since}`.

    `optional`: some accounts lack it. Where it is refused, all rows are compared.
    """

    id: Path
    deleted_at: Path
    optional: bool = False
    format: Format = Format.SECONDS
    reads: StampForm = StampForm.ISO8601


class DescribedBy(Endpoint):
    """A list of the fields of an object: their names, types, labels and, of a list, its values.

    `name`, `type` and `label` are paths in an entry; `values` leads to a list there, `value` to the
    value in each of its items. `below`: where in a row the fields lie that it names.
    """

    below: Path | None = None
    name: Path
    type: Path
    label: Path | None = None
    values: Path | None = None
    value: Path | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.values is None) is not (self.value is None):
            raise ValueError("`values` and `value` go together")
        return self


class Removed(_Model):
    """How a list of changes tells a row that is gone: by something at `when`, its id at `id`."""

    when: Path
    id: Path


class Delta(_Model):
    """The list asked for its changes, from where the vendor says that reading goes on.

    Asked as the list of all rows is, with `params` and `headers` besides, perhaps at another
    `path`: so it begins with all rows. The last page tells at `resume_path` where reading goes on:
    an address, or what `resume_param` takes.
    """

    path: UrlPath | None = None
    params: dict[Text, str] = {}
    headers: dict[Header, Text] = {}
    resume_path: Path
    resume_param: Text | None = None
    removed: Removed


class Parent(_Model):
    """The object whose rows are asked one after the other: `{parent}` is the key of one.

    `column`: the one that takes it, since an answer need not repeat it. `within`: the column that
    tells the rows of one parent apart, where no other does; the key is made of both.
    """

    object: Text
    column: Text | None = None
    within: Text | None = None


class Windows(_Model):
    """A list that shows no more than some days at once, asked for by `{from}` and `{to}`.

    `first`: the parameter that holds the first day. Windows of `days` share `overlap` days, so that
    what lasts no longer than that lies whole in one of them; the last reaches beyond today.
    """

    first: Name
    days: int = Field(ge=2)
    overlap: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _goes_on(self) -> Self:
        if self.overlap >= self.days:
            raise ValueError("windows overlap by fewer days than they have")
        return self

    def spans(self, first: date, today: date) -> Iterator[tuple[date, date]]:
        """Yield first and last day of each window."""
        last = first - timedelta(days=1)
        until = max(today, first) + timedelta(days=self.overlap)
        while last < until:
            start = max(first, last + timedelta(days=1 - self.overlap))
            last = start + timedelta(days=self.days - 1)
            yield start, last


class Expand(_Model):
    """A list within each row of the answer, whose items are the rows of the object.

    `outer`: paths of columns that are in the row around the list.
    """

    path: Path
    outer: dict[Text, Path] = {}


class Each(_Model):
    """How one row is asked for by itself: at `path`, with its key for `{id}`.

    `data_selector` leads to a list, whose first is the row; without it the answer is the row.
    """

    path: UrlPath
    data_selector: Path | None = None


class Queue(_Model):
    """Messages that name rows which changed, told one after the other, the first until its delete.

    The answer at `path` is the first message, 204 where there is none; its id is in the header
    `message_header`, and `delete` takes it for `{message}`. `data_selector` leads to what it tells:
    each names a row at the first of the paths `id` that leads to something.
    """

    path: UrlPath
    headers: dict[Header, Text] = {}
    message_header: Header
    delete: UrlPath
    data_selector: Path
    id: tuple[Path, ...] = Field(min_length=1)

    def texts(self) -> Iterator[str]:
        """Every text that may hold a placeholder, but for `delete`."""
        yield self.path
        yield from self.headers.values()


class ObjectConfig(Endpoint):
    """One object: the list it is read from, and where its columns are in a row.

    `columns`: paths of the columns that are not fields of the row itself. `changed`: the list that
    tells changes, where it is another than the one of all rows. `described`: what tells its fields.
    `delta`: changes and deletes, by a token of the vendor's. `each`: the list only names rows.
    `queue`: what tells changes between readings of all rows. `unused`: fields that no contract
    takes. `optional`: columns that some answers lack. `null_is_absent`: null fields are left out.
    """

    columns: dict[Text, Path] = {}
    unused: tuple[Text, ...] = ()
    optional: tuple[Text, ...] = ()
    null_is_absent: bool = False
    incremental: Incremental | None = None
    changed: Endpoint | None = None
    deleted: Deleted | None = None
    described: DescribedBy | None = None
    delta: Delta | None = None
    each: Each | None = None
    queue: Queue | None = None
    parent: Parent | None = None
    expand: Expand | None = None
    windows: Windows | None = None


class RestConfig(_Model):
    """A whole rest.yaml."""

    auth: Auth
    headers: dict[Header, Text] = {}
    parameters: tuple[Name, ...] = ()
    errors: Errors = Errors()
    outcomes: tuple[Outcome, ...] = ()
    rate_limit: RateLimit = RateLimit()
    paginator: Paginator = SinglePage(type="single_page")
    objects: dict[Text, ObjectConfig] = Field(min_length=1)


def shows_certificate(auth: Auth) -> bool:
    """Whether requests show a client's certificate."""
    return isinstance(auth, _OAuth2) and auth.client_certificate


def scope_of(config: RestConfig) -> str | None:
    """Return what a token is asked for, None where none is or nothing is said."""
    return config.auth.scope if isinstance(config.auth, _OAuth2) else None


@lru_cache(maxsize=16)
def parse_declaration(text: str, file: str) -> RestConfig:
    """Parse the text of a rest.yaml. Raises ConfigError naming every problem with its line."""
    return parse_declared(text, file, RestConfig, HINT)


def read_declaration(system: SystemBundle) -> RestConfig:
    """Return what the folder of a system declares, checked against its mapping and contracts.

    Raises ConfigError naming every problem with its line.
    """
    file = f"{system.name}/{FILE}"
    text = system.files.get(FILE)
    if text is None:
        raise ConfigError(f"{file} is not there", hint=f"vendor: rest reads what it says; {HINT}")
    config = parse_declaration(text, file)
    if problems := [*_problems(config, system)]:
        raise declared_wrong(text, file, problems, HINT)
    return config


def _problems(config: RestConfig, system: SystemBundle) -> Iterator[Problem]:
    for name in sorted(system.topics.keys() - config.objects.keys()):
        yield ("objects",), f"{name} of mapping.yaml is not declared"
    for header, value in config.headers.items():
        yield from _unknown(("headers", header), [value], {*config.parameters, PAGE_SIZE})
    yield from _unknown(("auth", "scope"), [scope_of(config) or ""], {*config.parameters})
    used = {name for text in _all_texts(config) for name in PLACEHOLDER.findall(text)}
    used |= {obj.windows.first for obj in config.objects.values() if obj.windows}
    for at, name in enumerate(config.parameters):
        if name in {SINCE, PAGE_SIZE, PARENT, FROM, TO, ID, MESSAGE}:
            yield ("parameters", at), f"{name} has a meaning of its own"
        elif name not in used:
            yield ("parameters", at), f"nothing takes the parameter {name}"
    for name, obj in config.objects.items():
        place = ("objects", name)
        if name not in system.topics:
            yield place, f"there is no object {name} in mapping.yaml"
            continue
        for path, problem in _problems_of(config, system, name, obj):
            yield (*place, *path), f"{name}: {problem}"


def _problems_of(
    config: RestConfig, system: SystemBundle, name: str, obj: ObjectConfig
) -> Iterator[Problem]:
    contract: Any = system.topics[name].contract
    if contract is None:
        yield (), "a database's table is not read by requests: capture: polled"
        return
    fields = {field["name"]: _branch(field["type"]) for field in contract.parsed["fields"]}
    yield from _problems_of_columns(obj, fields)
    for word, columns in (
        ("optional", obj.optional),
        ("incremental", obj.incremental.cursor_columns if obj.incremental else ()),
    ):
        for column in columns:
            if column not in fields:
                yield (word,), f"{word}: the contract has no column {column}"
    yield from _problems_of_reads(obj, fields)
    if (windows := obj.windows) is not None and windows.first not in config.parameters:
        yield ("windows", "first"), f"there is no parameter {windows.first}"
    for column in obj.unused:
        if column in fields:
            yield ("unused",), f"unused: {column} is a column of the contract"
    known = {*config.parameters, PAGE_SIZE, *((FROM, TO) if obj.windows else ())}
    if obj.parent is not None:
        known.add(PARENT)
        yield from _problems_of_parent(config, obj, obj.parent, fields)
    asks = {SINCE} if obj.incremental else set()
    lists: list[tuple[tuple[str, ...], Endpoint, set[str]]] = [((), obj, asks)]
    if obj.changed is not None:
        lists.append((("changed",), obj.changed, asks))
    if obj.deleted is not None:
        lists.append((("deleted",), obj.deleted, {SINCE}))
    if obj.described is not None:
        lists.append((("described",), obj.described, set()))
    for path, endpoint, more in lists:
        yield from _unknown(path, endpoint.texts(), known | more)
    yield from _problems_of_since(obj)
    yield from _problems_of_delta(obj, {*config.parameters, PAGE_SIZE})
    yield from _problems_of_each(obj, {*config.parameters, PAGE_SIZE})
    yield from _problems_of_keys(system, name, obj)


def _problems_of_keys(system: SystemBundle, name: str, obj: ObjectConfig) -> Iterator[Problem]:
    """Where one value must name a row, its key has one column."""
    several = "the key of {} has several columns, and {} is one value"
    if len(system.objects[name].keys) > 1:
        for word, told in (("deleted", obj.deleted), ("delta", obj.delta), ("each", obj.each)):
            if told is not None:
                yield (word,), several.format(name, _ONE_VALUE[word])
    above = obj.parent.object if obj.parent else ""
    if above in system.objects and len(system.objects[above].keys) > 1:
        yield ("parent", "object"), several.format(above, "{parent}")


_ONE_VALUE: Final = {
    "deleted": "the id of a row that is gone",
    "delta": "the id of a row that is gone",
    "each": "{id}",
}


def _problems_of_each(obj: ObjectConfig, known: set[str]) -> Iterator[Problem]:
    if obj.queue is not None and obj.each is None:
        yield ("queue",), "queue names rows, and each is missing, which says how one is asked for"
    if obj.each is None:
        return
    beside = ("incremental", "changed", "deleted", "delta", "parent", "expand", "windows")
    for word in beside:
        if getattr(obj, word) is not None:
            yield ("each",), f"each reads rows of a whole list: no {word} beside it"
    places = [("each", obj.each.path, ID)]
    if obj.queue is not None:
        yield from _unknown(("queue",), obj.queue.texts(), known)
        places.append(("queue", obj.queue.delete, MESSAGE))
    for word, path, name in places:
        yield from _unknown((word,), [path], {*known, name})
        if name not in PLACEHOLDER.findall(path):
            yield (word,), f"nothing asks with {{{name}}}"


def _problems_of_columns(obj: ObjectConfig, fields: Collection[str]) -> Iterator[Problem]:
    outer = obj.expand.outer if obj.expand else {}
    for path, columns in ((("columns",), obj.columns), (("expand", "outer"), outer)):
        for column in columns.keys() - set(fields):
            yield (*path, column), f"the contract has no column {column}"


def _problems_of_reads(obj: ObjectConfig, fields: Mapping[str, Any]) -> Iterator[Problem]:
    if obj.incremental is None or obj.incremental.reads is not StampForm.ISO8601:
        return
    for column in obj.incremental.cursor_columns:
        if fields.get(column) in _NUMBERS:
            problem = f"incremental: {column} is a number in the contract, and reads is iso8601"
            yield ("incremental",), f"{problem}, not epoch_seconds or epoch_milliseconds"


def _branch(avro: Any) -> Any:
    """The type of a nullable one that is not null, by its name where it has no more than that."""
    if isinstance(avro, list):
        [avro] = [branch for branch in avro if branch != "null"]
    return avro if isinstance(avro, str) else "other"


_NUMBERS: Final = frozenset({"int", "long"})


def _problems_of_since(obj: ObjectConfig) -> Iterator[Problem]:
    asks = _asks_since(obj.texts())
    if any(SINCE in PLACEHOLDER.findall(text) for text in [obj.path, *_texts(obj.body)]):
        yield (), "{since} stands in params, or in a list of its own: changed"
    if obj.delta is not None and asks:
        yield ("delta",), "delta goes on from a token: nothing asks with {since} beside it"
    if obj.changed is not None and not _asks_since(obj.changed.texts()):
        yield ("changed",), "changed does not ask with {since}"
    if obj.incremental is not None and not (asks or obj.changed or obj.delta):
        yield ("incremental",), "nothing asks with {since}: without it leave incremental out"
    if obj.incremental is None and obj.changed is not None:
        yield ("changed",), "changed needs incremental, which says what {since} is"


def _problems_of_delta(obj: ObjectConfig, known: set[str]) -> Iterator[Problem]:
    if obj.delta is None:
        return
    beside = {"changed": obj.changed, "deleted": obj.deleted, "parent": obj.parent}
    for word in (word for word, other in beside.items() if other is not None):
        yield ("delta",), f"delta tells changes and deletes of a whole list: no {word} beside it"
    yield from _unknown(("delta",), _texts_of_delta(obj.delta), known)


def _texts_of_delta(delta: Delta) -> Iterator[str]:
    yield delta.path or ""
    yield from delta.params.values()
    yield from delta.headers.values()


def _problems_of_parent(
    config: RestConfig, obj: ObjectConfig, parent: Parent, fields: Collection[str]
) -> Iterator[Problem]:
    of = config.objects.get(parent.object)
    if of is None:
        yield ("parent", "object"), f"there is no object {parent.object}"
    elif of.parent is not None:
        yield ("parent", "object"), f"{parent.object} has a parent itself: one level is read"
    if parent.column is not None and parent.column not in fields:
        yield ("parent", "column"), f"the contract has no column {parent.column}"
    if parent.within is not None and parent.within not in fields:
        yield ("parent", "within"), f"the contract has no column {parent.within}"
    if not any(PARENT in PLACEHOLDER.findall(text) for text in obj.texts()):
        yield ("parent",), "nothing asks with {parent}"
    if obj.deleted is not None:
        yield ("deleted",), "deletes of rows with a parent are told by their absence"


def _asks_since(texts: Iterator[str]) -> bool:
    return any(SINCE in PLACEHOLDER.findall(text) for text in texts)


def _unknown(
    path: tuple[object, ...], texts: Iterator[str] | list[str], known: set[str]
) -> Iterator[Problem]:
    for text in texts:
        for name in PLACEHOLDER.findall(text):
            if name not in known:
                told = ", ".join(sorted(known)) or "none"
                yield path, f"{{{name}}} is no parameter: known are {told}"


def _all_texts(config: RestConfig) -> Iterator[str]:
    yield from config.headers.values()
    yield scope_of(config) or ""
    for obj in config.objects.values():
        for endpoint in (obj, obj.changed, obj.deleted):
            if endpoint is not None:
                yield from endpoint.texts()
        if obj.delta is not None:
            yield from _texts_of_delta(obj.delta)
        if obj.each is not None:
            yield obj.each.path
        if obj.queue is not None:
            yield from obj.queue.texts()
            yield obj.queue.delete


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
