"""Debian's Chromium with a microphone that plays a tone, and a person at the desk of examples/webrtc."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    WebSocket,
    expect,
    sync_playwright,
)

from .page_browser import CHROMIUM

PATIENCE_MS = 10_000

_MEDIA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


def key_pin(certificate: Path) -> str:
    """What Chromium calls the SPKI of a certificate: SHA-256 of its public key, base64."""
    wanted = ["openssl", "x509", "-pubkey", "-noout", "-in", str(certificate)]
    pem = subprocess.run(wanted, capture_output=True, check=True, timeout=30).stdout
    key = base64.b64decode(b"".join(line for line in pem.splitlines() if not line.startswith(b"-")))
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


@contextlib.contextmanager
def chromium(trusted: Sequence[str]) -> Iterator[Browser]:
    """A browser that takes certificates with these pins, and no others that the system does not know."""
    pins = f"--ignore-certificate-errors-spki-list={','.join(trusted)}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *_MEDIA, pins])
        try:
            yield browser
        finally:
            browser.close()


class Desk:
    """One tab, and what the browser complains of. Calls are counted from where a story begins."""

    def __init__(self, browser: Browser, origin: str) -> None:
        self._context = browser.new_context(base_url=origin)
        self._first = 0  # call of the story
        self.connected: tuple[str, bool] | None = None  # whereto, and whether it begins traces
        self.complaints: list[str] = []
        self._sent: list[str] = []
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{error}\n{error.stack}"))
        self.page.on("websocket", self._socket)

    def connects(self, server: str, *, traced: bool = True) -> None:
        """Open the page, and connect to a proxy."""
        self.tries(server, traced=traced)
        self.is_connected()
        self.connected = server, traced
        self.begins()

    def tries(self, server: str, *, traced: bool = True) -> None:
        """Open the page, and press the button."""
        self.page.goto("/")
        self.page.get_by_label("Proxy").fill(server)
        self.page.get_by_label("Begin the trace here").set_checked(traced)
        self.page.get_by_role("button", name="Connect").click()

    def is_connected(self, yes: bool = True) -> None:
        """The page says so."""
        expect(self.page.locator("[name=state]")).to_have_text("connected" if yes else "not connected")

    def begins(self) -> None:
        """A story, of which no call has been made."""
        self._first = self.page.locator("#calls li").count()
        self._sent.clear()

    def is_busy(self) -> bool:
        """Whether a call goes on."""
        return self.page.locator("#calls [name=hangup]:visible").count() > 0

    def calls(self, target: str, interaction: str = "") -> str:
        """Dial, and wait for the answer; gives the trace-id. By then the call may be over."""
        at = self.page.locator("#calls li").count() - self._first
        self.dials(target, interaction)
        expect(self.call(at).locator(".state")).to_have_text(re.compile("^(talking|ended)"))
        return self.page.get_by_label("Trace id").inner_text()

    def dials(self, target: str, interaction: str = "") -> None:
        """Dial."""
        self.page.get_by_label("Number or URI").fill(target)
        self.page.get_by_label("Interaction").fill(interaction)
        self.page.get_by_role("button", name="Call", exact=True).click()

    def is_ringing(self, at: int = 0) -> None:
        """The other side of that call."""
        expect(self.call(at).locator(".state")).to_have_text("ringing")

    def is_talking(self, at: int = 0) -> None:
        """In that call."""
        expect(self.call(at).locator(".state")).to_have_text("talking")

    def is_over(self, at: int = 0) -> None:
        """That call."""
        expect(self.call(at).locator(".state")).to_have_text(re.compile("^(ended|failed)"))

    def transfers(self, target: str, at: int = 0) -> None:
        """Send whom we talk with to somebody else."""
        self.page.get_by_label("Number or URI").fill(target)
        self.call(at).locator("[name=transfer]").click()

    def joins(self, at: int = 0) -> None:
        """Send whom we talk with to whom we talk with in the other call."""
        self.call(at).locator("[name=join]").click()

    def hangs_up(self, at: int = 0) -> None:
        """That call."""
        self.call(at).locator("[name=hangup]").click()
        self.is_over(at)

    def call(self, at: int) -> Locator:
        """A row of the calls."""
        return self.page.locator("#calls li").nth(self._first + at)

    def sent(self, start: str) -> list[str]:
        """Messages that begin like that, as they left the browser in this story."""
        return [text for text in self._sent if text.startswith(start)]

    def close(self) -> None:
        """Close the tab."""
        self._context.close()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _socket(self, socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: self._sent.append(_text(frame)))


def _text(frame: str | bytes) -> str:
    return frame if isinstance(frame, str) else frame.decode()
