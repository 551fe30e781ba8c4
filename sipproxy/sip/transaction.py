"""The four transactions (RFC 3261 section 17, with RFC 6026 and RFC 4320).

INVITE client
    CALLING      start                send, start B, unreliable also A       CALLING
    CALLING      timer A              send again, start A doubled            CALLING
    CALLING      timer B              end, timed out                         TERMINATED
    CALLING+     1xx                  deliver                                PROCEEDING
    CALLING+     2xx                  start M, deliver                       ACCEPTED
    CALLING+     3xx-6xx              send ACK, start D, deliver             COMPLETED
    ACCEPTED     2xx                  deliver                                ACCEPTED
    COMPLETED    3xx-6xx              send ACK again                         COMPLETED
    PROCEEDING   cancelled, GIVE_UP   end, timed out                         TERMINATED
INVITE server
    PROCEEDING   respond 1xx          send                                   PROCEEDING
    PROCEEDING   INVITE               send the last 1xx again                PROCEEDING
    PROCEEDING   respond 2xx          send, start L                          ACCEPTED
    PROCEEDING   respond 3xx-6xx      send, start H, unreliable also G       COMPLETED
    ACCEPTED     respond 2xx          send                                   ACCEPTED
    ACCEPTED     ACK                  deliver                                ACCEPTED
    COMPLETED    INVITE, timer G      send again                             COMPLETED
    COMPLETED    ACK                  start I                                CONFIRMED
other client
    TRYING       start                send, start F, unreliable also E       TRYING
    TRYING+      timer E              send again, start E longer             unchanged
    TRYING+      timer F              end, timed out                         TERMINATED
    TRYING+      1xx                  deliver                                PROCEEDING
    TRYING+      2xx-6xx              start K, deliver                       COMPLETED
other server
    TRYING       start                start E: the first moment for a 100    TRYING
    TRYING       timer E              send 100 (RFC 4320 4.1), start F       PROCEEDING
    PROCEEDING   timer F              end: the client has given up           TERMINATED
    TRYING+      respond 1xx          send                                   PROCEEDING
    TRYING+      respond 2xx-6xx      send, start J                          COMPLETED
    TRYING+      respond 408          end, nothing is sent (RFC 4320)        TERMINATED
    PROCEEDING+  request              send the last answer again             unchanged
all
    last timer of a state             end                                    TERMINATED

`+` is that state and the next. A timer that the state no longer waits for does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from ..errors import LocalProtocolError
from .build import ack_for, respond_to
from .flow import Flow
from .message import Request, Response
from .timers import T1, T2, T4, TRANSACTION_TIMEOUT, Timer


class State(IntEnum):
    """RFC 3261's names; CALLING is the INVITE client's TRYING."""

    CALLING = 0
    TRYING = 1
    PROCEEDING = 2
    ACCEPTED = 3
    COMPLETED = 4
    CONFIRMED = 5
    TERMINATED = 6


@dataclass(slots=True)
class Send:
    """These bytes go to the peer."""

    wire: bytes


@dataclass(slots=True)
class StartTimer:
    """Call `expire` with this timer at that time."""

    timer: Timer
    at: float


@dataclass(slots=True)
class Deliver:
    """This message is the user's."""

    message: Request | Response


@dataclass(slots=True)
class Terminated:
    """The transaction is over; `timed_out` when the peer stayed silent."""

    timed_out: bool


Effect: TypeAlias = Send | StartTimer | Deliver | Terminated
D_LENGTH = TRANSACTION_TIMEOUT  # "at least 32 seconds" on unreliable transports
E_REACHES_T2 = T1 + 2 * T1 + 4 * T1  # seconds until a client's Timer E is reset to T2 (RFC 4320)


class Transaction:
    """What all four share, and what the endpoint keeps with them."""

    __slots__ = ("_reliable", "flow", "key", "repeats", "state")

    def __init__(self, *, reliable: bool) -> None:
        self._reliable = reliable
        self.state = State.TRYING
        self.repeats = 0  # retransmissions seen or sent
        self.key = ""
        self.flow: Flow | None = None

    def expire(self, timer: Timer, now: float) -> list[Effect]:
        """Act on a timer."""
        raise NotImplementedError

    def _end(self, *, timed_out: bool = False) -> list[Effect]:
        self.state = State.TERMINATED
        return [Terminated(timed_out)]


class ClientTransaction(Transaction):
    """A request of ours on its way to an answer."""

    __slots__ = ("_interval", "_wire", "moved", "otherwise", "request")

    def __init__(self, request: Request, wire: bytes, *, reliable: bool) -> None:
        super().__init__(reliable=reliable)
        self.request = request
        self._wire = wire
        self._interval = T1
        self.otherwise: Flow | None = None  # where it goes if its own flow cannot be had
        self.moved = False  # it did

    def start(self, now: float) -> list[Effect]:
        """Send the request."""
        raise NotImplementedError

    def receive(self, response: Response, now: float) -> list[Effect]:
        """Take a response."""
        raise NotImplementedError

    def restart(self, wire: bytes, *, reliable: bool, now: float) -> list[Effect]:
        """Begin again over another transport (RFC 3261 section 18.1.1)."""
        self._wire = wire
        self._reliable = reliable
        self._interval = T1
        self.moved = True
        return self.start(now)

    def fail(self) -> list[Effect]:
        """The transport could not send: the end, unless somebody has answered already."""
        return self._end() if self.state <= State.TRYING else []

    def deserted(self) -> list[Effect]:
        """Nothing can come any more: the only way to the peer is gone."""
        return self._end() if self.state <= State.PROCEEDING else []


class InviteClientTransaction(ClientTransaction):
    """Repeats our INVITE until it is heard, and acknowledges a refusal."""

    __slots__ = ("_ack",)

    def __init__(self, request: Request, wire: bytes, *, reliable: bool) -> None:
        super().__init__(request, wire, reliable=reliable)
        self.state = State.CALLING
        self._ack = b""

    def start(self, now: float) -> list[Effect]:
        effects: list[Effect] = [Send(self._wire), StartTimer(Timer.B, now + TRANSACTION_TIMEOUT)]
        if not self._reliable:
            effects.append(StartTimer(Timer.A, now + self._interval))
        return effects

    def receive(self, response: Response, now: float) -> list[Effect]:
        status = response.status
        if self.state <= State.PROCEEDING:
            self._wire = b""
            if status < 200:
                self.state = State.PROCEEDING
                return [Deliver(response)]
            if status < 300:
                self.state = State.ACCEPTED
                self.request.slim()  # kept for half a minute only so that a fork's 2xx is known
                return [StartTimer(Timer.M, now + TRANSACTION_TIMEOUT), Deliver(response)]
            self.state = State.COMPLETED
            self._ack = ack_for(self.request, response)
            return [
                Send(self._ack),
                StartTimer(Timer.D, now if self._reliable else now + D_LENGTH),
                Deliver(response),
            ]
        if self.state is State.ACCEPTED and 200 <= status < 300:
            return [Deliver(response)]
        if self.state is State.COMPLETED and status >= 300:
            self.repeats += 1
            return [Send(self._ack)]
        return []

    def cancelled(self, now: float) -> list[Effect]:
        """A CANCEL went out: wait for the final response, but not for ever (RFC 3261 section 9.1)."""
        return (
            [StartTimer(Timer.GIVE_UP, now + TRANSACTION_TIMEOUT)] if self.state is State.PROCEEDING else []
        )

    def expire(self, timer: Timer, now: float) -> list[Effect]:
        if self.state is State.CALLING:
            if timer is Timer.A:
                self._interval *= 2
                self.repeats += 1
                return [Send(self._wire), StartTimer(Timer.A, now + self._interval)]
            if timer is Timer.B:
                return self._end(timed_out=True)
        elif self.state is State.PROCEEDING:
            if timer is Timer.GIVE_UP:
                return self._end(timed_out=True)
        elif (self.state is State.ACCEPTED and timer is Timer.M) or (
            self.state is State.COMPLETED and timer is Timer.D
        ):
            return self._end()
        return []


class OtherClientTransaction(ClientTransaction):
    """Repeats any other request of ours until it is answered."""

    __slots__ = ()

    def start(self, now: float) -> list[Effect]:
        effects: list[Effect] = [Send(self._wire), StartTimer(Timer.F, now + TRANSACTION_TIMEOUT)]
        if not self._reliable:
            effects.append(StartTimer(Timer.E, now + self._interval))
        return effects

    def receive(self, response: Response, now: float) -> list[Effect]:
        if self.state > State.PROCEEDING:
            return []
        if response.status < 200:
            self.state = State.PROCEEDING
            return [Deliver(response)]
        self.state = State.COMPLETED
        self._wire = b""
        return [StartTimer(Timer.K, now if self._reliable else now + T4), Deliver(response)]

    def expire(self, timer: Timer, now: float) -> list[Effect]:
        if self.state <= State.PROCEEDING:
            if timer is Timer.E:
                self._interval = min(2 * self._interval, T2) if self.state is State.TRYING else T2
                self.repeats += 1
                return [Send(self._wire), StartTimer(Timer.E, now + self._interval)]
            if timer is Timer.F:
                return self._end(timed_out=True)
        elif self.state is State.COMPLETED and timer is Timer.K:
            return self._end()
        return []


class ServerTransaction(Transaction):
    """A peer's request, and what we answered."""

    __slots__ = ("_answer", "local_tag", "merge_key", "request", "source")

    def __init__(self, request: Request, *, reliable: bool) -> None:
        super().__init__(reliable=reliable)
        self.request = request
        self._answer: list[Effect] = []  # what a repeated request gets
        self.merge_key = ""
        self.source: Flow | None = None  # where it came from; `flow` is where answers go
        self.local_tag = ""  # the To-tag of our answers, where the user has no reason for another

    @property
    def answered(self) -> bool:
        """Whether a final response went out."""
        return self.state >= State.ACCEPTED

    def start(self, now: float) -> list[Effect]:
        """The request has arrived."""
        return []

    def receive(self, request: Request, now: float) -> list[Effect]:
        """Take a repeated request, or the ACK."""
        raise NotImplementedError

    def respond(self, response: Response, now: float) -> list[Effect]:
        """Answer. Raises LocalProtocolError when a final response went out already."""
        raise NotImplementedError


class InviteServerTransaction(ServerTransaction):
    """Absorbs retransmissions of one INVITE, and repeats our answer until it is heard."""

    __slots__ = ("_interval",)

    def __init__(self, request: Request, *, reliable: bool) -> None:
        super().__init__(request, reliable=reliable)
        self.state = State.PROCEEDING
        self._interval = T1

    def receive(self, request: Request, now: float) -> list[Effect]:
        if request.method == "ACK":
            if self.state is State.COMPLETED:
                self.state = State.CONFIRMED
                self._answer = []
                return [StartTimer(Timer.I, now if self._reliable else now + T4)]
            if self.state is State.ACCEPTED:
                return [Deliver(request)]
            return []
        self.repeats += 1
        return [*self._answer] if self.state <= State.PROCEEDING or self.state is State.COMPLETED else []

    def respond(self, response: Response, now: float) -> list[Effect]:
        status = response.status
        send = Send(response.encode())
        if self.state is State.ACCEPTED and 200 <= status < 300:
            return [send]
        if self.state is not State.PROCEEDING:
            raise LocalProtocolError(f"{status} to an INVITE that is {self.state.name}")
        if status < 200:
            self._answer = [send]
            return [send]
        if status < 300:
            self.state = State.ACCEPTED
            self._answer = []
            self.request.slim()  # it has its answer: what is kept absorbs repeats
            return [send, StartTimer(Timer.L, now + TRANSACTION_TIMEOUT)]
        self.state = State.COMPLETED
        self._answer = [send]
        effects: list[Effect] = [send, StartTimer(Timer.H, now + TRANSACTION_TIMEOUT)]
        if not self._reliable:
            effects.append(StartTimer(Timer.G, now + self._interval))
        return effects

    def expire(self, timer: Timer, now: float) -> list[Effect]:
        if self.state is State.COMPLETED:
            if timer is Timer.G:
                self._interval = min(2 * self._interval, T2)
                return [*self._answer, StartTimer(Timer.G, now + self._interval)]
            if timer is Timer.H:
                return self._end(timed_out=True)
        elif (self.state is State.CONFIRMED and timer is Timer.I) or (
            self.state is State.ACCEPTED and timer is Timer.L
        ):
            return self._end()
        return []


class OtherServerTransaction(ServerTransaction):
    """Absorbs retransmissions of any other request."""

    __slots__ = ()

    def start(self, now: float) -> list[Effect]:
        return [StartTimer(Timer.E, now + E_REACHES_T2)]

    def receive(self, request: Request, now: float) -> list[Effect]:
        self.repeats += 1
        return [*self._answer]

    def respond(self, response: Response, now: float) -> list[Effect]:
        if self.state > State.PROCEEDING:
            raise LocalProtocolError(f"{response.status} to a request that is {self.state.name}")
        if response.status == 408:
            return self._end()
        send = Send(response.encode())
        self._answer = [send]
        if response.status < 200:
            self.state = State.PROCEEDING
            return [send]
        self.state = State.COMPLETED
        return [send, StartTimer(Timer.J, now if self._reliable else now + TRANSACTION_TIMEOUT)]

    def expire(self, timer: Timer, now: float) -> list[Effect]:
        if timer is Timer.E and self.state is State.TRYING:
            trying = self.respond(respond_to(self.request, 100), now)
            return [*trying, StartTimer(Timer.F, now + TRANSACTION_TIMEOUT)]
        if (timer is Timer.J and self.state is State.COMPLETED) or (
            timer is Timer.F and self.state <= State.PROCEEDING
        ):
            return self._end()
        return []
