"""Experiments: the best candidate is exported and scored from its export; a failure exports nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from claimstance.bundle import bundle_digest
from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from claimstance.records import read_pairs, write_json_lines
from evaluation import metrics
from evaluation.evidence import evidence_folder, read_evidence
from evaluation.scoring import read_labelled, score_model
from training.__main__ import main
from training.config import Config
from training.corpus import load_corpus
from training.cross_validation import cross_validate, cross_validated_pairs
from training.experiment import Outcome, run_experiment
from training.models import fit

BETTER = {"overlap": 0.4, "cues": 1.0, "polarity": 1.0}
WORSE = {"bag": 0.01}


def candidate(small: Config, export: Path, name: str, families: dict[str, float], **parts: Any) -> Config:
    """A quick candidate over the small corpus."""
    content = small.model_dump()
    content["model"] = {**content["model"], "families": families}
    return Config.model_validate({**content, "name": name, "export": str(export), **parts})


def everything_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def quiet(line: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("experiment") / "exports" / "champion"


@pytest.fixture(scope="module")
def outcome(small_config: Config, export: Path) -> Outcome:
    """Two candidates, the worse one first."""
    configs = [candidate(small_config, export, *each) for each in (("worse", WORSE), ("better", BETTER))]
    return run_experiment(configs, quiet)


def test_the_best_by_validation_macro_f1_is_exported(outcome: Outcome, export: Path) -> None:
    figures = {each.config.name: each.validation.figures["macro_f1"] for each in outcome.candidates}
    assert figures["better"] > figures["worse"]
    assert [each.config.name for each in outcome.candidates] == ["better", "worse"]
    assert Predictor.load(export).manifest.name == outcome.chosen.config.name == "better"


def test_its_scores_come_from_the_exported_bundle(outcome: Outcome, export: Path, small_corpus: Path) -> None:
    predictor = Predictor.load(export)
    again = score_model(predictor, read_labelled(small_corpus / "validation.jsonl", predictor))
    report = outcome.chosen.validation
    assert again.figures == report.scores.figures
    assert again.interval == report.scores.interval
    np.testing.assert_array_equal(again.probabilities, report.scores.probabilities)
    assert report.bundle == bundle_digest(export)


def test_the_evidence_and_the_validation_report_stand_beside_the_export(outcome: Outcome, export: Path) -> None:
    evidence = read_evidence(export)
    assert evidence is not None and set(evidence.blind) == {"quote alone", "claim alone", "cue words alone"}
    kept = evidence_folder(export) / "validation-report"
    assert json.loads((kept / "report.json").read_text(encoding="utf-8"))["figures"] == pytest.approx(
        outcome.chosen.validation.figures
    )
    assert (kept / "report.html").is_file()
    assert not (evidence_folder(export) / "test-report").exists()


def test_the_order_of_candidates_decides_nothing(
    outcome: Outcome, export: Path, small_config: Config, tmp_path: Path
) -> None:
    other = tmp_path / "champion"
    configs = [candidate(small_config, other, *each) for each in (("better", BETTER), ("worse", WORSE))]
    assert run_experiment(configs, quiet).chosen.config.name == "better"
    assert bundle_digest(other) == bundle_digest(export)


def test_the_first_named_wins_a_tie(small_config: Config, tmp_path: Path) -> None:
    configs = [candidate(small_config, tmp_path / "champion", name, {"cues": 1.0}) for name in ("zeta", "alpha")]
    assert run_experiment(configs, quiet).chosen.config.name == "zeta"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("corpus", None),
        ("labels", {"stances": ["confirm", "deny", "assert"], "abstain": "none"}),
        ("export", "exports/elsewhere"),
        ("evaluation", {"cross_validation": 3}),
    ],
)
def test_candidates_that_differ_in_what_they_are_compared_by_are_refused_before_anything_is_written(
    small_config: Config, small_corpus: Path, tmp_path: Path, part: str, value: Any
) -> None:
    one = candidate(small_config, tmp_path / "champion", "one", {"cues": 1.0})
    if part == "corpus":
        path = str(small_corpus / "validation.jsonl")
        value = {"source": path}
    other = Config.model_validate({**one.model_dump(), "name": "other", part: value})
    with pytest.raises(ClaimstanceError, match=f"one and other differ in {part}"):
        run_experiment([one, other], quiet)
    assert everything_under(tmp_path) == []


def test_two_candidates_of_one_name_are_refused(small_config: Config, tmp_path: Path) -> None:
    one = candidate(small_config, tmp_path / "champion", "one", {"cues": 1.0})
    with pytest.raises(ClaimstanceError, match="two candidates are called one"):
        run_experiment([one, one], quiet)


def failing(small: Config, export: Path) -> Config:
    """A candidate whose word lists are not there, so that it fails in the middle."""
    model = {"families": {"cues": 1.0}, "lexicons": [str(export.parent / "nowhere.yaml")]}
    return Config.model_validate({**small.model_dump(), "name": "failing", "export": str(export), "model": model})


def test_a_failing_candidate_leaves_no_export(small_config: Config, tmp_path: Path) -> None:
    target = tmp_path / "champion"
    configs = [candidate(small_config, target, "good", {"cues": 1.0}), failing(small_config, target)]
    with pytest.raises(ClaimstanceError, match=r"nowhere\.yaml: no such file"):
        run_experiment(configs, quiet)
    assert everything_under(tmp_path) == []


def test_a_failing_candidate_leaves_the_last_export_as_it_was(small_config: Config, tmp_path: Path) -> None:
    target = tmp_path / "champion"
    run_experiment([candidate(small_config, target, "good", {"cues": 1.0})], quiet)
    before, files = bundle_digest(target), everything_under(tmp_path)
    with pytest.raises(ClaimstanceError):
        run_experiment([failing(small_config, target)], quiet)
    assert (bundle_digest(target), everything_under(tmp_path)) == (before, files)


def test_an_export_folder_with_other_things_in_it_is_not_replaced(small_config: Config, tmp_path: Path) -> None:
    letters = tmp_path / "data" / "letters.txt"
    letters.parent.mkdir()
    letters.write_text("رسائل", encoding="utf-8")
    with pytest.raises(ClaimstanceError, match="data"):
        run_experiment([candidate(small_config, letters.parent, "careless", {"cues": 1.0})], quiet)
    assert letters.read_text(encoding="utf-8") == "رسائل"


def test_an_export_does_not_keep_the_reports_of_the_one_before(small_config: Config, tmp_path: Path) -> None:
    (tmp_path / "chosen.evidence/test-report").mkdir(parents=True)
    run_experiment([candidate(small_config, tmp_path / "chosen", "one", {"cues": 1.0})], quiet)
    assert read_evidence(tmp_path / "chosen") is not None
    assert not (tmp_path / "chosen.evidence/test-report").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chosen", "chosen.evidence"]


def test_test_figures_need_a_test_split(small_config: Config, tmp_path: Path) -> None:
    config = candidate(small_config, tmp_path / "champion", "one", {"cues": 1.0}, evaluation={"test": True})
    with pytest.raises(ClaimstanceError, match="the corpus has no test split"):
        run_experiment([config], quiet)
    assert everything_under(tmp_path) == []


def test_an_undivided_corpus_is_split_and_its_test_part_scored(
    small_config: Config, small_corpus: Path, tmp_path: Path
) -> None:
    corpus = {"source": str(small_corpus / "train.jsonl"), "splits": {"validation": 0.25, "test": 0.25}}
    config = candidate(
        small_config, tmp_path / "champion", "one", {"cues": 1.0}, corpus=corpus, evaluation={"test": True}
    )
    outcome = run_experiment([config], quiet)
    test = load_corpus(config).splits["test"]
    assert outcome.test is not None
    assert outcome.test.scores.truth.tolist() == test["stance"][:]
    assert Predictor.load(config.export).probabilities(test["quote"][:], test["claim"][:]) == pytest.approx(
        outcome.test.scores.probabilities
    )


@dataclass(frozen=True)
class Tested:
    """Two candidates trained with a test split that is labelled just as the worse one predicts, and the quotes that each
    was asked about."""

    outcome: Outcome
    evidence: Path
    quotes: set[str]
    asked: dict[str, set[str]]


@pytest.fixture(scope="module")
def tested(small_config: Config, small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Tested:
    folder = tmp_path_factory.mktemp("tested")
    pairs = read_pairs(small_corpus / "train.jsonl")
    held_out = set(sorted({pair.event for pair in pairs})[1::2])
    write_json_lines(folder / "train.jsonl", [pair.to_dict() for pair in pairs if pair.event not in held_out])
    corpus = {"train": str(folder / "train.jsonl"), "validation": str(small_corpus / "validation.jsonl")}
    worse = candidate(small_config, folder, "worse", WORSE, corpus=corpus)
    splits = load_corpus(worse).splits
    kept = [pair for pair in pairs if pair.event in held_out]
    given = Predictor(fit(worse, splits["train"], splits["validation"], {}).bundle).predict(kept)
    rows = [pair.to_dict() | {"stance": each.stance or "none"} for pair, each in zip(kept, given, strict=True)]
    write_json_lines(folder / "test.jsonl", rows)
    parts = {"corpus": corpus | {"test": str(folder / "test.jsonl")}, "evaluation": {"test": True}}
    configs = [
        candidate(small_config, folder / "chosen", *each, **parts) for each in (("worse", WORSE), ("better", BETTER))
    ]
    asked: dict[str, set[str]] = {}
    answer = Predictor.probabilities

    def listening(model: Predictor, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray:
        asked.setdefault(model.manifest.name, set()).update(quotes)
        return answer(model, quotes, claims)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Predictor, "probabilities", listening)
        outcome = run_experiment(configs, quiet)
    return Tested(outcome, evidence_folder(folder / "chosen"), {pair.quote for pair in kept}, asked)


def test_candidates_are_chosen_on_validation_though_another_is_perfect_on_test(tested: Tested) -> None:
    assert tested.outcome.chosen.config.name == "better"
    assert tested.outcome.test is not None and tested.outcome.test.figures["accuracy"] < 1


def test_only_the_chosen_candidate_reads_the_test_split(tested: Tested) -> None:
    assert tested.asked["better"] >= tested.quotes
    assert tested.asked["worse"] and not tested.asked["worse"] & tested.quotes


def test_the_report_on_test_stands_beside_that_on_validation(tested: Tested) -> None:
    assert tested.outcome.test is not None
    reports = {"validation": tested.outcome.chosen.validation, "test": tested.outcome.test}
    for split, report in reports.items():
        kept = json.loads((tested.evidence / f"{split}-report/report.json").read_text(encoding="utf-8"))
        assert kept["figures"] == pytest.approx(report.figures)
        assert kept["data"]["source"] == f"the {split} split"


def test_cross_validation_figures_are_over_the_stances_like_every_macro_f1(
    small_config: Config, tmp_path: Path
) -> None:
    evaluation = {"cross_validation": 3, "macro_over": [["assert", "deny"]]}
    config = candidate(small_config, tmp_path / "champion", "one", {"cues": 1.0}, evaluation=evaluation)
    lines: list[str] = []
    run_experiment([config], lines.append)
    corpus = load_corpus(config)
    confusions = [fold.confusion for fold in cross_validate(config, cross_validated_pairs(corpus), 3)]
    for name, over in (("assert_deny_macro_f1", [0, 1]), ("macro_f1", [0, 1, 2])):
        spread = np.std([metrics.macro_f1(confusion, over) for confusion in confusions], ddof=1)
        pooled = metrics.macro_f1(np.sum(confusions, axis=0), over)
        assert f"one: cross_validation_{name}={pooled:.4f} ± {spread:.4f} (sd over folds)" in lines


def test_more_folds_than_events_are_refused(small_config: Config, tmp_path: Path) -> None:
    config = candidate(
        small_config, tmp_path / "champion", "one", {"cues": 1.0}, evaluation={"cross_validation": 10_000}
    )
    with pytest.raises(ClaimstanceError, match="cross_validation"):
        run_experiment([config], quiet)


def as_yaml(config: Config, path: Path) -> str:
    path.write_text(yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
    return str(path)


def test_the_command_prints_the_candidates_best_first_and_where_the_best_went(
    small_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "champion"
    paths = [
        as_yaml(candidate(small_config, target, name, families), tmp_path / f"{name}.yaml")
        for name, families in (("worse", WORSE), ("better", BETTER))
    ]
    assert main(paths) == 0
    shown = capsys.readouterr().out
    assert shown.index("better") < shown.index("worse")
    assert "chosen: better" in shown and str(target) in shown.replace("\n", "")
    assert Predictor.load(target).manifest.name == "better"


@pytest.mark.parametrize("content", [None, "name: x\nsede: 1\n", "corpus: ["])
def test_the_command_exits_2_on_a_bad_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    path = tmp_path / "run.yaml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error and error.startswith("training: error: ") and error.count("\n") == 1


def test_untracked_training_needs_no_mlflow_and_another_process_gives_the_same_bytes(
    outcome: Outcome, export: Path, small_config: Config, tmp_path: Path, root: Path
) -> None:
    config = as_yaml(candidate(small_config, tmp_path / "champion", "better", BETTER), tmp_path / "better.yaml")
    program = (
        "import sys; sys.modules['mlflow'] = None; from training.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, config],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "nowhere" in done.stdout
    assert bundle_digest(tmp_path / "champion") == bundle_digest(export)
