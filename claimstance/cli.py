"""The command ``claimstance``: stances from an exported model, for a pair, a file, an article, or over HTTP; and why."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from claimstance.article import read_statements
from claimstance.console import ABSTAINS, print_explanation, print_statements, progress
from claimstance.errors import ClaimstanceError, RecordError
from claimstance.explanation import METHODS, explain
from claimstance.files import read_text
from claimstance.predictor import Prediction, Predictor
from claimstance.records import read_json_lines, write_json_lines
from claimstance.service import command as service_command

_BATCH = 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 for anything that the user can mend."""
    options = _parser().parse_args(arguments)
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
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe went away; pointing stdout elsewhere keeps Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="claimstance", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    predict = commands.add_parser("predict", help="label one pair, or every pair of a JSONL file")
    predict.add_argument("--model", required=True, metavar="DIR", help="exported model, such as exports/champion")
    predict.add_argument("--claim", help="the claim of one pair")
    predict.add_argument("--quote", help="the quote of one pair")
    predict.add_argument("--input", metavar="FILE", help="JSONL file with the fields quote and claim")
    predict.add_argument(
        "--output", metavar="FILE", help="JSONL file to write: the input's fields and the prediction's"
    )
    predict.set_defaults(run=_predict)
    why = commands.add_parser("explain", help="say which words of one pair pushed towards which stance")
    why.add_argument("--model", required=True, metavar="DIR", help="exported model, such as exports/champion")
    why.add_argument("--quote", required=True, help="the quote")
    why.add_argument("--claim", help="the claim")
    why.add_argument("--method", choices=METHODS, help="the terms of the score (exact), or leaving words out")
    why.set_defaults(run=_explain)
    article = commands.add_parser("article", help="label the sentences of an article against a claim")
    article.add_argument("file", metavar="FILE", help="the article, a UTF-8 text file")
    article.add_argument("--model", required=True, metavar="DIR", help="exported model, such as exports/champion")
    article.add_argument("--claim", required=True, help="the claim to hold the sentences against")
    article.set_defaults(run=_article)
    service_command.add_options(commands.add_parser("serve", help="answer over HTTP; needs the extra serve"))
    return parser


def _predict(options: argparse.Namespace) -> None:
    one, many = options.quote is not None, options.input is not None
    if one == many:
        raise ClaimstanceError("give either one pair (--quote and --claim) or a file (--input and --output)")
    if one and options.output is not None:
        raise ClaimstanceError("--output belongs to --input; one pair is printed")
    predictor = Predictor.load(options.model)
    if one:
        _predict_one(predictor, options)
        return
    if options.output is None:
        raise ClaimstanceError("--input is given without --output; name the file to write, such as --output out.jsonl")
    if options.claim is not None:
        raise ClaimstanceError("--claim belongs to --quote; the rows of --input carry their own claims")
    if Path(options.input).resolve() == Path(options.output).resolve():
        raise ClaimstanceError(f"{options.output}: is the input as well; name another file to write")
    rows = progress(_labelled(predictor, options.input), "predicting")
    count = write_json_lines(options.output, rows)
    print(f"{count} pairs labelled: {options.output}")


def _predict_one(predictor: Predictor, options: argparse.Namespace) -> None:
    _check_one_pair(predictor, options)
    (prediction,) = predictor.predict([(options.quote, options.claim or "")])
    print(f"{_shown(prediction)}   confidence {prediction.confidence:.2f}")
    for label, probability in prediction.probabilities.items():
        print(f"  {label:10} {probability:.3f}  {'█' * round(30 * probability)}")


def _check_one_pair(predictor: Predictor, options: argparse.Namespace) -> None:
    if options.claim is None and predictor.manifest.inputs != "quote":
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


def _labelled(predictor: Predictor, path: str) -> Iterator[dict[str, Any]]:
    rows = iter(read_json_lines(path))
    while batch := list(itertools.islice(rows, _BATCH)):
        texts = [_texts_of(row, f"{path}:{number}", predictor.manifest.inputs) for number, row in batch]
        for (number, row), prediction in zip(batch, predictor.predict(texts), strict=True):
            fields = prediction_fields(prediction)
            taken = [name for name in fields if name in row]
            if taken:
                raise RecordError(
                    f"{path}:{number}: field {taken[0]!r} is one that a prediction adds; rename it in the input"
                )
            yield {**row, **fields}


def _texts_of(row: dict[str, Any], where: str, inputs: str) -> tuple[str, str]:
    texts = []
    for name in ("quote",) if inputs == "quote" else ("quote", "claim"):
        value = row.get(name)
        if name not in row:
            raise RecordError(f"{where}: field {name!r} is missing, expected the fields quote and claim")
        if not isinstance(value, str) or not value.strip():
            raise RecordError(f"{where}: {name} is {json.dumps(value, ensure_ascii=False)}, expected a text")
        texts.append(value)
    return texts[0], texts[1] if len(texts) > 1 else ""


def prediction_fields(prediction: Prediction) -> dict[str, Any]:
    """Return the fields that a prediction adds to a row of output."""
    return {
        "predicted_stance": prediction.stance,
        "confidence": round(prediction.confidence, 6),
        "probabilities": {label: round(value, 6) for label, value in prediction.probabilities.items()},
    }


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
