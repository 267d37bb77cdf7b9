"""The page of the service in a real browser: what it shows, in both directions, by keyboard, narrow, dark and under attack."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Tab
from tests.stub_service import ARTICLE, CLAIMS, ENGLISH, Stub, answer_of

# Characters outside the Basic Multilingual Plane are one code point and two units of a JavaScript string.
HOSTILE = (
    "😀😀 قال الوزير <script>window.stolen = 1</script> إن الشحنة وصلت.\n\n"
    "𝔘nion leaders said <img src=x onerror='window.stolen = 1'> the cargo &amp; arrived 👩\u200d👩\u200d👧.\n"
    "نفى الوزير \u202e\u2066 وصول الشحنة \u2067 abc. وقالت النقابة 🚢 إن \0 الشحنة وصلت أمس.\r\n"
    "أكد المدير 🏴\u200d☠ وصول الشحنة اليوم."
)
SIGNS = {"assert": "+", "deny": "×", "confirm": "✓", None: "–"}
WORDS = {
    "en": {"assert": "asserts", "deny": "denies", "confirm": "confirms", None: "no stance"},
    "ar": {"assert": "يقول به", "deny": "ينفي", "confirm": "يؤكّد", None: "بلا موقف"},
}
WHOLE = """[...document.querySelectorAll("#article p")].map(line => { const copy = line.cloneNode(true);
  copy.querySelectorAll("a").forEach(link => link.remove()); return copy.textContent; }).join("\\n")"""
IN_VIEW = "(e => { const at = e.getBoundingClientRect(); return at.top >= 0 && at.bottom <= innerHeight; })"


@pytest.mark.parametrize("language", ["ar", "en"])
def test_every_statement_is_shown_with_its_speaker_and_stances(tab: Tab, service: str, language: str) -> None:
    tab.open(f"{service}/?lang={language}")
    tab.ask(ARTICLE, CLAIMS)
    expected, signs, words = answer_of(service, ARTICLE, CLAIMS)["statements"], SIGNS, WORDS[language]
    unnamed = {"ar": "غير مسمّى", "en": "not named"}[language]
    assert len(expected) == 4 and tab.rows() == [
        {
            "statement": statement["text"],
            "speaker": statement["speaker"] or unnamed,
            "chips": [
                [signs[said["stance"]], words[said["stance"]], f"tone-{said['stance'] or 'none'}"]
                for said in statement["stances"]
            ],
        }
        for statement in expected
    ]
    cards = (
        "[...document.querySelectorAll('.card')].map(card => [...card.querySelectorAll('b')].map(b => b.textContent))"
    )
    digits = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩" if language == "ar" else "0123456789")
    for claim, counts in enumerate(tab.run(cards)):
        said = [statement["stances"][claim]["stance"] for statement in expected]
        assert counts == [str(said.count(stance)).translate(digits) for stance in ("assert", "deny", "confirm", None)]
    assert "نقابة عمال المرفأ" in tab.run("document.querySelector('.card').textContent")


@pytest.mark.parametrize(("language", "around"), [("ar", "rtl"), ("en", "ltr")])
def test_the_table_goes_the_way_of_the_article_and_the_page_that_of_its_reader(
    tab: Tab, service: str, language: str, around: str
) -> None:
    tab.open(f"{service}/?lang={language}")
    for text, inside, lang in ((ARTICLE, "rtl", "ar"), (ENGLISH, "ltr", "en")):
        tab.ask(text, CLAIMS)
        found = "(e => [getComputedStyle(e).direction, e.closest('[lang]').lang])(document.querySelector('{}'))"
        assert tab.run(found.format("table")) == [inside, lang]
        assert tab.run(found.format("#article p")) == [inside, lang]
        assert tab.run(found.format("main")) == [around, language]
        # The first column, which numbers the statements, is where reading starts.
        first, last = tab.run("[...document.querySelector('tbody tr').cells].map(cell => cell.offsetLeft)")[
            :: 2 + len(CLAIMS)
        ]
        assert (first > last) == (inside == "rtl")


def test_a_row_leads_to_its_place_in_the_article_and_back(tab: Tab, service: str) -> None:
    tab.prefer(prefers_reduced_motion="reduce")
    tab.open(f"{service}/?lang=en")
    tab.ask(f"{ARTICLE}\n" * 5, CLAIMS[:1])
    for row in (1, 4, 18):
        tab.run(f"document.querySelector('#row-{row} a').focus()")
        tab.press("Enter")
        tab.until(f"document.activeElement.closest('#place-{row}') && {IN_VIEW}(document.activeElement)")
        there = tab.run(f"document.querySelector('#place-{row} .words').textContent")
        tab.press("Enter")
        tab.until(f"document.activeElement.closest('#row-{row}') && {IN_VIEW}(document.activeElement)")
        assert tab.run(f"document.querySelector('#row-{row} .statement').textContent") == there


def test_only_statements_with_a_stance_are_left_until_another_is_asked_for(tab: Tab, service: str) -> None:
    tab.open(f"{service}/?lang=en")
    tab.ask(ARTICLE, CLAIMS[:1])
    stances = [statement["stances"][0]["stance"] for statement in answer_of(service, ARTICLE, CLAIMS[:1])["statements"]]
    tab.run("document.querySelector('#only').click()")
    assert [row["chips"][0][1] for row in tab.rows()] == [WORDS["en"][stance] for stance in stances if stance]
    hidden = stances.index(None) + 1
    tab.run(f"document.querySelector('#place-{hidden} a').click()")
    tab.until(f"document.activeElement.closest('#row-{hidden}')")
    assert len(tab.rows()) == len(stances) == 4 and not tab.run("document.querySelector('#only').checked")


def test_the_article_is_highlighted_by_the_claim_that_is_chosen(tab: Tab, service: str) -> None:
    tab.open(f"{service}/?lang=en")
    tab.ask(ARTICLE, CLAIMS)
    expected = answer_of(service, ARTICLE, CLAIMS)["statements"]
    for claim in (0, 1):
        tab.run(f"document.querySelectorAll('#shown input')[{claim}].click()")
        tones = tab.run("[...document.querySelectorAll('.place')].map(place => place.classList[1])")
        assert tones == [f"tone-{statement['stances'][claim]['stance'] or 'none'}" for statement in expected]


def test_labels_of_other_models_have_colours_and_signs_of_their_own(tab: Tab, stub: Stub) -> None:
    stances = ("favour", "against", "__proto__", "<i>discuss</i>", "e", "f", "g")
    tab.open(f"{stub.url}/?lang=en")
    stub.next = [(200, stub.answer(f"{ARTICLE}\n" * 2, CLAIMS[:1], stances))]
    tab.ask(f"{ARTICLE}\n" * 2, CLAIMS[:1])
    chips = [row["chips"][0] for row in tab.rows()]
    assert [word for _, word, _ in chips] == [*stances, "no stance"][: len(chips)]
    assert [tone for *_, tone in chips] == [*(f"tone-other-{index % 6}" for index in range(7)), "tone-none"][
        : len(chips)
    ]
    assert len({sign for sign, *_ in chips[:6]}) == 6


@pytest.mark.parametrize("language", ["ar", "en"])
def test_hostile_texts_stand_as_they_are_each_statement_in_its_place(tab: Tab, service: str, language: str) -> None:
    tab.open(f"{service}/?lang={language}")
    claim = "<img src=x onerror='window.stolen = 1'> \u202e وصلت الشحنة"
    tab.ask(HOSTILE, [claim])
    text = HOSTILE.replace("\r\n", "\n")
    expected = answer_of(service, text, [claim])["statements"]
    assert len(expected) >= 5
    assert tab.run("[...document.querySelectorAll('.words')].map(e => e.textContent)") == [s["text"] for s in expected]
    assert [row["statement"] for row in tab.rows()] == [s["text"] for s in expected]
    assert tab.run("document.querySelector('.card h3').textContent") == claim
    assert tab.run(WHOLE) == text
    assert tab.run("document.querySelectorAll('#result :is(script, img)').length") == 0 and not tab.run("window.stolen")
    isolated = (
        "[...document.querySelectorAll('.statement, .words, .place, bdi')].map(e => getComputedStyle(e).unicodeBidi)"
    )
    assert {"normal"}.isdisjoint(tab.run(isolated.replace(".words, ", "")))


def test_no_part_of_an_article_is_lost_or_shown_twice_where_statements_meet(tab: Tab, stub: Stub) -> None:
    answer = stub.answer(ARTICLE, CLAIMS[:1])
    first = answer["statements"][0]
    # Across the end of a line, out of order and into each other, as another way of reading articles might answer.
    bounds = ((20, 120), (0, 25))
    answer["statements"] = [{**first, "start": start, "stop": stop} for start, stop in bounds]
    stub.next = [(200, answer)]
    tab.open(f"{stub.url}/?lang=en")
    tab.ask(ARTICLE, CLAIMS[:1])
    assert tab.run("[...document.querySelectorAll('.words')].map(e => e.textContent)") == [
        ARTICLE[:25],
        ARTICLE[25:120],
    ]
    assert "".join(tab.run(WHOLE).split("\n")) == ARTICLE.replace("\n", "")


def test_the_stub_answers_as_the_service_does(stub: Stub, service: str) -> None:
    def shape(value: Any) -> Any:
        match value:
            case dict():
                return {name: shape(held) for name, held in value.items()}
            case list():
                return [shape(held) for held in value]
        return type(value)

    real, ours = answer_of(service, ARTICLE, CLAIMS), answer_of(stub.url, ARTICLE, CLAIMS)
    for answer in (real, ours):
        for statement in answer["statements"]:
            for stance in statement["stances"]:
                stance["stance"] = stance["stance"] or ""
    assert shape(ours) == shape(real)
    for found, expected in zip(ours["statements"], real["statements"], strict=True):
        assert {**found, "stances": None} == {**expected, "stances": None}


def test_a_long_article_is_shown_at_once(tab: Tab, stub: Stub) -> None:
    tab.prefer(prefers_reduced_motion="reduce")
    line = "قال الوزير رقم {:05} إن الشحنة التي وصلت إلى المرفأ أمس 😀 ليست ملوثة كما يشاع.".format
    text, step = "\n".join(map(line, range(12_000))), len(line(0)) + 1
    assert len(text.encode()) > 1_000_000
    answer = stub.answer(line(0), CLAIMS[:1])
    answer["statements"] = [
        {**answer["statements"][0], "text": line(index), "start": index * step, "stop": (index + 1) * step - 1}
        for index in range(12_000)
    ]
    stub.next = [(200, answer)]
    tab.open(f"{stub.url}/?lang=en")
    tab.run(
        "window.longest = 0; new PerformanceObserver(list => list.getEntries().forEach(entry => "
        "longest = Math.max(longest, entry.duration))).observe({type: 'longtask'})"
    )
    tab.ask(text, CLAIMS[:1])
    assert len(tab.rows()) == 200 and tab.run("document.querySelector('#page').textContent") == "1–200 of 12,000"
    tab.run("document.querySelector('#place-11990 a').click()")
    tab.until(f"document.activeElement.closest('#row-11990') && {IN_VIEW}(document.activeElement)")
    tab.press("Enter")
    tab.until(f"document.activeElement.closest('#place-11990') && {IN_VIEW}(document.activeElement)")
    assert tab.run("document.querySelector('#place-11990 .words').textContent") == line(11989)
    assert 0 < tab.run("longest") < 3000


def test_the_table_can_be_saved_and_no_cell_is_a_formula(tab: Tab, service: str, tmp_path: Path) -> None:
    text = "=HYPERLINK(1) said that the cargo arrived.\n\n@minister denied that the cargo arrived.\n" + ARTICLE
    tab.open(f"{service}/?lang=en")
    tab.ask(text, ["+claim", 'a "quoted", claim'])
    tab.browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    for kind in ("csv", "json"):
        tab.run(f"document.querySelector('#{kind}').click()")
        end = time.monotonic() + 20
        while not (saved := tmp_path / f"stances.{kind}").exists() and time.monotonic() < end:
            time.sleep(0.02)
        assert saved.exists()
    expected = answer_of(service, text, ["+claim", 'a "quoted", claim'])
    assert json.loads((tmp_path / "stances.json").read_text(encoding="utf-8")) == expected
    with (tmp_path / "stances.csv").open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    assert head[4:] == [
        "stance: +claim",
        "confidence: +claim",
        'stance: a "quoted", claim',
        'confidence: a "quoted", claim',
    ]
    assert [row[0].removeprefix("'") for row in rows] == [statement["text"] for statement in expected["statements"]]
    assert [row[4] or None for row in rows] == [
        statement["stances"][0]["stance"] for statement in expected["statements"]
    ]
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "-", "@")]
