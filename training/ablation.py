"""``python -m training ablate CONFIG``: what each feature family of a linear run is worth, by leaving it out.

Every line is a cross-validation over train and validation pairs, grouped by event, with the folds and the seed of the run's
config; the test split is not read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from rich.table import Table

from claimstance.cli import reporting_errors
from claimstance.console import console
from claimstance.errors import ClaimstanceError
from training.config import Config, read_config
from training.corpus import load_corpus
from training.cross_validation import MACRO_F1, cross_validate, cross_validated_pairs
from training.kinds import PairLinear

_FOLDS = 5
WHOLE = "nothing"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training ablate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", metavar="CONFIG", help="YAML file of a run of kind pair-linear")
    options = parser.parse_args(arguments)
    return reporting_errors(lambda: _print(read_config(options.config)), "ablate")


def _print(config: Config) -> None:
    table = Table(title=f"{config.name} without each of its feature families, cross-validated", title_justify="left")
    for column in ("left out", "macro-F1", "± sd over folds", "change"):
        table.add_column(column, justify="left" if column == "left out" else "right")
    whole = None
    for name, figures in ablated(config):
        value = figures[MACRO_F1]
        change = "" if whole is None else f"{value - whole:+.4f}"
        whole = value if whole is None else whole
        table.add_row(name, f"{value:.4f}", f"{figures[f'{MACRO_F1}_sd']:.4f}", change)
        print(f"without {name}: {value:.4f}", file=sys.stderr, flush=True)
    console().print(table)


def ablated(config: Config) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the pooled figures of a run with all its families (WHOLE), and then without each of them.

    Args:
        config: the run; its folds are those of ``evaluation.cross_validation``, or five.

    Raises:
        ClaimstanceError: the run is of another kind, or has one family only.
    """
    if not isinstance(config.model, PairLinear) or len(config.model.families) < 2:
        raise ClaimstanceError(f"{config.name}: families are left out of a pair-linear model with two or more of them")
    pairs = cross_validated_pairs(load_corpus(config))
    for left_out in (WHOLE, *config.model.families):
        families = {name: value for name, value in config.model.families.items() if name != left_out}
        reduced = config.model_copy(update={"model": config.model.model_copy(update={"families": families})})
        *_, last = cross_validate(reduced, pairs, config.evaluation.cross_validation or _FOLDS)
        yield left_out, last.pooled
