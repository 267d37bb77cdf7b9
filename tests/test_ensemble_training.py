"""Ensembles in training: what members are fitted on, what a run of one leaves behind, and which configs are refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

from claimstance.bundle import EncoderBundle, EnsembleBundle, read_bundle
from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from claimstance.records import Pair
from evaluation.evidence import evidence_folder, read_evidence
from training import ensemble
from training.__main__ import main
from training.config import Config, read_config
from training.corpus import LoadedCorpus
from training.cross_validation import cross_validate
from training.experiment import check_replaceable, run_experiment
from training.models import fit, learn
from training.preparation import Examples, examples_of
from training.tracking import _needed

MEMBERS = [{"families": {"overlap": 0.4, "cues": 1.0}}, {"families": {"polarity": 1.0, "bag": 0.1}, "C": 0.1}]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_members_of_a_stack_are_asked_only_about_events_they_were_not_fitted_on(
    ensemble_config: Callable[..., Config], loaded_corpus: LoadedCorpus
) -> None:
    config = ensemble_config(MEMBERS, model__rule="stack", model__folds=3)
    train = examples_of(config, loaded_corpus.splits["train"])
    fitted_on: list[Examples] = []
    asked: list[tuple[set[str], set[tuple[str, str]]]] = []

    class Listening:
        def __init__(self, known: Examples) -> None:
            self.known = known

        def scores(self, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray:
            asked.append((set(self.known.events.ravel().tolist()), set(zip(quotes, claims, strict=True))))
            return np.zeros((len(quotes), 4))

    def learn_member(own: Config, known: Examples, held_out: Examples | None, workshop: object) -> Listening:
        fitted_on.append(known)
        return Listening(known)

    ensemble.learn(config, train, None, None, learn_member)
    whole, folds = fitted_on[:2], asked
    assert [known.truth.size for known in whole] == [train.truth.size] * 2 and len(folds) == 6
    event_of_quote = dict(zip(train.quotes, train.events[:, 0].tolist(), strict=True))
    for events, pairs in folds:
        assert not events & {event_of_quote[quote] for quote, _ in pairs}
    assert sum(len(pairs) for _, pairs in folds) == 2 * len(set(zip(train.quotes, train.claims, strict=True)))


def test_a_mismatched_pair_is_of_the_events_of_both_its_sides(
    ensemble_config: Callable[..., Config], loaded_corpus: LoadedCorpus
) -> None:
    train = examples_of(ensemble_config(MEMBERS), loaded_corpus.splits["train"])
    of_quote = dict(zip(loaded_corpus.splits["train"]["quote"], loaded_corpus.splits["train"]["event"], strict=True))
    of_claim = dict(zip(loaded_corpus.splits["train"]["claim"], loaded_corpus.splits["train"]["event"], strict=True))
    assert train.truth.size > train.originals
    for quote, claim, events in zip(train.quotes, train.claims, train.events.tolist(), strict=True):
        assert events == [of_quote[quote], of_claim[claim]]
    assert (train.events[: train.originals, 0] == train.events[: train.originals, 1]).all()
    assert (train.events[train.originals :, 0] != train.events[train.originals :, 1]).all()


@dataclass(frozen=True)
class Tracked:
    """A tracked run of an average, and the folder that it was started in."""

    config: Config
    folder: Path


@pytest.fixture(scope="module")
def tracked(ensemble_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    folder = tmp_path_factory.mktemp("tracked")
    config = ensemble_config(
        MEMBERS,
        export=str(folder / "exports" / "joined"),
        tracking={"uri": f"sqlite:///{folder / 'mlflow.db'}"},
        evaluation={"cross_validation": 2},
    )
    path = folder / "joined.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        assert main([str(path)]) == 0
    return Tracked(config, folder)


def test_a_run_leaves_its_parameters_its_figures_and_its_blind_variants(tracked: Tracked) -> None:
    client = mlflow.MlflowClient(tracked.config.tracking.uri, tracked.config.tracking.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("claim-stance").experiment_id])
    assert run.data.params["model.members.2.families.bag"] == "0.1"
    assert run.data.params["model.members.2.mismatched"] == "0.2"
    assert run.data.tags["model_kind"] == "ensemble"
    assert 0 < run.data.metrics["cross_validation_macro_f1"] < 1
    evidence = read_evidence(tracked.config.export)
    assert evidence is not None and run.data.tags["bundle_sha256"] == evidence.record.bundle
    one_side = {name: evidence.blind[name].bundle for name in ("quote alone", "claim alone")}
    for bundle in one_side.values():
        assert isinstance(bundle, EnsembleBundle)
        assert {member.manifest.inputs for member in bundle.members} == {bundle.manifest.inputs}
    assert [each.manifest.inputs for each in one_side.values()] == ["quote", "claim"]
    assert evidence.blind["cue words alone"].manifest.families == {"cues": 1.0}


def test_the_registered_model_answers_as_the_bundle(tracked: Tracked, few_pairs: list[Pair]) -> None:
    mlflow.set_tracking_uri(tracked.config.tracking.uri)
    mlflow.set_registry_uri(tracked.config.tracking.uri)
    try:
        served = mlflow.pyfunc.load_model("models:/claim-stance/1")
    finally:
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
    pairs = few_pairs[:20]
    table = served.predict(pd.DataFrame([{"quote": pair.quote, "claim": pair.claim} for pair in pairs]))
    for row, expected in zip(
        table.to_dict("records"), Predictor.load(tracked.config.export).predict(pairs), strict=True
    ):
        assert row["confidence"] == pytest.approx(expected.confidence, abs=1e-6)


def test_an_export_is_replaced_by_the_next_one_but_not_with_other_things_in_it(
    tracked: Tracked, ensemble_folder: Path, tmp_path: Path
) -> None:
    check_replaceable(Path(tracked.config.export))
    copy = Path(shutil.copytree(ensemble_folder, tmp_path / "copy"))
    check_replaceable(copy)
    (copy / "member-2" / "notes.txt").write_text("ملاحظات", encoding="utf-8")
    with pytest.raises(ClaimstanceError, match="holds something else"):
        check_replaceable(copy)


def test_an_encoder_and_a_linear_model_answer_as_one(
    ensemble_config: Callable[..., Config],
    export_ensemble: Callable[[Config, Path], Path],
    tiny_checkpoint: Path,
    tmp_path: Path,
) -> None:
    encoder = {
        "kind": "encoder",
        "checkpoint": str(tiny_checkpoint),
        "max_tokens": 32,
        "epochs": 1,
        "precision": "int8",
    }
    config = ensemble_config([MEMBERS[0], encoder], model__rule="stack", model__folds=2)
    folder = export_ensemble(config, tmp_path)
    bundle = read_bundle(folder)
    assert isinstance(bundle.members[1], EncoderBundle) and set(_needed(bundle)) == {"onnxruntime", "tokenizers"}


@pytest.fixture(scope="module")
def single(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the small corpus that was exported earlier, its evidence beside it."""
    content = small_config.model_dump(mode="json")
    content["model"] |= {"families": {"cues": 1.0, "words": 0.3}}
    export = tmp_path_factory.mktemp("single") / "single"
    run_experiment([Config.model_validate({**content, "export": str(export)})], lambda line: None)
    return export


def test_an_exported_model_is_a_member_as_it_is(
    ensemble_config: Callable[..., Config], single: Path, loaded_corpus: LoadedCorpus, tmp_path: Path
) -> None:
    members = [{"kind": "bundle", "path": str(single)}, MEMBERS[1]]
    config = ensemble_config(members, export=str(tmp_path / "joined"))
    run_experiment([config], lambda line: None)
    assert contents(tmp_path / "joined" / "member-1") == contents(single)
    evidence, theirs = read_evidence(tmp_path / "joined"), read_evidence(single)
    assert evidence is not None and theirs is not None
    blind = evidence.blind["quote alone"].bundle
    assert isinstance(blind, EnsembleBundle)
    assert blind.members[0].manifest == theirs.blind["quote alone"].manifest
    with pytest.raises(ClaimstanceError, match="knows the pairs"):
        cross_validate(config, loaded_corpus.splits["train"], 2)


def test_an_exported_model_that_does_not_belong_is_refused(
    ensemble_config: Callable[..., Config], single: Path, average: Path, loaded_corpus: LoadedCorpus, tmp_path: Path
) -> None:
    def attempt(path: Path, trained_on: dict[str, str], **parts: Any) -> None:
        config = ensemble_config([{"kind": "bundle", "path": str(path)}, MEMBERS[1]], **parts)
        fit(config, loaded_corpus.splits["train"], loaded_corpus.splits["validation"], trained_on)

    known = loaded_corpus.trained_on("run")
    with pytest.raises(ClaimstanceError, match=r"single: its train pairs are .*those of this run 000000000000"):
        attempt(single, {**known, "train_sha256": "0" * 64})
    with pytest.raises(ClaimstanceError, match=r"single: its validation pairs are .*those of this run None"):
        attempt(single, {"train_sha256": known["train_sha256"]})
    with pytest.raises(ClaimstanceError, match="no such model folder"):
        attempt(tmp_path / "absent", known)
    with pytest.raises(ClaimstanceError, match="is an ensemble itself"):
        attempt(average, known)
    with pytest.raises(ClaimstanceError, match="single: has the inputs 'pair', this run 'quote'"):
        attempt(single, known, model__inputs="quote", model__mismatched=0)
    shutil.copytree(single, tmp_path / "alone")
    config = ensemble_config(
        [{"kind": "bundle", "path": str(tmp_path / "alone")}, MEMBERS[1]], export=str(tmp_path / "out")
    )
    with pytest.raises(ClaimstanceError, match=r"alone: no variant that reads the quote alone beside it"):
        run_experiment([config], lambda line: None)
    assert not (tmp_path / "out").exists() and evidence_folder(single).is_dir()


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"members": MEMBERS[:1]}, "model.members"),
        ({"model__rule": "vote"}, "model.rule"),
        ({"model__weights": [1]}, "1 weights for 2 members"),
        ({"model__weights": [0, 0]}, "not all 0"),
        ({"model__rule": "stack", "model__weights": [1, 1]}, "weights belong to rule average"),
        ({"members": [MEMBERS[0], {**MEMBERS[1], "inputs": "quote"}]}, "member 2 has inputs quote, the ensemble pair"),
        ({"members": [MEMBERS[0], {**MEMBERS[1], "mismatched": 0.5}]}, "member 2 has mismatched 0.5, the ensemble 0.2"),
        ({"members": [MEMBERS[0], {"families": {"ceus": 1.0}}]}, "did you mean 'cues'?"),
        ({"members": [MEMBERS[0], {**MEMBERS[1], "D": 1}]}, "unknown key 'model.members.1.D'"),
        (
            {"members": [MEMBERS[0], {"kind": "ensembl"}]},
            "model.members.1.kind: 'ensembl' is not one of pair-linear, encoder, bundle",
        ),
        (
            {"members": [MEMBERS[0], {"kind": "bundle", "path": "exports/x"}], "model__rule": "stack"},
            "member 2 is exports/x, which knows the training pairs that a stack is fitted on",
        ),
    ],
)
def test_a_wrong_config_says_what_was_expected(
    small_config: Config, tmp_path: Path, parts: dict[str, Any], expected: str
) -> None:
    content = small_config.model_dump(mode="json")
    model = {"kind": "ensemble", "members": MEMBERS, "mismatched": 0.2}
    content["model"] = model | {name.removeprefix("model__"): value for name, value in parts.items()}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ClaimstanceError) as caught:
        read_config(tmp_path / "run.yaml")
    assert expected in str(caught.value)


def test_a_member_takes_from_the_ensemble_what_it_does_not_name(
    ensemble_config: Callable[..., Config], tmp_path: Path
) -> None:
    members = [MEMBERS[0], {**MEMBERS[1], "class_weight": "balanced"}]
    config = ensemble_config(members, model__class_weight=None)
    assert [member.class_weight for member in config.model.members] == [None, "balanced"]
    assert {member.mismatched for member in config.model.members} == {0.2}
    assert {member.lexicons for member in config.model.members} == {config.model.lexicons}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    assert read_config(tmp_path / "run.yaml") == config


def test_more_folds_than_events_are_refused(
    ensemble_config: Callable[..., Config], loaded_corpus: LoadedCorpus
) -> None:
    config = ensemble_config(MEMBERS, model__rule="stack", model__folds=1000)
    with pytest.raises(ClaimstanceError, match=r"model\.folds is 1000, but the pairs are of \d+ events"):
        fit(config, loaded_corpus.splits["train"], loaded_corpus.splits["validation"], {})


def test_two_labels_are_stacked_too(
    ensemble_config: Callable[..., Config], loaded_corpus: LoadedCorpus, tmp_path: Path
) -> None:
    rows = loaded_corpus.splits["train"].filter(lambda stance: stance < 2, input_columns="stance", keep_in_memory=True)
    config = ensemble_config(
        MEMBERS,
        model__rule="stack",
        model__folds=2,
        model__mismatched=0,
        labels={"stances": ["assert", "deny"], "abstain": None},
    )
    learned = learn(config, examples_of(config, rows), examples_of(config, rows), None)
    scores = learned.scores(list(rows["quote"]), list(rows["claim"]))
    assert scores.shape == (len(rows), 2)
    assert (scores.argmax(axis=1) == np.array(rows["stance"])).mean() > 0.7
