"""The operators' page in Chromium, before an API that a test commands."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.fakeapi import Failing, FakeApi

from . import page_calls
from .page_browser import CHROMIUM, NARROW, WIDE, Scheme, Sheet, Size, chromium, sheet
from .page_data import START_US, Json, live_call, row_of

if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("the page is looked at with Chromium (apt install chromium)", allow_module_level=True)

STORIES = {
    "basic": page_calls.basic(),
    "failed": page_calls.failed(),
    "blind": page_calls.blind_relay(),
    "attended": page_calls.attended_local(),
    "hostile": page_calls.hostile(),
    "many": page_calls.many_messages(),
}
FIRST_VIEW_MS = 300
LIVE = 10_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as one:
        one.stories = dict(STORIES)
        one.trunks = page_calls.trunks()
        for story in STORIES.values():
            one.stories[story["id"]] = story
            one.rows += story["calls"]
        yield one


@pytest.fixture
def desk(browser: Browser, api: FakeApi) -> Iterator[Sheet]:
    """A wide, light window."""
    with sheet(browser, api.address) as one:
        yield one


def go(page: Page, where: str) -> None:
    """Open a view, as from a bookmark."""
    page.goto(f"/#/{where}")
    page.reload()
    expect(page.locator("#connection")).to_have_text("live")


def rows(page: Page) -> Locator:
    return page.locator(".list .rows .row:not([hidden])")


def span(page: Page, name: str, at: int = 0) -> Locator:
    return page.locator(".span", has_text=name).nth(at)


def message(page: Page, number: int) -> Locator:
    return page.locator(f'.message[data-message="{number}"]')


def now_us() -> int:
    return int(time.time() * 1e6)


# Live calls


def test_ten_thousand_live_calls_are_there_at_once(desk: Sheet, api: FakeApi) -> None:
    """And of them only those that can be seen are in the document."""
    api.live = [live_call(number, now_us() - number * 37_000) for number in range(LIVE)]
    page = desk.page
    took = []
    for _ in range(3):
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
        expect(rows(page).first).to_have_attribute("href", f"#/call/{LIVE + turn * 500:016x}")
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
    expect(page.get_by_text("No call matches")).to_be_visible()
    api.failures["/api/traces"] = Failing(
        400, error="not a whole number from 0 to 1000000000", parameter="slower_than_ms"
    )
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("The search failed: not a whole number from 0 to 1000000000")).to_be_visible()
    expect(page.get_by_label("Setup slower than")).to_be_focused()
    go(page, "call/0000-no-such-call")
    expect(page.get_by_text("No call is known by “0000-no-such-call”")).to_be_visible()
    api.failures["/api/traces/basic"] = Failing(503, error="the store is being made anew")
    go(page, "call/basic")
    expect(page.get_by_text("The call cannot be read: the store is being made anew")).to_be_visible()


# One call


def test_a_span_lights_up_its_messages_and_a_message_its_span(desk: Sheet) -> None:
    page = desk.page
    go(page, "call/blind")
    transfer = span(page, "transfer")
    transfer.click()
    expect(transfer).to_have_attribute("aria-selected", "true")
    expect(page.locator(".message.lit")).to_have_count(12)
    expect(page.locator(".rail.chosen")).to_have_count(1)
    expect(message(page, 11)).to_be_in_viewport()  # the REFER, which was not
    panel = page.get_by_role("article", name="Chosen span")
    expect(panel).to_contain_text("Blind transfer, REFER relayed: completed")
    expect(panel).to_contain_text("sip.transfer.mode")
    desk.keep("blind-span")
    bye = page.locator(".message", has=page.locator(".at")).last
    bye.click()
    expect(bye).to_have_attribute("aria-selected", "true")
    expect(page.locator(".span.lit, .span[aria-selected=true]")).to_have_count(1)
    chosen = page.locator(".span[aria-selected=true]")
    expect(chosen).to_contain_text("dialog")
    expect(chosen).to_be_in_viewport()
    expect(page.get_by_role("article", name="Chosen message")).to_contain_text("SIP/2.0 200 OK")
    expect(page.locator(".bars .cursor")).to_be_visible()
    link = page.url
    page.goto("/#/live")
    page.goto(link)
    expect(page.locator(".message[aria-selected=true]")).to_have_count(1)


def test_the_trace_in_a_message_is_marked(desk: Sheet) -> None:
    page = desk.page
    go(page, "call/blind?message=12")
    text = page.get_by_label("Text of the message")
    expect(text.locator(".header.context")).to_have_text(["Refer-To:"])
    expect(text.locator("mark")).to_contain_text(["sipproxy-ref="])
    page.get_by_role("article", name="Chosen span").get_by_role("button", name="202 Accepted").first.click()
    expect(text).to_contain_text("202 Accepted")


def test_a_transfer_is_a_join_to_the_call_that_it_caused(desk: Sheet) -> None:
    page = desk.page
    go(page, "call/blind")
    expect(page.locator(".lane .badge")).to_have_text(["1", "2"])
    expect(page.locator(".join.caused")).to_have_count(1)
    join = page.locator(".join.caused .line").bounding_box()
    transfer, root = span(page, "transfer").bounding_box(), span(page, "INVITE", 2).bounding_box()
    assert join is not None
    assert transfer is not None
    assert root is not None
    assert transfer["y"] < join["y"] < transfer["y"] + transfer["height"]
    assert abs(join["y"] + join["height"] - root["y"]) < root["height"]
    expect(page.get_by_text("Call 2: ***11 → ***33, by the transfer in call 1")).to_be_attached()
    page.get_by_role("button", name="by the transfer in call 1").click()
    expect(span(page, "transfer")).to_have_attribute("aria-selected", "true")


def test_two_traces_that_meet_are_linked_and_others_can_be_gone_to(desk: Sheet, api: FakeApi) -> None:
    page = desk.page
    go(page, "call/attended")
    expect(page.locator(".ids a.id").filter(has_text="…")).to_have_text(["0af76519…319c", "9a1b0c2d…d8e9"])
    expect(page.locator(".join.linked")).to_have_count(2)
    span(page, "dialog", 2).click()
    desk.keep("attended")
    panel = page.get_by_role("article", name="Chosen span")
    panel.get_by_role("button", name="dialog, call 2").click()
    expect(page.locator(".span[aria-selected=true]")).to_contain_text("callee expert")
    page.go_back()
    api.stories["77777777777777777777777777777777"] = STORIES["basic"]
    go(page, "call/attended")
    span(page, "dialog", 2).click()
    panel.get_by_role("link", name="trace 77777777").click()
    expect(page.locator(".span")).to_have_count(5)
    page.go_back()
    expect(page.locator(".span")).to_have_count(14)


def test_a_failure_shows_without_its_colour(desk: Sheet) -> None:
    page = desk.page
    go(page, "call/failed")
    bad = page.locator(".span.failed")
    expect(bad).to_have_count(1)
    expect(bad).to_contain_text("✕ 503")
    expect(page.locator(".bar.failed .body")).to_have_css("fill", re.compile("hatch"))
    expect(page.locator(".arrow.failure")).to_contain_text(["✕ 503", "✕ 486", "✕ 486"])
    expect(page.locator(".arrow.repeated")).to_have_text(["again INVITE"])
    expect(page.locator(".chip.failed")).to_have_text("busy 486")
    page.keyboard.press("e")
    expect(bad).to_have_attribute("aria-selected", "true")
    desk.keep("failed")


def test_ids_can_be_copied_and_other_tools_gone_to(desk: Sheet) -> None:
    page = desk.page
    go(page, "call/blind")
    page.get_by_role("button", name="Copy trace-id").first.click()
    expect(page.locator(".copied").first).to_have_text("copied")
    assert page.evaluate("navigator.clipboard.readText()") == STORIES["blind"]["traces"][0]
    jaeger = page.get_by_role("link", name="Jaeger")
    expect(jaeger).to_have_attribute("href", f"http://jaeger.example/trace/{STORIES['blind']['traces'][0]}")
    expect(jaeger).to_have_attribute("rel", "noopener noreferrer")
    expect(page.get_by_role("button", name="Raw")).to_have_count(0)
    page.get_by_role("link", name="visit-7f3a-2").click()
    expect(page.get_by_label("Id", exact=True)).to_have_value("visit-7f3a-2")


def test_raw_is_shown_where_it_may_be(desk: Sheet, api: FakeApi) -> None:
    api.stories["basic"] = {**STORIES["basic"], "raw": True}
    api.raw[1] = "INVITE sip:+4915550002222@192.0.2.10 SIP/2.0\r\nFrom: <b>x</b>\r\n\r\nv=0"
    page = desk.page
    go(page, "call/basic?message=1")
    button = page.get_by_role("button", name="Raw")
    expect(button).to_have_attribute("title", re.compile("noted in the log"))
    button.click()
    expect(page.get_by_label("Text of the message")).to_contain_text("From: <b>x</b>")
    expect(page.get_by_role("button", name="this view was noted in the log")).to_be_disabled()


def test_a_call_that_lives_is_followed_to_its_end(desk: Sheet, api: FakeApi) -> None:
    began = now_us() - 5_000_000
    story = page_calls.still_talking(began)
    api.stories["talking"] = story
    ident = story["calls"][0]["id"]
    api.live = [live_call(1, began, id=ident)]
    page = desk.page
    go(page, "call/talking")
    expect(page.locator(".bar.open")).to_have_count(2)
    expect(page.locator(".chip.lively")).to_have_text("live")
    expect(span(page, "dialog")).to_contain_text("open")
    lasting = span(page, "dialog").locator(".spanfacts span").last
    before = lasting.inner_text()
    expect(lasting).not_to_have_text(before)  # time goes on
    desk.keep("open-call")
    over = page_calls.basic()
    api.stories["talking"] = over | {"calls": [over["calls"][0] | {"id": ident}]}
    ended = over["calls"][0] | {"id": ident, "ended_us": now_us()}
    api.tell("calls", {"added": [], "changed": [], "ended": [ended]})
    expect(page.locator(".bar.open")).to_have_count(0)
    expect(page.locator(".chip.lively")).to_have_count(0)
    expect(page.locator(".message")).to_have_count(14)


def test_time_can_be_drawn_to_scale_and_in_utc(desk: Sheet) -> None:
    page = desk.page
    go(page, "call/basic")

    def width(at: int) -> float:
        box = page.locator(".bar .body").nth(at).bounding_box()
        assert box is not None
        return float(box["width"])

    assert width(0) > 0.2 * width(3)  # the setup of 3 s beside the dialog of 42 s
    page.keyboard.press("t")
    expect(page.get_by_role("button", name="To scale")).to_have_attribute("aria-pressed", "true")
    assert width(0) < 0.09 * width(3)
    local = page.locator(".callhead").inner_text()
    page.get_by_role("button", name="Local time").click()
    expect(page.get_by_role("button", name="UTC")).to_be_visible()
    expect(page.locator(".callhead")).to_contain_text(re.compile(r"began .*\d\d:\d\d:\d\d\.\d\d\d"))
    assert re.search(r"began .*:\d\d:\d\d\.\d\d\d", local)


def test_five_hundred_messages_without_a_stutter(desk: Sheet) -> None:
    page = desk.page
    go(page, "call/many")
    expect(page.locator(".message")).to_have_count(500)
    drawn = page.evaluate("performance.getEntriesByName('sipproxy:call').at(-1).duration")
    page.evaluate("""() => { window.tasks = [];
        new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration)))
          .observe({ type: 'longtask' }); }""")
    page.locator(".messages").focus()
    for _ in range(40):
        page.keyboard.press("j")
    page.keyboard.press("End")
    expect(message(page, 500)).to_have_attribute("aria-selected", "true")
    expect(message(page, 500)).to_be_in_viewport()
    page.keyboard.press("Home")
    expect(message(page, 1)).to_be_in_viewport()
    tasks = page.evaluate("window.tasks")
    print(
        f"500 messages: drawn in {drawn:.0f} ms; tasks above 50 ms in 42 steps: {[round(ms) for ms in tasks]}"
    )
    assert drawn < 250
    assert max(tasks, default=0) < 100


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
        style: Json = page.evaluate("""() => { const one = document.activeElement, style = getComputedStyle(one);
            return { tag: one.tagName + '.' + one.className, outline: style.outlineStyle, ground: style.backgroundColor,
                     border: style.borderTopColor }; }""")
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
        api.stop()
        expect(one.page.locator("#connection")).to_have_text("reconnecting")
        assert one.page.evaluate("document.getAnimations().length") == 0
        api.start()


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
    import gzip

    from tests.support.fakeapi import PAGE

    files = [path.read_bytes() for path in PAGE.iterdir()]
    packed = sum(len(gzip.compress(content)) for content in files)
    print(f"{len(files)} files, {sum(map(len, files)):,} bytes, {packed:,} compressed")
    assert packed < 60_000
