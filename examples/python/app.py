"""The web application: POST /route, as sipproxy's docs/webhook.md describes it.

    200   where the call goes, or that it is rejected
    400   a question that is none; 408: half of one; 413: a longer one than any
    503   the database does not answer
    500   a fault of ours

With anything but 200 the proxy sends the call where its route says. No fault of a question or of the database
ends the process, and none of the numbers in a question gets into a log, an answer or a span.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from aiohttp import web

import customers
import tracing

DEFAULT_TRUNK = os.environ.get("TRUNK", "carrier")  # for numbers that have no line
LONGEST_QUESTION = 65536  # bytes
PATIENCE_S = 5.0  # for the whole of a question
FIELDS = {
    "call_id": str,
    "from": str,
    "to": str,
    "uri": str,
    "trunk": str,
    "interaction_id": str,
    "headers": dict,
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = logging.getLogger("voice-app")


class QuestionError(Exception):
    """It cannot be answered; the text says why."""


async def route(request: web.Request) -> web.Response:
    """Answer the question where a call may go."""
    async with asyncio.timeout(PATIENCE_S):
        body = await request.read()
    question = read_question(body)
    with tracing.baggage_bound(request.headers), tracing.interaction_bound(question["interaction_id"]):
        return web.json_response(await decide(question))


async def decide(question: dict[str, Any]) -> dict[str, Any]:
    """The queue by who calls, the trunk by what was dialled."""
    customer = await customers.find_customer(number_of(question["from"]))
    if customer is not None and customer.blocked:
        return {"reject": 403, "reason": "Account suspended"}
    trunk = await customers.find_trunk(number_of(question["uri"]))
    queue = "standard" if customer is None else customer.queue
    return {"to": [trunk or DEFAULT_TRUNK], "headers": {"X-Queue": queue}}


def read_question(body: bytes) -> dict[str, Any]:
    """The question, all of whose fields are there and of their type."""
    try:
        question = json.loads(body)
    except (ValueError, RecursionError):
        raise QuestionError("the body is no JSON") from None
    if not isinstance(question, dict):
        raise QuestionError("the question is no object")
    for name, kind in FIELDS.items():
        value = question.get(name)
        if not isinstance(value, kind):
            raise QuestionError(f"{name} is missing, or no {'text' if kind is str else 'object'}")
        if isinstance(value, str):  # JSON can hold half a character; a database and a span cannot
            question[name] = value.encode("utf-8", "replace").decode()
    return question


def number_of(uri: str) -> str:
    """The user part of a sip: or tel: URI."""
    _, _, rest = uri.partition(":")
    return unquote(rest.partition("@")[0].partition(";")[0])


async def healthz(_: web.Request) -> web.Response:
    """For a load balancer."""
    return web.json_response({"status": "alive"})


@web.middleware
async def faults_are_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Each fault has its status, and says what is wrong."""
    try:
        return await handler(request)
    except QuestionError as error:
        return web.json_response({"error": str(error)}, status=400)
    except TimeoutError:
        return web.json_response({"error": "the question does not come to its end"}, status=408)
    except customers.DatabaseError as error:
        log.warning("the database does not answer: %s", error)
        return web.json_response({"error": "the database does not answer"}, status=503)
    except web.HTTPException as error:  # no such path, another method, too long
        allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return web.json_response({"error": error.reason}, status=error.status, headers=allowed)
    except (ConnectionError, web.RequestPayloadError):  # whoever asked is gone, or packed it wrongly
        return web.json_response({"error": "the question did not come to its end"}, status=400)
    except Exception as error:
        log.error("a fault of ours: %s", type(error).__name__)  # its text could hold a number
        return web.json_response({"error": "a fault of ours"}, status=500)


def serve() -> None:
    """Until SIGTERM or Ctrl-C; questions that have come by then are answered first."""
    customers.prepare()
    # It would show what a broken request holds, and that may be a number.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    app = web.Application(client_max_size=LONGEST_QUESTION, middlewares=[faults_are_answers])
    app.router.add_post("/route", route)
    app.router.add_get("/healthz", healthz)
    address = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "9001")))
    with socket.create_server(address) as listener:
        print(f"listening on {listener.getsockname()[1]}", flush=True)
        web.run_app(app, sock=listener, print=None, access_log=None, shutdown_timeout=2)
