"""Properties that hold of whatever is read: texts, batches, tables and manifests.

The suite tries a few thousand inputs, the same ones each time. To try many new ones, for as long as it takes:

CLAIMSTANCE_FUZZ=100000 python -m pytest tests/test_fuzz.py
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claimstance.article import read_statements
from claimstance.contents import parse_lexicons, parse_thesaurus, parse_weights
from claimstance.errors import BundleError, ClaimstanceError
from claimstance.explanation import explain
from claimstance.linear import read_lexicon
from claimstance.manifest import LAYOUT, checksum, parse_manifest
from claimstance.predictor import Prediction, Predictor
from claimstance.records import read_pairs
from claimstance.tables import KINDS, read_rows
from claimstance.words import read_words, word_spans

EXAMPLES = int(os.environ.get("CLAIMSTANCE_FUZZ", 0))
MANIFEST = Path("bundle") / LAYOUT.manifest


def tries(count: int) -> settings:
    """Try ``count`` inputs, always the same; or as many new ones as the environment asks for."""
    return settings(
        max_examples=EXAMPLES or count,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


# ---- Texts ----

WORDS = """
نفى أكد قال ليس لم لن صحيح كاذب شائعات إذا هل ربما الوزير وصول الشحنة الشحنة وصلت ارتفعت انخفضت ثلاثة واحد لا صحة
denied confirmed said not true false if whether maybe the minister rose fell three never n't
"""
PIECES = WORDS.split()
MARKS = [
    " ",
    "  ",
    "\n",
    "،",
    ".",
    "؟",
    "?",
    "!",
    ":",
    "؛",
    "«",
    "»",
    '"',
    "“",
    "'",
    "’",
    "…",
    "(",
    "-",
    "\t",
    "\u2028",
]
ODD = [
    *"\0\u0640\u064b\u0651\u0653\u0654\u0670\u200c\u200d\u200f\u202e\u2066\ufeff\ufdfa\ufefb\u0301\u0345\u1e9b\u0323",
    *"\U0001d7d8\U00010d30\ud800\udbff\udc00\udfff\uffff\U0010ffff٠١٩۴5٫٬,½²①Ａ９ﬁİıßǅ😀",
]
NUMBERS = ["1,200", "١٬٢٠٠", "3.5", "٣٫٥", "12%", "2020", "1.2.3", "1,2,"]
built = st.lists(st.sampled_from([*PIECES, *MARKS, *MARKS, *ODD, *NUMBERS]), max_size=25).map("".join)
spaced = st.lists(st.sampled_from([*PIECES, *NUMBERS]), max_size=15).map(" ".join)
anything = st.text(st.characters(codec=None), max_size=40)
texts = st.one_of(spaced, built, anything, st.tuples(built, anything).map("".join))
pairs = st.tuples(texts, texts.filter(bool))


def check(prediction: Prediction, predictor: Predictor) -> None:
    values = prediction.probabilities
    assert tuple(values) == predictor.manifest.labels
    assert all(math.isfinite(value) and 0 <= value <= 1 for value in values.values())
    assert math.isclose(sum(values.values()), 1, abs_tol=1e-9)
    stances = predictor.manifest.stances
    assert prediction.confidence == max(values[stance] for stance in stances)
    assert (prediction.stance in stances) == (prediction.confidence >= predictor.manifest.threshold)


@pytest.fixture(scope="module", params=["every_family", "ensemble"])
def any_predictor(request: pytest.FixtureRequest) -> Predictor:
    """A linear model of every family and an ensemble, whose answers are the same in any batch, to the last bit."""
    if request.param == "every_family":
        return request.getfixturevalue("every_family")
    return Predictor.load(request.getfixturevalue("every_kind")["ensemble"])


@tries(80)
@given(batch=st.lists(pairs, min_size=1, max_size=6), order=st.randoms(use_true_random=False))
def test_a_pair_is_answered_the_same_alone_in_a_batch_and_in_any_order(
    any_predictor: Predictor, batch: list[tuple[str, str]], order: Any
) -> None:
    together = any_predictor.predict(batch)
    for pair, prediction in zip(batch, together, strict=True):
        check(prediction, any_predictor)
        assert any_predictor.predict([pair]) == [prediction]
    places = list(range(len(batch)))
    order.shuffle(places)
    assert any_predictor.predict([batch[place] for place in places]) == [together[place] for place in places]


@tries(50)
@given(pair=pairs)
def test_an_explanation_adds_up_to_its_prediction(predictor: Predictor, pair: tuple[str, str]) -> None:
    found = explain(predictor, *pair)
    assert found.prediction == predictor.predict([pair])[0]
    logs = [math.log(value) for value in found.prediction.probabilities.values()]
    expected = [value - sum(logs) / len(logs) for value in logs]
    assert found.scores.tolist() == pytest.approx(expected, abs=1e-5)
    for word in found.words:
        assert word.text and all(math.isfinite(value) for value in word.push)


@tries(200)
@given(article=st.one_of(texts, st.lists(texts, max_size=4).map("\n".join)))
def test_statements_are_pieces_of_their_article_in_order(predictor: Predictor, article: str) -> None:
    end = 0
    for statement in read_statements(article, predictor.lexicon):
        assert end <= statement.start < statement.stop <= len(article)
        assert statement.text == article[statement.start : statement.stop] and statement.speaker in statement.text
        end = statement.stop


@tries(200)
@given(batch=st.lists(texts, max_size=5))
def test_words_of_a_text_are_the_same_alone_and_among_others(batch: list[str]) -> None:
    words = read_words(batch)
    assert words.first.size == len(batch) + 1
    for index, text in enumerate(batch):
        alone, span = read_words([text]), slice(words.first[index], words.first[index + 1])
        assert alone.stem.tolist() == words.stem[span].tolist() and alone.number.tolist() == words.number[span].tolist()
        as_read, spans = word_spans(text)
        assert len(spans) == alone.count and all(0 <= start < stop <= len(as_read) for start, stop in spans)


# ---- Files ----

FIELDS = {
    "id": "1",
    "event": "e",
    "topic": "t",
    "lang": "ar",
    "claim": "وصلت",
    "quote": "نفى",
    "speaker": "s",
    "stance": "deny",
}
values = st.one_of(texts, st.none(), st.booleans(), st.integers(), st.floats(), st.lists(st.integers(), max_size=2))
rows = st.lists(
    st.dictionaries(st.one_of(st.sampled_from(list(FIELDS)), texts), values, max_size=4).map(lambda row: FIELDS | row),
    min_size=1,
    max_size=4,
)


def as_file(kind: str, content: list[dict[str, Any]]) -> bytes:
    if kind == ".jsonl":
        return "".join(json.dumps(row) + "\n" for row in content).encode()
    output = io.StringIO(newline="")
    names = list(dict.fromkeys(name for row in content for name in row))
    writer = csv.DictWriter(output, names, delimiter="\t" if kind == ".tsv" else ",", escapechar="\\")
    writer.writeheader()
    writer.writerows(content)
    return output.getvalue().encode("utf-8", "surrogatepass")


def mutated(content: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for place, length, instead in changes:
        at = place % (len(content) + 1)
        content = content[:at] + instead + content[at + length :]
    return content


changes = st.lists(
    st.tuples(
        st.integers(0, 1 << 16),
        st.integers(0, 12),
        st.one_of(
            st.binary(max_size=3),
            st.sampled_from([b'"', b"\n", b"\r", b"\0", b",", b"\t", b"{", b"\xff", b"\xef\xbb\xbf"]),
        ),
    ),
    max_size=4,
)


@pytest.mark.parametrize("kind", KINDS)
@tries(250)
@given(content=st.one_of(st.binary(max_size=200), st.tuples(rows, changes)), column=st.sampled_from(["quote", "x", ""]))
def test_a_table_of_any_bytes_is_read_or_is_one_error(tmp_path: Path, kind: str, content: Any, column: str) -> None:
    path = tmp_path / f"table{kind}"
    path.write_bytes(content if isinstance(content, bytes) else mutated(as_file(kind, content[0]), content[1]))
    for read in (
        lambda: list(read_rows(path)),
        lambda: list(read_rows(path, {"quote": column} if column else None)),
        lambda: read_pairs(path),
    ):
        try:
            read()
        except ClaimstanceError as error:
            assert str(error).startswith(f"{path}:")


# ---- Bundles ----

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    anything,
    st.sampled_from([10**400, -(2**63), 1e308, "deny", "pair"]),
)
anyhow = st.recursive(
    plain,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(anything, inner, max_size=3)),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def sound_manifests(every_kind: dict[str, Path]) -> list[dict[str, Any]]:
    return [json.loads((folder / LAYOUT.manifest).read_text(encoding="utf-8")) for folder in every_kind.values()]


@tries(200)
@given(data=st.data())
def test_a_manifest_of_any_json_is_what_we_write_or_is_one_error(
    sound_manifests: list[dict[str, Any]], data: st.DataObject
) -> None:
    body = dict(data.draw(st.sampled_from(sound_manifests)))
    del body["checksum"]
    for name in data.draw(st.lists(st.sampled_from([*body, "more"]), max_size=3)):
        body[name] = data.draw(anyhow)
    for part in data.draw(st.lists(st.sampled_from(["files", "settings", "families", "trained_on"]), max_size=2)):
        if isinstance(body.get(part), dict):
            keys = st.one_of(anything, st.sampled_from([*body[part], "../x"]))
            body[part] = body[part] | {data.draw(keys): data.draw(anyhow)}
    body["checksum"] = checksum(body)
    text = json.dumps(body, ensure_ascii=data.draw(st.booleans()), indent=2) + "\n"
    content = mutated(text.encode("utf-8", "surrogatepass"), data.draw(changes) if data.draw(st.booleans()) else [])
    try:
        manifest, files = parse_manifest(content, MANIFEST)
    except BundleError as error:
        assert str(MANIFEST) in str(error)
    else:
        assert all(".." not in name and not name.startswith("/") for name in files)
        assert 0 <= manifest.threshold <= 1 and len(manifest.labels) >= 2


@tries(250)
@given(content=st.one_of(st.binary(max_size=300), anyhow.map(lambda value: json.dumps(value).encode())))
def test_a_manifest_of_any_bytes_is_one_error(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json"):
        parse_manifest(content, MANIFEST)


@pytest.fixture(scope="module")
def sound_files(every_kind: dict[str, Path]) -> dict[str, bytes]:
    folder = every_kind["linear"]
    return {name: (folder / name).read_bytes() for name in (LAYOUT.dense, LAYOUT.thesaurus, LAYOUT.lexicon)}


@tries(250)
@given(changed=changes, where=st.integers(0, 200), any_bytes=st.one_of(st.none(), st.binary(max_size=200)))
def test_a_file_of_any_bytes_is_what_it_should_be_or_is_one_error(
    sound_files: dict[str, bytes], changed: list[tuple[int, int, bytes]], where: int, any_bytes: bytes | None
) -> None:
    near = [(place % (where + 1), length, instead) for place, length, instead in changed]
    parsers = {
        LAYOUT.dense: lambda content, path: parse_weights(content, path, (None, 4)),
        LAYOUT.thesaurus: parse_thesaurus,
        LAYOUT.lexicon: parse_lexicons,
    }
    for name, parse in parsers.items():
        try:
            parse(mutated(sound_files[name], near) if any_bytes is None else any_bytes, Path(name))
        except BundleError as error:
            assert str(error).startswith(f"{name}: ")


@tries(80)
@given(data=st.data())
def test_word_lists_of_any_json_compile_or_are_one_error(sound_files: dict[str, bytes], data: st.DataObject) -> None:
    lexicons = json.loads(sound_files[LAYOUT.lexicon])[:1]
    sections = ["inflection", "cues", "function_words", "exceptions", "numbers", "opposites"]
    for name in data.draw(st.lists(st.sampled_from([*sections, "more"]), min_size=1, max_size=2)):
        part = data.draw(
            st.sampled_from([None, *lexicons[0][name]]) if isinstance(lexicons[0].get(name), dict) else st.none()
        )
        if part is None:
            lexicons[0][name] = data.draw(anyhow)
        else:
            lexicons[0][name][part] = data.draw(anyhow)
    with contextlib.suppress(BundleError):
        read_lexicon(parse_lexicons(json.dumps(lexicons).encode(), Path("lexicon.json")))
