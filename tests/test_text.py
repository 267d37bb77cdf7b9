"""Folding: the table over code units against plain string code, and the spellings that must come out alike."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from claimstance.records import Pair, read_pairs
from claimstance.text import CLAUSE_MARK, DIGIT, END, LETTER, QUESTION_MARK, SPACE, fold, fold_with_origins, unit_table

ALONE = str.maketrans("أإآٱؤئةکیگپچڤ", "اااا" + "ءءهكيكبجف")
SHOWN = {SPACE: "_", CLAUSE_MARK: "|", QUESTION_MARK: "?"}
HARD = (
    "",
    "\0",
    "نص\0آخر",
    "٠١٢٣٤٥٦٧٨٩",
    "1,234,567.89 و١٬٢٠٠٫٥ و3,4،5",
    ",1, .5. ١،",
    "1.2.3,4",
    "😀 خبر 👩‍👩‍👧 ✅",
    "\ud83d نص \ude00",
    "\ude00 نص\udcffآخر",
    "نصّ\ud83d",
    "\u202eمقلوب\u202c \u200fنص\u200e",
    "كـــتـــاب",
    "Café NAÏVE don't İstanbul Straße",
    "ﻻ ﺍﻟﻌﺮﺑﻴﺔ ﷲ １２，３",
    "کتاب گفت یک",
    "؟?!؛;…\r\n",
)


@pytest.fixture(scope="module")
def texts(few_pairs: list[Pair], root: Path) -> list[str]:
    english = [pair for pair in read_pairs(root / "data/train.jsonl") if pair.lang == "en"][:100]
    return [text for pair in (*few_pairs, *english) for text in (pair.quote, pair.claim)]


def plainly_folded(text: str) -> str:
    """Fold one text, character by character; marks as in SHOWN."""
    text = text.replace("\0", " ")
    if re.search("[\ufb50-\ufdff\ufe70-\ufefc０-９Ａ-Ｚａ-ｚ]", text):
        text = unicodedata.normalize("NFKC", text)
    text = "".join(
        char
        for char in text
        if char not in "'’‘ʼ`´ـ" and (ord(char) > 0xFFFF or unicodedata.category(char) not in ("Mn", "Me", "Cf"))
    )
    text = "".join(str(unicodedata.digit(char)) if unicodedata.category(char) == "Nd" else char for char in text)
    text = re.sub("(?<=[0-9])[,،٬](?=[0-9])", "", text)
    text = re.sub("(?<=[0-9])[.٫](?=[0-9])", "\ue000", text)
    shown = []
    for char in text.translate(ALONE):
        if char == "\ue000":
            shown.append(".")
        elif char in "?؟":
            shown.append("?")
        elif char in ";:!…؛\n\r\u2028\u2029,،٬.٫":
            shown.append("|")
        elif ord(char) > 0xFFFF:
            shown.append("__")
        elif unicodedata.category(char)[0] == "L":
            latin = ord(char) < 0x0590 or 0x1E00 <= ord(char) < 0x2000
            shown.append(unicodedata.normalize("NFD", char.lower())[0] if latin else char)
        else:
            shown.append(char if char in "0123456789" else "_")
    return "".join(shown)


def folded(texts: list[str]) -> list[str]:
    """Fold a batch and show each text."""
    units, kinds = fold(texts)
    assert set(np.unique(kinds)) <= {SPACE, LETTER, DIGIT, CLAUSE_MARK, QUESTION_MARK, END}
    shown = [
        SHOWN[kind] if kind in SHOWN else chr(unit) for unit, kind in zip(units.tolist(), kinds.tolist(), strict=True)
    ]
    ends = np.flatnonzero(kinds == END)
    return ["".join(shown[start:end]) for start, end in zip([0, *(ends[:-1] + 1)], ends, strict=True)]


def test_a_batch_folds_as_each_text_does_plainly(texts: list[str]) -> None:
    assert folded(texts) == [plainly_folded(text) for text in texts]


@pytest.mark.parametrize("text", HARD)
def test_a_hard_text_folds_as_it_does_plainly(text: str) -> None:
    assert folded([text]) == [plainly_folded(text)]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("أإآٱ", "اااا"),
        ("مسؤول رئيس", "مسءول رءيس"),
        ("وزارة", "وزاره"),
        ("نَفَى الوَزِيرُ", "نفى الوزير"),
        ("كـــتاب", "كتاب"),
        ("\u200fخبر\u200e \u2067آخر\u2069\ufeff", "خبر اخر"),
        ("٠١٢", "012"),
        ("۰۱۲", "012"),
        ("١٬٢٠٠", "1200"),
        ("1,200", "1200"),
        ("١٢٫٥", "12.5"),
        ("ﺍﻟﻌﺮﺑﻴﺔ ﻻ", "العربيه لا"),
        ("ＡＢ１２", "AB12"),
        ("didn’t DIDN'T", "didnt didnt"),
        ("Über café", "uber cafe"),
    ],
)
def test_spellings_that_mean_the_same_fold_alike(written: str, meant: str) -> None:
    assert folded([written]) == folded([meant]) == [meant.lower().replace(" ", "_")]


@pytest.mark.parametrize("text", ["مسؤول", "رئيس", "آخر أخبار إيران", "café Über"])
def test_composed_and_decomposed_letters_fold_alike(text: str) -> None:
    assert folded([unicodedata.normalize("NFD", text)]) == folded([text])


def test_yeh_and_alef_maksura_stay_apart() -> None:
    assert folded(["نفى"]) != folded(["نفي"])


@pytest.mark.parametrize("text", ["x² ﬁn ½", "𝟏٢ شخصا", "هل حدث؟ نعم？", unicodedata.normalize("NFD", "مسؤول")])
def test_a_text_folds_alike_alone_and_beside_presentation_forms(text: str) -> None:
    assert folded([text, "ﻻ"])[0] == folded([text])[0]


def test_texts_never_run_into_each_other() -> None:
    batch = ["1", ",2", "\ud83d", "\ude00", "", "\0", "ا"]
    assert folded(batch) == [folded([text])[0] for text in batch]


def assert_origins_hold(text: str) -> None:
    """Every unit that is kept stands where it is said to, and only what is deleted, or groups digits, stands between."""
    as_read, origin = fold_with_origins(text)
    units, kinds = fold([text])
    assert origin.size == units.size and origin[-1] == len(as_read)
    assert (np.diff(origin) >= 0).all()
    for unit, kind, at in zip(units[:-1].tolist(), kinds[:-1].tolist(), origin[:-1].tolist(), strict=True):
        if kind in (LETTER, DIGIT):
            assert plainly_folded(as_read[at]) == chr(unit) or (chr(unit) == "." and as_read[at] in ".٫")
    between = set(range(len(as_read))) - set(origin.tolist())
    assert not any(plainly_folded(as_read[at]).strip("|") for at in between)


def test_origins_say_where_each_unit_stands_in_the_text(texts: list[str]) -> None:
    for text in texts:
        assert_origins_hold(text)
        assert fold_with_origins(text)[0] == text


@pytest.mark.parametrize("text", HARD)
def test_origins_hold_in_a_hard_text(text: str) -> None:
    assert_origins_hold(text)


@pytest.mark.parametrize(
    ("text", "as_read", "origin"),
    [
        ("", "", [0]),
        ("نَفَى", "نَفَى", [0, 2, 4, 5]),
        ("\u200fأن\u200e", "\u200fأن\u200e", [1, 2, 4]),
        ("😀 لا", "😀 لا", [0, 0, 1, 2, 3, 4]),
        ("١٬٢٠٠", "١٬٢٠٠", [0, 2, 3, 4, 5]),
        ("قَال ﻻ", "قال لا", [0, 1, 2, 3, 4, 5, 6]),
        ("don’t", "don’t", [0, 1, 2, 4, 5]),
        ("a\0b", "a b", [0, 1, 2, 3]),
    ],
)
def test_origins_count_characters_of_the_text_as_it_is_read(text: str, as_read: str, origin: list[int]) -> None:
    found, where = fold_with_origins(text)
    assert (found, where.tolist()) == (as_read, origin)


def test_an_empty_batch_has_no_text() -> None:
    units, kinds = fold([])
    assert units.size == 0
    assert kinds.size == 0


def test_the_shared_table_cannot_be_changed() -> None:
    for table in unit_table():
        assert table.shape == (1 << 16,)
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda size: "ب" * size, 1 << 17),
        (lambda size: "," * size, 1 << 17),
        (lambda size: "ب" + "\u0301\u0323" * (size // 2), 1 << 17),
        (lambda size: "ﻻ" + "\u0301\u0323" * (size // 2), 4000),
    ],
    ids=["one letter", "separators", "combining marks", "combining marks after a presentation form"],
)
def test_folding_takes_time_linear_in_length(make: Callable[[int], str], size: int) -> None:
    """Eight times the text: eight times as long were linear, 64 times quadratic."""

    def seconds(text: str) -> float:
        began = time.process_time()
        fold([text])
        return time.process_time() - began

    assert min(seconds(make(8 * size)) / seconds(make(size)) for _ in range(4)) < 32
