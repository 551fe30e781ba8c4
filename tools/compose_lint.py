"""Faults in docker-compose.yml that `docker compose config` does not find, because it starts nothing.

python tools/compose_lint.py [FILE ...]     exit code 1 where there is one

Images without a version, ports that two services want, files and volumes that are not there, health checks
whose program the image has not got, conditions that can never come true, addresses outside their network, a
proxy that is killed before it has drained.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

from tools import dockerfile_lint
from tools.lint_command import command_line, tell
from tools.located_yaml import Document, Fault, Plain, read

PINNED = re.compile(r"[^:@]+(:\d{2,5}/[^:@]+)?:v?\d+\.\d+(\.\d+)?[\w.-]*(@sha256:[0-9a-f]{64})?")
BEYOND_DRAIN_S = 17  # what a proxy takes beyond timeouts.drain_s: docs/operations.md
DRAIN_S = 30
HEALTHY = "service_healthy"
CONDITIONS = ("service_started", HEALTHY, "service_completed_successfully")

# What an image has that a health check could call; sh is for CMD-SHELL. Read off their Dockerfiles.
PROGRAMS = {
    "otel/opentelemetry-collector-contrib": (),  # FROM scratch
    "jaegertracing/jaeger": ("sh", "wget"),  # Alpine
    "prom/prometheus": ("sh", "wget"),  # BusyBox
    "grafana/grafana": ("sh", "wget", "curl"),  # Alpine
    "debian": ("sh", "bash", "grep"),
    "python": ("sh", "bash", "grep", "python"),
}


def lint(file: Path, *, name: str | None = None) -> list[Fault]:
    """All faults of a file, in the order of its lines."""
    document = read(file, name)
    content = document.content
    if not isinstance(content, dict) or not isinstance(content.get("services"), dict):
        if not document.faults:
            document.fault("no services")
        return sorted(document.faults)
    for service, settings in content["services"].items():
        if not isinstance(settings, dict):
            document.fault("no settings", "services", service)
            continue
        _image(document, service, settings, file.parent)
        _volumes(document, service, settings, file.parent)
        _health(document, service, settings, file.parent)
        _waits(document, service, settings, file.parent)
        _grace(document, service, settings, file.parent)
    _ports(document)
    _unused_volumes(document)
    _addresses(document)
    return sorted(set(document.faults))


def dockerfile_of(settings: dict[str, Plain], folder: Path) -> Path | None:
    """Of a service that is built."""
    build = settings.get("build")
    if build is None:
        return None
    context, name = (
        (build, None) if isinstance(build, str) else (build.get("context", "."), build.get("dockerfile"))
    )
    return folder / str(context) / str(name or "Dockerfile")


def _image(document: Document, service: str, settings: dict[str, Plain], folder: Path) -> None:
    dockerfile = dockerfile_of(settings, folder)
    if dockerfile is not None:
        if not dockerfile.is_file():
            document.fault(f"{dockerfile} is not there", "services", service, "build")
        return
    image = str(settings.get("image", ""))
    if not PINNED.fullmatch(image):
        document.fault(
            f"{image or 'no image'}: no version, so it is another one tomorrow", "services", service, "image"
        )


def _volumes(document: Document, service: str, settings: dict[str, Plain], folder: Path) -> None:
    defined = document.content.get("volumes") or {}
    for at, volume in enumerate(settings.get("volumes") or []):
        source = str(volume.get("source", "") if isinstance(volume, dict) else volume.partition(":")[0])
        place = ("services", service, "volumes", at)
        if source.startswith((".", "/", "~")):
            if not (folder / source).expanduser().exists():
                document.fault(f"{source} is not there: Docker would make an empty folder of it", *place)
        elif source not in defined:
            document.fault(f"{source} is no volume of this file", *place)


def _unused_volumes(document: Document) -> None:
    used = {
        str(volume.get("source") if isinstance(volume, dict) else volume.partition(":")[0])
        for settings in document.content["services"].values()
        for volume in (settings or {}).get("volumes") or []
    }
    for volume in sorted(set(document.content.get("volumes") or {}) - used):
        document.fault(f"{volume} is nobody's", "volumes", volume)


def _health(document: Document, service: str, settings: dict[str, Plain], folder: Path) -> None:
    check = settings.get("healthcheck")
    if not isinstance(check, dict) or check.get("disable"):
        return
    place = ("services", service, "healthcheck")
    test = check.get("test")
    words = ["CMD-SHELL", test] if isinstance(test, str) else list(map(str, test or []))
    if len(words) < 2 or words[0] not in ("CMD", "CMD-SHELL"):
        document.fault("test: [CMD, program, ...] or [CMD-SHELL, text]", *place)
        return
    image = _base(settings, folder)
    has = PROGRAMS.get(image)
    program = words[1].split()[0]
    wanted = {program} | ({"sh"} if words[0] == "CMD-SHELL" else set())
    if has is None:
        document.fault(f"what {image} has in it is not known here: see PROGRAMS", *place)
    elif not wanted <= set(has):
        document.fault(
            f"{image} has no {' and no '.join(sorted(wanted - set(has)))}: it would never be healthy", *place
        )


def _base(settings: dict[str, Plain], folder: Path) -> str:
    dockerfile = dockerfile_of(settings, folder)
    image = str(settings.get("image", ""))
    if dockerfile is not None and dockerfile.is_file():
        image = dockerfile_lint.base(dockerfile.read_text("utf-8"))
    return re.sub(r"[:@][^/]*$", "", image)


def _waits(document: Document, service: str, settings: dict[str, Plain], folder: Path) -> None:
    services = document.content["services"]
    for other, condition in _awaited(settings):
        place = ("services", service, "depends_on", other)
        if other not in services:
            document.fault(f"{other} is no service", *place)
            continue
        if condition not in CONDITIONS:
            document.fault(f"{condition} is no condition", *place)
        dockerfile = dockerfile_of(services[other], folder)
        built = dockerfile.read_text("utf-8") if dockerfile is not None and dockerfile.is_file() else ""
        if condition == HEALTHY and "healthcheck" not in services[other] and "\nHEALTHCHECK" not in built:
            document.fault(f"{other} has no health check, and so is never healthy", *place)
        if _leads_back(services, other, service, set()):
            document.fault(f"{other} waits for {service}: neither would start", *place)


def _awaited(settings: dict[str, Plain]) -> Iterator[tuple[str, str]]:
    found = settings.get("depends_on") or {}
    if isinstance(found, list):
        yield from ((str(other), CONDITIONS[0]) for other in found)
    else:
        yield from (
            (str(other), str((how or {}).get("condition", CONDITIONS[0]))) for other, how in found.items()
        )


def _leads_back(services: dict[str, Plain], start: str, goal: str, seen: set[str]) -> bool:
    if start == goal:
        return True
    seen.add(start)
    return any(
        _leads_back(services, other, goal, seen)
        for other, _ in _awaited(services.get(start) or {})
        if other not in seen
    )


def _grace(document: Document, service: str, settings: dict[str, Plain], folder: Path) -> None:
    for volume in settings.get("volumes") or []:
        source, _, target = str(volume).partition(":")
        if not target.startswith("/etc/sipproxy/sipproxy.yaml") or not (folder / source).is_file():
            continue
        found = read(folder / source).content or {}
        need_s = float((found.get("timeouts") or {}).get("drain_s", DRAIN_S)) + BEYOND_DRAIN_S
        grace = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", str(settings.get("stop_grace_period", "10s")))
        has_s = 60 * int(grace[1] or 0) + int(grace[2] or 0) if grace else 0
        if has_s < need_s:
            reason = f"killed after {has_s} s, but it may drain and store for {need_s:.0f} s"
            document.fault(f"stop_grace_period: {reason}", "services", service, "stop_grace_period")


def _ports(document: Document) -> None:
    seen: dict[tuple[str, str], str] = {}
    for service, settings in document.content["services"].items():
        for at, port in enumerate((settings or {}).get("ports") or []):
            place = ("services", service, "ports", at)
            text, _, transport = str(port).partition("/")
            parts = text.split(":")
            if len(parts) < 2:
                document.fault(f"{port}: Docker would choose the host's port", *place)
                continue
            host, published = ":".join(parts[:-2]), parts[-2]
            if host not in ("127.0.0.1", "[::1]") and not document.is_explained(*place):
                document.fault(
                    f"{port}: published to everybody; 127.0.0.1 in front, or a comment why", *place
                )
            key = (published, transport or "tcp")
            if key in seen:
                document.fault(f"{published}/{key[1]} is published by {seen[key]}, too", *place)
            seen.setdefault(key, service)


def _addresses(document: Document) -> None:
    networks = document.content.get("networks") or {}
    taken: dict[str, str] = {}
    for service, settings in document.content["services"].items():
        joined = (settings or {}).get("networks") or {}
        for network in joined:
            place = ("services", service, "networks")
            if network not in networks:
                document.fault(f"{network} is no network of this file", *place)
                continue
            how = joined[network] if isinstance(joined, dict) else None
            address = str((how or {}).get("ipv4_address", ""))
            if not address:
                continue
            if address in taken:
                document.fault(f"{address} is that of {taken[address]}, too", *place, network)
            taken[address] = service
            reason = _misplaced(address, (networks[network] or {}).get("ipam") or {})
            if reason:
                document.fault(f"{address} {reason}", *place, network)


def _misplaced(address: str, ipam: dict[str, Plain]) -> str:
    for config in ipam.get("config") or []:
        subnet = ip_network(str(config.get("subnet")))
        if ip_address(address) in subnet:
            if address == str(next(subnet.hosts())):
                return "is the bridge's own"
            given = config.get("ip_range")
            if given is None:
                return "may be given to another one: no ip_range keeps them apart"
            return (
                "is in ip_range, from which the others get theirs"
                if ip_address(address) in ip_network(given)
                else ""
            )
    return "is in no subnet of its network"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the faults of the named files."""
    parser = command_line("Find what docker compose config does not.", "docker-compose.yml")
    return tell(lint, parser.parse_args(arguments).files)


if __name__ == "__main__":
    sys.exit(main())
