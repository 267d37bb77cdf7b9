"""Distillation: a student comes to answer as its teacher, says who taught it, and learns nothing of what it is judged by."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import yaml

from claimstance.bundle import bundle_digest, read_bundle, write_bundle
from claimstance.errors import ClaimstanceError
from claimstance.files import sha256
from claimstance.predictor import Predictor
from claimstance.records import Pair, read_pairs, write_json_lines
from evaluation.evidence import read_evidence
from training import gate
from training.__main__ import main
from training.config import Config
from training.corpus import LoadedCorpus, load_corpus
from training.distillation import teach
from training.gate import Bounds, GateConfig
from training.leakage import wording
from training.linear import _once_a_label
from training.models import fit
from training.preparation import Taught

STUDENT = {"families": {"cues": 1.0, "polarity": 0.6, "words": 0.3}, "C": 0.1}
NOTHING = dict.fromkeys(Bounds.model_fields)


@pytest.fixture(scope="module")
def few(small_config: Config, few_pairs: list[Pair], tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A run of a student with a third of the small corpus' training events, and a test split."""
    folder = tmp_path_factory.mktemp("few")
    pairs = read_pairs(small_config.corpus.train)
    events = sorted({pair.event for pair in pairs})
    parts = {"train": set(events[::3]), "test": set(events[1::3])}
    for name, inside in parts.items():
        write_json_lines(folder / f"{name}.jsonl", [pair.to_dict() for pair in pairs if pair.event in inside])
    content = small_config.model_dump(mode="json")
    content["corpus"] = {name: str(folder / f"{name}.jsonl") for name in parts}
    content["corpus"]["validation"] = small_config.corpus.validation
    content["model"] = {**STUDENT, "lexicons": content["model"]["lexicons"]}
    return Config.model_validate(content)


@pytest.fixture(scope="module")
def corpus(few: Config) -> LoadedCorpus:
    return load_corpus(few)


@pytest.fixture(scope="module")
def unlabelled(small_config: Config, corpus: LoadedCorpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quotes of the small corpus' other training events, each met with every claim of its event, without a stance."""
    labelled = {event for part in corpus.splits.values() for event in part["event"]}
    pairs = [pair for pair in read_pairs(small_config.corpus.train) if pair.event not in labelled]
    met = {(one.quote, other.claim) for one in pairs for other in pairs if one.event == other.event}
    path = tmp_path_factory.mktemp("unlabelled") / "pairs.jsonl"
    write_json_lines(path, [{"quote": quote, "claim": claim, "where": "x"} for quote, claim in sorted(met)])
    return path


def distilling(few: Config, teacher: Path, *pairs: Path, **section: Any) -> Config:
    content = few.model_dump(mode="json")
    content["distill"] = {"teacher": str(teacher), "pairs": [str(path) for path in pairs], **section}
    return Config.model_validate(content)


def agreement(config: Config, corpus: LoadedCorpus, teacher: Predictor, taught: Taught | None) -> float:
    """How often a student says the likeliest label of its teacher on pairs that neither was fitted on."""
    student = fit(config, corpus.splits["train"], corpus.splits["validation"], {}, taught=taught).bundle
    held_out = corpus.splits["validation"]
    answers = [
        each.probabilities(list(held_out["quote"]), list(held_out["claim"])).argmax(axis=1)
        for each in (Predictor(student), teacher)
    ]
    return float((answers[0] == answers[1]).mean())


def test_a_student_comes_to_answer_as_its_teacher(
    few: Config, corpus: LoadedCorpus, unlabelled: Path, predictor: Predictor, model_folder: Path
) -> None:
    taught = teach(distilling(few, model_folder, unlabelled), corpus)
    before, after = (agreement(few, corpus, predictor, each) for each in (None, taught))
    assert after > before + 0.05


def test_the_teacher_answers_as_ever_and_temperature_softens_it(
    few: Config, corpus: LoadedCorpus, unlabelled: Path, predictor: Predictor, model_folder: Path
) -> None:
    taught, soft = (
        teach(distilling(few, model_folder, unlabelled, temperature=each, weight=0.5), corpus) for each in (1, 3)
    )
    np.testing.assert_allclose(taught.probabilities, predictor.probabilities(taught.quotes, taught.claims), atol=1e-5)
    powers = taught.probabilities ** (1 / 3)
    np.testing.assert_allclose(soft.probabilities, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)
    assert soft.weight == 0.5


def test_each_pair_is_learned_once_a_label_by_its_probability() -> None:
    probabilities = np.array([[0.7, 0.295, 0.005], [0.0, 1.0, 0.0]])
    pair, label, weight = _once_a_label(np.array([2, 1]), Taught(["a", "b"], ["", ""], probabilities, 0.5, {}))
    assert pair.tolist() == [0, 1, 2, 2, 3] and label.tolist() == [2, 1, 0, 1, 1]
    np.testing.assert_allclose(weight, [1, 1, 0.5 * 0.7 / 0.995, 0.5 * 0.295 / 0.995, 0.5])


def test_answers_sure_of_the_labels_teach_what_the_labels_do(few: Config, corpus: LoadedCorpus) -> None:
    train = corpus.splits["train"]
    certain = Taught(list(train["quote"]), list(train["claim"]), np.eye(4)[train["stance"]], 1.0, {})
    double = fit(
        few.model_copy(update={"model": few.model.model_copy(update={"C": 0.05})}), train, train, {}, taught=certain
    )
    single = fit(few, train, train, {})
    # Twice the pairs and half the inverse strength of the penalty is the same problem.
    np.testing.assert_allclose(double.probabilities, single.probabilities, atol=0.02)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_pairs_that_models_are_judged_by_are_refused_however_they_are_spelled(
    few: Config, corpus: LoadedCorpus, model_folder: Path, tmp_path: Path, split: str
) -> None:
    row = corpus.splits[split][3]
    path = tmp_path / "pairs.jsonl"
    other = {"quote": "أكد الوزير وصول الشحنة", "claim": "وصلت الشحنة"}
    write_json_lines(path, [other, {"quote": f"«{row['quote']}» ...", "claim": row["claim"].replace("ا", "اَ") + "!"}])
    with pytest.raises(ClaimstanceError, match=rf"pairs\.jsonl: row 2 is '{row['id']}' of the {split} split.*leak"):
        teach(distilling(few, model_folder, path), corpus)
    write_json_lines(path, [other, {"quote": row["quote"], "claim": other["claim"]}])
    teach(distilling(few, model_folder, path), corpus)
    one_side = few.model_copy(update={"model": few.model.model_copy(update={"inputs": "quote"})})
    with pytest.raises(ClaimstanceError, match=f"of the {split} split"):
        teach(distilling(one_side, model_folder, path), corpus)


def test_wording_is_the_words_in_order_and_nothing_else() -> None:
    one, same, swapped, sides = wording(
        ["نفى الوزيرُ ذلك.", "نفى الوزير ذلك", "ذلك نفى الوزير", "وصلت الشحنة"],
        ["وصلت الشحنة", "وصلت الشحنه!", "وصلت الشحنة", "نفى الوزير ذلك"],
    )
    assert one == same and len({one, swapped, sides}) == 3


def relabelled(folder: Path, target: Path, **parts: Any) -> Path:
    bundle = read_bundle(folder)
    write_bundle(replace(bundle, manifest=replace(bundle.manifest, **parts)), target)
    return target


def test_a_teacher_of_another_question_or_taught_itself_is_refused(
    few: Config, corpus: LoadedCorpus, unlabelled: Path, model_folder: Path, tmp_path: Path
) -> None:
    others = {
        "has the labels deny, assert": {"labels": ("deny", "assert", "confirm", "none")},
        "same label of no stance": {"abstain_label": ""},
        "was taught by another model itself": {"trained_on": {"teacher_sha256": "0" * 64}},
    }
    for number, (expected, parts) in enumerate(others.items()):
        teacher = relabelled(model_folder, tmp_path / str(number), **parts)
        with pytest.raises(ClaimstanceError, match=expected):
            teach(distilling(few, teacher, unlabelled), corpus)
    with pytest.raises(ClaimstanceError, match="no such model folder"):
        teach(distilling(few, tmp_path / "absent", unlabelled), corpus)


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_tables_of_every_kind_are_read_whatever_else_is_in_them(
    few: Config, corpus: LoadedCorpus, model_folder: Path, tmp_path: Path, kind: str
) -> None:
    rows = [{"number": 1, "claim": "وصلت الشحنة", "quote": "أكد الوزير وصول الشحنة"}]
    path = tmp_path / f"pairs.{kind}"
    if kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if kind == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    taught = teach(distilling(few, model_folder, path), corpus)
    assert (taught.quotes, taught.claims) == (["أكد الوزير وصول الشحنة"], ["وصلت الشحنة"])


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"quotes": "أكد ذلك", "claim": "وصلت"}, "no column 'quote', found .*did you mean 'quotes'"),
        ({"quote": "أكد ذلك"}, "no column 'claim'"),
        ({"quote": " ", "claim": "وصلت"}, "row 1: quote is empty, expected a text"),
        ({"quote": "أكد ذلك", "claim": 5}, "row 1: claim is empty, expected a text"),
    ],
)
def test_a_table_without_quotes_or_claims_is_refused(
    few: Config, corpus: LoadedCorpus, model_folder: Path, tmp_path: Path, row: dict[str, Any], expected: str
) -> None:
    (tmp_path / "pairs.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(ClaimstanceError, match=f"pairs.jsonl: {expected}"):
        teach(distilling(few, model_folder, tmp_path / "pairs.jsonl"), corpus)


def commanded(config: Config, folder: Path, *words: str) -> int:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
    return main(["distill", words[0], "--config", str(path), *words[1:]])


def test_the_command_trains_reports_tracks_and_passes_the_gate(
    few: Config,
    corpus: LoadedCorpus,
    unlabelled: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    content = few.model_dump(mode="json")
    config = Config.model_validate(
        {
            **content,
            "model": {**content["model"], "families": {"cues": 1.0}},
            "export": "exports/student",
            "tracking": {"uri": f"sqlite:///{tmp_path / 'mlflow.db'}"},
        }
    )
    # A teacher of the same training pairs, as the gate asks.
    teacher = fit(few, corpus.splits["train"], corpus.splits["validation"], corpus.trained_on("teacher")).bundle
    write_bundle(teacher, tmp_path / "teacher")
    options = ["--pairs", str(unlabelled), "--weight", "0.5", "--temperature", "2"]
    assert commanded(config, tmp_path, "teacher", *options) == 0
    assert "chosen: small-distilled" in capsys.readouterr().out
    student = Predictor.load("exports/student")
    known = student.manifest.trained_on
    assert known["teacher_sha256"] == bundle_digest("teacher")
    assert known["teacher_train_sha256"] == known["train_sha256"] == sha256(few.corpus.train)
    for split in ("validation", "test"):
        assert known[f"unlabelled_apart_from_{split}_sha256"] == sha256(getattr(few.corpus, split))
    client = mlflow.MlflowClient(config.tracking.uri, config.tracking.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("claim-stance").experiment_id])
    expected = {"distill.teacher": "teacher", "distill.weight": "0.5", "distill.temperature": "2.0"}
    assert expected.items() <= run.data.params.items()
    assert int(run.data.params["unlabelled_pairs"]) > 100
    assert known.items() - {("config", "small-distilled")} <= run.data.tags.items() | known.items()
    assert run.data.tags["unlabelled_sha256"] == known["unlabelled_sha256"]
    evidence = read_evidence("exports/student")
    assert evidence is not None
    for blind in evidence.blind.values():
        assert blind.manifest.trained_on == known, "blind variants learn in the same way"
    assert lines_of(few, Path("exports/student")) == set()
    other = relabelled(Path("exports/student"), tmp_path / "other", trained_on=known | {"teacher_train_sha256": "0"})
    assert lines_of(few, other) == {"teacher_train_pairs"}
    partly = {name: value for name, value in known.items() if name != "unlabelled_apart_from_test_sha256"}
    assert lines_of(few, relabelled(other, tmp_path / "partly", trained_on=partly)) == {
        "unlabelled_pairs_apart_from_test"
    }


def lines_of(few: Config, bundle: Path) -> set[str]:
    """What a gate over the same corpus that asks for the pairs alone finds wrong with a model."""
    config = GateConfig.model_validate(
        {"corpus": few.corpus.model_dump(), "bounds": NOTHING, "tracking": {"uri": None}}
    )
    lines = gate._leaks_nothing(Predictor.load(bundle), gate.load_splits(config.corpus, config.labels.all))
    return {line.name for line in lines if not line.passed and line.name != "leakage_certificate"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--weight", "0"], "distill.weight: Input should be greater than 0"),
        (["--temperature", "-1"], "distill.temperature: Input should be greater than 0"),
    ],
)
def test_the_command_exits_2_on_what_makes_no_run(
    few: Config, unlabelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    assert commanded(few, tmp_path, "teacher", "--pairs", str(unlabelled), *words) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model": {"kind": "encoder", "checkpoint": "x"}}, "distill teaches a model of kind pair-linear"),
        ({"evaluation": {"cross_validation": 5}}, "set evaluation.cross_validation to 0"),
    ],
)
def test_only_a_linear_run_without_folds_is_taught(
    few: Config, unlabelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict, expected: str
) -> None:
    config = Config.model_validate({**few.model_dump(mode="json"), **changes})
    assert commanded(config, tmp_path, "teacher", "--pairs", str(unlabelled)) == 2
    assert expected in capsys.readouterr().err
