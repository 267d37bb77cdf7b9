"""The corpus as a ``datasets`` dataset: loading with column and label mapping, splitting by event, checking."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pyarrow

from claimstance.errors import ClaimstanceError, did_you_mean
from claimstance.files import read_lines, sha256
from claimstance.records import LABELS, read_pairs
from training.config import Config, Corpus
from training.preparation import Taught

SPLITS = ("train", "validation", "test")
_READERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
_NEEDED = ("quote", "stance")
_SLICES = ("topic", "lang", "speaker", "genre", "pattern", "form", "contrast")


@dataclass(frozen=True)
class LoadedCorpus:
    """The splits of a corpus by name, each a Dataset with the columns id, event, quote, claim, stance (ClassLabel) and
    the annotations; the SHA-256 of each: of its file, or of its rows where they are a part of one; and further pairs to train
    on that a teacher labelled, if there is one."""

    splits: dict[str, datasets.Dataset]
    digests: dict[str, str]
    taught: Taught | None = None

    @property
    def digest(self) -> str:
        """One SHA-256 over all splits, whatever their files are called and wherever they stand."""
        return hashlib.sha256("".join(f"{name} {value}\n" for name, value in self.digests.items()).encode()).hexdigest()

    def trained_on(self, config: str) -> dict[str, str]:
        """What the manifest of a model says of its training data; ``config`` is the name of the run."""
        return {
            "config": config,
            "corpus_sha256": self.digest,
            **{f"{split}_sha256": self.digests[split] for split in SPLITS[:2]},
            **(self.taught.known if self.taught else {}),
        }


def load_corpus(config: Config) -> LoadedCorpus:
    """Load, map, check and, where it is undivided, split the corpus of a run.

    Raises:
        ClaimstanceError: a file, column, label or field is wrong, an id occurs twice, or an event is in two splits.
    """
    return load_splits(config.corpus, config.labels.all, config.model.inputs, config.seed)


def load_splits(corpus: Corpus, labels: Sequence[str], inputs: str = "pair", seed: int = 0) -> LoadedCorpus:
    """Load the splits that a corpus section names, as ``load_corpus`` does.

    Args:
        corpus: the section.
        labels: every label of the task.
        inputs: what the model reads; ``quote`` needs no claims.
        seed: of the split of an undivided source.
    """
    if corpus.source is not None:
        whole = _load(corpus.source, corpus, labels, inputs)
        parts = split_by_event(whole, corpus.splits.validation, corpus.splits.test, seed)
        return LoadedCorpus(parts, {name: _rows_digest(part) for name, part in parts.items()})
    named = {name: getattr(corpus, name) for name in SPLITS if getattr(corpus, name) is not None}
    parts = {name: _load(source, corpus, labels, inputs) for name, source in named.items()}
    digests = {
        name: sha256(source) if Path(source).is_file() and not corpus.only else _rows_digest(parts[name])
        for name, source in named.items()
    }
    check_splits({named[name]: part for name, part in parts.items()}, official=bool(corpus.columns))
    return LoadedCorpus(parts, digests)


def _rows_digest(data: datasets.Dataset) -> str:
    return hashlib.sha256(repr(data.to_dict()).encode()).hexdigest()


def _load(source: str, corpus: Corpus, labels: Sequence[str], inputs: str) -> datasets.Dataset:
    data = _load_whole(source, corpus, labels, inputs)
    for name, value in corpus.only.items():
        chosen = np.flatnonzero(np.array(data[name]) == value)
        if not chosen.size:
            found = sorted(data.unique(name))
            raise ClaimstanceError(
                f"{source}: no pair has {name} {value!r}, found {', '.join(map(repr, found[:8]))}{did_you_mean(value, found)}; "
                f"correct corpus.only"
            )
        data = data.select(chosen)
    return data


def _load_whole(source: str, corpus: Corpus, labels: Sequence[str], inputs: str) -> datasets.Dataset:
    ours = Path(source).suffix == ".jsonl" and not corpus.columns and not corpus.labels and set(labels) <= set(LABELS)
    if ours and inputs != "quote":
        return dataset_of([pair.to_dict() for pair in read_pairs(source)], labels)
    raw = _read_table(source)
    columns = _columns(source, raw, corpus, inputs)
    return dataset_of(list(_mapped(source, raw, columns, corpus, labels, inputs)), labels)


def load_unlabelled(source: str, inputs: str = "pair") -> tuple[list[str], list[str]]:
    """Load the quotes and the claims of a table, whatever else is in it; claims are empty for ``inputs`` quote.

    Raises:
        ClaimstanceError: the file cannot be read, or a column or a text is missing.
    """
    raw = _read_table(source)
    read = ("quote",) if inputs == "quote" else ("quote", "claim")
    for name in read:
        if name not in raw.column_names:
            raise ClaimstanceError(
                f"{source}: no column {name!r}, found {', '.join(raw.column_names)}"
                f"{did_you_mean(name, raw.column_names)}; rename one"
            )
    texts = {name: raw[name][:] for name in read}
    for name, column in texts.items():
        for number, text in enumerate(column, start=1):
            _check_text(f"{source}: row {number}", name, text)
    return texts["quote"], texts.get("claim", [""] * len(raw))


def _check_text(where: str, column: str, text: object) -> None:
    if not isinstance(text, str) or not text.strip():
        raise ClaimstanceError(f"{where}: {column} is empty, expected a text")


def _read_table(source: str) -> datasets.Dataset:
    suffix = Path(source).suffix.lower()
    if suffix not in _READERS:
        if Path(source).exists() or source.startswith((".", "/")):
            raise ClaimstanceError(f"{source}: unknown kind of file, expected one of {', '.join(_READERS)}")
        return _read_hub(source)
    if suffix == ".parquet":
        if not Path(source).is_file():
            raise ClaimstanceError(f"{source}: no such file")
    elif sum(1 for line in read_lines(source) if line.strip()) == 0:
        raise ClaimstanceError(f"{source}: the file holds no row")
    options = {"sep": "\t"} if suffix == ".tsv" else {}
    with tempfile.TemporaryDirectory() as cache:
        try:
            return datasets.load_dataset(
                _READERS[suffix], data_files=source, split="train", cache_dir=cache, keep_in_memory=True, **options
            )
        except (datasets.exceptions.DatasetGenerationError, pyarrow.ArrowInvalid, ValueError) as error:
            # A heading without rows and a broken file raise different errors in every reader.
            reason = str(error.__cause__ or error).splitlines()[0]
            raise ClaimstanceError(f"{source}: no table to be read as {suffix}: {reason:.200}") from None


def _read_hub(name: str) -> datasets.Dataset:
    try:
        loaded = datasets.load_dataset(name, split="train")
    except Exception as error:
        # The hub client raises errors of many libraries; whatever it was, these are the ways out.
        raise ClaimstanceError(
            f"corpus {name!r} is no file here and could not be loaded from the hub ({type(error).__name__}); "
            f"check the name, the network, or download it and name the file"
        ) from None
    return loaded


def _columns(source: str, raw: datasets.Dataset, corpus: Corpus, inputs: str) -> dict[str, str]:
    columns = {name: corpus.columns.get(name, name) for name in ("id", "event", *_NEEDED, "claim", *_SLICES)}
    needed = _NEEDED if inputs == "quote" else (*_NEEDED, "claim")
    for name, column in columns.items():
        if column not in raw.column_names and (name in needed or name in corpus.columns):
            raise ClaimstanceError(
                f"{source}: no column {column!r} for {name}, found {', '.join(raw.column_names)}"
                f"{did_you_mean(column, raw.column_names)}; map it with corpus.columns"
            )
    return {name: column for name, column in columns.items() if column in raw.column_names}


def _mapped(
    source: str,
    raw: datasets.Dataset,
    columns: Mapping[str, str],
    corpus: Corpus,
    labels: Sequence[str],
    inputs: str,
) -> Iterable[dict[str, str]]:
    read = [name for name in ("quote", "claim") if name in columns and (inputs != "quote" or name == "quote")]
    seen: dict[str, int] = {}
    stance_names = getattr(raw.features[columns["stance"]], "names", None)
    for number, row in enumerate(raw, start=1):
        where = f"{source}: row {number}"
        mapped = {name: row[column] for name, column in columns.items()}
        for name in read:
            _check_text(where, columns[name], mapped[name])
        label = stance_names[mapped["stance"]] if stance_names else str(mapped["stance"])
        if corpus.labels:
            if label not in corpus.labels:
                raise ClaimstanceError(
                    f"{where}: label {label!r} is not mapped, expected one of {', '.join(corpus.labels)}"
                    f"{did_you_mean(label, corpus.labels)}; map it with corpus.labels"
                )
            label = corpus.labels[label]
            if label is None:
                continue
        if label not in labels:
            raise ClaimstanceError(
                f"{where}: stance {label!r} is not one of {', '.join(labels)}{did_you_mean(label, labels)}; "
                f"map it with corpus.labels"
            )
        # Made up where the source has none, from its whole path: two splits may have files of one name.
        made_up = f"{Path(source).with_suffix('')}-{number}"
        identity = str(mapped.get("id", made_up))
        if identity in seen:
            raise ClaimstanceError(
                f"{where}: id {identity!r} stands in row {seen[identity]} already, expected one row an id"
            )
        seen[identity] = number
        yield {
            "claim": "",
            **{name: "" if value is None else str(value) for name, value in mapped.items()},
            "stance": label,
            "id": identity,
            "event": str(mapped.get("event", made_up)),
        }


def dataset_of(rows: list[dict[str, str]], labels: Sequence[str]) -> datasets.Dataset:
    """Make a dataset of records; ``stance`` becomes a ClassLabel over ``labels``."""
    names = ("id", "event", "quote", "claim", *_SLICES)
    for row in rows:
        if row["stance"] not in labels:
            raise ClaimstanceError(
                f"{row['id']}: stance {row['stance']!r} is not one of this run's {', '.join(labels)}"
            )
    features = datasets.Features(
        {**{name: datasets.Value("string") for name in names}, "stance": datasets.ClassLabel(names=list(labels))}
    )
    table = {name: [row.get(name, "") for row in rows] for name in (*names, "stance")}
    return datasets.Dataset.from_dict(table, features=features)


def split_by_event(data: datasets.Dataset, validation: float, test: float, seed: int) -> dict[str, datasets.Dataset]:
    """Divide a dataset into train, validation and test by whole events, drawn with ``seed``.

    Args:
        data: the pairs, with a column ``event``.
        validation: share of events for validation (0 to 1).
        test: share of events for test (0 to 1; 0 for no test split).
        seed: of the draw.
    """
    events = np.unique(np.array(data["event"]))
    if events.size < 3:
        raise ClaimstanceError(
            f"{events.size} events cannot be split three ways; map the column that groups pairs to event"
        )
    np.random.default_rng(seed).shuffle(events)
    first = max(1, round(test * events.size)) if test else 0
    second = first + max(1, round(validation * events.size))
    where = dict.fromkeys(events[:first].tolist(), "test") | dict.fromkeys(events[first:second].tolist(), "validation")
    split = np.array([where.get(event, "train") for event in data["event"]])
    return {name: data.select(np.flatnonzero(split == name)) for name in SPLITS if (split == name).any()}


def check_splits(splits: Mapping[str, datasets.Dataset], *, official: bool = False) -> None:
    """Make sure that no id and no event stands in two splits.

    Args:
        splits: datasets by the name of their file.
        official: the splits are somebody else's, as published: shared events are theirs to answer for.

    Raises:
        ClaimstanceError: an id or event does; the message names it and both files.
    """
    for column in ("id",) if official else ("id", "event"):
        home: dict[str, str] = {}
        for name, data in splits.items():
            for value in data.unique(column):
                if value in home:
                    raise ClaimstanceError(
                        f"{column} {value!r} is in {home[value]} and in {name}, expected in one split only; "
                        f"move all its pairs to one file"
                    )
                home[value] = name


if __name__ == "__main__":
    from training.corpus_commands import main

    raise SystemExit(main())
