"""The page of a report: whole in itself, inert whatever the texts hold, and readable in a browser wide or narrow."""

from __future__ import annotations

import html
import json
import re
import subprocess
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from claimstance.predictor import Predictor
from claimstance.records import STANCES, read_json_lines, write_json_lines
from evaluation.comparison import compare
from evaluation.evidence import Evidence, Record
from evaluation.page import write_comparison, write_report
from evaluation.report import Report, make_report
from evaluation.scoring import read_labelled

WIDTHS = (1100, 400)
HOSTILE = {
    "script": "نفى الوزير <script>window.stolen = 1</script> وصول «الشحنة» إلى المرفأ.",
    "image": "أكد الوزير <img src=x onerror='window.stolen = 1'> وصول الشحنة",
    "closing": "أكد الوزير </div></main></body><!-- &amp; &lt;b&gt; R&D \"x\" 'y' {{ 7 * 7 }} وصول الشحنة",
    "bidi": "نفى الوزير \u202e\u2066\u202b وصول الشحنة \u2067 abc \u202d",
    "long": "وصل" + "ا" * 10_000,
    "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0": "نفت الوزارة وصول الشحنة إلى المرفأ",
    "english": "The minister denied <script>window.stolen = 1</script> that AT&T sent it.",
}
# Runs in a copy of a page, inside a frame of a given width, and tells the page around it what it found.
MEASURE = """<script>
addEventListener("load", () => {
  const all = selector => [...document.querySelectorAll(selector)];
  const box = element => { const at = element.getBoundingClientRect(); return [at.width, at.height]; };
  const direction = element => getComputedStyle(element).direction;
  const texts = () => all(".text").filter(element => element.checkVisibility());
  const shown = [texts().length];
  all("summary").forEach(summary => summary.click());
  shown.push(texts().length);
  const page = document.documentElement;
  const found = {
    width: innerWidth,
    overflow: page.scrollWidth - page.clientWidth,
    beyond: all("main *").filter(element => !element.closest(".scroll, svg")
      && element.getBoundingClientRect().right > page.clientWidth + 1)
      .map(element => `${element.tagName}.${element.className}: ${element.textContent.slice(0, 60)}`),
    spilt: all("main *").filter(element => !element.closest("svg") && getComputedStyle(element).overflowX === "visible"
      && element.clientWidth && element.scrollWidth > element.clientWidth + 1)
      .map(element => `${element.tagName}.${element.className}: ${element.textContent.slice(0, 60)}`),
    texts: all(".text").map(element => ({text: element.textContent, direction: direction(element),
      bidi: getComputedStyle(element).unicodeBidi, size: box(element), font: getComputedStyle(element).fontSize})),
    chips: all(".chip bdi").map(element => ({text: element.textContent, direction: direction(element)})),
    plots: all("svg").map(box), shown, stolen: window.stolen === 1,
  };
  parent.postMessage(found, "*");
});
</script>"""
FRAMES = """<!doctype html><meta charset="utf-8"><pre id="found"></pre><script>
const found = [];
addEventListener("message", message => {
  found.push(message.data);
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>"""
ARABIC, LATIN = re.compile("[\u0621-\u064a]"), re.compile("[A-Za-z]")


@dataclass(frozen=True)
class Pages:
    """A folder with the pages of a report whose texts are hostile, and that report."""

    folder: Path
    report: Report

    @property
    def hostile(self) -> dict[str, str]:
        return {identifier: self.report.pairs.quotes[self.report.pairs.ids.index(identifier)] for identifier in HOSTILE}


class Texts(HTMLParser):
    """Gathers the content of the elements of class ``text`` and the names of all elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.inside = ("class", "text") in attributes
        if self.inside:
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[-1] += data


@pytest.fixture(scope="module")
def pages(predictor: Predictor, small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """A report and a comparison, on validation pairs and hostile ones, each labelled with what the model does not say."""
    folder = tmp_path_factory.mktemp("pages")
    claim = "وصلت الشحنة <b>إلى</b> المرفأ & غادرت"
    rows = [row for _, row in read_json_lines(small_corpus / "validation.jsonl")]
    said = predictor.predict([(quote, claim) for quote in HOSTILE.values()])
    for (identifier, quote), prediction in zip(HOSTILE.items(), said, strict=True):
        stance = next(stance for stance in STANCES if stance != prediction.stance)
        rows.append({"id": identifier, "quote": quote, "claim": claim, "stance": stance, "topic": "<b>" + "ط" * 90})
    write_json_lines(folder / "pairs.jsonl", rows)
    blind = dict.fromkeys(("quote alone", "claim alone", "cue words alone"), predictor)
    report = make_report(
        predictor,
        read_labelled(folder / "pairs.jsonl", predictor),
        bundle="0" * 64,
        source="/srv/<i>news & claims</i>/a_file_whose_name_is_long_and_never_broken_by_a_space.jsonl",
        sha256="1" * 64,
        evidence=Evidence(Record("0" * 64, "1" * 64, {}, {}, {}), blind, {"1": predictor}, np.zeros((0, 4))),
    )
    write_report(report, folder)
    write_comparison(compare(predictor, predictor, report.pairs, report.source), folder)
    return Pages(folder, report)


def browse(chromium: list[str], folder: Path, *arguments: str) -> str:
    """Run the browser; return what it prints."""
    command = [*chromium, "--virtual-time-budget=5000", f"--user-data-dir={folder / 'profile'}", *arguments]
    run = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


def with_script(page: str, script: str) -> str:
    """Append a script to a page, and let scripts run in it."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    assert page.count(policy) == 1
    return page.replace(policy, f"{policy}; script-src 'unsafe-inline'") + script


@pytest.fixture(scope="module")
def measured(chromium: list[str], pages: Pages, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Any]:
    """What a browser measures, by page and width. Frames are used because no window is as narrow as a telephone."""
    folder = tmp_path_factory.mktemp("browser")
    found = {}
    for name in ("report", "comparison"):
        page = (pages.folder / f"{name}.html").read_text(encoding="utf-8")
        (folder / f"{name}.html").write_text(with_script(page, MEASURE), encoding="utf-8")
        frames = "".join(f'<iframe src="{name}.html" width="{width}" height="900"></iframe>' for width in WIDTHS)
        (folder / f"{name}-frames.html").write_text(FRAMES + frames, encoding="utf-8")
        shown = browse(chromium, folder, "--dump-dom", f"file://{folder}/{name}-frames.html")
        told = re.search(r'<pre id="found">(.+?)</pre>', shown, re.DOTALL)
        assert told, f"{name}.html told nothing of itself"
        found |= {(name, frame["width"]): frame for frame in json.loads(html.unescape(told[1]))}
    return found


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_a_page_needs_nothing_from_outside(pages: Pages, name: str) -> None:
    page = (pages.folder / f"{name}.html").read_text(encoding="utf-8")
    parsed = Texts(page)
    assert not parsed.names & {"script", "img", "iframe", "link", "object", "embed", "base", "form", "i"}
    assert not {attribute for attribute in parsed.attributes if attribute.startswith("on") or attribute == "src"}
    outside = re.sub(r'xmlns(:\w+)?="https?://[^"]*"', "", page)
    assert re.findall(r"https?://[^\s\"'<]*", outside) == []
    assert not re.search(r"@import|url\((?!#)|href=\"(?!#)", page)
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'\"" in page


def test_hostile_texts_stand_in_json_and_page_as_they_are(pages: Pages) -> None:
    body = json.loads((pages.folder / "report.json").read_text(encoding="utf-8"))
    mistakes = {mistake["id"]: mistake["quote"] for mistake in (*body["mistakes"], *body["doubted_labels"])}
    shown = Texts((pages.folder / "report.html").read_text(encoding="utf-8")).texts
    for identifier, quote in pages.hostile.items():
        assert quote == HOSTILE[identifier]
        assert mistakes[identifier] == quote and quote in shown


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["report", "comparison"])
def test_a_page_is_no_wider_than_its_window(measured: dict[tuple[str, int], Any], name: str, width: int) -> None:
    found = measured[name, width]
    assert (found["overflow"], found["beyond"]) == (0, [])
    assert all(0 < across <= width and down > 100 for across, down in found["plots"])
    assert len(found["plots"]) == {"report": 3, "comparison": 1}[name]


@pytest.mark.parametrize("width", WIDTHS)
def test_arabic_runs_from_right_to_left_each_text_for_itself(
    measured: dict[tuple[str, int], Any], pages: Pages, width: int
) -> None:
    found = measured["report", width]
    texts = [text for text in found["texts"] if len(ARABIC.findall(text["text"])) > len(LATIN.findall(text["text"]))]
    assert len(texts) > 100
    assert {text["direction"] for text in texts} == {"rtl"}
    assert {text["direction"] for text in found["texts"] if text["text"] == HOSTILE["english"]} == {"ltr"}
    # An override or an unclosed embedding must not turn round what stands beside the text.
    assert {text["bidi"] for text in found["texts"]} <= {"isolate", "plaintext", "isolate-override"}
    assert {chip["direction"] for chip in found["chips"] if ARABIC.match(chip["text"])} == {"rtl"}


@pytest.mark.parametrize("width", WIDTHS)
def test_every_text_has_room_to_be_read(measured: dict[tuple[str, int], Any], width: int) -> None:
    found = measured["report", width]
    assert found["spilt"] == []
    for text in found["texts"]:
        across, down = text["size"]
        assert across >= 200 and down >= 20 and float(text["font"].removesuffix("px")) >= 14, text["text"][:60]


@pytest.mark.parametrize("width", WIDTHS)
def test_failures_open_and_hold_every_text(measured: dict[tuple[str, int], Any], pages: Pages, width: int) -> None:
    closed, opened = measured["report", width]["shown"]
    failures, report = pages.report.behaviour.failures, pages.report
    sides = sum(
        2 + (case.quote != case.after_quote) + (case.claim != case.after_claim)
        for case in (verdict.case for verdict in failures)
    )
    assert failures and closed == 2 * (len(report.mistakes) + len(report.doubts))
    assert opened - closed == sides


def test_no_text_runs_as_a_script_where_scripts_may_run(measured: dict[tuple[str, int], Any]) -> None:
    assert [found["stolen"] for found in measured.values()] == [False] * 4


def test_the_page_lets_no_script_run(chromium: list[str], pages: Pages, tmp_path: Path) -> None:
    page = (pages.folder / "report.html").read_text(encoding="utf-8")
    script = "<script>document.title = 'it' + ' ran'</script>"
    for name, text, runs in (("as it is", page + script, False), ("let", with_script(page, script), True)):
        (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")
        shown = browse(chromium, tmp_path, "--dump-dom", (tmp_path / f"{name}.html").as_uri())
        assert ("<title>it ran</title>" in shown) == runs


def test_a_picture_of_the_page_is_not_blank(chromium: list[str], pages: Pages, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    browse(
        chromium, tmp_path, "--window-size=1100,1400", f"--screenshot={picture}", f"file://{pages.folder}/report.html"
    )
    grey = imread(picture)[:, :, :3].mean(axis=2)
    assert grey.shape == (1400, 1100)
    assert 0.02 < (grey < 0.9).mean() < 0.6 and grey.min() < 0.3
    assert (grey[-300:] < 0.9).any()
