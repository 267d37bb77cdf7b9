"""Krippendorff's alpha against published worked examples, and what must hold of it on any annotations."""

from __future__ import annotations

import numpy as np
import pytest

from claimstance.errors import ClaimstanceError
from evaluation.agreement import MISSING, alpha_by_label, coincidence_matrix, krippendorff_alpha


def annotations(*rows: str) -> np.ndarray:
    """Read one row of one-character labels an annotator, ``.`` for a missing one, into units × annotators."""
    names = sorted(set("".join(rows)) - {"."})
    return np.array([[MISSING if label == "." else names.index(label) for label in row] for row in rows]).T


# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability": sections A, B and C.
BINARY = annotations("0100000010", "1110010000")
NOMINAL = annotations("aabbdcccedda", "babbbccceddd")
WITH_MISSING = annotations(
    "123321412...", "1233224125.3", ".33323422 51.".replace(" ", ""), "1233244125 1.".replace(" ", "")
)
# The worked example of Wikipedia, "Krippendorff's alpha": three coders, 15 units.
THREE_CODERS = annotations(
    ".....3412113 3.3".replace(" ", ""), "1.21334 3.......".replace(" ", ""), "..21344.2113 3.4".replace(" ", "")
)


@pytest.mark.parametrize(
    ("table", "labels", "published"),
    [(BINARY, 2, 0.095), (NOMINAL, 5, 0.692), (WITH_MISSING, 5, 0.743), (THREE_CODERS, 4, 0.691)],
)
def test_published_examples(table: np.ndarray, labels: int, published: float) -> None:
    assert krippendorff_alpha(table, labels) == pytest.approx(published, abs=0.0006)


def test_published_coincidences() -> None:
    assert coincidence_matrix(BINARY, 2).tolist() == [[10, 4], [4, 2]]
    expected = np.array(
        [
            [7, 4 / 3, 1 / 3, 1 / 3, 0],
            [4 / 3, 10, 4 / 3, 1 / 3, 0],
            [1 / 3, 4 / 3, 8, 1 / 3, 0],
            [1 / 3] * 3 + [4, 0],
            [0] * 4 + [3],
        ]
    )
    assert coincidence_matrix(WITH_MISSING, 5) == pytest.approx(expected)


def random_table(seed: int, labels: int = 4, missing: float = 0.2) -> np.ndarray:
    random = np.random.default_rng(seed)
    truth = random.integers(labels, size=(60, 1))
    given = np.where(random.random((60, 4)) < 0.7, truth, random.integers(labels, size=(60, 4)))
    return np.where(random.random((60, 4)) < missing, MISSING, given)


def alpha_by_pairs(table: np.ndarray) -> float:
    """Alpha from its definition: disagreement of two labels of one unit over disagreement of any two labels."""
    units = [[label for label in row if label != MISSING] for row in table.tolist()]
    units = [unit for unit in units if len(unit) >= 2]
    every = [label for unit in units for label in unit]
    observed = sum(sum(a != b for a in unit for b in unit) / (len(unit) - 1) for unit in units) / len(every)
    expected = sum(a != b for a in every for b in every) / (len(every) * (len(every) - 1))
    return 1 - observed / expected


@pytest.mark.parametrize("seed", range(5))
def test_follows_the_definition(seed: int) -> None:
    table = random_table(seed)
    assert krippendorff_alpha(table, 4) == pytest.approx(alpha_by_pairs(table))


@pytest.mark.parametrize("seed", range(5))
def test_label_against_the_rest_is_alpha_of_two_labels(seed: int) -> None:
    table = random_table(seed)
    merged = [np.where(table == MISSING, MISSING, table == label) for label in range(4)]
    assert alpha_by_label(table, 4) == pytest.approx([krippendorff_alpha(two, 2) for two in merged])


def test_order_and_names_do_not_matter() -> None:
    table, random = random_table(7), np.random.default_rng(0)
    alpha = krippendorff_alpha(table, 4)
    shuffled = random.permuted(table[random.permutation(60)], axis=1)
    renamed = np.where(table == MISSING, MISSING, np.array([2, 0, 3, 1])[table])
    assert krippendorff_alpha(shuffled, 4) == pytest.approx(alpha)
    assert krippendorff_alpha(renamed, 4) == pytest.approx(alpha)
    assert krippendorff_alpha(table, 9) == pytest.approx(alpha)


def test_units_with_one_label_or_none_do_not_count() -> None:
    lonely = np.array([[0, MISSING, MISSING, MISSING], [MISSING] * 4, [MISSING, MISSING, 3, MISSING]])
    table = random_table(3)
    assert krippendorff_alpha(np.vstack((table, lonely)), 4) == pytest.approx(krippendorff_alpha(table, 4))


def test_bounds() -> None:
    same = np.repeat(np.arange(4), 5)[:, None].repeat(3, axis=1)
    assert krippendorff_alpha(same, 4) == 1
    assert alpha_by_label(same, 4).tolist() == [1, 1, 1, 1]
    assert krippendorff_alpha(np.array([[0, 1]] * 10), 2) < 0
    by_chance = np.random.default_rng(1).integers(3, size=(20_000, 3))
    assert krippendorff_alpha(by_chance, 3) == pytest.approx(0, abs=0.01)


def test_undefined_is_nan() -> None:
    assert np.isnan(krippendorff_alpha(np.zeros((5, 3), dtype=int), 2))
    assert np.isnan(krippendorff_alpha(np.zeros((0, 3), dtype=int), 2))
    assert np.isnan(krippendorff_alpha(np.array([[0, MISSING], [MISSING, 1]]), 2))
    assert np.isnan(alpha_by_label(np.array([[0, 1], [1, 1]]), 3)).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.array([0, 1]), "1 dimensions, expected integers, units × annotators"),
        (np.array([[0.0, np.nan]]), "array of float64"),
        (np.array([[0, 1], [0, 4]]), "unit 1 by annotator 1 is 4, expected a label from 0 to 3"),
        (np.array([[0, -2]]), "unit 0 by annotator 1 is -2"),
    ],
)
def test_wrong_tables_are_named(table: np.ndarray, message: str) -> None:
    with pytest.raises(ClaimstanceError, match=message):
        krippendorff_alpha(table, 4)
