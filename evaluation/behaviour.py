"""The behavioural suite: small changes to a pair whose effect on the stance is known, as data in ``evaluation/cases/``.

A case is a pair and a changed pair. Where the change must not matter (an invariance: a vowel mark, a speaker's name), both
have to get the same label; where it must (a directed change: the claim negated, the quote hedged), the pair has to get
its label before and one of the expected labels after it. The idea is that of Ribeiro et al., "Beyond Accuracy:
Behavioral Testing of NLP Models with CheckList", ACL 2020.
"""

from __future__ import annotations

import os
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claimstance.errors import RecordError, did_you_mean
from claimstance.predictor import Predictor
from claimstance.records import LABELS, read_json_lines

CASES = Path(__file__).resolve().parent / "cases"

INVARIANCES = {
    "hamza": "hamza and madda left out",
    "alef": "alef maksura for yeh, heh for teh marbuta",
    "diacritics": "vowel marks added",
    "tatweel": "letters stretched",
    "digits": "Arabic-Indic digits for European ones",
    "punctuation": "other quotation marks, dashes and spaces",
    "bidi": "invisible direction marks added",
    "letter_case": "capitals for small letters",
    "speaker_name": "the speaker's name changed",
    "country": "the country changed on both sides",
}
DIRECTED = {
    "negated_claim": "the claim negated: deny against assert and confirm",
    "denied": "the report made a denial",
    "affirmed_not": "«confirmed that not»: the content against the verb",
    "double_negation": "a double negation that grants the claim",
    "hedged": "hedged into mere possibility: the model must abstain",
    "conditional": "made a condition or a question: the model must abstain",
}
KINDS = {**INVARIANCES, **DIRECTED}
_FIELDS = ("id", "lang", "kind", "quote", "claim", "stance", "after", "expected")


@dataclass(frozen=True)
class Case:
    """One case: a pair, its label, the changed pair, and the labels that are right for it (for an invariance, any that
    both get)."""

    id: str
    lang: str
    kind: str
    quote: str
    claim: str
    stance: str
    after_quote: str
    after_claim: str
    expected: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What a model did with a case: the label of the pair before and after the change, and whether that passes."""

    case: Case
    before: str
    after: str
    passed: bool


@dataclass(frozen=True)
class Behaviour:
    """The verdicts on every case that the model could be asked, and how many it could not: of labels it does not have, or
    of a side it does not read."""

    verdicts: tuple[Verdict, ...]
    not_asked: int

    def pass_rate(self, kinds: Container[str]) -> float:
        """The mean over some kinds of the share that pass (0 to 1; nan without any case), so that no kind hides another."""
        rates = [passed / total for kind, (passed, total) in self.by_kind.items() if kind in kinds]
        return sum(rates) / len(rates) if rates else float("nan")

    @property
    def by_kind(self) -> dict[str, tuple[int, int]]:
        """How many pass, and of how many, by kind, in the order of KINDS."""
        table = {}
        for kind in KINDS:
            passed = [verdict.passed for verdict in self.verdicts if verdict.case.kind == kind]
            if passed:
                table[kind] = (sum(passed), len(passed))
        return table

    @property
    def failures(self) -> list[Verdict]:
        """The verdicts of the cases that do not pass."""
        return [verdict for verdict in self.verdicts if not verdict.passed]


def read_cases(folder: str | os.PathLike[str] = CASES) -> list[Case]:
    """Read every JSONL file of a folder of cases.

    Raises:
        ClaimstanceError: a file or a case is malformed; the message starts with ``path:line:``.
    """
    cases, seen = [], {}
    for path in sorted(Path(folder).glob("*.jsonl")):
        for number, row in read_json_lines(path):
            try:
                case = _case(row)
            except RecordError as error:
                raise RecordError(f"{path}:{number}: {error}") from None
            if case.id in seen:
                raise RecordError(f"{path}:{number}: id {case.id!r} stands at {seen[case.id]} already")
            seen[case.id] = f"{path}:{number}"
            cases.append(case)
    if not cases:
        raise RecordError(f"{folder}: no case in any .jsonl file")
    return cases


def _case(row: dict[str, Any]) -> Case:
    for name in row:
        if name not in _FIELDS:
            raise RecordError(f"unknown field {name!r}, expected {', '.join(_FIELDS)}{did_you_mean(name, _FIELDS)}")
    for name in _FIELDS[:-2]:
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise RecordError(f"{name} is missing or empty, expected a text")
    kind, after = row["kind"], row.get("after")
    if kind not in KINDS:
        raise RecordError(f"kind {kind!r} is not one of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    if not isinstance(after, dict) or not after or set(after) - {"quote", "claim"}:
        raise RecordError('after is no object with "quote", "claim" or both')
    if not all(isinstance(text, str) and text.strip() for text in after.values()):
        raise RecordError("after has an empty side, expected texts")
    changed = {"quote": row["quote"], "claim": row["claim"], **after}
    if changed == {"quote": row["quote"], "claim": row["claim"]}:
        raise RecordError("after changes nothing")
    expected = row.get("expected", [])
    if not isinstance(expected, list) or bool(expected) != (kind in DIRECTED):
        raise RecordError("expected names the labels after a directed change, and is left out of an invariance")
    for label in (row["stance"], *expected):
        if label not in LABELS:
            raise RecordError(f"label {label!r} is not one of {', '.join(LABELS)}{did_you_mean(label, LABELS)}")
    given = (row[name] for name in _FIELDS[:-2])
    return Case(*given, changed["quote"], changed["claim"], tuple(expected))


def examine_behaviour(predictor: Predictor, cases: Sequence[Case]) -> Behaviour:
    """Put every case to a model that can be asked: its labels hold the case's, and it reads the side that changes."""
    manifest = predictor.manifest
    asked = [
        case
        for case in cases
        if {case.stance, *case.expected} <= set(manifest.labels) or case.kind in INVARIANCES
        if manifest.inputs == "pair" or _changes(case, manifest.inputs)
    ]
    before = predictor.predict([(case.quote, case.claim) for case in asked])
    after = predictor.predict([(case.after_quote, case.after_claim) for case in asked])
    verdicts = []
    for case, first, second in zip(asked, before, after, strict=True):
        was, is_now = first.stance or manifest.abstain_label, second.stance or manifest.abstain_label
        passed = was == case.stance and is_now in case.expected if case.expected else was == is_now
        verdicts.append(Verdict(case, was, is_now, passed))
    return Behaviour(tuple(verdicts), len(cases) - len(asked))


def _changes(case: Case, side: str) -> bool:
    return (case.quote != case.after_quote) if side == "quote" else (case.claim != case.after_claim)
