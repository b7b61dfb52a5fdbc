"""Settings every process shares, from `PSASTREAM_` environment variables.

All problems are reported at once; an unknown `PSASTREAM_` variable is a problem.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from runtime.access import HttpAccess
from runtime.kafka import SECRETS as KAFKA_SECRETS
from runtime.kafka import KafkaSettings, refused_options
from runtime.secrets import mask, remember_named, remember_url
from runtime.tls import SecretFile, TlsFiles, client_context
from schemas.errors import ConfigError

PREFIX: Final = "PSASTREAM_"
TEST_PREFIX: Final = "PSASTREAM_TEST_"
KAFKA_PREFIX: Final = "PSASTREAM_KAFKA_"


FILE_SUFFIX: Final = "_FILE"
SECRETS: Final = frozenset(
    {"registry_password", "connect_password", "postgres_dsn", "read_model_url", "master_keys"}
)
"""Settings whose value may stand in a file, named by the variable with `_FILE` behind it."""
READ_MODEL_VARIABLES: Final = (f"{PREFIX}READ_MODEL_URL", f"{PREFIX}READ_MODEL_URL{FILE_SUFFIX}")
MASTER_KEYS: Final = (f"{PREFIX}MASTER_KEYS", f"{PREFIX}MASTER_KEYS{FILE_SUFFIX}")
_WHOLE: Final = (
    "username", "password", "ssl_ca_location", "ssl_certificate_location", "ssl_key_location",
)  # fmt: skip

URL: Final = r"^https?://[^\s/]+"


class Settings(BaseModel):
    """Where a process finds its neighbours and keeps its files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str = Field(
        min_length=1, description="Kafka bootstrap servers, host:port[,host:port]"
    )
    registry_url: str = Field(pattern=URL, description="schema registry URL")
    registry_username: str | None = Field(
        default=None, min_length=1, description="who signs in at the registry"
    )
    registry_password: str | None = Field(
        default=None, description="password of that user", repr=False
    )
    registry_ssl_ca_location: Path | None = Field(
        default=None,
        description="PEM file of the authorities that sign the registry's certificate; without it "
        "those that certifi trusts",
    )
    registry_ssl_certificate_location: Path | None = Field(
        default=None, description="PEM file of our certificate, where the registry asks for one"
    )
    registry_ssl_key_location: Path | None = Field(
        default=None, description="PEM file of its key, without a passphrase"
    )
    connect_url: str | None = Field(default=None, pattern=URL, description="Kafka Connect REST URL")
    connect_username: str | None = Field(
        default=None, min_length=1, description="who signs in at Kafka Connect"
    )
    connect_password: str | None = Field(
        default=None, description="password of that user", repr=False
    )
    connect_ssl_ca_location: Path | None = Field(
        default=None,
        description="PEM file of the authorities that sign Connect's certificate; without it those "
        "that the system trusts",
    )
    connect_ssl_certificate_location: Path | None = Field(
        default=None, description="PEM file of our certificate, where Connect asks for one"
    )
    connect_ssl_key_location: Path | None = Field(
        default=None, description="PEM file of its key, without a passphrase"
    )
    connector_owner: Literal["psastream", "strimzi"] = Field(
        default="psastream",
        description="who keeps the connectors on Kafka Connect: `psastream`, or `strimzi` by "
        "KafkaConnector resources; then psastream asks about connectors and changes none",
    )
    postgres_dsn: str | None = Field(
        default=None, description="in-house PSA database, as a libpq URI", repr=False
    )
    read_model_url: str | None = Field(
        default=None,
        pattern=r"^postgres(ql)?://",
        description="database of the read model, as a libpq URI",
        repr=False,
    )
    master_keys: str | None = Field(
        default=None,
        min_length=1,
        description="keys under which names and pay in topics and state are encrypted, "
        "`<version>:<key>` a line; without it they are not (`psastream docs encryption`)",
        repr=False,
    )
    data_dir: Path = Field(
        default=Path(".psastream"), description="folder for local state of this process"
    )
    cache_dir: Path | None = Field(
        default=None,
        description="folder for the downloads of `demo` and `up`, shared; without it `psastream` "
        "in the user's cache folder",
    )
    instance_id: str | None = Field(
        default=None,
        min_length=1,
        description="stable name of this process, one for each, such as its pod's: a restart "
        "takes over at once and fences whoever still bears the name; without it, after the session",
    )
    landscape: Path | None = Field(
        default=None,
        description="landscape.yaml of the firm: which system plays which role; without it the "
        "packaged one, `connectors/landscape.yaml`",
    )
    systems: tuple[Path, ...] = Field(
        default=(),
        description="folders of systems that are not the product's, one each, separated by ':'",
    )
    measures: tuple[Path, ...] = Field(
        default=(),
        description="SQL files of measures of the firm's own, or folders of them, separated by ':'",
    )
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="port of /metrics; 0 = not served"
    )
    metrics_host: str = Field(default="127.0.0.1", description="address of /metrics")
    processes: Mapping[str, str] = Field(
        default_factory=dict,
        description="where processes serve /metrics, for `psastream status`: "
        "name=http://host:port, separated by ','",
    )
    dead_letter_run_max: int = Field(
        default=1_000, ge=0, description="dead letters of a partition in a row that stop a worker"
    )
    dead_letter_ratio_max: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of dead letters in the last 10,000 records of a partition that does",
    )
    in_flight_max_bytes: int = Field(
        default=384 << 20,
        ge=1 << 20,
        description="of a worker: records fetched and not yet committed, all partitions together",
    )
    replication_factor: int = Field(default=3, ge=1, le=7, description="copies of each topic")
    log_json: bool = Field(default=False, description="one JSON object a log line")
    log_level: str = Field(
        default="INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="least severe line that is logged: DEBUG, INFO, WARNING, ERROR",
    )
    traces_url: str | None = Field(
        default=None,
        pattern=URL,
        description="where an OpenTelemetry collector takes OTLP over HTTP, as in "
        "http://collector:4318; without it nothing is traced",
    )
    traces_ratio: float = Field(
        default=0.01, ge=0, le=1, description="share of changes whose traces are kept"
    )
    kafka_extra: Mapping[str, str] = Field(
        default_factory=dict,
        description="librdkafka keys: PSASTREAM_KAFKA_SASL_USERNAME sets sasl.username",
        repr=False,
    )

    @field_validator("systems", "measures", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part for part in value.split(os.pathsep) if part)
        return value

    @field_validator("processes", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
        if any(not name or not re.fullmatch(URL + r"/?", url) for name, _, url in pairs):
            raise ValueError("each is name=http://host:port, without a path")
        names = [name for name, _, _ in pairs]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several are named {', '.join(twice)}")
        return {name: url.rstrip("/") for name, _, url in pairs}

    _files: Mapping[str, SecretFile] = PrivateAttr(default_factory=dict)
    """Files of secrets by the name of their field, or by librdkafka's key."""

    @property
    def kafka(self) -> KafkaSettings:
        """Connection settings for Kafka clients."""
        return KafkaSettings(
            bootstrap_servers=self.bootstrap_servers,
            extra=self.kafka_extra,
            secrets={key: file for key, file in self._files.items() if key in KAFKA_SECRETS},
        )

    @property
    def registry(self) -> HttpAccess:
        """How to reach the registry."""
        return self._access("registry", self.registry_url)

    @property
    def connect(self) -> HttpAccess | None:
        """How to reach Kafka Connect, where it is named."""
        return None if self.connect_url is None else self._access("connect", self.connect_url)

    def now(self, field: str) -> str | None:
        """Return a setting as it is now, where a file holds it; else as it was at the start."""
        file = self._files.get(field)
        if file is None:
            value = getattr(self, field)
            return None if value is None else str(value)
        remember_url(file.value)
        return file.value

    def _access(self, service: str, url: str) -> HttpAccess:
        names = (f"{service}_ssl_{part}_location" for part in ("ca", "certificate", "key"))
        password = f"{service}_password"
        return HttpAccess.of(
            url,
            user=getattr(self, f"{service}_username"),
            password=self._files.get(password) or getattr(self, password),
            tls=TlsFiles(*(getattr(self, name) for name in names)),
        )

    @model_validator(mode="after")
    def _sign_in_is_whole(self) -> Self:
        for service in ("registry", "connect"):
            values = {part: getattr(self, f"{service}_{part}") for part in _WHOLE}
            variable = f"{PREFIX}{service.upper()}"
            if (values["username"] is None) != (values["password"] is None):
                raise ValueError(f"{variable}_USERNAME and {variable}_PASSWORD go together")
            if values["ssl_key_location"] and not values["ssl_certificate_location"]:
                raise ValueError(
                    f"{variable}_SSL_KEY_LOCATION needs {variable}_SSL_CERTIFICATE_LOCATION"
                )
            tls = TlsFiles(*(values[part] for part in _WHOLE[2:]))
            if tls.paths:
                try:
                    client_context(tls)
                except ConfigError as error:
                    raise ValueError(f"{variable}_SSL_*: {error.detail}") from error
        return self

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings. Raises ConfigError naming every variable that is wrong or unknown."""
        values: dict[str, object] = {}
        extra: dict[str, str] = {}
        files: dict[str, SecretFile] = {}
        problems: list[str] = []
        for name, value in environ.items():
            if name.startswith(TEST_PREFIX) or not name.startswith(PREFIX):
                continue
            if not (_is_text(name) and _is_text(value)):
                problems.append(f"{_shown(name)}: not a text in UTF-8 without NUL")
                continue
            is_of_kafka = name.startswith(KAFKA_PREFIX)
            given, key = value, _key(name)
            if (secret := _held_in_file(name)) is not None:
                key = secret
                if name.removesuffix(FILE_SUFFIX) in environ:
                    problems.append(f"{name}: the variable is set without {FILE_SUFFIX}, too")
                    continue
                try:
                    files[key] = SecretFile(Path(value))
                except ConfigError as error:
                    problems.append(f"{name}: {_shown(error.detail)}")
                    continue
                given = files[key].value
            (extra if is_of_kafka else values)[key] = given
        if extra:
            values["kafka_extra"] = extra
        problems += _kafka_problems(extra)
        named = {problem.partition(":")[0] for problem in problems}
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            for item in error.errors(include_input=False):
                name = f"{PREFIX}{'_'.join(str(part) for part in item['loc']).upper()}"
                is_unknown = item["type"] == "extra_forbidden"
                meant = _like(name, cls.model_fields) if is_unknown else ""
                problems += [] if name in named else [f"{_shown(name)}: {_problem(item)}{meant}"]
        if problems:
            raise ConfigError(
                f"the environment is not a valid configuration: {'; '.join(problems)}",
                problems=problems,
                hint="psastream docs configuration lists every variable; a demo that is kept and"
                " `psastream up` print what sets them",
            )
        settings._files = files
        settings.remember_secrets()
        return settings

    def remember_secrets(self) -> None:
        """Have the secrets among the settings masked in whatever this process writes."""
        for address in (
            self.registry_url,
            self.connect_url,
            self.postgres_dsn,
            self.read_model_url,
            self.traces_url,
        ):
            if address:
                remember_url(address)
        for name, value in (
            *self.kafka_extra.items(),
            ("password", self.registry_password or ""),
            ("password", self.connect_password or ""),
        ):
            remember_named(name, value)


def _kafka_problems(extra: Mapping[str, str]) -> list[str]:
    """What librdkafka does not take, with the variables it comes from."""
    for name, value in extra.items():
        remember_named(name, value)
    problems = []
    for key, reason in refused_options(extra).items() if extra else ():
        keys = sorted(extra) if key is None else [key]
        names = ", ".join(_shown(_variable(each)) for each in keys)
        problems.append(f"{names}: {_shown(mask(reason))}")
    return problems


def _problem(item: ErrorDetails) -> str:
    """What is wrong with a variable, in words that do not need pydantic's."""
    words = {"missing": "is not set", "extra_forbidden": "there is no such variable"}
    return words.get(item["type"], item["msg"])


def _like(name: str, fields: Iterable[str]) -> str:
    """`; did you mean …?` where the variable of a field is like this one, else nothing."""
    close = get_close_matches(name, [PREFIX + field.upper() for field in fields], n=1, cutoff=0.8)
    return f"; did you mean {close[0]}?" if close else ""


def _key(name: str) -> str:
    """The field of a variable, or librdkafka's key."""
    if name.startswith(KAFKA_PREFIX):
        return name.removeprefix(KAFKA_PREFIX).lower().replace("_", ".")
    return name.removeprefix(PREFIX).lower()


def _held_in_file(name: str) -> str | None:
    """The key whose secret stands in the file that a variable names; None for other variables."""
    if not name.endswith(FILE_SUFFIX):
        return None
    key = _key(name.removesuffix(FILE_SUFFIX))
    known = KAFKA_SECRETS if name.startswith(KAFKA_PREFIX) else SECRETS
    return key if key in known else None


def _variable(key: str) -> str:
    return KAFKA_PREFIX + key.upper().replace(".", "_")


def _is_text(value: str) -> bool:
    """Whether C libraries can be given it: what is not UTF-8 in the environment comes as halves."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _shown(text: str) -> str:
    """The text as any terminal can show it, on one line."""
    shown = text.encode("ascii", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in shown)
