"""Every config of the project trains: on a few pairs, from a tiny checkpoint, as far as the exported model."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from claimstance.predictor import Predictor
from claimstance.records import Pair, read_pairs, write_json_lines
from training import encoder, evidence
from training.config import Config
from training.experiment import run_experiment

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
EVENTS = 5


@pytest.fixture(scope="module")
def pairs() -> dict[str, list[Pair]]:
    """The pairs of a few Arabic and a few English events, to train on and to choose on."""
    split: dict[str, list[Pair]] = {"train": [], "validation": []}
    everything = read_pairs(ROOT / "data/train.jsonl")
    for language in ("ar", "en"):
        events = list(dict.fromkeys(pair.event for pair in everything if pair.lang == language))[: 2 * EVENTS]
        for name, chosen in (("train", events[:EVENTS]), ("validation", events[EVENTS:])):
            split[name] += [pair for pair in everything if pair.event in chosen]
    return split


def small(corpus: dict[str, Any], labels: list[str], pairs: dict[str, list[Pair]], folder: Path) -> dict[str, Any]:
    """The corpus section of a config, with few pairs under the columns and labels that it names."""
    files = {}
    for name, part in pairs.items():
        if "columns" not in corpus:
            files[name] = folder / f"{name}.jsonl"
            write_json_lines(files[name], [pair.to_dict() for pair in part])
            continue
        files[name] = folder / f"{name}.csv"
        stances = sorted({pair.stance for pair in part})
        with open(files[name], "w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, fieldnames=sorted(set(corpus["columns"].values())))
            table.writeheader()
            for pair in part:
                row = {column: getattr(pair, field) for field, column in corpus["columns"].items() if field != "event"}
                row[corpus["columns"]["stance"]] = labels[stances.index(pair.stance) % len(labels)]
                table.writerow(row)
    kept = {key: value for key, value in corpus.items() if key not in ("train", "validation", "test")}
    return {**kept, **{name: str(path) for name, path in files.items()}}


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_a_config_trains_a_model_that_answers(
    path: Path,
    pairs: dict[str, list[Pair]],
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    labels = list(Config.model_validate(content).labels.all)
    content["corpus"] = small(content["corpus"], labels, pairs, tmp_path)
    checks = content.get("evaluation", {})
    folds = {"cross_validation": 2} if checks.get("cross_validation") else {}
    content["evaluation"] = {**checks, **folds, "test": False, "seeds": 1}
    content |= {"tracking": {"uri": None}, "export": str(tmp_path / "exports" / "small")}
    if content["model"].get("kind") == "encoder":
        content["model"] |= {"checkpoint": str(tiny_checkpoint), "epochs": 1, "max_tokens": 32}
        # What has learned nothing may lose anything to int8.
        monkeypatch.setattr(encoder, "check_close", lambda *given: None)
    # They are trained as the model is, and have tests of their own.
    monkeypatch.setattr(evidence, "blind_variants", lambda config: {})
    config = Config.model_validate(content)
    outcome = run_experiment([config], lambda line: None)
    predictor = Predictor.load(config.export)
    (prediction,) = predictor.predict([(pairs["validation"][0].quote, pairs["validation"][0].claim)])
    assert outcome.chosen.config == config and predictor.manifest.name == content["name"]
    assert list(prediction.probabilities) == labels
