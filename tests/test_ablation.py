"""Leaving feature families out of a run."""

from __future__ import annotations

import pytest
import yaml

from claimstance.errors import ClaimstanceError
from training.__main__ import main
from training.ablation import WHOLE, ablated
from training.config import Config
from training.corpus import load_corpus
from training.cross_validation import MACRO_F1, cross_validate, cross_validated_pairs


def _with_families(config: Config, **families: float) -> Config:
    content = config.model_dump(mode="json")
    content["model"]["families"] = families
    content["evaluation"]["cross_validation"] = 2
    return Config.model_validate(content)


def test_each_line_is_the_run_trained_without_that_family(small_config):
    both = dict(ablated(_with_families(small_config, overlap=1.0, polarity=1.0)))
    assert list(both) == [WHOLE, "overlap", "polarity"]
    alone = _with_families(small_config, overlap=1.0)
    *_, last = cross_validate(alone, cross_validated_pairs(load_corpus(alone)), 2)
    assert both["polarity"] == last.pooled
    assert both[WHOLE][MACRO_F1] != both["polarity"][MACRO_F1]


def test_the_command_prints_a_line_a_family(small_config, tmp_path, capsys):
    path = tmp_path / "run.yaml"
    path.write_text(
        yaml.safe_dump(_with_families(small_config, overlap=1.0, cues=1.0).model_dump(mode="json")), encoding="utf-8"
    )
    assert main(["ablate", str(path)]) == 0
    printed = capsys.readouterr().out
    assert all(line in printed for line in ("left out", WHOLE, "overlap", "cues"))


def test_a_run_with_nothing_to_leave_out_is_refused(small_config):
    with pytest.raises(ClaimstanceError, match="pair-linear model with two or more"):
        next(ablated(_with_families(small_config, overlap=1.0)))
