"""Whether the splits of a corpus leak into each other: shared events and ids, and texts that are nearly the same.

Two views of a text are compared. As written, it is the set of trigrams of its light stems, which finds copies and
stories told twice. As a skeleton, what differs between two fillings of one template (numbers, titles in quotation marks,
words of few events) is one mask, which finds the template; only quotes are long enough to have one. The similarity of
two pairs is the greater of the two Jaccard similarities of these sets (Broder 1997, "On the resemblance and containment
of documents"). Comparing takes memory for every two pairs that share a trigram: some 100 MB for 4,000 pairs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from scipy import sparse

from claimstance.errors import ClaimstanceError, did_you_mean
from claimstance.words import mix, read_words

BOUND = 0.3
"""From this similarity on two texts of different splits are nearly the same. A quote with one word in five replaced is
alike to about 0.34: 0.8³ of its trigrams stay, and 0.51 of two equal sets is 0.51 / (2 − 0.51) of their union."""

PARTS = {"pair": ("quote", "claim"), "quote": ("quote",), "claim": ("claim",)}
"""What can be compared: the quote and the claim together, or one of them."""

# A word of up to this share of the events belongs to a story (its names, its subject), not to a template.
_RARE = 0.01
# A longer text in quotation marks is what somebody said and not the name of something.
_LONGEST_TITLE = 4
# Below this, two skeletons may be the same by chance: «قال … إن …».
_SMALLEST_SKELETON = 5
_QUOTED = re.compile(r'«([^«»]*)»|"([^"]*)"|“([^“”]*)”')
_MASK, _EDGE = np.uint64(1), np.uint64(2)
_STEP = np.uint64(0x9E3779B97F4A7C15)


class Row(Protocol):
    """What is compared of a record, such as a ``Pair``."""

    id: str
    event: str
    quote: str
    claim: str


@dataclass(frozen=True, slots=True)
class Match:
    """Two pairs that are alike: the Jaccard similarities (0 to 1) of their texts as ``written`` and of their quotes'
    ``skeleton`` (0 where only claims are compared), and the names of the splits they stand in, where there are any."""

    first: Row
    second: Row
    written: float
    skeleton: float
    splits: tuple[str, str] = ("", "")

    @property
    def similarity(self) -> float:
        """The greater of the two similarities (0 to 1)."""
        return max(self.written, self.skeleton)


@dataclass(frozen=True)
class Certificate:
    """What the splits of a corpus have in common.

    ``pairs`` and ``events`` count by split. ``shared_events`` and ``shared_ids`` give the splits of every event and id
    that stands in more than one; both must be empty. ``nearest`` and ``nearest_claims`` are the matches across splits,
    most similar first, one for every two events: by quote and claim together, and by claim alone, which a story told in
    two splits shares even where its quotes differ. They are as many as asked for, and all at or above ``bound``.
    """

    bound: float
    pairs: Mapping[str, int]
    events: Mapping[str, int]
    shared_events: Mapping[str, tuple[str, ...]]
    shared_ids: Mapping[str, tuple[str, ...]]
    nearest: tuple[Match, ...]
    nearest_claims: tuple[Match, ...]

    @property
    def problems(self) -> list[str]:
        """What is wrong, one sentence each: what, where, what was expected and the way out; empty if nothing is."""
        found = [f"split {name} holds no pair, expected some" for name, count in self.pairs.items() if not count]
        for kind, shared in (("event", self.shared_events), ("id", self.shared_ids)):
            for value, names in shared.items():
                found.append(
                    f"{kind} {value!r} is in {' and in '.join(names)}, expected in one split only; "
                    f"move all its pairs to one file"
                )
        for what, matches in (("quote and claim", self.nearest), ("claim", self.nearest_claims)):
            for match in matches:
                if match.similarity >= self.bound:
                    first, second = (
                        f"{pair.id!r} in {name}"
                        for pair, name in zip((match.first, match.second), match.splits, strict=True)
                    )
                    found.append(
                        f"{what} of {first} and of {second} are alike to {match.similarity:.2f}, "
                        f"expected below {self.bound:.2f}; rewrite one, or move both events to one split"
                    )
        return found


def certificate(splits: Mapping[str, Sequence[Row]], bound: float = BOUND, count: int = 10) -> Certificate:
    """Compare the splits of a corpus, each with every other.

    Args:
        splits: the pairs of each split by its name.
        bound: similarity (above 0, to 1) from which two texts of different splits are a problem.
        count: how many of the nearest matches to give at least, of pairs and of claims.

    Raises:
        ClaimstanceError: there are fewer than two splits, or ``bound`` is out of range.
    """
    _check_bound(bound)
    if len(splits) < 2:
        raise ClaimstanceError(
            f"{len(splits)} splits ({', '.join(splits) or 'none'}), expected two or more to compare; name a file a split"
        )
    names = list(splits)
    pairs = [pair for rows in splits.values() for pair in rows]
    group = np.repeat(np.arange(len(names)), [len(rows) for rows in splits.values()])
    return Certificate(
        bound=bound,
        pairs={name: len(rows) for name, rows in splits.items()},
        events={name: len({pair.event for pair in rows}) for name, rows in splits.items()},
        shared_events=_shared(splits, "event"),
        shared_ids=_shared(splits, "id"),
        nearest=tuple(_nearest(pairs, group, names, "pair", count, bound)),
        nearest_claims=tuple(_nearest(pairs, group, names, "claim", count, bound)),
    )


def nearest(first: Sequence[Row], second: Sequence[Row], count: int = 10, of: str = "pair") -> list[Match]:
    """Return the most similar pairs of two lists, one from each, most similar first.

    Of the pairs of any two events only the nearest two are given, since the pairs of an event are all much alike.

    Args:
        first: pairs of one split.
        second: pairs of another.
        count: how many matches to give; there are fewer where fewer events share any trigram.
        of: what to compare, one of ``PARTS``.

    Raises:
        ClaimstanceError: ``of`` is unknown.
    """
    if of not in PARTS:
        raise ClaimstanceError(f"part {of!r} is not one of {', '.join(PARTS)}{did_you_mean(of, PARTS)}")
    group = np.repeat([0, 1], [len(first), len(second)])
    return _nearest([*first, *second], group, ["", ""], of, count, None)


def wording(quotes: Sequence[str], claims: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """Return what pairs have in common that differ in spelling, marks and endings alone: their light stems in order."""
    words = read_words([*quotes, *claims])
    stems = [words.stem[start:stop].tobytes() for start, stop in pairwise(words.first.tolist())]
    return list(zip(stems[: len(quotes)], stems[len(quotes) :], strict=True))


def skeleton_duplicates(pairs: Sequence[Row], bound: float = BOUND) -> list[Match]:
    """Return the quotes of different events that are nearly the same, or fill the same template, most similar first.

    A quote that meets several claims stands for itself once in its event.

    Args:
        pairs: pairs of one corpus, all splits together.
        bound: similarity (above 0, to 1) from which two quotes are nearly the same.

    Raises:
        ClaimstanceError: ``bound`` is out of range.
    """
    _check_bound(bound)
    single = list({(pair.event, pair.quote): pair for pair in reversed(pairs)}.values())[::-1]
    views = _similarities(single, "quote")
    row, column, similarity = _ranked(views)
    event = _codes([pair.event for pair in single])
    kept = (row < column) & (event[row] != event[column]) & (similarity >= bound)
    return _matches(single, views, row[kept], column[kept])


def _nearest(
    pairs: Sequence[Row], group: np.ndarray, names: Sequence[str], of: str, count: int, bound: float | None
) -> list[Match]:
    """Return the nearest pairs of different groups, one for every two events: ``count``, and all from ``bound`` on."""
    views = _similarities(pairs, of)
    row, column, similarity = _ranked(views)
    across = group[row] < group[column]
    row, column, similarity = row[across], column[across], similarity[across]
    event = _codes([pair.event for pair in pairs])
    events = np.sort(np.stack((event[row], event[column])), axis=0)
    _, best = np.unique(events[0] * len(pairs) + events[1], return_index=True)
    best.sort()
    wanted = count if bound is None else max(count, int((similarity[best] >= bound).sum()))
    return _matches(pairs, views, row[best[:wanted]], column[best[:wanted]], [names[index] for index in group])


def _matches(
    pairs: Sequence[Row],
    views: tuple[sparse.csr_array, sparse.csr_array],
    row: np.ndarray,
    column: np.ndarray,
    homes: Sequence[str] | None = None,
) -> list[Match]:
    return [
        Match(
            pairs[first],
            pairs[second],
            *(float(view[first, second]) for view in views),
            splits=("", "") if homes is None else (homes[first], homes[second]),
        )
        for first, second in zip(row.tolist(), column.tolist(), strict=True)
    ]


def _ranked(views: tuple[sparse.csr_array, sparse.csr_array]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs (row, column) that share anything and their similarity, most similar first.

    Of equally similar ones those come first that are alike in both views: a copy before another claim on its quote.
    """
    greater, both = views[0].maximum(views[1]).tocsr(), (views[0] + views[1]).tocsr()
    greater.sort_indices()
    both.sort_indices()
    entries = greater.tocoo()
    order = np.lexsort((entries.col, entries.row, -both.data, -entries.data))
    return entries.row[order].astype(np.int64), entries.col[order].astype(np.int64), entries.data[order]


def _similarities(pairs: Sequence[Row], of: str) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Return the Jaccard similarities of all pairs as written and as skeletons (pairs × pairs, 0 where none is shared)."""
    texts = [getattr(pair, name) for name in PARTS[of] for pair in pairs]
    one_each = np.arange(len(pairs))
    written = _jaccard(_trigrams(texts, np.tile(one_each, len(PARTS[of])), len(pairs)))
    if "quote" not in PARTS[of]:
        return written, sparse.csr_array(written.shape, dtype=written.dtype)
    quotes = [_QUOTED.sub(_without_title, pair.quote) for pair in pairs]
    skeleton = _trigrams(quotes, one_each, len(pairs), _codes([pair.event for pair in pairs]))
    enough = skeleton.sum(axis=1) >= _SMALLEST_SKELETON
    return written, _jaccard(sparse.csr_array(skeleton * enough[:, None]))


def _without_title(quoted: re.Match[str]) -> str:
    # A number is masked wherever it stands, so it stands in for the title.
    return " 0 " if len(quoted[0].split()) <= _LONGEST_TITLE else quoted[0]


def _trigrams(
    texts: Sequence[str], owner: np.ndarray, owners: int, event: np.ndarray | None = None
) -> sparse.csr_array:
    """Return which trigrams of light stems each owner's texts hold (owners × trigrams, 1 or absent).

    The edges of a text count as words, so that a short text has trigrams too. With ``event``, the event of each text,
    numbers and rare words are masked, neighbouring masks are one, and trigrams of fewer than two words are left out.
    """
    words = read_words(texts)
    stem, text, masked = words.stem, words.text, np.zeros(words.count, dtype=bool)
    if event is not None and words.count:
        masked = words.number | _is_rare(stem, event[text], event)
        repeated = np.zeros(words.count, dtype=bool)
        repeated[1:] = masked[1:] & masked[:-1] & (text[1:] == text[:-1])
        stem, text, masked = np.where(masked, _MASK, stem)[~repeated], text[~repeated], masked[~repeated]
    length = np.bincount(text, minlength=len(texts)) + 2
    place = np.arange(text.size) + 2 * text + 1
    padded = np.full(length.sum(), _EDGE, dtype=np.uint64)
    padded[place] = stem
    is_word = np.zeros(padded.size, dtype=np.int64)
    is_word[place] = ~masked
    home = np.repeat(np.arange(len(texts)), length)
    start = np.flatnonzero(home[:-2] == home[2:]) if padded.size else np.array([], dtype=np.int64)
    if event is not None:
        start = start[is_word[start] + is_word[start + 1] + is_word[start + 2] >= 2]
    hashes = mix(mix(padded[start] * _STEP + padded[start + 1]) * _STEP + padded[start + 2])
    known, column = np.unique(hashes, return_inverse=True)
    held = np.unique(owner[home[start]] * max(known.size, 1) + column)
    row, column = np.divmod(held, max(known.size, 1))
    return sparse.csr_array((np.ones(held.size, dtype=np.float32), (row, column)), shape=(owners, known.size))


def _is_rare(stem: np.ndarray, word_event: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Say for each word whether few events have it (bool): at most one, or one of a hundred."""
    events = int(event.max()) + 1
    vocabulary, word = np.unique(stem, return_inverse=True)
    used = np.unique(word * events + word_event) // events
    return np.bincount(used, minlength=vocabulary.size)[word] <= max(1.0, _RARE * events)


def _jaccard(holds: sparse.csr_array) -> sparse.csr_array:
    shared = sparse.coo_array(holds @ holds.T)
    size = holds.sum(axis=1)
    similarity = shared.data / (size[shared.row] + size[shared.col] - shared.data)
    return sparse.csr_array((similarity, (shared.row, shared.col)), shape=shared.shape)


def _codes(values: Sequence[str]) -> np.ndarray:
    return np.unique(np.array(values, dtype=str), return_inverse=True)[1]


def _shared(splits: Mapping[str, Sequence[Row]], field: str) -> dict[str, tuple[str, ...]]:
    homes: dict[str, list[str]] = {}
    for name, rows in splits.items():
        for value in dict.fromkeys(getattr(pair, field) for pair in rows):
            homes.setdefault(value, []).append(name)
    return {value: tuple(names) for value, names in homes.items() if len(names) > 1}


def _check_bound(bound: float) -> None:
    if not 0 < bound <= 1:
        raise ClaimstanceError(f"bound is {bound}, expected a similarity above 0, up to 1, such as {BOUND}")
