"""A collector behind TLS: whom we trust, and who we say we are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sipproxy.telemetry.answers import Fault, Refusal
from sipproxy.telemetry.otlp import MAIN, Outlet, Target
from sipproxy.telemetry.settings import DestinationSettings, Exporter, Protocol, TracingSettings
from tests.support.certificates import identity
from tests.support.collectors import Collector, Identity, collector_of
from tests.unit.telemetry.sinks import ENVELOPE, encoded, outlet_for


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return identity(tmp_path_factory.mktemp("certificates"), "proxy")


@pytest.fixture(params=[*Protocol], ids=["http", "grpc"])
def receiver(request: pytest.FixtureRequest, ours: Identity) -> Iterator[Collector]:
    """Wants a certificate of the same authority."""
    theirs = identity(ours.authority.parent, "collector")
    with collector_of(request.param, identity=theirs) as receiver:
        yield receiver


def target_of(receiver: Collector, ours: Identity | None, authority: Path | None) -> Target:
    return Target(
        MAIN,
        Protocol(receiver.protocol),
        receiver.endpoint,
        timeout_s=5.0,
        certificate=str(authority) if authority else None,
        client_certificate=str(ours.certificate) if ours else None,
        client_key=str(ours.key) if ours else None,
    )


def test_both_sides_know_each_other(receiver: Collector, ours: Identity) -> None:
    outlet = Outlet(target_of(receiver, ours, ours.authority))
    outcome = outlet.send(ENVELOPE, encoded(range(3)))
    outlet.close()
    assert outcome is None
    assert len(receiver.spans) == 3


def test_the_settings_win_over_the_bundle_of_the_machine(
    receiver: Collector, ours: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = identity(tmp_path, "stranger", authority="another")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stranger.authority))
    outlet = Outlet(target_of(receiver, ours, ours.authority))
    outcome = outlet.send(ENVELOPE, encoded(range(1)))
    outlet.close()
    assert outcome is None


def test_a_collector_that_nobody_vouches_for_gets_nothing(
    receiver: Collector, ours: Identity, tmp_path: Path
) -> None:
    stranger = identity(tmp_path, "stranger", authority="another")
    outlet = Outlet(target_of(receiver, ours, stranger.authority))
    refusal = outlet.send(ENVELOPE, encoded(range(1)))
    outlet.close()
    assert isinstance(refusal, Refusal)
    assert refusal.fault is Fault.SETUP
    assert "CER" in refusal.reason
    assert receiver.asked == []


def test_a_collector_may_want_to_know_us(receiver: Collector, ours: Identity) -> None:
    outlet = Outlet(target_of(receiver, None, ours.authority))
    refusal = outlet.send(ENVELOPE, encoded(range(1)))
    outlet.close()
    assert isinstance(refusal, Refusal)
    assert receiver.asked == []


def test_the_variables_name_files_too(
    receiver: Collector, ours: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(ours.authority))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", str(ours.certificate))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", str(ours.key))
    outlet = Outlet(target_of(receiver, None, None))
    outcome = outlet.send(ENVELOPE, encoded(range(1)))
    outlet.close()
    assert outcome is None


def test_but_not_for_a_further_destination(
    receiver: Collector, ours: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(ours.authority))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", str(ours.certificate))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", str(ours.key))
    protocol = Protocol(receiver.protocol)
    with outlet_for(destination(receiver.endpoint, protocol), "archive") as outlet:
        assert isinstance(outlet.send(ENVELOPE, encoded(range(1))), Refusal)
    assert receiver.asked == []
    with outlet_for(destination(receiver.endpoint, protocol, ours), "archive") as outlet:
        assert outlet.send(ENVELOPE, encoded(range(1))) is None


def destination(endpoint: str, protocol: Protocol, ours: Identity | None = None) -> TracingSettings:
    further = DestinationSettings(
        endpoint,
        protocol,
        certificate=str(ours.authority) if ours else None,
        client_certificate=str(ours.certificate) if ours else None,
        client_key=str(ours.key) if ours else None,
    )
    return TracingSettings(Exporter.NONE, destinations={"archive": further})
