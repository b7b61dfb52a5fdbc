"""A broker whose listeners ask for certificates and passwords, and the certificates.

Everything is made anew: authorities, certificates with what is wrong with them, users.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from sandbox.stack.ports import HIGHEST_PORT, HOST, LOWEST_PORT, is_free
from sandbox.stack.settings import Part
from tests.support.certificates import Authority, Pem
from tests.support.stack import (
    BOOTSTRAP,
    RunningStack,
    running_stack,
    stack_directory,
    stack_settings,
)

USER, PASSWORD = "psastream-processes", "scram-Secret-1"
KAFKA = "PSASTREAM_KAFKA_"
_LISTENERS = {
    "MTLS": "SSL",
    "SCRAM": "SASL_SSL",
    "OAUTH": "SASL_SSL",
    "ELSEWHERE": "SSL",
    "EXPIRED": "SSL",
}
"""Names of listeners: with a client certificate, with a password, with a token; those whose own
certificate is for another host name, and has expired."""


@dataclass(frozen=True, slots=True)
class SecureKafka:
    """Where its listeners are, and what their clients need."""

    stack: RunningStack
    folder: Path
    ports: Mapping[str, int]
    authority: Authority
    stranger: Authority
    """One that nobody trusts."""
    client: Pem

    def address(self, listener: str) -> str:
        """host:port of a listener."""
        return f"{HOST}:{self.ports[listener]}"

    def mtls(self, client: Pem | None = None) -> dict[str, str]:
        """librdkafka keys for the listeners that ask for a certificate."""
        pem = client or self.client
        return {
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.authority.certificate),
            "ssl.certificate.location": str(pem.certificate),
            "ssl.key.location": str(pem.key),
        }

    def scram(self, password: str = PASSWORD, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """librdkafka keys for the listener that asks for a password."""
        return {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.authority.certificate),
            "sasl.mechanism": mechanism,
            "sasl.username": USER,
            "sasl.password": password,
        }

    def set_password(self, password: str) -> None:
        """Have the broker know another password of the user, and the old one no more."""
        admin = AdminClient({"bootstrap.servers": self.stack.addresses.bootstrap_servers})
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            information = ScramCredentialInfo(mechanism, 4096)
            change = UserScramCredentialUpsertion(USER, information, password.encode())
            for future in admin.alter_user_scram_credentials([change]).values():
                future.result(30)


def environment(options: Mapping[str, str]) -> dict[str, str]:
    """The variables that set librdkafka keys."""
    return {KAFKA + key.upper().replace(".", "_"): value for key, value in options.items()}


@dataclass(frozen=True, slots=True)
class Plan:
    """Certificates and properties of a broker that is yet to be started."""

    folder: Path
    ports: Mapping[str, int]
    authority: Authority
    stranger: Authority
    properties: Mapping[str, str]


def make_plan(directory: Path) -> Plan:
    """Issue the certificates into a folder below `directory`, and choose ports."""
    folder = directory / "tls"
    folder.mkdir()
    authority, stranger = Authority(folder, "firm"), Authority(folder, "stranger")
    free = (port for port in range(HIGHEST_PORT, LOWEST_PORT, -1) if is_free(port))
    ports = {name: next(free) for name in _LISTENERS}
    certificates = {name: authority.issue(f"broker-{name}".lower(), HOST) for name in ports}
    certificates["ELSEWHERE"] = authority.issue("broker-moved", "kafka.example.com")
    certificates["EXPIRED"] = authority.issue("broker-late", HOST, is_expired=True)
    return Plan(folder, ports, authority, stranger, _properties(ports, certificates, authority))


@contextmanager
def secure_kafka(parts: frozenset[Part] = frozenset({Part.KAFKA})) -> Iterator[SecureKafka]:
    """Run a broker with such listeners beside the one that everybody may use."""
    env = {name: value for name, value in os.environ.items() if name != BOOTSTRAP}
    with stack_directory() as directory:
        plan = make_plan(directory)
        settings = stack_settings(directory, env, parts).model_copy(
            update={"kafka_properties": plan.properties}
        )
        with running_stack(settings) as stack:
            secure = SecureKafka(
                stack,
                plan.folder,
                plan.ports,
                plan.authority,
                plan.stranger,
                plan.authority.issue("client"),
            )
            secure.set_password(PASSWORD)
            yield secure


def _properties(
    ports: Mapping[str, int], certificates: Mapping[str, Pem], authority: Authority
) -> dict[str, str]:
    addresses = ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())
    properties = {
        "listeners": addresses,
        "advertised.listeners": addresses,
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}" for name, protocol in _LISTENERS.items()
        ),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certificate),
        "listener.name.mtls.ssl.client.auth": "required",
        "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
    }
    for mechanism in ("sha-256", "sha-512"):
        properties[f"listener.name.scram.scram-{mechanism}.sasl.jaas.config"] = (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        )
    properties["listener.name.oauth.oauthbearer.sasl.jaas.config"] = (
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"
        ' unsecuredLoginStringClaim_sub="broker";'
    )
    for name, pem in certificates.items():
        store = pem.certificate.with_suffix(".store")
        store.write_text(pem.both)
        properties[f"listener.name.{name.lower()}.ssl.keystore.type"] = "PEM"
        properties[f"listener.name.{name.lower()}.ssl.keystore.location"] = str(store)
    return properties
