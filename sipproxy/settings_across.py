"""What no value of the configuration file can tell alone: names that must be there, values that go together.

`tree` is the file as YAML has it: what is of the wrong type in it has its fault already, and is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .net.settings import Ask
from .settings_forms import LISTENED, Form, is_loopback, listen, source
from .settings_index import Path, dotted, leaves, nearest
from .telemetry.settings import Mask

if TYPE_CHECKING:
    from .config import Settings

_TLS = re.compile("(?i).*;transport=tls$").match
Fault = Callable[[Path, str], None]
Values = Mapping[Path, object]


def check(tree: dict[str, Any], defaults: Settings, fault: Fault) -> None:
    """Call `fault` for each thing that does not fit another."""
    trunks = tree.get("trunks")
    names = list(trunks if isinstance(trunks, dict) else defaults.trunks)
    if trunks is not None and tree.get("routes") is None:
        fault(("trunks",), "routes are needed too, the embedded ones know other trunks")
    values = dict(leaves(tree))
    claims: dict[object, Path] = {}
    for path, value in values.items():
        match path, value:
            case ("routes", _, "from") | ("routes", _, "to", _), str() if value not in names:
                fault(path, f"{value!r} is no trunk{nearest(value, names)}")
            case ("trunks", _, "match", _) | ("listen", _), str():
                claim = _claim(listen if path[0] == "listen" else source, value)
                if claim is not None and (first := claims.setdefault(claim, path)) != path:
                    fault(path, f"{value!r} is taken by {dotted(first)}")
    if isinstance(trunks, dict):
        _check_trunks(trunks, values, fault)
    _check_tls(values, fault)
    if values.get(("privacy", "mask")) == Mask.HASH and not values.get(("privacy", "key")):
        fault(("privacy", "mask"), "'hash' needs privacy.key")
    _check_admin(values, defaults, fault)
    for section in _destinations(tree):
        _check_pair(section, values, fault)
    batch = values.get(("tracing", "batch"), defaults.tracing.batch)
    queue = values.get(("tracing", "max_queue"), defaults.tracing.max_queue)
    if isinstance(batch, int) and isinstance(queue, int) and batch > queue:
        fault(("tracing", "batch"), f"{batch} is more than tracing.max_queue, which is {queue}")


def _check_trunks(trunks: dict[str, Any], values: Values, fault: Fault) -> None:
    """One without an address has clients that connect to us; nobody can call them."""
    silent = {name for name in trunks if values.get(("trunks", name, "address")) is None}
    for name in silent:
        if isinstance(trunks[name], dict | None) and not (trunks[name] or {}).get("match"):
            fault(("trunks", name), "neither address nor match: nobody calls from it, or to it")
        if values.get(("trunks", name, "health", "options_every_s")):
            fault(("trunks", name, "health"), "there is no address to ask")
    for path, value in values.items():
        if path[::2] == ("routes", "to") and value in silent:
            fault(path, f"{value!r} has no address: only its own clients can call")


def _check_tls(values: Values, fault: Fault) -> None:
    """Who speaks TLS shows a certificate, and a listener's address stands in Via."""
    certificates = any(path[:2] == ("tls", "certificates") for path in values)
    entries = {path: str(value) for path, value in values.items() if path[0] == "listen"}
    for path, entry in entries.items():
        if entry.startswith(("tls:", "wss:")) and not certificates:
            fault(path, f"{entry!r} needs tls.certificates")
    spoken = {entry.partition(":")[0] for entry in entries.values()} or {"udp", "tcp"}  # the defaults
    by_tls = {
        path[1] for path, value in values.items() if path[::2] == ("trunks", "address") and _TLS(str(value))
    }
    asked = values.get(("tls", "clients")) not in (None, Ask.OFF)
    for path, value in values.items():
        if path[::2] == ("trunks", "address") and path[1] in by_tls and "tls" not in spoken:
            fault(path, "transport=tls needs a tls: entry in listen")
        elif path[::2] == ("trunks", "tls_name") and value and path[1] not in by_tls:
            fault(path, "an address with transport=tls is what it names")
        elif path[0] == "trunks" and path[2:3] == ("match",) and isinstance(value, str):
            _check_source(path, value, spoken, asked or path[1] in by_tls, fault)


def _check_source(path: Path, text: str, spoken: set[str], shown: bool, fault: Fault) -> None:
    """What no request can ever match."""
    try:
        found = source(text)
    except ValueError:  # told elsewhere
        return
    first = found[0] if isinstance(found, tuple) else None
    if isinstance(first, str) and first in LISTENED:
        if first not in spoken:
            fault(path, f"nothing comes by {first}: it is not in listen")
    elif isinstance(first, str) and not shown:
        fault(path, f"{text!r} is a name in a certificate, and nobody shows one: set tls.clients")


def _check_admin(values: Values, defaults: Settings, fault: Fault) -> None:
    place = values.get(("admin", "listen"), defaults.admin.listen)
    if isinstance(place, str) and not is_loopback(place) and not values.get(("admin", "token")):
        fault(("admin", "listen"), "an address that others can reach needs admin.token")
    if values.get(("admin", "raw")) is True and not values.get(("admin", "token")):
        fault(("admin", "raw"), "messages as they were need admin.token")


def _destinations(tree: dict[str, Any]) -> Iterator[Path]:
    yield ("tracing",)
    tracing = tree.get("tracing")
    found = tracing.get("destinations") if isinstance(tracing, dict) else None
    for name in found if isinstance(found, dict) else ():
        yield ("tracing", "destinations", name)


def _check_pair(section: Path, values: Values, fault: Fault) -> None:
    certificate, key = (values.get((*section, name)) for name in ("client_certificate", "client_key"))
    if (certificate is None) != (key is None):
        fault(section, "client_certificate and client_key belong together")


def _claim(form: Form, text: str) -> object:
    """What no other entry may claim: an address to listen on, a source. Faults of form are told elsewhere."""
    try:
        claim = form(text)
    except ValueError:
        return None
    return None if isinstance(claim, tuple) and claim[2:] == (0,) else claim  # port 0: another one each time
