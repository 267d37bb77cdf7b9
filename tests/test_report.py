"""The report on a model: every part is there, its figures are those of what the model predicts, and it never varies."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics

from claimstance.bundle import bundle_digest, write_bundle
from claimstance.predictor import Predictor
from claimstance.records import read_json_lines, write_json_lines
from evaluation import metrics
from evaluation.behaviour import DIRECTED, INVARIANCES, read_cases
from evaluation.evidence import Evidence, Record, evidence_folder, read_evidence, write_record
from evaluation.page import report_page, write_report
from evaluation.report import Report, make_report
from evaluation.scoring import LabelledPairs, read_labelled, score_model
from training.config import Config
from training.corpus import load_corpus
from training.models import fit

NAMES = {"bundle": "0" * 64, "source": "pairs.jsonl", "sha256": "1" * 64}
PARTS = {
    "model": {"name", "labels", "abstain_label", "threshold", "inputs", "trained_on", "sha256"},
    "data": {"source", "sha256", "pairs", "events"},
    "figures": {"macro_f1", "accuracy", "coverage", "calibration_error", "brier_score", "accuracy_at_80_coverage"},
    "intervals": {"macro_f1"},
    "confusion": {"labels", "rows_true"},
    "shortcuts": {"readings", "best", "gain", "interval"},
    "contrasts": {"groups", "all_right", "outcomes", "swap_unchanged", "other_event_abstained"},
    "behaviour": {"by_kind", "not_asked", "failures"},
    "calibration": {"bins", "conformal"},
}
LISTS = {
    "slices": {"dimension", "value", "pairs", "events", "accuracy", "interval", "macro_f1"},
    "mistakes": {"id", "quote", "claim", "truth", "predicted", "confidence", "parts", "words"},
    "doubted_labels": {"id", "quote", "claim", "label", "likelier", "quality"},
}


def trained(config: Config, folder: Path) -> Predictor:
    """Train a small model and export it."""
    corpus = load_corpus(config)
    write_bundle(fit(config, corpus.splits["train"], corpus.splits["validation"], {}).bundle, folder)
    return Predictor.load(folder)


def variant(config: Config, **changes: object) -> Config:
    """The same run with a model of other settings."""
    return config.model_copy(update={"model": config.model.model_copy(update=changes)})


@pytest.fixture(scope="module")
def quotes_only(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """The small model trained blind to claims."""
    return trained(variant(small_config, inputs="quote"), tmp_path_factory.mktemp("blind") / "quotes")


@pytest.fixture(scope="module")
def evidence(predictor: Predictor, quotes_only: Predictor) -> Evidence:
    """What training leaves: a model blind to claims, and one of another seed."""
    record = Record("0" * 64, "1" * 64, {"quote alone": "blind"}, {"1": "seed"}, {})
    return Evidence(record, {"quote alone": quotes_only}, {"1": quotes_only}, np.zeros((0, 4)))


@pytest.fixture(scope="module")
def pairs(predictor: Predictor, small_corpus: Path) -> LabelledPairs:
    return read_labelled(small_corpus / "validation.jsonl", predictor)


@pytest.fixture(scope="module")
def report(predictor: Predictor, pairs: LabelledPairs, evidence: Evidence) -> Report:
    return make_report(predictor, pairs, evidence=evidence, **NAMES)


@pytest.fixture(scope="module")
def body(report: Report) -> dict[str, Any]:
    """What report.json holds, read as strict JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(report.to_json(), parse_constant=refuse)


@pytest.fixture(scope="module")
def said(predictor: Predictor, pairs: LabelledPairs) -> list[str]:
    """What the model says of each pair, ``none`` where it abstains."""
    predictions = predictor.predict(list(zip(pairs.quotes, pairs.claims, strict=True)))
    return [prediction.stance or "none" for prediction in predictions]


def test_the_json_holds_every_part(body: dict[str, Any], pairs: LabelledPairs) -> None:
    assert set(body) == {*PARTS, *LISTS, "seeds"}
    for part, names in PARTS.items():
        assert names <= set(body[part]), part
    for part, names in LISTS.items():
        assert body[part] and all(names <= set(item) for item in body[part]), part
    assert {"topic", "genre", "construction", "quote length"} <= {part["dimension"] for part in body["slices"]}
    assert [sets["level"] for sets in body["calibration"]["conformal"]] == [0.8, 0.9, 0.95]
    assert body["data"] == {
        "source": "pairs.jsonl",
        "sha256": "1" * 64,
        "pairs": len(pairs),
        "events": len(set(pairs.events)),
    }


def test_label_figures_are_those_of_the_predictions(
    body: dict[str, Any], pairs: LabelledPairs, said: list[str]
) -> None:
    labels, figures = body["confusion"]["labels"], body["figures"]
    expected = sklearn.metrics.confusion_matrix(pairs.labels, said, labels=labels)
    np.testing.assert_array_equal(body["confusion"]["rows_true"], expected)
    table = sklearn.metrics.precision_recall_fscore_support(pairs.labels, said, labels=labels, zero_division=0)
    for name, values in zip(("precision", "recall", "f1"), table[:3], strict=True):
        assert [figures[f"{name}_{label}"] for label in labels] == pytest.approx(values)
    assert figures["macro_f1"] == pytest.approx(np.mean(table[2][:3]))
    low, high = body["intervals"]["macro_f1"]
    assert low < figures["macro_f1"] < high


def test_slice_figures_are_those_of_the_predictions_on_the_slice(
    body: dict[str, Any], pairs: LabelledPairs, said: list[str]
) -> None:
    for part in body["slices"]:
        if part["dimension"] not in ("topic", "genre"):
            continue
        member = [value == part["value"] for value in pairs.slices[part["dimension"]]]
        truth, given = (
            [value for value, inside in zip(side, member, strict=True) if inside] for side in (pairs.labels, said)
        )
        assert part["pairs"] == len(truth)
        assert part["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(truth, given))
        stances = ["assert", "deny", "confirm"]
        if min(truth.count(stance) for stance in stances) < 5:
            assert part["macro_f1"] is None
        else:
            expected = sklearn.metrics.f1_score(truth, given, labels=stances, average="macro")
            assert part["macro_f1"] == pytest.approx(expected)
    for dimension in ("topic", "quote length"):
        assert sum(part["pairs"] for part in body["slices"] if part["dimension"] == dimension) == len(pairs)


def test_shortcuts_are_what_the_blind_models_reach(
    body: dict[str, Any], pairs: LabelledPairs, quotes_only: Predictor
) -> None:
    blind = score_model(quotes_only, pairs).figures
    shortcuts, figures = body["shortcuts"], body["figures"]
    readings = {reading["reads"]: reading["macro_f1"] for reading in shortcuts["readings"]}
    commonest = max(("assert", "deny", "confirm"), key=pairs.labels.count)
    alike = [commonest] * len(pairs)
    nothing = sklearn.metrics.f1_score(pairs.labels, alike, labels=["assert", "deny", "confirm"], average="macro")
    assert list(readings) == ["quote and claim", "quote alone", "nothing: the commonest stance"]
    assert list(readings.values()) == pytest.approx([figures["macro_f1"], blind["macro_f1"], nothing])
    assert shortcuts["best"] == max(list(readings)[1:], key=readings.__getitem__)
    assert shortcuts["gain"] == pytest.approx(readings["quote and claim"] - readings[shortcuts["best"]])
    assert shortcuts["interval"][0] < shortcuts["gain"] < shortcuts["interval"][1]
    assert figures[metrics.SHORTCUT_GAIN] == shortcuts["gain"]
    assert body["seeds"] == [figures["macro_f1"], blind["macro_f1"]]
    assert figures[metrics.SEEDS_MEAN] == pytest.approx(np.mean(body["seeds"]))
    assert figures[metrics.SEEDS_DEVIATION] == pytest.approx(np.std(body["seeds"], ddof=1))


def test_without_evidence_the_page_says_that_shortcuts_were_not_measured(
    predictor: Predictor, pairs: LabelledPairs
) -> None:
    report = make_report(predictor, pairs, **NAMES)
    body = json.loads(report.to_json())
    assert body["shortcuts"] is None and body["seeds"] == [body["figures"]["macro_f1"]]
    assert not {metrics.SHORTCUT_GAIN, metrics.SEEDS_MEAN, metrics.SEEDS_DEVIATION} & set(body["figures"])
    page = report_page(report)
    assert "Not measured: the blind variants" in page and "macro-F1 over quote alone" not in page


def test_small_changes_are_counted_as_they_come_out(
    body: dict[str, Any], predictor: Predictor, pairs: LabelledPairs, said: list[str]
) -> None:
    groups: dict[str, list[bool]] = {}
    for name, truth, given in zip(pairs.contrasts, pairs.labels, said, strict=True):
        if name:
            groups.setdefault(name, []).append(truth == given)
    contrasts = body["contrasts"]
    assert (contrasts["groups"], contrasts["all_right"]) == (len(groups), sum(map(all, groups.values())))
    swapped = predictor.predict(list(zip(pairs.claims, pairs.quotes, strict=True)))
    kept = [(prediction.stance or "none") == given for prediction, given in zip(swapped, said, strict=True)]
    assert contrasts["swap_unchanged"] == body["figures"][metrics.SWAP_UNCHANGED] == pytest.approx(np.mean(kept))


def test_behaviour_lists_every_failure(body: dict[str, Any], predictor: Predictor) -> None:
    failed, rates = [], {}
    for case in read_cases():
        before, after = predictor.predict([(case.quote, case.claim), (case.after_quote, case.after_claim)])
        was, is_now = before.stance or "none", after.stance or "none"
        passed = was == is_now if case.kind in INVARIANCES else was == case.stance and is_now in case.expected
        rates.setdefault(case.kind, []).append(passed)
        if not passed:
            failed.append((case.id, was, is_now))
    behaviour, figures = body["behaviour"], body["figures"]
    assert failed
    found = [(failure["case"]["id"], failure["before"], failure["after"]) for failure in behaviour["failures"]]
    assert found == failed
    counts = {kind: {"passed": sum(passed), "cases": len(passed)} for kind, passed in rates.items()}
    assert (behaviour["by_kind"], behaviour["not_asked"]) == (counts, 0)
    for name, kinds in ((metrics.INVARIANCE_PASS_RATE, INVARIANCES), (metrics.DIRECTED_PASS_RATE, DIRECTED)):
        assert figures[name] == pytest.approx(np.mean([np.mean(rates[kind]) for kind in kinds]))


def test_calibration_and_prediction_sets_are_of_these_pairs(body: dict[str, Any], pairs: LabelledPairs) -> None:
    bins = np.array(body["calibration"]["bins"])
    assert bins[:, 2].sum() == len(pairs) and (np.diff(bins[:, 0]) >= 0).all()
    error = np.abs(bins[:, 0] - bins[:, 1]) @ bins[:, 2] / len(pairs)
    assert body["figures"]["calibration_error"] == pytest.approx(error)
    conformal = body["calibration"]["conformal"]
    for sets in conformal:
        assert body["figures"][f"conformal_coverage_{100 * sets['level']:.0f}"] == sets["coverage"]
        assert abs(sets["coverage"] - sets["level"]) < 0.15
    sizes = [sets["size"] for sets in conformal]
    assert sizes == sorted(sizes)


def test_mistakes_and_doubts_are_the_surest_wrong_stances_and_the_least_likely_labels(
    body: dict[str, Any], report: Report, pairs: LabelledPairs, said: list[str]
) -> None:
    confidence = report.scores.confidence
    both = zip(pairs.labels, said, strict=True)
    wrong = [index for index, (truth, given) in enumerate(both) if given not in (truth, "none")]
    wrong.sort(key=lambda index: -confidence[index])
    assert [mistake["id"] for mistake in body["mistakes"]] == [pairs.ids[index] for index in wrong[:20]]
    for mistake in body["mistakes"]:
        index = mistake["index"]
        assert (mistake["quote"], mistake["claim"]) == (pairs.quotes[index], pairs.claims[index])
        assert (mistake["truth"], mistake["predicted"]) == (pairs.labels[index], said[index])
        for side, word, _ in mistake["words"]:
            assert word in mistake[side]
    qualities = []
    for doubt in body["doubted_labels"]:
        index, probabilities = doubt["index"], report.scores.probabilities[doubt["index"]]
        assert doubt["label"] == pairs.labels[index] != doubt["likelier"]
        assert doubt["likelier"] == report.scores.labels[probabilities.argmax()]
        assert doubt["quality"] == pytest.approx(probabilities[report.scores.truth[index]])
        qualities.append(doubt["quality"])
    assert qualities == sorted(qualities)


def test_the_page_shows_what_the_json_holds(body: dict[str, Any], report: Report) -> None:
    page = " ".join(report_page(report).split())
    for section in ("labels", "slices", "shortcuts", "contrasts", "behaviour", "calibration", "mistakes", "doubts"):
        assert f'<h2 id="{section}">' in page and f'href="#{section}"' in page
    assert page.count("<svg") == 3
    assert f"All {len(body['behaviour']['failures'])} failures" in page
    cases = sum(len(part) for part in (body["behaviour"]["failures"], body["mistakes"], body["doubted_labels"]))
    assert page.count('class="case"') == cases
    low, high = body["intervals"]["macro_f1"]
    assert f"{body['figures']['macro_f1']:.3f}" in page and f"95 % {low:.3f}–{high:.3f}" in page


def test_two_reports_are_the_same_bytes(
    tmp_path: Path, predictor: Predictor, pairs: LabelledPairs, evidence: Evidence, report: Report
) -> None:
    again = make_report(Predictor(predictor.bundle), pairs, evidence=evidence, **NAMES)
    for number, one in enumerate((report, again)):
        assert write_report(one, tmp_path / str(number)) == tmp_path / str(number) / "report.html"
    for name in ("report.html", "report.json"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()


def test_a_model_of_quotes_alone_is_not_asked_about_claims(quotes_only: Predictor, pairs: LabelledPairs) -> None:
    body = json.loads(make_report(quotes_only, pairs, **NAMES).to_json())
    assert body["contrasts"]["swap_unchanged"] is body["contrasts"]["other_event_abstained"] is None
    assert not {metrics.SWAP_UNCHANGED, metrics.OTHER_EVENT_ABSTAINED} & set(body["figures"])
    assert "negated_claim" not in body["behaviour"]["by_kind"]
    asked = sum(kind["cases"] for kind in body["behaviour"]["by_kind"].values())
    assert asked > 0 and body["behaviour"]["not_asked"] == len(read_cases()) - asked > 0


def test_a_model_of_other_labels_that_never_abstains_is_asked_invariances_alone(
    tmp_path: Path, small_config: Config, small_corpus: Path
) -> None:
    agrees = {"assert": "agree", "confirm": "agree", "deny": "disagree"}
    for split in ("train", "validation"):
        rows = [row for _, row in read_json_lines(small_corpus / f"{split}.jsonl") if row["stance"] in agrees]
        write_json_lines(tmp_path / f"{split}.jsonl", [row | {"stance": agrees[row["stance"]]} for row in rows])
    changes = {
        "labels": {"stances": ["agree", "disagree"], "abstain": None},
        "corpus": {split: str(tmp_path / f"{split}.jsonl") for split in ("train", "validation")},
    }
    predictor = trained(Config.model_validate(small_config.model_dump() | changes), tmp_path / "model")
    report = make_report(predictor, read_labelled(tmp_path / "validation.jsonl", predictor), **NAMES)
    body = json.loads(report.to_json())
    assert body["confusion"]["labels"] == ["agree", "disagree"] and body["figures"]["coverage"] == 1
    assert set(body["behaviour"]["by_kind"]) == set(INVARIANCES)
    assert body["contrasts"]["other_event_abstained"] is None and metrics.DIRECTED_PASS_RATE not in body["figures"]
    assert f"{body['behaviour']['not_asked']} cases could not be asked" in report_page(report)


@pytest.mark.parametrize("stances", [["deny"], ["none"], ["assert", "none"]], ids="-".join)
def test_few_bare_pairs_are_reported_for_what_they_are(
    tmp_path: Path, predictor: Predictor, evidence: Evidence, stances: list[str]
) -> None:
    row = {"quote": "نفى الوزير وصول أي شحنة إلى المرفأ.", "claim": "وصلت شحنة إلى المرفأ."}
    write_json_lines(tmp_path / "few.jsonl", [row | {"stance": stance} for stance in stances])
    pairs = read_labelled(tmp_path / "few.jsonl", predictor)
    report = make_report(predictor, pairs, evidence=evidence, **NAMES)
    body = json.loads(report.to_json())
    assert body["data"]["pairs"] == body["data"]["events"] == len(stances)
    assert (body["slices"], body["contrasts"]["groups"], body["doubted_labels"]) == ([], 0, [])
    page = report_page(report)
    assert "None of these pairs is in a contrast group." in page and "not every label is in these pairs" in page
    assert not re.search(r"\bnan\b", page)


def test_evidence_is_read_as_it_was_written(
    tmp_path: Path, predictor: Predictor, quotes_only: Predictor, pairs: LabelledPairs
) -> None:
    bundle, folder = tmp_path / "model", evidence_folder(tmp_path / "model")
    write_bundle(predictor.bundle, bundle)
    assert folder == tmp_path / "model.evidence" and read_evidence(bundle) is None
    write_bundle(quotes_only.bundle, folder / "blind")
    digests = {"blind": bundle_digest(folder / "blind")}
    record = Record(bundle_digest(bundle), "1" * 64, {"quote alone": "blind"}, {}, digests)
    write_record(folder, record, np.eye(4))
    found = read_evidence(bundle)
    assert found is not None and asdict(found.record) == asdict(record)
    np.testing.assert_array_equal(found.probabilities, np.eye(4))
    texts = (pairs.quotes, [""] * len(pairs))
    blind = found.blind["quote alone"]
    np.testing.assert_array_equal(blind.probabilities(*texts), quotes_only.probabilities(*texts))
