"""HTTP/1.1 as bytes, at both ends: header names leave and arrive with the letters they have on the wire, and
rows that come twice stay two, which no HTTP library lets one see.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from ..errors import RemoteProtocolError, StartError
from ..net import error_text
from .fates import Problem, Row
from .messages import AGENT, SIGN

LONGEST_HEAD = 64 << 10
LONGEST_BODY = 64 << 10
_HEADS_AT_ONCE = 64  # connections to our back end; a load balancer keeps a few


@dataclass(slots=True)
class Asked:
    """A request that arrived at the back end."""

    line: str  # method, target, version
    rows: list[Row]

    @property
    def version(self) -> str:
        """HTTP/1.1, HTTP/1.0."""
        return self.line.rpartition(" ")[2]

    def holds(self, secret: str) -> bool:
        """Whether it stands anywhere in the head."""
        return secret in self.line.lower() or any(secret in row.value.lower() for row in self.rows)


@dataclass(slots=True)
class Told:
    """What the client got for its request. `failed`: why there was no answer, or no whole one."""

    status: int | None = None
    rows: list[Row] = field(default_factory=list)
    failed: str = ""
    kind: Problem | None = None  # of failure

    def ours(self, token: str) -> bool:
        """Whether our back end gave it."""
        return any(row.key == SIGN.lower() and row.value == token for row in self.rows)


class BackEnd:
    """Answers every request with 200: also the health checks of the load balancer."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._server: asyncio.Server | None = None
        self._talking: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self, host: str, port: int) -> int:
        """Listen; the port. Raises StartError."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=LONGEST_HEAD)
        except (OSError, UnicodeError) as error:
            reason = error_text(error)
            raise StartError(f"cannot listen on {host}:{port}: {reason}") from error
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Close everything at once."""
        if self._server is not None:
            self._server.close()
        for writer in self._talking.values():
            writer.transport.abort()
        await asyncio.gather(*self._talking)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._talking) >= _HEADS_AT_ONCE:
            writer.close()
            return
        self._talking[task] = writer
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, EOFError, ValueError, RemoteProtocolError, asyncio.LimitOverrunError):
            pass  # a health check that only connects, or what is no HTTP: nobody's request
        finally:
            del self._talking[task]
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection goes on."""
        line, rows = await _head(reader)
        length = int(next((row.value for row in rows if row.key == "content-length"), "0"))
        if not 0 <= length <= LONGEST_BODY:
            raise RemoteProtocolError("too long a body")
        await reader.readexactly(length)
        asked = Asked(line, rows)
        self.asked.append(asked)
        token = next((row.value for row in rows if row.key == SIGN.lower()), "")
        token = token if token.isalnum() else ""
        body = json.dumps({"probe": token}).encode()
        head = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        head += [f"{SIGN}: {token}"] if token else []
        writer.write(("\r\n".join(head) + "\r\n\r\n").encode() + body)
        await writer.drain()
        closes = any(row.key == "connection" and "close" in row.value.lower() for row in rows)
        return asked.version == "HTTP/1.1" and not closes


async def ask(
    host: str,
    port: int,
    head: list[str],
    *,
    timeout_s: float,
    tls: ssl.SSLContext | None,
) -> Told:
    """Send a request without a body; whatever comes, or does not, it ends in time."""
    told = Told()
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            told.kind = Problem.UNREACHABLE
            reader, writer = await asyncio.open_connection(
                host, port, ssl=tls, server_hostname=host if tls else None, limit=LONGEST_HEAD
            )
            told.kind = Problem.SILENT
            writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
            await writer.drain()
            await _read(reader, told)
            told.kind = None
    except ssl.SSLCertVerificationError as error:
        told.kind, told.failed = Problem.UNTRUSTED, f"its certificate is not trusted: {error.verify_message}"
    except TimeoutError:
        what = "no connection" if told.kind is Problem.UNREACHABLE else "no whole answer"
        told.failed = f"{what} within {timeout_s:g} s"
    except asyncio.IncompleteReadError as error:
        begun = bool(error.partial) or told.status is not None
        told.kind = Problem.HALF if begun else Problem.SILENT
        where = "in the middle of its answer" if begun else "without an answer"
        told.failed = f"it closes the connection {where}"
    except (RemoteProtocolError, ValueError, asyncio.LimitOverrunError):
        told.kind, told.failed = Problem.GARBAGE, "what it says is no HTTP"
    except (OSError, UnicodeError) as error:
        told.kind = told.kind or Problem.UNREACHABLE
        told.failed = error_text(error) if not isinstance(error, ssl.SSLError) else "no TLS"
    finally:
        if writer is not None:
            writer.close()
            await _quietly(writer.wait_closed)
    return told


async def _read(reader: asyncio.StreamReader, told: Told) -> None:
    """Status, headers, and so much of the body as shows that it is whole."""
    while True:
        line, rows = await _head(reader)
        words = line.split(" ")
        if not words[0].startswith("HTTP/") or len(words) < 2 or not words[1].isdecimal():
            raise RemoteProtocolError("no status line")
        if int(words[1]) >= 200:  # else the answer is still to come: 100, 103
            break
    told.status, told.rows = int(words[1]), rows
    length = next((row.value for row in rows if row.key == "content-length"), None)
    if length is not None:
        await reader.readexactly(min(int(length), LONGEST_BODY))
    elif any(row.key == "transfer-encoding" for row in rows):
        with suppress(asyncio.LimitOverrunError):  # longer than what the probe would say: its head is enough
            await reader.readuntil(b"0\r\n\r\n")


async def _head(reader: asyncio.StreamReader) -> tuple[str, list[Row]]:
    """The start line and the header rows; raises what the two callers catch."""
    data = await reader.readuntil(b"\r\n\r\n")
    line, *rows = data[:-4].decode("latin-1").split("\r\n")
    if " HTTP/" not in f" {line}":
        raise RemoteProtocolError("no HTTP")
    parted = [row.partition(":") for row in rows]
    if any(not colon for _, colon, _ in parted):
        raise RemoteProtocolError("no header")
    return line, [Row(name, value.strip()) for name, _, value in parted]


async def _quietly(close: Callable[[], Awaitable[None]]) -> None:
    """A peer may break the connection that we close."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(1.0):
            await close()


def request_head(method: str, path: str, host: str, rows: list[Row]) -> list[str]:
    """The lines of a request."""
    fixed = [Row("Host", host), Row("User-Agent", AGENT), Row("Accept", "*/*"), Row("Connection", "close")]
    return [f"{method} {path} HTTP/1.1", *(f"{row.name}: {row.value}" for row in [*fixed, *rows])]
