"""A polled source made of a rest.yaml and a connector file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.polled.config import ApiConfig, PolledConfig, read_secret_file
from connectors.polled.conversion import RowReader
from connectors.polled.fingerprint import read_fields
from connectors.polled.model import ObjectReader
from connectors.polled.quota import Quota
from connectors.rest.asks import PAGE_SIZE, fill_params
from connectors.rest.auth import CERTIFICATE, MAY_TAKE, TAKES, authenticator, plain, query_of
from connectors.rest.declaration import RestConfig, read_declaration, shows_certificate
from connectors.rest.deltas import DeltaReader
from connectors.rest.describing import described
from connectors.rest.policy import policy_of
from connectors.rest.queues import EachReader, QueueReader
from connectors.rest.reader import Allowance, Api, Parents, RestReader
from connectors.rest.rows import items_of, layout_of
from connectors.toolkit.body import ROWS
from connectors.toolkit.config import BaseUrl
from connectors.toolkit.http import Limiter, RetrySettings, VendorClient
from connectors.toolkit.metadata import Described
from runtime.certificates import CLIENT, CertificateFile, keep_end
from runtime.tls import TlsFiles, client_context
from schemas.codec.record import AvroSchema
from schemas.errors import ConfigError
from schemas.system import SystemBundle

PARAMETER: Final = "parameter."
REFRESH: Final = "auth.refresh.token"


class RestConnectorConfig(ApiConfig):
    """Address and credentials of an account. `parameter.<name>` sets a parameter of rest.yaml."""

    user_agent: str = Field(
        default="psastream", alias="user.agent", description="User-Agent of every request"
    )
    quota_reserve_ratio: float = Field(
        default=0.2,
        alias="quota.reserve.ratio",
        ge=0,
        lt=1,
        description="share of the account's requests left to everybody else, where answers tell it",
    )
    auth_url: BaseUrl | None = Field(
        default=None,
        alias="auth.url",
        pattern=r"^https?://[^\s]+[^/\s]$",
        description="base URL of what gives tokens, where it is not that of the API",
    )
    token: SecretStr | None = Field(default=None, alias="auth.token")
    username: str | None = Field(default=None, alias="auth.username")
    password: SecretStr | None = Field(
        default=None, alias="auth.password", description="password of that user"
    )
    client_id: SecretStr | None = Field(default=None, alias="auth.client.id")
    client_secret: SecretStr | None = Field(
        default=None, alias="auth.client.secret", description="secret of that client"
    )
    refresh_token: SecretStr | None = Field(
        default=None, alias="auth.refresh.token", description="what asks for tokens"
    )
    refresh_token_file: Path | None = Field(
        default=None,
        alias="auth.refresh.token.file",
        description="file of that token, which each new one is written to; one process may use it",
    )
    private_key: SecretStr | None = Field(default=None, alias="auth.private.key.file")
    certificate: Path | None = Field(
        default=None,
        alias="auth.certificate.file",
        description="file of the client's certificate, in PEM, which servers are shown",
    )
    certificate_key: Path | None = Field(
        default=None,
        alias="auth.certificate.key.file",
        description="file of the private key of that certificate, in PEM",
    )
    parameters: Mapping[str, str] = Field(
        default={},
        description="parameters of rest.yaml, a key `parameter.<name>` each",
    )

    @model_validator(mode="before")
    @classmethod
    def _collect(cls, document: Any) -> Any:
        if not isinstance(document, dict) or "parameters" in document:
            return document
        found = {key: value for key, value in document.items() if key.startswith(PARAMETER)}
        rest = {key: value for key, value in document.items() if key not in found}
        named = {key.removeprefix(PARAMETER): value for key, value in found.items()}
        return rest | ({"parameters": named} if named else {})

    @model_validator(mode="after")
    def _one_refresh_token(self) -> Self:
        if self.refresh_token is not None and self.refresh_token_file is not None:
            raise ValueError("auth.refresh.token and auth.refresh.token.file: set one of both")
        return self

    @field_validator("private_key", mode="before")
    @classmethod
    def _read_key(cls, path: object) -> SecretStr:
        return read_secret_file(path)

    @property
    def certificates(self) -> Sequence[CertificateFile]:
        """That of the client, where it shows one."""
        if self.certificate is None:
            return ()
        where = f"{self.name}, auth.certificate.file"
        return (CertificateFile(self.system, CLIENT, where, self.certificate),)

    def secret(self, key: str) -> str:
        """Return the value of a key whose content is secret."""
        [name] = [name for name, field in type(self).model_fields.items() if field.alias == key]
        return plain(getattr(self, name))

    def given(self) -> set[str]:
        """Names of the keys of credentials that are set."""
        found = {
            str(field.alias)
            for name, field in type(self).model_fields.items()
            if str(field.alias).startswith("auth.") and getattr(self, name) is not None
        }
        return found | ({REFRESH} if self.refresh_token_file is not None else set())


class RestSource:
    """The readers of one account, on one client."""

    config_model: ClassVar[type[PolledConfig]] = RestConnectorConfig

    def __init__(
        self,
        config: RestConnectorConfig,
        system: SystemBundle,
        retry: RetrySettings | None = None,
    ) -> None:
        """Raises ConfigError where the connector file and rest.yaml do not fit each other."""
        declared = read_declaration(system)
        _require_fitting(config, declared)
        tls = None
        if config.certificate is not None:
            tls = client_context(TlsFiles(None, config.certificate, config.certificate_key))
        for file in config.certificates:
            keep_end(file)
        self._client = VendorClient(
            config.url,
            authenticator(declared.auth, config, system=system.name, tls=tls),
            policy_of(system.name, declared),
            user_agent=config.user_agent,
            timeout_s=config.request_timeout_ms / 1000,
            limiter=Limiter(config.max_in_flight, config.requests_per_second),
            retry=retry,
            bounds=ROWS,
            tls=tls,
        )
        self.config = config
        self.system = system
        self._declared = declared
        self._api = Api(
            self._client,
            config.url,
            headers=fill_params(
                declared.headers, {**config.parameters, PAGE_SIZE: str(config.page_size)}
            ),
            query=query_of(declared.auth, config),
            parameters=config.parameters,
            page_size=config.page_size,
            paginator=declared.paginator,
            allowance=Allowance(
                system.name,
                declared.rate_limit,
                config.quota_reserve_ratio,
                Quota(system.name, config.quota_reserve_ratio),
            ),
        )

    @classmethod
    def objects_of(cls, system: SystemBundle) -> Collection[str]:
        """What its rest.yaml declares. Raises ConfigError naming every problem of it."""
        return read_declaration(system).objects.keys()

    @classmethod
    def from_config(cls, config: PolledConfig, system: SystemBundle) -> Self:
        """Make the source from its validated configuration."""
        assert isinstance(config, RestConnectorConfig)
        return cls(config, system)

    def reader(self, obj: str, contract: AvroSchema) -> ObjectReader:
        """Return the reader of an object, whose rows have the fields of the contract."""
        declared, mapped = self._declared.objects[obj], self.system.objects[obj]
        rows = RowReader(contract, layout_of(declared, mapped.keys, mapped.deleted_when))
        if declared.delta is not None:
            return DeltaReader(self._api, declared, declared.delta, rows)
        if declared.each is not None:
            key_path = declared.columns.get(mapped.key, mapped.key)
            reads = EachReader if declared.queue is None else QueueReader
            return reads(self._api, declared, rows, key_path)
        parents = None
        if declared.parent is not None:
            of = self._declared.objects[declared.parent.object]
            key = self.system.objects[declared.parent.object].key
            parents = Parents(of, of.columns.get(key, key), mapped.key)
        return RestReader(self._api, declared, rows, parents)

    async def sign_in(self) -> datetime | None:
        """See SignsIn: reads the first page of the first list."""
        objects = self._declared.objects.items()
        obj = next(name for name, declared in objects if declared.parent is None)
        if self._declared.objects[obj].each is not None:  # the list alone will do
            async for part in self._api.pages(self._declared.objects[obj], {}):
                return part.response.server_at
        async for page in self.reader(obj, self.system.contract(obj)).changes(None):
            return page.server_at
        return None

    async def describe(self, obj: str) -> Mapping[str, Described | None] | None:
        """See Describes."""
        declared, contract = self._declared.objects[obj], self.system.contract(obj)
        return await described(self._api, declared, read_fields(contract))

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()


def shape(system: SystemBundle, obj: str, row: object) -> object:
    """Return a row of the API with its nested columns as fields; several, if it holds several."""
    declared = read_declaration(system).objects[obj]
    rows = items_of(row, declared)
    return rows[0] if declared.expand is None else rows


def _require_fitting(config: RestConnectorConfig, declared: RestConfig) -> None:
    takes, given = TAKES[type(declared.auth)], config.given()
    if shows_certificate(declared.auth):
        takes |= CERTIFICATE
    kind = declared.auth.type
    problems = [f"{key} is missing: auth is {kind} in rest.yaml" for key in sorted(takes - given)]
    problems += [
        f"{key} is not taken: auth is {kind} in rest.yaml"
        for key in sorted(given - takes - MAY_TAKE.get(type(declared.auth), frozenset()))
    ]
    names = set(declared.parameters)
    problems += [f"{PARAMETER}{name} is missing" for name in sorted(names - set(config.parameters))]
    problems += [
        f"{PARAMETER}{name} is no parameter of rest.yaml"
        for name in sorted(set(config.parameters) - names)
    ]
    for name in {obj.windows.first for obj in declared.objects.values() if obj.windows}:
        try:
            date.fromisoformat(config.parameters.get(name, "2000-01-01"))
        except ValueError:
            problems.append(f"{PARAMETER}{name} is no day, as 2026-01-31 is one")
    if problems:
        raise ConfigError(
            "; ".join(problems), hint="the connector file sets what rest.yaml asks for, no more"
        )
