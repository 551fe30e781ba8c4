"""nginx in front of WebSocket clients: the server of docs/transports.md, on a free port."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.collectors import Identity
from tests.support.foreign import ForeignProcess
from tests.support.ports import free_port
from tests.support.programs import require

HOST = "127.0.0.1"
_PAGE = Path(__file__).parents[2] / "docs/transports.md"
_SERVER = re.compile(r"^```text\n(server \{.*?^\}\n)```", re.MULTILINE | re.DOTALL)
_AROUND = """\
daemon off;
worker_processes 1;
error_log stderr;
pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{server}
}}
"""


class WebFront(ForeignProcess):
    """One nginx; `at` is where clients connect by TLS."""

    def __init__(self, folder: Path, behind: str, shows: Identity) -> None:
        program = require("nginx", "nginx-light")
        folder.mkdir()
        port = free_port(HOST)
        self.at = f"{HOST}:{port}"
        found = _SERVER.search(_PAGE.read_text())
        assert found is not None, "docs/transports.md shows no server of nginx"
        server = found[1]
        for old, new in (
            ("listen 443 ", f"listen {self.at} "),
            ("/etc/nginx/tls/desk.pem", str(shows.certificate)),
            ("/etc/nginx/tls/desk.key", str(shows.key)),
            ("http://127.0.0.1:8080", f"http://{behind}"),
        ):
            assert server.count(old) == 1, old
            server = server.replace(old, new)
        file = folder / "nginx.conf"
        file.write_text(_AROUND.format(folder=folder, server=server))
        command = [program, "-p", str(folder), "-e", "stderr", "-c", str(file)]
        super().__init__("nginx", command, folder, sockets=[(HOST, port, "tcp")])
