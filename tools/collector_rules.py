"""Rules of collector_lint.py about components, their order in a pipeline, and addresses.

What is said of the collector is read from its sources (0.159.0): defaults of listeners from the factories of
receivers and extensions, the path from the OTLP exporter's composeSignalURL, queues from exporterhelper.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from tools.located_yaml import Document, Key, Plain, walk

SECTIONS = ("receivers", "processors", "exporters", "connectors", "extensions", "service")
OLD_NAMES = {
    ("exporters", "otlp"): "otlp_grpc",
    ("exporters", "otlphttp"): "otlp_http",
    ("exporters", "loadbalancing"): "load_balancing",
    ("exporters", "logging"): "debug",
}
DEFAULT_LISTENERS = {
    ("receivers", "otlp", "grpc"): "localhost:4317",
    ("receivers", "otlp", "http"): "localhost:4318",
    ("extensions", "health_check"): "localhost:13133",
}
WILDCARDS = ("0.0.0.0", "[::]", "::", "")
HERE = (*WILDCARDS, "localhost", "127.0.0.1", "[::1]")
SIGNAL_PATH = re.compile(r"/v1(development)?/(traces|metrics|logs|profiles)/?$")
_GO_ONLY = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]")  # what RE2 has not

Path = tuple[Key, ...]


def kind(name: str) -> str:
    """otlp_http/backup is an otlp_http."""
    return name.partition("/")[0]


def section(document: Document, name: str) -> dict[str, Plain]:
    """The components of a section, by name."""
    found = document.content.get(name)
    return {str(key): value or {} for key, value in found.items()} if isinstance(found, dict) else {}


def pipelines(document: Document) -> dict[str, dict[str, Plain]]:
    """Those of the service, by name."""
    found = (document.content.get("service") or {}).get("pipelines")
    return {str(name): value or {} for name, value in found.items()} if isinstance(found, dict) else {}


def exporters(document: Document) -> Iterator[tuple[str, Path, dict[str, Plain]]]:
    """Kind, place and settings of each."""
    for name, settings in section(document, "exporters").items():
        if isinstance(settings, dict):
            yield kind(name), ("exporters", name), settings


def check(document: Document) -> None:
    """Note the faults in the document."""
    for name in document.content:
        if name not in SECTIONS:
            document.fault(f"{name} is no section: there are {', '.join(SECTIONS)}", name)
    _components(document)
    _storages(document)
    for name, pipeline in pipelines(document).items():
        _order(document, name, pipeline)
    _listeners(document)
    for what, path, settings in exporters(document):
        if what in ("otlp_http", "otlphttp"):
            _http_endpoint(document, path, settings)
        elif what in ("otlp_grpc", "otlp"):
            _grpc_endpoint(document, path, settings)
    _redaction(document)


def _components(document: Document) -> None:
    for (part, old), new in OLD_NAMES.items():
        for name in section(document, part):
            if kind(name) == old:
                document.fault(f"{name}: the old name of {new}", part, name)
    used = {"extensions": set(map(str, (document.content.get("service") or {}).get("extensions") or []))}
    for pipeline in pipelines(document).values():
        for part in ("receivers", "processors", "exporters"):
            used.setdefault(part, set()).update(map(str, pipeline.get(part) or []))
    both = set(section(document, "connectors"))
    for part, names in used.items():
        place = ("service", "extensions") if part == "extensions" else ("service", "pipelines")
        for name in sorted(names - set(section(document, part)) - both):
            document.fault(f"{name} is used, and not defined in {part}", *place)
        for name in sorted(set(section(document, part)) - names):
            why = ": it is not started" if part == "extensions" else ": it does nothing"
            document.fault(f"{name} is defined, and no part of the service{why}", part, name)
    for name in sorted(both - used.get("exporters", set()) - used.get("receivers", set())):
        document.fault(f"{name} is defined, and no part of the service: it does nothing", "connectors", name)


def _storages(document: Document) -> None:
    started = (document.content.get("service") or {}).get("extensions") or []
    for what, path, settings in exporters(document):
        queue = settings.get("sending_queue")
        if not isinstance(queue, dict) or "storage" not in queue:
            continue
        if queue["storage"] not in started:
            reason = f"{queue['storage']} is not in service.extensions: the collector would not start"
            document.fault(reason, *path, "sending_queue", "storage")
        retry = settings.get("retry_on_failure")
        if not isinstance(retry, dict) or str(retry.get("max_elapsed_time")) not in ("0", "0s"):
            reason = f"{what} drops after 5 minutes what the disk has: max_elapsed_time: 0s"
            document.fault(reason, *path, "retry_on_failure", "max_elapsed_time")


def _order(document: Document, name: str, pipeline: dict[str, Plain]) -> None:
    place: Path = ("service", "pipelines", name, "processors")
    named = [str(one) for one in pipeline.get("processors") or []]
    kinds = [kind(one) for one in named]
    if "memory_limiter" not in kinds:
        document.fault(f"{name} has no memory_limiter", *place)
    elif kinds[0] != "memory_limiter":
        document.fault("memory_limiter is not first: what is before it has cost the memory already", *place)
    batching = [at for at, one in enumerate(kinds) if one in ("batch", "queuebatch")]
    if batching and batching[-1] != len(kinds) - 1:
        document.fault(f"{named[batching[-1]]} is not last", *place, batching[-1])
    if "tail_sampling" in kinds:
        sampling = kinds.index("tail_sampling")
        for at, one in enumerate(kinds):
            if one in ("batch", "queuebatch") and at < sampling:
                document.fault(f"{one} stands before tail_sampling, which takes batches apart", *place, at)
            elif one == "redaction" and at > sampling:
                document.fault(
                    "redaction stands behind tail_sampling, which holds spans for hours", *place, at
                )
    for exporter in map(str, pipeline.get("exporters") or []):
        settings = section(document, "exporters").get(exporter)
        if not isinstance(settings, dict) or not kind(exporter).startswith(("otlp", "load_bal", "loadbal")):
            continue
        queue = settings.get("sending_queue")
        queue = queue if isinstance(queue, dict) else {}
        if not batching and "batch" not in queue:
            document.fault(
                f"nothing makes batches for {exporter}: sending_queue.batch", "exporters", exporter
            )
        if batching and "storage" in queue:
            reason = (
                f"{named[batching[-1]]} answers for spans that the disk queue of {exporter} has not got yet"
            )
            document.fault(reason, *place, batching[-1])


def _listeners(document: Document) -> None:
    seen: dict[str, str] = {}
    for path, address in _addresses(document):
        host, port = _split(address)
        if not port.isdigit():
            document.fault(f"{address!r} has no port", *path)
            continue
        if host in WILDCARDS and not document.is_explained(*path):
            reason = f"{address!r} listens on every address: name one, or say in a comment why"
            document.fault(reason, *path)
        where = ".".join(map(str, path))
        if port in seen:
            document.fault(f"port {port} is that of {seen[port]}, too", *path)
        seen.setdefault(port, where)
    for _, path, settings in exporters(document):
        host, port = _split(re.sub(r"^\w+://", "", str(settings.get("endpoint", ""))))
        if host in HERE and port in seen and "endpoint" in settings:
            document.fault(f"sends to {seen[port]}: to this collector itself", *path, "endpoint")


def _addresses(document: Document) -> Iterator[tuple[Path, str]]:
    used = [name for pipeline in pipelines(document).values() for name in pipeline.get("receivers") or []]
    for name, settings in section(document, "receivers").items():
        protocols = settings.get("protocols") if isinstance(settings, dict) else None
        for protocol, value in (protocols or {}).items():
            path: Path = ("receivers", name, "protocols", protocol)
            default = DEFAULT_LISTENERS.get(("receivers", kind(name), protocol), "")
            found = (value or {}).get("endpoint", default)
            if found and name in used:
                yield ((*path, "endpoint") if value and "endpoint" in value else path), str(found)
    for name, settings in section(document, "extensions").items():
        default = DEFAULT_LISTENERS.get(("extensions", kind(name)), "")
        found = settings.get("endpoint", default) if isinstance(settings, dict) else default
        if found:
            yield ("extensions", name, "endpoint"), str(found)
    start: Path = ("service", "telemetry", "metrics", "readers")
    readers = document.content
    for key in start:
        readers = readers.get(key) if isinstance(readers, dict) else None
    for path, value in walk(readers or []):
        if path[-1:] == ("host",) and "prometheus" in path:
            yield (*start, *path), f"{value}:{_beside(readers, path).get('port', '')}"


def _beside(content: Plain, path: Path) -> dict[str, Plain]:
    for key in path[:-1]:
        content = content[key]
    return content if isinstance(content, dict) else {}


def _split(address: str) -> tuple[str, str]:
    host, _, port = address.partition("/")[0].rpartition(":")
    return host, port


def _http_endpoint(document: Document, path: Path, settings: dict[str, Plain]) -> None:
    endpoint = str(settings.get("endpoint", ""))
    if endpoint:
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https"):
            document.fault(f"{endpoint!r}: a URL, with http:// or https://", *path, "endpoint")
        elif SIGNAL_PATH.search(url.path):
            reason = f"{endpoint!r}: the collector adds the path, it would be there twice: the base URL alone"
            document.fault(reason, *path, "endpoint")
        if url.netloc.endswith(":4317"):
            document.fault("4317 is the port of OTLP over gRPC; HTTP has 4318", *path, "endpoint")
    signal = str(settings.get("traces_endpoint", ""))
    if signal and not urlsplit(signal).path.strip("/"):
        reason = f"{signal!r} is used as it is, without /v1/traces; `endpoint` takes the base URL"
        document.fault(reason, *path, "traces_endpoint")


def _grpc_endpoint(document: Document, path: Path, settings: dict[str, Plain]) -> None:
    endpoint = str(settings.get("endpoint", ""))
    _, _, rest = re.sub(r"^\w+:/{2,3}", "", endpoint).partition("/")
    if rest:
        document.fault(f"{endpoint!r}: gRPC has no path: HOST:PORT", *path, "endpoint")
    if endpoint.endswith(":4318"):
        document.fault("4318 is the port of OTLP over HTTP; gRPC has 4317", *path, "endpoint")


def _redaction(document: Document) -> None:
    for name, settings in section(document, "processors").items():
        if kind(name) != "redaction" or not isinstance(settings, dict):
            continue
        path: Path = ("processors", name)
        if not settings.get("allow_all_keys") and not settings.get("allowed_keys"):
            document.fault("no keys are allowed: it would drop every attribute", *path)
        for key in ("blocked_values", "blocked_key_patterns", "allowed_values", "ignored_key_patterns"):
            for at, pattern in enumerate(settings.get(key) or []):
                why = _not_re2(str(pattern))
                if why:
                    document.fault(f"{pattern!r}: {why}", *path, key, at)


def _not_re2(pattern: str) -> str:
    if _GO_ONLY.search(pattern):
        return "RE2 has no look-around and no back-references"
    try:
        re.compile(pattern)
    except re.error as error:
        return str(error)
    return ""
