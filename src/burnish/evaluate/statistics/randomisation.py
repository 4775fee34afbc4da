"""The paired randomisation test."""

import math
from collections.abc import Iterator

import numpy as np

from burnish.evaluate.statistics.bootstrap import TIE, chunk_sizes
from burnish.evaluate.statistics.scores import FloatArray, IntArray, RowScores, difference_of_ratios, sum_groups

_MAX_ENUMERATED_UNITS = 12  # 2^12 assignments of the arms, fewer than the 10,000 that would be drawn


def randomisation_test(
    candidate: RowScores, baseline: RowScores, *, num_resamples: int, seed: int, groups: IntArray | None = None
) -> tuple[float, str]:
    """Two-sided p and method: how often exchanging the arms in random rows gives so large a difference.

    (Noreen 1989; for F1 Yeh 2000, COLING.) With groups the arms are exchanged in whole groups.
    """
    one_UK, two_UK = sum_groups(candidate.columns, groups), sum_groups(baseline.columns, groups)
    totals_K = np.concatenate((one_UK.sum(axis=0), two_UK.sum(axis=0)))
    changes_UK = one_UK - two_UK
    changes_UK = changes_UK[changes_UK.any(axis=1)]  # exchanging equal units changes nothing
    kind = "paired randomisation test" if groups is None else "paired randomisation test by group"
    observed = abs(float(difference_of_ratios(totals_K)))
    if math.isnan(observed):
        return 1.0, "no test (not defined: the denominators sum to 0)"
    is_exact = len(changes_UK) <= _MAX_ENUMERATED_UNITS
    num_extreme = num_swaps = 0
    swaps = _all_swaps(len(changes_UK)) if is_exact else _random_swaps(len(changes_UK), num_resamples, seed)
    for swaps_RU in swaps:
        moved_RK = swaps_RU @ changes_UK
        differences_R = difference_of_ratios(totals_K + np.hstack((-moved_RK, moved_RK)))
        # Written with "not less" so that an undefined difference counts as extreme, against the candidate.
        num_extreme += int((~(np.abs(differences_R) < observed - TIE * max(1.0, observed))).sum())
        num_swaps += len(swaps_RU)
    if is_exact:
        return num_extreme / num_swaps, f"exact {kind}"
    # The observed arrangement is one of the drawn (Phipson & Smyth 2010), so p is never 0.
    return (num_extreme + 1) / (num_swaps + 1), kind


def _all_swaps(num_units: int) -> Iterator[FloatArray]:
    yield ((np.arange(2**num_units)[:, None] >> np.arange(num_units)) & 1).astype(np.float64)


def _random_swaps(num_units: int, num_resamples: int, seed: int) -> Iterator[FloatArray]:
    generator = np.random.default_rng(seed)
    for size in chunk_sizes(num_resamples, num_units):
        yield generator.integers(2, size=(size, num_units), dtype=np.int8).astype(np.float64)
