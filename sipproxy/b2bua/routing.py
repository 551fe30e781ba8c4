"""Trunks and routes: whose request is this, and where may it go? First match wins.

certificate    -> trunk      a name in it
source address -> trunk      address:port, then what comes by a named transport, then the narrowest network
trunk + user   -> route      the first whose `from` and `user` agree
route          -> trunks     in order; those that are down, full or asked us to wait are passed over
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from ..errors import ConfigurationError, RemoteProtocolError
from ..sip.flow import DEFAULT_PORT, TCP, TLS, UDP, Flow
from ..sip.uri import Uri, parse_host_port, unescape
from .consulting import Webhook
from .rules import HeaderRules
from .settings import RouteSettings, TrunkSettings

TRYING_MS = 200.0  # without an answer for so long, a peer has to say 100 (RFC 3261 section 17.2.1)
ANYWHERE = ("0.0.0.0/0", "::/0")
_REMEMBERED = 4096  # sources whose trunk is kept, so that networks are not searched for every request
TRANSPORTS = {"udp": UDP, "tcp": TCP, "tls": TLS}  # that we connect by, or send


class Address:
    """A trunk's `host[:port][;transport=]`."""

    __slots__ = ("host", "literal", "port", "transport")

    def __init__(self, text: str) -> None:
        place, _, parameters = text.partition(";")
        self.host, self.port = parse_host_port(place)
        self.transport: str | None = None
        name, _, value = parameters.partition("=")
        if name.lower() == "transport":
            self.transport = TRANSPORTS.get(value.lower())
        if parameters and self.transport is None:
            raise RemoteProtocolError("transport is udp, tcp or tls")
        self.literal = is_ip(self.host)

    @property
    def shown(self) -> str:
        """`host[:port]` as it stands in a Request-URI."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


class Load:
    """How many calls a trunk carries, both directions; it outlives a reload of the configuration."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0


class Trunk:
    """One trunk while the proxy runs: its settings, and how it does."""

    __slots__ = (
        "_allowance",
        "_allowed_at",
        "address",
        "closed_until",
        "down",
        "failures",
        "flows",
        "load",
        "name",
        "rtt_ms",
        "rules",
        "settings",
    )

    def __init__(self, name: str, settings: TrunkSettings, aliases: tuple[str, ...] = ()) -> None:
        self.name = name
        self.settings = settings
        self.address = None if settings.address is None else Address(settings.address)
        self.rules = HeaderRules(settings.headers, aliases or settings.trace.aliases)
        self.load = Load()
        self.down = False  # as OPTIONS found it
        self.failures = 0  # probes in a row
        self.closed_until = 0.0  # it said Retry-After
        self.rtt_ms: float | None = None
        self._allowance = settings.limits.cps
        self._allowed_at = 0.0
        self.flows: list[Flow] | None = None  # None: to be looked up
        address = self.address
        if address is None:
            self.flows = []  # who connects to us by WebSocket: nobody can connect to him
        elif address.literal:
            transport = address.transport or UDP
            port = address.port or DEFAULT_PORT[transport]
            self.flows = [Flow(transport, address.host, port, domain=settings.tls_name or "")]

    @property
    def pinned(self) -> bool:
        """Whether the configuration names the transport, so that size does not change it."""
        return self.address is not None and self.address.transport is not None

    @property
    def secure(self) -> bool:
        """Whether its calls go by TLS alone."""
        return self.address is not None and self.address.transport == TLS

    @property
    def shown(self) -> str:
        """`host[:port]` as it stands in a Request-URI."""
        return "anonymous.invalid" if self.address is None else self.address.shown

    @property
    def domain(self) -> str:
        """Whom its certificate must name; "": its address."""
        if self.settings.tls_name:
            return self.settings.tls_name
        return "" if self.address is None or self.address.literal else self.address.host

    @property
    def calls(self) -> int:
        """How many calls are in progress, both directions."""
        return self.load.calls

    def usable(self, now: float) -> bool:
        """Whether a call should be tried here."""
        return not self.down and self.closed_until <= now

    def admit(self, now: float) -> bool:
        """Take one more call within the limits, or refuse. An admitted call must be given back with
        `release`.
        """
        limits = self.settings.limits
        if limits.calls and self.load.calls >= limits.calls:
            return False
        if limits.cps:
            most = max(limits.cps, 1.0)
            self._allowance = min(most, self._allowance + (now - self._allowed_at) * limits.cps)
            self._allowed_at = now
            if self._allowance < 1.0:
                return False
            self._allowance -= 1.0
        self.load.calls += 1
        return True

    def release(self) -> None:
        """A call is over."""
        self.load.calls -= 1

    def take_over(self, known: Trunk) -> None:
        """Go on as the trunk of the same name did before the configuration was read again."""
        self.load = known.load
        self.closed_until = known.closed_until
        if self.settings.address == known.settings.address:
            self.down, self.failures = known.down, known.failures
            self.rtt_ms = known.rtt_ms

    def measured(self, seconds: float) -> None:
        """Note a round trip. The figure moves half the way: samples are few, and a path that has become slow
        is to be seen soon.
        """
        sample = seconds * 1000.0
        self.rtt_ms = sample if self.rtt_ms is None else (self.rtt_ms + sample) / 2

    def answered_in(self, seconds: float) -> None:
        """Note how long the first response to an INVITE took where it was no 100: the peer may have thought
        before it spoke, so the way is that long at most.
        """
        sample = seconds * 1000.0
        if sample < (TRYING_MS if self.rtt_ms is None else self.rtt_ms):
            self.rtt_ms = sample


class Route:
    """One row of `routes`."""

    __slots__ = ("source", "to", "user", "webhook")

    def __init__(self, settings: RouteSettings) -> None:
        self.source = settings.source
        self.user = None if settings.user is None else re.compile(settings.user)
        self.to = settings.to
        self.webhook = None if settings.webhook is None else Webhook(settings.webhook, settings)


class Router:
    """The table of one configuration; a new one replaces it whole."""

    def __init__(self, trunks: dict[str, Trunk], routes: tuple[RouteSettings, ...]) -> None:
        self.trunks = trunks
        self._routes = [Route(settings) for settings in routes]
        self._exact: dict[tuple[str, int], Trunk] = {}
        self._certified: dict[str, Trunk] = {}
        # By transport: the networks that a trunk's requests may come from, the narrowest first.
        self._by_transport: dict[str, list[tuple[IPv4Network | IPv6Network, Trunk]]] = {}
        self._networks: list[tuple[IPv4Network | IPv6Network, Trunk]] = []
        self._remembered: dict[tuple[str, int], Trunk | None] = {}
        for trunk in trunks.values():
            for source in trunk.settings.match:
                self._add_source(source, trunk)
        for networks in (self._networks, *self._by_transport.values()):
            networks.sort(key=lambda row: row[0].prefixlen, reverse=True)

    @classmethod
    def of(cls, trunks: dict[str, TrunkSettings], routes: tuple[RouteSettings, ...]) -> Router:
        """Build from settings. Raises ConfigurationError."""
        faults: list[str] = []
        built: dict[str, Trunk] = {}
        # What any trunk reads context from must not cross to any other as if it were a header like others.
        # So must what names a Call-ID to one of them.
        aliases = tuple(
            {
                name
                for settings in trunks.values()
                for name in (*settings.trace.aliases, settings.call_id_header)
                if name is not None
            }
        )
        for name, settings in trunks.items():
            try:
                built[name] = Trunk(name, settings, aliases)
            except RemoteProtocolError as error:
                faults.append(f"trunks.{name}.address: {error.reason}")
        if faults:
            raise ConfigurationError(faults)
        return cls(built, routes)

    def _add_source(self, source: str, trunk: Trunk) -> None:
        transport, _, place = source.partition(":")
        if transport.upper() in DEFAULT_PORT:
            rows = self._by_transport.setdefault(transport.upper(), [])
            for network in [place] if place else ANYWHERE:
                rows.append((ip_network(network.strip("[]")), trunk))
            return
        if is_name(source):
            self._certified[source.lower().removesuffix(".")] = trunk
            return
        if "/" in source:
            self._networks.append((ip_network(source, strict=False), trunk))
            return
        host, port = (source, None) if source.count(":") > 1 and source[0] != "[" else parse_host_port(source)
        if port is not None:
            self._exact[str(ip_address(host)), port] = trunk
        else:
            self._networks.append((ip_network(host), trunk))

    def trunk_of(self, flow: Flow) -> Trunk | None:
        """Whose certificate or address that is; None for a stranger."""
        for name in flow.names:
            if name in self._certified:
                return self._certified[name]
        if flow.web:  # an SBC's address says nothing of the pages that come from there
            return _narrowest(self._by_transport.get(flow.transport, []), flow.host)
        key = (flow.host, flow.port)
        trunk = self._exact.get(key)
        if trunk is not None:
            return trunk
        if flow.transport in self._by_transport:
            trunk = _narrowest(self._by_transport[flow.transport], flow.host)
            if trunk is not None:
                return trunk
        try:
            return self._remembered[key]
        except KeyError:
            pass
        found = _narrowest(self._networks, flow.host)
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = found
        return found

    def choose(self, source: Trunk | None, uri: Uri) -> list[Trunk] | None:
        """Where a request may go, in order; None when no route takes it."""
        route = self.route(source, uri)
        return None if route is None else self.targets(route.to)

    def targets(self, names: Iterable[str]) -> list[Trunk]:
        """The trunks of these names. Raises KeyError."""
        return [self.trunks[name] for name in names]

    def route(self, source: Trunk | None, uri: Uri) -> Route | None:
        """The first route that takes a request; None when none does."""
        name = None if source is None else source.name
        for route in self._routes:
            if route.source is not None and route.source != name:
                continue
            if route.user is not None and not route.user.search(unescape(uri.user or "")):
                continue
            return route
        return None


def _narrowest(networks: list[tuple[IPv4Network | IPv6Network, Trunk]], host: str) -> Trunk | None:
    """Whose network the address is in, of those sorted by length."""
    address = ip_address(host)
    for network, trunk in networks:
        if address.version == network.version and address in network:
            return trunk
    return None


def is_name(source: str) -> bool:
    """Whether a `match` entry is a name in a certificate, and no address."""
    return not is_ip(source) and "/" not in source and source[0] != "[" and ":" not in source


@lru_cache(maxsize=1024)
def is_ip(host: str) -> bool:
    """Whether this is an IP literal."""
    if ":" not in host and not host[-1:].isdigit():
        return False
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
