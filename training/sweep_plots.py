"""Plots of a study: how the best figure rose, which values went with which figure, and which keys mattered."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import optuna
from matplotlib.backends.backend_agg import FigureCanvasAgg
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState
from optuna.visualization import matplotlib as drawn

_INCHES = (9.0, 5.0)
_LEAST_TRIALS = 4


def write_plots(study: optuna.Study, stem: Path, figure: str) -> tuple[list[Path], list[str]]:
    """Draw the plots of a study as PNG files named after ``stem``.

    Args:
        study: a study with a completed trial.
        stem: path to which each plot adds its name.
        figure: name of the figure that the trials were judged by.

    Returns:
        The files; and for each plot that could not be drawn, why.
    """
    kinds: dict[str, Callable[..., Any]] = {
        "history": drawn.plot_optimization_history,
        "parallel": drawn.plot_parallel_coordinate,
    }
    left_out: list[str] = []
    values = [trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
    if len(values) < _LEAST_TRIALS:
        left_out.append(f"no plot of importances: {len(values)} trials completed, {_LEAST_TRIALS} are the least")
    elif min(values) == max(values):
        left_out.append("no plot of importances: all trials came to the same figure")
    else:
        kinds["importances"] = drawn.plot_param_importances
    return [
        _write(study, draw, stem.with_name(f"{stem.name}-{kind}.png"), figure) for kind, draw in kinds.items()
    ], left_out


def _write(study: optuna.Study, draw: Callable[..., Any], path: Path, figure: str) -> Path:
    from matplotlib import pyplot

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        # An axis on which all trials have one value is widened, which is as well.
        warnings.simplefilter("ignore", UserWarning)
        plot = draw(study, target_name=figure).figure
        plot.set_size_inches(*_INCHES)
        FigureCanvasAgg(plot).print_figure(path, dpi=120, bbox_inches="tight")
        pyplot.close(plot)
    return path
