"""One block of rows, labelled: what the runs of a file over one process or several have in common.

JSONL gains three fields: ``predicted_stance`` (null where the model abstains), ``confidence``, ``probabilities`` (an object).
CSV, TSV and Parquet gain columns: ``predicted_stance`` (empty or null), ``confidence`` and a ``probability_LABEL`` for every
label. Figures are rounded to six places. All that a row held is kept under its own name and in its order: to the letter where
kind and delimiter stay the same, with its types from Parquet to Parquet. Elsewhere a text is a text, and what is none stands as
JSON in a cell of CSV and TSV and in Parquet, whose columns are then of texts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from claimstance.bundle import Manifest
from claimstance.errors import ClaimstanceError, RecordError, did_you_mean
from claimstance.predictor import Predictor, sides_read
from claimstance.records import SURROGATE, json_text
from claimstance.tables import DELIMITERS, JSONL, PARQUET, Block, Table, blocks, missing, rows_of

STANCE, CONFIDENCE, PROBABILITIES = "predicted_stance", "confidence", "probabilities"


def columns_added(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that a prediction adds to a table: the stance, the confidence, and the probability of every label."""
    return (STANCE, CONFIDENCE, *(f"probability_{label}" for label in labels))


@dataclass(frozen=True)
class Job:
    """What to do with every block of a file.

    ``fields`` has the file's name for each text that the model reads, by ours. ``heading`` has the columns that the output
    keeps, and is None for JSONL. ``added`` are the names that a prediction adds.
    """

    model: str
    table: Table
    kind: str
    fields: dict[str, str]
    heading: tuple[str, ...] | None
    added: tuple[str, ...]
    skip: bool


class Labelled(NamedTuple):
    """What has become of a block: the rows labelled and the bytes to write for them, the rows rejected and the JSON lines
    about them, and what is wrong with the row that stops the run, if one does."""

    rows: int
    output: bytes
    rejected: int
    rejects: bytes
    error: str | None = None


def plan(model: str, manifest: Manifest, table: Table, kind: str, columns: dict[str, str], skip: bool) -> Job:
    """Make the job of a file.

    Raises:
        ClaimstanceError: the heading lacks a column that the model reads, has one that a prediction adds, or one that holds
            no texts.
    """
    added = (STANCE, CONFIDENCE, PROBABILITIES) if kind == JSONL else columns_added(manifest.labels)
    fields = {name: columns.get(name, name) for name in manifest.sides}
    heading = None if kind == JSONL else table.heading
    job = Job(model, table, kind, fields, heading, added, skip)
    if table.heading is not None:
        _check_heading(job)
    elif kind != JSONL:
        job = replace(job, heading=_fields_of_first_rows(job))
    return job


def _check_heading(job: Job) -> None:
    path, heading = job.table.path, job.table.heading
    for name in job.added:
        if name in heading:
            raise ClaimstanceError(f"{path}:1: column {name!r} is one that a prediction adds; rename it in the input")
    for ours, theirs in job.fields.items():
        if theirs not in heading:
            raise ClaimstanceError(f"{path}:1: {missing(ours, theirs, heading)}; name it with --columns {ours}=COLUMN")
    if job.table.kind == PARQUET:
        from claimstance import parquet

        for theirs in job.fields.values():
            field = parquet.schema_of(path).field(theirs)
            if not parquet.is_text(field):
                raise ClaimstanceError(f"{path}: column {theirs!r} is of type {field.type}, expected texts")


def _fields_of_first_rows(job: Job) -> tuple[str, ...]:
    """Return the fields in the first block that has a row to label, in the order in which they appear."""
    for block in blocks(job.table, job.table.start):
        rows = [row for _, row, _ in rows_of(job.table, block) if fault(job, row) is None]
        if rows:
            return tuple(dict.fromkeys(name for row in rows for name in row))
    return ()


def fault(job: Job, row: dict[str, Any] | RecordError) -> str | None:
    """Say what is wrong with a row, or None."""
    if isinstance(row, RecordError):
        return str(row)
    for ours, theirs in job.fields.items():
        value = row.get(theirs)
        if not isinstance(value, str) or not value.strip():
            return _no_text(job, ours, theirs, row)
    for name in job.added:
        if name in row:
            return f"field {name!r} is one that a prediction adds; rename it in the input"
    if job.table.heading is None and job.kind != JSONL:
        if job.heading is not None and not row.keys() <= set(job.heading):
            strange = next(name for name in row if name not in job.heading)
            return (
                f"field {strange!r} is not one of the first rows', which make the heading, {', '.join(job.heading)}; "
                f"write a .jsonl file, where every row has its own fields{did_you_mean(strange, job.heading)}"
            )
        if any(SURROGATE.search(text) for item in row.items() for text in map(_cell, item) if text):
            return f"half a character (\\ud800 to \\udfff), which a {job.kind} file cannot hold; write a .jsonl file"
    return None


def _no_text(job: Job, ours: str, theirs: str, row: dict[str, Any]) -> str:
    if theirs in row:
        return f"{theirs} is {_short(json_text(row[theirs]))}, expected a text"
    if ours != theirs:
        return missing(ours, theirs, row)
    return (
        f"field {ours!r} is missing, expected the fields {' and '.join(job.fields)}{did_you_mean(ours, row)}; "
        f"name another with --columns {ours}=FIELD"
    )


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def label(predictor: Predictor, job: Job, block: Block) -> Labelled:
    """Label the rows of a block; one that cannot be is rejected, or stops the work."""
    if job.table.kind == job.kind == PARQUET:
        return _label_columns(predictor, job, block)
    kept, rejects = [], []
    for number, row, text in rows_of(job.table, block):
        reason = fault(job, row)
        if reason is None:
            kept.append((row, text))
        elif job.skip:
            rejects.append(_reject(number, reason, text if isinstance(row, RecordError) else row))
        else:
            return Labelled(0, b"", 0, b"", f"{number}: {reason}")
    stances, figures = _predict(predictor, [[row[name] for row, _ in kept] for name in job.fields.values()])
    return Labelled(len(kept), _render(job, predictor, kept, stances, figures), len(rejects), b"".join(rejects))


def _label_columns(predictor: Predictor, job: Job, block: Block) -> Labelled:
    from claimstance import parquet

    batch = parquet.batch_of(block.data)
    columns = {theirs: parquet.texts(batch, theirs) for theirs in job.fields.values()}
    kept, rejects = [], []
    for index in range(batch.num_rows):
        row = {theirs: column[index] for theirs, column in columns.items()}
        if all(isinstance(value, str) and value.strip() for value in row.values()):
            kept.append(index)
            continue
        ((number, whole, _),) = parquet.rows_of(batch.slice(index, 1), block.start.number + index)
        reason = fault(job, whole)
        if not job.skip:
            return Labelled(0, b"", 0, b"", f"{number}: {reason}")
        rejects.append(_reject(number, reason, str(whole) if isinstance(whole, RecordError) else whole))
    stances, figures = _predict(predictor, [[column[index] for index in kept] for column in columns.values()])
    if rejects:
        batch = parquet.rows_at(batch, kept)
    output = _stream(job, predictor, batch, stances, figures)
    return Labelled(len(kept), output, len(rejects), b"".join(rejects))


def _predict(predictor: Predictor, texts: Sequence[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of every stance, -1 where the model abstains (n), and confidence and probabilities (n × (1 + k))."""
    quotes, claims = texts[0], texts[1] if len(texts) > 1 else [""] * len(texts[0])
    if not quotes:
        return np.empty(0, int), np.empty((0, 1 + len(predictor.manifest.labels)))
    probabilities = predictor.probabilities(*sides_read(quotes, claims, predictor.manifest.inputs))
    stances, confidence = predictor.choose(probabilities)
    return stances, np.column_stack([confidence, probabilities])


def _reject(number: int, reason: str, raw: Any) -> bytes:
    if isinstance(raw, str):
        raw = raw.rstrip("\r\n").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return (json_text({"number": number, "reason": reason, "raw": raw}) + "\n").encode("utf-8")


def heading_bytes(job: Job) -> bytes:
    """Return what stands before the first row of the output."""
    delimiter = DELIMITERS.get(job.kind)
    return _delimited([[*job.heading, *job.added]], delimiter).encode("utf-8") if delimiter else b""


def output_schema(job: Job) -> Any:
    """Return the schema of a Parquet output (a ``pyarrow.Schema``)."""
    from claimstance import parquet

    kept = parquet.schema_of(job.table.path) if job.table.kind == PARQUET else parquet.text_schema(job.heading)
    return parquet.predicted(kept, job.added)


def _render(
    job: Job, predictor: Predictor, kept: Sequence[tuple[dict[str, Any], str]], stances: np.ndarray, figures: np.ndarray
) -> bytes:
    if job.kind == PARQUET:
        from claimstance import parquet

        batch = parquet.text_batch(job.heading, [[_cell(row.get(name)) for name in job.heading] for row, _ in kept])
        return _stream(job, predictor, batch, stances, figures)
    added = _added(job, predictor.manifest.labels, stances, figures)
    if job.kind == JSONL:
        if job.table.kind == JSONL:
            starts = [text.rstrip()[:-1] for _, text in kept]
        else:
            starts = [json_text(row)[:-1] for row, _ in kept]
    elif job.kind == job.table.kind:
        starts = [text.rstrip("\r\n") for _, text in kept]
    else:
        cells = [[_cell(row.get(name)) for name in job.heading] for row, _ in kept]
        starts = [_delimited([row], DELIMITERS[job.kind])[:-1] for row in cells]
    return "".join([part for pair in zip(starts, added, strict=True) for part in pair]).encode("utf-8")


def _stream(job: Job, predictor: Predictor, batch: Any, stances: np.ndarray, figures: np.ndarray) -> bytes:
    """Return a batch with its predictions as an Arrow stream."""
    from claimstance import parquet

    names = [*predictor.manifest.labels, None]
    chosen = [names[index] for index in stances.tolist()]
    return parquet.stream(parquet.with_prediction(batch, job.added, chosen, np.round(figures, 6)))


def _added(job: Job, labels: Sequence[str], stances: np.ndarray, figures: np.ndarray) -> list[str]:
    """Return what a prediction adds to the text of every row, its end included."""
    # One template for all rows: filling it in is what a row costs. The last name is that of index -1.
    if job.kind == JSONL:
        names = [*map(json_text, labels), "null"]
        each = ", ".join(f"{json_text(name).replace('%', '%%')}: %.6f" for name in labels)
        template = f', "{STANCE}": %s, "{CONFIDENCE}": %.6f, "{PROBABILITIES}": {{{each}}}}}\n'
    else:
        delimiter = DELIMITERS[job.kind]
        names = [*(_delimited([[name, ""]], delimiter)[:-2] for name in labels), ""]
        template = f"{delimiter}%s{f'{delimiter}%.6f' * figures.shape[1]}\n"
    rows = zip(stances.tolist(), figures.tolist(), strict=True)
    return [template % (names[index], *row) for index, row in rows]


def _cell(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json_text(value)


def _delimited(rows: Sequence[Sequence[str | None]], delimiter: str) -> str:
    sink = io.StringIO()
    csv.writer(sink, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return sink.getvalue()
