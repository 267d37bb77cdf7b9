"""``python -m training CONFIG…``: train one candidate a config, track them, choose the best and export it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence

import datasets
from rich.table import Table

from claimstance.cli import reporting_errors
from claimstance.console import console
from evaluation import metrics
from evaluation.__main__ import print_scores
from training.config import read_config
from training.experiment import Outcome, run_experiment


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument(
        "configs", nargs="+", metavar="CONFIG", help="YAML file of one run, such as configs/pair-linear.yaml"
    )
    options = parser.parse_args(arguments)
    return reporting_errors(lambda: _train(options.configs), "training")


def _train(paths: Sequence[str]) -> None:
    # A run that is told to stop must still end its tracked run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("training: told to stop"))
    _quiet_libraries()
    configs = [read_config(path) for path in paths]
    screen = console(stderr=True)
    with screen.status("starting") as status:

        def say(line: str) -> None:
            status.update(line)
            screen.print(line, highlight=False)

        outcome = run_experiment(configs, say)
    _print_outcome(outcome)


def _print_outcome(outcome: Outcome) -> None:
    chosen = outcome.chosen
    table = Table(
        title="Candidates, best first by macro-F1 over the stances on validation; F1 by label", title_justify="left"
    )
    labels = chosen.validation.labels
    for column in ("candidate", "macro-F1", "95 % interval", *labels, "version"):
        table.add_column(column, justify="left" if column == "candidate" else "right", no_wrap=True)
    for candidate in outcome.candidates:
        figures = candidate.validation.figures
        low, high = candidate.validation.interval[metrics.MACRO_F1]
        by_label = [f"{figures[f'f1_{label}']:.3f}" for label in labels]
        table.add_row(
            candidate.config.name,
            f"{figures[metrics.MACRO_F1]:.3f}",
            f"{low:.3f}–{high:.3f}",
            *by_label,
            candidate.run.version or "–",
        )
    console().print(table)
    print(f"chosen: {chosen.config.name}, exported to {chosen.config.export}, tracked in {chosen.tracker.where}")
    if outcome.test is None:
        return
    print_scores(outcome.test, f"{chosen.config.name} on the test split, {outcome.test.truth.size} pairs")
    names = [name for name in outcome.test.figures if name.endswith(metrics.MACRO_F1)]
    print("test " + " ".join(f"{name}={outcome.test.figures[name]:.4f}" for name in names))


def _quiet_libraries() -> None:
    """Keep the libraries' own progress and advice off the screen; what goes wrong is still raised."""
    warnings.filterwarnings("ignore", module=r"mlflow|datasets|google|pydantic")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("alembic").setLevel(logging.ERROR)
    datasets.disable_progress_bars()


if __name__ == "__main__":
    sys.exit(main())
