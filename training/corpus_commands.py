"""``python -m training.corpus check|certify|convert|labelling-config``: look into a corpus, certify it, exchange it."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from claimstance.cli import reporting_errors
from claimstance.console import console
from claimstance.errors import ClaimstanceError
from claimstance.files import sha256
from claimstance.lexicon import Lexicon
from claimstance.records import LABELS, Pair, read_pairs
from training.composition import Figure, agreement_of, figures_of, read_annotations
from training.corpus import SPLITS, check_splits, dataset_of
from training.exchange import FORMATS, LABELLING_CONFIG, convert
from training.leakage import BOUND, Certificate, certificate, skeleton_duplicates
from training.preparation import read_lexicons


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.corpus", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="check the files of a corpus, one a split, and print what is in them")
    check.add_argument("files", nargs="+", metavar="FILE")
    check.set_defaults(run=lambda options: _check(options.files))
    certify = commands.add_parser("certify", help="hold a corpus folder to its card: composition, agreement, leakage")
    certify.add_argument("folder", metavar="FOLDER")
    certify.set_defaults(run=lambda options: _certify(Path(options.folder)))
    change = commands.add_parser("convert", help="read and write Label Studio JSON and doccano JSONL")
    change.add_argument("source", metavar="SOURCE")
    change.add_argument("target", metavar="TARGET")
    change.add_argument("--from", dest="source_format", choices=FORMATS, help="by the ending of SOURCE if left out")
    change.add_argument("--to", dest="target_format", choices=FORMATS, help="by the ending of TARGET if left out")
    change.set_defaults(run=_convert)
    screen = commands.add_parser("labelling-config", help="print the labelling screen for Label Studio")
    screen.set_defaults(run=lambda options: print(LABELLING_CONFIG))
    options = parser.parse_args(arguments)
    return reporting_errors(lambda: options.run(options), "training.corpus")


def _check(files: Sequence[str]) -> dict[str, list[Pair]]:
    pairs = {path: read_pairs(path) for path in files}
    check_splits({path: dataset_of([pair.to_dict() for pair in rows], LABELS) for path, rows in pairs.items()})
    table = Table(title="Corpus: every record valid, no id or event in two files", title_justify="left")
    for column in ("file", "pairs", "events", "languages", *LABELS, "SHA-256"):
        table.add_column(
            column, justify="left" if column in ("file", "languages", "SHA-256") else "right", no_wrap=True
        )
    for path, rows in pairs.items():
        table.add_row(Path(path).stem, *_composition(rows), sha256(path)[:16] + "…")
    console().print(table)
    return pairs


def _composition(rows: Sequence[Pair]) -> list[str]:
    stances = Counter(pair.stance for pair in rows)
    languages = Counter(pair.lang for pair in rows)
    return [
        f"{len(rows):,}",
        str(len({pair.event for pair in rows})),
        " ".join(f"{name} {count / len(rows):.0%}" for name, count in languages.most_common()),
        *(f"{stances[label] / len(rows):.0%}" for label in LABELS),
    ]


def _certify(folder: Path) -> None:
    splits = dict(zip(SPLITS, _check([str(folder / f"{name}.jsonl") for name in SPLITS]).values(), strict=True))
    pairs = [pair for rows in splits.values() for pair in rows]
    by_id = {pair.id: pair for pair in pairs}
    lexicons = sorted((folder / "lexicons").glob("*.yaml"))
    if not lexicons:
        raise ClaimstanceError(f"{folder / 'lexicons'}: no word list, expected one YAML file a language")
    lexicon = Lexicon(read_lexicons([str(path) for path in lexicons]))
    figures = [*figures_of(pairs, lexicon), *agreement_of(read_annotations(folder / "annotations.jsonl", by_id), by_id)]
    duplicates = skeleton_duplicates(pairs)
    figures.append(Figure("near-duplicate skeletons across events", len(duplicates), most=0, shown="{:.0f}"))
    _print_figures(figures)
    leaks = certificate(splits)
    _print_certificate(leaks, splits)
    problems = [
        f"{figure.name} is {figure.shown.format(figure.value)}, wanted {figure.wanted}"
        for figure in figures
        if not figure.kept
    ]
    problems += leaks.problems
    if problems:
        raise ClaimstanceError(f"{folder}: the corpus does not keep what its card promises: " + "; ".join(problems))
    print(f"{folder}: all figures kept, no leak at {BOUND} or above")


def _print_figures(figures: Iterable[Figure]) -> None:
    table = Table(title="Composition and agreement", title_justify="left")
    for column in ("figure", "is", "wanted", ""):
        table.add_column(column, justify="right" if column == "is" else "left")
    for figure in figures:
        verdict = "" if not figure.wanted else "kept" if figure.kept else "SHORT"
        table.add_row(figure.name, figure.shown.format(figure.value), figure.wanted, verdict)
    console().print(table)


def _print_certificate(leaks: Certificate, splits: Mapping[str, Sequence[Pair]]) -> None:
    shared = sum(len(events) for events in leaks.shared_events.values())
    print(f"events in two of {', '.join(splits)}: {shared}")
    table = Table(title=f"Nearest pairs across splits; {BOUND} or above would be a leak", title_justify="left")
    for column in ("similarity", "splits", "first", "second"):
        table.add_column(column, justify="right" if column == "similarity" else "left")
    for match in leaks.nearest[:5]:
        names = (f"{pair.id}: {pair.quote}" for pair in (match.first, match.second))
        table.add_row(f"{match.similarity:.2f}", " / ".join(match.splits), *(Text(name[:60] + "…") for name in names))
    console().print(table)


def _convert(options: argparse.Namespace) -> None:
    count = convert(
        options.source, options.target, source_format=options.source_format, target_format=options.target_format
    )
    print(f"{count} pairs written: {options.target}")
