"""What commands print for people: tables, and progress where something takes longer than a moment."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from claimstance.article import Statement
from claimstance.explanation import Explanation
from claimstance.predictor import Prediction

_Item = TypeVar("_Item")
_COLOURS = {"assert": "blue", "deny": "red", "confirm": "green"}
ABSTAINS = "–"
_WIDTH = 110
_LEAST_PUSH = 0.005
_LONG_S = 3600 * 24.0


def console(*, stderr: bool = False) -> Console:
    """Return where commands print: as wide as the terminal, and wide enough for the tables where there is none."""
    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=max(found.width, _WIDTH))


def progress(items: Iterable[_Item], label: str, total: int | None = None) -> Iterator[_Item]:
    """Yield the items while showing on standard error how many are done and how long is left."""
    with Progress(*_columns(label), console=console(stderr=True)) as bar:
        yield from bar.track(items, total=total)


@contextlib.contextmanager
def counter(label: str, done: int, total: int) -> Iterator[tuple[Callable[[int, str], None], Callable[[str], None]]]:
    """Show on standard error how many are done, a note, and how long is left, for what takes minutes each.

    Args:
        label: what stands before the bar.
        done: how many are done already.
        total: how many there are.

    Yields:
        A function to call with how many are done now and the note, and one to call with a line to print above.
    """
    columns = (*_columns(label), TextColumn("{task.description}"))
    with Progress(*columns, console=console(stderr=True), speed_estimate_period=_LONG_S) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield (
            lambda done, note: bar.update(task, completed=done, description=note),
            lambda line: bar.console.print(line, highlight=False, markup=False),
        )


@contextlib.contextmanager
def meter(label: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """Show on standard error how much of a file is read, how many rows a second that is, and how long is left.

    Yields:
        A function to call with the place reached, of ``total``, and the rows done in this run.
    """
    columns = (
        *(TextColumn(label), BarColumn(), TaskProgressColumn(), TextColumn("{task.description}")),
        *(TimeElapsedColumn(), TimeRemainingColumn()),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        task, begun = bar.add_task("", total=total), time.monotonic()

        def report(place: int, rows: int) -> None:
            rate = rows / max(time.monotonic() - begun, 1e-3)
            bar.update(task, completed=place, description=f"{rows:,} rows, {rate:,.0f} rows/s")

        yield report


def _columns(label: str) -> tuple[ProgressColumn, ...]:
    return TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()


def print_statements(claim: str, statements: Sequence[Statement], predictions: Sequence[Prediction]) -> None:
    """Print a table of statements with stance (or abstention), confidence and speaker; right-to-left text as it stands."""
    table = Table(title=Text(f"Claim: {claim}"), title_justify="left", caption_justify="left", pad_edge=False)
    table.caption = Text(f"{ABSTAINS} the model abstains: no stance, or too unsure of one")
    table.add_column("stance", no_wrap=True)
    table.add_column("conf.", justify="right", no_wrap=True)
    table.add_column("speaker", max_width=24)
    table.add_column("statement", ratio=1)
    for statement, prediction in zip(statements, predictions, strict=True):
        stance = prediction.stance or ABSTAINS
        table.add_row(
            Text(stance, style=_COLOURS.get(stance, "")),
            f"{prediction.confidence:.2f}",
            Text(statement.speaker or "?"),
            Text(statement.text),
        )
    console().print(table)


def print_explanation(found: Explanation) -> None:
    """Print what the pair as a whole and each of its words pushed, a column a label; words that push nothing are counted."""
    table = Table(
        title="pushed towards (log-odds against the labels' mean)", title_justify="left", caption_justify="left"
    )
    table.add_column("in")
    table.add_column("what")
    for label in found.labels:
        table.add_column(label, justify="right")
    shown = [word for word in found.words if abs(word.push).max() >= _LEAST_PUSH]
    rows = [("pair", name, push) for name, push in found.parts.items() if abs(push).max() >= _LEAST_PUSH]
    for where, what, push in [*rows, *((word.side, word.text, word.push) for word in shown)]:
        table.add_row(where, Text(what), *(f"{value:+.2f}" for value in push))
    if found.parts:
        table.add_section()
        table.add_row("", "all together", *(f"{value:+.2f}" for value in found.scores), style="bold")
    silent = len(found.words) - len(shown)
    table.caption = Text(f"{silent} more words push by less than {_LEAST_PUSH}") if silent else None
    console().print(table)
