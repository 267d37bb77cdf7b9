"""Pictures of a run for the tracking UI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.metrics import equal_mass_bins
from evaluation.scoring import Scores


def draw_confusion(scores: Scores, title: str, path: Path) -> None:
    """Write the confusion matrix as a PNG: counts, coloured by the share of the true label."""
    confusion = scores.confusion
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(4.8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(scores.labels))
    axes.set_xticks(ticks, scores.labels)
    axes.set_yticks(ticks, scores.labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true label")
    axes.set_title(title, fontsize=10)
    for row in ticks:
        for column in ticks:
            colour = "white" if share[row, column] > 0.6 else "black"
            axes.text(column, row, str(confusion[row, column]), ha="center", va="center", color=colour)
    _save(figure, path)


def draw_reliability(scores: Scores, title: str, path: Path) -> None:
    """Write the reliability diagram as a PNG: share correct against confidence, in bins of equally many pairs."""
    table = equal_mass_bins(scores.confidence, scores.correct)
    figure = Figure(figsize=(4.8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot((0, 1), (0, 1), color="grey", linestyle="--", linewidth=1, label="perfectly calibrated")
    axes.plot(table[:, 0], table[:, 1], marker="o", label="model, a tenth of the pairs each")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence in the likeliest stance")
    axes.set_ylabel("share of pairs where it is right")
    axes.legend(loc="upper left", fontsize=8)
    axes.set_title(title, fontsize=10)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})
