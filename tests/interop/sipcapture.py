"""Kamailio's sipcapture module as HOMER's receiver: what it makes of HEP packets it keeps in a table.

with Sipcapture(tmp_path) as receiver:
    ... packets to receiver.address ...
    receiver.wait_for(14)
    rows = receiver.rows()
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

from tests.support.foreign import PATIENCE_S
from tests.support.kamailio import HEAD, KamailioProcess, sockets_of
from tests.support.ports import free_port

_TABLE = """date micro_ts method reply_reason ruri ruri_user from_user from_tag to_user to_tag pid_user
    contact_user auth_user callid callid_aleg via_1 via_1_branch cseq reason content_type auth user_agent
    source_ip source_port destination_ip destination_port contact_ip contact_port originator_ip
    originator_port proto family rtp_stat type node correlation_id from_domain to_domain ruri_domain diversion
    msg custom_field1 custom_field2 custom_field3"""
_COLUMNS = _TABLE.split()
_INTEGERS = {"date", "micro_ts", "proto", "family", "type", *(name for name in _COLUMNS if "_port" in name)}
_UNHAPPY = re.compile(r" (?:WARNING|ERROR|CRITICAL|ALERT|BUG): ")
# What it says of itself: db_text has no 64-bit integers, and a default of its own is not to its liking.
_FORGIVEN = ("BIGINT not supported", "insert_retry_timeout")

_CONFIG = """\
tcp_accept_hep3=yes
tcp_accept_no_cl=yes
listen={transport}:{address}
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "db_text.so"
loadmodule "sipcapture.so"
loadmodule "jsonrpcs.so"
modparam("jsonrpcs", "transport", 4)
modparam("jsonrpcs", "dgram_socket", "udp:{control}")
modparam("sipcapture", "db_url", "text://{folder}/tables")
modparam("sipcapture", "capture_on", 1)
modparam("sipcapture", "hep_capture_on", 1)
{hook}
request_route {{
    sip_capture();
    xlog("L_NOTICE", "CAPTURED $rm $ci\\n");
    drop;
}}
reply_route {{
    sip_capture();
    xlog("L_NOTICE", "CAPTURED $rs $ci\\n");
    drop;
}}
"""
_OVER_TCP = """\
modparam("sipcapture", "nonsip_hook", 1)
event_route[sipcapture:request] {
    return 1;
}
"""


class Sipcapture(KamailioProcess):
    """One Kamailio that does nothing else. Its complaints are to be asked for while it runs."""

    def __init__(self, folder: Path, *, transport: str = "udp") -> None:
        self.address = f"127.0.0.1:{free_port('127.0.0.1')}"
        self._control = ("127.0.0.1", free_port("127.0.0.1"))
        self._table = folder / "tables/sip_capture"
        self._table.parent.mkdir(parents=True)
        columns = (f"{name}({'int' if name in _INTEGERS else 'string'},null)" for name in _COLUMNS)
        self._table.write_text(" ".join(columns) + "\n")
        hook = _OVER_TCP if transport == "tcp" else ""
        config = _CONFIG.format(
            transport=transport,
            address=self.address,
            control="{}:{}".format(*self._control),
            folder=folder,
            hook=hook,
        )
        places = sockets_of(self.address, transport)
        super().__init__(folder, HEAD + config, sockets=places, unhappy=_UNHAPPY, forgiven=_FORGIVEN)

    def wait_for(self, count: int) -> None:
        """Return once it has captured so many messages."""
        self.wait_for_line("CAPTURED", count)

    def rows(self) -> list[dict[str, str]]:
        """What it has captured, by the seconds of its time."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
            asks.settimeout(PATIENCE_S)
            asks.sendto(b'{"jsonrpc": "2.0", "method": "db_text.dump", "id": 1}', self._control)
            assert b'"result"' in asks.recv(65535)
        cells = (re.split(r"(?<!\\):", line) for line in self._table.read_text().splitlines()[1:])
        rows = [dict(zip(_COLUMNS, map(_plain, each), strict=True)) for each in cells]
        return sorted(rows, key=lambda row: int(row["date"]))


def _plain(cell: str) -> str:
    """A cell without db_text's escapes."""
    known = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}
    return re.sub(r"\\(.)", lambda found: known.get(found[1], found[1]), cell)
