"""Files of any size, labelled in constant memory.

>>> from claimstance.batch import predict_file
>>> predict_file("exports/champion", "pairs.csv", "labelled.parquet", workers=2)   # doctest: +SKIP
Counts(rows=200000, rejected=0, rejects=None)

``claimstance.labelling`` says what the output holds, ``claimstance.journal`` how an unfinished one goes on.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from claimstance import labelling
from claimstance.bundle import bundle_digest, read_bundle
from claimstance.errors import ClaimstanceError, RecordError
from claimstance.files import check_replaceable
from claimstance.journal import Journal, beside
from claimstance.tables import PARQUET, Place, blocks, holds_nothing, kind_of, open_table
from claimstance.workers import labelled_blocks

SIDES = ("quote", "claim")


class Counts(NamedTuple):
    """Rows of the whole output, rows left out, and the file that tells of those."""

    rows: int
    rejected: int
    rejects: Path | None


class Interrupted(KeyboardInterrupt):
    """The run was interrupted; what it has done is kept, and goes on with ``resume=True``."""


Progress = Callable[[int], AbstractContextManager[Callable[[int, int], None]]]
"""Given a total, a context whose function is called with the place reached and the rows done in this run."""


@contextlib.contextmanager
def _silent(total: int):
    yield lambda place, rows: None


def predict_file(
    model: str | os.PathLike[str],
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    on_error: str = "stop",
    rejects: str | os.PathLike[str] | None = None,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = _silent,
) -> Counts:
    """Label every row of a file; the kinds of both files are the endings of their names (``tables.KINDS``).

    Args:
        model: folder of an exported model.
        source: the file to read; only a row and a block of rows have to fit into memory.
        target: the file to write. Until all is done it is called ``target.partial``.
        columns: the source's name for ``quote`` and ``claim`` where it differs; the target keeps the source's names.
        on_error: ``stop`` at a row that cannot be labelled, or ``skip`` it.
        rejects: JSONL file of the skipped rows (``target.rejects.jsonl``): ``number`` of the line (in Parquet, of the row),
            ``reason``, and the row ``raw``, as text where it cannot be read.
        workers: processes that label, each of which loads the model; the target is the same with any number. A script that
            asks for several needs ``if __name__ == "__main__":`` around what it does.
        resume: go on with what an earlier run left; begin where there is nothing.
        overwrite: begin anew even if an earlier run left something unfinished.
        progress: what shows how far it is.

    Raises:
        ClaimstanceError: a file or the model cannot be used, a row is bad, a worker died, or unfinished files are in the way.
            What was done until then is kept for ``resume``.
        Interrupted: Ctrl-C.
    """
    source, target = Path(source), Path(target)
    rejects = _check(source, target, rejects, on_error, workers)
    manifest = read_bundle(model).manifest
    table = open_table(source)
    columns = dict(columns or {})
    job = labelling.plan(os.fspath(model), manifest, table, kind_of(target), columns, on_error == "skip")
    there = source.stat()
    run = {
        "input": {"bytes": there.st_size, "modified_ns": there.st_mtime_ns},
        "model": bundle_digest(model),
        "columns": columns,
        "on_error": on_error,
        "rejects": rejects and os.fspath(rejects),
    }
    heading, join = labelling.heading_bytes(job), _joiner(job) if job.kind == PARQUET else None
    journal = Journal(target, rejects, run, table.start, heading, join=join, resume=resume, overwrite=overwrite)
    try:
        _label(journal, job, workers, progress)
        journal.finish()
    except KeyboardInterrupt:
        raise Interrupted(_kept(journal)) from None
    except RecordError as error:
        way = "go on without such rows: --on-error skip --resume, or mend the file and begin anew: --overwrite"
        raise RecordError(f"{error}{_hint(journal, way)}") from None
    except ClaimstanceError as error:
        raise ClaimstanceError(f"{error}{_hint(journal, 'go on with --resume')}") from None
    except OSError as error:
        reason = f"{target}: cannot be written ({error.strerror})"
        raise ClaimstanceError(f"{reason}{_hint(journal, 'make room and go on with --resume')}") from None
    finally:
        journal.close()
    return Counts(journal.done.rows, journal.done.rejected, rejects)


def _check(
    source: Path, target: Path, rejects: str | os.PathLike[str] | None, on_error: str, workers: int
) -> Path | None:
    """Check what can be before a file is opened; return where rejected rows go."""
    if workers < 1:
        raise ClaimstanceError(f"--workers {workers}: expected 1 or more")
    if rejects is not None and on_error != "skip":
        raise ClaimstanceError("--rejects belongs to --on-error skip; without it a bad row stops the run")
    if on_error == "skip":
        rejects = beside(target, ".rejects.jsonl") if rejects is None else Path(rejects)
    if source.resolve() == target.resolve():
        raise ClaimstanceError(f"{target}: is the input as well; name another file to write")
    if rejects is not None and rejects.resolve() in (source.resolve(), target.resolve()):
        raise ClaimstanceError(f"{rejects}: is the input or the output as well; name another file for --rejects")
    for path in filter(None, (target, rejects)):
        check_replaceable(path)
    return rejects


def _label(journal: Journal, job: labelling.Job, workers: int, progress: Progress) -> None:
    begun = journal.done
    if begun.complete:
        return
    rows = blocks(job.table, Place(begun.offset, begun.number))
    with (
        progress(job.table.total) as report,
        contextlib.closing(labelled_blocks(job, rows, workers)) as results,
    ):
        for block, labelled in results:
            if labelled.error is not None:
                raise RecordError(f"{job.table.path}:{labelled.error}")
            journal.add(labelled, block.end)
            done = journal.done
            report(done.offset, done.rows + done.rejected - begun.rows - begun.rejected)
    if journal.done.rows + journal.done.rejected == 0:
        raise holds_nothing(job.table)


def _kept(journal: Journal) -> str:
    """Save what is done, or leave nothing where nothing is; say which."""
    done = journal.done
    if done.rows + done.rejected == 0:
        journal.discard()
        return "no row was done"
    if not done.complete:
        journal.save()
    return f"{done.rows + done.rejected:,} rows are done and kept in {journal.partial}"


def _hint(journal: Journal, way: str) -> str:
    kept = _kept(journal)
    return f"; {kept}; {way}" if journal.path.exists() else ""


def _joiner(job: labelling.Job) -> Callable[[Path, Path], None]:
    from claimstance import parquet

    schema: Any = labelling.output_schema(job)

    def join(partial: Path, joined: Path) -> None:
        with open(partial, "rb") as handle:
            parquet.join(handle, joined, schema)

    return join
