"""Whom a certificate names, as SIP reads it (RFC 5922 section 7).

subjectAltName has `sip:` URIs of domains    these, and no DNS name                    section 7.1
subjectAltName has none of those             its DNS names                             section 7.1
there is no subjectAltName at all            the common name, from before RFC 5922     section 7.1
IP addresses of subjectAltName               besides, for peers known by address alone

Names are compared as a whole: `*.example` names nobody but `*.example` (section 7.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

Described = Mapping[str, Any]  # what SSLObject.getpeercert gives


def identities(certificate: Described) -> tuple[str, ...]:
    """The SIP domains and addresses that a certificate names, in lower case."""
    entries = certificate.get("subjectAltName")
    if entries is None:
        return tuple(filter(None, map(canonical, _common_names(certificate))))
    names = [_domain_of(value) for kind, value in entries if kind == "URI"]
    if not any(names):
        names = [canonical(value) for kind, value in entries if kind == "DNS"]
    addresses = [address_of(value) for kind, value in entries if kind == "IP Address"]
    return tuple(dict.fromkeys(filter(None, [*names, *addresses])))


def host_names(certificate: Described) -> tuple[str, ...]:
    """The DNS names as they stand there, wildcards too: by these a server chooses what it shows (SNI)."""
    entries = certificate.get("subjectAltName")
    if entries is None:
        return tuple(map(canonical, _common_names(certificate)))
    uris = [_domain_of(value) for kind, value in entries if kind == "URI"]
    return tuple(filter(None, [*(canonical(value) for kind, value in entries if kind == "DNS"), *uris]))


def canonical(name: str) -> str:
    """In lower case and without the last dot."""
    return name.strip().lower().removesuffix(".")


def address_of(text: str) -> str:
    """The address in its usual form; nothing when it is none."""
    try:
        return str(ip_address(text.strip().strip("[]")))
    except ValueError:
        return ""


def _domain_of(uri: str) -> str:
    """The domain of `sip:example.com`; nothing for a user's URI, and for `sips:` and others."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "sip" or "@" in rest:
        return ""
    host = rest.partition(";")[0].partition("?")[0]
    if host.startswith("["):
        return address_of(host.partition("]")[0])
    return canonical(host.partition(":")[0])


def _common_names(certificate: Described) -> list[str]:
    return [
        value
        for parts in certificate.get("subject", ())
        for kind, value in parts
        if kind == "commonName" and " " not in value
    ]
