"""Taking back an INVITE of ours: at once when somebody has answered provisionally, else with the first 1xx
(RFC 3261 section 9.1). Until then the INVITE goes on being repeated: whoever got it must hear the CANCEL too.
"""

from __future__ import annotations

from ..sip.build import cancel_for
from ..sip.endpoint import Endpoint
from ..sip.transaction import ClientTransaction, InviteClientTransaction, State
from .shared import NOBODY


class Withdrawal:
    """`want` says that the answer is not wanted; `try_now` is called with each 1xx."""

    __slots__ = ("_endpoint", "_reason", "_sent", "wanted")

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._reason: str | None = None
        self._sent = False
        self.wanted = False

    def want(self, client: ClientTransaction | None, reason: str | None, now: float) -> bool:
        """Give up; whether a CANCEL went out now. `reason` is the Reason it carries (RFC 3326)."""
        self.wanted = True
        self._reason = reason
        return self.try_now(client, now)

    def try_now(self, client: ClientTransaction | None, now: float) -> bool:
        """Send the CANCEL if it is wanted, allowed and not sent yet."""
        if not self.wanted or self._sent or not isinstance(client, InviteClientTransaction):
            return False
        if client.state is not State.PROCEEDING:
            return False
        self._sent = True
        self._endpoint.send_cancel(cancel_for(client.request, self._reason), client, NOBODY, now)
        return True
