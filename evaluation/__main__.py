"""``python -m evaluation BUNDLE PAIRS``: score an exported model on a JSONL file of labelled pairs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.table import Table

from claimstance.cli import reporting_errors
from claimstance.console import console
from claimstance.predictor import Predictor
from evaluation import metrics
from evaluation.scoring import Scores, read_labelled, score_model


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="exported model, such as exports/champion")
    parser.add_argument("pairs", metavar="PAIRS", help="JSONL file with the fields quote, claim and stance")
    options = parser.parse_args(arguments)
    return reporting_errors(lambda: _evaluate(options.bundle, options.pairs), "evaluation")


def _evaluate(bundle: str, path: str) -> None:
    predictor = Predictor.load(bundle)
    pairs = read_labelled(path, predictor)
    print_scores(score_model(predictor, pairs), f"{predictor.manifest.name} on {path}, {len(pairs.quotes)} pairs")


def print_scores(scores: Scores, title: str) -> None:
    """Print the figures of every label, the confusion matrix and the overall figures with their intervals."""
    table = Table(title=title, title_justify="left")
    for column in ("true label", "precision", "recall", "F1", *(f"→ {label}" for label in scores.labels)):
        table.add_column(column, justify="left" if column == "true label" else "right", no_wrap=True)
    for number, label in enumerate(scores.labels):
        by_label = [f"{scores.figures[f'{name}_{label}']:.3f}" for name in ("precision", "recall", "f1")]
        table.add_row(label, *by_label, *(str(count) for count in scores.confusion[number]))
    console().print(table)
    for name in (
        metrics.ACCURACY,
        metrics.COVERAGE,
        metrics.CONTRAST_ALL_RIGHT,
        metrics.CALIBRATION_ERROR,
        metrics.BRIER,
        metrics.RISK_COVERAGE_AREA,
    ):
        if name in scores.figures:
            print(f"{name} {scores.figures[name]:.3f}")
    for name, (low, high) in scores.interval.items():
        print(f"{name} {scores.figures[name]:.3f}  (95 % interval {low:.3f} to {high:.3f}, by event)")


if __name__ == "__main__":
    sys.exit(main())
