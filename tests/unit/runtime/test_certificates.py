"""When certificates end that a process uses or is shown, and sign-ins that failed: its metrics."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from confluent_kafka import KafkaError
from prometheus_client import REGISTRY

from runtime.access import HttpAccess
from runtime.certificates import Certificates, certificate_files, servers_of
from runtime.kafka import count_refusals
from runtime.prometheus import serve_process
from runtime.registry import Registry
from runtime.settings import Settings
from runtime.sign_ins import FAILURES
from schemas.errors import RegistryUnavailableError
from tests.support.certificates import Authority, Pem
from tests.unit.psastream.test_database_tls import database
from tests.unit.runtime.test_tls import HOST, served
from tests.unit.streams.test_metrics_port import free_port

DAY = timedelta(days=1)
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("firm"), "firm")


def settings(firm: Authority, mine: Pem, kafka: int, registry: int, database_port: int) -> Settings:
    files = f"sslrootcert={firm.certificate}&sslcert={mine.certificate}&sslkey={mine.key}"
    return Settings.from_env(
        {
            "PSASTREAM_BOOTSTRAP_SERVERS": f"{HOST}:{kafka}",
            "PSASTREAM_KAFKA_SECURITY_PROTOCOL": "SSL",
            "PSASTREAM_KAFKA_SSL_CA_LOCATION": str(firm.certificate),
            "PSASTREAM_KAFKA_SSL_CERTIFICATE_LOCATION": str(mine.certificate),
            "PSASTREAM_KAFKA_SSL_KEY_LOCATION": str(mine.key),
            "PSASTREAM_REGISTRY_URL": f"https://{HOST}:{registry}",
            "PSASTREAM_REGISTRY_SSL_CA_LOCATION": str(firm.certificate),
            "PSASTREAM_READ_MODEL_URL": f"postgresql://u:p@{HOST}:{database_port}/d"
            f"?sslmode=verify-full&{files}",
        }
    )


def days_left(service: str, certificate: str) -> float | None:
    labels = {"service": service, "certificate": certificate}
    seconds = REGISTRY.get_sample_value("psastream_certificate_remaining_seconds", labels)
    return None if seconds is None else seconds / DAY.total_seconds()


def test_the_ends_of_all_certificates_that_a_process_meets_are_told(firm: Authority) -> None:
    """They last for thirty days, that of the registry has ended a day ago."""
    mine, server = firm.issue("mine"), firm.issue("server", HOST)
    ended = firm.issue("ended", HOST, is_expired=True)
    with (
        served(server, firm) as kafka,
        served(ended) as registry,
        database(server, firm) as of_database,
    ):
        certificates = Certificates(settings(firm, mine, kafka, registry, of_database))
        certificates.look()
    for service in ("kafka", "read_model"):
        assert days_left(service, "client") == pytest.approx(30, abs=0.1)
        assert days_left(service, "server") == pytest.approx(30, abs=0.1)
        assert (days_left(service, "authority") or 0) > 300
    assert days_left("registry", "server") == pytest.approx(-1, abs=0.1)


def test_a_file_that_is_replaced_counts_at_once_and_one_that_is_no_file_changes_nothing(
    firm: Authority,
) -> None:
    mine, now = firm.issue("replaced"), datetime.now(UTC)
    Certificates(settings(firm, mine, 1, 1, 1), now=lambda: now + 25 * DAY)
    assert days_left("kafka", "client") == pytest.approx(5, abs=0.1)
    mine.certificate.write_text(firm.issue("other", is_expired=True).certificate.read_text())
    assert days_left("kafka", "client") == pytest.approx(-26, abs=0.1)
    mine.certificate.write_text("half of a fi")
    assert days_left("kafka", "client") == pytest.approx(-26, abs=0.1)


def test_servers_without_tls_are_not_asked() -> None:
    plain = {"PSASTREAM_BOOTSTRAP_SERVERS": "k:1", "PSASTREAM_REGISTRY_URL": "http://r:1"}
    plain["PSASTREAM_READ_MODEL_URL"] = "postgresql://u:p@d/d?sslmode=prefer"
    assert list(servers_of(Settings.from_env(plain))) == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@[no/d?sslmode=require",
        "postgresql://u:p@a:1,b:2/d?sslmode=require",
        "postgresql:///d?sslmode=require&sslrootcert=system",
    ],
)
def test_an_address_that_names_no_server_keeps_no_process_from_starting(url: str) -> None:
    settings = Settings(bootstrap_servers="k", registry_url="http://r:1", read_model_url=url)
    assert list(servers_of(settings)) == []
    assert list(certificate_files(settings)) == []


def test_every_process_serves_them() -> None:
    packages = ("connectors", "psastream", "streams")
    texts = [path.read_text() for each in packages for path in (ROOT / each).rglob("*.py")]
    assert sum("serve_process(" in text for text in texts) == 5
    assert not any("serve_metrics(" in text for text in texts)


def test_a_process_that_serves_metrics_serves_them(firm: Authority) -> None:
    port = free_port()
    environment = {
        "PSASTREAM_BOOTSTRAP_SERVERS": "k:1",
        "PSASTREAM_REGISTRY_URL": "http://r:1",
        "PSASTREAM_CONNECT_SSL_CA_LOCATION": str(firm.certificate),
        "PSASTREAM_METRICS_PORT": str(port),
    }
    serve_process(Settings.from_env(environment), checks={})
    shown = httpx2.get(f"http://127.0.0.1:{port}/metrics").text
    assert 'remaining_seconds{certificate="authority",service="connect"}' in shown
    assert 'psastream_sign_in_failures_total{service="kafka"}' in shown


def failures(service: str) -> float:
    return FAILURES.labels(service)._value.get()


def test_a_refused_sign_in_at_kafka_or_the_registry_is_counted(firm: Authority) -> None:
    before = failures("kafka")
    count_refusals(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert failures("kafka") == before
    count_refusals(KafkaError(KafkaError._AUTHENTICATION))
    assert failures("kafka") == before + 1

    before = failures("registry")
    with served(firm.issue("asked", HOST), password="right") as port:
        url = f"https://psa:wrong@{HOST}:{port}"
        tls = Settings.from_env(
            {
                "PSASTREAM_BOOTSTRAP_SERVERS": "k:1",
                "PSASTREAM_REGISTRY_URL": url,
                "PSASTREAM_REGISTRY_SSL_CA_LOCATION": str(firm.certificate),
            }
        ).registry.tls
        with pytest.raises(RegistryUnavailableError):
            Registry(HttpAccess.of(url, tls=tls)).require()
    assert failures("registry") == before + 1
