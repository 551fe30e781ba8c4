"""Somebody who keeps on asking it to end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.proxy import Proxy


def test_signals_up_to_the_last_moment_do_not_spoil_a_clean_end(tmp_path: Path) -> None:
    settings = {
        "listen": ["udp:127.0.0.1:0"],
        "trunks": {"carrier": {"address": "127.0.0.1:9"}},
        "routes": [{"to": ["carrier"]}],
    }
    proxy = Proxy(settings, tmp_path)
    proxy.wait_until_ready()
    while proxy.is_running:
        os.kill(proxy.pid, signal.SIGTERM)  # not collected yet: the pid is still its own
    assert proxy.wait() == 0
    assert "Traceback" not in proxy.output
