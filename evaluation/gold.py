"""Articles with gold statements: who says what, in which words, through which cue, with which stance to the article's claims.

An article is ``ID.txt`` with ``ID.json`` beside it; ``data/articles/README.md`` says what each field means. Spans are written
as the words themselves with the number of their occurrence, so that a reader can check them, and are offsets here.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claimstance.errors import ClaimstanceError, did_you_mean
from claimstance.files import read_text
from claimstance.records import LABELS

KINDS = ("direct", "mixed", "indirect", "nominal", "headline")
"""How a statement is attributed."""

CUE_CLASSES = ("assert", "ratify", "deny", "allege", "doubt", "ask", "likely", "source", "none")
"""What the cue of a statement commits its speaker to."""

UNNAMED, NOBODY = "unnamed", "none"
"""Speakers that are not named, and statements that are nobody's."""


@dataclass(frozen=True)
class GoldStatement:
    """One statement: where its content stands in the article (character offsets ``start`` and ``stop``), its ``kind``, the
    ``cue`` as it stands, where it stands (None if there is none) and its class, whether that is negated, the speaker as
    mentioned here and as resolved, the medium that relayed it, the statement that it is nested in (its index, or None), and
    the stance to each claim."""

    start: int
    stop: int
    kind: str
    cue: str
    cue_start: int | None
    cue_class: str
    cue_negated: bool
    mention: str
    speaker: str
    outlet: str
    parent: int | None
    stances: tuple[str, ...]


@dataclass(frozen=True)
class GoldArticle:
    """An article with its claims, the lines that are furniture, and its statements in reading order."""

    id: str
    lang: str
    genre: str
    text: str
    claims: tuple[str, ...]
    furniture: tuple[str, ...]
    statements: tuple[GoldStatement, ...]


def read_gold(folder: str | os.PathLike[str], texts: str | os.PathLike[str] | None = None) -> list[GoldArticle]:
    """Read every annotated article of a folder, in the order of their names.

    Args:
        folder: where the annotations are, ``ID.json``.
        texts: where the articles are, ``ID.txt``; beside the annotations if it is not said.

    Raises:
        ClaimstanceError: there is none, a file is missing or no JSON, or an annotation does not fit its article; the message
            names the file and the statement.
    """
    paths = sorted(Path(folder).glob("*.json"))
    if not paths:
        raise ClaimstanceError(f"{folder}: no annotated article, expected ID.json beside ID.txt")
    return [_read(path, Path(texts or folder) / f"{path.stem}.txt") for path in paths]


def _read(path: Path, article: Path) -> GoldArticle:
    text = read_text(article)
    try:
        body = json.loads(read_text(path))
        statements = tuple(_statement(text, row, index) for index, row in enumerate(body["statements"]))
        annotated = GoldArticle(
            body["id"], body["lang"], body["genre"], text, tuple(body["claims"]), tuple(body["furniture"]), statements
        )
    except json.JSONDecodeError as error:
        raise ClaimstanceError(f"{path}: broken JSON at line {error.lineno} ({error.msg})") from None
    except (KeyError, TypeError) as error:
        raise ClaimstanceError(f"{path}: no annotation of an article ({error}); see data/articles/README.md") from None
    except ClaimstanceError as error:
        raise ClaimstanceError(f"{path}: {error}") from None
    problem = _problem(annotated, path.stem)
    if problem:
        raise ClaimstanceError(f"{path}: {problem}")
    return annotated


def _statement(text: str, row: dict[str, Any], index: int) -> GoldStatement:
    where = f"statement {index}"
    start = _offset(text, row["content"], row["occurrence"], f"{where}, content")
    cue = _offset(text, row["cue"], row["cue_occurrence"], f"{where}, cue") if row["cue"] else None
    for name, allowed in (("kind", KINDS), ("cue_class", CUE_CLASSES)):
        if row[name] not in allowed:
            raise ClaimstanceError(
                f"{where}: {name} {row[name]!r} is not one of {', '.join(allowed)}{did_you_mean(row[name], allowed)}"
            )
    for name in ("mention", "outlet"):
        if row[name] and row[name] not in text:
            raise ClaimstanceError(f"{where}: {name} {row[name]!r} does not stand in the article")
    if row["speaker"] not in (UNNAMED, NOBODY) and row["speaker"] not in text:
        raise ClaimstanceError(f"{where}: speaker {row['speaker']!r} does not stand in the article")
    return GoldStatement(
        start=start,
        stop=start + len(row["content"]),
        cue_start=cue,
        stances=tuple(row["stances"]),
        **{
            name: row[name]
            for name in ("kind", "cue", "cue_class", "cue_negated", "mention", "speaker", "outlet", "parent")
        },
    )


def _offset(text: str, words: str, occurrence: int, where: str) -> int:
    at = -1
    for _ in range(occurrence):
        at = text.find(words, at + 1)
        if at < 0:
            break
    if at < 0 or not words.strip():
        raise ClaimstanceError(f"{where}: {words!r:.60} does not stand {occurrence} times in the article")
    return at


def _problem(article: GoldArticle, name: str) -> str:
    """Return what is wrong with an article as a whole, nothing if all is well."""
    if article.id != name:
        return f"id {article.id!r}, expected {name!r} as the file is called"
    if not 1 <= len(article.claims) <= 2:
        return f"{len(article.claims)} claims, expected one or two"
    lines = article.text.splitlines()
    for line in article.furniture:
        if line not in lines:
            return f"furniture {line!r:.60} is no line of the article"
    for index, (statement, before) in enumerate(zip(article.statements, (None, *article.statements), strict=False)):
        if before is not None and statement.start < before.start:
            return f"statement {index} stands before statement {index - 1}, expected them in reading order"
        if len(statement.stances) != len(article.claims) or not set(statement.stances) <= set(LABELS):
            return f"statement {index}: stances {', '.join(statement.stances)}, expected one of {', '.join(LABELS)} a claim"
        if statement.parent is not None:
            parent = article.statements[statement.parent]
            if not (parent.start <= statement.start and statement.stop <= parent.stop):
                return f"statement {index} does not stand inside statement {statement.parent}, its parent"
    return ""
