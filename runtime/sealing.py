"""Encrypts what topics and state hold of people and of pay, and opens it again.

Ciphertext is `<mark 8><id of the data key 8><nonce 12><AES-256-GCM-SIV, tag included>` (RFC 8452):
random nonces, which may meet without harm. The mark and the id are authenticated. Bytes without the
mark are taken as they are, so records of before encryption was turned on can be read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from runtime.data_keys import ID_BYTES, DataKey, DataKeys, KafkaKeyLog
from runtime.master_keys import KeyFile
from runtime.settings import Settings
from schemas.codec.framing import HEADER_BYTES, SEALED, frame, unframe
from schemas.codec.record import AvroSchema, RecordCodec
from schemas.errors import DecodeError
from schemas.sealing import (
    FIELD,
    FIRM,
    PAY,
    Form,
    Share,
    form_of,
    has_field,
    joined,
    share_of,
    shares_of,
    split,
)
from schemas.topics import ROW_ID, Topic

LETTER: Final = "letter"
"""Subject of the keys of dead letters. Each has a key of its own: whom it tells of is not known."""
_NOBODY: Final = "nobody"
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = len(SEALED) + ID_BYTES
_DEAD_LETTERS: Final = "psa.dlq"

Values = Sequence[bytes | None]
Opened = Callable[[Values], Values]


class Sealing:
    """Seals and opens values of topics, and bytes of state. Thread-safe."""

    def __init__(self, keys: DataKeys, schema: Callable[[int], AvroSchema]) -> None:
        """`schema` gives the schema of an id."""
        self.keys = keys
        self._schema = schema
        self._forms: dict[str, Form | None] = {}
        self._codecs: dict[int, RecordCodec | None] = {}

    def seal_values(self, topic: Topic, values: Values, subject: str | None = None) -> Values:
        """Return values of a topic as they may be written. `subject`: the person all tell of."""
        if topic.name not in self._forms:
            self._forms[topic.name] = form_of(topic)
        match self._forms[topic.name]:
            case None:
                return values
            case Form.WHOLE:
                return self.seal([subject or FIRM] * len(values), values)
            case Form.FIELDS:
                return self._seal_fields(topic, values)

    def seal(self, subjects: Sequence[str], values: Values) -> list[bytes | None]:
        """Encrypt bytes, each for its subject; those of one that was forgotten nobody can open."""
        self.keys.refresh()
        keys = self.keys.to_seal(subjects)
        return [
            None if value is None else _sealed(keys[subject] or self._lost(), value)
            for subject, value in zip(subjects, values, strict=True)
        ]

    def open(self, value: bytes) -> bytes | None:
        """Return what was encrypted, or the bytes as they are; None: its key was destroyed."""
        if not value.startswith(SEALED):
            return value
        key = self.keys.to_open(key_id_of(value))
        if key is None:
            return None
        nonce, rest = (
            value[_HEAD_BYTES : _HEAD_BYTES + _NONCE_BYTES],
            value[_HEAD_BYTES + _NONCE_BYTES :],
        )
        try:
            return key.cipher.decrypt(nonce, rest, value[:_HEAD_BYTES])
        except (InvalidTag, ValueError) as error:
            raise DecodeError(
                "the record was changed after it was encrypted",
                hint="find who writes to the topic beside psastream",
            ) from error

    def open_values(self, values: Values) -> Values:
        """Return values as they were before they were sealed.

        One whose key was destroyed is None, as if it had been deleted; of a record whose fields
        were sealed with it, those fields are null. What cannot be opened is left as it is: who
        decodes it says so.
        """
        self.keys.refresh()
        return [None if value is None else self._open_value(value) for value in values]

    def key_ids(self, value: bytes) -> list[bytes]:
        """Return the keys that a record needs to be opened whole. Raises DecodeError."""
        if value.startswith(SEALED):
            return [key_id_of(value)]
        _, row = self._fields(value)
        return [key_id_of(part) for part in split(row.get(FIELD) or b"")]

    def subjects(self, value: bytes) -> set[str]:
        """Return whose keys a record needs that is encrypted whole. Raises FatalError."""
        key = self.keys.to_open(key_id_of(value)) if value.startswith(SEALED) else None
        return set() if key is None else {key.subject}

    def _open_value(self, value: bytes) -> bytes | None:
        try:
            opened = self.open(value)
            return opened if opened is None or opened is not value else self._open_fields(value)
        except DecodeError:
            return value

    def _open_fields(self, value: bytes) -> bytes:
        codec, row = self._fields(value)
        if codec is None or row[FIELD] is None:
            return value
        for part in split(row[FIELD]):
            opened = self.open(part)
            if opened is not None:
                row |= Share.decode(codec.schema, opened)
        row[FIELD] = None
        return value[:HEADER_BYTES] + codec.encode(row)

    def _seal_fields(self, topic: Topic, values: Values) -> Values:
        self.keys.refresh()
        rows = {at: self._fields(value) for at, value in enumerate(values) if value is not None}
        shares = shares_of(topic)
        subjects = {at: _subject(topic, row) for at, (_, row) in rows.items()}
        keys = self.keys.to_seal({FIRM, PAY, *subjects.values()} - {LETTER})
        is_letter = topic.name == _DEAD_LETTERS
        letters = iter(self.keys.fresh(LETTER, len(rows)) if is_letter else [])
        sealed = list(values)
        for at, (codec, row) in rows.items():
            if codec is None:
                continue
            parts = []
            for is_pay, names in shares.items():
                if any(row[name] is not None for name in names):
                    key = keys[PAY] if is_pay else (next(letters, None) or keys.get(subjects[at]))
                    data = share_of(codec.schema, names).encode(row)
                    parts += [] if key is None else [_sealed(key, data)]
            hidden = dict.fromkeys(topic.personal_data)
            schema_id, _ = unframe(values[at] or b"")
            record = {**row, **hidden, FIELD: joined(parts) or None}
            sealed[at] = frame(schema_id, codec.encode(record))
        return sealed

    def _fields(self, value: bytes) -> tuple[RecordCodec | None, dict[str, Any]]:
        """The record, where its schema has a field for what is encrypted."""
        schema_id, payload = unframe(value)
        if schema_id not in self._codecs:
            schema = self._schema(schema_id)
            self._codecs[schema_id] = RecordCodec(schema) if has_field(schema) else None
        codec = self._codecs[schema_id]
        return codec, {} if codec is None else codec.decode(payload)

    def _lost(self) -> DataKey:
        """A key that is in no log: what it encrypts nobody opens."""
        return DataKey(os.urandom(ID_BYTES), _NOBODY, AESGCMSIV(AESGCMSIV.generate_key(256)))


def key_id_of(sealed: bytes) -> bytes:
    """Return which key encrypted bytes need."""
    return sealed[len(SEALED) : _HEAD_BYTES]


def _sealed(key: DataKey, data: bytes) -> bytes:
    head, nonce = SEALED + key.id, os.urandom(_NONCE_BYTES)
    return head + nonce + key.cipher.encrypt(nonce, data, head)


def _subject(topic: Topic, row: Mapping[str, object]) -> str:
    if topic.name == _DEAD_LETTERS:
        return LETTER
    named = None if topic.subject in (None, ROW_ID) else row.get(str(topic.subject))
    return str(named) if named else FIRM


def sealing_of(settings: Settings, schema: Callable[[int], AvroSchema]) -> Sealing | None:
    """Return what encrypts, where there are master keys; None: nothing is encrypted.

    `schema` gives the schema of an id. Raises ConfigError for master keys that are none.
    """
    if settings.master_keys is None:
        return None
    master = KeyFile(lambda: settings.now("master_keys") or "")
    return Sealing(DataKeys(KafkaKeyLog(settings.kafka), master), schema)


def as_it_is(values: Values) -> Values:
    """Return values as they are: nothing is encrypted."""
    return values
