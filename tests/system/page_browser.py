"""Debian's Chromium as a person who looks at the page: what she sees, and what the browser complains of."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium")
PATIENCE_MS = 10_000
expect.set_options(timeout=PATIENCE_MS)
WIDE, NARROW = (1280, 800), (400, 800)

Size = tuple[int, int]
Scheme = Literal["light", "dark"]

# Text that is too pale for its ground, by WCAG 2: 4.5 to 1, or 3 to 1 where it is large.
_PALE = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((part, at) => part * a + under[at] * (1 - a));
  const luminance = (colour) => {
    const [r, g, b] = colour.map((part) => part / 255)
      .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      layers.push(rgba(getComputedStyle(each).backgroundColor));
    }
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const pale = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    const text = rgba(element.namespaceURI.endsWith('svg') ? style.fill : style.color);
    const under = ground(element.closest('svg')?.parentElement ?? element);
    const [one, other] = [luminance(over(text, under)), luminance(under)].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    const size = parseFloat(style.fontSize);
    if (ratio < (size >= 24 || (size >= 18.6 && style.fontWeight >= 700) ? 3 : 4.5)) {
      const what = `${element.tagName}.${element.getAttribute('class')}`;
      pale.push(`${ratio.toFixed(2)} ${what} "${element.textContent.trim().slice(0, 30)}"`);
    }
  }
  return [...new Set(pale)];
}"""

# What can be used and says nothing of what it is.
_NAMELESS = """() => [...document.querySelectorAll(
    'button, a[href], input, select, textarea, [role=tree], [role=listbox], [role=grid]')]
  .filter((element) => element.checkVisibility())
  .filter((element) => !(element.getAttribute('aria-label') || element.textContent.trim() || element.title
    || [...(element.labels ?? [])].some((label) => label.textContent.trim())))
  .map((element) => element.outerHTML.slice(0, 120))"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; started once for many pages."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Sheet:
    """A page in a window of its own, and everything that the browser had to complain of."""

    def __init__(
        self, browser: Browser, address: str, *, size: Size = WIDE, scheme: Scheme = "light", **more: Any
    ) -> None:
        self._context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, base_url=address, **more
        )
        self._context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.rstrip("/"))
        self._forgiven: list[str] = []
        self.complaints: list[str] = []
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{error}\n{error.stack}"))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def forgive(self, pattern: str) -> None:
        """The browser may complain of this: the story is about it."""
        self._forgiven.append(pattern)

    def keep(self, name: str) -> None:
        """A picture for people to look at."""
        folder = Path(os.environ.get("SIPPROXY_ARTEFACTS") or ROOT / ".artefacts")
        folder.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=folder / f"page-{name}.png")

    def pale(self) -> list[str]:
        """Texts with too little contrast."""
        found: list[str] = self.page.evaluate(_PALE)
        return found

    def nameless(self) -> list[str]:
        """Controls that a screen reader could not name."""
        found: list[str] = self.page.evaluate(_NAMELESS)
        return found

    def close(self) -> None:
        """Close the window; a complaint is a failure."""
        self._context.close()
        unforgiven = [
            text for text in self.complaints if not any(re.search(one, text) for one in self._forgiven)
        ]
        assert not unforgiven, "the browser complains:\n" + "\n".join(unforgiven)

    def abandon(self) -> None:
        """Close the window after a failure that says more."""
        self._context.close()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.complaints.append(f"{message.type}: {message.text}")


@contextlib.contextmanager
def sheet(browser: Browser, address: str, **more: Any) -> Iterator[Sheet]:
    """A page for the length of a story."""
    one = Sheet(browser, address, **more)
    try:
        yield one
    except BaseException:
        one.abandon()
        raise
    one.close()
