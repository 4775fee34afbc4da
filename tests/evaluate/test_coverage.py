"""Nominal 95 % intervals, those that the product gives, hold the truth in 93 to 97 % of tests.

Right/wrong rows: the coverage is summed over all outcomes, exactly. Graded rows, ratios and groups: simulated, with two
standard errors of slack; scripts/proof_check.py does it at length.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped,unused-ignore]

from burnish.evaluate.statistics import (
    FloatArray,
    IntArray,
    RowScores,
    difference_interval,
    score_interval,
    wilson_interval,
)
from burnish.evaluate.statistics.noninferiority import tango_statistic

SIZES = (50, 100, 500)
SHARES = (0.05, 0.5, 0.9)
NUM_DRAWS = 500
SLACK = 2 * math.sqrt(0.95 * 0.05 / NUM_DRAWS)
Draw = Callable[[np.random.Generator, FloatArray], RowScores]


@pytest.mark.parametrize("num_rows", SIZES)
@pytest.mark.parametrize("share", SHARES)
def test_one_share(num_rows: int, share: float) -> None:
    intervals = [wilson_interval(right, num_rows) for right in range(num_rows + 1)]
    holds = np.array([interval.low <= share <= interval.high for interval in intervals])
    coverage = float(stats.binom.pmf(np.arange(num_rows + 1), num_rows, share)[holds].sum())
    assert 0.93 <= round(coverage, 3) <= 0.97  # 0.9703 at 50 rows and 0.9


@pytest.mark.parametrize("num_rows", SIZES)
@pytest.mark.parametrize(
    ("share", "other"), [(0.05, 0.05), (0.05, 0.13), (0.5, 0.5), (0.5, 0.6), (0.9, 0.9), (0.9, 0.8)]
)
def test_difference_of_two_shares(num_rows: int, share: float, other: float) -> None:
    """Arms whose right answers correlate by 0.2."""
    both = share * other + 0.2 * math.sqrt(share * (1 - share) * other * (1 - other))
    won, lost, z = share - both, other - both, stats.norm.ppf(0.975)
    coverage = 0.0
    for wins in likely(num_rows, won):
        losses = likely(num_rows - wins, lost / (1 - won))
        weights = stats.binom.pmf(losses, num_rows - wins, lost / (1 - won)) * stats.binom.pmf(wins, num_rows, won)
        # The interval is where the statistic is not rejected, as test_statistics.py has it.
        holds = [abs(tango_statistic(wins, count, num_rows, share - other)) <= z for count in losses]
        coverage += float(weights @ holds)
    assert 0.93 <= coverage <= 0.97


def likely(total: int, share: float) -> range:
    """The counts of a binomial variable but for the unlikeliest."""
    low, high = stats.binom.ppf([1e-5, 1 - 1e-5], total, share)
    return range(int(low), int(high) + 1)


def graded(rng: np.random.Generator, skill_N: FloatArray) -> RowScores:
    return RowScores(rng.beta(8 * skill_N + 1e-3, 8 * (1 - skill_N) + 1e-3), np.ones(len(skill_N)))


def f1(rng: np.random.Generator, skill_N: FloatArray) -> RowScores:
    wanted = rng.integers(1, 6, len(skill_N))
    said = np.maximum(1, wanted + rng.integers(-1, 2, len(skill_N)))
    return RowScores(2.0 * rng.binomial(np.minimum(wanted, said), skill_N), (wanted + said).astype(float))


@pytest.mark.parametrize("draw", [graded, f1])
@pytest.mark.parametrize("num_rows", SIZES)
@pytest.mark.parametrize("share", SHARES)
def test_graded_rows_and_ratios(draw: Draw, num_rows: int, share: float) -> None:
    rng = np.random.default_rng(0)
    truth = draw(rng, rng.beta(3 * share, 3 * (1 - share), 200_000)).value
    hits = np.zeros(2)
    for _ in range(NUM_DRAWS):
        skill_N = rng.beta(3 * share, 3 * (1 - share), num_rows)
        one, two = draw(rng, skill_N), draw(rng, skill_N)
        interval, difference = score_interval(one), difference_interval(one, two)
        hits += (interval.low <= truth <= interval.high, difference.low <= 0 <= difference.high)
    assert (hits / NUM_DRAWS >= 0.93 - SLACK).all()
    if share * num_rows > 3:  # else a handful of rows decide, and the interval is wider than it need be
        assert (hits / NUM_DRAWS <= 0.97 + SLACK).all()


@pytest.mark.parametrize("num_groups", [10, 40])
def test_groups_of_rows(num_groups: int) -> None:
    """Groups of 1 to 8 right/wrong rows that are hard or easy together, for each arm in its own way."""
    rng = np.random.default_rng(1)
    hits, naive_hits = np.zeros(2), np.zeros(2)
    for _ in range(NUM_DRAWS):
        sizes = rng.integers(1, 9, num_groups)
        groups = np.repeat(np.arange(num_groups), sizes)
        one, two = (
            RowScores(rng.binomial(1, rng.beta(2, 2, num_groups)[groups]).astype(float), np.ones(len(groups)))
            for _ in range(2)
        )
        hits += holds_truth(one, two, groups)
        naive_hits += holds_truth(one, two, None)
    assert (hits / NUM_DRAWS >= 0.93 - SLACK).all()
    assert (hits / NUM_DRAWS <= 0.97 + SLACK).all()
    assert (naive_hits / NUM_DRAWS < 0.9).all(), "without groups the intervals are too narrow"


def holds_truth(one: RowScores, two: RowScores, groups: IntArray | None) -> tuple[bool, bool]:
    interval = score_interval(one, groups=groups)
    difference = difference_interval(one, two, groups=groups)
    return interval.low <= 0.5 <= interval.high, difference.low <= 0 <= difference.high
