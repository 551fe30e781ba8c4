"""The operators' page in Chromium, before an API that a test commands: live calls, and search."""

# ruff: noqa: F811 - fixtures are imported

from __future__ import annotations

import math
import os
import re

import pytest
from playwright.sync_api import expect

from tests.support.fakeapi import Failing, FakeApi

from . import page_calls
from .page_browser import CHROMIUM, Sheet
from .page_data import START_US, live_call, row_of
from .page_desk import api, browser, desk, go, now_us, rows  # noqa: F401

if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("the page is looked at with Chromium (apt install chromium)", allow_module_level=True)

FIRST_VIEW_MS = 300
LIVE = 10_000


# Live calls


@pytest.mark.alone
def test_ten_thousand_live_calls_are_there_at_once(desk: Sheet, api: FakeApi) -> None:
    """And of them only those that can be seen are in the document."""
    api.live = [live_call(number, now_us() - number * 37_000) for number in range(LIVE)]
    api.rows = [page_calls.as_row(call) for call in api.live[:200]]
    page = desk.page
    took: list[float] = []
    while len(took) < 8 and min(took, default=math.inf) >= FIRST_VIEW_MS:  # beside whatever else runs here
        go(page, "live")
        expect(rows(page).first).to_contain_text("***00")
        took.append(page.evaluate("performance.getEntriesByName('sipproxy:first-calls')[0].startTime"))
    print(f"first view of {LIVE} live calls: {', '.join(f'{ms:.0f}' for ms in took)} ms")
    assert min(took) < FIRST_VIEW_MS
    expect(page.locator(".total")).to_have_text("10,000")
    assert page.locator(".list .rows .row").count() < 60
    assert page.locator("*").count() < 1200
    page.locator(".list").evaluate("list => { list.scrollTop = list.scrollHeight / 2; }")
    expect(rows(page).filter(has_text=f"visit-{5000 - 1:05x}")).to_have_count(1)
    page.keyboard.press("End")
    expect(page.locator(".row[aria-selected=true]")).to_have_attribute("href", f"#/call/{LIVE - 1:016x}")
    assert page.locator(".list .rows .row").count() < 60
    desk.keep("live-10000")


def test_a_flood_of_changes_is_drawn_without_a_stutter(desk: Sheet, api: FakeApi) -> None:
    """Four times a second 500 calls come, change and go among 10,000."""
    api.live = [live_call(number, now_us() - number * 37_000) for number in range(LIVE)]
    page = desk.page
    go(page, "live")
    expect(page.locator(".total")).to_have_text("10,000")
    page.evaluate("""() => { window.tasks = [];
        new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration)))
          .observe({ type: 'longtask' }); }""")
    for turn in range(8):
        fresh = [live_call(LIVE + turn * 500 + number, now_us()) for number in range(500)]
        gone = [
            row_of(call["id"], call["trace_id"], call["began_us"])
            for call in api.live[turn * 500 : turn * 500 + 500]
        ]
        api.tell("calls", {"added": fresh, "changed": api.live[9000:9500], "ended": gone})
        expect(rows(page).first).to_have_attribute("href", f"#/call/{LIVE + turn * 500 + 499:016x}")
    tasks = page.evaluate("window.tasks")
    print(f"long tasks in 8 batches of 1,500 changes: {[round(ms) for ms in tasks]} ms")
    assert max(tasks, default=0) < 150


def test_a_call_comes_rings_talks_and_ends_before_the_eyes(desk: Sheet, api: FakeApi) -> None:
    page = desk.page
    go(page, "live")
    expect(page.get_by_text("No call is going on")).to_be_visible()
    call = live_call(1, now_us(), state="calling", answered_us=None)
    api.tell("calls", {"added": [call], "changed": [], "ended": []})
    expect(rows(page)).to_contain_text(["Calling"])
    expect(page.get_by_text("No call is going on")).to_be_hidden()
    for state in ("ringing", "talking", "transferring"):
        api.tell("calls", {"added": [], "changed": [call | {"state": state}], "ended": []})
        expect(rows(page)).to_contain_text([state.capitalize()])
        expect(page.locator(f'.figure[data-state="{state}"] b')).to_have_text("1")
    ended = row_of(call["id"], call["trace_id"], call["began_us"], outcome="answered", ended_us=now_us())
    api.tell("calls", {"added": [], "changed": [], "ended": [ended]})
    expect(rows(page)).to_contain_text(["Ended, answered"])
    expect(page.locator(".total")).to_have_text("0")
    expect(rows(page)).to_have_count(0)  # it lingers for a few seconds


def test_the_list_can_be_held_still_and_filtered(desk: Sheet, api: FakeApi) -> None:
    api.live = [live_call(number, now_us() - number * 1000) for number in range(20)]
    page = desk.page
    go(page, "live")
    expect(rows(page)).to_have_count(20)
    page.keyboard.press(" ")
    api.tell("calls", {"added": [live_call(99, now_us())], "changed": [], "ended": []})
    expect(page.get_by_role("button", name="Go on (1 change)")).to_be_visible()
    expect(rows(page)).to_have_count(20)
    page.keyboard.press(" ")
    expect(rows(page)).to_have_count(21)
    page.keyboard.press("/")
    page.keyboard.type("visit-00005")
    expect(rows(page)).to_have_count(1)
    page.keyboard.press("Control+A")
    page.keyboard.type("nobody")
    expect(page.get_by_text("None of 21 live calls matches")).to_be_visible()


def test_the_observer_restarts_and_the_page_finds_it_again(desk: Sheet, api: FakeApi) -> None:
    desk.forgive("net::ERR_|Failed to load resource")
    api.live = [live_call(1, now_us())]
    page = desk.page
    go(page, "live")
    expect(rows(page)).to_have_count(1)
    api.stop()
    expect(page.locator("#connection")).to_have_text("reconnecting")
    expect(rows(page)).to_have_count(1)  # what was known last stays
    desk.keep("reconnecting")
    api.live = [live_call(2, now_us()), live_call(3, now_us())]
    api.start()
    expect(page.locator("#connection")).to_have_text("live")
    expect(rows(page)).to_have_count(2)


def test_the_token_is_asked_for_and_kept_for_the_tab_alone(desk: Sheet, api: FakeApi) -> None:
    desk.forgive("401")
    api.token = "s3cret"
    api.live = [live_call(1, now_us())]
    page = desk.page
    page.goto("/")
    dialog = page.get_by_role("dialog", name="Token")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text("That is not the token.")
    page.keyboard.type("s3cret")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(1)
    expect(dialog).to_be_hidden()
    refused = api.unauthorised
    page.reload()
    expect(rows(page)).to_have_count(1)
    assert api.unauthorised == refused
    assert "s3cret" not in page.evaluate("JSON.stringify([localStorage, document.cookie, location.href])")


def test_a_drain_and_a_degraded_observer_are_told(desk: Sheet, api: FakeApi) -> None:
    page = desk.page
    go(page, "live")
    api.tell("state", {"draining": False, "calls": 0, "status": "degraded", "reasons": ["collector: away"]})
    expect(page.locator("#connection")).to_have_text("live, degraded")
    expect(page.locator("#connection")).to_have_attribute("title", re.compile("collector: away"))
    api.tell("state", {"draining": True, "calls": 0, "status": "draining", "reasons": []})
    expect(page.locator("#connection")).to_have_text("live, draining")


# Search


def test_search_asks_for_what_is_filled_in_and_the_address_keeps_it(desk: Sheet, api: FakeApi) -> None:
    page = desk.page
    go(page, "live")
    page.get_by_role("link", name="Search").click()
    expect(rows(page)).to_have_count(len(api.rows))
    page.get_by_label("Trunk").fill("agent")
    page.get_by_label("Outcome").select_option("answered")
    page.get_by_label("Setup slower than").fill("2000")
    page.get_by_label("Transferred").select_option("yes")
    page.get_by_label("When").select_option("last 24 hours")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".summary")).to_have_text("1 call")
    wanted = {
        "trunk": "agent",
        "outcome": "answered",
        "slower_than_ms": "2000",
        "transferred": "true",
        "since": "24h",
    }
    assert api.wait_asked("/api/traces") == wanted | {"limit": "100"}
    rows(page).first.click()
    expect(page.get_by_role("heading", name="***11 → ***22")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Trunk")).to_have_value("agent")
    expect(rows(page)).to_have_count(1)
    page.reload()
    expect(page.get_by_label("Setup slower than")).to_have_value("2000")
    expect(rows(page)).to_have_count(1)
    page.get_by_role("button", name="Clear").click()
    expect(rows(page)).to_have_count(len(api.rows))
    desk.keep("search")


def test_a_time_between_two_is_asked_for_as_instants(desk: Sheet, api: FakeApi) -> None:
    page = desk.page
    go(page, "search")
    page.get_by_label("When").select_option("between …")
    page.get_by_label("from").fill("2026-01-31T09:30:00")
    page.get_by_label("until").fill("2026-01-31T10:30:00")
    page.get_by_role("button", name="Search").click()
    asked = api.wait_asked("/api/traces", 2)
    assert re.fullmatch(r"2026-01-3\dT\d\d:30:00\.000Z", asked["since"])
    assert re.fullmatch(r"2026-01-3\dT\d\d:30:00\.000Z", asked["until"])


def test_a_link_with_instants_fills_the_fields_and_the_next_search_keeps_them(
    desk: Sheet, api: FakeApi
) -> None:
    page = desk.page
    go(page, "search?since=2026-01-31T09:30:00.000Z&until=2026-01-31T10:30:00.000Z")
    asked = api.wait_asked("/api/traces")
    page.get_by_role("button", name="Search").click()
    again = api.wait_asked("/api/traces", 2)
    assert {name: again[name] for name in ("since", "until")} == {
        "since": "2026-01-31T09:30:00.000Z",
        "until": "2026-01-31T10:30:00.000Z",
    }
    assert again == asked


def test_further_pages_come_as_one_scrolls(desk: Sheet, api: FakeApi) -> None:
    api.rows = [row_of(f"{number:016x}", f"{number:032x}", START_US - number) for number in range(250)]
    page = desk.page
    go(page, "search")
    expect(page.locator(".summary")).to_have_text("100 calls, more below")
    for _ in range(2):
        page.keyboard.press("End")
        page.locator(".list").evaluate("list => { list.scrollTop = list.scrollHeight; }")
    expect(page.locator(".summary")).to_have_text(re.compile("200 calls|250 calls"))
    page.keyboard.press("End")
    expect(page.locator(".summary")).to_have_text("250 calls")
    page.keyboard.press("End")
    expect(page.locator(".row[aria-selected=true]")).to_have_attribute("href", f"#/call/{249:016x}")
    assert [query.get("before") for path, query in api.asked if path == "/api/traces"] == [None, "100", "200"]


def test_what_search_cannot_do_is_said(desk: Sheet, api: FakeApi) -> None:
    desk.forgive("400|404|503")
    page = desk.page
    go(page, "search?id=nothing-of-that-name")
    expect(page.locator(".summary")).to_contain_text("No call matches")
    api.failures["/api/traces"] = Failing(
        400, error="not a whole number from 0 to 1000000000", parameter="slower_than_ms"
    )
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".summary")).to_have_text(
        "The search failed: not a whole number from 0 to 1000000000"
    )
    expect(page.get_by_label("Setup slower than")).to_be_focused()
    go(page, "call/0000-no-such-call")
    expect(page.locator(".empty:visible")).to_contain_text("No call is known by “0000-no-such-call”")
    api.failures["/api/traces/basic"] = Failing(503, error="the store is being made anew")
    go(page, "call/basic")
    expect(page.locator(".empty:visible")).to_have_text(
        "The call cannot be read: the store is being made anew."
    )
