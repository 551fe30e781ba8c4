"""The page for whoever has no mouse, other eyes, or other intentions."""

# ruff: noqa: F811 - fixtures are imported

from __future__ import annotations

import gzip
import os
import re
import time
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.fakeapi import PAGE, FakeApi

from . import page_calls
from .page_browser import CHROMIUM, NARROW, WIDE, Scheme, Sheet, Size, sheet
from .page_data import Json, live_call
from .page_desk import STORIES, api, browser, desk, go, message, now_us, rows, span  # noqa: F401

if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("the page is looked at with Chromium (apt install chromium)", allow_module_level=True)


# What callers can write


@pytest.mark.parametrize(
    "view", ["live", "search", "call/hostile?message=1", "call/hostile?message=2", "propagation"]
)
def test_nothing_that_a_caller_writes_becomes_more_than_text(desk: Sheet, api: FakeApi, view: str) -> None:
    """The policy forbids markup from text altogether here: a try would be a complaint."""
    evil = page_calls.HOSTILE
    api.live = [
        live_call(
            1, now_us(), **{"from": evil, "to": evil, "trunks": [evil], "interaction_id": evil, "state": evil}
        )
    ]
    api.trunks = {evil: {"arrived": {evil: {evil: 3}}, "rejected": {evil: 1}, "returned": {evil: 2}}}
    page = desk.page
    go(page, view)
    expect(page.get_by_text("<img src=x onerror=alert(1)>").first).to_be_visible()
    assert page.locator("img:not(.brand img), script:not([src]), iframe, object").count() == 0
    assert page.locator('[href^="javascript:"], [href^="data:"], [onerror]').count() == 0
    if view.startswith("call"):
        expect(page.locator(".away a")).to_have_count(1)  # of three only the one that is a web address
        span(page, "<img").click()
        expect(page.get_by_role("article", name="Chosen span")).to_contain_text("<script>alert(2)</script>")
        assert "\u202e" not in page.locator("body").inner_text()  # it would turn the order of letters round
    desk.keep(f"hostile-{view.split('?')[0].replace('/', '-')}")


# Without a mouse, for every eye


def test_everything_can_be_done_from_the_keyboard(desk: Sheet, api: FakeApi) -> None:
    page = desk.page
    go(page, "live")
    press = page.keyboard.press
    press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    press("Escape")
    press("2")
    expect(rows(page)).to_have_count(len(api.rows))
    press("/")
    expect(page.get_by_label("Id", exact=True)).to_be_focused()
    page.keyboard.type(STORIES["blind"]["traces"][0])
    press("Enter")
    api.wait_asked("/api/traces", 2)
    press("Escape")
    expect(page.get_by_role("heading", name="Search")).to_have_count(0)
    expect(page.locator(".row").first).to_be_visible()
    press("j")
    press("ArrowDown")
    press("k")
    expect(page.locator(".row[aria-selected=true]")).to_have_count(1)
    expect(page.locator(".list")).to_be_focused()
    press("Enter")
    expect(page.locator(".span").first).to_be_visible()
    for _ in range(3):
        press("j")
    chosen = page.locator(".span[aria-selected=true]")
    expect(chosen).to_contain_text("INVITE")
    press("Enter")
    expect(page.get_by_role("listbox", name="SIP messages")).to_be_focused()
    expect(message(page, 3)).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("listbox", name="SIP messages")).to_have_attribute(
        "aria-activedescendant", "message-3"
    )
    assert message(page, 3).evaluate("row => getComputedStyle(row).outlineStyle") == "solid"
    press("ArrowDown")
    expect(message(page, 4)).to_have_attribute("aria-selected", "true")
    press("Enter")
    expect(page.get_by_label("Text of the message")).to_be_focused()
    press("h")
    expect(page.get_by_role("tree", name="Spans")).to_be_focused()
    press("Escape")
    expect(page.locator("[aria-selected=true]")).to_have_count(0)
    press("Escape")
    expect(rows(page).first).to_be_visible()
    expect(page.locator(".row[aria-selected=true]")).to_have_count(1)  # where one was


def test_focus_can_be_seen_wherever_it_is(desk: Sheet) -> None:
    page = desk.page
    go(page, "call/blind")
    span(page, "transfer").wait_for()
    unseen = []
    for _ in range(24):
        page.keyboard.press("Tab")
        style: Json = page.evaluate("""() => {
            const one = document.activeElement;
            return { tag: `${one.tagName}.${one.className}`, outline: getComputedStyle(one).outlineStyle };
        }""")
        if style["outline"] == "none" and not re.search(r"BODY|splitter", style["tag"]):
            unseen.append(style)
    assert not unseen


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_can_be_read(browser: Browser, api: FakeApi, scheme: Scheme, size: Size) -> None:
    """Contrast, names of controls, and nothing that sticks out sideways."""
    api.live = [live_call(number, now_us() - number * 9_000_000) for number in range(300)]
    api.stories["talking"] = page_calls.still_talking(now_us() - 5_000_000)
    with sheet(browser, api.address, scheme=scheme, size=size) as one:
        page = one.page
        faults: dict[str, Any] = {}
        for view, sign in {
            "live": ".rows .row",
            "search": ".rows .row",
            "call/blind?span=" + STORIES["blind"]["spans"][5]["span_id"]: ".message.lit",
            "call/attended?message=20": ".message[aria-selected=true]",
            "call/failed?message=5": ".message[aria-selected=true]",
            "call/talking": ".bar.open",
            "propagation": ".matrix td",
        }.items():
            go(page, view)
            page.locator(sign).first.wait_for()
            name = view.split("?")[0].replace("/", "-")
            one.keep(f"{name}-{scheme}-{'wide' if size == WIDE else 'narrow'}")
            found = one.pale() + one.nameless()
            sideways = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if found or sideways > 0:
                faults[name] = [*found, f"{sideways} px too wide"]
        page.keyboard.press("?")
        faults |= {"help": one.pale()} if one.pale() else {}
        assert not faults


def test_nothing_moves_for_who_does_not_want_it(browser: Browser, api: FakeApi) -> None:
    with sheet(browser, api.address, reduced_motion="reduce") as one:
        one.forgive("net::ERR_|Failed to load resource")
        go(one.page, "live")
        expect(one.page.locator("#connection")).to_have_text("live")
        all_here(one.page)
        api.stop()
        expect(one.page.locator("#connection")).to_have_text("reconnecting")
        assert one.page.evaluate("document.getAnimations().length") == 0
        api.start()


def all_here(page: Page) -> None:
    """Views that nobody has asked for come a moment later; without one of them the page loads anew."""
    loaded = "performance.getEntriesByType('resource').map((each) => each.name).join()"
    deadline = time.monotonic() + 10
    while not all(
        f"/{name}.js" in page.evaluate(loaded)
        for name in ("search", "call", "propagation", "waterfall", "ladder", "details")
    ):
        assert time.monotonic() < deadline


def test_the_matrix_says_what_came_and_what_came_back(desk: Sheet) -> None:
    page = desk.page
    go(page, "propagation")
    table = page.locator(".matrix table")
    row = table.get_by_role("row").filter(has=page.get_by_role("rowheader", name="sbc-customers"))
    expect(row).to_contain_text("99.3 % good")
    expect(row).to_contain_text("18,231adopted")
    expect(row).to_contain_text("12 bad_format")
    expect(row.get_by_title("sbc-customers: 432 transferred calls came back with marker")).to_have_text("432")
    for word in (
        "traceparent",
        "the parameter that we put into Refer-To's URI",
        "recovered",
        "two values, or two names",
    ):
        expect(page.locator(".legend")).to_contain_text(word)


def test_what_is_sent_is_small() -> None:
    files = [path.read_bytes() for path in PAGE.iterdir()]
    packed = sum(len(gzip.compress(content)) for content in files)
    print(f"{len(files)} files, {sum(map(len, files)):,} bytes, {packed:,} compressed")
    assert packed < 60_000
