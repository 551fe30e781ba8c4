"""docker-compose.yml, which needs Docker to run: Debian's docker-compose and our lint read it, and what its
files say of each other agrees. test_compose_run.py starts what it would start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sipproxy import config
from tests.support import yamlfile
from tools import compose_lint, dockerfile_lint

from .compose_town import COMPOSE, ROOT

TEXT = COMPOSE.read_text()
CONTENT = yamlfile.read(COMPOSE)
SERVICES: dict[str, Any] = CONTENT["services"]
SIPPROXY = ROOT / "config/demo/sipproxy.yaml"
DOCKERFILES = [ROOT / "Dockerfile", ROOT / "config/demo/Dockerfile"]


# What the files say


def test_docker_compose_takes_it() -> None:
    program = shutil.which("docker-compose")
    if program is None and os.environ.get("CI") != "true":
        pytest.skip("no docker-compose on this machine (Debian: apt-get install docker-compose)")
    assert program is not None
    command = [program, "-f", str(COMPOSE), "config", "-q"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_the_lints_find_nothing() -> None:
    assert compose_lint.lint(COMPOSE) == []
    assert [fault for file in DOCKERFILES for fault in dockerfile_lint.lint(file)] == []


def test_the_services_are_those_that_other_files_count_on() -> None:
    names = {"sipproxy", "caller", "agents", "otel-collector", "jaeger", "prometheus", "grafana"}
    assert set(SERVICES) == names


def test_the_proxys_configuration_is_good() -> None:
    settings = config.load(SIPPROXY)
    assert {name: str(trunk.address).partition(":")[0] for name, trunk in settings.trunks.items()} == {
        "caller": "caller",
        "agent": "agents",
        "colleague": "agents",
    }
    matched = {entry.partition(":")[0] for trunk in settings.trunks.values() for entry in trunk.match}
    given = {SERVICES[name]["networks"]["voice"]["ipv4_address"] for name in ("caller", "agents")}
    assert matched == given
    assert settings.advertise == "sipproxy"


def hosts_in_files() -> Iterator[tuple[str, str]]:
    """Host and file of what is to be reached over the containers' network."""
    yield urlsplit(config.load(SIPPROXY).tracing.endpoint or "").hostname or "", "sipproxy.yaml"
    yield SERVICES["otel-collector"]["environment"]["TRACES_ENDPOINT"].partition(":")[0], "collector"
    for name in ("caller", "agents"):
        yield SERVICES[name]["environment"]["PROXY"].partition(":")[0], name
    for job in yamlfile.read(ROOT / "config/demo/prometheus.yml")["scrape_configs"]:
        yield job["static_configs"][0]["targets"][0].partition(":")[0], f"prometheus {job['job_name']}"


@pytest.mark.parametrize(("host", "file"), list(hosts_in_files()))
def test_every_name_leads_to_a_service(host: str, file: str) -> None:
    assert host in SERVICES or host == "127.0.0.1"


def test_prometheus_is_as_without_docker_but_for_the_token() -> None:
    demo, usual = (yamlfile.read(ROOT / f"config/{name}/prometheus.yml") for name in ("demo", "prometheus"))
    token = config.load(SIPPROXY).admin.token
    assert demo["scrape_configs"][0].pop("authorization") == {"credentials": token}
    assert str(token) in TEXT, "whoever opens the page needs it"
    assert demo["rule_files"] == [f"/etc/prometheus/{path}" for path in usual.pop("rule_files")]
    demo.pop("rule_files")
    assert demo == usual


def test_the_collector_listens_where_the_proxy_sends() -> None:
    collector = yamlfile.read(ROOT / "config/otel-collector.yaml")
    port = urlsplit(config.load(SIPPROXY).tracing.endpoint or "").port
    assert collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(f":{port}")
    assert SERVICES["otel-collector"]["environment"]["LISTEN_HOST"] == "0.0.0.0"


# Faults

COMMAND = '    command: ["--config=/etc'
PROMETHEUS, GRAFANA = (
    f'    networks: [voice]\n    ports:\n      - "127.0.0.1:{port}' for port in (9090, 3000)
)
HEALTHY = "prometheus: {condition: service_healthy}"
AGENTS = "ipv4_address: 198.18.60.30"

FAULTS = [
    # what is replaced, by what, a word of the row that is named, what is said of it
    ("jaeger:2.20.0", "jaeger:latest", "image: jaeger", "no version"),
    ("jaeger:2.20.0", "jaeger", "image: jaeger", "no version"),
    ("build: config/demo", "build: config/nowhere", "build:", "is not there"),
    ("./config/otel-collector.yaml:", "./config/collector.yaml:", "collector.yaml", "would make an empty"),
    ("- prometheus-data:", "- figures:", "figures", "is no volume of this file"),
    ("- prometheus-data:", "- sipproxy-state:", "prometheus-data:", "is nobody's"),
    ("127.0.0.1:9090:9090", "127.0.0.1:3000:9090", "3000:3000", "is published by prometheus, too"),
    ('"127.0.0.1:9090:9090"', '"9090:9090"', "9090:9090", "published to everybody"),
    ('"127.0.0.1:9090:9090"', '"9090"', '"9090"', "would choose the host's port"),
    (COMMAND, "    healthcheck: {test: [CMD, wget, -q, x]}\n" + COMMAND,
     "healthcheck:", "contrib has no wget"),
    (COMMAND, "    healthcheck: {test: exit 0}\n" + COMMAND,
     "healthcheck:", "contrib has no exit and no sh"),
    ('["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:13133/status"]', "[wget]", "healthcheck:",
     "test: [CMD"),
    ("jaeger: {condition: service_healthy}", "otel-gateway: {condition: service_healthy}", "otel-gateway:",
     "is no service"),
    (HEALTHY, "otel-collector: {condition: service_healthy}", "otel-collector: {", "has no health check"),
    (HEALTHY, "prometheus: {condition: healthy}", "prometheus: {",
     "is no condition"),
    (PROMETHEUS, "    depends_on: [grafana]\n" + PROMETHEUS, "depends_on", "neither would start"),
    ("stop_grace_period: 50s", "stop_grace_period: 30s", "stop_grace", "it may drain and store for 47 s"),
    ("    stop_grace_period: 50s", "    #", "sipproxy:", "killed after 10 s"),
    (AGENTS, "ipv4_address: 198.18.60.20", "198.18.60.20", "is that of agents, too"),
    (AGENTS, "ipv4_address: 198.18.61.30", "198.18.61.30", "is in no subnet"),
    (AGENTS, "ipv4_address: 198.18.60.1", "198.18.60.1", "is the bridge's own"),
    (AGENTS, "ipv4_address: 198.18.60.130", "198.18.60.130", "is in ip_range"),
    ("          ip_range: 198.18.60.128/25\n", "", "198.18.60.10", "may be given to another one"),
    (GRAFANA, GRAFANA.replace("voice", "web"), "networks: [web]", "is no network"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "row", "reason"), FAULTS, ids=[fault[3] for fault in FAULTS])
def test_the_lint_names_line_and_reason(old: str, new: str, row: str, reason: str, tmp_path: Path) -> None:
    assert old in TEXT
    for name in ("config", "sipproxy", "Dockerfile"):
        (tmp_path / name).symlink_to(ROOT / name)
    file = tmp_path / "docker-compose.yml"
    file.write_text(TEXT.replace(old, new))
    rows = file.read_text().splitlines()
    told = [fault for fault in compose_lint.lint(file) if reason in fault.reason]
    assert told, "it is not found"
    assert any(row in rows[fault.line - 1] for fault in told), told


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("FROM debian\nUSER nobody\n", "no version"),
        ("FROM debian:12.12-slim AS a\nFROM a\n", "it runs as root"),
        ("FROM debian:12.12-slim\nUSER nobody\nUSER root\n", "it runs as root"),
        ("FROM debian:12.12-slim\nUSER nobody\nCMD run it\n", "does not hand SIGTERM on"),
        ("FROM debian:12.12-slim\nUSER nobody\nHEALTHCHECK --interval=5s \\\n  CMD curl x\n", "in a shell"),
    ],
)
def test_the_lint_of_dockerfiles(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(text)
    (fault,) = dockerfile_lint.lint(file)
    assert reason in fault.reason


def test_the_commands_print_faults_and_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compose_lint.main([str(COMPOSE)]) == 0
    assert dockerfile_lint.main(list(map(str, DOCKERFILES))) == 0
    compose, image = tmp_path / "docker-compose.yml", tmp_path / "Dockerfile"
    compose.write_text("services:\n  jaeger:\n    image: jaegertracing/jaeger:latest\n")
    image.write_text("FROM debian:latest\nUSER nobody\n")
    assert capsys.readouterr().out == ""
    assert (compose_lint.main([str(compose)]), dockerfile_lint.main([str(image)])) == (1, 1)
    assert [row.partition(": ")[0] for row in capsys.readouterr().out.splitlines()] == [
        f"{compose}:3",
        f"{image}:1",
    ]
