"""What a corpus is made of and whether it keeps what its card promises: counts, shares, agreement of its annotators."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from claimstance.alignment import CLAIM
from claimstance.errors import RecordError
from claimstance.features import FeatureExtractor
from claimstance.lexicon import Lexicon
from claimstance.records import LABELS, NONE, Pair, read_json_lines
from claimstance.words import read_words
from evaluation.agreement import MISSING, alpha_by_label, krippendorff_alpha

HARD_CASES = (
    "report",
    "allege",
    "likely",
    "media",
    "affirm",
    "evidence",
    "yes_true",
    "undeniable",
    "concede_part",
    "deny_verb",
    "affirm_not",
    "relay_rebut",
    "counterfactual",
    "rule_out",
    "number_correction",
    "no_denial",
    "doubt",
    "question_condition",
    "off_topic",
)
"""The rows of the guidelines' hard-case table, by the name that ``Pair.pattern`` gives them."""

ANNOTATORS = ("author", "annotator-1", "annotator-2")
ADJUDICATED = "adjudicated"
_LONG_WORDS = (40, 80)


@dataclass(frozen=True)
class Figure:
    """One figure of a corpus: its value, the bounds it must keep (None: open), and how it is shown."""

    name: str
    value: float
    least: float | None = None
    most: float | None = None
    shown: str = "{:.1%}"

    @property
    def kept(self) -> bool:
        """Whether the value keeps its bounds."""
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def wanted(self) -> str:
        """The bounds in words; empty where there are none."""
        bounds = [("at least ", self.least), ("at most ", self.most)]
        return " and ".join(word + self.shown.format(bound) for word, bound in bounds if bound is not None)


def figures_of(pairs: Sequence[Pair], lexicon: Lexicon) -> Iterator[Figure]:
    """Yield the figures of composition that the card promises.

    Args:
        pairs: all pairs of all splits.
        lexicon: tells content words from function words.
    """
    count = len(pairs)
    quotes = list({(pair.event, pair.quote): pair for pair in pairs}.values())
    yield Figure("pairs", count, least=3000, shown="{:,.0f}")
    yield Figure("events", len({pair.event for pair in pairs}), least=300, shown="{:,.0f}")
    yield Figure("Arabic", _share(pairs, lambda pair: pair.lang == "ar"), least=0.70, most=0.80)
    topics = Counter(pair.topic for pair in pairs)
    yield Figure("topics", len(topics), least=10, shown="{:.0f}")
    yield Figure("largest topic", max(topics.values()) / count, most=0.20)
    for label in LABELS:
        least, most = (0.15, 0.20) if label == NONE else (0.25, 0.30)
        yield Figure(f"labelled {label}", _share(pairs, lambda pair, label=label: pair.stance == label), least, most)
    yield Figure("pairs in contrast groups", _share(pairs, lambda pair: bool(pair.contrast)), least=0.35)
    yield Figure("quotes without a reporting verb", _share(quotes, lambda pair: pair.form == "bare"), least=1 / 3)
    lengths = np.diff(read_words([pair.quote for pair in quotes]).first)
    long = (lengths >= _LONG_WORDS[0]) & (lengths <= _LONG_WORDS[1])
    yield Figure("quotes of 40 to 80 words", float(long.mean()), least=0.20)
    yield Figure("stances in other words than the claim's", _paraphrased(pairs, lexicon), least=1 / 3)
    patterns = Counter(pair.pattern for pair in pairs)
    rarest = min(HARD_CASES, key=patterns.__getitem__)
    yield Figure(f"rarest hard case ({rarest})", patterns[rarest], least=25, shown="{:.0f}")
    yield Figure("genres", len({pair.genre for pair in pairs}), least=7, shown="{:.0f}")


def _share(pairs: Sequence[Pair], chosen: Callable[[Pair], bool]) -> float:
    return sum(map(chosen, pairs)) / max(len(pairs), 1)


def _paraphrased(pairs: Sequence[Pair], lexicon: Lexicon) -> float:
    """The share of pairs with a stance whose quote has fewer than a third of the claim's content words."""
    taken = [pair for pair in pairs if pair.stance != NONE]
    extractor = FeatureExtractor(lexicon, np.ones(1 << 16, dtype=np.float32), {})
    view = extractor.view([pair.quote for pair in taken], [pair.claim for pair in taken])
    exact, *_ = view.content_met[CLAIM].shares
    return float((exact < 1 / 3).mean())


@dataclass(frozen=True)
class Annotations:
    """Labels before adjudication: ``pairs`` (n ids) and ``table`` (n × 3 indices into LABELS, author first)."""

    pairs: tuple[str, ...]
    table: np.ndarray


def read_annotations(path: str | os.PathLike[str], pairs: Mapping[str, Pair]) -> Annotations:
    """Read the labels that author and annotators gave, and check that the corpus carries what they came to.

    Args:
        path: JSONL with ``pair``, ``annotator``, ``label`` and ``rule``.
        pairs: the corpus by id.

    Raises:
        RecordError: a line names an unknown pair, annotator or label, a pair lacks a label, or the corpus has another
            label than the adjudicated or else the unanimous one.
    """
    given: dict[str, dict[str, str]] = {name: {} for name in (*ANNOTATORS, ADJUDICATED)}
    for number, row in read_json_lines(path):
        pair, annotator, label = row.get("pair"), row.get("annotator"), row.get("label")
        if not isinstance(pair, str) or pair not in pairs:
            raise RecordError(f"{path}:{number}: pair {pair!r} is not in the corpus")
        if not isinstance(annotator, str) or annotator not in given:
            raise RecordError(f"{path}:{number}: annotator {annotator!r} is not one of {', '.join(given)}")
        if label not in LABELS:
            raise RecordError(f"{path}:{number}: label {label!r} is not one of {', '.join(LABELS)}")
        if pair in given[annotator]:
            raise RecordError(f"{path}:{number}: {annotator} has labelled {pair!r} already, expected one line each")
        given[annotator][pair] = label
    for pair in pairs.values():
        labels = [given[annotator].get(pair.id) for annotator in ANNOTATORS]
        if None in labels:
            missing = ANNOTATORS[labels.index(None)]
            raise RecordError(
                f"{path}: pair {pair.id!r} has no label by {missing}, expected one by each of {ANNOTATORS}"
            )
        final = given[ADJUDICATED].get(pair.id, labels[0] if len(set(labels)) == 1 else None)
        if final != pair.stance:
            raise RecordError(f"{path}: pair {pair.id!r} came to {final}, but the corpus says {pair.stance}")
    index = {label: number for number, label in enumerate(LABELS)}
    table = [
        [index[given[annotator][pair]] if pair in given[annotator] else MISSING for annotator in ANNOTATORS]
        for pair in pairs
    ]
    return Annotations(tuple(pairs), np.array(table))


def agreement_of(annotations: Annotations, pairs: Mapping[str, Pair]) -> Iterator[Figure]:
    """Yield Krippendorff's α before adjudication: over all, between the two blind annotators, by label and by pattern."""
    count = len(LABELS)
    yield Figure(
        "α, author and both annotators", krippendorff_alpha(annotations.table, count), least=0.85, shown="{:.3f}"
    )
    yield Figure("α, the two blind annotators", krippendorff_alpha(annotations.table[:, 1:], count), shown="{:.3f}")
    for label, alpha in zip(LABELS, alpha_by_label(annotations.table, count), strict=True):
        yield Figure(f"α of {label} against the rest", float(alpha), shown="{:.3f}")
    patterns = np.array([pairs[name].pattern for name in annotations.pairs])
    alphas = {name: krippendorff_alpha(annotations.table[patterns == name], count) for name in np.unique(patterns)}
    # A pattern on which everyone gave one label has no alpha: nothing was there to disagree on.
    lowest = min(alphas, key=lambda name: np.inf if np.isnan(alphas[name]) else alphas[name])
    yield Figure(f"α of the least agreed pattern ({lowest})", alphas[lowest], shown="{:.3f}")
    for name, alpha in sorted(alphas.items(), key=lambda item: item[1]):
        if not np.isnan(alpha):
            yield Figure(f"α on pattern {name}", alpha, shown="{:.3f}")
