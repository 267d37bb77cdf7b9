"""Word sets: how lists are read, and which words of a pair they relate."""

from __future__ import annotations

import numpy as np
import pytest

from claimstance.alignment import align, spellings
from claimstance.bundle import LAYOUT, write_bundle
from claimstance.errors import BundleError, ClaimstanceError
from claimstance.features import FeatureExtractor
from claimstance.lexicon import Lexicon
from claimstance.meanings import APART, NO_THESAURUS, OPPOSED, SAME, Relations, Thesaurus, compile_thesaurus, relate
from claimstance.predictor import Predictor
from claimstance.words import read_words
from training.config import Config
from training.corpus import load_corpus
from training.models import fit
from training.preparation import read_thesaurus

LISTS = """
# change
ارتفع/يرتفع، صعد/يصعد، ارتفاع، صعود | انخفض/ينخفض، هبط/يهبط، انخفاض، هبوط
أقال/يقيل، إقالة، عزل
أفرج عن، إطلاق سراح | اعتقل/يعتقل، اعتقال
@ country
تركيا، تركي، أتراك، أنقرة
سوريا، سوري، دمشق

won, win, victory | lost, lose, defeat
"""


@pytest.fixture(scope="module")
def lists() -> Thesaurus:
    return Thesaurus(compile_thesaurus([("lists", LISTS.splitlines())]))


def _related(thesaurus: Thesaurus, *pairs: tuple[str, str]) -> tuple[Relations, list[str]]:
    texts = [text for pair in pairs for text in pair]
    words = read_words(texts)
    reading, row = Lexicon([]).read(words), np.arange(words.count)
    relations = relate(thesaurus.read(words), align(words, reading, spellings(words), row, len(pairs)))
    return relations, " ".join(texts).split()


def _named(thesaurus: Thesaurus, quote: str, claim: str) -> set[tuple[str, str, int]]:
    relations, words = _related(thesaurus, (quote, claim))
    links = zip(relations.quote, relations.claim, relations.relation, strict=True)
    return {(words[ours], words[theirs], int(kind)) for ours, theirs, kind in links}


@pytest.mark.parametrize(
    ("quote", "claim", "expected"),
    [
        ("الذهب يرتفع", "صعود الذهب", {("يرتفع", "صعود", SAME)}),
        ("سيرتفع النفط", "النفط هبط", {("سيرتفع", "هبط", OPPOSED)}),
        ("الرئيس أقال الوزير", "عزل الوزير", {("أقال", "عزل", SAME)}),
        ("الليرة التركية", "الليرة السورية", {("التركية", "السورية", APART)}),
        ("قرار أنقرة", "قرار تركيا", {("أنقرة", "تركيا", SAME)}),
        ("إطلاق سراح الصحفي", "اعتقال الصحفي", {("إطلاق", "اعتقال", OPPOSED)}),
        ("They won the cup", "defeat in the cup", {("won", "defeat", OPPOSED)}),
        ("وزير الصحة", "وزير المال", set()),
    ],
)
def test_words_are_related_through_the_sets_that_hold_both(lists, quote, claim, expected):
    assert _named(lists, quote, claim) == expected


def test_what_the_other_side_says_as_well_is_no_contradiction(lists):
    assert _named(lists, "الذهب يرتفع مع هبوط الدولار", "ارتفاع الذهب وهبوط الدولار") == {("يرتفع", "ارتفاع", SAME)}
    relations, _ = _related(lists, ("تركيا تعاقب سوريا", "سوريا تعاقب تركيا"))
    assert not relations.apart.any() and not relations.same.any()


def test_equal_words_of_a_text_share_one_link_and_are_all_flagged(lists):
    relations, _ = _related(lists, ("صعود بعد صعود", "هبوط"))
    assert relations.relation.tolist() == [OPPOSED]
    assert relations.opposed.tolist() == [True, False, True, True]


def test_a_pair_is_read_alike_alone_and_in_a_batch(lists):
    pairs = [("الذهب يرتفع", "هبوط الذهب"), ("قرار أنقرة", "قرار دمشق"), ("صعود وارتفاع أنقرة", "انخفاض وهبوط سوريا")]
    batch, _ = _related(lists, *pairs)
    first = 0
    links = []
    for pair in pairs:
        alone, words = _related(lists, pair)
        links += [
            (first + ours, first + theirs, kind, group)
            for ours, theirs, kind, group in zip(alone.quote, alone.claim, alone.relation, alone.group, strict=True)
        ]
        first += len(words)
    by_pair = sorted(
        zip(batch.quote, batch.claim, batch.relation, batch.group, strict=True), key=lambda link: link[0] >= 4
    )
    assert by_pair == links


def test_relations_can_be_taken_out(lists):
    relations, _ = _related(lists, ("يرتفع في أنقرة", "هبوط في دمشق"))
    assert relations.opposed.any() and relations.apart.any()
    less = relations.without(OPPOSED)
    assert not less.opposed.any() and less.apart.any() and set(less.relation.tolist()) == {APART}


def test_without_lists_nothing_is_related():
    relations, _ = _related(NO_THESAURUS, ("يرتفع", "هبوط"))
    assert relations.quote.size == 0 and not relations.opposed.any()


def test_a_text_of_many_related_words_takes_little_work(lists):
    relations, _ = _related(lists, ("صعود " * 20_000, "هبوط انخفاض " * 20_000))
    assert relations.quote.size == 2
    assert relations.opposed.all()


@pytest.mark.parametrize("line", ["صعود | هبوط | بقاء", "| هبوط", "@ country\nتركيا | سوريا"])
def test_a_line_that_is_no_set_is_named(line):
    with pytest.raises(ClaimstanceError, match=r"^lists:\d: .* is no set of words.*an empty line ends a kind$"):
        compile_thesaurus([("lists", line.splitlines())])


def test_the_projects_own_lists_relate_words_of_both_languages(thesaurus):
    assert _named(thesaurus, "السماح بالتدخين", "حظر التدخين") == {("السماح", "حظر", OPPOSED)}
    assert OPPOSED in {kind for *_, kind in _named(thesaurus, "Prices rise", "Prices fall")}
    assert np.array_equal(thesaurus.table, np.unique(thesaurus.table, axis=0))


def test_no_set_stands_twice_in_the_projects_lists(root):
    for language in ("ar", "en"):
        seen: set[str] = set()
        for path in sorted((root / "data/thesaurus" / language).glob("*.txt")):
            in_kind = False
            for line in path.read_text(encoding="utf-8").splitlines():
                in_kind = line.startswith("@") or (in_kind and bool(line.strip()))
                if not in_kind and line.strip() and not line.startswith("#"):
                    assert line not in seen, f"{path.name}: {line}"
                    seen.add(line)
        assert len(seen) > 600


def test_features_count_what_is_related_on_each_side(lists):
    families = {"relations": 1.0, "senses": 1.0}
    extractor = FeatureExtractor(Lexicon([]), np.ones(1 << 16, dtype=np.float32), families, lists)
    texts = [("صعود النفط في أنقرة", "هبوط النفط في دمشق"), ("عزل الوزير", "إقالة الوزير"), ("الوزير", "الوزير")]
    view = extractor.view([quote for quote, _ in texts], [claim for _, claim in texts])
    dense = extractor.dense(view)
    same, opposed, apart = dense[:, 0:2], dense[:, 2:4], dense[:, 4:6]
    assert same.tolist() == [[0, 0], [1, 1], [0, 0]]
    assert opposed.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert apart.tolist() == [[1, 1], [0, 0], [0, 0]]
    covered, answered = dense[:, 16:18], dense[:, 18:20]
    np.testing.assert_allclose(covered, [[0.5, 0.5], [1, 1], [1, 1]], atol=1e-3)
    np.testing.assert_allclose(answered, 1, atol=1e-3)
    by_family = {}
    for family, entries in extractor.sparse_entries(view):
        by_family.setdefault(family, []).extend(entries.pair.tolist())
    # Four unmet words have a sense in the first pair; a synonym counts as met.
    assert by_family == {"relations": [0, 0, 1], "senses": [0, 0, 0, 0]}


def test_a_missing_folder_of_lists_is_named(tmp_path):
    with pytest.raises(ClaimstanceError, match=r"no word sets in .*; name files or folders in model\.thesaurus"):
        read_thesaurus([str(tmp_path)])


def test_an_exported_model_carries_its_word_sets(small_config: Config, tmp_path):
    model = {**small_config.model.model_dump(), "families": {"overlap": 1.0, "relations": 1.0, "senses": 0.5}}
    config = Config.model_validate({**small_config.model_dump(), "model": model})
    corpus = load_corpus(config)
    fitted = fit(config, corpus.splits["train"], corpus.splits["validation"], {})
    write_bundle(fitted.bundle, tmp_path / "model")
    predictor = Predictor.load(tmp_path / "model")
    validation = corpus.splits["validation"]
    pairs = list(zip(validation["quote"], validation["claim"], strict=True))
    batch = predictor.predict(pairs)
    assert batch == [predictor.predict([pair])[0] for pair in pairs]
    np.testing.assert_allclose([list(each.probabilities.values()) for each in batch], fitted.probabilities, atol=1e-4)

    table = tmp_path / "model" / LAYOUT.thesaurus
    table.write_bytes(table.read_bytes()[:-8] + b"8 bytes!")
    with pytest.raises(BundleError, match=r"thesaurus\.npy: altered since it was exported"):
        Predictor.load(tmp_path / "model")
