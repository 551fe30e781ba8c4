"""The INVITE to a transfer's target that we place ourselves (RFC 5589 section 6), and what its REFER asked
for.
"""

from __future__ import annotations

from ..sip.build import respond_to
from ..sip.headers import REQUIRE, key_of
from ..sip.message import Headers, Request
from ..sip.refer import REFERRED_BY, ReferTo
from ..sip.transaction import ServerTransaction
from ..sip.values import NameAddr
from .leg import Leg
from .rewrite import plain_uri
from .rules import ALLOW
from .transfer import Transfer


def invitation(transferee: Leg, refer: Request, transfer: Transfer, target: ReferTo) -> Request:
    """The INVITE to the target, as if the transferee had sent it (RFC 5589 section 6): without an offer."""
    dialog = transferee.dialog
    headers = Headers()
    headers.add("From", dialog.remote)
    headers.add("To", f"<{target.uri}>")
    headers.add("Call-ID", dialog.call_id)
    headers.add("CSeq", "1 INVITE")
    headers.add("Max-Forwards", str(max(transfer.hops + 1, 1)))
    headers.add("Contact", f"<{dialog.remote_target}>")
    headers.add("Allow", ALLOW)
    referred_by = refer.headers.first(REFERRED_BY) or known_as(transferee)
    headers.add("Referred-By", referred_by)
    if transfer.interaction:
        headers.add(transfer.shared.propagation.interaction_header, transfer.interaction)
    for name, value in target.headers:
        if key_of(name) not in headers:
            headers.add(name, value)
    return Request("INVITE", target.uri, headers)


def is_silent(refer: Request) -> bool:
    """Whether the transferor wants no NOTIFY (RFC 4488 section 4, RFC 7614 section 4)."""
    headers = refer.headers
    if (headers.text("refer-sub") or "").strip().lower().startswith("false"):
        return True
    return "require" in headers.keys and "nosub" in headers.tokens(REQUIRE)


def known_as(leg: Leg) -> str:
    """Who we are to that leg, as an address: what Referred-By says where the transferor does not say it."""
    return f"<{plain_uri(NameAddr.parse(leg.dialog.local).uri)}>"


def answer_refer(front: Leg, tx: ServerTransaction, now: float, *, silent: bool) -> bool:
    """Take a REFER with 202, or say that it asks for a subscription that we do not make (RFC 7614): False."""
    refer, shared = tx.request, front.shared
    taken = "require" not in refer.headers.keys or "explicitsub" not in refer.headers.tokens(REQUIRE)
    response = respond_to(refer, 202 if taken else 420, to_tag=front.dialog.local_tag)
    if taken:
        response.headers.add("Contact", front.contact)
        if silent:
            response.headers.add("Refer-Sub", "false")
    else:
        response.headers.add("Unsupported", "explicitsub")
    shared.endpoint.respond(tx, response, now)
    return taken
