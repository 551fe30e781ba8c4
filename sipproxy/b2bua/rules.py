"""What crosses to another leg and what does not: header by header, and by the policy of the trunk it goes
to.
"""

from __future__ import annotations

from ..propagation.carriers import CONTEXT_HEADERS
from ..sip.headers import key_of, learn
from ..sip.message import Headers
from .settings import HeaderPolicy

# Option tags that work end to end through us, since we carry what they need (RFC 3262, 4028, 3312, 4488,
# ...).
TRANSPARENT_TAGS = frozenset(
    (
        "100rel",
        "timer",
        "precondition",
        "norefersub",
        "explicitsub",
        "nosub",
        "replaces",
        "tdialog",
        "histinfo",
        "from-change",
        "early-session",
        "resource-priority",
        "privacy",
        "uui",
        "answermode",
        "eventlist",
        "pref",
    )
)
ALLOW = (
    "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, REFER, NOTIFY, SUBSCRIBE, PUBLISH, "
    "REGISTER"
)
OUR_SUPPORTED = "100rel, timer, replaces, norefersub, tdialog"

ACTION_DROP = 1
ACTION_FROM = 2
ACTION_TO = 3
ACTION_CALL_ID = 4
ACTION_CSEQ = 5
ACTION_CONTACT = 6
ACTION_MAX_FORWARDS = 7
ACTION_SUPPORTED = 8
ACTION_PAI = 9
ACTION_RACK = 10
ACTION_KEEP = 11  # passes even where only listed headers do

_BASE: dict[str, int] = {
    "via": ACTION_DROP,
    "route": ACTION_DROP,
    "record-route": ACTION_DROP,
    "proxy-require": ACTION_DROP,
    "timestamp": ACTION_DROP,
    "path": ACTION_DROP,
    "service-route": ACTION_DROP,
    "replaces": ACTION_DROP,
    "target-dialog": ACTION_DROP,
    "from": ACTION_FROM,
    "to": ACTION_TO,
    "call-id": ACTION_CALL_ID,
    "cseq": ACTION_CSEQ,
    "contact": ACTION_CONTACT,
    "max-forwards": ACTION_MAX_FORWARDS,
    "supported": ACTION_SUPPORTED,
    "p-asserted-identity": ACTION_PAI,
    "rack": ACTION_RACK,
    **{name: ACTION_DROP for name in CONTEXT_HEADERS},
    **{
        learn(name): ACTION_KEEP
        for name in (
            "Content-Type",
            "Content-Length",
            "Content-Encoding",
            "Content-Disposition",
            "MIME-Version",
            "Require",
            "RSeq",
            "Session-Expires",
            "Min-SE",
            "Allow",
            "Event",
            "Subscription-State",
            "Refer-To",
            "Expires",
            "WWW-Authenticate",
            "Proxy-Authenticate",
            "Authorization",
            "Proxy-Authorization",
            "Authentication-Info",
            "Retry-After",
            "Unsupported",
            "Reason",
        )
    },
}


class HeaderRules:
    """One trunk's policy, ready for use."""

    __slots__ = ("_set", "actions", "otherwise")

    def __init__(self, policy: HeaderPolicy, aliases: tuple[str, ...] = ()) -> None:
        self.actions = dict(_BASE)  # what happens to lines of that name
        self.otherwise = 0 if policy.allow is None else ACTION_DROP
        if policy.allow is not None:
            self.actions["p-asserted-identity"] = ACTION_DROP  # an identity passes only where it is listed
        for name in policy.allow or ():
            key = key_of(name)
            self.actions[key] = ACTION_PAI if key == "p-asserted-identity" else self.actions.get(key, 0)
        for name in aliases:
            self.actions[name.lower()] = ACTION_DROP
            self.actions[name.lower().replace("traceparent", "tracestate")] = ACTION_DROP
        for name in policy.strip:
            self.actions[key_of(name)] = ACTION_DROP
        self._set = list(policy.set.items())

    def lets_pass(self, key: str) -> bool:
        """Whether a header of that name goes to the trunk."""
        return self.actions.get(key, self.otherwise) != ACTION_DROP

    def apply_set(self, headers: Headers) -> None:
        """Write what the policy sets."""
        for name, value in self._set:
            headers.set(name, value)


DEFAULT_RULES = HeaderRules(HeaderPolicy())
