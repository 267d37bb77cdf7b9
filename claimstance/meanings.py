"""Which words of a quote and of a claim mean the same, are opposites, or are different members of one kind.

A thesaurus lists sets of words. Two words are looked up by their stems and related when some set holds both, so a word of
several senses is read in the one that its partner has. The lists are text files, ``data/thesaurus/<language>/*.txt``:

    ارتفع/يرتفع، صعود | انخفض/ينخفض، هبوط       two sets: opposites
    أقال/يقيل، إقالة، عزل                        one set: words that can stand for each other
    @ country                                   a kind, until an empty line; each line is one member with all its names
    تركيا، تركي، أتراك، أنقرة

A verb is written past/present, third person; other persons are made of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from claimstance.alignment import CLAIM, QUOTE, Alignment
from claimstance.errors import ClaimstanceError
from claimstance.words import Words, mix, read_words

SAME, OPPOSED, APART = range(3)
"""How two words that stand in one set relate: as synonyms, as opposites, or as different members of one kind."""

_PRESENT_PREFIXES = ("ي", "ت", "ن", "أ", "سي", "ست", "سن")
_MOST_MEMBERS = 1 << 12
_MOST_GROUPS = 1 << 24
LONGEST_PHRASE = 3
"""Words of a phrase at most."""


@dataclass(frozen=True)
class Senses:
    """The senses of the words of a batch in reading order, one entry each: the ``word`` (the first of a phrase), the ``key``
    that was found (its stem's hash, or the phrase's), the ``group`` of sets that it stands in, and which ``member`` of it;
    members of a group with ``kind`` true are different things, of another group opposites."""

    word: np.ndarray
    key: np.ndarray
    group: np.ndarray
    member: np.ndarray
    kind: np.ndarray


@dataclass(frozen=True)
class Relations:
    """Words of quotes related to words of their claims.

    One entry a link: the ``quote`` word, the ``claim`` word, the ``relation`` (SAME, OPPOSED or APART) and the ``group`` of
    sets that relates them; of equal words of one text the first stands for all. One entry a word of the batch (bool):
    ``same``, it has a synonym but not itself on the other side; ``opposed``, an opposite; ``apart``, another member of its
    kind. Only words that are met neither by their own stem nor by a synonym count as opposed or apart.
    """

    quote: np.ndarray
    claim: np.ndarray
    relation: np.ndarray
    group: np.ndarray
    same: np.ndarray
    opposed: np.ndarray
    apart: np.ndarray

    def without(self, *relations: int) -> Relations:
        """Return the relations less those of some kinds (SAME, OPPOSED, APART)."""
        keep = ~np.isin(self.relation, relations)
        flags = (flag & (kind not in relations) for kind, flag in enumerate((self.same, self.opposed, self.apart)))
        return Relations(self.quote[keep], self.claim[keep], self.relation[keep], self.group[keep], *flags)


class Thesaurus:
    """Compiled sets of words.

    Args:
        table: a row a key and sense (m × 2, uint64, sorted by key), as ``compile_thesaurus`` makes it; of no rows for a model
            without a thesaurus.
    """

    def __init__(self, table: np.ndarray) -> None:
        self.table = table
        self._keys, packed = np.ascontiguousarray(table[:, 0]), table[:, 1]
        self._group = (packed >> np.uint64(13)).astype(np.int64)
        self._member = ((packed >> np.uint64(1)) & np.uint64(_MOST_MEMBERS - 1)).astype(np.int64)
        self._kind = (packed & np.uint64(1)) > 0

    def read(self, words: Words) -> Senses:
        """Look the stems of every word and phrase up; a phrase hides the words inside it, and numbers have no senses."""
        found_words, found_keys = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint64)]
        hidden = words.number.copy()
        if self._keys.size:
            for length, keys in reversed(list(_phrase_keys(words))):
                at = np.flatnonzero(~hidden[: keys.size])
                at = at[self._keys[np.minimum(np.searchsorted(self._keys, keys[at]), self._keys.size - 1)] == keys[at]]
                found_words.append(at)
                found_keys.append(keys[at])
                for step in range(length):
                    hidden[at + step] = True
        word, key = np.concatenate(found_words), np.concatenate(found_keys)
        order = np.argsort(word)
        word, key = word[order], key[order]
        first = np.searchsorted(self._keys, key)
        entry, row = _ranges(first, np.searchsorted(self._keys, key, side="right"))
        return Senses(word[entry], key[entry], self._group[row], self._member[row], self._kind[row])


NO_THESAURUS = Thesaurus(np.empty((0, 2), dtype=np.uint64))
"""The thesaurus of a model that reads none."""


def relate(senses: Senses, alignment: Alignment) -> Relations:
    """Link the words of each quote with those of its claim that stand in one group of sets."""
    if not senses.word.size:
        none = np.empty(0, dtype=np.int64)
        return Relations(none, none, none, none, *np.zeros((3, alignment.exact.size), dtype=bool))
    pair, side = alignment.pair[senses.word], alignment.side[senses.word]
    entry = mix(
        mix(senses.key + pair.astype(np.uint64) * np.uint64(2) + side.astype(np.uint64))
        + senses.group.astype(np.uint64)
    )
    _, first, like = np.unique(entry, return_index=True, return_inverse=True)
    stands_for = senses.word[first][like]
    # In reading order, so that a pair's links are in the same order in every batch, whatever its hashes.
    first = np.sort(first)
    in_group = pair * _MOST_GROUPS + senses.group
    quote, claim = first[side[first] == QUOTE], first[side[first] == CLAIM]
    claim = claim[np.argsort(in_group[claim], kind="stable")]
    link, row = _ranges(
        np.searchsorted(in_group[claim], in_group[quote]),
        np.searchsorted(in_group[claim], in_group[quote], side="right"),
    )
    quote, claim = quote[link], claim[row]
    apart = np.where(senses.kind[quote], APART, OPPOSED)
    relation = np.where(senses.member[quote] == senses.member[claim], SAME, apart)
    ours, theirs = senses.word[quote], senses.word[claim]

    exact = alignment.exact
    flags = np.zeros((3, exact.size), dtype=bool)
    kept = (relation == SAME) & ~(exact[ours] & exact[theirs])
    met = exact
    for wanted in (SAME, OPPOSED, APART):
        if wanted != SAME:
            # What the other side says as well is no contradiction, whatever else stands beside it.
            kept |= (relation == wanted) & ~met[ours] & ~met[theirs]
        for word in (ours, theirs):
            flags[wanted, word[kept & (relation == wanted)]] = True
        flags[wanted, senses.word] |= flags[wanted, stands_for]
        met = met | flags[wanted]
    flags[SAME] &= ~exact
    return Relations(ours[kept], theirs[kept], relation[kept], senses.group[quote[kept]], *flags)


def compile_thesaurus(lists: Iterable[tuple[str, Iterable[str]]]) -> np.ndarray:
    """Compile word lists into the table of a ``Thesaurus`` (m × 2, uint64).

    Args:
        lists: for each list its name, for messages, and its lines.

    Raises:
        ClaimstanceError: a line is none of the three kinds; the message names the list and the line.
    """
    forms, senses = [], []
    for form, group, member, kind in _entries(lists):
        forms.append(form)
        senses.append(group << 13 | member << 1 | kind)
    words = read_words(forms)
    packed = np.array(senses, dtype=np.uint64)
    lengths = np.diff(words.first)
    rows = [np.empty((0, 2), dtype=np.uint64)]
    for length, keys in _phrase_keys(words):
        chosen = np.flatnonzero(lengths == length)
        rows.append(np.column_stack((keys[words.first[chosen]], packed[chosen])))
    return np.unique(np.concatenate(rows), axis=0)


def _entries(lists: Iterable[tuple[str, Iterable[str]]]) -> Iterator[tuple[str, int, int, bool]]:
    """Yield every form of every word with its group, its member of it, and whether the group is a kind."""
    group = 0
    for name, lines in lists:
        in_kind, member = False, 0
        for number, line in enumerate(lines, start=1):
            line = line.strip()
            if line.startswith("#"):
                continue
            if not line or line.startswith("@"):
                in_kind, member, group = line.startswith("@"), 0, group + 1
                continue
            sides = line.split("|")
            if in_kind:
                member += 1
                named = [(member, line)]
            else:
                group += 1
                named = list(enumerate(sides))
            if len(sides) > (1 if in_kind else 2) or member >= _MOST_MEMBERS or not all(map(str.strip, sides)):
                raise ClaimstanceError(
                    f"{name}:{number}: {line!r:.80} is no set of words, no two sets with | between them, and no "
                    f"member of a kind; an empty line ends a kind"
                )
            for which, side in named:
                for word in side.replace("،", ",").split(","):
                    for form in _forms(word.strip()):
                        yield form, group, which, in_kind


def _forms(word: str) -> Iterator[str]:
    """Yield a word as it may be printed; a verb, past/present, in the persons that stems do not level."""
    past, _, present = word.partition("/")
    if past:
        yield past
    if present.startswith(_PRESENT_PREFIXES[0]):
        yield from (prefix + present[1:] for prefix in _PRESENT_PREFIXES)
    elif present:
        yield present


def _phrase_keys(words: Words) -> Iterator[tuple[int, np.ndarray]]:
    """Yield for each length of a phrase the key of the phrase that starts at each word, where that many follow in its text;
    elsewhere a key that no list holds."""
    keys = words.stem
    yield 1, keys
    for length in range(2, LONGEST_PHRASE + 1):
        keys = mix(keys[: max(words.count - length + 1, 0)] + words.stem[length - 1 :] * np.uint64(3))
        whole = words.text[: keys.size] == words.text[length - 1 :]
        yield length, np.where(whole, keys, np.uint64(0))


def _ranges(first: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write ranges out: for each number of each range the index of the range, and the number."""
    count = stop - first
    owner = np.repeat(np.arange(count.size), count)
    return owner, np.arange(owner.size) - np.repeat(np.cumsum(count) - count - first, count)
