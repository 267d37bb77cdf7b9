"""How well a model reads whole articles: statements found, their speakers, and their stances end to end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from claimstance.article import Statement, read_statements
from claimstance.console import console
from claimstance.predictor import Predictor
from claimstance.records import NONE
from evaluation.gold import KINDS, NOBODY, UNNAMED, GoldArticle, GoldStatement
from evaluation.statements import Found, Span, found, match, same_speaker

_NEAR = 200
_TRIMMED = re.compile(r"^[\W_]*و?|[\W_]*$")


@dataclass(frozen=True)
class Reading:
    """One gold statement and what was made of it: the statement ``given`` for it, None where it was not found; and the stances
    of the model to each claim, of the gold words and of the given ones."""

    gold: GoldStatement
    words: str
    given: Statement | None
    of_gold: tuple[str, ...]
    of_given: tuple[str, ...]

    @property
    def exact(self) -> bool:
        return self.given is not None and _TRIMMED.sub("", self.given.text) == _TRIMMED.sub("", self.words)

    @property
    def speaker(self) -> bool:
        """Whether the speaker is right: never of a statement that was not found, and no name is right for the unnamed."""
        if self.given is None:
            return False
        if self.gold.speaker in (UNNAMED, NOBODY):
            return not self.given.speaker
        return bool(self.given.speaker) and same_speaker(self.gold.speaker, self.given.speaker)


@dataclass(frozen=True)
class ArticleReport:
    """What was found in articles, and every gold statement's reading."""

    found: Found
    readings: tuple[Reading, ...]


def measure(predictor: Predictor, articles: Sequence[GoldArticle]) -> ArticleReport:
    """Read articles with a model's word lists, and hold their statements against the claims."""
    matchings, readings = [], []
    for article in articles:
        given = read_statements(article.text, predictor.lexicon)
        spans = [[Span(each.start, each.stop) for each in side] for side in (article.statements, given)]
        matching = match(article.text, *spans)
        matchings.append(matching)
        partner = dict(matching.pairs)
        attributed = [_with_cue(article.text, each) for each in article.statements]
        of_gold, of_given = (
            _stances(predictor, texts, article.claims) for texts in (attributed, [each.text for each in given])
        )
        for index, statement in enumerate(article.statements):
            here = partner.get(index)
            found_here = (None, ()) if here is None else (given[here], of_given[here])
            words = article.text[statement.start : statement.stop]
            readings.append(Reading(statement, words, found_here[0], of_gold[index], found_here[1]))
    return ArticleReport(found(matchings), tuple(readings))


def _with_cue(text: str, statement: GoldStatement) -> str:
    """Return the words of a statement from its cue on, or to its cue, where the cue stands near: that is what models read."""
    start, stop = statement.start, statement.stop
    if statement.cue_start is not None:
        first, last = min(start, statement.cue_start), max(stop, statement.cue_start + len(statement.cue))
        if last - first <= stop - start + _NEAR:
            start, stop = first, last
    return text[start:stop]


def _stances(predictor: Predictor, texts: Sequence[str], claims: Sequence[str]) -> list[tuple[str, ...]]:
    predictions = predictor.predict([(text, claim) for text in texts for claim in claims])
    stances = [each.stance or NONE for each in predictions]
    return [tuple(stances[at : at + len(claims)]) for at in range(0, len(stances), max(len(claims), 1))]


def print_articles(report: ArticleReport, articles: int) -> None:
    """Print what was found, by kind of statement."""
    table = Table(title=f"{articles} articles, {report.found.gold} statements", title_justify="left")
    for column in ("kind", "gold", "found", "exact", "speaker", "stance of gold words", "stance end to end"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for kind in (*KINDS, "all"):
        rows = [each for each in report.readings if kind in (each.gold.kind, "all")]
        if rows:
            shares = (
                _share([each.given is not None for each in rows]),
                _share([each.exact for each in rows]),
                _share([each.speaker for each in rows]),
                _share([a == b for each in rows for a, b in zip(each.gold.stances, each.of_gold, strict=True)]),
                _share([each.of_given[at : at + 1] == (a,) for each in rows for at, a in enumerate(each.gold.stances)]),
            )
            table.add_row(kind, f"{len(rows)}", *shares)
    screen = console()
    screen.print(table)
    counts = report.found
    screen.print(f"statements found: precision {counts.precision:.3f}, recall {counts.recall:.3f}, F1 {counts.f1:.3f}")


def _share(right: Sequence[bool]) -> str:
    return f"{sum(right) / max(len(right), 1):.3f}"
