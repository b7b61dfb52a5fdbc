"""Certificates that end soon, or have ended, are told before somebody is refused for one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from psastream.check.certificates import certificate_findings
from psastream.check.files import Files, read_configuration
from psastream.check.run import ask_all
from psastream.verdict import Verdict
from runtime.certificates import AUTHORITY, CLIENT, CertificateFile, certificate_files
from runtime.settings import Settings
from tests.support.certificates import Authority

NOW = datetime.now(UTC)


def named(path: Path, certificate: str = CLIENT) -> list[CertificateFile]:
    return [CertificateFile("kafka", certificate, "A", path)]


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("firm"), "firm")


@pytest.mark.parametrize(
    ("later", "verdict", "word"),
    [
        (timedelta(0), Verdict.OK, "lasts until"),
        (timedelta(days=20), Verdict.WARN, "lasts until"),
        (timedelta(days=31), Verdict.FAIL, "expired on"),
    ],
)
def test_the_end_of_a_certificate_is_told(
    firm: Authority, later: timedelta, verdict: Verdict, word: str
) -> None:
    """It is issued for thirty days."""
    mine = firm.issue("mine")
    (found,) = certificate_findings(named(mine.certificate), NOW + later)
    assert (found.area, found.subject, found.verdict) == ("tls", "A", verdict)
    assert found.detail.startswith(word)
    assert bool(found.remedy) is (verdict is not Verdict.OK)


def test_of_several_certificates_the_first_to_end_counts(firm: Authority, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    late = firm.issue("late", is_expired=True)
    both.write_text(firm.certificate.read_text() + late.certificate.read_text())
    (found,) = certificate_findings(named(both), NOW)
    assert found.verdict is Verdict.FAIL
    (found,) = certificate_findings(named(both, AUTHORITY), NOW)
    assert found.verdict is Verdict.OK


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_holds_none_fails(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_text(content)
    (found,) = certificate_findings(named(path), NOW)
    assert found.verdict is Verdict.FAIL
    assert str(path) in found.detail


def test_every_file_that_a_variable_names_is_looked_at(firm: Authority) -> None:
    mine = firm.issue("process")
    files = {
        "PSASTREAM_KAFKA_SSL_CA_LOCATION": firm.certificate,
        "PSASTREAM_KAFKA_SSL_CERTIFICATE_LOCATION": mine.certificate,
        "PSASTREAM_REGISTRY_SSL_CA_LOCATION": firm.certificate,
        "PSASTREAM_CONNECT_SSL_CERTIFICATE_LOCATION": mine.certificate,
    }
    keys = {
        "PSASTREAM_KAFKA_SECURITY_PROTOCOL": "SSL",
        "PSASTREAM_KAFKA_SSL_KEY_LOCATION": str(mine.key),
        "PSASTREAM_CONNECT_SSL_KEY_LOCATION": str(mine.key),
        "PSASTREAM_BOOTSTRAP_SERVERS": "k:1",
        "PSASTREAM_REGISTRY_URL": "https://r:1",
        "PSASTREAM_CONNECT_URL": "https://c:1",
    }
    environment = keys | {name: str(path) for name, path in files.items()}
    found_files = certificate_files(Settings.from_env(environment))
    assert {each.variable: each.path for each in found_files} == files

    without_connect = {name: it for name, it in environment.items() if "CONNECT" not in name}
    configuration = read_configuration(Files(), without_connect, needs_addresses=False)
    found = ask_all(configuration, {}, makes=True)  # nothing that is named is asked
    assert [each.area for each in found] == ["tls"] * 3
