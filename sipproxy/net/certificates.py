"""Our own certificates: what is in their files, and every fault of these, told for the file that has it."""

from __future__ import annotations

import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import ConfigurationError
from . import error_text
from .identities import Described, host_names, identities
from .settings import CertificateSettings

_NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, for which `ssl` has no name
_SOON_S: Final = 14 * 86400
_FILES: Final = (("certificate", "BEGIN CERTIFICATE-----"), ("key", "PRIVATE KEY-----"))


class PassphraseError(Exception):
    """A key is locked. Without a function that raises this, OpenSSL would ask on the terminal."""


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """One certificate of ours; times count seconds since 1970."""

    file: str
    names: tuple[str, ...]  # whom it names, as SIP reads it
    hosts: tuple[str, ...]  # for whom a client may ask by SNI, wildcards too
    begins_at: float
    expires_at: float

    def fault(self, now: float) -> str:
        """Why no peer should take it; nothing when it is good."""
        if self.expires_at <= now:
            return f"{self.file} has expired on {_day(self.expires_at)}"
        return f"{self.file} is not valid before {_day(self.begins_at)}" if self.begins_at > now else ""

    def warning(self, now: float) -> str:
        """The same, in good time."""
        soon = self.expires_at < now + _SOON_S
        return self.fault(now) or (f"{self.file} expires on {_day(self.expires_at)}" if soon else "")


def load(context: ssl.SSLContext, entry: CertificateSettings) -> None:
    """Let a context show a certificate."""
    context.load_cert_chain(entry.certificate, entry.key, _no_passphrase)


def examine(entry: CertificateSettings, place: str, *, listening: bool) -> OwnCertificate:
    """Read a certificate and its key. Raises ConfigurationError."""
    faults = [fault for key, mark in _FILES if (fault := _unlike(getattr(entry, key), key, mark, place))]
    if not faults:
        try:
            described = _described(entry, listening=listening)
        except PassphraseError:
            faults.append(f"{place}.key: {entry.key} is locked by a passphrase, which nobody could type")
        except (ssl.SSLError, OSError) as error:
            faults.append(f"{place}.{_why(entry, error)}")
    if faults:
        raise ConfigurationError(faults)
    return OwnCertificate(
        entry.certificate,
        identities(described),
        host_names(described),
        ssl.cert_time_to_seconds(described["notBefore"]),
        ssl.cert_time_to_seconds(described["notAfter"]),
    )


def check_authorities(file: str) -> None:
    """Whom we trust has to be readable. Raises ConfigurationError."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except ssl.SSLError:
        raise ConfigurationError([f"tls.ca: no certificate (PEM) in {file}"]) from None
    except OSError as error:
        raise ConfigurationError([f"tls.ca: cannot read {file}: {error_text(error)}"]) from None


def _unlike(file: str, key: str, mark: str, place: str) -> str:
    try:
        found = mark in Path(file).read_text("ascii", "replace")
    except OSError as error:
        return f"{place}.{key}: cannot read {file}: {error_text(error)}"
    what = "private key" if key == "key" else "certificate"
    return "" if found else f"{place}.{key}: no {what} (PEM) in {file}"


def _why(entry: CertificateSettings, error: ssl.SSLError | OSError) -> str:
    """Whose fault it is that the two cannot be used."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}: {entry.certificate}"
    if not isinstance(error, ssl.SSLError):  # gone in this moment
        return f"certificate: cannot read {entry.certificate}: {error_text(error)}"
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"key: {entry.key} is not the key of {entry.certificate}"
    if error.reason:  # such as EE_KEY_TOO_SMALL
        return f"certificate: {error.reason.replace('_', ' ').lower()}: {entry.certificate}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=entry.certificate)
    except OSError:
        return f"certificate: {entry.certificate} cannot be read as a certificate"
    return f"key: {entry.key} cannot be read as a private key"


def _no_passphrase() -> str:
    raise PassphraseError


def _described(entry: CertificateSettings, *, listening: bool) -> Described:
    """What stands in a certificate, as a peer sees it: learnt from a handshake with ourselves. Unless we
    listen, it may be one for clients alone.
    """
    try:
        return _seen(entry, by_client=True)
    except ssl.SSLCertVerificationError:
        if listening:
            raise
        return _seen(entry, by_client=False)


def _seen(entry: CertificateSettings, *, by_client: bool) -> Described:
    client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client.check_hostname = False
    for context in (client, server):
        context.verify_mode = ssl.CERT_NONE
        load(context, entry)
    looking = client if by_client else server
    looking.verify_mode = ssl.CERT_REQUIRED
    looking.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
    looking.load_verify_locations(cafile=entry.certificate)
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = client.wrap_bio(here, there), server.wrap_bio(there, here, server_side=True)
    for side in (ours, theirs, ours, theirs):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return (ours if by_client else theirs).getpeercert() or {}


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at))
