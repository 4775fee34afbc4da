"""Row scores: what every statistic is made of, and how they vary.

Every metric of burnish is sum(numerators) / sum(denominators): a row of accuracy is (0 or 1, 1), of a
mean score (score, 1), of micro-F1 (2 * true positives, predicted + gold). More is better.

Arrays carry their shape as a suffix: N rows, U independent units (rows or groups of rows), R resamples,
K summed columns (numerator and denominator, of one arm or of two).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class RowScores:
    """One arm's score on each test row, as a numerator and a denominator; both become float64 arrays.

    A row with denominator 0 adds nothing to the score.

    Raises:
        ValueError: not one-dimensional, of unequal lengths, not finite, or a denominator below 0.
    """

    numerators: FloatArray
    denominators: FloatArray

    def __post_init__(self) -> None:
        for name in ("numerators", "denominators"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        if self.numerators.ndim != 1 or self.numerators.shape != self.denominators.shape:
            shapes = f"{self.numerators.shape} and {self.denominators.shape}"
            raise ValueError(f"numerators and denominators have shapes {shapes}. Give one of each a row.")
        if not np.isfinite(self.columns).all() or (self.denominators < 0).any():
            raise ValueError("a row score is not finite or has a negative denominator. Mend the metric.")

    def __len__(self) -> int:
        return len(self.numerators)

    @property
    def value(self) -> float:
        """The score; NaN if the denominators sum to 0: no rows, or F1 with nothing to find or found."""
        return float(ratio(self.columns.sum(axis=0)))

    @property
    def is_binary(self) -> bool:
        """Whether each row is plainly right (1/1) or wrong (0/1)."""
        is_right_or_wrong = np.isin(self.numerators, (0.0, 1.0)) & (self.denominators == 1.0)
        return len(self) > 0 and bool(is_right_or_wrong.all())

    @property
    def is_share(self) -> bool:
        """Whether no row is below 0 or above 1."""
        return bool(((self.numerators >= 0) & (self.numerators <= self.denominators)).all())

    @property
    def columns(self) -> FloatArray:
        """The numerators and the denominators side by side, (N, 2)."""
        return np.column_stack((self.numerators, self.denominators))


def number_groups(groups: Sequence[str | None]) -> IntArray | None:
    """The rows' groups as integers, a row without one being its own; None where no two rows share a group."""
    names = [("", str(n)) if group is None else ("group", group) for n, group in enumerate(groups)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return None if len(numbers) == len(names) else np.array([numbers[name] for name in names])


def sum_groups(columns_NK: FloatArray, groups: IntArray | None) -> FloatArray:
    """The independent units, (U, K): the rows themselves, or their sums by group; `groups` has one integer a row."""
    if groups is None:
        return columns_NK
    if np.shape(groups) != (len(columns_NK),):
        raise ValueError(f"{np.size(groups)} group numbers for {len(columns_NK)} rows. Give one a row.")
    _, inverse_N = np.unique(groups, return_inverse=True)
    return np.column_stack([np.bincount(inverse_N, weights=column) for column in columns_NK.T])


def ratio(sums_K: FloatArray) -> FloatArray:
    """Numerator over denominator along the last axis; NaN over 0."""
    numerators, denominators = sums_K[..., 0], sums_K[..., 1]
    ratios: FloatArray = np.full(np.shape(numerators), np.nan)
    np.divide(numerators, denominators, out=ratios, where=denominators != 0)
    return ratios


def difference_of_ratios(sums_K: FloatArray) -> FloatArray:
    """The ratio of the first two columns less that of the other two, along the last axis."""
    return ratio(sums_K[..., :2]) - ratio(sums_K[..., 2:])


def linearise(columns_NK: FloatArray, groups: IntArray | None = None) -> FloatArray:
    """What each unit adds to the score, (U,): (numerator - score * denominator) / mean denominator of a unit.

    Their mean is 0 and sd / sqrt(U) is the standard error of the score (linearised ratio: Cochran 1977,
    Sampling Techniques, ch. 6; with groups the ultimate-cluster variance). The score must be defined.
    """
    units_UK = sum_groups(columns_NK, groups)
    residuals_U: FloatArray = units_UK[:, 0] - ratio(units_UK.sum(axis=0)) * units_UK[:, 1]
    return residuals_U / float(units_UK[:, 1].mean())


def linearise_difference(candidate: RowScores, baseline: RowScores, groups: IntArray | None = None) -> FloatArray:
    """What each unit adds to candidate - baseline, (U,); as `linearise`."""
    return linearise(candidate.columns, groups) - linearise(baseline.columns, groups)


def check_same_rows(candidate: RowScores, baseline: RowScores) -> None:
    """Refuse arms of unequal lengths.

    Raises:
        ValueError: the arms have unequal numbers of rows.
    """
    if len(candidate) != len(baseline):
        found = f"{len(candidate)} rows and the baseline {len(baseline)}"
        raise ValueError(f"the candidate has {found}. Compare the same rows in the same order.")


def paired_sd(candidate: RowScores, baseline: RowScores, groups: IntArray | None = None) -> float:
    """The spread over rows: `paired_sd / sqrt(n)` is the standard error of the difference of the scores.

    The sample standard deviation of `linearise_difference`. For right/wrong and mean scores these are the row
    differences, centred. With groups it is as wide as n independent rows would have to spread to give the same
    standard error (the square root of the design effect larger). NaN below two units or if a score is not defined.
    """
    check_same_rows(candidate, baseline)
    if math.isnan(candidate.value) or math.isnan(baseline.value):
        return math.nan
    influences_U = linearise_difference(candidate, baseline, groups)
    return standard_error(influences_U) * math.sqrt(len(candidate))


def standard_error(influences_U: FloatArray) -> float:
    """sd / sqrt(U); NaN below two units."""
    num_units = len(influences_U)
    return float(np.std(influences_U, ddof=1)) / math.sqrt(num_units) if num_units > 1 else math.nan
