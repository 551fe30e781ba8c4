"""The laboratory: one core, some phones, a wire, virtual time.

    alice, bob = lab.talking("alice", "bob")
    alice.hangs_up()
    assert bob.got("BYE")

By itself there is a trunk for each of alice, bob, carol and dave, with one phone as its peer, and a route to
each by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sipproxy.b2bua.routing import Router
from sipproxy.sip.flow import DEFAULT_PORT, UDP, join_host

from .audit import complaints, remains
from .core import HOSTS, PROXY, PROXY6, Core, asks, route, trunk
from .ladder import ladder
from .network import Packet, Place
from .phone import Phone
from .seen import Seen
from .session import Called, Calling, Session

__all__ = ["HOSTS", "Lab", "asks", "route", "trunk"]


class Lab(Core):
    """A core, and who calls through it. Settings as those of `Core`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.phones: dict[str, Phone] = {}
        self.forgiven: tuple[str, ...] = ()  # parts of complaints that a story expects
        self._at_once = 0

    # The cast

    def phone(
        self, name: str, *, trunk: str = "", at: str = "", transport: str = UDP, port: int = 5060
    ) -> Phone:
        """A phone: at its trunk's address, or elsewhere."""
        if name not in self.phones:
            host = at
            if not host:
                address = self.engine.shared.router.trunks[trunk or name].address
                assert address is not None and address.literal, f"where is {name}?"  # noqa: PT018
                host, port = address.host, address.port or DEFAULT_PORT[transport]
            proxy = (transport, PROXY6 if ":" in host else PROXY, DEFAULT_PORT[transport])
            self.phones[name] = Phone(self, name, (transport, host, port), proxy)
        return self.phones[name]

    def cast(self, *names: str) -> list[Phone]:
        """Several phones."""
        return [self.phone(name) for name in names]

    def ringing(self, caller: str, callee: str) -> tuple[Phone, Phone]:
        """Two phones, one rings."""
        alice, bob = self.phone(caller), self.phone(callee)
        alice.calls(callee)
        bob.rings()
        return alice, bob

    def talking(self, caller: str, callee: str) -> tuple[Phone, Phone]:
        """Two phones in a call."""
        alice, bob = self.ringing(caller, callee)
        bob.answers()
        assert (alice.talking, bob.talking) == (True, True), self.ladder()
        return alice, bob

    def proxy_host(self, place: Place) -> str:
        """The proxy in a URI."""
        return join_host(place[1], place[2])

    # Time

    @property
    def now(self) -> float:
        """The present."""
        return self.world.now

    def settle(self) -> None:
        """Let everything that is on its way arrive."""
        if not self._at_once:
            self.world.settle()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run_until(self.world.now + seconds)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What is said inside happens at the same moment."""
        self._at_once += 1
        try:
            yield
        finally:
            self._at_once -= 1
        self.settle()

    # Accidents

    def loses(
        self, label: str, *, sender: str = "", receiver: str = "", times: int = 1, fate: str = "lost"
    ) -> None:
        """The next so many messages of that kind are lost (or `held`, or come `twice`)."""
        left = times

        def rule(packet: Packet) -> str:
            nonlocal left
            if not left or sender not in ("", packet.sender) or receiver not in ("", packet.receiver):
                return ""
            if label and not Seen(packet.data, packet.at).matches(label):
                return ""
            left -= 1
            return fate

        self.network.rules.append(rule)

    def holds(self, label: str, *, sender: str = "", receiver: str = "", times: int = 1) -> None:
        """The next so many messages of that kind wait for `lets_go`."""
        self.loses(label, sender=sender, receiver=receiver, times=times, fate="held")

    def lets_go(self) -> None:
        """What was held arrives now."""
        self.network.release()
        self.settle()

    def does(self, what: Callable[[float], object]) -> None:
        """Do something to the engine, and see what comes of it."""
        self.do(what)
        self.settle()

    # What is left

    def ladder(self) -> str:
        """The whole run as text."""
        return ladder(self.network.log, self.started_at)

    def finish(self) -> None:
        """Everybody hangs up and time passes: then nothing may be left, and nobody may have complained."""
        for _ in range(2):  # a phone that was referred may still dial
            for phone in self.phones.values():
                for session in phone.sessions:
                    self._end(phone, session)
            self.settle()
            self.run(35.0)
        if any(settings.health.options_every_s for settings in self.trunks.values()):
            self.engine.reload(Router.of({}, ()), self.world.now)  # so that probes end
        self.run(260.0)
        if self.next_at is not None:  # of long sessions
            self.run(2000.0)
        self.spans += self.book.take([], self.world.now)
        left = [
            complaint
            for complaint in [*remains(self), *complaints(self, self.phones.values())]
            if not any(part in complaint for part in self.forgiven)
        ]
        assert not left, "\n".join([*left, self.ladder()])

    @staticmethod
    def _end(phone: Phone, session: Session) -> None:
        if isinstance(session, Calling) and session.usage is None:
            session.cancel()
        if isinstance(session, Called) and session.open:
            session.refuse(480)
        for usage in session.usages.values():
            if usage.confirmed:
                usage.hang_up()
            elif isinstance(session, Calling):
                session.cancel()
