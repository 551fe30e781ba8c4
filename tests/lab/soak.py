"""Phones that do what comes into their heads, at random times, in any weather; all of it from one seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from sipproxy.sip.flow import TCP, UDP

from .lab import Lab, route, trunk
from .network import FAIR, Weather
from .phone import Phone
from .referral import LEAVES, STAYS, WAITS
from .seen import ANSWER, HOLD, OFFER
from .session import Called, Calling
from .styles import CARRIERS, Style
from .usage import Usage

WEATHERS = (
    FAIR,
    Weather(loss=0.1),
    Weather(loss=0.25, duplication=0.05),
    Weather(jitter_s=0.3),
    Weather(jitter_s=0.8, loss=0.1, duplication=0.1),
    Weather(duplication=0.5, jitter_s=0.05),
)
NAMES = ("alice", "bob", "carol", "dave")
FINALS = (302, 404, 408, 480, 486, 487, 500, 503, 504, 600, 603)
Deed = Callable[[], object]


class Soak:
    """One run. `deeds` is what was done, for whoever has to understand a failure."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(f"soak {seed}")
        self.deeds: list[str] = []
        streams = self.rng.random() < 0.2
        suffix = ";transport=tcp" if streams else ""
        modes = (None, "relay", "local", "reject") if self.rng.random() < 0.5 else ("relay", "local")
        trunks = {
            name: trunk(
                f"192.0.2.{n}:5060{suffix}", refer=self.rng.choice(modes), anchor=self.rng.random() < 0.8
            )
            for n, name in enumerate(NAMES, 1)
        }
        routes = [route("bob", "carol", user="^bob$")] if self.rng.random() < 0.5 else []
        self.lab = Lab(seed=seed, weather=self.rng.choice(WEATHERS), trunks=trunks, routes=routes)
        self.lab.lookup_s = self.rng.choice((0.005, 0.5, 2.0))
        self.phones = [self.lab.phone(name, transport=TCP if streams else UDP) for name in NAMES]
        for phone in self.phones:
            phone.style = self._style()
            self._temper(phone, named=not streams and self.rng.random() < 0.3)

    def _temper(self, phone: Phone, *, named: bool) -> None:
        """What kind of phone it is."""
        chance = self.rng.random
        phone.password = "secret"
        phone.forks_end = chance() < 0.5
        phone.retries = chance() < 0.8
        if chance() < 0.2:
            phone.withholds.add("100")
        if chance() < 0.1:
            phone.withholds.add("ACK")
        if chance() < 0.2:
            phone.replies["BYE"] = 407
        if chance() < 0.3:
            phone.replies["INVITE"] = self.rng.choice((None, 488, 481, 491))
        if chance() < 0.3:
            phone.replies["UPDATE"] = self.rng.choice((None, 488, 481))
        if chance() < 0.2:
            phone.replies["INFO"] = self.rng.choice((None, 500, 481))
        if named:
            phone.contact = f"<sip:{phone.name}@{phone.name}.example>"
            self.lab.hosts[f"{phone.name}.example"] = [(UDP, phone.place[1], 5060)]

    def _style(self) -> Style:
        """How it takes part in a transfer."""
        chance, choice = self.rng.random, self.rng.choice
        return Style(
            answer=choice((202, 202, 202, 202, 200, 407, 603, None)),
            keeps=choice(tuple(CARRIERS.values())),
            early_notify=chance() < 0.2,
            lies=chance() < 0.1,
            ends=chance() < 0.9,
            names_event=chance() < 0.8,
            dials_after_s=choice((0.0, 0.0, 0.0, 0.5, 3.0)),
            leaves=chance() < 0.2,
            replaces=choice(("answers", "answers", "rings", "ignores")),
            finds=chance() < 0.8,
        )

    def run(self) -> None:
        """A good half minute of life, then everybody hangs up, and nothing may be left."""
        lab = self.lab
        streams_break = self.rng.random() < 0.5
        with lab.at_once():  # nobody waits for anybody
            for _ in range(self.rng.randint(5, 60)):
                lab.run(self.rng.choice((0.0, 0.005, 0.02, 0.2, 1.0, 4.0)) * self.rng.random())
                if streams_break and self.rng.random() < 0.05:
                    self._break_a_stream()
                phone = self.rng.choice(self.phones)
                if phone.dead:
                    continue
                name, deed = self.rng.choice(self._possible(phone))
                self.deeds.append(f"{lab.now - lab.started_at:.3f} {phone.name} {name}")
                deed()
        lab.run(self.rng.random() * 5)
        lab.finish()

    def _break_a_stream(self) -> None:
        streams = sorted(self.lab.network.streams)
        if streams:
            stream = self.rng.choice(streams)
            self.deeds.append(f"{self.lab.now - self.lab.started_at:.3f} stream {stream} breaks")
            self.lab.network.cut(stream)

    def _possible(self, phone: Phone) -> list[tuple[str, Deed]]:
        """What a phone can do now."""
        other = self.rng.choice([name for name in NAMES if name != phone.name])
        late = self.rng.random() < 0.2
        deeds: list[tuple[str, Deed]] = [
            (
                f"calls {other}",
                lambda: phone.calls(other, body="" if late else OFFER, headers=self._wishes()),
            ),
            (f"asks {other}", lambda: phone.asks(self.rng.choice(("MESSAGE", "OPTIONS", "REFER")), other)),
        ]
        third = self.rng.choice([name for name in NAMES if name != phone.name])
        whom = self.lab.phones[other]
        deeds.append((f"refers {other} to {third}", lambda: phone.refers(whom, third, outside=True)))
        if self.rng.random() < 0.01:
            deeds.append(("dies", lambda: setattr(phone, "dead", True)))
        for session in phone.sessions:
            if isinstance(session, Calling) and not session.asking.answered:
                deeds.append(("cancels", session.cancel))
            if isinstance(session, Called) and session.open:
                deeds += self._answers(session) * 2
            for usage in session.usages.values():
                if not usage.over and usage.bye is None:
                    deeds += self._in_dialog(phone, session, usage)
                if usage.live:
                    deeds += self._transfers(phone, usage)
        newest = phone.referrals[-1] if phone.referrals else None
        if newest is not None and newest.usage is not None and not (newest.over or newest.silent):
            subscribes, seconds = newest.subscribes, self.rng.choice((0, 60))
            deeds.append((f"SUBSCRIBE {seconds}", lambda: subscribes(seconds)))
        return deeds

    def _transfers(self, phone: Phone, usage: Usage) -> list[tuple[str, Deed]]:
        """Blind, or attended with any other call of the phone, up or not."""
        to = self.rng.choice(NAMES)
        then = self.rng.choice((WAITS, STAYS, LEAVES))
        others = [other for other in phone.usages.values() if other is not usage]
        replaced = self.rng.choice(others) if others and self.rng.random() < 0.7 else None
        headers = {"Refer-Sub": "false"} if self.rng.random() < 0.1 else {}
        deed = (
            f"REFER to {to}{' attended' if replaced else ''}, {then}",
            lambda: phone.refers(usage, to, replaces=replaced, headers=headers, then=then),
        )
        return [deed, deed]

    def _wishes(self) -> dict[str, str]:
        return {"Session-Expires": "90"} if self.rng.random() < 0.2 else {}

    def _answers(self, called: Called) -> list[tuple[str, Deed]]:
        fork = self.rng.choice(("", "", "", "-desk", "-mobile"))
        known = called.usages.get(fork)
        reliable = self.rng.random() < 0.4 and (known is None or not known.unpracked)
        body = ANSWER if self.rng.random() < 0.3 else ""
        final = self.rng.choice(FINALS)
        return [
            (f"rings{fork}", lambda: called.progress(180, fork, "", reliable=reliable)),
            (f"progresses{fork}", lambda: called.progress(183, fork, body, reliable=reliable)),
            (f"answers{fork}", lambda: called.answer(fork)),
            (f"refuses {final}", lambda: called.refuse(final)),
        ]

    def _in_dialog(
        self, phone: Phone, session: Calling | Called | object, usage: Usage
    ) -> list[tuple[str, Deed]]:
        early = isinstance(session, Called) and not usage.confirmed
        deeds: list[tuple[str, Deed]] = [("INFO", lambda: usage.ask("INFO"))]
        if usage.may_answer and usage.rseq_in + usage.rseq_out:
            deeds.append(("UPDATE", lambda: usage.ask("UPDATE", HOLD)))
        if not early:
            deeds.append(("BYE", usage.hang_up))
        if usage.may_offer:
            deeds.append(("INVITE", lambda: usage.ask("INVITE", self.rng.choice((HOLD, "")))))
            deeds.append(("UPDATE", lambda: usage.ask("UPDATE", HOLD)))
        if usage.invite_in is not None:
            deeds.append(("answers INVITE", lambda: usage.answer_invite(self.rng.choice((200, 200, 486)))))
        asked = usage.invite_out
        cancelled = asked is not None and (asked.request.branch, "CANCEL") in phone.asking
        if (
            asked is not None
            and asked.provisional
            and not asked.answered
            and usage.confirmed
            and not cancelled
        ):
            deeds.append(("CANCEL", lambda: phone.asks_to_cancel(asked)))
        return deeds
