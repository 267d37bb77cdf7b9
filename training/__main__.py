"""Train models and make the best champion.

``python -m training CONFIG…`` trains one candidate a config, tracks them, chooses the best on validation and exports it;
``python -m training distill TEACHER --config CONFIG --pairs FILE…`` trains one that learns from another model's answers too;
``python -m training sweep CONFIG`` varies the values of a run and writes the best ones as a run of their own;
``python -m training ablate CONFIG`` says what each feature family of a run is worth;
``python -m training promote RUN|BUNDLE`` holds a model to the gate that guards the alias champion.
"""

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
from evaluation.evidence import evidence_folder
from evaluation.screen import print_report
from training import ablation, processes, promote
from training.config import Config, read_config
from training.experiment import Outcome, run_experiment


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _quiet_libraries()
    if arguments[:1] == ["promote"]:
        return promote.main(arguments[1:])
    if arguments[:1] == ["distill"]:
        options = _distill_parser().parse_args(arguments[1:])
        return reporting_errors(lambda: _train([_distilling(options)], None), "distill")
    if arguments[:1] == ["sweep"]:
        # Optuna takes a moment to import, which runs do without.
        from training import sweep

        return sweep.main(arguments[1:])
    if arguments[:1] == ["ablate"]:
        return ablation.main(arguments[1:])
    parser = argparse.ArgumentParser(
        prog="python -m training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "configs", nargs="+", metavar="CONFIG", help="YAML file of one run, such as configs/pair-linear.yaml"
    )
    parser.add_argument(
        "--resume", metavar="RUN", help="id of a tracked run of an encoder that was killed, to go on with"
    )
    options = parser.parse_args(arguments)
    return reporting_errors(lambda: _train([read_config(path) for path in options.configs], options.resume), "training")


def _distill_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training distill",
        description="Train a linear model on the labelled pairs of a run and on the answers that a teacher gives to others. "
        "A config with a section distill is such a run, too.",
    )
    parser.add_argument("teacher", metavar="TEACHER", help="folder of an exported model with the labels of the run")
    parser.add_argument("--config", required=True, metavar="CONFIG", help="YAML file of a run of kind pair-linear")
    parser.add_argument(
        "--pairs", required=True, nargs="+", metavar="FILE", help="JSONL, CSV, TSV or Parquet with quote and claim"
    )
    parser.add_argument("--weight", type=float, help="of such a pair against a labelled one (default: 1)")
    parser.add_argument("--temperature", type=float, help="softens the teacher's answers (default: 1, as they are)")
    return parser


def _distilling(options: argparse.Namespace) -> Config:
    """Return the run of a config with the section that the command line says."""
    named = {name: getattr(options, name) for name in ("teacher", "pairs", "weight", "temperature")}
    section = {name: value for name, value in named.items() if value is not None}
    config = read_config(options.config, {"distill": section})
    return config.model_copy(update={"name": f"{config.name}-distilled"})


def _train(configs: Sequence[Config], resume: str | None) -> None:
    processes.check_started()
    if not processes.is_main():
        from training.encoder import take_part

        take_part()
        return
    # A run that is told to stop must still end its tracked run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("training: told to stop"))
    screen = console(stderr=True)
    with screen.status("starting") as status:

        def say(line: str) -> None:
            status.update(line)
            screen.print(line, highlight=False)

        outcome = run_experiment(configs, say, resume)
        processes.send(None)
    _print_outcome(outcome)


def _print_outcome(outcome: Outcome) -> None:
    chosen = outcome.chosen
    table = Table(
        title="Candidates, best first by macro-F1 over the stances on validation; F1 by label", title_justify="left"
    )
    labels = chosen.validation.scores.labels
    for column in ("candidate", "macro-F1", "95 % interval", *labels, "version"):
        table.add_column(column, justify="left" if column == "candidate" else "right", no_wrap=True)
    for candidate in outcome.candidates:
        figures = candidate.validation.figures
        low, high = candidate.validation.scores.interval[metrics.MACRO_F1]
        by_label = [f"{figures[metrics.of_label('f1', label)]:.3f}" for label in labels]
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
    print_report(outcome.test)
    names = [name for name in outcome.test.figures if name.endswith(metrics.MACRO_F1)]
    print("test " + " ".join(f"{name}={outcome.test.figures[name]:.4f}" for name in names))
    if outcome.test_readings:
        print(f"runs of this experiment that have read this test split: {outcome.test_readings}")
    print(f"reports: {evidence_folder(chosen.config.export)}")


def _quiet_libraries() -> None:
    """Keep the libraries' own progress and advice off the screen; what goes wrong is still raised."""
    warnings.filterwarnings("ignore", module=r"mlflow|datasets|google|pydantic")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("alembic").setLevel(logging.ERROR)
    datasets.disable_progress_bars()


if __name__ == "__main__":
    sys.exit(main())
