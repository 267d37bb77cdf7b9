"""Cross-validation of encoders, which have to stop early on pairs that no fold asks about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from training import cross_validation
from training.config import Config
from training.corpus import load_corpus
from training.cross_validation import cross_validate, cross_validated_pairs
from training.preparation import Examples


@pytest.mark.parametrize("joined", [False, True], ids=["alone", "in an ensemble"])
def test_an_encoder_stops_early_on_events_that_it_neither_learns_nor_is_asked(
    small_encoder: Config, monkeypatch: pytest.MonkeyPatch, joined: bool
) -> None:
    config = small_encoder
    if joined:
        content = config.model_dump(mode="json")
        members = [{"families": {"cues": 1.0}}, {**content["model"], "inputs": "quote"}]
        content["model"] = {"kind": "ensemble", "inputs": "quote", "members": members}
        config = Config.model_validate(content)
    data = cross_validated_pairs(load_corpus(config))
    event_of = dict(zip(data["quote"], data["event"], strict=True))
    events = len(set(event_of.values()))
    seen: list[dict[str, set[str]]] = []

    class Stub:
        def scores(self, quotes: list[str], claims: list[str]) -> np.ndarray:
            seen[-1]["asked"] = {event_of[quote] for quote in quotes}
            return np.zeros((len(quotes), len(config.labels.all)))

    def learn(_: Config, train: Examples, held_out: Examples, workshop: Any) -> Stub:
        parts = {"train": train, "held out": held_out}
        seen.append({name: {event_of[quote] for quote in part.quotes} for name, part in parts.items()})
        assert workshop.folder.is_dir()
        return Stub()

    monkeypatch.setattr(cross_validation, "learn", learn)
    *_, whole = cross_validate(config, data, 3)
    assert whole.number == len(seen) == 3
    for fold in seen:
        assert all(fold.values())
        assert sum(map(len, fold.values())) == len(set().union(*fold.values())) == events
    assert len(set().union(*(fold["asked"] for fold in seen))) == events


def test_an_encoder_is_cross_validated(small_encoder: Config) -> None:
    data = cross_validated_pairs(load_corpus(small_encoder))
    data = data.select(range(0, len(data), 3))
    folds = list(cross_validate(small_encoder, data, 2))
    assert sum(fold.confusion.sum() for fold in folds) == len(data)
