"""Plots of a report, as SVG to stand inside a page."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from evaluation.calibration import equal_mass_bins, risk_coverage_curve
from evaluation.scoring import Scores

_BLUE, _GREY, _RED = "#1f5fa8", "#888888", "#b3261e"


def confusion_plot(scores: Scores) -> str:
    """Draw the confusion matrix: counts, coloured by the share of the true label."""
    confusion = scores.confusion
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure, axes = _figure(4.4, 3.8)
    # A mesh is drawn as shapes; an image would be stored as a few pixels, which browsers blur.
    axes.pcolormesh(share, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1)
    axes.invert_yaxis()
    ticks = range(len(scores.labels))
    axes.set_xticks(np.arange(len(ticks)) + 0.5, scores.labels)
    axes.set_yticks(np.arange(len(ticks)) + 0.5, scores.labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true label")
    for row in ticks:
        for column in ticks:
            colour = "white" if share[row, column] > 0.6 else "black"
            axes.text(column + 0.5, row + 0.5, str(confusion[row, column]), ha="center", va="center", color=colour)
    return _svg(figure, "confusion")


def reliability_plot(scores: Scores) -> str:
    """Draw the reliability diagram: share right against confidence, in bins of equally many pairs."""
    table = equal_mass_bins(scores.confidence, scores.correct)
    figure, axes = _figure(4.4, 3.8)
    axes.plot((0, 1), (0, 1), color=_GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
    axes.plot(table[:, 0], table[:, 1], marker="o", color=_BLUE, label="model, a tenth of the pairs each")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence in the likeliest stance", ylabel="share where it is right")
    axes.legend(loc="upper left", fontsize=8)
    return _svg(figure, "reliability")


def risk_coverage_plot(scores: Scores) -> str:
    """Draw the error rate among the most confident pairs against the share of pairs kept."""
    risk = risk_coverage_curve(scores.confidence, scores.correct)
    figure, axes = _figure(4.4, 3.8)
    axes.plot(np.arange(1, risk.size + 1) / risk.size, risk, color=_BLUE)
    axes.axvline(0.8, color=_GREY, linestyle="--", linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, max(0.05, 1.1 * risk.max())))
    axes.set(xlabel="share of pairs on which a stance is taken", ylabel="share of those that is wrong")
    return _svg(figure, "risk-coverage")


def differences_plot(names: Sequence[str], values: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> str:
    """Draw differences with their 95 % intervals, one line each; what is surely not zero is coloured."""
    figure, axes = _figure(6.4, 0.9 + 0.32 * len(names))
    place = np.arange(len(names))[::-1]
    for at, value, low, high in zip(place, values, lows, highs, strict=True):
        colour = _BLUE if low > 0 else _RED if high < 0 else _GREY
        axes.plot((low, high), (at, at), color=colour, linewidth=2)
        axes.plot(value, at, marker="o", color=colour)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(place, names)
    axes.set_xlabel("difference, with its 95 % interval by event")
    return _svg(figure, "differences")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element; ``name`` keeps the ids of several in one page apart, and equal between runs."""
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{name}"', 1)
