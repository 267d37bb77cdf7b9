"""Config files: every one of the project loads, and a wrong key or value is named with the nearest right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from claimstance.errors import ClaimstanceError
from training.config import Config, read_config

CONFIGS = sorted((Path(__file__).resolve().parent.parent / "configs").glob("*.yaml"))


def valid() -> dict[str, Any]:
    """The least that a run needs."""
    return {
        "name": "least",
        "description": "the least",
        "corpus": {"train": "train.jsonl", "validation": "validation.jsonl"},
        "model": {"families": {"overlap": 0.4}},
    }


def with_value(path: str, value: Any) -> dict[str, Any]:
    """The least run with one more value at a dotted path."""
    content = section = valid()
    *parents, key = path.split(".")
    for parent in parents:
        section = section.setdefault(parent, {})
    section[key] = value
    return content


def written(folder: Path, content: Any) -> Path:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def refused(folder: Path, content: Any) -> str:
    """The message with which a config is refused: one line that starts with the file."""
    path = written(folder, content)
    with pytest.raises(ClaimstanceError) as caught:
        read_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def test_the_project_has_configs() -> None:
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_the_project_loads(path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    config = read_config(path)
    assert config.name == path.stem
    for lexicon in config.model.lexicons:
        assert Path(lexicon).is_file()


def test_a_config_round_trips_through_yaml(tmp_path: Path, small_config: Config) -> None:
    assert read_config(written(tmp_path, small_config.model_dump(mode="json"))) == small_config


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, valid()))
    assert config.labels.all == ("assert", "deny", "confirm", "none")
    assert (config.seed, config.export) == (0, "exports/chosen")
    assert config.tracking.uri == "sqlite:///mlflow.db"
    assert config.model.inputs == "pair"
    # The test split is read by those who ask for it.
    assert (config.evaluation.test, config.evaluation.seeds) == (False, 1)


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("sed", "seed"),
        ("modell", "model"),
        ("corpus.trian", "train"),
        ("corpus.splits.tests", "test"),
        ("corpus.columns.speker", "speaker"),
        ("labels.abstains", "abstain"),
        ("model.famlies", "families"),
        ("model.families.overlaps", "overlap"),
        ("model.families.gramms", "grams"),
        ("evaluation.cross_validaton", "cross_validation"),
        ("tracking.url", "uri"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_valid_one(tmp_path: Path, path: str, nearest: str) -> None:
    message = refused(tmp_path, with_value(path, "x"))
    assert f"unknown key {path!r}" in message
    assert f"did you mean {nearest!r}?" in message


def test_an_unknown_key_like_no_other_lists_the_valid_ones(tmp_path: Path) -> None:
    message = refused(tmp_path, with_value("model.families.xyz", 1.0))
    assert "overlap, cues, polarity, words, swaps, grams, outline, bag" in message
    assert "did you mean" not in message


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("model.C", -1, "model.C"),
        ("model.families.overlap", 0, "model.families.overlap"),
        ("model.families", {}, "model.families"),
        ("model.kind", "encodr", "is not one of pair-linear, encoder, ensemble (did you mean 'encoder'?)"),
        ("model.inputs", "both", "'quote'"),
        ("labels.stances", ["agree"], "labels.stances"),
        ("seed", "zero", "seed"),
        ("evaluation.seeds", 0, "evaluation.seeds"),
        ("evaluation.test", "perhaps", "evaluation.test"),
        ("name", "a/b", "name"),
        ("corpus.labels", {"pro": "agree"}, "'agree' is not one of assert, deny, confirm, none"),
        ("evaluation.macro_over", [["assert", "denies"]], "'denies' is not one of assert, deny, confirm, none"),
        ("corpus.source", "all.csv", "give either train and validation (and test), or source"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(tmp_path: Path, path: str, value: Any, expected: str) -> None:
    assert expected in refused(tmp_path, with_value(path, value))


@pytest.mark.parametrize(
    ("corpus", "expected"),
    [
        ({}, "give either train and validation (and test), or source"),
        ({"train": "a.jsonl"}, "train is given without validation"),
        ({"source": "a.jsonl", "test": "b.jsonl"}, "leave validation and test out"),
        ({"source": "a.jsonl", "splits": {"validation": 1.5}}, "corpus.splits.validation"),
    ],
)
def test_a_corpus_of_two_minds_is_refused(tmp_path: Path, corpus: dict[str, Any], expected: str) -> None:
    assert expected in refused(tmp_path, {**valid(), "corpus": corpus})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("labels.stances", ["assert", "deny", "none"]),
        ("labels.stances", ["assert", "deny", "assert"]),
        ("evaluation.cross_validation", 1),
        ("name", ".."),
    ],
    ids=["abstain-label-among-stances", "stance-twice", "one-fold", "name-that-is-a-folder-above"],
)
def test_a_value_that_cannot_be_trained_with_is_refused(tmp_path: Path, path: str, value: Any) -> None:
    assert path.split(".")[0] in refused(tmp_path, with_value(path, value))


def test_shares_that_leave_no_event_to_train_on_are_refused(tmp_path: Path) -> None:
    corpus = {"source": "all.jsonl", "splits": {"validation": 0.6, "test": 0.5}}
    assert "splits" in refused(tmp_path, {**valid(), "corpus": corpus})


def test_a_file_that_is_not_yaml_is_named_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("name: least\ncorpus: {train: [\n", encoding="utf-8")
    with pytest.raises(ClaimstanceError, match=r"run\.yaml:\d+: not YAML"):
        read_config(path)


@pytest.mark.parametrize("text", ["- a\n- b\n", "least\n", "# nothing but a remark\n"])
def test_yaml_without_keys_is_refused_with_the_keys(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ClaimstanceError, match="expected keys such as name, description, corpus"):
        read_config(path)


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClaimstanceError, match=r"none\.yaml: no such file"):
        read_config(tmp_path / "none.yaml")


def test_null_turns_tracking_off_and_abstention_away(tmp_path: Path) -> None:
    content = {
        **valid(),
        "labels": {"stances": ["agree", "disagree", "other"], "abstain": None},
        "tracking": {"uri": None},
        "evaluation": {"macro_over": [["agree", "disagree"]]},
    }
    config = read_config(written(tmp_path, content))
    assert config.labels.all == ("agree", "disagree", "other")
    assert config.tracking.uri is None
