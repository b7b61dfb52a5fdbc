"""Values as the record API wants them: durations as a clock shows them, currencies by their id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from connectors.dispatch.answers import Answer, read_answer
from connectors.toolkit.faults import Fault, Reason, VendorRejectedError
from connectors.toolkit.http import VendorClient
from connectors.vendors.netsuite.auth import SYSTEM

_CLOCK: Final = re.compile(r"([0-9]{1,6}):([0-5][0-9])")
_MINUTE: Final = 60
_CURRENCIES: Final = "SELECT id, symbol FROM currency ORDER BY id"
_CURRENCIES_MAX: Final = 1000
_BAD_REQUEST: Final = 400


class _Currency(Answer):
    id: str
    symbol: str | None = None


class _CurrenciesAnswer(Answer):
    items: list[_Currency]


class Currencies:
    """Internal ids of an account's currencies by ISO code, read when an unknown one is asked for.

    `known` names those of an account that does not show the table.
    """

    def __init__(self, client: VendorClient, known: Mapping[str, str]) -> None:
        self._client = client
        self._ids = dict(known)

    async def id_of(self, code: str) -> str:
        """Return the internal id of a currency.

        Raises VendorRejectedError where the account has none of that code, and what the query
        raises. Nothing is remembered of a code that is missing, so adding it helps at once.
        """
        if code not in self._ids:
            self._ids |= await self._read()
        if code not in self._ids:
            fault = Fault(detail=f"the account has no currency {code}", field="currency")
            raise VendorRejectedError(
                _BAD_REQUEST, [fault], context={"system": SYSTEM}, reason=Reason.SETTING
            )
        return self._ids[code]

    async def _read(self) -> dict[str, str]:
        body = await first_rows(self._client, _CURRENCIES, limit=_CURRENCIES_MAX)
        answer = read_answer(_CurrenciesAnswer, body, system=SYSTEM, is_read=True)
        return {each.symbol.strip().upper(): each.id for each in answer.items if each.symbol}


async def first_rows(client: VendorClient, query: str, *, limit: int) -> object:
    """Return the answer to a query of SuiteQL, of so many rows at most."""
    response = await client.request(
        "POST",
        "/services/rest/query/v1/suiteql",
        params={"limit": str(limit), "offset": "0"},
        json={"q": query},
        headers={"Prefer": "transient"},
        is_read=True,
        retry=False,
    )
    return response.body


def clock(seconds: object) -> str | None:
    """Return whole minutes as `h:mm`; None for any other time, and for time taken back.

    >>> clock(3000)
    '0:50'
    """
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        return None
    if seconds < 0 or seconds % _MINUTE:
        return None
    minutes = seconds // _MINUTE
    return f"{minutes // 60}:{minutes % 60:02d}"


def as_clock(hours: Any) -> Any:
    """Return hours that the API shows, `h:mm` or a number, in the form of `clock`.

    A number at two digits names one minute; what is neither comes back as it is.
    """
    if isinstance(hours, str) and (found := _CLOCK.fullmatch(hours)):
        return clock((int(found[1]) * 60 + int(found[2])) * _MINUTE)
    if isinstance(hours, bool) or not isinstance(hours, int | str | Decimal):
        return hours
    try:
        minutes = round(Decimal(hours) * 60)
    except (ArithmeticError, ValueError):
        return hours
    return clock(minutes * _MINUTE)
