"""The gate: a model made worse on purpose is refused, each by the line that is meant for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import yaml

from claimstance.bundle import bundle_digest, read_bundle, write_bundle
from claimstance.errors import ClaimstanceError
from claimstance.records import Pair, read_pairs, write_json_lines
from evaluation.evidence import LAYOUT, evidence_folder
from training.config import Config, read_section
from training.corpus import LoadedCorpus, load_corpus
from training.evidence import write_evidence
from training.gate import Bounds, GateConfig, Judgement, judge
from training.models import fit

FAMILIES = {"overlap": 1.0, "cues": 1.0, "polarity": 0.6}
SPLITS = ("train", "validation", "test")
KEPT = {"shortcut_gain": 0.03, "largest_fall": 0.05}
WITHIN_REACH = KEPT | {
    "contrast_all_right": 0.01,
    "invariance_pass_rate": 0.5,
    "directed_pass_rate": 0.1,
    "calibration_error": 0.5,
}
NOTHING = dict.fromkeys(Bounds.model_fields)

Change = Callable[[datasets.Dataset], datasets.Dataset]


@dataclass(frozen=True)
class Workshop:
    """A folder with a small corpus of three splits, where models are made well or badly."""

    folder: Path
    lexicons: tuple[str, ...]

    def files(self, **others: Path) -> dict[str, str]:
        """The file of every split, some of them exchanged."""
        return {name: str(others.get(name, self.folder / f"{name}.jsonl")) for name in SPLITS}

    def gate(self, bounds: dict[str, float | None], **others: Path) -> GateConfig:
        """A gate over the corpus."""
        content = {"corpus": self.files(**others), "bounds": bounds, "tracking": {"uri": None}}
        return GateConfig.model_validate(content)

    def train(
        self,
        name: str,
        families: dict[str, float],
        corpus: dict[str, str] | None = None,
        change: Change = lambda train: train,
    ) -> Path:
        """Train a model and leave its evidence, as the training command does; ``change`` meddles with its training pairs."""
        config = Config.model_validate(
            {
                "name": name,
                "description": "for the gate",
                "corpus": corpus or self.files(),
                "model": {"families": families, "lexicons": self.lexicons, "C": 0.1},
            }
        )
        loaded = load_corpus(config)
        loaded = LoadedCorpus({**loaded.splits, "train": change(loaded.splits["train"])}, loaded.digests)
        fitted = fit(config, loaded.splits["train"], loaded.splits["validation"], loaded.trained_on(name))
        bundle = self.folder / name
        write_bundle(fitted.bundle, bundle)
        write_evidence(config, loaded, fitted, bundle, evidence_folder(bundle))
        return bundle


@pytest.fixture(scope="module")
def workshop(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Every ninth event of the training corpus, or so, over three splits."""
    folder = tmp_path_factory.mktemp("gate")
    pairs = read_pairs(root / "data/train.jsonl")
    events = sorted({pair.event for pair in pairs})
    events = events[:: len(events) // 24]
    homes = {event: ("train", *SPLITS)[number % 4] for number, event in enumerate(events)}
    for name in SPLITS:
        rows = [pair.to_dict() for pair in pairs if homes.get(pair.event) == name]
        write_json_lines(folder / f"{name}.jsonl", rows)
    return Workshop(folder, tuple(str(root / f"data/lexicons/{language}.yaml") for language in ("ar", "en")))


@pytest.fixture(scope="module")
def champion(workshop: Workshop) -> Path:
    """The champion so far, a bag of words."""
    return workshop.train("bag", {"bag": 1.0})


@pytest.fixture(scope="module")
def honest(workshop: Workshop) -> Path:
    """A better model, trained as it should be; tests that change it work on a copy."""
    return workshop.train("honest", FAMILIES)


@pytest.fixture
def copied(honest: Path, tmp_path: Path) -> Path:
    """A copy of the better model and its evidence, to be changed."""
    shutil.copytree(honest, tmp_path / "copied")
    shutil.copytree(evidence_folder(honest), evidence_folder(tmp_path / "copied"))
    return tmp_path / "copied"


def judged(gate: GateConfig, challenger: Path, champion: Path | None) -> Judgement:
    """What the gate says, without showing progress."""
    return judge(gate, challenger, champion, lambda steps, label, total: steps)


def failed(judgement: Judgement) -> set[str]:
    """The names of the lines that fail."""
    names = {line.name for line in judgement.lines if not line.passed}
    assert judgement.passed == (not names)
    return names


@pytest.fixture(scope="module")
def passing(workshop: Workshop, honest: Path, champion: Path) -> Judgement:
    """What the gate says of the better model with every bound within its reach."""
    return judged(workshop.gate(WITHIN_REACH), honest, champion)


def test_a_better_model_passes_and_every_line_says_what_was_asked(passing: Judgement) -> None:
    assert failed(passing) == set()
    assert [line.name for line in passing.lines] == [
        "gain",
        *(f"fall_f1_{label}" for label in ("assert", "deny", "confirm", "none")),
        *("fall_macro_f1_ar", "fall_macro_f1_en"),
        *("contrast_all_right", "invariance_pass_rate", "directed_pass_rate", "shortcut_gain", "calibration_error"),
        *("agrees_with_training", "train_pairs", "validation_pairs", "leakage_certificate"),
    ]
    assert passing.report.source == "the validation split"


def test_bounds_out_of_reach_fail_one_line_each(workshop: Workshop, honest: Path) -> None:
    ceilings = {"calibration_error": 0.0, "probability_difference": 0.0}
    floors = dict.fromkeys(("contrast_all_right", "directed_pass_rate", "shortcut_gain"), 1.0)
    # Held against itself it gains nothing, and falls in nothing.
    judgement = judged(workshop.gate(ceilings | floors), honest, honest)
    assert failed(judgement) == {"gain", *floors, "calibration_error", "agrees_with_training"}


def test_bounds_set_to_null_are_not_asked(workshop: Workshop, honest: Path, champion: Path) -> None:
    judgement = judged(workshop.gate(NOTHING), champion, honest)
    assert [line.name for line in judgement.lines] == ["train_pairs", "validation_pairs", "leakage_certificate"]


def confirmations_shuffled(train: datasets.Dataset) -> datasets.Dataset:
    """Give seven of eight pairs of one stance the other labels in turn."""
    labels, confirm = train["stance"][:], train.features["stance"].str2int("confirm")
    for turn, number in enumerate(index for index, label in enumerate(train["stance"]) if label == confirm):
        labels[number] = (confirm + 1 + turn % 3) % 4 if turn % 8 else confirm
    return train.remove_columns("stance").add_column("stance", labels, feature=train.features["stance"])


def test_a_model_that_learnt_shuffled_labels_of_one_stance_falls_in_that_stance(
    workshop: Workshop, honest: Path
) -> None:
    shuffled = workshop.train("shuffled", FAMILIES, change=confirmations_shuffled)
    gate = workshop.gate({**NOTHING, "largest_fall": 0.35, "probability_difference": 1e-4})
    # All else is in order: the labels were lost between the certified file and the fit.
    assert failed(judged(gate, shuffled, honest)) == {"fall_f1_confirm"}


def test_a_model_of_cue_words_alone_gains_nothing_by_reading_the_pair(workshop: Workshop, champion: Path) -> None:
    cues = workshop.train("cues", {"cues": 1.0})
    judgement = judged(workshop.gate(KEPT), cues, champion)
    # It beats the champion by far, and in every label.
    assert failed(judgement) == {"shortcut_gain"}


def test_a_model_trained_on_the_test_pairs_too_was_trained_on_other_pairs_than_the_certified(
    workshop: Workshop, champion: Path, tmp_path: Path
) -> None:
    both = [pair.to_dict() for name in ("train", "test") for pair in read_pairs(workshop.folder / f"{name}.jsonl")]
    write_json_lines(tmp_path / "train.jsonl", both)
    # It names no test split, so nothing that training checks is against it.
    corpus = {"train": str(tmp_path / "train.jsonl"), "validation": workshop.files()["validation"]}
    cheat = workshop.train("cheat", FAMILIES, corpus)
    assert failed(judged(workshop.gate({**KEPT, "shortcut_gain": None}), cheat, champion)) == {"train_pairs"}


def repointed(bundle: Path, name: str, value: str) -> None:
    """Change one entry of the record of a bundle's evidence."""
    path = evidence_folder(bundle) / LAYOUT.record
    body = json.loads(path.read_text(encoding="utf-8")) | {name: value}
    path.write_text(json.dumps(body, ensure_ascii=False), encoding="utf-8")


def test_weights_changed_after_training_disagree_with_it_however_well_the_manifest_fits(
    workshop: Workshop, copied: Path
) -> None:
    bundle = read_bundle(copied)
    write_bundle(replace(bundle, dense=bundle.dense * 1.01), copied)
    repointed(copied, "bundle", bundle_digest(copied))
    assert failed(judged(workshop.gate(KEPT), copied, None)) == {"agrees_with_training"}


def test_a_model_without_evidence_is_refused_where_the_gate_asks_for_it(
    workshop: Workshop, copied: Path, champion: Path
) -> None:
    shutil.rmtree(evidence_folder(copied))
    judgement = judged(workshop.gate(KEPT), copied, champion)
    assert failed(judgement) == {"shortcut_gain", "agrees_with_training"}
    assert all("no evidence of training" in line.found for line in judgement.lines if not line.passed)


def test_the_evidence_of_another_model_is_an_error(workshop: Workshop, copied: Path, champion: Path) -> None:
    shutil.rmtree(evidence_folder(copied))
    shutil.copytree(evidence_folder(champion), evidence_folder(copied))
    with pytest.raises(ClaimstanceError, match=r"copied\.evidence: evidence of another model than .*copied"):
        judged(workshop.gate(KEPT), copied, champion)


def test_probabilities_of_other_pairs_do_not_pass_for_training(workshop: Workshop, copied: Path) -> None:
    repointed(copied, "validation", "0" * 64)
    assert failed(judged(workshop.gate(KEPT), copied, None)) == {"agrees_with_training"}


def test_a_table_of_probabilities_of_another_size_does_not_pass_for_training(workshop: Workshop, copied: Path) -> None:
    np.save(evidence_folder(copied) / LAYOUT.probabilities, np.zeros((3, 4)), allow_pickle=False)
    assert failed(judged(workshop.gate(KEPT), copied, None)) == {"agrees_with_training"}


def test_a_gain_over_some_of_the_blind_variants_alone_is_not_one(workshop: Workshop, copied: Path) -> None:
    record = evidence_folder(copied) / LAYOUT.record
    body = json.loads(record.read_text(encoding="utf-8"))
    del body["blind"]["quote alone"]
    record.write_text(json.dumps(body), encoding="utf-8")
    assert "shortcut_gain" in failed(judged(workshop.gate(KEPT | {"shortcut_gain": 0.0}), copied, None))


def test_a_blind_variant_that_was_exchanged_is_an_error(workshop: Workshop, copied: Path, champion: Path) -> None:
    folder = evidence_folder(copied) / "blind-quote-alone"
    shutil.rmtree(folder)
    shutil.copytree(champion, folder)
    with pytest.raises(ClaimstanceError, match="not the bundle that training left here"):
        judged(workshop.gate(KEPT), copied, None)


def test_a_validation_file_that_is_not_the_one_it_was_chosen_on_is_noticed(
    workshop: Workshop, honest: Path, tmp_path: Path
) -> None:
    lines = (workshop.folder / "validation.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "validation.jsonl").write_text("".join(lines[:-1]), encoding="utf-8")
    gate = workshop.gate(KEPT | {"shortcut_gain": None}, validation=tmp_path / "validation.jsonl")
    assert failed(judged(gate, honest, None)) == {"validation_pairs", "agrees_with_training"}


def with_one_more_test_pair(workshop: Workshop, folder: Path, **changes: str) -> Path:
    """The test split and a pair of the training split with some fields changed."""
    pairs = read_pairs(workshop.folder / "test.jsonl")
    moved: Pair = replace(read_pairs(workshop.folder / "train.jsonl")[0], id="moved-1", **changes)
    write_json_lines(folder / "test.jsonl", [pair.to_dict() for pair in [*pairs, moved]])
    return folder / "test.jsonl"


def test_a_near_copy_of_a_training_pair_among_the_test_pairs_fails_the_leakage_certificate(
    workshop: Workshop, honest: Path, champion: Path, tmp_path: Path
) -> None:
    test = with_one_more_test_pair(workshop, tmp_path, event="moved", contrast="")
    judgement = judged(workshop.gate(KEPT, test=test), honest, champion)
    assert failed(judgement) == {"leakage_certificate"}
    assert "'moved-1' in test" in judgement.lines[-1].found and "train" in judgement.lines[-1].found


def test_an_event_in_two_splits_is_an_error_that_names_it_and_both_files(
    workshop: Workshop, honest: Path, tmp_path: Path
) -> None:
    test = with_one_more_test_pair(workshop, tmp_path)
    event = read_pairs(workshop.folder / "train.jsonl")[0].event
    with pytest.raises(ClaimstanceError, match=f"event '{event}' is in .*train.jsonl and in {test}"):
        judged(workshop.gate(KEPT, test=test), honest, None)


def test_what_the_test_pairs_are_labelled_changes_nothing(
    workshop: Workshop, honest: Path, champion: Path, passing: Judgement, tmp_path: Path
) -> None:
    rows = [pair.to_dict() | {"stance": "deny"} for pair in read_pairs(workshop.folder / "test.jsonl")]
    write_json_lines(tmp_path / "test.jsonl", rows)
    judgement = judged(workshop.gate(WITHIN_REACH, test=tmp_path / "test.jsonl"), honest, champion)
    assert (judgement.lines, judgement.report.figures) == (passing.lines, passing.report.figures)


def relabelled(bundle: Path, folder: Path) -> Path:
    """The model with another name for the label of no stance."""
    known = read_bundle(bundle)
    labels = ("assert", "deny", "confirm", "unrelated")
    write_bundle(replace(known, manifest=replace(known.manifest, labels=labels, abstain_label="unrelated")), folder)
    return folder


def test_a_model_of_other_labels_is_an_error_that_points_to_another_gate(
    workshop: Workshop, honest: Path, tmp_path: Path
) -> None:
    other = relabelled(honest, tmp_path / "other")
    with pytest.raises(ClaimstanceError, match=r"honest has the labels .*unrelated, the gate asks for .*--gate"):
        judged(workshop.gate(KEPT), other, None)


def test_a_champion_of_other_labels_cannot_be_compared_with_and_its_place_is_not_taken(
    workshop: Workshop, honest: Path, champion: Path, tmp_path: Path
) -> None:
    judgement = judged(workshop.gate(KEPT), honest, relabelled(champion, tmp_path / "other"))
    assert failed(judgement) == {"gain"}
    assert "only models of the same labels can be compared" in judgement.lines[0].found


@pytest.mark.parametrize("path", sorted((Path(__file__).resolve().parent.parent / "configs/gates").glob("*.yaml")))
def test_every_gate_of_the_project_loads_and_its_corpus_is_there(path: Path, root: Path) -> None:
    gate = read_section(path, GateConfig)
    for split in SPLITS:
        name = getattr(gate.corpus, split)
        assert name is None or (root / name).is_file()


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"confidenc": 0.9}, "did you mean 'confidence'?"),
        ({"confidence": 90}, "bounds.confidence"),
        ({"largest_fall": -0.1}, "bounds.largest_fall"),
        ({"shortcut_gain": "much"}, "bounds.shortcut_gain"),
    ],
)
def test_a_wrong_bound_is_named(workshop: Workshop, tmp_path: Path, bounds: dict[str, Any], expected: str) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(yaml.safe_dump({"corpus": workshop.files(), "bounds": bounds}), encoding="utf-8")
    with pytest.raises(ClaimstanceError) as caught:
        read_section(path, GateConfig)
    assert expected in str(caught.value) and str(path) in str(caught.value)
