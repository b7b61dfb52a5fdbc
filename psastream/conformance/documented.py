"""`conformance.yaml`: what a vendor documents of its API, as data.

It is written from the vendor's pages, not from the system's own declaration or code, so that these
can be wrong against it. `psastream.conformance.server` answers by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from connectors.rest.paths import Path
from connectors.toolkit.declaration import parse_declared
from schemas.mapping.config import OneOrMore

FILE: Final = "conformance.yaml"
_WEST: Final = timezone(timedelta(hours=-8))
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
HINT: Final = "psastream docs conformance lists the words of the file"


class Form(Enum):
    """How the vendor writes an instant."""

    SECONDS = "seconds"  # 2026-01-02T03:04:05Z
    MILLISECONDS = "milliseconds"  # 2026-01-02T03:04:05.678Z
    MICROSECONDS = "microseconds"  # 2026-01-02T03:04:05.678901Z
    BLANK = "blank"  # 2026-01-02 03:04:05
    DATE = "date"  # 2026-01-02
    OFFSET = "offset"  # 2026-01-02T03:04:05.000+0000, whole seconds
    ZONE = "zone"  # 2026-01-01T19:04:05-08:00, whole seconds
    EPOCH_SECONDS = "epoch_seconds"
    EPOCH_MILLISECONDS = "epoch_milliseconds"

    def write(self, instant: datetime) -> str | int:
        """Return how a row or a parameter tells it; cut, never rounded up."""
        since_us = (instant - EPOCH) // timedelta(microseconds=1)
        match self:
            case Form.EPOCH_SECONDS:
                return since_us // 1_000_000
            case Form.EPOCH_MILLISECONDS:
                return since_us // 1_000
            case Form.DATE:
                return instant.date().isoformat()
            case Form.ZONE:
                return instant.astimezone(_WEST).isoformat(timespec="seconds")
            case Form.BLANK | Form.OFFSET:
                return instant.strftime(_PATTERNS[self])
            case _:
                text = instant.replace(tzinfo=None).isoformat(timespec=self.value)
                return f"{text}Z"

    def read(self, text: str) -> datetime:
        """Return the instant of a parameter. Raises ValueError for anything else."""
        if self is Form.EPOCH_SECONDS:
            return EPOCH + timedelta(seconds=int(text))
        if self is Form.EPOCH_MILLISECONDS:
            return EPOCH + timedelta(milliseconds=int(text))
        instant = datetime.fromisoformat(text)
        if self.write(instant.replace(tzinfo=instant.tzinfo or UTC)) != text:
            raise ValueError(f"{text} is not written as {self.value}")
        return instant.replace(tzinfo=instant.tzinfo or UTC)


_PATTERNS: Final = {
    Form.BLANK: "%Y-%m-%d %H:%M:%S",
    Form.OFFSET: "%Y-%m-%dT%H:%M:%S.000+0000",
}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limit(_Model):
    """How many rows a page may be asked for, and the answer to more.

    By a parameter, or by a header that holds `text`.
    """

    param: str | None = None
    header: str | None = None
    text: str = "{limit}"
    max: int = Field(ge=2)
    status_above: int | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Limit:
        if (self.param is None) is (self.header is None):
            raise ValueError("a page is asked for by `param` or by `header`: one of both")
        return self


class Single(_Model):
    """All rows in one answer."""

    type: Literal["single"]


class Link(_Model):
    """The address of the next page: at a path of the body, or in the `Link` header."""

    type: Literal["link"]
    path: Path | None = None
    token_param: str = "cursor"  # noqa: S105 - the name of a parameter


class Token(_Model):
    """A token of each answer, at a path of the body, null or left out on the last page."""

    type: Literal["token"]
    path: Path
    param: str
    absent_at_end: bool = False


class Counted(_Model):
    """Pages by number, or by the number of rows before them.

    An answer may tell how many pages and rows there are, at paths or in headers; whether there are
    more; and the number of the next page or its address, null on the last. `no_content`: a page
    without rows is 204.
    """

    type: Literal["page", "offset"]
    param: str
    base: int = 1
    pages_path: Path | None = None
    total_path: Path | None = None
    more_path: Path | None = None
    next_path: Path | None = None
    link_path: Path | None = None
    pages_header: str | None = None
    total_header: str | None = None
    no_content: bool = False


class After(_Model):
    """Rows whose id is above the last one's; none after the last."""

    type: Literal["after_id"]
    param: str


Paging = Annotated[Single | Link | Token | Counted | After, Field(discriminator="type")]


class Since(_Model):
    """Where a request says from which time of change on it wants rows.

    `text`: what stands around the time, as `changed gt {since}`. `exclusive`: rows of that time
    itself are not shown.
    """

    param: str | None = None
    body: Path | None = None
    text: str = "{since}"
    format: Form = Form.SECONDS
    exclusive: bool = False


class Window(_Model):
    """A list that ends after so many rows, and its answer beyond."""

    rows: int = Field(ge=1)
    status: int
    body: Any = None


class Lost(_Model):
    """An answer to a token that is of no use any more."""

    status: int
    body: Any = None


class Tracked(_Model):
    """How lists that `tracks` are asked for what changed in them since a token that they gave.

    Who asks with `text` in the header `header` is shown all rows; the last page has an address at
    `path`, whose parameter `param` is the token. Behind it are changed rows, and for each that is
    gone what stands in `removed`, with its id for `{id}`. `refuses`: parameters that are not taken
    with it.
    """

    header: str
    text: str
    path: Path
    param: str
    removed: Mapping[str, str]
    lost: tuple[Lost, ...] = Field(min_length=1)
    refuses: tuple[str, ...] = ()


class Queue(_Model):
    """Messages that name rows which changed, the first at `path` until its delete, 204 without one.

    Its id is in a header, and stands in the path `delete` for `{message}`; `body` names the row as
    `{id}`.
    """

    path: str
    header: str
    delete: str
    body: Any


class ListOf(_Model):
    """One list: `where` are the parameters by which it is told from another at the same path.

    `table`: what a query language calls it, for a `server` that answers queries; the stream of a
    Singer tap. `row`: where each entry holds the row, which is the entry itself without it;
    `id_at`: where it holds no more than its id. `by_id`: the entries stand under this name by their
    ids, and the list at `rows` refers to them, as `{key, id}`. `one`: the list shows ids only, and
    a row is told at this path, with its id for `{id}`, in a list of its own.
    """

    path: str = ""
    table: str | None = None
    method: Literal["GET", "POST"] = "GET"
    shows: Literal["living", "deleted"] = "living"
    where: Mapping[str, str] = {}
    rows: Path | None = None
    since: Since | None = None
    paging: Paging | None = None
    window: Window | None = None
    tracks: bool = False
    deleted_at: Path | None = None
    row: Path | None = None
    id_at: Path | None = None
    by_id: str | None = None
    one: str | None = None


Way = Literal["absence", "flag", "list", "delta"]
"""How a deleted row shows: it is left out, bears a flag, stands in a list of those deleted, or in
one that is tracked.
"""


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Ways = Annotated[tuple[Way, ...], BeforeValidator(_several), Field(min_length=1)]


class Stamp(_Model):
    """Time of change of a row: at each of the paths."""

    paths: tuple[Path, ...] = Field(min_length=1)
    format: Form = Form.SECONDS


class Documented(_Model):
    """An object: what the vendor says of its rows.

    `vary`: a field that the contract takes, by which the suite tells versions apart: a free text, a
    number or a date, as `varies` says. `order`: of its lists. `deletes`: how they show, in one way
    or any of several. `nullable`: fields that the vendor may leave null;
    `optional`: those that answers of some accounts lack. `within`: the list in a row of the answer
    whose items the object's rows are; rows of the suite have one item, and all paths lead through
    the outer row.
    `announced`: the queue tells changes.
    `is_within_parent`: the id is one among the rows of a parent only. Where several fields name a
    row, the last of them tells the rows of the suite apart.
    """

    ids: Annotated[tuple[Path, ...], BeforeValidator(_several), Field(min_length=1, alias="id")]
    vary: Path
    varies: Literal["text", "number", "date"] = "text"
    changed_at: Stamp | None = None
    order: Literal["id", "newest", "oldest"] = "id"
    deletes: Ways = ("absence",)
    flag: Path | None = None
    nullable: tuple[Path, ...] = ()
    optional: tuple[Path, ...] = ()
    within: Path | None = None
    announced: bool = False
    parent: str | None = None
    is_within_parent: bool = False
    parent_path: Path | None = None
    lists: tuple[ListOf, ...] = Field(min_length=1)

    @property
    def id(self) -> Path:
        """The field that tells rows apart."""
        return self.ids[-1]

    @model_validator(mode="after")
    def _whole(self) -> Documented:
        if "flag" in self.deletes and self.flag is None:
            raise ValueError("deletes by flag: `flag` is the path to it")
        if "list" in self.deletes and not any(each.shows == "deleted" for each in self.lists):
            raise ValueError("deletes by list: one of the lists shows deleted rows")
        if "delta" in self.deletes and not any(each.tracks for each in self.lists):
            raise ValueError("deletes by delta: one of the lists is tracked")
        return self


class Answer(_Model):
    """An answer that the vendor documents, and what it stands for."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = {}
    means: Literal["denied", "slow_down", "pause", "passing"]


class Refusal(_Model):
    """An answer to a write that says no; `words` of it must reach who is to mend the cause."""

    status: int
    body: Any = None
    words: str = ""


class Written(_Model):
    """What the vendor documents of writes.

    `server` is the class of a simulated target; `reads` are parts of paths that change nothing,
    whatever the method.
    """

    server: str
    reads: tuple[str, ...] = ()
    connector: str = "sink.json"
    refusals: tuple[Refusal, ...] = ()


class Tokens(_Model):
    """Where tokens are got: `${token}` stands for one in `headers`."""

    path: str
    expires_in: int = 3600


class Table(_Model):
    """A table of a database, its columns as PostgreSQL shows them: `numeric(9,2) not null`.

    `identity`: of its replicas. `vary`: a column that is published, and may become `varied`.
    `long`: columns of text that may lie outside of their row.
    """

    key: OneOrMore
    columns: Mapping[str, str] = Field(min_length=1)
    vary: str
    varied: str | Decimal = "another"
    identity: Literal["default", "full"] = "default"
    long: tuple[str, ...] = ()


class Database(_Model):
    """A schema of a PostgreSQL database that Debezium captures."""

    schema_name: str = Field(alias="schema")
    connector: str = "connector.json"
    tables: Mapping[str, Table] = Field(min_length=1)


class Api(_Model):
    """The file.

    `keys`: variables that name the file of a private key; `certificates`: that of a certificate for
    it.
    """

    server: str | None = None
    connector: str = "source.json"
    environment: Mapping[str, str] = {}
    keys: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}
    tokens: Tokens | None = None
    limit: Limit | None = None
    paging: Paging = Single(type="single")
    tracked: Tracked | None = None
    queue: Queue | None = None
    answers: tuple[Answer, ...] = ()
    objects: Mapping[str, Documented] = {}
    sink: Written | None = None
    database: Database | None = None

    @model_validator(mode="after")
    def _says_how(self) -> Api:
        lists = (listed for each in self.objects.values() for listed in each.lists)
        if self.tracked is None and any(listed.tracks for listed in lists):
            raise ValueError("a list that tracks changes: `tracked` says how it is asked")
        if self.queue is None and any(each.announced for each in self.objects.values()):
            raise ValueError("changes that a queue tells: `queue` says how it is asked")
        return self


def read_api(text: str, file: str) -> Api:
    """Return what a `conformance.yaml` says. Raises ConfigError naming each problem."""
    return parse_declared(text, file, Api, HINT)
