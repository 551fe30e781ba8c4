"""The TLS that we speak (RFC 3261 section 26.2, RFC 5922): contexts and certificates from the settings.

A `Tls` is made whole or not at all: all faults of its files are told at once, each with its place in the
configuration. It never changes; other certificates are another `Tls`, for connections that come later.

    tls: listener   shows the certificate of the host that the client names; asks for the client's (`clients`)
    wss: listener   shows likewise; asks nobody, as a browser opens no WebSocket where it is asked
    to a trunk      shows the first certificate to who asks; the trunk's must name the domain we look for
"""

from __future__ import annotations

import re
import ssl
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Final

from ..errors import ConfigurationError
from ..sip.flow import TLS, Flow
from ..sip.framing import StreamFramer
from .certificates import OwnCertificate, PassphraseError, check_authorities, examine, load
from .identities import Described, address_of, canonical, identities
from .layer import TlsError
from .secured import Secured
from .settings import Ask, CertificateSettings, TlsSettings, TlsVersion
from .websocket import WebSocketFramer

_MINIMUM: Final = {TlsVersion.TLS12: ssl.TLSVersion.TLSv1_2, TlsVersion.TLS13: ssl.TLSVersion.TLSv1_3}
_ASK: Final = {Ask.OFF: ssl.CERT_NONE, Ask.OPTIONAL: ssl.CERT_OPTIONAL, Ask.REQUIRED: ssl.CERT_REQUIRED}
_HOST: Final = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")  # that SNI can name
_UNVERIFIED: Final = "tls.verify is off: whoever answers at a trunk's address is taken for the trunk"


class Tls:
    """Makes the TLS side of connections, both ways."""

    __slots__ = (
        "__weakref__",
        "_client",
        "_exact",
        "_phones",
        "_settings",
        "_web",
        "_wild",
        "certificates",
        "warnings",
    )

    def __init__(self, settings: TlsSettings, *, listening: str | None = None) -> None:
        """`listening` is a tls: or wss: listener, if there is one. Raises ConfigurationError."""
        self._settings = settings
        self.certificates = _examined(settings, listening)
        now = time.time()
        self.warnings = [
            f"tls.certificates[{index}].certificate: {warning}"
            for index, each in enumerate(self.certificates)
            if (warning := each.warning(now))
        ]
        if not settings.verify:
            self.warnings.append(_UNVERIFIED)
        # What each certificate is shown by, under the hosts that it is for; and what comes first.
        self._exact: dict[str, ssl.SSLContext] = {}
        self._wild: dict[str, ssl.SSLContext] = {}
        self._phones: ssl.SSLContext | None = None
        self._web: ssl.SSLContext | None = None
        self._client: ssl.SSLContext | None = None
        try:
            if settings.certificates:
                self._serve(settings)
            if (
                settings != TlsSettings()
            ):  # the system's store takes a while: then it waits until it is needed
                self._client = self._client_context()
        except (OSError, PassphraseError) as error:  # ssl.SSLError is an OSError
            raise ConfigurationError(["tls: a file changed while it was read"]) from error

    def accept(self, flow: Flow, framer: StreamFramer | WebSocketFramer) -> Secured:
        """The side of a peer that connects to us."""
        context = self._phones if flow.transport == TLS else self._web
        assert context is not None, "listeners need a certificate"
        return Secured(context, framer, identities, serving=True)

    def connect(self, flow: Flow, framer: StreamFramer) -> Secured:
        """Our side of a connection to where the flow leads."""
        if self._client is None:
            self._client = self._client_context()
        wanted = canonical(flow.domain or flow.host)
        name = wanted if _HOST.fullmatch(wanted) and not address_of(wanted) else None

        def check(peer: Described) -> tuple[str, ...]:
            names = identities(peer)
            if self._settings.verify and (address_of(wanted) or wanted) not in names:
                found = ", ".join(names[:3]) or "nobody"
                raise TlsError(f"the peer's certificate is for {found}, not for {wanted}")
            return names

        return Secured(self._client, framer, check, serving=False, name=name)

    def faults(self, known: Iterable[OwnCertificate]) -> list[str]:
        """Of certificates that have expired, or are not valid yet, unless they are known."""
        now, in_force = time.time(), {(each.names, each.begins_at, each.expires_at) for each in known}
        return [
            f"tls.certificates[{index}].certificate: {fault}"
            for index, each in enumerate(self.certificates)
            if (fault := each.fault(now)) and (each.names, each.begins_at, each.expires_at) not in in_force
        ]

    def _serve(self, settings: TlsSettings) -> None:
        for entry, own in zip(settings.certificates, self.certificates, strict=True):
            context = self._server_context(entry)
            for host in own.hosts:
                known = self._wild if host.startswith("*.") else self._exact
                known.setdefault(host.removeprefix("*."), context)
        self._phones = self._server_context(settings.certificates[0])
        self._web = self._server_context(settings.certificates[0])
        self._web.verify_mode = ssl.CERT_NONE
        self._web.sni_callback = self._phones.sni_callback = _chooser(weakref.ref(self))

    def context_for(self, name: str) -> ssl.SSLContext | None:
        """That shows the certificate of the host that a client names."""
        host = canonical(name)
        return self._exact.get(host) or self._wild.get(host.partition(".")[2])

    def _server_context(self, entry: CertificateSettings) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._prepare(context, entry)
        if self._settings.clients is not Ask.OFF:
            context.verify_mode = _ASK[self._settings.clients]
            self._trust(context, ssl.Purpose.CLIENT_AUTH)
        return context

    def _client_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # by RFC 5922 instead: `connect`
        self._prepare(context, next(iter(self._settings.certificates), None))
        if self._settings.verify:
            self._trust(context, ssl.Purpose.SERVER_AUTH)
        else:
            context.verify_mode = ssl.CERT_NONE
        return context

    def _prepare(self, context: ssl.SSLContext, entry: CertificateSettings | None) -> None:
        context.minimum_version = _MINIMUM[self._settings.minimum]
        context.options |= ssl.OP_NO_RENEGOTIATION
        if entry is not None:
            load(context, entry)

    def _trust(self, context: ssl.SSLContext, purpose: ssl.Purpose) -> None:
        context.verify_flags |= (
            ssl.VERIFY_X509_PARTIAL_CHAIN
        )  # whoever stands in the file is trusted, no root needed
        if self._settings.ca is None:
            context.load_default_certs(purpose)
        else:
            context.load_verify_locations(cafile=self._settings.ca)


def _examined(settings: TlsSettings, listening: str | None) -> list[OwnCertificate]:
    """Our certificates. Raises ConfigurationError with all faults of all files."""
    found, faults = [], []
    if listening is not None and not settings.certificates:
        faults.append(f"tls.certificates: {listening} needs one")
    try:
        if settings.ca is not None:
            check_authorities(settings.ca)
    except ConfigurationError as error:
        faults.extend(error.faults)
    for index, entry in enumerate(settings.certificates):
        try:
            place = f"tls.certificates[{index}]"
            found.append(examine(entry, place, listening=listening is not None))
        except ConfigurationError as error:
            faults.extend(error.faults)
    if faults:
        raise ConfigurationError(faults)
    return found


def _chooser(tls: weakref.ref[Tls]) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    """What a context calls for a name. It must not hold the `Tls` that holds the context: each reload would
    leave a whole set of certificates to the collector of cycles, which comes seldom.
    """

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        here = tls()
        context = None if here is None else here.context_for(name or "")
        if context is not None:
            connection.context = context

    return choose
