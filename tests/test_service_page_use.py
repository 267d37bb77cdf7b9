"""The page of the service in use: by keyboard, narrow and wide, dark and light, and when something is wrong."""

from __future__ import annotations

import json

import pytest

from claimstance.service.limits import MOST_CLAIMS, Limits
from tests.browser import Tab
from tests.stub_service import ARTICLE, CLAIMS, ENGLISH, Stub

# Pairs of colours with too little contrast between a text and what it stands on (WCAG 2.2, 1.4.3), among all shown.
PALE = """(() => {
  const parse = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = colour => parse(colour).slice(0, 3).map(value => value / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = element => { const colour = getComputedStyle(element).backgroundColor;
    return (parse(colour)[3] ?? 1) === 1 ? colour : element.parentElement ? ground(element.parentElement) : "rgb(0, 0, 0)"; };
  const own = element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  const seen = [...document.querySelectorAll("body *")].filter(e => (own(e) || e.value) && e.checkVisibility() && !e.disabled);
  return {seen: seen.length, pale: seen.map(element => { const ink = getComputedStyle(element).color, under = ground(element);
    const [low, high] = [luminance(ink), luminance(under)].sort((a, b) => a - b);
    return [(high + 0.05) / (low + 0.05), element.className || element.tagName, ink, under]; }).filter(([r]) => r < 4.5)};
})()"""


def test_the_whole_way_can_be_gone_by_keyboard(tab: Tab, service: str) -> None:
    tab.open(f"{service}/?lang=en")
    where = "(e => e.id || e.getAttribute('aria-label') || e.textContent)(document.activeElement)"
    ring = "(e => getComputedStyle(e).outlineStyle !== 'none' && parseFloat(getComputedStyle(e).outlineWidth) >= 2)"

    def tabs(count: int) -> list[str]:
        stops = []
        for _ in range(count):
            tab.press("Tab")
            assert tab.run(f"{ring}(document.activeElement)"), tab.run(where)
            stops.append(tab.run(where))
        return stops

    assert tabs(6) == ["العربية", "English", "text", "Claim 1", "add", "Find the stances"]
    assert tabs(1) == ["example"]
    tab.press(" ")
    assert tab.run("document.querySelector('#text').value").startswith("The water workers' union")
    tab.run("document.querySelector('#text').focus()")
    tab.press("Enter", control=True)
    tab.until("document.querySelector('#status').textContent.startsWith('Done')")
    assert tab.run(where) == "text" and "\n\n\n" not in tab.run("document.querySelector('#text').value")
    assert tabs(8)[4:] == ["only", "csv", "json", "table"]
    assert tabs(6) == [f"Statement {row}: to its place in the article" for row in range(1, 7)]
    (said,) = tab.rows()[0]["chips"]
    assert tabs(1) == [f"Statement 1, {said[1]}: to its row in the table"]


@pytest.mark.parametrize("language", ["ar", "en"])
@pytest.mark.parametrize("width", [360, 768, 1400])
def test_nothing_sticks_out_of_a_narrow_or_wide_window(tab: Tab, service: str, language: str, width: int) -> None:
    tab.resize(width, 800)
    tab.open(f"{service}/?lang={language}")
    long = "https://example.org/" + "وصل" * 200
    for text, claims in (
        (ARTICLE, CLAIMS[:1]),
        (ENGLISH + f" The minister said that {long} is true.", [*CLAIMS, long]),
    ):
        tab.ask(text, claims)
        page = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        assert tab.run(page) == [width, width]
        beyond = """[...document.querySelectorAll("main *")].filter(e => !e.closest(innerWidth > 700 ? ".scroll" : "thead"))
            .map(e => [e, e.getBoundingClientRect()])
            .filter(([e, at]) => at.width && (at.left < -1 || at.right > innerWidth + 1))
            .map(([e]) => e.tagName + e.className)"""
        assert tab.run(beyond) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(tab: Tab, stub: Stub, scheme: str) -> None:
    tab.prefer(prefers_color_scheme=scheme)
    tab.open(f"{stub.url}/?lang=en")
    for stances in (("assert", "deny", "confirm"), tuple("abcdef")):
        stub.next = [(200, stub.answer(f"{ARTICLE}\n" * 3, CLAIMS, stances))]
        tab.ask(f"{ARTICLE}\n" * 3, CLAIMS)
        found = tab.run(PALE)
        assert found["seen"] > 100 and found["pale"] == []
    tab.enter("", [])
    tab.run("document.querySelector('#ask').requestSubmit()")
    assert tab.run("document.querySelector('#error').textContent") and tab.run(PALE)["pale"] == []
    paper = tab.run("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


def test_motion_is_left_out_for_those_who_do_not_want_it(tab: Tab, service: str) -> None:
    tab.open(service + "/")
    for wish, behaviour in (("no-preference", "smooth"), ("reduce", "auto")):
        tab.prefer(prefers_reduced_motion=wish)
        assert tab.run("getComputedStyle(document.documentElement).scrollBehavior") == behaviour


def test_what_is_wrong_is_said_beside_the_form_with_the_way_out(tab: Tab, stub: Stub) -> None:
    tab.open(f"{stub.url}/?lang=en")
    told = "document.querySelector('#error').textContent"
    send = "document.querySelector('#ask').requestSubmit()"
    tab.run(send)
    assert "Paste its text, or press Example" in tab.run(told) and stub.asked == []
    assert tab.run("document.activeElement.id") == "text" and tab.run(
        "document.activeElement.matches('[aria-invalid]')"
    )
    tab.enter(ARTICLE, CLAIMS)
    refusal = {"error": {"code": "x", "message": "text has <b>9</b> characters too many", "where": "body.text"}}
    ways = {
        (422, "Mend that and press the button again."): refusal,
        (413, "Shorten the text"): refusal,
        (408, "Wait a moment"): refusal,
        (503, "Wait a moment"): refusal,
        (500, "tell whoever runs the service"): refusal,
        (502, "its answer (status 502) cannot be read"): b"<html>bad gateway",
    }
    for (status, way), body in ways.items():
        # On a connection that it had before, a browser sends again by itself what was answered with 408.
        stub.next = [(status, body)] * (8 if status == 408 else 1)
        tab.run(send)
        tab.until(f"{told}.includes({json.dumps(way)}) && !document.querySelector('#ask[aria-busy]')")
        assert body != refusal or f"{refusal['error']['message']} body.text" in tab.run(told)
    tab.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    tab.run(send)
    tab.until(f"{told}.includes('claimstance serve is still running')")
    tab.run("document.querySelector('[data-language=ar]').click()")
    assert tab.run(told).startswith("الخدمة لا تجيب")
    tab.call("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    tab.run(send)
    tab.until("!document.querySelector('#result').hidden")
    assert tab.run(told) == ""


def test_an_article_beyond_the_limit_is_refused_in_words_with_the_way_out(tab: Tab, service: str) -> None:
    most = Limits().max_article
    tab.open(f"{service}/?lang=en")
    tab.enter((f"{ARTICLE}\n" * most)[: most + 1], CLAIMS)
    tab.run("document.querySelector('#ask').requestSubmit()")
    tab.until("document.querySelector('#error').textContent && !document.querySelector('#ask[aria-busy]')")
    assert tab.run("document.querySelector('#error').textContent") == (
        f"The service could not answer: text has {most + 1:,} characters, expected {most:,} at most body.text "
        "Shorten the text, or send it in parts."
    )


def test_claims_are_added_removed_and_pasted_as_lines(tab: Tab, service: str) -> None:
    tab.open(f"{service}/?lang=en")
    tab.enter(ARTICLE, ["one", "two", "three"])
    tab.run("document.querySelectorAll('#claims button')[1].click()")
    values = "[...document.querySelectorAll('#claims input')].map(input => input.value)"
    assert tab.run(values) == ["one", "three"]
    paste = """(lines => { const data = new DataTransfer(); data.setData("text", lines);
        const pasted = new ClipboardEvent("paste", {clipboardData: data, cancelable: true});
        document.querySelectorAll("#claims input")[1].dispatchEvent(pasted); })"""
    tab.run(f"document.querySelectorAll('#claims input')[1].value = ''; {paste}('four\\r\\n\\n five \\nsix')")
    assert tab.run(values) == ["one", "four", "five", "six"]
    tab.run(f"{paste}({json.dumps(chr(10).join(map(str, range(20))))})")
    assert len(tab.run(values)) == MOST_CLAIMS and tab.run("document.querySelector('#add').hidden")
    assert f"up to {MOST_CLAIMS}." in tab.run("document.querySelector('fieldset .hint').textContent")
    tab.ask(ARTICLE, tab.run(values))
    assert len(tab.rows()[0]["chips"]) == MOST_CLAIMS
    tab.ask(ARTICLE, ["", "only this"])
    assert tab.sent()[-1] == {"text": ARTICLE, "claims": ["only this"]}
    tab.ask(ARTICLE, [""])
    assert tab.sent()[-1]["claims"] == [] and "speakers only" in tab.run(
        "document.querySelector('#summary').textContent"
    )
    assert len(tab.rows()) == 4


def test_the_example_gives_way_to_what_was_written_before(tab: Tab, service: str) -> None:
    tab.open(f"{service}/?lang=ar")
    tab.enter("my own text", ["my claim"])
    tab.run("document.querySelector('#example').click()")
    assert tab.run("document.querySelector('#text').value").startswith("أعلنت نقابة عمال المياه")
    tab.run("document.querySelector('#example').click()")
    assert tab.run("[document.querySelector('#text').value, document.querySelector('#claims input').value]") == [
        "my own text",
        "my claim",
    ]
    tab.open(f"{service}/?lang=en&example")
    tab.until("!document.querySelector('#result').hidden")
    assert len(tab.rows()) == 6


def test_the_page_waits_for_the_service_to_be_ready_and_names_its_model(tab: Tab, stub: Stub) -> None:
    stub.ready = [(503, {"error": {"code": "not_ready", "message": "the service is shutting down", "where": ""}})]
    tab.open(f"{stub.url}/?lang=en")
    assert "is not ready" in tab.run("document.querySelector('#model').textContent")
    tab.until("document.querySelector('#model').textContent === 'Model: small 0f0f0f0f0f0f'")
    tab.run("document.querySelector('[data-language=ar]').click()")
    assert tab.run("document.querySelector('#model').textContent") == "النموذج: small 0f0f0f0f0f0f"
