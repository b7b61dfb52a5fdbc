"""Connector configuration files: JSON in Debezium's style, with secrets left outside.

A string may hold `${env:NAME}` or `${file:/path}`; both are replaced when the file is loaded.
`${env:NAME}` is what stands in the file that the variable `NAME_FILE` names, where it does. A
model maps the dotted keys with aliases and declares secrets as `SecretStr`, so that neither logs
nor error messages show them. Every problem of a file is reported at once.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from runtime.secrets import remember, remember_url
from runtime.settings import FILE_SUFFIX
from schemas.errors import ConfigError
from schemas.yaml_text import is_encodable

_PLACEHOLDER: Final = re.compile(r"\$\{(?P<provider>[a-z]+):(?P<name>[^}]+)\}")

_KEY_FILE: Final = "private.key.file"
"""End of the keys whose value is the path of a file with a key."""

FILE_BYTES_MAX: Final = 1024 * 1024

Model = TypeVar("Model", bound=BaseModel)


def _base_url(text: str) -> str:
    """Return an address below which paths are asked for. Raises ValueError, without its text."""
    try:
        url = urlsplit(text)
        has_port = url.port != 0
    except ValueError:
        raise ValueError("this is no URL with a host and a port") from None
    if url.scheme not in ("http", "https") or not url.hostname or not has_port or " " in text:
        raise ValueError("this is no URL with http or https, a host and a port")
    if "@" in url.netloc:
        raise ValueError("credentials do not belong into a URL: they have keys of their own")
    if "?" in text or "#" in text:
        raise ValueError("a base URL has no query and no fragment")
    return text


BaseUrl = Annotated[str, AfterValidator(_base_url)]
"""http or https, a host, perhaps a port and a path."""


def load_config(path: Path, model: type[Model], environment: Mapping[str, str]) -> Model:
    """Return the connector configuration at `path`. Raises ConfigError naming every problem."""
    return parse_config(read_document(path), model, environment, origin=str(path))


def read_document(path: Path) -> dict[str, Any]:
    """Return the JSON object at `path`, placeholders untouched. Raises ConfigError."""
    shown = repr(str(path))[1:-1]  # a path may hold what no terminal should be given
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(f"connector configuration {shown} is larger than a configuration")
        document = json.loads(path.read_text("utf-8"), object_pairs_hook=_names_once)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"cannot read connector configuration {shown}: {reason}",
            hint="--config names a readable JSON file: connectors/vendors/float/source.json is one",
        ) from error
    if not isinstance(document, dict):
        raise ConfigError(f"connector configuration {path} is not a JSON object")
    return document


def secret_files(document: Mapping[str, Any], environment: Mapping[str, str]) -> list[Path]:
    """Return the files that a configuration has its secrets from.

    They are those of `${file:}`, those of variables that files hold, and key files.
    """
    found: list[Path] = []
    for key, value in document.items():
        if not isinstance(value, str):
            continue
        for match in _PLACEHOLDER.finditer(value):
            if match["provider"] == "file":
                found.append(Path(match["name"]))
            elif (held := environment.get(match["name"] + FILE_SUFFIX)) is not None:
                found.append(Path(held))
        if key.endswith(_KEY_FILE):
            with suppress(LookupError):
                found.append(Path(str(_resolve(value, environment))))
    return found


def _names_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON. Raises ValueError: of a name there twice, the last would count alone."""
    found: dict[str, object] = {}
    for name, value in pairs:
        if not is_encodable(name):
            raise ValueError(f"{name!a} is no name")
        if name in found:
            raise ValueError(f"{name!a} is there twice")
        found[name] = value
    return found


def parse_config(
    document: Mapping[str, Any],
    model: type[Model],
    environment: Mapping[str, str],
    *,
    origin: str,
) -> Model:
    """Resolve the placeholders of `document` and validate it. Raises ConfigError.

    A key whose placeholder cannot be resolved is reported once, not again as missing.
    """
    problems: list[str] = []
    unresolved: set[str] = set()
    values: dict[str, object] = {}
    for key, value in document.items():
        try:
            values[key] = _resolve(value, environment)
        except LookupError as error:
            unresolved.add(key)
            problems.append(f"{key}: {error.args[0]}")
        else:
            if (problem := _unsendable(values[key])) is not None:
                problems.append(f"{ascii(key)[1:-1]}: {problem}")
                unresolved.add(key)
                del values[key]
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        problems += _problems(error, unresolved)
    if problems:
        raise ConfigError(
            f"connector configuration {origin} is wrong: {'; '.join(problems)}",
            problems=[f"{origin}: {each}" for each in problems],
            hint="set the named environment variables and correct the named keys",
        )
    remember_secrets(config)
    return config


def offline_problems(document: Mapping[str, Any], model: type[BaseModel]) -> list[str]:
    """Return what is wrong with a configuration whatever its placeholders stand for."""
    problems: list[str] = []
    unknown: set[str] = set()
    values: dict[str, object] = {}
    for key, value in document.items():
        if isinstance(value, str) and "${" in value:
            unknown.add(key)
            if "${" in _PLACEHOLDER.sub("", value):
                problems.append(f"{key}: a placeholder is ${{env:NAME}} or ${{file:/path}}")
        elif (problem := _unsendable(value)) is not None:
            unknown.add(key)
            problems.append(f"{ascii(key)[1:-1]}: {problem}")
        else:
            values[key] = value
    try:
        model.model_validate(values | dict.fromkeys(unknown, "?"))
    except ValidationError as error:
        odd = (item for item in error.errors() if item["type"] == "extra_forbidden")
        strangers = {_where(item) for item in odd}
        # What checks several keys together knows nothing of a value that is not there.
        problems += _problems(error, (unknown - strangers) | ({""} if unknown else set()))
    return problems


def _problems(error: ValidationError, unresolved: Collection[str]) -> Iterator[str]:
    for item in error.errors(include_input=False, include_url=False):
        if (where := _where(item)) not in unresolved:
            yield f"{where}: {item['msg']}"


def _where(item: ErrorDetails) -> str:
    return ".".join(str(part) for part in item["loc"])


def _unsendable(value: object) -> str | None:
    """Why a text cannot be part of a request: JSON may hold anything, and so may a variable."""
    if not isinstance(value, str):
        return None
    if not is_encodable(value):
        return "not a text in UTF-8"
    if any(unicodedata.category(letter) == "Cc" for letter in value):
        return "it holds a line break or another control character"
    return None


def remember_secrets(config: BaseModel) -> None:
    """Have the secrets of a configuration masked in whatever this process writes."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, SecretStr):
            remember(value.get_secret_value())
        elif isinstance(value, str) and "://" in value:
            remember_url(value)


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise LookupError(f"file {path!r} cannot be read: {reason}") from error


def _resolve(value: object, environment: Mapping[str, str]) -> object:
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        provider, name = match["provider"], match["name"]
        if provider == "env":
            if (held := environment.get(name + FILE_SUFFIX)) is not None:
                return _text_of(held)
            if name not in environment:
                raise LookupError(f"environment variable {name} is not set")
            return environment[name]
        if provider == "file":
            return _text_of(name)
        raise LookupError(f"unknown placeholder provider {provider}")

    if "${" in _PLACEHOLDER.sub("", value):
        raise LookupError("a placeholder is ${env:NAME} or ${file:/path}")
    return _PLACEHOLDER.sub(replacement, value)
