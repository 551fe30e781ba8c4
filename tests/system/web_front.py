"""nginx in front of WebSocket clients: the server of docs/transports.md, on a free port."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.interop.programs import require
from tests.support.collectors import Identity
from tests.support.ports import free_port, is_listening

HOST = "127.0.0.1"
_START_S = 10.0
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


class WebFront:
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
        self._said = (folder / "said").open("w+")
        self._process = subprocess.Popen(
            [program, "-p", str(folder), "-e", "stderr", "-c", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        host, _, port = self.at.rpartition(":")
        for _ in range(int(_START_S / 0.02)):
            if is_listening(host, int(port), "tcp"):
                return self
            try:
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            break
        self._stop()
        raise AssertionError(f"nginx does not listen:\n{Path(self._said.name).read_text()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_START_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()
