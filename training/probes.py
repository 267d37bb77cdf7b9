"""``python -m training.probes CONFIG``: what does the model gain by reading the pair?

Trains the same model on quotes alone, on claims alone and on cue words alone, and sets them and the commonest label beside
it on the test split. Nothing is chosen by these figures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from rich.table import Table

from claimstance.cli import reporting_errors
from claimstance.console import console, progress
from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from evaluation import metrics
from training.config import Config, read_config
from training.corpus import LoadedCorpus, load_corpus
from training.experiment import score_split
from training.models import fit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.probes", description=__doc__)
    parser.add_argument("config", metavar="CONFIG", help="YAML file of one run, such as configs/pair-linear.yaml")
    options = parser.parse_args(arguments)
    return reporting_errors(lambda: _probe(read_config(options.config)), "training.probes")


def _probe(config: Config) -> None:
    if config.model.inputs != "pair":
        raise ClaimstanceError(
            f"{config.name} reads the {config.model.inputs} alone; probe a run whose inputs are pair"
        )
    corpus = load_corpus(config)
    if "test" not in corpus.splits:
        raise ClaimstanceError("the corpus has no test split to probe on; name one in corpus.test")
    labels = config.labels.all
    table = Table(title=f"{config.name}: what is gained by reading the pair (test split)", title_justify="left")
    for column in ("reads", "macro-F1, stances", "macro-F1, all labels", *(f"F1 {label}" for label in labels)):
        table.add_column(column, justify="left" if column == "reads" else "right")
    for name, confusion in progress(_confusions(config, corpus), "training probes", total=5):
        stances = metrics.macro_f1(confusion, [labels.index(label) for label in config.labels.stances])
        by_label = metrics.precision_recall_f1(confusion)[2]
        table.add_row(name, f"{stances:.3f}", f"{by_label.mean():.3f}", *(f"{value:.3f}" for value in by_label))
    console().print(table)


def variants(config: Config) -> dict[str, Config]:
    """Return the run itself and its blinded variants by what they read."""
    model = config.model
    cues = {name: value for name, value in model.families.items() if name == "cues"} or {"cues": 1.0}
    changes = {
        "quote and claim": {},
        "quote alone": {"inputs": "quote", "mismatched": 0.0},
        "claim alone": {"inputs": "claim", "mismatched": 0.0},
        "cue words alone": {"families": cues, "mismatched": 0.0},
    }
    return {
        name: config.model_copy(update={"model": model.model_copy(update=change)}) for name, change in changes.items()
    }


def _confusions(config: Config, corpus: LoadedCorpus) -> Iterator[tuple[str, np.ndarray]]:
    for name, variant in variants(config).items():
        fitted = fit(variant, corpus.splits["train"], corpus.splits["validation"], {})
        yield name, score_split(Predictor(fitted.bundle), corpus, "test", variant).confusion
    truth = np.array(corpus.splits["test"]["stance"])
    commonest = np.bincount(np.array(corpus.splits["train"]["stance"])).argmax()
    yield "the commonest label", metrics.confusion_matrix(truth, np.full(truth.size, commonest), len(config.labels.all))


if __name__ == "__main__":
    sys.exit(main())
