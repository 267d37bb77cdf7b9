"""The card of the corpus: it loads with ``datasets`` without any network, and what it says of itself is true."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

from claimstance.records import LABELS, Pair, read_json_lines, read_pairs

SPLITS = ("train", "validation", "test")
COLUMNS = (
    "id",
    "event",
    "topic",
    "lang",
    "claim",
    "quote",
    "speaker",
    "stance",
    "genre",
    "pattern",
    "form",
    "contrast",
)
_UNITS = {"K": 10**3, "M": 10**6}


@pytest.fixture(scope="module")
def card(root: Path) -> str:
    return (root / "data/README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def header(card: str) -> dict[str, Any]:
    """The card's YAML."""
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


@pytest.fixture(scope="module")
def pairs(root: Path) -> dict[str, list[Pair]]:
    return {name: read_pairs(root / f"data/{name}.jsonl") for name in SPLITS}


@pytest.fixture(scope="module")
def loaded(root: Path, tmp_path_factory: pytest.TempPathFactory) -> datasets.DatasetDict:
    """The folder as any user of ``datasets`` loads it, offline and into an empty cache."""
    cache = tmp_path_factory.mktemp("cache")
    before = sorted((root / "data").rglob("*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
        found = datasets.load_dataset(str(root / "data"), cache_dir=str(cache))
    assert sorted((root / "data").rglob("*")) == before
    return found


def test_the_folder_loads_as_its_three_splits(loaded: datasets.DatasetDict) -> None:
    assert tuple(loaded) == SPLITS
    for part in loaded.values():
        assert set(part.column_names) == set(COLUMNS)
        assert part.features["stance"].names == ["assert", "deny", "confirm", "none"]
        assert {feature.dtype for name, feature in part.features.items() if name != "stance"} == {"string"}


@pytest.mark.parametrize("name", SPLITS)
def test_the_rows_are_those_of_the_files(loaded: datasets.DatasetDict, pairs: dict[str, list[Pair]], name: str) -> None:
    part = loaded[name]
    names = part.features["stance"].names
    rows = [
        Pair(**{key: value or "" for key, value in row.items() if key != "stance"}, stance=names[row["stance"]])
        for row in part
    ]
    assert rows == pairs[name]


def test_the_header_names_files_and_fields_that_there_are(header: dict[str, Any], root: Path) -> None:
    (config,) = header["configs"]
    assert {file["split"]: file["path"] for file in config["data_files"]} == {name: f"{name}.jsonl" for name in SPLITS}
    features = {feature["name"]: feature["dtype"] for feature in header["dataset_info"]["features"]}
    assert tuple(features) == COLUMNS
    assert list(features["stance"]["class_label"]["names"].values()) == list(LABELS)
    assert header["license"] == "cc-by-4.0"
    # Who wrote the texts and the labels is said where a catalogue looks for it.
    assert header["annotations_creators"] == header["language_creators"] == ["machine-generated"]


def test_the_headers_limits_on_counts_and_languages_are_true(
    header: dict[str, Any], pairs: dict[str, list[Pair]]
) -> None:
    every = [pair for rows in pairs.values() for pair in rows]
    (size,) = header["size_categories"]
    low, high = (int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([KM])", size))
    assert low < len(every) < high
    languages = Counter(pair.lang for pair in every)
    assert header["language"] == [name for name, _ in languages.most_common()]


def test_the_cards_genres_and_topics_are_those_of_the_pairs(card: str, pairs: dict[str, list[Pair]]) -> None:
    every = [pair for rows in pairs.values() for pair in rows]
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*\| ([^|]+) \|$", card, flags=re.MULTILINE))
    genres = re.findall(r"\w+", rows["genre"].split("(")[0].replace(" or ", " "))
    assert {pair.genre for pair in every} == set(genres)
    assert rows["topic"].startswith("one of ten topics") and len({pair.topic for pair in every}) == 10
    assert {pair.form for pair in every} == {"bare", "reported"}
    assert all(pair.pattern for pair in every)


def test_the_splits_are_of_the_sizes_and_strata_that_the_card_gives(pairs: dict[str, list[Pair]], card: str) -> None:
    assert "stratified by language and topic, about 70/10/20" in card
    counts = [len({pair.event for pair in pairs[name]}) for name in SPLITS]
    assert [count / sum(counts) for count in counts] == pytest.approx([0.7, 0.1, 0.2], abs=0.02)
    strata = {name: {(pair.lang, pair.topic) for pair in rows} for name, rows in pairs.items()}
    assert strata["train"] == strata["validation"] == strata["test"]


def test_a_contrast_group_has_different_labels_in_one_event(pairs: dict[str, list[Pair]]) -> None:
    groups: dict[str, list[Pair]] = {}
    for rows in pairs.values():
        for pair in rows:
            if pair.contrast:
                groups.setdefault(pair.contrast, []).append(pair)
    wrong = [
        name
        for name, group in groups.items()
        if len({pair.stance for pair in group}) < 2 or len({pair.event for pair in group}) > 1
    ]
    assert groups and wrong == []


def test_every_pair_on_which_annotators_differ_has_an_adjudicated_label_with_its_reason(root: Path) -> None:
    given: dict[str, dict[str, Any]] = {}
    for _, row in read_json_lines(root / "data/annotations.jsonl"):
        assert row["rule"].strip()
        given.setdefault(row["pair"], {})[row["annotator"]] = row["label"]
    differing = {
        name for name, labels in given.items() if len({labels[by] for by in labels if by != "adjudicated"}) > 1
    }
    assert {name for name, labels in given.items() if "adjudicated" in labels} == differing


def test_no_cue_gives_a_label_away(pairs: dict[str, list[Pair]]) -> None:
    arabic = [pair for rows in pairs.values() for pair in rows if pair.lang == "ar"]
    for cue in ("نعم", "بالفعل", "صحيح", "أكد", "نفى"):
        met = {pair.stance for pair in arabic if re.search(rf"\b{cue}\b", pair.quote.replace("\u0651", ""))}
        assert met == set(LABELS), cue


def test_the_files_that_the_card_links_are_there_and_nothing_is_left_to_fill_in(card: str, root: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", card)
    assert links and [link for link in links if not (root / "data" / link).is_file()] == []
    assert re.findall(r"@@\w+@@", card) == []
