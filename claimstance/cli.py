"""The command ``claimstance``: stances from an exported model, for a pair, a file, an article, or over HTTP; and why."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence

from claimstance.article import read_statements
from claimstance.batch import SIDES, Interrupted, predict_file
from claimstance.console import ABSTAINS, meter, print_explanation, print_statements
from claimstance.errors import ClaimstanceError
from claimstance.explanation import METHODS, explain
from claimstance.files import read_text
from claimstance.predictor import Prediction, Predictor
from claimstance.service import command as service_command
from claimstance.tables import KINDS, parse_columns


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 for anything that the user can mend."""
    options = _parser().parse_args(arguments)
    options.words = sys.argv[1:] if arguments is None else list(arguments)
    return reporting_errors(lambda: options.run(options), "claimstance")


def reporting_errors(work, program: str) -> int:
    """Run ``work``; print a ClaimstanceError as one line on standard error and return 2 for it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        work()
        sys.stdout.flush()
    except ClaimstanceError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"{program}: interrupted{interrupt.args[0] if interrupt.args else ''}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe went away; pointing stdout elsewhere keeps Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    about = "Stances from an exported model: of a pair, a file, an article, or over HTTP; and why."
    parser = argparse.ArgumentParser(prog="claimstance", description=about)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_predict(_command(commands, "predict", "label one pair, or every pair of a file"))
    why = _command(commands, "explain", "say which words of one pair pushed towards which stance")
    _add_model(why)
    why.add_argument("--quote", required=True, help="what was said")
    why.add_argument("--claim", help="what it is held against; a model that reads quotes alone needs none")
    why.add_argument(
        "--method",
        choices=METHODS,
        help="the terms of a linear score, or what changes without a word (default: the former where the model is linear)",
    )
    why.set_defaults(run=_explain)
    article = _command(commands, "article", "label the sentences of an article against a claim")
    article.add_argument("file", metavar="FILE", help="the article, a text file in UTF-8")
    _add_model(article)
    article.add_argument("--claim", required=True, help="what the sentences are held against")
    article.set_defaults(run=_article)
    service_command.add_options(
        _command(commands, "serve", "answer over HTTP, with a page for people; needs the extra serve")
    )
    return parser


def _command(commands, name: str, what: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="DIR", help="exported model, such as exports/champion")


def _add_predict(predict: argparse.ArgumentParser) -> None:
    _add_model(predict)
    one = predict.add_argument_group("one pair")
    one.add_argument("--quote", help="what was said")
    one.add_argument("--claim", help="what it is held against; a model that reads quotes alone needs none")
    many = predict.add_argument_group("a file of any size", f"Its kind is the ending of its name: {', '.join(KINDS)}.")
    many.add_argument("--input", metavar="FILE", help="the file to read, with quotes and claims")
    many.add_argument("--output", metavar="FILE", help="the file to write: what the input holds, and the predictions")
    many.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="FIELD=COLUMN",
        help="the input's names for quote and claim (default: quote=quote claim=claim)",
    )
    many.add_argument(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="stop at a row that cannot be labelled, or leave it out (default: %(default)s)",
    )
    many.add_argument(
        "--rejects",
        metavar="FILE",
        help="the file that tells of the rows left out, in JSONL (default: OUTPUT.rejects.jsonl)",
    )
    many.add_argument("--workers", type=int, default=1, metavar="N", help="processes that label (default: %(default)s)")
    going_on = many.add_mutually_exclusive_group()
    going_on.add_argument("--resume", action="store_true", help="go on where an earlier run of this command stopped")
    going_on.add_argument("--overwrite", action="store_true", help="throw away what an earlier run left unfinished")
    predict.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> None:
    one, many = options.quote is not None, options.input is not None
    if one == many:
        raise ClaimstanceError("give either one pair (--quote and --claim) or a file (--input and --output)")
    if one and options.output is not None:
        raise ClaimstanceError("--output belongs to --input; one pair is printed")
    if one:
        _predict_one(Predictor.load(options.model), options)
        return
    if options.output is None:
        raise ClaimstanceError("--input is given without --output; name the file to write, such as --output out.jsonl")
    if options.claim is not None:
        raise ClaimstanceError("--claim belongs to --quote; the rows of --input carry their own claims")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        counts = predict_file(
            options.model,
            options.input,
            options.output,
            columns=parse_columns(options.columns, SIDES),
            on_error=options.on_error,
            rejects=options.rejects,
            workers=options.workers,
            resume=options.resume,
            overwrite=options.overwrite,
            progress=lambda total: meter("predicting", total),
        )
    except Interrupted as interrupt:
        words = [word for word in options.words if word not in ("--resume", "--overwrite")]
        raise KeyboardInterrupt(
            f"; {interrupt}; go on with: {shlex.join(['claimstance', *words, '--resume'])}"
        ) from None
    print(f"{counts.rows:,} pairs labelled: {options.output}")
    if options.on_error == "skip":
        print(f"{counts.rejected:,} rows left out: {counts.rejects}")


def _predict_one(predictor: Predictor, options: argparse.Namespace) -> None:
    _check_one_pair(predictor, options)
    (prediction,) = predictor.predict([(options.quote, options.claim or "")])
    print(f"{_shown(prediction)}   confidence {prediction.confidence:.2f}")
    for label, probability in prediction.probabilities.items():
        print(f"  {label:10} {probability:.3f}  {'█' * round(30 * probability)}")


def _check_one_pair(predictor: Predictor, options: argparse.Namespace) -> None:
    if options.claim is None and "claim" in predictor.manifest.sides:
        raise ClaimstanceError("--quote is given without --claim, and this model reads pairs; add --claim '…'")
    for name in ("quote", "claim"):
        if getattr(options, name) is not None and not getattr(options, name).strip():
            raise ClaimstanceError(f"--{name} is empty, expected a text")


def _shown(prediction: Prediction) -> str:
    return prediction.stance or f"{ABSTAINS} (abstains)"


def _explain(options: argparse.Namespace) -> None:
    predictor = Predictor.load(options.model)
    _check_one_pair(predictor, options)
    found = explain(predictor, options.quote, options.claim or "", options.method)
    print(f"{_shown(found.prediction)}   confidence {found.prediction.confidence:.2f}")
    print_explanation(found)


def _article(options: argparse.Namespace) -> None:
    if not options.claim.strip():
        raise ClaimstanceError("--claim is empty, expected a text")
    text = read_text(options.file)
    predictor = Predictor.load(options.model)
    statements = read_statements(text, predictor.lexicon)
    if not statements:
        raise ClaimstanceError(f"{options.file}: no sentence of four words or more, expected an article")
    predictions = predictor.predict([(statement.text, options.claim) for statement in statements])
    print_statements(options.claim, statements, predictions)
