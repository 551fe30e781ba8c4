"""Real paths for the probe: one Kamailio that behaves as the user part of the called URI says.

pass       as it came                          loop      back to itself, until the hops are used up
strip      without the trace                   refuse    404
letters    Traceparent                         redirect  302
rename     X-Trace-Context instead             answer    200 by itself
alter      a trace of its own, cut tracestate  silent    nothing
nox        without X- names                    fork      two branches to the same place
uri        without parameters in its URI
norefer    REFER gets 405
short      Refer-To cut to its URI
"""

from __future__ import annotations

from pathlib import Path

from tests.support.kamailio import HEAD, KamailioProcess, sockets_of
from tests.support.ports import free_port

HOST = "127.0.0.1"

_CONFIG = """\
listen=udp:{address}
listen=tcp:{address}

loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "corex.so"

modparam("rr", "enable_full_lr", 1)

request_route {{
    if (!mf_process_maxfwd_header("70")) {{
        sl_send_reply("483", "Too Many Hops");
        exit;
    }}
    force_rport();
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    $var(how) = $tU;
    if ($tU == "probe") $var(how) = $fU;    # from the callee's end
    route(CHANGE);
    if (has_totag()) {{
        if (is_method("REFER") && $var(how) == "norefer") {{
            sl_send_reply("405", "Method Not Allowed");
            exit;
        }}
        if (loose_route() || t_check_trans()) t_relay();
        else if (!is_method("ACK")) sl_send_reply("481", "Call Does Not Exist");
        exit;
    }}
    if (!is_method("INVITE")) exit;
    switch ($rU) {{
        case "refuse":
            sl_send_reply("404", "Not Found");
            exit;
        case "redirect":
            append_to_reply("Contact: <sip:elsewhere@{host}:9>\\r\\n");
            sl_send_reply("302", "Moved Temporarily");
            exit;
        case "answer":
            append_to_reply("Contact: <sip:{address}>\\r\\n");
            sl_send_reply("200", "OK");
            exit;
        case "silent":
            exit;
        case "loop":
            $du = "sip:{address}";
            t_relay();
            exit;
    }}
    record_route();
    $du = "sip:{probe}";
    if ($rU == "fork") append_branch("sip:fork@{probe}");
    t_relay();
}}

route[CHANGE] {{
    switch ($var(how)) {{
        case "strip":
            remove_hf("traceparent");
            remove_hf("tracestate");
            remove_hf("baggage");
            break;
        case "nox":
            remove_hf_re("^X-(Trace|Inter)");
            break;
        case "letters":
            if (is_present_hf("traceparent")) {{
                append_hf("Traceparent: $hdr(traceparent)\\r\\n");
                remove_hf("traceparent");
            }}
            break;
        case "rename":
            if (is_present_hf("traceparent")) {{
                append_hf("X-Trace-Context: $hdr(traceparent)\\r\\n");
                remove_hf("traceparent");
            }}
            break;
        case "alter":
            if (is_present_hf("traceparent")) {{
                remove_hf("traceparent");
                append_hf("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\\r\\n");
            }}
            subst_hf("tracestate", "/,.*//", "a");
            break;
        case "uri":
            if (is_method("INVITE") && !has_totag()) $ru = "sip:" + $rU + "@" + $rd + ":" + $rp;
            break;
        case "short":
            subst_hf("Refer-To", "/[;?].*/>/", "a");
            break;
    }}
}}
"""


class KamailioPath(KamailioProcess):
    """Leads every call to where the probe listens."""

    def __init__(self, folder: Path, probe: str) -> None:
        self.port = free_port(HOST)
        address = f"{HOST}:{self.port}"
        config = HEAD + _CONFIG.format(address=address, host=HOST, probe=probe)
        super().__init__(folder, config, sockets=sockets_of(address, "udp", "tcp"))

    def uri(self, how: str, transport: str = "udp") -> str:
        """A URI that it treats so."""
        return f"sip:{how}@{HOST}:{self.port}" + ("" if transport == "udp" else f";transport={transport}")
