"""Transfers whose new call may still come, and by what it is recognised.

    marker         `;sipproxy-ref=TOKEN` in the Request-URI: 128 random bits, good for one call
    traceparent    the transfer's own context, as a header or left in the URI
    Replaces       the dialog that Refer-To named, from either side
    Referred-By    with the target's user, from the transferee's trunk, where that names one transfer alone
    previous       `previous-trace-id` naming the transfer's span

All wait equally long, so the oldest goes first; what falls due at once goes in portions, since calls do not
wait.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from ..errors import RemoteProtocolError
from ..propagation.context import Previous, TraceContext
from ..sip.endpoint import Endpoint
from ..sip.flow import Flow
from ..sip.headers import FROM
from ..sip.message import Request
from ..sip.refer import MARKER, REFERRED_BY, Replaces
from ..sip.timers import Timer
from ..sip.uri import Uri, parse_uri
from ..sip.values import NameAddr
from .settings import TransferSettings
from .transfer import Transfer

PORTION = 100  # transfers that expire at one go
PAUSE_S = 0.001  # seconds until the next portion


class Token(StrEnum):
    """What a marker was worth; the bad ones are counted under these names."""

    NONE = "token_none"
    GOOD = "token_good"
    UNKNOWN = "token_unknown"
    REPLAYED = "token_replayed"


class PendingTransfers:
    """One per engine. An entry stays until its time is over, also when the new call has come: so a token that
    is used twice is noticed.
    """

    def __init__(self, endpoint: Endpoint, settings: TransferSettings) -> None:
        self.settings = settings
        self._endpoint = endpoint
        self._order: deque[Transfer] = deque()
        self._by_token: dict[str, Transfer] = {}
        self._by_span: dict[str, Transfer] = {}
        self._by_replaces: dict[str, Transfer] = {}
        self._by_referral: dict[int, Transfer | list[Transfer]] = {}  # mostly there is one
        self._by_subscription: dict[str, Transfer] = {}
        self._timer_at = 0.0

    def __len__(self) -> int:
        return len(self._order)

    def add(self, transfer: Transfer, now: float) -> None:
        """Wait for the new call of this transfer; its token, referral and so on are set."""
        if len(self._order) >= self.settings.pending:
            self._drop(self._order.popleft(), now)
        transfer.expires_at = now + self.settings.expires_s
        self._order.append(transfer)
        transfer.awaits(True)
        if transfer.token:
            self._by_token[transfer.token] = transfer
        self._by_span[transfer.context.span_id] = transfer
        for key in transfer.replaces_keys:
            self._by_replaces[key] = transfer
        if transfer.referral:
            known = self._by_referral.get(transfer.referral)
            if known is None:
                self._by_referral[transfer.referral] = transfer
            elif isinstance(known, list):
                known.append(transfer)
            else:
                self._by_referral[transfer.referral] = [known, transfer]
        if transfer.subscription:
            self._by_subscription[transfer.subscription] = transfer
        if not self._timer_at:
            self._start_timer(transfer.expires_at)

    def _start_timer(self, at: float) -> None:
        self._timer_at = at
        self._endpoint.timers.start(Timer.FORGET, at, self)

    def expire(self, timer: Timer, now: float) -> None:
        """The oldest are over."""
        order = self._order
        for _ in range(PORTION):
            if not order or order[0].expires_at > now:
                break
            self._drop(order.popleft(), now)
        self._timer_at = 0.0
        if order:
            self._start_timer(max(order[0].expires_at, now + PAUSE_S))

    def end(self, now: float) -> None:
        """The proxy ends: nothing is waited for any more."""
        while self._order:
            self._drop(self._order.popleft(), now)

    def withdraw(self, transfer: Transfer) -> None:
        """No new call will come: the REFER was refused, or goes elsewhere."""
        if transfer.expires_at and transfer in self._order:
            self._order.remove(transfer)
        transfer.awaits(False)
        self._unlink(transfer)

    def _unlink(self, transfer: Transfer) -> None:
        self._by_token.pop(transfer.token, None)
        self._by_span.pop(transfer.context.span_id, None)
        for key in transfer.replaces_keys:
            if self._by_replaces.get(key) is transfer:
                del self._by_replaces[key]
        known = self._by_referral.get(transfer.referral)
        if isinstance(known, list):
            if transfer in known:  # the oldest goes first: it is found at once
                known.remove(transfer)
            if not known:
                del self._by_referral[transfer.referral]
        elif known is transfer:
            del self._by_referral[transfer.referral]
        if self._by_subscription.get(transfer.subscription) is transfer:
            del self._by_subscription[transfer.subscription]

    def _drop(self, transfer: Transfer, now: float) -> None:
        self._unlink(transfer)
        transfer.awaits(False)
        transfer.expired(now)

    # How a new call is recognised

    def by_token(self, uri: Uri, who: str) -> tuple[Transfer | None, Token]:
        """The transfer whose marker a Request-URI holds, and what the marker is worth to `who` (Call-ID and
        From
        tag): it is good again for whom it was good once.
        """
        token = uri.parameter(MARKER) if uri.parameters else None
        if token is None:
            return None, Token.NONE
        transfer = self._by_token.get(token)
        if transfer is None:
            return None, Token.UNKNOWN
        if transfer.placed_by and transfer.placed_by != who:
            return None, Token.REPLAYED
        return transfer, Token.GOOD

    def by_context(self, context: TraceContext | None) -> Transfer | None:
        """The transfer whose own context this is."""
        transfer = None if context is None else self._by_span.get(context.span_id)
        if transfer is None or context is None or transfer.context.trace_id != context.trace_id:
            return None
        return transfer

    def by_previous(self, previous: Previous | None) -> Transfer | None:
        """The transfer that a `previous-trace-id` names."""
        transfer = None if previous is None else self._by_span.get(previous.span_id or "")
        if transfer is None or previous is None or transfer.context.trace_id != previous.trace_id:
            return None
        return transfer

    def by_replaces(self, replaces: Replaces) -> Transfer | None:
        """The transfer whose Refer-To named that dialog."""
        return self._by_replaces.get(replaces_key(replaces))

    def by_referral(self, request: Request, trunk: str) -> Transfer | None:
        """The one transfer of that referrer to that target from that trunk; None also where there are
        several.
        """
        if not self._by_referral or "referred-by" not in request.headers.keys:
            return None
        user = request.parsed_uri.user
        return self._only(referral_key(request.headers.first(REFERRED_BY) or "", user, trunk), user, trunk)

    def by_connection(self, request: Request, trunk: str, flow: Flow) -> Transfer | None:
        """The one transfer to that target whose REFER went down this WebSocket; None also where there are
        several.
        """
        if not self._by_referral or not flow.web:
            return None
        user = request.parsed_uri.user
        return self._only(connection_key(flow, user), user, trunk)

    def _only(self, key: int, user: str | None, trunk: str) -> Transfer | None:
        known = self._by_referral.get(key, ())
        only: Transfer | None = None
        for transfer in known if not isinstance(known, Transfer) else (known,):
            if transfer.placed_by or transfer.user != user or transfer.transferee != trunk:
                continue
            if only is not None:
                return None
            only = transfer
        return only

    def by_subscription(self, call_id: str) -> Transfer | None:
        """The transfer whose REFER, outside a dialog, had that Call-ID."""
        return self._by_subscription.get(call_id)


def replaces_key(replaces: Replaces) -> str:
    """What names a dialog in the table."""
    return f"{replaces.call_id} {replaces.to_tag} {replaces.from_tag}"


def referral_key(referred_by: str, user: str | None, trunk: str) -> int:
    """Who refers, to whom, and whence the new call comes, as a number: ten thousand texts take their room.
    0 where
    Referred-By cannot be read.
    """
    try:
        uri = parse_uri(NameAddr.parse(referred_by).uri)
    except RemoteProtocolError:
        return 0
    return hash((uri.user, uri.host, user, trunk))


def connection_key(flow: Flow, user: str | None) -> int:
    """A WebSocket client, and whom it is to call: nobody else is on its connection."""
    return hash((flow.transport, flow.connection, user))


def who_sent(request: Request) -> str:
    """Call-ID and From tag, which a repeated attempt keeps (RFC 3261 section 8.1.3.5)."""
    sender = request.headers.first(FROM)
    return f"{request.call_id} {sender.tag if sender is not None else ''}"
