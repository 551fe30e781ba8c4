"""What the page's stories share: a browser, an API to command, a window, and where things are in it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.fakeapi import FakeApi

from . import page_calls, page_transfers
from .page_browser import Sheet, chromium, sheet

STORIES = {
    "basic": page_calls.basic(),
    "failed": page_calls.failed(),
    "blind": page_transfers.blind_relay(),
    "attended": page_transfers.attended_local(),
    "hostile": page_calls.hostile(),
    "many": page_calls.many_messages(),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Started once for a module."""
    with chromium() as one:
        yield one


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """It knows the stories, by their names and by the ids of their calls."""
    with FakeApi() as one:
        one.stories = dict(STORIES)
        one.trunks = page_calls.trunks()
        for story in STORIES.values():
            one.stories |= {call["id"]: story for call in story["calls"]}
            one.rows += story["calls"]
        yield one


@pytest.fixture
def desk(browser: Browser, api: FakeApi) -> Iterator[Sheet]:
    """A wide, light window."""
    with sheet(browser, api.address) as one:
        yield one


def go(page: Page, where: str) -> None:
    """Open a view, as from a bookmark."""
    page.goto("about:blank")
    page.goto(f"/#/{where}")
    expect(page.locator("#connection")).to_have_text("live")


def rows(page: Page) -> Locator:
    """Of a list, those that are in the document."""
    return page.locator(".list .rows .row:not([hidden])")


def span(page: Page, name: str, at: int = 0) -> Locator:
    """A row of the waterfall."""
    return page.locator(".span", has_text=name).nth(at)


def message(page: Page, number: int) -> Locator:
    """A row of the ladder."""
    return page.locator(f'.message[data-message="{number}"]')


def now_us() -> int:
    """Microseconds since 1970."""
    return int(time.time() * 1e6)
