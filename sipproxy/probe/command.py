"""`sipproxy probe`: what it takes, and its exit code.

sipproxy probe sip:probe@sbc.example:5060 --listen udp:192.0.2.10:5099
sipproxy probe http https://apps.example/route --listen 192.0.2.10:8099
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from ..cli.address import web_address
from ..cli.terminal import Terminal, flush, give_up_output
from ..errors import ConfigurationError, RemoteProtocolError
from ..net.settings import CertificateSettings, TlsSettings
from ..sip.flow import TCP, TLS, UDP
from ..sip.uri import parse_host_port, parse_uri
from . import http_verdict, sip_verdict
from .asking import HttpPlan, probe_http
from .http_verdict import report_http
from .messages import TOKEN_HERE, transport_of
from .placing import SipPlan, probe_sip
from .report import FAILED, Report, show
from .sip_verdict import report_sip

_SHORTEST_S, _LONGEST_S = 0.1, 60.0
_LONGEST_WAIT_S = 600.0
_TRANSPORTS = (UDP, TCP, TLS)
_EXAMPLE = "sipproxy probe sip:probe@sbc.example:5060 --listen udp:192.0.2.10:5099"


class Add(Protocol):
    """Makes the parser of a command."""

    def __call__(
        self, name: str, run: object, text: str, example: str, /, *, file: str
    ) -> argparse.ArgumentParser: ...


def add_probe(add: Add) -> None:
    """Add it to the command line."""
    text = (
        "Send calls, or HTTP requests, along a path that leads back here, and report for each carrier of the"
        " trace what is left of it. It calls nothing but the given URI."
    )
    probe = add("probe", run, text, _EXAMPLE, file="")
    probe.add_argument("target", metavar="URI", help="sip:USER@HOST[:PORT], or the word http before a URL")
    probe.add_argument("url", metavar="URL", nargs="?", help="http: where the load balancer listens")
    probe.add_argument(
        "--listen",
        metavar="[TRANSPORT:]HOST:PORT",
        action="append",
        default=[],
        help="where the path leads back to; with udp: or tcp: on both, also tls:",
    )
    probe.add_argument("--transport", choices=[each.lower() for each in _TRANSPORTS], help="of the calls")
    probe.add_argument(
        "--want",
        metavar="CARRIER,...",
        help="what must survive, for exit code 0: "
        + ", ".join(dict.fromkeys([*sip_verdict.CARRIERS, *http_verdict.CARRIERS]))
        + " (traceparent)",
    )
    probe.add_argument("--timeout", metavar="S", type=float, default=5.0, help="for one call's answer (5)")
    probe.add_argument(
        "--wait",
        metavar="S",
        type=float,
        default=0.0,
        help="repeat the first call so long, for a path that checks first who is up (0)",
    )
    probe.add_argument(
        "--from", dest="caller", metavar="URI", help="the caller, where only known ones may call"
    )
    probe.add_argument("--advertise", metavar="HOST", help="our address, when it is not the listening one")
    probe.add_argument("--method", choices=["GET", "POST"], default="GET", help="of HTTP requests (GET)")
    probe.add_argument("--ca", metavar="FILE", help="whose certificates to trust, PEM (the system's)")
    probe.add_argument("--certificate", metavar="FILE", help="ours, PEM, to listen on tls:")
    probe.add_argument("--key", metavar="FILE", help="of our certificate")
    probe.add_argument("--json", action="store_true", help="for other programs")


def run(options: argparse.Namespace) -> int:
    """Do it; 0 good, 1 when what is wanted does not survive. Raises ConfigurationError for wrong use."""
    terminal = Terminal()
    try:
        report = asyncio.run(_probe(options))
    except KeyboardInterrupt:
        terminal.line("Interrupted; calls in progress are hung up.")
        return FAILED
    try:
        if options.json:
            terminal.json(report.shape(), indent=2)
        else:
            show(report, terminal)
        flush()
    except BrokenPipeError:
        give_up_output()
        return FAILED
    return report.exit_code


def parsed(arguments: Sequence[str]) -> SipPlan | HttpPlan:
    """What `sipproxy probe ARGUMENTS` would do, without doing it. Raises ConfigurationError, SystemExit."""
    parser = argparse.ArgumentParser(prog="sipproxy probe")
    add_probe(lambda *_, **__: parser)
    options = parser.parse_args(arguments)
    return _plan(options)[0]


def _plan(options: argparse.Namespace) -> tuple[SipPlan | HttpPlan, list[str]]:
    faults: list[str] = []
    if options.target == "http" or options.url is not None:
        wanted = _wanted(options.want, http_verdict.CARRIERS, http_verdict.WANTED, faults)
        plan: SipPlan | HttpPlan = http_plan(options, faults)
    else:
        wanted = _wanted(options.want, sip_verdict.CARRIERS, sip_verdict.WANTED, faults)
        plan = sip_plan(options, faults)
    if faults:
        raise ConfigurationError(faults)
    return plan, wanted


async def _probe(options: argparse.Namespace) -> Report:
    plan, wanted = _plan(options)
    missing = [
        f"--{name}: no file {getattr(options, name)!r}"
        for name in ("ca", "certificate", "key")
        if getattr(options, name) is not None and not Path(getattr(options, name)).is_file()
    ]
    if missing:
        raise ConfigurationError(missing)
    if isinstance(plan, HttpPlan):
        return report_http(await probe_http(plan), plan, wanted)
    seen = await probe_sip(plan)
    if seen.straight:
        raise ConfigurationError(
            [f"{options.target} is where the probe itself listens: there is no path between the two"]
        )
    return report_sip(seen, wanted)


def sip_plan(options: argparse.Namespace, faults: list[str]) -> SipPlan:
    """Of the command line; what is wrong goes into `faults`."""
    try:
        uri = parse_uri(options.target.replace(TOKEN_HERE, "token"))
        if not uri.is_sip or not uri.host:
            faults.append(f"{options.target!r} is no SIP URI, such as sip:probe@sbc.example")
        elif uri.headers:
            faults.append("URI: a header part is the probe's own")
    except RemoteProtocolError as error:
        faults.append(f"URI: {error.reason}")
    transport = (options.transport or "").upper()
    if not faults and not transport:
        transport = transport_of(options.target.replace(TOKEN_HERE, "token"))
        if transport not in _TRANSPORTS:
            faults.append(f"URI: no transport of the probe: {transport.lower()}")
    listen = [*_listen(options.listen, transport or UDP, faults)]
    if not faults and transport not in {each for row in listen for each in _with_other(row[0])}:
        faults.append(f"--transport {transport.lower()}: no --listen for it")
    if options.caller is not None:
        try:
            parse_uri(options.caller)
        except RemoteProtocolError as error:
            faults.append(f"--from: {error.reason}")
    tls = _tls(options, any(row[0] == TLS for row in listen), faults)
    _timeout(options, faults)
    times = (options.timeout, options.wait)
    return SipPlan(options.target, listen, transport, options.caller, options.advertise, *times, tls)


def http_plan(options: argparse.Namespace, faults: list[str]) -> HttpPlan:
    """Of the command line; what is wrong goes into `faults`."""
    if options.target != "http":
        faults.append(f"one URI, or the word http and a URL, not {options.target!r}")
    url = options.url or ""
    if web_address(url) is None:
        faults.append(f"{url!r} is no URL, such as https://apps.example/route")
    listen = [*_listen(options.listen, TCP, faults)]
    if len(listen) > 1 or any(row[0] != TCP for row in listen):
        faults.append("--listen: HTTP comes by one HOST:PORT")
    _timeout(options, faults)
    _, host, port = listen[0] if listen else (TCP, "", 0)
    return HttpPlan(url, host, port, options.method, options.timeout, options.wait, options.ca)


def _listen(texts: list[str], default: str, faults: list[str]) -> Iterable[tuple[str, str, int]]:
    if not texts:
        faults.append("--listen: where does the path lead back to? Such as --listen udp:192.0.2.10:5099")
    for text in texts:
        transport, _, rest = text.partition(":")
        if transport.upper() not in _TRANSPORTS:
            transport, rest = default, text
        try:
            host, port = parse_host_port(rest)
        except RemoteProtocolError:
            host, port = "", None
        if not host or port is None:
            faults.append(f"--listen: {text!r} is no [TRANSPORT:]HOST:PORT")
        else:
            yield transport.upper(), host, port


def _with_other(transport: str) -> set[str]:
    return {UDP, TCP} if transport in (UDP, TCP) else {transport}


def _tls(options: argparse.Namespace, listens: bool, faults: list[str]) -> TlsSettings | None:
    certificates: tuple[CertificateSettings, ...] = ()
    if bool(options.certificate) != bool(options.key):
        faults.append("--certificate and --key go together")
    elif options.certificate:
        certificates = (CertificateSettings(options.certificate, options.key),)
    elif listens:
        faults.append("--listen tls: wants --certificate and --key")
    return TlsSettings(certificates=certificates, ca=options.ca) if listens else None


def _timeout(options: argparse.Namespace, faults: list[str]) -> None:
    if not _SHORTEST_S <= options.timeout <= _LONGEST_S:
        faults.append(f"--timeout: from {_SHORTEST_S} to {_LONGEST_S:g} seconds")
    if not 0 <= options.wait <= _LONGEST_WAIT_S:
        faults.append(f"--wait: from 0 to {_LONGEST_WAIT_S:g} seconds")


def _wanted(
    text: str | None, known: dict[str, str], default: tuple[str, ...], faults: list[str]
) -> list[str]:
    if text is None:
        return [*default]
    names = [*dict.fromkeys(name.strip().lower() for name in text.split(","))]
    there_are = ", ".join(known)
    faults += [f"--want: no carrier {name!r}; there are {there_are}" for name in names if name not in known]
    return names
