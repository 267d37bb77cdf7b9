"""What evaluation commands print for people."""

from __future__ import annotations

from rich.table import Table

from claimstance.console import console
from evaluation import metrics
from evaluation.behaviour import KINDS
from evaluation.comparison import Comparison
from evaluation.report import Report
from evaluation.scoring import Scores

_OVERALL = (
    metrics.ACCURACY,
    metrics.COVERAGE,
    metrics.ACCURACY_AT_80,
    metrics.CALIBRATION_ERROR,
    metrics.BRIER,
    metrics.RISK_COVERAGE_AREA,
    metrics.CONTRAST_ALL_RIGHT,
    metrics.OTHER_EVENT_ABSTAINED,
    metrics.SWAP_UNCHANGED,
    metrics.INVARIANCE_PASS_RATE,
    metrics.DIRECTED_PASS_RATE,
    metrics.SHORTCUT_GAIN,
)


def print_report(report: Report) -> None:
    """Print the figures of a report: labels, blind variants, behaviour by kind, and the overall figures."""
    title = f"{report.manifest.name} on {report.source}, {len(report.pairs):,} pairs"
    print_scores(report.scores, title)
    if report.shortcuts:
        _print_shortcuts(report)
    if report.behaviour.verdicts:
        table = _table("Behaviour under known changes", "change", "passed", "of")
        for kind, (passed, total) in report.behaviour.by_kind.items():
            table.add_row(KINDS[kind], str(passed), str(total))
        console().print(table)
    for name in _OVERALL:
        if name in report.figures:
            print(f"{name} {report.figures[name]:.3f}")
    if report.seeds_shown:
        print(f"{metrics.MACRO_F1} over {len(report.seeds)} seeds {report.seeds_shown}  (mean ± standard deviation)")
    for name, (low, high) in report.scores.interval.items():
        print(f"{name} {report.figures[name]:.3f}  (95 % interval {low:.3f} to {high:.3f}, by event)")


def print_scores(scores: Scores, title: str) -> None:
    """Print the figures of every label and the confusion matrix."""
    table = _table(title, "true label", "precision", "recall", "F1", *(f"→ {label}" for label in scores.labels))
    for number, label in enumerate(scores.labels):
        figures = [scores.figures[metrics.of_label(name, label)] for name in ("precision", "recall", "f1")]
        table.add_row(
            label, *(f"{value:.3f}" for value in figures), *(str(count) for count in scores.confusion[number])
        )
    console().print(table)


def _print_shortcuts(report: Report) -> None:
    labels = report.scores.labels
    table = _table(
        "What is gained by reading the pair", "reads", "macro-F1", "all labels", *(f"F1 {label}" for label in labels)
    )
    for row in report.shortcuts.readings:
        table.add_row(row.reads, *(f"{value:.3f}" for value in (row.macro_f1, row.macro_f1_all, *row.f1)))
    console().print(table)


def print_comparison(comparison: Comparison) -> None:
    """Print both models' figures, their differences, and the verdict."""
    table = _table(
        f"{comparison.first} and {comparison.second} on {comparison.source}, {comparison.pairs:,} pairs",
        "figure",
        comparison.first,
        comparison.second,
        "gain",
        "95 %, by event",
        "leads in",
    )
    for row in comparison.rows:
        low, high = row.interval
        values = (f"{row.first:.3f}", f"{row.second:.3f}", f"{row.gain:+.3f}", f"{low:+.3f} to {high:+.3f}")
        table.add_row(row.name, *values, f"{row.sure:.1%}")
    console().print(table)
    console().print(comparison.verdict, highlight=False)


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, no_wrap=True)
    for column in others:
        table.add_column(column, justify="right")
    return table
