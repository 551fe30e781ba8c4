"""Kamailio as the session border controller between phones that speak UDP and a proxy that speaks TLS.

It shows its certificate both ways, and wants the proxy's. What comes by TLS goes to the one phone.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.collectors import Identity
from tests.support.kamailio import HEAD, KamailioProcess, sockets_of
from tests.support.programs import missing, require

_CONFIG = """\
enable_tls=yes
listen=udp:{udp}
listen=tls:{tls}

loadmodule "tls.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"

modparam("tls", "config", "{folder}/tls.cfg")
modparam("rr", "enable_full_lr", 1)

request_route {{
    force_rport();
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (has_totag()) {{
        if (loose_route()) t_relay();
        else if (!is_method("ACK")) sl_send_reply("404", "Not In The Route");
        exit;
    }}
    record_route();
    if (proto == TLS) $du = "sip:{phone}";
    else $du = "sip:{proxy};transport=tls";
    t_relay();
}}
"""
_PAGE = Path(__file__).parents[2] / "docs/transports.md"
_TLS = re.compile(r"^```text\n(\[server:default\].*?)^```", re.MULTILINE | re.DOTALL)


class TlsKamailio(KamailioProcess):
    """One that waits for phones at `udp`, and for the proxy at `tls`."""

    def __init__(self, folder: Path, *, udp: str, tls: str, phone: str, proxy: str, shows: Identity) -> None:
        require("kamailio", "kamailio")
        if not any(Path("/usr/lib").glob("*/kamailio/modules/tls.so")):
            missing("Kamailio has no TLS here (Debian: apt-get install kamailio-tls-modules)")
        folder.mkdir()
        (folder / "tls.cfg").write_text(_documented(shows))
        places = {"udp": udp, "tls": tls, "phone": phone, "proxy": proxy, "folder": folder}
        sockets = [*sockets_of(udp, "udp"), *sockets_of(tls, "tcp")]
        config = HEAD + _CONFIG.format(**places)
        super().__init__(folder, config, sockets=sockets, memory=(48, 8))


def _documented(shows: Identity) -> str:
    """The tls.cfg of docs/transports.md, with these files."""
    found = _TLS.search(_PAGE.read_text())
    assert found is not None, "docs/transports.md shows no tls.cfg"
    text = found[1]
    for name, file in (
        ("sbc.pem", shows.certificate),
        ("sbc.key", shows.key),
        ("trusted.pem", shows.authority),
    ):
        assert f"/etc/kamailio/tls/{name}" in text
        text = text.replace(f"/etc/kamailio/tls/{name}", str(file))
    return text
