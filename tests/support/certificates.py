"""Certificates for tests, made by openssl: an authority, and what it vouches for."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from .collectors import Identity

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
# `openssl ca` alone lets a certificate begin and end when we like.
_CA = """
[ca]
default_ca = default
[default]
database = {folder}/index.txt
rand_serial = yes
new_certs_dir = {folder}
default_md = sha256
policy = policy
[policy]
commonName = supplied
"""


class Authority:
    """One that signs whatever it is asked to. Its files have its name."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        if not self.certificate.exists():
            subject = ["-nodes", "-x509", "-subj", f"/CN={name}", "-days", "30"]
            _openssl("req", *_NEW_KEY, *subject, "-keyout", self.key, "-out", self.certificate)

    def issue(
        self,
        name: str,
        *names: str,
        purpose: str | None = None,
        years: tuple[int, int] | None = None,
        subject: str | None = None,
        new_key: Sequence[str] = _NEW_KEY,
    ) -> Identity:
        """A certificate for names such as `DNS:sbc.example`, `URI:sip:example` and `IP:127.0.0.1`; without
        any it has no subjectAltName. `years` are those on whose first day it begins and ends.
        """
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        request, more = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        lines = [f"subjectAltName = {', '.join(names)}"] if names else []
        lines += [f"extendedKeyUsage = {purpose}"] if purpose else []
        more.write_text("\n".join([*lines, "basicConstraints = CA:FALSE", ""]))
        _openssl(
            "req", *new_key, "-nodes", "-subj", f"/CN={subject or name}", "-keyout", key, "-out", request
        )
        files = ("-in", request, "-extfile", more, "-out", certificate)
        if years is None:
            signer = ("-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial")
            _openssl("x509", "-req", *signer, "-days", "30", *files)
        else:
            settings = self.folder / "ca.cnf"
            settings.write_text(_CA.format(folder=self.folder))
            (self.folder / "index.txt").touch()
            vouching = ("-cert", self.certificate, "-keyfile", self.key, "-config", settings)
            start, end = (f"{year}0101000000Z" for year in years)
            _openssl("ca", "-batch", "-notext", *vouching, "-startdate", start, "-enddate", end, *files)
        return Identity(certificate, key, self.certificate)


def identity(folder: Path, name: str, authority: str = "authority") -> Identity:
    """A certificate for 127.0.0.1 and localhost, from an authority that is made when it is first named."""
    return Authority(folder, authority).issue(name, "IP:127.0.0.1", "DNS:localhost")


def self_signed(folder: Path, name: str, *names: str) -> Identity:
    """A certificate that nobody vouches for."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subject = ["-nodes", "-x509", "-subj", f"/CN={name}", "-days", "30"]
    alternatives = ["-addext", f"subjectAltName = {', '.join(names)}"]
    _openssl("req", *_NEW_KEY, *subject, *alternatives, "-keyout", key, "-out", certificate)
    return Identity(certificate, key, certificate)


def locked(identity: Identity, key: Path) -> Identity:
    """The same with a passphrase on its key."""
    _openssl("ec", "-in", identity.key, "-aes128", "-passout", "pass:secret", "-out", key)
    return Identity(identity.certificate, key, identity.authority)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
