"""Our own certificates: what is read in their files, and each fault told for its file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sipproxy.errors import ConfigurationError
from sipproxy.net.certificates import examine
from sipproxy.net.settings import CertificateSettings, TlsSettings
from sipproxy.net.tls import Tls
from tests.support.certificates import Authority, locked
from tests.support.collectors import Identity
from tests.unit.net.conftest import Certificates


def files(identity: Identity) -> CertificateSettings:
    return CertificateSettings(str(identity.certificate), str(identity.key))


def faults(*entries: CertificateSettings, ca: Path | None = None, listening: str | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        Tls(TlsSettings(certificates=entries, ca=str(ca) if ca else None), listening=listening)
    return caught.value.faults


def test_a_certificate_tells_its_names_and_its_end(certificates: Certificates) -> None:
    found = examine(files(certificates.second), "tls.certificates[0]", listening=True)
    assert found.names == found.hosts == ("second.example", "*.wild.example")
    assert time.time() < found.expires_at < time.time() + 31 * 86400
    assert found.fault(time.time()) == found.warning(time.time()) == ""
    assert found.fault(found.expires_at).startswith(f"{found.file} has expired on ")
    assert found.warning(found.expires_at - 86400).startswith(f"{found.file} expires on ")


def test_one_for_sip_domains_is_found_by_its_host_names_too(certificates: Certificates) -> None:
    found = examine(files(certificates.sbc), "tls.certificates[0]", listening=True)
    assert found.names == ("sbc.example", "127.0.0.1")
    assert found.hosts == ("host.example", "sbc.example")


def test_one_for_clients_serves_who_only_connects(certificates: Certificates) -> None:
    found = Tls(TlsSettings(certificates=(files(certificates.for_clients),))).certificates
    assert [each.names for each in found] == [("sbc.example",)]
    place = "tls.certificates[0].certificate"
    why = f"{place}: unsuitable certificate purpose: {certificates.for_clients.certificate}"
    assert faults(files(certificates.for_clients), listening="tls:127.0.0.1:5061") == [why]


def test_one_may_have_its_chain_behind_it(certificates: Certificates, tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_bytes(certificates.sbc.certificate.read_bytes() + certificates.sbc.authority.read_bytes())
    entry = CertificateSettings(str(chain), str(certificates.sbc.key))
    assert examine(entry, "tls.certificates[0]", listening=True).names == ("sbc.example", "127.0.0.1")


def test_all_faults_are_told_at_once_each_for_its_file(certificates: Certificates, tmp_path: Path) -> None:
    good, other = certificates.proxy, certificates.sbc
    locked_key = locked(good, tmp_path / "locked.key").key
    gone, nonsense, folder = tmp_path / "gone.pem", tmp_path / "nonsense.pem", tmp_path / "folder"
    folder.mkdir()
    nonsense.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    bad_key = tmp_path / "bad.key"
    bad_key.write_text("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
    pairs = [
        (gone, folder),
        (good.key, good.certificate),
        (good.certificate, other.key),
        (good.certificate, locked_key),
        (nonsense, good.key),
        (good.certificate, bad_key),
        (good.certificate, good.key),
    ]
    entries = [CertificateSettings(str(certificate), str(key)) for certificate, key in pairs]
    assert faults(*entries, ca=gone) == [
        f"tls.ca: cannot read {gone}: no such file or directory",
        f"tls.certificates[0].certificate: cannot read {gone}: no such file or directory",
        f"tls.certificates[0].key: cannot read {folder}: is a directory",
        f"tls.certificates[1].certificate: no certificate (PEM) in {good.key}",
        f"tls.certificates[1].key: no private key (PEM) in {good.certificate}",
        f"tls.certificates[2].key: {other.key} is not the key of {good.certificate}",
        f"tls.certificates[3].key: {locked_key} is locked by a passphrase, which nobody could type",
        f"tls.certificates[4].certificate: {nonsense} cannot be read as a certificate",
        f"tls.certificates[5].key: {bad_key} cannot be read as a private key",
    ]


def test_a_file_of_authorities_has_to_hold_one(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    assert faults(ca=empty) == [f"tls.ca: no certificate (PEM) in {empty}"]


def test_a_key_that_is_too_short_is_a_fault_of_the_certificate(tmp_path: Path) -> None:
    weak = Authority(tmp_path).issue("weak", "DNS:weak.example", new_key=["-newkey", "rsa:512"])
    found = faults(files(weak))
    assert found == [f"tls.certificates[0].certificate: ee key too small: {weak.certificate}"]
