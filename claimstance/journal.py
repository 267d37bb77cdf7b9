"""An output that grows for hours, and goes on where it was stopped.

While OUTPUT is made, its rows stand in OUTPUT.partial and the rejected ones in REJECTS.partial, which only grow. About every
second both are brought to the disk, and OUTPUT.progress.json is replaced by one that says how many of their bytes are whole
rows, and where reading goes on behind those. What was written later is cut off before work goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from claimstance.errors import ClaimstanceError
from claimstance.labelling import Labelled
from claimstance.tables import Place

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

_FORMAT = 1
"""Counted up whenever blocks are cut or rows are written in another way than before."""

_SECONDS = 1.0
"""Between two journals: what is lost at most when the machine stops."""


@dataclass(frozen=True)
class Done:
    """How far a run is: where its input goes on (``offset`` and ``number`` of a ``tables.Place``), rows labelled and rejected,
    bytes of both files that are whole rows, and whether only renaming is left."""

    offset: int
    number: int
    rows: int = 0
    rejected: int = 0
    output_bytes: int = 0
    rejects_bytes: int = 0
    complete: bool = False


class Journal:
    """The unfinished files of one output.

    Args:
        target: the output.
        rejects: the file of rejected rows, or None.
        run: what has to be the same for a run to go on: names and values that JSON can hold.
        start: where the rows of the input begin.
        heading: what stands before the first row of the output.
        join: makes the output (second path) of the partial file (first), where it is not the same.
        resume: go on with what an earlier run left, if it left something.
        overwrite: begin anew even where an earlier run left something.

    Raises:
        ClaimstanceError: an earlier run left unfinished files, and neither is asked for; or what it left is not of this run.
    """

    def __init__(
        self,
        target: Path,
        rejects: Path | None,
        run: dict[str, Any],
        start: Place,
        heading: bytes = b"",
        *,
        join: Callable[[Path, Path], None] | None = None,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.target, self.partial, self.path = target, beside(target, ".partial"), beside(target, ".progress.json")
        self._rejects = rejects and beside(rejects, ".partial")
        self._names = [(self._rejects, rejects)] if rejects else []
        self._join, self._joined = join, beside(target, ".joined")
        self._run, self._clock = {"format": _FORMAT, **run}, time.monotonic()
        self._handles: list[int] = []
        left = self.partial.exists() or (self.path.exists() and resume)
        if left and not resume and not overwrite:
            raise ClaimstanceError(
                f"{self.partial}: left by a run that did not finish; go on with it: --resume, "
                f"or throw it away and begin anew: --overwrite"
            )
        self.done = self._read() if left and resume else Done(*start)
        if self.done.complete:
            return
        try:
            self._open(begin=not (left and resume), heading=heading)
        except BaseException:
            self.close()
            raise

    def _open(self, begin: bool, heading: bytes) -> None:
        for path, size in self._files():
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            self._handles.append(handle)
            _lock(handle, path)
            if os.fstat(handle).st_size < size:
                raise ClaimstanceError(
                    f"{path}: shorter than the {size} bytes that {self.path} says; begin anew with --overwrite"
                )
        if begin:
            self.path.unlink(missing_ok=True)
            self._cut()
            _write(self._handles[0], heading)
            self.done = replace(self.done, output_bytes=len(heading))
        self.save()

    def _files(self) -> list[tuple[Path, int]]:
        """Return the files that grow, and how many bytes of them are whole rows."""
        files = [(self.partial, self.done.output_bytes)]
        return [*files, (self._rejects, self.done.rejects_bytes)] if self._rejects else files

    def _cut(self) -> None:
        for handle, (_, size) in zip(self._handles, self._files(), strict=True):
            os.ftruncate(handle, size)
            os.fsync(handle)

    def add(self, labelled: Labelled, end: Place) -> None:
        """Write what became of a block that ends at a place of the input."""
        for handle, data in zip(self._handles, (labelled.output, labelled.rejects), strict=False):
            _write(handle, data)
        done = self.done
        self.done = replace(
            done,
            offset=end.offset,
            number=end.number,
            rows=done.rows + labelled.rows,
            rejected=done.rejected + labelled.rejected,
            output_bytes=done.output_bytes + len(labelled.output),
            rejects_bytes=done.rejects_bytes + len(labelled.rejects),
        )
        if time.monotonic() - self._clock >= _SECONDS:
            self.save()

    def save(self) -> None:
        """Cut off what is no whole row, bring the files to the disk, and write down how far they are."""
        self._cut()
        fresh = beside(self.path, ".new")
        with open(fresh, "w", encoding="utf-8") as handle:
            json.dump({"run": self._run, "done": asdict(self.done)}, handle, indent=2)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(fresh, self.path)
        self._clock = time.monotonic()

    def finish(self) -> None:
        """Give the files their names."""
        if not self.done.complete:
            self.save()
            if self._join is not None:
                self._join(self.partial, self._joined)
            self.done = replace(self.done, complete=True)
            self.save()
        # Each of these may have been done before a kill.
        for path, name in [*self._names, (self.partial if self._join is None else self._joined, self.target)]:
            with contextlib.suppress(FileNotFoundError):
                os.replace(path, name)
        self.partial.unlink(missing_ok=True)
        self.path.unlink()

    def discard(self) -> None:
        """Leave nothing of an unfinished run."""
        for path in (self.partial, self._rejects, self._joined, self.path, beside(self.path, ".new")):
            if path is not None:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files, which ends their lock."""
        while self._handles:
            os.close(self._handles.pop())

    def _read(self) -> Done:
        again = f"begin anew with --overwrite, or delete {self.partial}"
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            run, done = found["run"], Done(**found["done"])
        except FileNotFoundError:
            raise ClaimstanceError(f"{self.path}: missing, so {self.partial} cannot be gone on with; {again}") from None
        except (ValueError, KeyError, TypeError):
            raise ClaimstanceError(f"{self.path}: no journal of an unfinished run; {again}") from None
        # A run that stopped at a bad row goes on without such rows.
        now = {**self._run, "on_error": run.get("on_error"), "rejects": run.get("rejects")}
        ours = now if run.get("on_error") == "stop" else self._run
        for name in {**run, **ours}:
            if run.get(name) != ours.get(name):
                raise ClaimstanceError(
                    f"{self.path}: the run was begun with {name} {json.dumps(run.get(name), ensure_ascii=False)}, "
                    f"now it is {json.dumps(ours.get(name), ensure_ascii=False)}; give the same as then, or {again}"
                )
        return done


def beside(path: Path, ending: str) -> Path:
    """Return the path with an ending added to its name."""
    return path.with_name(path.name + ending)


def _lock(handle: int, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ClaimstanceError(f"{path}: another process is writing it; wait for its end") from None


def _write(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
