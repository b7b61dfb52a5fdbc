"""Canonical ids minted for whole columns; the same ids as `identity` mints one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
import polars as pl

from schemas import identity
from schemas.exact import FEW
from schemas.mapping.config import Mint

# Ids that many rows share; the cache spans chunks.
_MINTED_MAX: Final = 65_536
_SHARED: Final[dict[Mint, Callable[[str], str]]] = {
    Mint.CUSTOMER: lru_cache(_MINTED_MAX)(identity.customer_id),
    Mint.ENGAGEMENT: lru_cache(_MINTED_MAX)(identity.engagement_id),
    Mint.PROJECT: lru_cache(_MINTED_MAX)(identity.engagement_id),
    Mint.RESOURCE: lru_cache(_MINTED_MAX)(identity.resource_id),
}
_BASE32: Final = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", np.uint8)
_CORRELATION: Final = b"cor-"
_DIGEST_BYTES: Final = 10  # 16 characters of 5 bits


def typed_texts(text: pl.Expr) -> pl.Expr:
    """`identity.typed` of each text."""
    visible = text.str.replace_all(f"[{identity.ZERO_WIDTH}]", "").str.strip_chars(identity.BLANKS)
    return pl.when(visible.str.len_bytes() > 0).then(visible)


def native_ids(form: identity.IdForm, text: pl.Expr) -> pl.Expr:
    """`identity.native_id` of each text."""
    return _each(lambda native: identity.native_id(form, native), text)


def _each(function: Callable[[str], str | None], text: pl.Expr) -> pl.Expr:
    """A function of each text, taken once a text; null for null."""

    def make(texts: pl.Series) -> pl.Series:
        given: list[str | None] = texts.to_list()
        made = {each: None if each is None else function(each) for each in set(given)}
        return pl.Series(texts.name, list(map(made.__getitem__, given)), dtype=pl.String)

    return text.map_batches(make, return_dtype=pl.String, is_elementwise=True)


def minted(mint: Mint, root: pl.Expr) -> pl.Expr:
    """The id minted from each root, null for null. `Mint.PROJECT` gives the engagement's part."""
    if mint is Mint.CORRELATION:
        return root.map_batches(correlation_ids, return_dtype=pl.String, is_elementwise=True)
    return _each(_SHARED[mint], root)


def correlation_ids(roots: pl.Series) -> pl.Series:
    """`identity.correlation_id` of each root.

    Nearly every row is the root of its own work, so there is nothing to cache: only the hash is
    taken root by root, its letters are made for all of them at once.
    """
    if len(roots) <= FEW:
        each = [None if root is None else identity.correlation_id(root) for root in roots.to_list()]
        return pl.Series(roots.name, each, dtype=pl.String)
    digests = b"".join(
        [hashlib.sha256((root or "").encode()).digest()[:_DIGEST_BYTES] for root in roots.to_list()]
    )
    octets = np.frombuffer(digests, np.uint8).reshape(len(roots), _DIGEST_BYTES)
    bits = np.unpackbits(octets, axis=1).reshape(len(roots), _DIGEST_BYTES * 8 // 5, 5)
    letters = _BASE32[bits @ np.array([16, 8, 4, 2, 1], np.uint8)]
    prefix = np.tile(np.frombuffer(_CORRELATION, np.uint8), (len(roots), 1))
    text = np.hstack([prefix, letters]).tobytes().decode()
    size = prefix.shape[1] + letters.shape[1]
    ids = [text[at : at + size] for at in range(0, len(text), size)]
    series = pl.Series(roots.name, ids, dtype=pl.String)
    return series.set(roots.is_null(), None) if roots.null_count() else series
