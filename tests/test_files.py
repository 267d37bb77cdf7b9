"""Reading names what is wrong with a file; writing replaces a file or folder whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from claimstance.errors import ClaimstanceError
from claimstance.files import read_lines, read_text, replacing, replacing_folder, sha256

ARABIC = "قال وزير الصحة\nإن اللقاح متوفر\n"


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_text_is_read_as_it_stands_but_for_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbf" + ARABIC.replace("\n", "\r\n").encode() + "\ufeffآخر".encode())
    assert read_text(path) == ARABIC.replace("\n", "\r\n") + "\ufeffآخر"
    assert next(iter(read_lines(path))) == "قال وزير الصحة\r\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (ARABIC.encode("windows-1256"), [":1: not UTF-8", "byte 0", "iconv -f WINDOWS-1256"]),
        (ARABIC.encode() + b"abc\xff\n", [":3: not UTF-8", "byte 3"]),
        (ARABIC.encode("utf-16"), [":1: not UTF-8"]),
        (b"\xed\xa0\x80", [":1: not UTF-8"]),
        (b"", [": the file is empty"]),
        (None, [": no such file"]),
        (..., [": is a folder, expected a file"]),
    ],
)
def test_an_unreadable_file_is_named_with_the_reason(tmp_path: Path, content: object, words: list[str]) -> None:
    path = tmp_path / "ملف.txt"
    if content is ...:
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ClaimstanceError) as caught:
        read_text(path)
    assert str(caught.value).startswith(str(path))
    for word in words:
        assert word in str(caught.value)


def test_a_written_file_takes_the_place_of_the_old_one_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old", encoding="utf-8")
    with replacing(path) as handle:
        handle.write(ARABIC)
        handle.flush()
        assert path.read_text(encoding="utf-8") == "old"
    assert path.read_bytes() == ARABIC.encode()
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
@pytest.mark.parametrize("old", ["old", None])
def test_an_interrupted_write_leaves_no_trace(tmp_path: Path, error: type[BaseException], old: str | None) -> None:
    path = tmp_path / "out"
    if old is not None:
        path.write_text(old, encoding="utf-8")
    with pytest.raises(error), replacing(path) as handle:
        handle.write(ARABIC * 10_000)
        raise error
    assert names(tmp_path) == ([] if old is None else ["out"])
    assert old is None or path.read_text(encoding="utf-8") == old


def test_a_written_file_and_folder_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with replacing(tmp_path / "file") as handle:
            handle.write("x")
        with replacing_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o755


def test_a_file_in_a_missing_folder_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ClaimstanceError, match="absent does not exist; create it"), replacing(tmp_path / "absent/out"):
        raise AssertionError("the block ran")
    assert names(tmp_path) == []


def test_a_replaced_folder_keeps_nothing_of_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "deep/model"
    for name in ("first", "second"):
        with replacing_folder(folder) as fresh:
            (fresh / name).write_text(name, encoding="utf-8")
    assert names(folder) == ["second"]
    assert names(folder.parent) == ["model"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_folder_leaves_the_old_one_whole(tmp_path: Path, error: type[BaseException]) -> None:
    folder = tmp_path / "model"
    with replacing_folder(folder) as fresh:
        (fresh / "first").write_text("first", encoding="utf-8")
    with pytest.raises(error), replacing_folder(folder) as fresh:
        (fresh / "second").write_text("second", encoding="utf-8")
        raise error
    assert names(tmp_path) == ["model"] and names(folder) == ["first"]
    assert (folder / "first").read_text(encoding="utf-8") == "first"


def test_sha256_is_the_standard_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
