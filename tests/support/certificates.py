"""Certificates for tests, made by openssl: an authority, and what it vouches for."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .collectors import Identity

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def identity(folder: Path, name: str, authority: str = "authority") -> Identity:
    """A certificate for 127.0.0.1 and localhost, from an authority that is made when it is first named."""
    authority_file, authority_key = folder / f"{authority}.pem", folder / f"{authority}.key"
    if not authority_file.exists():
        subject = ["-x509", "-subj", f"/CN={authority}", "-days", "2"]
        _openssl("req", *_NEW_KEY, *subject, "-keyout", authority_key, "-out", authority_file)
    file, key = folder / f"{name}.pem", folder / f"{name}.key"
    request, more = folder / f"{name}.csr", folder / f"{name}.ext"
    more.write_text("subjectAltName = IP:127.0.0.1, DNS:localhost\n")
    _openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    signing = ("-CA", authority_file, "-CAkey", authority_key, "-CAcreateserial", "-days", "2")
    _openssl("x509", "-req", "-in", request, *signing, "-extfile", more, "-out", file)
    return Identity(file, key, authority_file)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
