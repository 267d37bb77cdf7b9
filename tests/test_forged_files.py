"""Files with a fitting digest that are not what they should be: arrays, word sets, word lists, and pickles in their place."""

from __future__ import annotations

import json
import pickle
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from claimstance.contents import LARGEST_WEIGHT
from claimstance.manifest import LAYOUT, LINEAR
from claimstance.predictor import Predictor

Forge, Refusal = Callable[..., None], Callable[..., str]
FILES = (LAYOUT.manifest, *LAYOUT.contents(LINEAR, optional=True))
ARRAYS = (LAYOUT.dense, LAYOUT.sparse, LAYOUT.idf)


@pytest.fixture
def linear(copied: Callable[[str], Path]) -> Path:
    return copied("linear")


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


class Payload:
    """Unpickling one of these leaves a file behind."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("name", [*FILES, LAYOUT.network, LAYOUT.tokenizer])
@pytest.mark.parametrize("as_array", [False, True])
def test_a_pickle_is_not_run_whichever_file_holds_it(
    copied: Callable[[str], Path], tmp_path: Path, forge: Forge, name: str, as_array: bool, refusal: Refusal
) -> None:
    folder = copied("encoder" if name in (LAYOUT.network, LAYOUT.tokenizer) else "linear")
    marker = tmp_path / "was-here"
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists()
    marker.unlink()
    with open(folder / name, "wb") as handle:
        if as_array:
            np.save(handle, np.array([Payload(marker)], dtype=object), allow_pickle=True)
        else:
            pickle.dump(Payload(marker), handle)
    if name != LAYOUT.manifest:
        forge(folder)
    refusal(folder)
    assert not marker.exists()


def header(array: np.ndarray, version: int = 1, **parts: Any) -> bytes:
    """A ``.npy`` file of an array with other words in its header; ``whole`` replaces all of them."""
    said = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape, **parts}
    text = parts.get("whole", repr(said).replace("}", ", }")).encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text


def with_header(version: int = 1, **parts: Any) -> Callable[[np.ndarray], bytes]:
    return lambda array: header(array, version, **parts) + array.tobytes()


def as_type(kind: Any) -> Callable[[np.ndarray], bytes]:
    return lambda array: with_header()(array.astype(kind))


def with_first(value: float) -> Callable[[np.ndarray], bytes]:
    def changed(array: np.ndarray) -> bytes:
        array = array.copy()
        array.flat[0] = value
        return with_header()(array)

    return changed


MALFORMED: dict[str, Callable[[np.ndarray], bytes]] = {
    "big-endian": as_type(">f4"),
    "of 64 bits": as_type("<f8"),
    "of 16 bits": as_type("<f2"),
    "of whole numbers": as_type("<i4"),
    "of complex numbers": as_type("<c8"),
    "of texts": as_type("<U9"),
    "of records": lambda array: with_header(descr=[("a", "<f4")])(array),
    "of records in text": with_header(descr="f4,f4"),
    "of objects": with_header(descr="|O"),
    "in Fortran's order": with_header(fortran_order=True),
    "of version 2": with_header(2),
    "of version 3": with_header(3),
    "of version 9": with_header(9),
    "of a header that is a list": with_header(whole="[1, 2]"),
    "of a header that is code": with_header(whole="__import__('os').abort()"),
    "of a header nested deeply": with_header(whole="(" * 5000 + ")" * 5000),
    "of an endless header": with_header(whole="{" + " " * 60_000),
    "of no header": lambda array: array.tobytes(),
    "of a header alone": lambda array: header(array),
    "with a byte too many": lambda array: with_header()(array) + b"\0",
    "with a byte too few": lambda array: with_header()(array)[:-1],
    "transposed": lambda array: with_header()(array[None].T),
    "flat and in one more dimension": lambda array: with_header()(array[None]),
    "of no dimension": lambda array: with_header(shape=())(array),
    "of a negative length": with_header(shape=(-1, 4)),
    "of an enormous length": with_header(shape=(10**9, 4)),
    "of a length beyond 64 bits": with_header(shape=(10**30, 4)),
    "with NaN": with_first(np.nan),
    "with infinity": with_first(np.inf),
    "with minus infinity": with_first(-np.inf),
    "with a weight too large for any sum": with_first(2 * LARGEST_WEIGHT),
}


def test_the_headers_that_are_changed_are_accepted_unchanged(linear: Path, forge: Forge) -> None:
    for name in ARRAYS:
        (linear / name).write_bytes(with_header()(np.load(linear / name)))
    forge(linear)
    Predictor.load(linear)


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_array_is_refused_and_nothing_made_room_for(
    copied: Callable[[str], Path], forge: Forge, what: str, refusal: Refusal
) -> None:
    for kind, names in (("linear", ARRAYS), ("ensemble", (LAYOUT.stack,))):
        folder = copied(kind)
        for name in names:
            intact, array = (folder / name).read_bytes(), np.load(folder / name)
            (folder / name).write_bytes(MALFORMED[what](array))
            forge(folder)
            tracemalloc.start()
            assert name in refusal(folder, folder / name)
            assert tracemalloc.get_traced_memory()[1] < 64 * 1024**2
            tracemalloc.stop()
            (folder / name).write_bytes(intact)
        shutil.rmtree(folder)


SENSE = 1 << 13


@pytest.mark.parametrize(
    "table",
    [
        pytest.param([(2, SENSE), (1, SENSE)], id="not sorted"),
        pytest.param([(1, 2 * SENSE), (1, SENSE)], id="senses not sorted"),
        pytest.param([(1, SENSE), (1, SENSE)], id="a row twice"),
        pytest.param([(1, 1 << 40)], id="a group of no list"),
        pytest.param([(1, n * SENSE) for n in range(100_000)], id="a word of a hundred thousand senses"),
        pytest.param([(n * 2**63 // 999, 2**64 - 1 - n) for n in range(999)], id="garbage"),
        pytest.param([(1, SENSE, 1)], id="three columns"),
    ],
)
def test_a_thesaurus_that_no_lists_give_is_refused(
    linear: Path, forge: Forge, table: list[tuple[int, ...]], refusal: Refusal
) -> None:
    np.save(linear / LAYOUT.thesaurus, np.array(table, dtype=np.uint64))
    forge(linear)
    refusal(linear, linear / LAYOUT.thesaurus)
    np.save(linear / LAYOUT.thesaurus, np.array(table, dtype=np.int64 if table[0][1] < 2**63 else np.float64))
    forge(linear)
    refusal(linear, linear / LAYOUT.thesaurus)


def inflected(**parts: Any) -> Callable[[list], object]:
    return lambda lexicons: lexicons[0]["inflection"].update(parts)


def cued(**parts: Any) -> Callable[[list], object]:
    return lambda lexicons: lexicons[0]["cues"]["deny"].update(parts)


def sectioned(**parts: Any) -> Callable[[list], object]:
    return lambda lexicons: lexicons[0].update(parts)


LEXICONS: dict[str, Callable[[list], object]] = {
    "no list in it": lambda lexicons: lexicons.append("ar"),
    "an unknown section": sectioned(hooks=["x"]),
    "sections of lists": sectioned(cues=["deny"]),
    "an unknown class": lambda lexicons: lexicons[0]["cues"].update(magic={"words": ["x"]}),
    "a class as a list": lambda lexicons: lexicons[0]["cues"].update(deny=["نفى"]),
    "an unknown key": cued(regex=["x"]),
    "words as a text": cued(words="نفى"),
    "words as numbers": cued(words=[1, 2]),
    "words as null": cued(words=None),
    "words as lists": cued(words=[["نفى"]]),
    "an entry without a word": cued(words=["!"]),
    "an empty entry": cued(words=[""]),
    "a phrase too long": cued(words=["ليس من ما قيل صحيحا"]),
    "an enormous entry": cued(words=["ن" * 1_000_000]),
    "a thousand enormous entries": cued(words=[f"{'ن' * 1000}{n}" for n in range(1000)]),
    "a verb as a text": cued(verbs=["نفى"]),
    "verbs as an object": cued(verbs={"past": []}),
    "stems as a text": cued(verbs=[{"past": "نفى"}]),
    "stems as numbers": cued(verbs=[{"past": [1]}]),
    "forms that multiply": lambda lexicons: (
        inflected(past_endings=["ا"] * 3000, object_pronouns=["ه"] * 3000)(lexicons),
        cued(verbs=[{"past": ["نف"] * 3000}])(lexicons),
    ),
    "nouns that multiply": lambda lexicons: (
        inflected(noun_endings=["ه"] * 3000)(lexicons),
        cued(nouns=["نفي"] * 3000)(lexicons),
    ),
    "rules as texts": inflected(past_endings="ت"),
    "rules as numbers": inflected(object_pronouns=[1]),
    "rules as null": inflected(present_prefixes=None),
    "inflection as a list": sectioned(inflection=["ت"]),
    "function words as a number": sectioned(function_words=5),
    "function words as an object": sectioned(function_words={"من": 1}),
    "exceptions as numbers": sectioned(exceptions=[5]),
    "exceptions without a word": sectioned(exceptions=["؟"]),
    "numbers as a list": sectioned(numbers=["واحد"]),
    "numbers as null": sectioned(numbers={"1": None}),
    "a number of no word": sectioned(numbers={"!": ["واحد"]}),
    "an empty number": sectioned(numbers={"": ["واحد"]}),
    "opposites as texts": sectioned(opposites=["صعود", "هبوط"]),
    "opposites of three": sectioned(opposites=[[["صعود"], ["هبوط"], ["ثبات"]]]),
    "opposites of none": sectioned(opposites=[[[], []]]),
    "opposites as numbers": sectioned(opposites=[[[1], [2]]]),
    "opposites as an object": sectioned(opposites={"صعود": "هبوط"}),
    "opposites without a word": sectioned(opposites=[[["!"], ["?"]]]),
    "nested deeply": sectioned(opposites=nested(400)),
    "infinity": sectioned(opposites=[[[float("inf")], ["x"]]]),
}


@pytest.mark.parametrize("what", LEXICONS)
@pytest.mark.parametrize("kind", ["linear", "encoder"])
def test_forged_word_lists_are_refused(
    copied: Callable[[str], Path], forge: Forge, kind: str, what: str, refusal: Refusal
) -> None:
    folder = copied(kind)
    lexicons = json.loads((folder / LAYOUT.lexicon).read_text(encoding="utf-8"))
    LEXICONS[what](lexicons)
    (folder / LAYOUT.lexicon).write_text(json.dumps(lexicons), encoding="utf-8")
    forge(folder)
    assert "word list" in refusal(folder) or LAYOUT.lexicon in refusal(folder)


@pytest.mark.parametrize(
    "content", [b"\xff", b"null", b"{}", b"[" * 10**6, b'[{"version": ' + b"9" * 10**5 + b"}]", b" " * 5_000_000]
)
def test_word_lists_of_other_bytes_are_refused(linear: Path, forge: Forge, content: bytes, refusal: Refusal) -> None:
    (linear / LAYOUT.lexicon).write_bytes(content)
    forge(linear)
    refusal(linear, linear / LAYOUT.lexicon)
