"""Money: exact decimal amounts with a currency, as a value and as column expressions.

Never float. Columns keep amount and currency side by side; here are the rules both share:
products are exact, and rounding happens once, at the end, half away from zero, to the digits of
the currency. Upholds I7.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final

import polars as pl

from schemas.errors import InvalidEntityError

# ISO 4217: active codes by the number of digits of their minor unit. Funds, metals and test
# codes are not currencies a firm bills in.
_CODES_BY_DIGITS: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD "
        "CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS "
        "GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP "
        "LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK "
        "NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS "
        "SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST "
        "XCD XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

# ISO 4217, historic denominations: a row keeps the currency of its day. From the Debian
# iso-codes list of 2015, and what was withdrawn since; digits where Unicode CLDR 48 knows others
# than two. Without settlement units that nobody bills in (XFO, XFU, XRE).
_WITHDRAWN_BY_DIGITS: Final = {
    0: "ADP BYR ESP ITL LUF MGF MRO SLL STD TMM TRL ZMK ZWD",
    2: (
        "ADF AFA ALK ANG AOK AON AOR ARA ARL ARM ARP ATS AZM BAD BEC BEF BEL BGJ BGK BGL BGN BOP "
        "BRB BRC BRE BRN BRR BUK BYB CNX CSD CSJ CSK CUC CYP DDM DEM ECS ECV EEK ESA ESB FIM FRF "
        "GEK GHC GNE GNS GQE GRD GWE GWP HRD HRK IEP ILP ILR ISJ LAJ LSM LTL LTT LUC LUL LVL LVR "
        "MAF MLF MTL MTP MVQ MXP MZE MZM NIC NLG PEH PEI PES PLZ PTE RHD ROK ROL RUR SDD SDP SIT "
        "SKK SRG SUR TJR TLE TPE UAK UGS UGW USS UYN UYP VEB VEF VNC XEU YDD YUD YUM YUN ZAL ZRN "
        "ZRZ ZWL ZWN ZWR"
    ),
}

# Currency codes, active and withdrawn, each with the digits of its minor unit.
CURRENCIES: Final[dict[str, int]] = {
    code: digits
    for lists in (_WITHDRAWN_BY_DIGITS, _CODES_BY_DIGITS)
    for digits, codes in lists.items()
    for code in codes.split()
}

# Decimal(38): what a column holds; arithmetic on values is as wide, and traps instead of rounding.
_WIDE: Final = Context(prec=38, rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency.

    Raises InvalidEntityError for a currency ISO 4217 never listed, for an amount that is not
    finite, and when two currencies meet in one sum.
    """

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal) or not self.amount.is_finite():
            raise InvalidEntityError("an amount of money is a finite decimal", hint="never a float")
        minor_digits(self.currency)

    def __add__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(_WIDE.add(self.amount, other.amount), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(_WIDE.subtract(self.amount, other.amount), self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)

    def rounded(self) -> "Money":
        """To the minor unit of the currency, half away from zero."""
        unit = Decimal(1).scaleb(-minor_digits(self.currency))
        return Money(self.amount.quantize(unit, context=_WIDE), self.currency)

    def _same_currency(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise InvalidEntityError(
                f"{self.currency} and {other.currency} do not add up",
                hint="convert at a dated rate first",
            )


def minor_digits(currency: str) -> int:
    """Digits after the point of a currency. Raises InvalidEntityError for an unknown code."""
    digits = CURRENCIES.get(currency)
    if digits is None:
        raise InvalidEntityError(
            f"{currency!r} is no iso 4217 currency", hint="upper-case alphabetic code"
        )
    return digits


def is_currency(code: pl.Expr) -> pl.Expr:
    """Whether each code is or was an ISO 4217 currency; null for null."""
    return code.is_in(list(CURRENCIES))


def exact_product(left: pl.Expr, right: pl.Expr, *, scale: int = 6) -> pl.Expr:
    """The product of two decimal columns, with `scale` digits after the point.

    Exact if the scales of the two add up to at most `scale`: hours (2) times a rate (4) need 6.
    polars multiplies at the larger of the two scales and rounds the rest away (2 x 4 gives 4
    digits), hence both are rescaled first. A product beyond 38 digits raises when the expression
    runs; rounding is left to `rounded`.
    """
    dtype = pl.Decimal(38, scale)
    return left.cast(dtype) * right.cast(dtype)


def rounded(amount: pl.Expr, currency: pl.Expr) -> pl.Expr:
    """Amounts to the minor unit of their currency, half away from zero; the scale is kept.

    Null where the currency is null or unknown: an amount that has no currency is no money.
    """
    digits = currency.replace_strict(CURRENCIES, default=None, return_dtype=pl.Int8)
    return pl.coalesce(
        pl.when(digits == count).then(amount.round(count, mode="half_away_from_zero"))
        for count in _CODES_BY_DIGITS
    )
