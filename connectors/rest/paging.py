"""The ways to page that APIs have, each as a declared model: from an answer to the next request.

A list that is paged by number or offset moves under who reads it: rows slide past the reader when
one before them goes, or changes where the order is that of change. So does one whose token or
address holds a number or an offset, which nobody can tell from outside: an address is believed to
hold still only where it is declared so. `moves` says it; the reader then reads until it has all
(`connectors.rest.reader`). What a page tells of the next one is never trusted further than the
host.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from connectors.polled.answers import name_of
from connectors.polled.ledger import digest_of
from connectors.polled.paging import BrokenPagingError
from connectors.rest.asks import Ask
from connectors.rest.paths import ABSENT, Path, at
from connectors.toolkit.http import Response
from schemas.errors import SchemaMismatchError

Name = Annotated[str, StringConstraints(min_length=1)]
Next = tuple[Ask, Hashable] | None
"""The request of the next page and where it is, which no scan comes to twice; None: no more."""
TOKEN_LENGTH_MAX: Final = 8_000
_PORTS: Final = {"http": 80, "https": 443}
_LINK: Final = re.compile(r"<([^<>]*)>([^<]*)")
_REL_NEXT: Final = re.compile(r""";\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,]+))""", re.IGNORECASE)


class _Paginator(BaseModel):
    """`limit_param` asks for as many rows a page as the connector file's `page.size` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit_param: Name | None = None

    @property
    def moves(self) -> bool | None:
        """Whether rows may slide past; None: where its tokens count (`counts`)."""
        return False

    @property
    def rows_total_path(self) -> str | None:
        """Where an answer tells how many rows the list has."""
        return None

    @property
    def ends_without_content(self) -> bool:
        """Whether 204 after a page with rows is the end."""
        return False

    def first(self, ask: Ask, page_size: int) -> Ask:
        """Return the request of the first page."""
        if self.limit_param is None:
            return ask
        return ask.having(self.limit_param, page_size, in_body=ask.body is not None)

    @abstractmethod
    def following(self, ask: Ask, rows: Sequence[Any], response: Response, url: str) -> Next:
        """Return what comes after the page that `ask` got from `url`.

        Raises SchemaMismatchError where the answer does not tell.
        """


class SinglePage(_Paginator):
    """Everything in one answer."""

    type: Literal["single_page"]

    def following(self, ask: Ask, rows: Sequence[Any], response: Response, url: str) -> Next:
        """There is no more."""
        return None


class _Counted(_Paginator):
    """Pages that are counted out: an empty one is the end, unless the answer says so before.

    A short page is no end: a server may give less than it is asked for. `has_more_path` leads to a
    truth value, or to a next page that is null at the end; `total_path` to the number of all rows.
    `no_content_is_end`: behind the last page with rows is 204, not an empty list.
    """

    has_more_path: Path | None = None
    total_path: Path | None = None
    no_content_is_end: bool = False

    @property
    def moves(self) -> bool | None:
        """Always."""
        return True

    @property
    def ends_without_content(self) -> bool:
        """As declared."""
        return self.no_content_is_end

    @property
    def rows_total_path(self) -> str | None:
        """As declared."""
        return self.total_path

    def _is_last(self, rows: Sequence[Any], response: Response) -> bool:
        if self.has_more_path is not None:
            return not _told(response, self.has_more_path)
        return not rows


class PageNumber(_Counted):
    """Pages by number. `total_pages_path` leads to how many there are."""

    type: Literal["page_number"]
    page_param: Name = "page"
    base_page: int = Field(default=1, ge=0, le=1)
    total_pages_path: Path | None = None

    def first(self, ask: Ask, page_size: int) -> Ask:
        """The first page has the first number."""
        ask = super().first(ask, page_size)
        return ask.having(self.page_param, self.base_page, in_body=ask.body is not None)

    def following(self, ask: Ask, rows: Sequence[Any], response: Response, url: str) -> Next:
        """The page with the next number."""
        in_body = ask.body is not None
        number = int((ask.body if in_body else ask.params)[self.page_param]) + 1
        if self.total_pages_path is not None:
            if number - self.base_page >= read_count(response, self.total_pages_path):
                return None
        elif self._is_last(rows, response):
            return None
        return ask.having(self.page_param, number, in_body=in_body), digest_of(rows)


class Offset(_Counted):
    """Pages by the number of rows before them."""

    type: Literal["offset"]
    offset_param: Name = "offset"
    limit_param: Name | None = "limit"

    def first(self, ask: Ask, page_size: int) -> Ask:
        """Nothing is before the first page."""
        ask = super().first(ask, page_size)
        return ask.having(self.offset_param, 0, in_body=ask.body is not None)

    def following(self, ask: Ask, rows: Sequence[Any], response: Response, url: str) -> Next:
        """As many rows on as came."""
        if self._is_last(rows, response):
            return None
        in_body = ask.body is not None
        offset = int((ask.body if in_body else ask.params)[self.offset_param]) + len(rows)
        return ask.having(self.offset_param, offset, in_body=in_body), digest_of(rows)


class _Followed(_Paginator):
    """Pages that lead to the next. `slides`: what leads there stands for a number or an offset."""

    slides: bool | None = None
    total_path: Path | None = None

    @property
    def rows_total_path(self) -> str | None:
        """As declared."""
        return self.total_path


class Cursor(_Followed):
    """A token of each answer asks for the next page.

    `absent_is_end`: the last answer lacks the token; without it, it is null or empty there, and
    an answer that lacks it is another than was declared.
    """

    type: Literal["cursor"]
    cursor_path: Path
    cursor_param: Name = "cursor"
    absent_is_end: bool = False

    @property
    def moves(self) -> bool | None:
        """As declared."""
        return self.slides

    def following(self, ask: Ask, rows: Sequence[Any], response: Response, url: str) -> Next:
        """The page of the token."""
        token = _told(response, self.cursor_path, absent_is_end=self.absent_is_end)
        if token in (None, ""):
            return None
        if isinstance(token, bool) or not isinstance(token, str | int):
            raise _mismatch(f"{self.cursor_path} is {name_of(token)}, not a token")
        text = str(token)
        if len(text) > TOKEN_LENGTH_MAX:
            raise _mismatch(f"{self.cursor_path} is longer than {TOKEN_LENGTH_MAX} characters")
        return ask.having(self.cursor_param, token, in_body=ask.body is not None), text


class _Linked(_Followed):
    """Pages behind addresses, of which only the vendor can say what they hold."""

    @property
    def moves(self) -> bool | None:
        """Unless declared otherwise."""
        return self.slides is not False


class JsonLink(_Linked):
    """An address in each answer leads to the next page. It never leaves the host."""

    type: Literal["json_link"]
    next_url_path: Path
    absent_is_end: bool = False

    def following(self, ask: Ask, rows: Sequence[Any], response: Response, url: str) -> Next:
        """The page at the address."""
        link = _told(response, self.next_url_path, absent_is_end=self.absent_is_end)
        if link in (None, ""):
            return None
        if not isinstance(link, str):
            raise _mismatch(f"{self.next_url_path} is {name_of(link)}, not an address")
        following = at_address(ask, link, url)
        return following, following.path


class HeaderLink(_Linked):
    """The `Link` header of each answer leads to the next page (RFC 8288). Never off the host."""

    type: Literal["header_link"]
    links_next_key: Name = "next"

    def following(self, ask: Ask, rows: Sequence[Any], response: Response, url: str) -> Next:
        """The page at the address whose relation is `links_next_key`."""
        header = ", ".join(
            value for name, value in response.headers.items() if name.casefold() == "link"
        )
        for target, parameters in _LINK.findall(header):
            relation = _REL_NEXT.search(parameters)
            if relation and self.links_next_key in (relation[1] or relation[2]).split():
                following = at_address(ask, target, url)
                return following, following.path
        return None


class Keyset(_Paginator):
    """The last row of a page tells where the next begins: after its value at `value_path`.

    The list is sorted by it and no two rows share it, as with ids; an empty page is the last one.
    """

    type: Literal["keyset"]
    value_path: Path
    param: Name

    def following(self, ask: Ask, rows: Sequence[Any], response: Response, url: str) -> Next:
        """The rows after the last one whose value can be used."""
        if not rows:
            return None
        for row in reversed(rows):
            value = at(row, self.value_path)
            if isinstance(value, str | int) and not isinstance(value, bool):
                return ask.having(self.param, value, in_body=ask.body is not None), str(value)
        raise _mismatch(f"no row of a page has a usable {self.value_path}")


Paginator = Annotated[
    SinglePage | PageNumber | Offset | Cursor | JsonLink | HeaderLink | Keyset,
    Field(discriminator="type"),
]


def counts(position: Hashable, *, pages: int, rows: int, page_size: int) -> bool:
    """Whether what asks for the next page is a number of those before it, or of their rows."""
    numbers = {pages, rows, pages * page_size}
    return position in {str(number + base) for number in numbers for base in (0, 1)}


def read_count(response: Response, path: str) -> int:
    """Return a count at a path. Raises SchemaMismatchError."""
    value = at(response.body, path)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        shown = "missing" if value is ABSENT else name_of(value)
        raise _mismatch(f"{path} is {shown}, not a count")
    return value


def _told(response: Response, path: str, *, absent_is_end: bool = False) -> Any:
    value = at(response.body, path)
    if value is not ABSENT:
        return value
    if absent_is_end:
        return None
    raise _mismatch(f"{path} is missing, which would tell whether there is more")


def at_address(ask: Ask, link: str, url: str) -> Ask:
    """The request of an address that an answer to a request below `url` holds.

    Raises BrokenPagingError for one that leaves the host or the API below it.
    """
    try:
        base, target = urlsplit(url), urlsplit(urljoin(f"{url}{ask.path}", link))
        stays = _host(base) == _host(target) and "@" not in target.netloc
    except ValueError:
        stays = False
    if not stays or not target.path.startswith(f"{base.path}/"):
        raise BrokenPagingError(
            "the next page is at an address outside the API",
            hint="credentials go to the configured url only; report it to the vendor",
        )
    path = target.path.removeprefix(base.path)
    if target.query:
        path = f"{path}?{target.query}"
    return Ask(ask.method, path, {}, ask.body)


def _host(url: SplitResult) -> tuple[str, str | None, int | None]:
    """Scheme, host and port. Raises ValueError for a port that is none."""
    return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)


def _mismatch(detail: str) -> SchemaMismatchError:
    return SchemaMismatchError(
        f"an answer is not as rest.yaml says: {detail}",
        hint="correct rest.yaml, or see the vendor's release notes",
    )
