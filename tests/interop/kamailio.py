"""Kamailio as the session border controller in front: a proxy that stays in the route of every call.

It passes calls on to the first of its `targets` that is up (dispatcher), and to the next one on
503 or silence. Calls that come back from a target go to the `callee`; without one, to who has registered
under that name, else they get 404 (and to where its Request-URI points, if that is not its own). A request
inside a call that does not follow the route set is refused. What it sends on it notes (`Hop`), and what it
hears as well (`Reply`).

    with Kamailio("127.0.0.4:5060", folder, targets=["sip:127.0.0.1:5080"]) as kamailio: ...
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.foreign import PATIENCE_S
from tests.support.kamailio import HEAD, KamailioProcess, sockets_of

_PROBING = """\
modparam("dispatcher", "ds_ping_interval", 1)
modparam("dispatcher", "ds_probing_mode", 1)
modparam("dispatcher", "ds_probing_threshold", 1)
"""
_REGISTRAR = """\
loadmodule "usrloc.so"
loadmodule "registrar.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "gruu_enabled", 0)
"""
_REGISTER = """\
    if (is_method("REGISTER")) {
        if (save("location")) xlog("L_NOTICE", "REGISTERED $tU\\n");
        exit;
    }
"""
_LOOK_UP = """\
if (uri == myself && !lookup("location")) {
            sl_send_reply("404", "Not Found");
            exit;
        }"""
_HOP = re.compile(r"HOP (\S+) (\S+) (\S+) (\S+) (.*)$")
_ROUTE = re.compile(r"<sip:[^>]*>")
_REPLY = re.compile(r"REPLY (\d+) (\S+) (\S+) (.*)$")
_TRANSPORTS = {"1": "udp", "2": "tcp"}  # Kamailio's numbers

_CONFIG = """\
tcp_source_ipv4={host}
{listen}

loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "dispatcher.so"

modparam("rr", "enable_full_lr", 1)
modparam("rr", "append_fromtag", 1)
modparam("tm", "fr_timer", 2000)
modparam("dispatcher", "list_file", "{folder}/dispatcher.list")
modparam("dispatcher", "flags", 2)
{probing}
{registrar}
request_route {{
    if (!mf_process_maxfwd_header("70")) {{
        sl_send_reply("483", "Too Many Hops");
        exit;
    }}
{strip}
    add_local_rport();
    force_rport();
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    t_check_trans();
    if (has_totag()) {{
        if (loose_route()) {{
            t_relay();
        }} else if (is_method("ACK")) {{
            if (t_check_trans()) t_relay();
        }} else {{
            sl_send_reply("404", "Not In The Route");
        }}
        exit;
    }}
{registers}
    if (!is_method("INVITE")) {{
        sl_send_reply("405", "Method Not Allowed");
        exit;
    }}
    if (is_present_hf("Route")) loose_route();
    record_route();
    if (ds_is_from_list("1", "3")) {{
        {back}
        t_relay();
        exit;
    }}
    if (!ds_select_dst("1", "8")) {{
        sl_send_reply("503", "Nobody There");
        exit;
    }}
    t_on_failure("NEXT");
    t_relay();
}}

failure_route[NEXT] {{
    if (t_is_canceled()) exit;
    if (t_check_status("503") or t_branch_timeout()) {{
        if (ds_next_dst()) {{
            t_on_failure("NEXT");
            t_relay();
        }}
    }}
}}

onsend_route {{
    xlog("L_NOTICE", "HOP $rm $si:$sp $sndto(ip):$sndto(port) $sndto(proto) $(hdr(Route)[*])\\n");
}}

reply_route {{
    xlog("L_NOTICE", "REPLY $rs $rm $si:$sp $hdr(Via)\\n");
}}

event_route[dispatcher:dst-down] {{
    xlog("L_NOTICE", "DOWN $ru\\n");
}}
"""


@dataclass(frozen=True, slots=True)
class Hop:
    """A request that it sent on."""

    method: str
    source: str  # host:port
    target: str
    transport: str  # udp, tcp
    route: tuple[str, ...]  # the Route that it came with


@dataclass(frozen=True, slots=True)
class Reply:
    """A response that it heard."""

    status: int
    method: str
    source: str
    via: str  # the topmost, which is its own


class Kamailio(KamailioProcess):
    """One that stands in front of the proxy."""

    def __init__(
        self,
        address: str,
        folder: Path,
        *,
        targets: Sequence[str],
        callee: str | None = "sip:127.0.0.1:9",
        advertise: str = "",
        strip: Sequence[str] = (),
        probes: bool = False,
    ) -> None:
        self.address = address
        folder.mkdir(parents=True)
        named = f" advertise {advertise}" if advertise else ""
        rows = [f"1 {target} 0 {len(targets) - place}\n" for place, target in enumerate(targets)]
        (folder / "dispatcher.list").write_text("".join(rows))
        config = _CONFIG.format(
            folder=folder,
            host=address.rpartition(":")[0],
            listen="\n".join(f"listen={transport}:{address}{named}" for transport in ("udp", "tcp")),
            strip="\n".join(f'    remove_hf("{name}");' for name in strip),
            probing=_PROBING if probes else "",
            registrar=_REGISTRAR if callee is None else "",
            registers=_REGISTER if callee is None else "",
            back=_LOOK_UP if callee is None else f'$du = "{callee}";',
        )
        super().__init__(folder, HEAD + config, sockets=sockets_of(address, "udp", "tcp"))

    @property
    def hops(self) -> list[Hop]:
        """All that it sent on, in order; complete once it has been stopped."""
        found = (match.groups() for match in map(_HOP.search, self.lines) if match)
        return [
            Hop(method, source, target, _TRANSPORTS[number], tuple(_ROUTE.findall(route)))
            for method, source, target, number, route in found
        ]

    @property
    def replies(self) -> list[Reply]:
        """All that it heard, in order; complete once it has been stopped."""
        found = (match.groups() for match in map(_REPLY.search, self.lines) if match)
        return [Reply(int(status), method, source, via) for status, method, source, via in found]

    def wait_until_down(self, target: str, timeout_s: float) -> None:
        """Return once its probes found that target to be down."""
        self.wait_until(lambda: self._said(f"DOWN {target}"), f"end of {target}", timeout_s)

    def wait_until_registered(self, who: str, timeout_s: float = PATIENCE_S) -> None:
        """Return once somebody can be called by that name."""
        self.wait_until(lambda: self._said(f"REGISTERED {who}"), f"REGISTER of {who}", timeout_s)

    def _said(self, words: str) -> bool:
        return any(line.endswith(words) for line in self.lines)
