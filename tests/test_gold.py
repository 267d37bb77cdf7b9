"""Annotated articles: spans become offsets, and what does not fit its article is named with the way to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from claimstance.errors import ClaimstanceError
from evaluation.gold import read_gold

TEXT = """وزير: لن نرفع الأسعار

نفى وزير التموين، سالم الحاج، رفع الأسعار. وقال الحاج: «لن نرفع الأسعار».
اقرأ أيضًا
"""
STATEMENT = {
    "content": "رفع الأسعار",
    "occurrence": 2,
    "kind": "indirect",
    "cue": "نفى",
    "cue_occurrence": 1,
    "cue_class": "deny",
    "cue_negated": False,
    "mention": "وزير التموين، سالم الحاج",
    "speaker": "سالم الحاج",
    "outlet": "",
    "parent": None,
    "stances": ["deny"],
}
SPEECH = {
    **STATEMENT,
    "content": "لن نرفع الأسعار",
    "occurrence": 2,
    "kind": "direct",
    "cue": "وقال",
    "cue_class": "assert",
}
ARTICLE = {
    "id": "ar-1",
    "lang": "ar",
    "genre": "economy",
    "claims": ["رُفعت الأسعار"],
    "furniture": ["اقرأ أيضًا"],
    "statements": [STATEMENT, {**SPEECH, "mention": "الحاج"}],
}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write an article whose annotation has other parts, and its first statement too."""

    def write(statement: dict[str, Any] | None = None, **parts: Any) -> Path:
        body = {**ARTICLE, **parts}
        body["statements"] = [{**body["statements"][0], **(statement or {})}, *body["statements"][1:]]
        (tmp_path / "ar-1.txt").write_text(TEXT, encoding="utf-8")
        (tmp_path / "ar-1.json").write_text(json.dumps(body, ensure_ascii=False), encoding="utf-8")
        return tmp_path

    return write


def test_spans_become_offsets_of_the_occurrence_that_is_meant(written: Callable[..., Path]) -> None:
    (article,) = read_gold(written())
    first, second = article.statements
    assert article.text[first.start : first.stop] == "رفع الأسعار" and first.start > TEXT.index("نفى")
    assert article.text[second.start : second.stop] == "لن نرفع الأسعار" and second.start > TEXT.index("وقال")
    assert (first.cue_start, first.speaker, second.stances) == (TEXT.index("نفى"), "سالم الحاج", ("deny",))


@pytest.mark.parametrize(
    ("statement", "parts", "message"),
    [
        ({"content": "خفض الأسعار"}, {}, "statement 0, content: 'خفض الأسعار' does not stand 2 times"),
        ({"occurrence": 9}, {}, "does not stand 9 times"),
        ({"cue": "أكد"}, {}, "statement 0, cue: 'أكد' does not stand"),
        ({"kind": "direkt"}, {}, r"kind 'direkt' is not one of .* \(did you mean 'direct'\?\)"),
        ({"cue_class": "denies"}, {}, "cue_class 'denies' is not one of"),
        ({"speaker": "سليم الحاج"}, {}, "speaker 'سليم الحاج' does not stand in the article"),
        ({"mention": "الوزيرة"}, {}, "mention 'الوزيرة' does not stand"),
        ({"stances": ["deny", "none"]}, {}, "statement 0: stances deny, none, expected one of"),
        ({"stances": ["denies"]}, {}, "expected one of assert, deny, confirm, none a claim"),
        ({"parent": 1}, {}, "statement 0 does not stand inside statement 1, its parent"),
        (
            {"content": "لن نرفع الأسعار", "occurrence": 2},
            {"statements": [STATEMENT, STATEMENT]},
            "stands before statement 0",
        ),
        ({}, {"id": "ar-2"}, "id 'ar-2', expected 'ar-1' as the file is called"),
        ({}, {"claims": []}, "0 claims, expected one or two"),
        ({}, {"furniture": ["اقرأ"]}, "furniture 'اقرأ' is no line of the article"),
        ({}, {"statements": [{"content": "رفع"}]}, "no annotation of an article .*README"),
    ],
)
def test_what_does_not_fit_its_article_is_named(
    written: Callable[..., Path], statement: dict[str, Any], parts: dict[str, Any], message: str
) -> None:
    if "content" in parts.get("statements", [{}])[0] and len(parts["statements"]) == 1:
        statement = {}
    with pytest.raises(ClaimstanceError, match=rf"ar-1\.json: .*{message}"):
        read_gold(written(statement, **parts))


def test_a_folder_without_articles_and_a_missing_text_are_named(tmp_path: Path, written: Callable[..., Path]) -> None:
    with pytest.raises(ClaimstanceError, match=r"no annotated article, expected ID\.json beside ID\.txt"):
        read_gold(tmp_path)
    (written() / "ar-1.txt").unlink()
    with pytest.raises(ClaimstanceError, match=r"ar-1\.txt: no such file"):
        read_gold(tmp_path)
