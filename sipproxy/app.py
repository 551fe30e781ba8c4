"""The command line.

Exit codes: 0 good, 1 the thing failed, 2 wrong use or wrong configuration.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
from collections.abc import Sequence

import uvloop

from . import __version__
from .b2bua.routing import Router
from .cli.commands import add_commands
from .config import Loaded, describe, read
from .errors import ConfigurationError, RemoteProtocolError, SipProxyError
from .net.tls import Tls
from .probe.command import add_probe
from .serve import Server
from .sip.uri import Uri
from .telemetry.otlp import Outlet, targets

GOOD, FAILED, WRONG = 0, 1, 2
OPEN_FILES = 65536


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is the result."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ConfigurationError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return WRONG
    except SipProxyError as error:
        print(f"sipproxy: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sipproxy",
        description="A SIP B2BUA that carries W3C trace context through calls.",
        epilog="example: sipproxy run -c config/sipproxy.yaml",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(
        name: str, run: object, text: str, example: str, *, file: str = "-c FILE"
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, epilog=f"example: {example}")
        command.set_defaults(run=run)
        if file:
            command.add_argument(
                "-c", "--config", metavar="FILE", help="configuration (YAML); none: the embedded defaults"
            )
        return command

    add("run", _run, "Run the proxy.", "sipproxy run -c config/sipproxy.yaml")
    add(
        "check",
        _check,
        "Validate a configuration; name every fault.",
        "sipproxy check -c config/sipproxy.yaml",
    )
    add(
        "print-config",
        _print_config,
        "Show what is in force, and where each value came from.",
        "sipproxy print-config",
    )
    route = add(
        "route-test",
        _route_test,
        "Show which trunks a call would try.",
        "sipproxy route-test --from uac sip:1000@pbx",
    )
    route.add_argument(
        "--from", dest="source", metavar="TRUNK", help="the trunk it comes from; none: a stranger"
    )
    route.add_argument("uri", metavar="URI", help="the Request-URI")
    show = add(
        "demo",
        _demo,
        "Run transferred calls through the proxy and print their traces.",
        "sipproxy demo --once",
        file="",
    )
    show.add_argument(
        "--once", action="store_true", help="end after the call instead of running until Ctrl-C"
    )
    add_commands(add)
    add_probe(add)
    add("version", _version, "Print the version.", "sipproxy version", file="")
    return parser


def _run(options: argparse.Namespace) -> int:
    loaded = read(options.config)

    async def serve() -> None:
        server = Server(loaded)
        await server.start()
        server.watch_signals()
        print("listening on", *server.transports.listeners, flush=True)
        server.page.add_done_callback(lambda page: print("page at", page.result(), flush=True))
        await server.wait()
        server.ignore_signals()  # the last ones must not spoil a clean end

    _open_files()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nothing is there yet that could be read again
    uvloop.run(serve())
    return GOOD


def _open_files() -> None:
    """As many as the system lets us: a shell's soft limit of 1,024 is some 700 connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _check(options: argparse.Namespace) -> int:
    loaded = read(options.config)
    Router.of(loaded.settings.trunks, loaded.settings.routes)
    spoken = [name for name in loaded.settings.listen if name.startswith(("tls:", "wss:"))]
    Tls(loaded.settings.tls, listening=spoken[0] if spoken else None)  # which reads the certificates
    for target in targets(loaded.settings.tracing):
        Outlet(target).close()  # likewise
    print(f"{loaded.file or 'embedded defaults'}: good")
    return GOOD


def _print_config(options: argparse.Namespace) -> int:
    print(describe(read(options.config), os.environ), end="")
    return GOOD


def _route_test(options: argparse.Namespace) -> int:
    loaded: Loaded = read(options.config)
    router = Router.of(loaded.settings.trunks, loaded.settings.routes)
    if options.source is not None and options.source not in router.trunks:
        known = ", ".join(router.trunks) or "none"
        print(f"sipproxy: no trunk {options.source!r}; there are: {known}", file=sys.stderr)
        return WRONG
    try:
        uri = Uri.parse(options.uri)
    except RemoteProtocolError as error:
        print(f"sipproxy: {options.uri!r}: {error.reason}", file=sys.stderr)
        return WRONG
    found = router.choose(router.trunks.get(options.source) if options.source else None, uri)
    if found is None:
        print("no route: 403 Forbidden")
        return FAILED
    for order, trunk in enumerate(found, 1):
        print(f"{order}. {trunk.name}  {trunk.settings.address}")
    return GOOD


def _demo(options: argparse.Namespace) -> int:
    from .demo import demo  # nobody else needs its parts

    return uvloop.run(demo(once=options.once))


def _version(_options: argparse.Namespace) -> int:
    print(f"sipproxy {__version__}")
    return GOOD
