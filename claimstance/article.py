"""An article as a list of statements: its sentences, each with the speaker where the sentence names one plainly."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from claimstance.lexicon import FUNCTION, Lexicon, Reading
from claimstance.words import read_words

_SENTENCE_END = re.compile(r"(?<=[.!?؟…])[\"”»“'’)\]]*(?=\s)|\n+")
_WORD = re.compile(r"[^\W_]+(?:[\u064B-\u0652\u0670\u0640'’]+[^\W_]*)*")
_SHORTEST_SENTENCE = 4
_LONGEST_SPEAKER = 6
_ABBREVIATION = re.compile(r"(?:\b[^\W\d_]|\b(?:Mr|Mrs|Ms|Dr|St|No|Gen|Sen|Rep|Col|Lt|Prof))\.$")
_COMMAS = "،,"
_QUOTATION_ENDS = (",", '"', "”", "’", "»")
_COMPLEMENTISER = re.compile(r"[وف]?ب?[أإ]ن|that$")


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of an article: its text, the character offsets of that text in the article, and who is named as
    saying it (empty where that is not plain)."""

    text: str
    start: int
    stop: int
    speaker: str


def read_statements(article: str, lexicon: Lexicon) -> list[Statement]:
    """Split an article into sentences; headings, tags and other lines of fewer than four words are left out."""
    statements = []
    for start, stop in _sentence_bounds(article):
        text = article[start:stop]
        if len(_WORD.findall(text)) >= _SHORTEST_SENTENCE:
            statements.append(Statement(text, start, stop, speaker_of(text, lexicon)))
    return statements


def _sentence_bounds(article: str) -> list[tuple[int, int]]:
    bounds, start = [], 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(article)), len(article)]:
        # Offsets are into the article, so the piece is looked at in place: a window keeps this linear.
        if article[max(start, end - 8) : end].rstrip() and _ABBREVIATION.search(article[max(start, end - 8) : end]):
            continue
        piece = article[start:end]
        left = start + len(piece) - len(piece.lstrip())
        right = start + len(piece.rstrip())
        if right > left:
            bounds.append((left, right))
        start = end
    return bounds


def speaker_of(sentence: str, lexicon: Lexicon) -> str:
    """Return the words that a reporting verb names as its subject, as they stand; empty where none does so plainly.

    The subject follows the verb («قال وزير الصحة إن…», "said the minister") or stands right before it between a comma
    or the start and the verb («…، ديمتري بيسكوف، قال إن», "The minister said").
    """
    words = list(_WORD.finditer(sentence))
    if not words:
        return ""
    reading = lexicon.read(read_words([match.group() for match in words]))
    if reading.classes.size != len(words):
        return ""
    reporting = np.flatnonzero(reading.has("assert", "ratify", "deny", "allege"))
    for verb in reporting[:3].tolist():
        arabic = "\u0600" <= words[verb].group()[0] <= "\u06ff"
        fronted = sentence[: words[verb].start()].rstrip().endswith(_QUOTATION_ENDS)
        after = _following(sentence, words, verb, reading) if arabic or fronted else ""
        before = _preceding(sentence, words, verb, reading, between_commas=arabic)
        first, second = (after, before) if arabic else (before, after)
        if first or second:
            return first or second
    return ""


def _following(sentence: str, words: list[re.Match[str]], verb: int, reading: Reading) -> str:
    """Return the words after a verb up to a mark, a complementiser or a preposition; empty if anything else ends them."""
    function = (reading.classes & FUNCTION) != 0
    object_follows = reading.has("ratify", "deny")
    for index in range(verb + 1, min(verb + 2 + _LONGEST_SPEAKER, len(words))):
        gap = sentence[words[index - 1].end() : words[index].start()]
        closed = gap.strip().strip("\u200f\u200e") != "" and not _is_title(words[index - 1].group(), gap)
        if index == verb + 1 and words[index].group() in ("the", "a", "an"):
            continue
        if closed or function[index]:
            # «نفى الوزير وصول…»: without a mark or «أن», the object of denying and confirming runs into the subject.
            plain = closed or _COMPLEMENTISER.match(words[index].group()) or not object_follows[verb]
            return sentence[words[verb + 1].start() : words[index - 1].end()] if plain and index > verb + 1 else ""
        if reading.classes[index]:
            return ""
    ended = len(words) - verb - 1 <= _LONGEST_SPEAKER and not object_follows[verb]
    return sentence[words[verb + 1].start() : words[-1].end()] if ended and verb + 1 < len(words) else ""


def _is_title(word: str, gap: str) -> bool:
    return gap.strip() == "." and _ABBREVIATION.search(f"{word}.") is not None


def _preceding(sentence: str, words: list[re.Match[str]], verb: int, reading: Reading, *, between_commas: bool) -> str:
    """Return the words before a verb back to a mark or the start; Arabic puts a comma between such a subject and it."""
    if verb == 0:
        return ""
    mark = sentence[words[verb - 1].end() : words[verb].start()].strip()
    if between_commas and mark not in tuple(_COMMAS):
        return ""
    first = verb
    while first > 0 and verb - first <= _LONGEST_SPEAKER:
        gap = sentence[words[first - 1].end() : words[first].start()]
        if gap.strip() and not (first == verb and gap.strip() in _COMMAS):
            break
        first -= 1
    named = (reading.classes[first:verb] & FUNCTION) == 0
    if verb - first > _LONGEST_SPEAKER or not named.any():
        return ""
    return sentence[words[first].start() : words[verb - 1].end()]
