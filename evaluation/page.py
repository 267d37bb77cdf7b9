"""Reports and comparisons as one self-contained HTML page each: no script, no network, right-to-left texts as they are."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import jinja2
import numpy as np

from claimstance.errors import ClaimstanceError
from claimstance.files import replacing
from evaluation.behaviour import INVARIANCES, KINDS
from evaluation.comparison import Comparison
from evaluation.plots import confusion_plot, differences_plot, reliability_plot, risk_coverage_plot
from evaluation.report import Report

TEMPLATES = Path(__file__).resolve().parent / "templates"


@functools.cache
def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(TEMPLATES, encoding="utf-8")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)


def report_page(report: Report) -> str:
    """Return ``report.html`` as text."""
    scores = report.scores
    plots = {
        "confusion": confusion_plot(scores),
        "reliability": reliability_plot(scores),
        "risk_coverage": risk_coverage_plot(scores),
    }
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            r=report,
            plots=plots,
            events=len(set(report.pairs.events)),
            confusion=scores.confusion,
            kinds=KINDS,
            invariances=INVARIANCES,
            all_labels_there=np.unique(scores.truth).size == len(scores.labels),
        )
    )


def comparison_page(comparison: Comparison) -> str:
    """Return ``comparison.html`` as text."""
    rows = comparison.rows
    gains, lows, highs = (np.array(values) for values in zip(*((row.gain, *row.interval) for row in rows), strict=True))
    plot = differences_plot([row.name for row in rows], gains, lows, highs)
    return _templates().get_template("comparison.html.j2").render(c=comparison, plot=plot)


def check_output(folder: str | os.PathLike[str] | None) -> None:
    """Make sure, before anything is measured, that pages can be written into a folder.

    Raises:
        ClaimstanceError: it is a file, or stands below one.
    """
    for path in (Path(folder), *Path(folder).parents) if folder is not None else ():
        if path.exists() and not path.is_dir():
            raise ClaimstanceError(f"--output {folder}: {path} is a file, expected a folder; name another")


def write_pages(folder: str | os.PathLike[str], name: str, page: str, data: str) -> Path:
    """Write ``NAME.html`` and ``NAME.json`` into a folder, made if need be; return the path of the page."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in ((folder / f"{name}.json", data), (folder / f"{name}.html", page)):
        with replacing(path) as file:
            # Half a character, which JSON may hold and UTF-8 may not, is shown as the sign for one that is missing.
            file.write(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    return folder / f"{name}.html"


def write_report(report: Report, folder: str | os.PathLike[str]) -> Path:
    """Write ``report.html`` and ``report.json`` into a folder; return the path of the page."""
    return write_pages(folder, "report", report_page(report), report.to_json())


def write_comparison(comparison: Comparison, folder: str | os.PathLike[str]) -> Path:
    """Write ``comparison.html`` and ``comparison.json`` into a folder; return the path of the page."""
    return write_pages(folder, "comparison", comparison_page(comparison), comparison.to_json())
