"""One call on the page: waterfall and ladder, and how they belong together."""

# ruff: noqa: F811 - fixtures are imported

from __future__ import annotations

import os
import re

import pytest
from playwright.sync_api import expect

from tests.support.fakeapi import FakeApi

from . import page_calls
from .page_browser import CHROMIUM, Sheet
from .page_data import live_call
from .page_desk import STORIES, api, browser, desk, go, message, now_us, span  # noqa: F401

if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("the page is looked at with Chromium (apt install chromium)", allow_module_level=True)


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
    expect(page.locator(".bars .cursor:not([hidden])")).to_have_count(1)
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


def test_a_call_whose_messages_are_not_kept_can_be_read_all_the_same(desk: Sheet, api: FakeApi) -> None:
    api.stories["bare"] = {**STORIES["blind"], "messages": []}
    page = desk.page
    go(page, "call/bare")
    expect(page.get_by_text("No message of this call is kept.")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("l")
    page.keyboard.press("j")
    expect(page.locator(".span[aria-selected=true]")).to_have_count(1)


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


@pytest.mark.alone
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
