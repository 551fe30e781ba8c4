"""What the observer is told at its start reaches it whole, and nobody else."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from sipproxy.admin.settings import AdminSettings
from sipproxy.b2bua.settings import TrunkSettings
from sipproxy.config import Settings
from sipproxy.errors import LocalProtocolError
from sipproxy.observer.orders import Orders
from sipproxy.propagation.settings import TrunkTrace
from sipproxy.store.place import Place
from sipproxy.telemetry.settings import TracingSettings


def test_they_arrive_as_they_were_given(tmp_path: Path) -> None:
    settings = Settings(region="eu-west-2", tracing=TracingSettings(headers={"authorization": "x" * 100_000}))
    place = Place(tmp_path, bytes(range(32)))
    given = Orders.of(settings, place, boot="b1", version="1", log_level="debug")
    descriptor = given.sheet()
    with open(descriptor, "rb") as file:
        read = Orders.read(file)
    assert read == given
    assert (read.folder, read.key, read.region, read.log_level) == (tmp_path, place.key, "eu-west-2", "debug")
    assert read.tracing == settings.tracing


def test_a_relative_folder_is_told_as_it_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = Orders.of(Settings(), Place(Path("state"), b""), boot="b1", version="1", log_level="info")
    assert given.folder == tmp_path / "state"


def test_headers_that_the_operator_named_are_known() -> None:
    trunks = {
        "a": TrunkSettings(address="192.0.2.1:5060", call_id_header="X-Leg"),
        "b": TrunkSettings(address="192.0.2.2:5060", trace=TrunkTrace(aliases=("X-Trace",))),
    }
    place = Place(Path("state"), b"")
    given = Orders.of(Settings(trunks=trunks), place, boot="b1", version="1", log_level="info")
    assert given.call_ids == ("X-Leg",)
    assert {*given.traceparents} == {"X-Traceparent", "X-Trace"}


@pytest.mark.parametrize(
    ("listen", "page", "told"),
    [
        ("127.0.0.1:0", "", "127.0.0.1:0"),
        ("127.0.0.1:0", "http://127.0.0.1:40000", "127.0.0.1:40000"),
        ("[::1]:0", "http://[::1]:40000", "[::1]:40000"),
        ("127.0.0.1:8060", "http://127.0.0.1:8060", "127.0.0.1:8060"),
        ("off", "", "off"),
    ],
)
def test_the_page_stays_where_it_was(listen: str, page: str, told: str) -> None:
    settings, place = Settings(admin=AdminSettings(listen=listen)), Place(Path("state"), b"")
    given = Orders.of(settings, place, boot="b1", version="1", log_level="info", page=page)
    assert given.admin.listen == told


@pytest.mark.parametrize("data", [b"", b"hello\n", pickle.dumps({"boot": "b1"})])
def test_what_no_worker_wrote_are_no_orders(data: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="not by hand"):
        Orders.read(io.BytesIO(data))


def test_reading_them_needs_no_pydantic() -> None:
    code = "import sys; import sipproxy.observer.orders; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_started_by_hand_it_says_why_not() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "sipproxy.observer"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr == "sipproxy.observer: the observer is started by `sipproxy run`, not by hand\n"


def test_the_sheet_has_no_name(tmp_path: Path) -> None:
    orders = Orders.of(Settings(), Place(tmp_path, b""), boot="b1", version="1", log_level="info")
    descriptor = orders.sheet()
    try:
        assert os.readlink(f"/proc/self/fd/{descriptor}").startswith("/memfd:")
        assert [*tmp_path.iterdir()] == []
    finally:
        os.close(descriptor)
