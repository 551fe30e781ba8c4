"""The real nginx and HAProxy on copies of config/nginx.conf and config/haproxy.cfg: free ports on loopback, a
test's own certificate, everything else as an operator has it.

    with Nginx(tmp_path, "127.0.0.1:9000") as nginx:  # where the application listens
        ... nginx.url ("https://127.0.0.1:PORT"), nginx.authority (PEM), nginx.logged() ...

`changes` are (what stands there, what shall stand there instead) pairs, for variants of the file. Of its two
applications the second is left out, unless it is not to be `alone`.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.certificates import identity
from tests.support.foreign import killed, listens
from tests.support.ports import free_port
from tests.support.programs import require

CONFIG = Path(__file__).resolve().parents[2] / "config"
HOST = "127.0.0.1"
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class LoadBalancer:
    """One process in front of one application."""

    file = ""
    program = ""
    package = ""

    def __init__(
        self, folder: Path, application: str, changes: Sequence[tuple[str, str]] = (), *, alone: bool = True
    ) -> None:
        self._binary = require(self.program, self.package)
        self.folder = folder / self.program
        self.folder.mkdir(parents=True)
        self.port = free_port(HOST)
        self.url = f"https://{HOST}:{self.port}"
        self.identity = identity(self.folder, "apps")
        self.authority = self.identity.authority
        text = (CONFIG / self.file).read_text()
        for old, new in changes:
            text = _replaced(text, re.escape(old), new)
        self.config = self.folder / self.file
        self.config.write_text(self._substituted(text, application, alone))
        self._process: subprocess.Popen[str] | None = None

    def check(self) -> subprocess.CompletedProcess[str]:
        """What the program itself says of the file."""
        return subprocess.run(self._check(), capture_output=True, text=True, timeout=30, check=False)

    def logged(self) -> list[dict[str, Any]]:
        """The lines of its access log; complete once it has been stopped."""
        raise NotImplementedError

    def _substituted(self, text: str, application: str, alone: bool) -> str:
        raise NotImplementedError

    def _check(self) -> list[str]:
        raise NotImplementedError

    def _run(self) -> list[str]:
        raise NotImplementedError

    @property
    def output(self) -> str:
        """All that it wrote, the access log left out."""
        lines = [path.read_text() for path in (self._output, self.folder / "error.log") if path.exists()]
        return "\n".join(line for line in "".join(lines).splitlines() if not line.startswith("{"))

    @property
    def _output(self) -> Path:
        return self.folder / "output"

    def _stop(self, process: subprocess.Popen[str]) -> None:
        process.terminate()
        killed(process)

    def __enter__(self) -> Self:
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                self._run(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        if not listens(self._process, [(HOST, self.port, "tcp")]):
            self._stop(self._process)
            raise AssertionError(f"{self.program} does not listen:\n{self._output.read_text()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._stop(self._process)


class Nginx(LoadBalancer):
    """nginx; its access log is a file."""

    file = "nginx.conf"
    program = "nginx"
    package = "nginx-light"

    def logged(self) -> list[dict[str, Any]]:
        """The lines of its access log; complete once it has been stopped."""
        return [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]

    def _substituted(self, text: str, application: str, alone: bool) -> str:
        for pattern, new in (
            (r"^user www-data;\n", ""),  # ignored, with a warning, where we are not root
            (r"^worker_processes auto;", "worker_processes 1;"),
            (r"/run/nginx\.pid", f"{self.folder}/nginx.pid"),
            (r"/var/log/nginx/(?=\w+\.log)", f"{self.folder}/"),
            (r"/etc/nginx/tls/apps\.pem", str(self.identity.certificate)),
            (r"/etc/nginx/tls/apps\.key", str(self.identity.key)),
            (r"^( *)listen 443 ", rf"\1listen {HOST}:{self.port} "),
            (r"server 127\.0\.0\.1:9001 ", f"server {application} "),
            *([(r"^ *server 127\.0\.0\.1:9002 .*\n", "")] if alone else []),
        ):
            text = _replaced(text, pattern, new)
        places = "".join(f"    {name}_temp_path {self.folder}/{name};\n" for name in _TEMPORARY)
        return _replaced(text, r"^http \{\n", f"http {{\n{places}")

    def _check(self) -> list[str]:
        return [self._binary, "-t", "-e", "stderr", "-c", str(self.config)]

    def _run(self) -> list[str]:
        return [self._binary, "-e", "stderr", "-c", str(self.config), "-g", "daemon off;"]


class HAProxy(LoadBalancer):
    """HAProxy; its access log is its standard output."""

    file = "haproxy.cfg"
    program = "haproxy"
    package = "haproxy"

    def logged(self) -> list[dict[str, Any]]:
        """The lines of its access log; complete once it has been stopped."""
        lines = self._output.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def _substituted(self, text: str, application: str, alone: bool) -> str:
        certificate = self.folder / "certificate.pem"
        certificate.write_text(self.identity.certificate.read_text() + self.identity.key.read_text())
        for pattern, new in (
            (r"^    log /dev/log local0$", "    log stdout format raw local0"),
            (r"^    (user|group) haproxy\n", ""),  # only root may change to them
            (r"^    maxconn 4000$", "    maxconn 100"),  # asks for as many files as everybody may open
            (r"/etc/haproxy/tls/apps\.pem", str(certificate)),
            (r"^    bind :443 ", f"    bind {HOST}:{self.port} "),
            (r"127\.0\.0\.1:9001", application),
            *([(r"^ *server two 127\.0\.0\.1:9002.*\n", "")] if alone else []),
        ):
            text = _replaced(text, pattern, new)
        return text

    def _check(self) -> list[str]:
        return [self._binary, "-c", "-f", str(self.config)]

    def _run(self) -> list[str]:
        return [self._binary, "-db", "-f", str(self.config)]


def _replaced(text: str, pattern: str, new: str) -> str:
    """With every occurrence replaced; there is one, or this copy has nothing to do with the file any more."""
    result, count = re.subn(pattern, new.replace("\\", r"\\") if "\\1" not in new else new, text, flags=re.M)
    assert count, f"nothing matches {pattern!r}"
    return result
