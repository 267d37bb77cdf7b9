"""Evaluate exported models.

``python -m evaluation BUNDLE PAIRS --output DIR`` measures one on labelled pairs and writes a report to read in a browser;
``python -m evaluation compare A B PAIRS`` says which of two is better, by how much, and how sure that is.
``python -m evaluation articles BUNDLE FOLDER`` measures how well whole articles are read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from claimstance.bundle import bundle_digest
from claimstance.cli import reporting_errors
from claimstance.console import progress
from claimstance.files import sha256
from claimstance.predictor import Predictor
from claimstance.tables import parse_columns
from evaluation.articles import measure, print_articles
from evaluation.comparison import compare
from evaluation.evidence import read_evidence
from evaluation.gold import read_gold
from evaluation.page import check_output, write_comparison, write_report
from evaluation.report import make_report
from evaluation.scoring import FIELDS, read_labelled
from evaluation.screen import print_comparison, print_report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["compare"]:
        options = _compare_parser().parse_args(arguments[1:])
        return reporting_errors(lambda: _compare(options), "evaluation compare")
    if arguments[:1] == ["articles"]:
        options = _articles_parser().parse_args(arguments[1:])
        return reporting_errors(lambda: _articles(options), "evaluation articles")
    options = _parser().parse_args(arguments)
    return reporting_errors(lambda: _evaluate(options), "evaluation")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="exported model, such as exports/champion")
    _add_pairs(parser)
    return parser


def _compare_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evaluation compare", description="Compare two exported models.")
    parser.add_argument("first", metavar="A", help="exported model to compare with")
    parser.add_argument("second", metavar="B", help="exported model whose gain over A is asked")
    _add_pairs(parser)
    return parser


def _articles_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluation articles", description="Measure how well a model reads whole articles."
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="exported model, such as exports/champion")
    parser.add_argument("folder", metavar="FOLDER", help="annotated articles, such as data/articles/development")
    return parser


def _add_pairs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pairs", metavar="PAIRS", help="JSONL, CSV or TSV file with the fields quote, claim and stance")
    parser.add_argument("--output", metavar="DIR", help="folder to write the page and its JSON to")
    parser.add_argument(
        "--columns", nargs="+", default=[], metavar="FIELD=COLUMN", help="the file's name for a field, such as quote=s1"
    )


def _evaluate(options: argparse.Namespace) -> None:
    check_output(options.output)
    predictor = Predictor.load(options.bundle)
    report = make_report(
        predictor,
        read_labelled(options.pairs, predictor, parse_columns(options.columns, FIELDS)),
        bundle=bundle_digest(options.bundle),
        source=options.pairs,
        sha256=sha256(options.pairs),
        evidence=read_evidence(options.bundle),
        track=progress,
    )
    print_report(report)
    if report.shortcuts is None:
        print("not measured: what blind variants of the model reach; they stand beside a bundle that was trained here")
    if options.output:
        print(f"report: {write_report(report, options.output)}")


def _compare(options: argparse.Namespace) -> None:
    check_output(options.output)
    first, second = Predictor.load(options.first), Predictor.load(options.second)
    pairs = read_labelled(options.pairs, first, parse_columns(options.columns, FIELDS))
    comparison = compare(first, second, pairs, options.pairs)
    print_comparison(comparison)
    if options.output:
        print(f"comparison: {write_comparison(comparison, options.output)}")


def _articles(options: argparse.Namespace) -> None:
    articles = read_gold(options.folder)
    print_articles(measure(Predictor.load(options.bundle), articles), len(articles))


if __name__ == "__main__":
    sys.exit(main())
