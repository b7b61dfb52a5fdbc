"""Secrets kept out of everything a person or a topic may see: one place that masks them.

A process remembers the values of its secrets where it reads them (settings, connector files,
tokens); whatever it writes about itself (logs, errors, traces) passes `mask`. Patterns catch what
was never remembered: passwords in addresses, bearer tokens, signed assertions, private keys.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK: Final = "***"
LENGTH_MIN: Final = 4
"""Shorter values are too common in any text to be replaced in it."""
REMEMBERED_MAX: Final = 256
_LINE_MIN: Final = 16

_SECRET_KEY: Final = re.compile(r"password|secret|token|credential|jaas|\.key$|key\.pem", re.I)
_PATTERNS: Final = (
    re.compile(r"(?<=://)(?P<secret>[^\s/@\"']+)@"),
    re.compile(r"\b(?:Bearer|Basic) (?P<secret>[A-Za-z0-9._~+/=\-]{8,})", re.I),
    re.compile(r"\b(?P<secret>eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)"),
    re.compile(r"(?P<secret>-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE"
               r" KEY-----|$))", re.S),
    re.compile(r"(?i)\b(?:password|passwd|pwd|sasl\.password)\s*[=:]\s*(?P<secret>[^\s,;'\"&]+)"),
)  # fmt: skip


class _Remembered:
    """The newest secrets of a process, in every spelling they may be written in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spellings: dict[str, tuple[str, ...]] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        with self._lock:
            self._spellings.pop(secret, None)
            self._spellings[secret] = tuple(_spellings(secret))
            while len(self._spellings) > REMEMBERED_MAX:
                del self._spellings[next(iter(self._spellings))]
            self._compile()

    def remove(self, secret: str) -> None:
        with self._lock:
            self._spellings.pop(secret, None)
            self._compile()

    def _compile(self) -> None:
        texts = {text for spelling in self._spellings.values() for text in spelling}
        longest_first = sorted(texts, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if texts else None

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        pattern = self._pattern
        return iter(()) if pattern is None else (found.span() for found in pattern.finditer(text))


def _spellings(secret: str) -> set[str]:
    lines = {line.strip() for line in secret.splitlines()}
    keys = {line for line in lines if len(line) >= _LINE_MIN and not line.startswith("-----")}
    texts = {secret, secret.strip(), *keys}
    texts |= {quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    texts |= {unquote(secret)}
    return {text for text in texts if len(text) >= LENGTH_MIN}


_remembered: Final = _Remembered()


def remember(secret: str) -> None:
    """Mask this value from now on. Too short values are masked by the patterns alone."""
    if len(secret.strip()) >= LENGTH_MIN:
        _remembered.add(secret)


def forget(secret: str) -> None:
    """No longer mask a value that has lapsed, such as a token that was replaced."""
    _remembered.remove(secret)


def remember_url(url: str) -> None:
    """Remember the password of an address, where it has one."""
    try:
        password = urlsplit(url).password
    except ValueError:  # not an address: whoever uses it will say so
        return
    if password:
        remember(password)


def is_secret_name(name: str) -> bool:
    """Whether a name says that its value is a secret, such as `sasl.password`."""
    return _SECRET_KEY.search(name) is not None


def remember_named(name: str, value: str) -> None:
    """Remember a value whose name says that it is a secret."""
    if is_secret_name(name):
        remember(value)


def mask(text: str) -> str:
    """Return the text without the secrets of this process and whatever looks like one.

    All are looked for in the text as it came: of two that overlap both are masked, and a secret
    that is a word by which others are known (`password`) hides none of these.
    """
    spans = [*_remembered.spans(text)]
    spans += (found.span("secret") for it in _PATTERNS for found in it.finditer(text))
    parts: list[str] = []
    done = 0
    for begin, end in sorted(spans):
        if end <= done:
            continue
        if begin > done or not parts:
            parts += (text[done:begin], MASK)
        done = end
    return "".join((*parts, text[done:]))
