"""Every byte that leaves the process but SIP itself, searched for what only the two parties may know.

Scenarios of `sipp-scenarios/` are played through the real process with everything switched on: spans to a
collector, copies to HOMER, the store, the API while calls go on and afterwards, metrics, log, CLI. Callers
write numbers in whatever way SIP knows.
"""

from __future__ import annotations

import itertools
import json
import marshal
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from sipproxy.store.schema import connect_to_read, packer_of
from sipproxy.telemetry.settings import Mask
from tests.support.hep import Collector
from tests.support.otlp import HttpReceiver
from tests.support.proxy import ROOT, Proxy
from tests.support.stage import Performance, Stage
from tests.support.story import SCENARIOS, Story, merged, read

pytestmark = pytest.mark.slow

if shutil.which("sipp") is None and os.environ.get("CI") != "true":
    pytest.skip("the calls need SIPp (apt install sip-tester)", allow_module_level=True)

STORIES = """01-basic 09-interaction-id 10-busy 12-early-cancel 20-hold-and-resume 26-info
    27-message-in-dialog 28-challenge 34-message 36-unknown-source 47-blind-relay-by-callee
    49-blind-local-by-callee 51-attended-relay-by-callee 53-attended-local-by-callee
    55-transferee-keeps-every-header 57-transferee-leaves-headers-in-the-uri
    71-refer-to-with-forbidden-headers 79-target-refuses-relayed 91-transferred-twice"""
BY_CLI = ("01-basic", "51-attended-relay-by-callee")  # each costs two processes
UNMASKED = "28-challenge"

# A number in the forms that SIP and people have for it; a few to a call, since a datagram is short.
FORMS = (
    [
        'P-Asserted-Identity: "Alice Sommerfeld" <sip:+49-155-5000-1234@192.0.2.1;user=phone>',
        "P-Asserted-Identity: <tel:+49(155)5000.1234>",
        "Subject: call Winterberg on +49 155 5000 1234",
    ],
    [
        "Remote-Party-ID: <sip:%2B%34%39%31%35%35%35%30%30%30%31%32%33%34@192.0.2.1>;party=calling",
        'Diversion: "Tom Winterberg" <tel:0155-5000-1234;isub=5550001234>;reason=no-answer',
        "X-Interaction-ID: +4915550001234",
    ],
    [
        "History-Info: <sip:+4915550001234@192.0.2.1?Reason=SIP%3Btext%3D%224915550001234%22>;index=1",
        'Reason: Q.850;cause=16;text="for 0155 5000-1234"',
        "X-Customer: 4915550001234",
    ],
    [
        "User-to-User: 4915550001234;encoding=hex",
        "In-Reply-To: 4915550001234@192.0.2.1",
        "Organization: Sommerfeld and Winterberg",
        "X-4915550001234: 1",
    ],
)  # fmt: skip

# What no parser likes: it is answered, logged, counted and copied all the same.
SOUND = {
    "Via": "SIP/2.0/UDP 127.0.0.2;branch=z9hG4bK-4915550001234",
    "From": "<sip:+4930555098765@h>;tag=4915550001234",
    "To": "<sip:+4915550001234@h>",
    "Call-ID": "4915550001234@h",
    "CSeq": "1 INVITE",
}
BROKEN = [
    ("INVITE sip:+4915550001234 SIP/2.0", {}),
    ("INVITE sip:a b+4915550001234@h SIP/2.0", {}),
    ("INVITE tel:+49-155-5000-1234 SIP/2.0", {"From": "Sommerfeld, A. <+4915550001234>"}),
    ("INVITE sip:h SIP/2.0", {"To": '"Sommerfeld <sip:+4915550001234@h'}),
    ("INVITE sip:h SIP/2.0", {"CSeq": "4915550001234 INVITE"}),
    ("INVITE sip:h SIP/2.0", {"Via": "SIP/2.0/UDP 4915550001234;branch"}),
    ("INVITE sip:h SIP/3.0", {"Call-ID": "+49 155 5000 1234"}),
    ("REFER sip:h SIP/2.0", {"CSeq": "1 REFER", "Refer-To": "<sip:+4915550001234>"}),
    ("4915550001234 sip:h SIP/2.0", {"CSeq": "1 4915550001234"}),
    ("4915550001234", {}),
    ("SIP/2.0 486 no +49 155 5000 1234 here", {}),
]

NUMBERS = ["4915550001234", "4930555098765", "4915550007777", "4915550003333"]
NAMES = ["Sommerfeld", "Winterberg"]
NEVER = [  # whatever the operator chose: SDP, texts, keys, credentials
    *("offer-of-alice", "answer-of-bob", "offer-of-carol", "m=audio", "rtpmap", "rhododendron", "lilac"),
    *("Signal=5", "f84f1cec41e6cbe5aea9c8e88d359", "Digest"),
]
PATIENCE_S = 15.0


def in_any_form(number: str) -> re.Pattern[bytes]:
    """The number, national or not, however it is parted or escaped."""
    between = r"(?:%2[0-9A-Fa-f]|[ ()./_+-]){0,3}"
    digits = (f"(?:{digit}|%3{digit})" for digit in number[-10:])
    return re.compile(between.join(digits).encode())


@dataclass(slots=True)
class Evidence:
    """What came of one scenario: what was said by SIP, and all else that was told, by where."""

    sip: str = ""
    told: dict[str, list[bytes]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def tell(self, where: str, data: bytes) -> None:
        self.told.setdefault(where, []).append(data)

    def leaks(self, secrets: Sequence[re.Pattern[bytes]]) -> Iterator[str]:
        for where, pieces in self.told.items():
            for data, secret in itertools.product(pieces, secrets):
                if found := secret.search(data):
                    around = data[max(0, found.start() - 60) : found.end() + 30]
                    yield f"{where}: {secret.pattern!r} in {around!r}"


class Overheard(Stage):
    """A performance at which somebody asks the API for everything, meanwhile and afterwards."""

    def __init__(self, story: Story, receiver: HttpReceiver, folder: Path, evidence: Evidence) -> None:
        super().__init__(story, receiver, folder)
        self._evidence = evidence

    def _play(self, proxy: Proxy) -> None:
        self._proxy, self._url = proxy, proxy.page()
        chatty = Request(f"{self._url}/api/log-level", b'{"level": "debug"}', method="PUT")
        chatty.add_header("Content-Type", "application/json")
        urlopen(chatty, timeout=PATIENCE_S).close()
        events = urlopen(f"{self._url}/api/events", timeout=PATIENCE_S)
        self._listener = threading.Thread(target=self._listen, args=(events,), daemon=True)
        self._listener.start()
        super()._play(proxy)

    def _wait_for_spans(self) -> None:
        super()._wait_for_spans()
        self._send_what_is_broken()
        self._ask_for_all()
        self._proxy.terminate()  # which ends the events
        self._listener.join(PATIENCE_S)

    def _send_what_is_broken(self) -> None:
        """From where the caller was, who has hung up: so it is a trunk's."""
        name = next(name for name, member in self._story.cast.items() if member.side == "caller")
        place = self._places[name]
        host, _, port = self._proxy.address("udp").rpartition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((place.host, place.port))
            for start, exchanged in BROKEN:
                rows = "".join(f"{row}: {value}\r\n" for row, value in (SOUND | exchanged).items())
                sender.sendto(f"{start}\r\n{rows}Content-Length: 0\r\n\r\n".encode(), (host, int(port)))

    def _listen(self, events: Any) -> None:
        """What the page is told while calls go on, and the context that an application may ask for."""
        with events, suppress(OSError, HTTPException):  # the proxy may be gone sooner than we have asked
            for line in events:
                self._evidence.tell("/api/events", line)
                if line.startswith(b"data:") and b'"added"' in line:
                    for call in json.loads(line[5:]).get("added", []):
                        self._get(f"/api/calls/{call['id']}/context")
                        self._get("/api/calls")

    def _ask_for_all(self) -> None:
        ends_by = time.monotonic() + PATIENCE_S
        while json.loads(self._get("/api/calls"))["total"] and time.monotonic() < ends_by:
            pass  # to ask takes long enough
        for path in ("/api/propagation", "/healthz", "/readyz", "/metrics", "/api/traces?trunk=none&limit=1"):
            self._get(path)
        self._get("/metrics", accept="application/openmetrics-text")
        for call in json.loads(self._get("/api/traces?limit=200"))["calls"]:
            for ident in (call["id"], call["trace_id"]):
                self._get(f"/api/traces/{ident}")
            for style in ([], ["--json"]) if self._story.folder.name in BY_CLI else ():
                command = [sys.executable, "-m", "sipproxy", "trace", "--url", self._url, *style, call["id"]]
                done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
                self._evidence.tell("sipproxy trace", done.stdout + done.stderr)

    def _get(self, path: str, *, accept: str = "*/*") -> bytes:
        try:
            with urlopen(Request(self._url + path, headers={"Accept": accept}), timeout=PATIENCE_S) as answer:
                body: bytes = answer.read()
        except HTTPError as error:
            body = error.read()
        self._evidence.tell(path.partition("?")[0], body)
        return body


def overheard(story: Story, folder: Path) -> Evidence:
    """Play it, and gather all that was told."""
    evidence = Evidence()
    with HttpReceiver() as receiver, Collector() as homer:
        hep = {"address": homer.address, "name": "edge", "password": "a password of HOMER"}
        story.proxy = merged(story.proxy, {"hep": hep})
        performance = Overheard(story, receiver, folder, evidence).perform()
        for request in receiver.requests:
            evidence.tell("OTLP", request)
        for packet in homer.raw:
            evidence.tell("HEP", packet)
    evidence.failures = [failure for failure in performance.failures if "\n" in failure]  # SIPp's own words
    evidence.sip = said(performance)
    evidence.tell("log", performance.output.encode())
    for path in (folder / "store").iterdir():
        evidence.tell(path.name, path.read_bytes())
    for value in stored(folder / "store" / "store.db"):
        evidence.tell("store, unpacked", value)
    return evidence


def said(performance: Performance) -> str:
    """All SIP of all parties."""
    return "\n".join(message.text for seen in performance.seen.values() for message in seen)


def stored(file: Path) -> Iterator[bytes]:
    """Every value of every table, unpacked where it is packed."""
    sql = connect_to_read(file)
    assert sql is not None
    packer = packer_of(sql)
    tables = [name for (name,) in sql.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        for row in sql.execute(f"SELECT * FROM {table}"):
            for value in row:
                yield repr(value).encode("utf-8", "backslashreplace")
                if isinstance(value, bytes) and table != "meta":
                    yield unpacked(value, packer.unpack)
    sql.close()


def unpacked(value: bytes, unpack: Any) -> bytes:
    """As text, where it is packed JSON or marshalled values; else it says by itself what it is."""
    for reader in (unpack, marshal.loads):
        with suppress(ValueError, EOFError, TypeError):
            return repr(reader(value)).encode("utf-8", "backslashreplace")
    return value


def staged(name: str, number: int, mask: Mask) -> Story:
    """Its first take, with a few of those headers in what the caller sends."""
    story = read(SCENARIOS / name / "scenario.yaml")[0]
    caller = next(member for member in story.cast.values() if member.side == "caller")
    caller.headers = [*caller.headers, *FORMS[number % len(FORMS)]]
    story.proxy = merged(story.proxy, {"privacy": {"mask": mask.value, "key": "a key of the operator"}})
    return story


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evidence]:
    folder = tmp_path_factory.mktemp("privacy")
    masks = itertools.cycle([Mask.LAST2, Mask.HASH, Mask.FULL])
    stories = {name: staged(name, number, next(masks)) for number, name in enumerate(STORIES.split())}
    stories["unmasked"] = staged(UNMASKED, 0, Mask.NONE)
    with ThreadPoolExecutor(2) as pool:
        played = {name: pool.submit(overheard, story, folder / name) for name, story in stories.items()}
        return {name: future.result() for name, future in played.items()}


def test_the_calls_went_through_and_said_it_all(evidence: dict[str, Evidence]) -> None:
    for name, each in evidence.items():
        assert not each.failures, f"{name}: {each.failures}"
    sip = "".join(each.sip for each in evidence.values())
    for secret in (*NUMBERS, *NAMES, *NEVER):
        assert secret in sip, f"nobody says {secret!r}: to search for it would prove nothing"
    for form in (
        "+49-155-5000-1234",
        "+49(155)5000.1234",
        "%2B%34%39%31",
        "0155 5000-1234",
        "X-4915550001234",
    ):
        assert form in sip


def test_everything_told_its_part(evidence: dict[str, Evidence]) -> None:
    """Else there would be nothing to be found."""
    each = evidence["01-basic"]
    sources = ["OTLP", "HEP", "log", "store.db", "store, unpacked", "sipproxy trace"]
    for source in (*sources, "/api/events", "/api/calls", "/api/traces", "/metrics", "/api/propagation"):
        assert each.told.get(source), source
    ladder = b"".join(
        data for where, pieces in each.told.items() if "/api/traces/" in where for data in pieces
    )
    assert b'"level": "debug"' in b"".join(each.told["log"])
    for data in (ladder, b"".join(each.told["HEP"]), b"".join(each.told["store, unpacked"])):
        assert b"INVITE sip:***34@" in data  # the messages are there


@pytest.mark.parametrize("number", NUMBERS)
def test_no_number_in_any_form(number: str, evidence: dict[str, Evidence]) -> None:
    found = [
        leak
        for name, each in evidence.items()
        if name != "unmasked"
        for leak in each.leaks([in_any_form(number)])
    ]
    assert not found, "\n".join(found)


def test_no_name(evidence: dict[str, Evidence]) -> None:
    names = [re.compile(name.encode(), re.IGNORECASE) for name in NAMES]
    found = [leak for name, each in evidence.items() if name != "unmasked" for leak in each.leaks(names)]
    assert not found, "\n".join(found)


def test_whatever_is_configured_no_body_and_no_credential(evidence: dict[str, Evidence]) -> None:
    secrets = [
        re.compile(re.escape(secret).encode())
        for secret in (*NEVER, "a password of HOMER", "a key of the op")
    ]
    found = []
    for each in evidence.values():
        told = {where: pieces for where, pieces in each.told.items() if where != "HEP"}
        found += [
            *Evidence(told=told).leaks(secrets),
            *Evidence(told={"HEP": each.told["HEP"]}).leaks(secrets[:-2]),
        ]
    assert not found, "\n".join(found)


def test_without_masking_numbers_and_names_are_shown(evidence: dict[str, Evidence]) -> None:
    told = evidence["unmasked"].told
    for source in ("HEP", "store, unpacked"):
        assert b"+4930555098765" in b"".join(told[source])
        assert b"Sommerfeld" in b"".join(told[source])


def test_a_transfers_token_is_not_told(evidence: dict[str, Evidence]) -> None:
    tokens = set()
    for each in evidence.values():
        tokens |= set(re.findall(r"sipproxy-ref=([0-9a-f]{32})", each.sip))
    assert tokens
    secrets = [re.compile(token[:12].encode()) for token in tokens]
    found = [leak for each in evidence.values() for leak in each.leaks(secrets)]
    assert not found, "\n".join(found)


def test_the_search_finds_every_form() -> None:
    search = in_any_form("4915550001234")
    for form in itertools.chain.from_iterable(FORMS):
        assert search.search(form.encode()) or "Organization" in form
