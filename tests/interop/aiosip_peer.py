"""aiosip 0.2.0 as a user agent, in a process of its own: it needs two patches and warns a lot.

    python aiosip_peer.py options 127.0.0.2:5071 127.0.0.1:5060
    python aiosip_peer.py call    127.0.0.2:5071 127.0.0.1:5060 TRACEPARENT alice|bob

Prints one JSON object: the status and the headers of what it was answered.
"""

from __future__ import annotations

import asyncio
import collections
import collections.abc
import json
import sys
import types
from collections.abc import Callable, Coroutine
from typing import Any

# Names that Python has dropped since (3.11 and 3.10).
asyncio.coroutine = types.coroutine  # type: ignore[attr-defined]
collections.MutableMapping = collections.abc.MutableMapping  # type: ignore[attr-defined]

import aiosip  # noqa: E402
from aiosip.call import Call  # noqa: E402

SDP = """\
v=0
o=alice 1 1 IN IP4 127.0.0.2
s=-
c=IN IP4 127.0.0.2
t=0 0
m=audio 40000 RTP/AVP 8
a=label:alice-1
""".replace("\n", "\r\n")
PATIENCE_S = 10.0


async def dialog(local: str, proxy: str, user: str) -> Any:
    """A dialog with the proxy; `user` is empty for the proxy itself."""
    (host, port), (proxy_host, proxy_port) = (address.rsplit(":", 1) for address in (local, proxy))
    return await aiosip.Application().start_dialog(
        from_uri=f"sip:alice@{host}:{port}",
        to_uri=f"sip:{user}{proxy_host}:{proxy_port}",
        local_addr=(host, int(port)),
        remote_addr=(proxy_host, int(proxy_port)),
    )


async def options(local: str, proxy: str) -> dict[str, Any]:
    """OPTIONS."""
    alice = await dialog(local, proxy, "")
    answer = await asyncio.wait_for(alice.send_message("OPTIONS"), PATIENCE_S)
    return {"status": answer.status_code, "headers": dict(answer.headers)}


async def call(local: str, proxy: str, traceparent: str, who_ends: str) -> dict[str, Any]:
    """INVITE, ACK, and BYE or its 200, as its own `Call` does it."""
    alice = await dialog(local, proxy, "bob@")
    headers = {"traceparent": traceparent, "Content-Type": "application/sdp"}
    conversation = await asyncio.wait_for(Call.invite(alice, headers=headers, sdp=SDP), PATIENCE_S)
    answer = conversation.original_headers
    await asyncio.wait_for(conversation.wait() if who_ends == "bob" else conversation.close(), PATIENCE_S)
    return {"status": 200, "headers": dict(answer), "sdp": conversation.sdp}


COMMANDS: dict[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]] = {"options": options, "call": call}

if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    print(json.dumps(asyncio.run(COMMANDS[command](*arguments))))
