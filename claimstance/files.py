"""Reading and writing files so that a failure names the file and leaves nothing half-written."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from claimstance.errors import ClaimstanceError


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the whole text of a UTF-8 file.

    Raises:
        ClaimstanceError: the file is missing, empty or not UTF-8; the message names it.
    """
    return "".join(read_lines(path))


def read_lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, ends included; a byte-order mark is dropped.

    Raises:
        ClaimstanceError: the file is missing, a folder, empty, or has a line that is not UTF-8.
    """
    number = 0
    with opened(path) as handle:
        try:
            for number, raw in enumerate(handle, start=1):
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ClaimstanceError(f"{path}:{number}: {not_utf8(error)}") from None
    if number == 0:
        raise ClaimstanceError(f"{path}: the file is empty")


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to read its bytes.

    Raises:
        ClaimstanceError: the file is missing, a folder, or not ours to read.
    """
    try:
        handle = open(path, "rb")  # noqa: SIM115, closed below; errors of the caller are not those of opening
    except FileNotFoundError:
        raise ClaimstanceError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ClaimstanceError(f"{path}: is a folder, expected a file") from None
    except PermissionError:
        raise ClaimstanceError(f"{path}: may not be read; change its permissions, or run as another user") from None
    with handle:
        yield handle


def not_utf8(error: UnicodeDecodeError) -> str:
    """Say what is wrong with a line, and how to convert its file."""
    return (
        f"not UTF-8 ({error.reason} at byte {error.start} of the line); "
        f"convert the file, for example with: iconv -f WINDOWS-1256 -t UTF-8"
    )


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Check that a plain file can be written under this name.

    Raises:
        ClaimstanceError: its folder is missing, or something else than a plain file has the name.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ClaimstanceError(f"{path}: the folder {path.parent} does not exist; create it first")
    if path.exists() and not path.is_file():
        raise ClaimstanceError(f"{path}: is a folder or a device, expected the name of a plain file to write")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Open a text file that takes the place of ``path`` only when the block ends without an error."""
    check_replaceable(path)
    path = Path(path)
    handle = tempfile.NamedTemporaryFile(  # noqa: SIM115, closed below, before it is renamed
        "w", encoding="utf-8", newline="\n", dir=path.parent, prefix=f".{path.name}.", delete=False
    )
    try:
        with handle:
            yield handle
        os.chmod(handle.name, 0o666 & ~_umask())
        os.replace(handle.name, path)
    except BaseException:
        os.unlink(handle.name)
        raise


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``path`` only when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield fresh
        os.chmod(fresh, 0o777 & ~_umask())
        old = None
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            os.replace(path, old / path.name)
        os.replace(fresh, path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file as 64 lower-case hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
