"""The corpus: other people's files load by mapping, bad ones are named, and no split cuts through an event."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest

from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from claimstance.records import Pair, write_json_lines
from training.config import Config
from training.corpus import check_splits, load_corpus, split_by_event
from training.corpus_commands import main
from training.models import fit

AGREE, DISAGREE, OTHER = "مؤيد", "معارض", "محايد"
HEADLINES = [
    ("أكد الوزير وصول الشحنة إلى الميناء", "وصلت الشحنة إلى الميناء", AGREE),
    ("نفى الوزير وصول الشحنة إلى الميناء", "وصلت الشحنة إلى الميناء", DISAGREE),
    ("لا تعليق من الوزارة، حتى الآن", "أُغلق الجسر", OTHER),
    ("قال المتحدث إن الجسر أُغلق", "أُغلق الجسر", AGREE),
    ("The minister denied that the bridge was closed", "The bridge was closed", DISAGREE),
    ("The spokesman confirmed the closure", "The bridge was closed", AGREE),
]
COLUMNS = {"quote": "العنوان", "claim": "الادعاء", "stance": "الموقف", "event": "القصة"}
LABELS = {AGREE: "agree", DISAGREE: "disagree", OTHER: None}


def rows(start: int = 0) -> list[dict[str, Any]]:
    """The headlines under their own column names, two to a story."""
    return [
        {"العنوان": quote, "الادعاء": claim, "الموقف": label, "القصة": f"story-{start + number // 2}"}
        for number, (quote, claim, label) in enumerate(HEADLINES)
    ]


def write_table(path: Path, table: Sequence[dict[str, Any]]) -> str:
    """Write rows in the format that the name ends with."""
    if path.suffix in (".csv", ".tsv"):
        with open(path, "w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, list(table[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(table)
    elif path.suffix == ".parquet":
        datasets.Dataset.from_list(list(table)).to_parquet(path)
    else:
        lines = [json.dumps(row, ensure_ascii=False) for row in table]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def config(corpus: dict[str, Any], **parts: Any) -> Config:
    """A run over a corpus with the labels agree and disagree."""
    content = {
        "name": "theirs",
        "description": "somebody else's data",
        "corpus": corpus,
        "labels": {"stances": ["agree", "disagree"], "abstain": None},
        "model": {"families": {"cues": 1.0}},
        "tracking": {"uri": None},
    }
    return Config.model_validate({**content, **parts})


def theirs(folder: Path, suffix: str = ".csv", **corpus: Any) -> dict[str, Any]:
    """The corpus section of a mapped corpus of two files, written to a folder."""
    files = {
        "train": write_table(folder / f"one{suffix}", rows()),
        "validation": write_table(folder / f"two{suffix}", rows(9)),
    }
    return {**files, "columns": COLUMNS, "labels": LABELS, **corpus}


def refused(settings: Config) -> str:
    with pytest.raises(ClaimstanceError) as caught:
        load_corpus(settings)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_other_columns_and_labels_load_by_mapping_from_every_format(tmp_path: Path, suffix: str) -> None:
    corpus = load_corpus(config(theirs(tmp_path, suffix)))
    train = corpus.splits["train"]
    kept = [(quote, claim, LABELS[label]) for quote, claim, label in HEADLINES if label != OTHER]
    names = train.features["stance"].names
    assert names == ["agree", "disagree"]
    assert [(row["quote"], row["claim"], names[row["stance"]]) for row in train] == kept
    assert train["event"][:] == ["story-0", "story-0", "story-1", "story-2", "story-2"]
    assert len(set(train["id"])) == len(train)


def test_only_the_pairs_asked_for_are_kept(root: Path) -> None:
    files = {name: str(root / f"data/{name}.jsonl") for name in ("train", "validation")}
    parts = {"labels": {}, "model": {"families": {"cues": 1.0}}}
    whole = load_corpus(config(files, **parts))
    english = load_corpus(config({**files, "only": {"lang": "en", "topic": "health"}}, **parts))
    for name, split in english.splits.items():
        expected = [row["id"] for row in whole.splits[name] if (row["lang"], row["topic"]) == ("en", "health")]
        assert split["id"][:] == expected != []
        assert english.digests[name] != whole.digests[name], "a part has a digest of its own"
    message = refused(config({**files, "only": {"lang": "eng"}}, **parts))
    assert "no pair has lang 'eng', found 'ar', 'en' (did you mean 'en'?)" in message and "corpus.only" in message


def test_a_label_mapped_to_null_drops_its_rows(tmp_path: Path) -> None:
    with_other = config(
        theirs(tmp_path, labels={**LABELS, OTHER: "other"}),
        labels={"stances": ["agree", "disagree", "other"], "abstain": None},
    )
    assert len(load_corpus(with_other).splits["train"]) == 6
    assert len(load_corpus(config(theirs(tmp_path))).splits["train"]) == 5


def test_class_labels_of_a_parquet_file_map_by_their_names(tmp_path: Path) -> None:
    table = datasets.Dataset.from_list(rows()).class_encode_column("الموقف")
    paths = {name: str(tmp_path / f"{name}.parquet") for name in ("train", "validation")}
    for path in paths.values():
        table.to_parquet(path)
    corpus = load_corpus(config({**paths, "columns": COLUMNS, "labels": LABELS}))
    assert [corpus.splits["train"].features["stance"].int2str(value) for value in corpus.splits["train"]["stance"]] == [
        LABELS[label] for _, _, label in HEADLINES if label != OTHER
    ]


def test_a_label_without_a_mapping_is_named_with_its_row_and_the_nearest(tmp_path: Path) -> None:
    message = refused(config(theirs(tmp_path, labels={AGREE: "agree", "معارضة": "disagree", OTHER: None})))
    assert "one.csv: row 2" in message
    assert f"label {DISAGREE!r} is not mapped" in message
    assert "did you mean 'معارضة'?" in message


def test_a_label_that_is_not_of_the_run_is_named(tmp_path: Path) -> None:
    table = [{"quote": "q", "claim": "c", "stance": "agrees"}]
    path = write_table(tmp_path / "one.csv", table)
    message = refused(config({"train": path, "validation": path}))
    assert "row 1: stance 'agrees' is not one of agree, disagree" in message
    assert "did you mean 'agree'?" in message


def test_a_missing_column_is_named_with_those_found_and_the_nearest(tmp_path: Path) -> None:
    message = refused(config(theirs(tmp_path, columns={**COLUMNS, "quote": "العناوين"})))
    assert "no column 'العناوين' for quote" in message
    assert "العنوان, الادعاء, الموقف, القصة" in message
    assert "did you mean 'العنوان'?" in message


def test_an_unmapped_column_that_is_needed_is_named(tmp_path: Path) -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "claim"}
    message = refused(config(theirs(tmp_path, columns=columns)))
    assert "no column 'claim' for claim" in message and "corpus.columns" in message


@pytest.mark.parametrize(("field", "value"), [("العنوان", ""), ("الادعاء", "  ")])
def test_an_empty_text_is_named_with_its_row_and_column(tmp_path: Path, field: str, value: str) -> None:
    table = rows()
    table[3][field] = value
    corpus = theirs(tmp_path)
    write_table(tmp_path / "two.csv", table)
    message = refused(config(corpus))
    assert "two.csv: row 4" in message and field in message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("one.csv", b"", "empty"),
        ("one.csv", "القصة".encode("cp1256"), "not UTF-8"),
        ("one.jsonl", b'{"quote": \n', "one.jsonl"),
        ("one.parquet", b"PAR1 but not really", "one.parquet"),
        ("one.xlsx", b"PK", "unknown kind of file"),
    ],
)
def test_an_unreadable_file_is_named_with_what_is_wrong(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    path = str(tmp_path / name)
    assert expected in refused(config({"train": path, "validation": path, "columns": COLUMNS}))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_missing_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = str(tmp_path / f"none{suffix}")
    assert f"none{suffix}: no such file" in refused(config({"train": path, "validation": path, "columns": COLUMNS}))


def test_a_file_of_headings_alone_is_refused(tmp_path: Path) -> None:
    corpus = theirs(tmp_path)
    (tmp_path / "two.csv").write_text(",".join(COLUMNS.values()) + "\n", encoding="utf-8")
    assert "two.csv" in refused(config(corpus))


def test_an_id_that_stands_twice_in_a_mapped_file_is_refused(tmp_path: Path) -> None:
    corpus = theirs(tmp_path, columns={**COLUMNS, "id": "رقم"})
    for name, first in (("one.csv", 1), ("two.csv", 100)):
        write_table(tmp_path / name, [{**row, "رقم": first + number // 2} for number, row in enumerate(rows(first))])
    assert "id '1'" in refused(config(corpus))


def test_files_of_one_name_in_two_folders_need_no_ids(tmp_path: Path) -> None:
    files = {}
    for number, name in enumerate(("train", "validation")):
        (tmp_path / name).mkdir()
        files[name] = write_table(tmp_path / name / "data.csv", rows(9 * number))
    corpus = load_corpus(config({**files, "columns": COLUMNS, "labels": LABELS}))
    assert len(corpus.splits["validation"]) == 5


def test_quotes_without_claims_train_a_model_that_takes_a_quote_alone(tmp_path: Path) -> None:
    table = [{"text": quote, "label": LABELS[label]} for quote, _, label in HEADLINES if label != OTHER]
    path = write_table(tmp_path / "quotes.csv", [{**row, "event": f"e{n}"} for n, row in enumerate(table)])
    other = write_table(tmp_path / "others.csv", [{**row, "event": f"f{n}"} for n, row in enumerate(table)])
    settings = config(
        {"train": path, "validation": other, "columns": {"quote": "text", "stance": "label"}},
        model={"families": {"cues": 1.0}, "inputs": "quote"},
    )
    corpus = load_corpus(settings)
    predictor = Predictor(fit(settings, corpus.splits["train"], corpus.splits["validation"], {}).bundle)
    alone = predictor.predict(["نفى المدير إغلاق المصنع"])
    assert alone[0].stance == "disagree"
    assert alone == predictor.predict([("نفى المدير إغلاق المصنع", "claim that is not read")])


def test_a_model_of_quotes_does_not_mind_an_empty_claim(tmp_path: Path) -> None:
    table = [{**row, "الادعاء": ""} for row in rows()]
    corpus = theirs(tmp_path)
    write_table(tmp_path / "one.csv", table)
    settings = config(corpus, model={"families": {"cues": 1.0}, "inputs": "quote"})
    assert len(load_corpus(settings).splits["train"]) == 5


def events_of(parts: dict[str, datasets.Dataset]) -> dict[str, set[str]]:
    return {name: set(part["event"]) for name, part in parts.items()}


def test_splitting_never_cuts_an_event_and_keeps_every_pair(root: Path) -> None:
    path = str(root / "data/validation.jsonl")
    settings = config({"source": path, "splits": {"validation": 0.2, "test": 0.3}}, labels={})
    corpus = load_corpus(settings)
    events = events_of(corpus.splits)
    total = len(set.union(*events.values()))
    assert sum(len(part) for part in events.values()) == total
    assert (len(events["validation"]), len(events["test"])) == (round(0.2 * total), round(0.3 * total))
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    assert sorted(name for part in corpus.splits.values() for name in part["id"]) == sorted(
        json.loads(line)["id"] for line in lines
    )


def test_a_split_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    data = datasets.Dataset.from_dict({"event": [f"قصة {number % 40}" for number in range(200)]})
    drawn = [events_of(split_by_event(data, 0.2, 0.2, seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_split_does_not_depend_on_the_order_of_the_rows() -> None:
    events = [f"e{number % 40}" for number in range(200)]
    forwards, backwards = (datasets.Dataset.from_dict({"event": part}) for part in (events, events[::-1]))
    assert events_of(split_by_event(forwards, 0.2, 0.2, 3)) == events_of(split_by_event(backwards, 0.2, 0.2, 3))


def test_two_events_cannot_be_split_three_ways() -> None:
    data = datasets.Dataset.from_dict({"event": ["a", "a", "b"]})
    with pytest.raises(ClaimstanceError, match="2 events cannot be split"):
        split_by_event(data, 0.2, 0.2, 0)


@pytest.mark.parametrize("column", ["event", "id"])
def test_an_event_or_id_in_two_splits_is_refused_naming_both_files(
    small_corpus: Path, small_config: Config, tmp_path: Path, few_pairs: list[Pair], column: str
) -> None:
    train, copy = small_corpus / "train.jsonl", tmp_path / "copy.jsonl"
    first = json.loads(train.read_text(encoding="utf-8").splitlines()[0])
    other = {"event": "e-new", "id": "p-new"}
    write_json_lines(copy, [{**first, **{name: value for name, value in other.items() if name != column}}])
    corpus = {"train": str(train), "validation": str(copy)}
    settings = Config.model_validate({**small_config.model_dump(), "corpus": corpus})
    message = refused(settings)
    assert f"{column} {first[column]!r}" in message
    assert str(train) in message and str(copy) in message


def test_distinct_splits_pass() -> None:
    parts = [datasets.Dataset.from_dict({"id": [name], "event": [name]}) for name in "ab"]
    check_splits(dict(zip(("a.jsonl", "b.jsonl"), parts, strict=True)))


def test_the_digest_follows_every_byte_of_every_file(tmp_path: Path) -> None:
    settings = config(theirs(tmp_path))
    before = load_corpus(settings).digest
    assert load_corpus(settings).digest == before
    with open(tmp_path / "two.csv", "a", encoding="utf-8") as handle:
        handle.write("\n")
    assert load_corpus(settings).digest != before


def test_a_model_names_the_files_it_was_trained_on_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "moved").mkdir()
    corpora = [load_corpus(config(theirs(folder))) for folder in (tmp_path, tmp_path / "moved")]
    known = corpora[0].trained_on("run")
    assert known == corpora[1].trained_on("run")
    assert known["config"] == "run" and known["corpus_sha256"] == corpora[0].digest
    assert known["train_sha256"] == hashlib.sha256((tmp_path / "one.csv").read_bytes()).hexdigest()
    assert known["validation_sha256"] == hashlib.sha256((tmp_path / "two.csv").read_bytes()).hexdigest()


def test_the_parts_of_a_divided_corpus_have_digests_of_their_own(root: Path) -> None:
    source = str(root / "data/validation.jsonl")
    parts = {
        seed: load_corpus(config({"source": source, "splits": {"test": 0.3}}, labels={}, seed=seed)) for seed in (0, 1)
    }
    assert len(set(parts[0].digests.values())) == 3
    # Another draw gives other parts.
    assert parts[0].trained_on("run") != parts[1].trained_on("run")


def test_the_projects_own_corpus_is_sound(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("train", "validation", "test")
    assert main(["check", *(str(root / f"data/{name}.jsonl") for name in names)]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in names)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"stance": "denies"}, "stance 'denies' is not one of assert, deny, confirm, none (did you mean 'deny'?)"),
        ({"quote": ""}, "quote is empty"),
        ({"clam": "x"}, "unknown field 'clam'"),
    ],
)
def test_checking_a_bad_record_names_its_line_and_exits_2(
    tmp_path: Path, few_pairs: list[Pair], capsys: pytest.CaptureFixture[str], change: dict[str, str], expected: str
) -> None:
    path = tmp_path / "bad.jsonl"
    write_json_lines(path, [few_pairs[0].to_dict(), {**few_pairs[1].to_dict(), **change}])
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert f"{path}:2: " in error and expected in error
    assert error.count("\n") == 1


def test_checking_files_that_share_an_event_exits_2(
    tmp_path: Path, few_pairs: list[Pair], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, pair in (("a", few_pairs[0]), ("b", few_pairs[1])):
        write_json_lines(tmp_path / f"{name}.jsonl", [pair.to_dict()])
    assert main(["check", str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]) == 2
    error = capsys.readouterr().err
    assert "a.jsonl" in error and "b.jsonl" in error and few_pairs[0].event in error
