"""Before a test: the smallest effect it will show. After it: how many rows would show what was seen."""

import math
from functools import lru_cache

import numpy as np
from scipy import optimize, special  # type: ignore[import-untyped,unused-ignore]

from burnish.evaluate.statistics.scores import FloatArray, IntArray, RowScores, linearise, standard_error

_MAX_EXACT_ROWS = 5_000  # beyond, the z formula is within 3 %


def minimum_detectable_gain(
    num_rows: int, *, discordance: float, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """The smallest true gain in accuracy that exact McNemar finds with probability `power`; None: no gain is.

    `discordance` is the share of rows whose correctness changes, the largest gain there can be. The power is
    exact and unconditional (Duffy 1984, Biometrics 40:1005): summed over how many rows change and how many
    of these are wins. Only "better" counts as found.
    """
    _check_discordance(discordance)

    def shortfall(gain: float) -> float:
        return power - _mcnemar_power(num_rows, gain, discordance, alpha)

    if discordance == 0 or shortfall(discordance) > 0:
        return None
    return float(optimize.brentq(shortfall, 0.0, discordance, xtol=1e-9)) if shortfall(0.0) > 0 else 0.0


def minimum_detectable_difference(
    sd_of_differences: float, num_rows: int, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest true difference of a graded score that a paired z-test finds with probability `power`.

    (z_{1-alpha/2} + z_power) * sd / sqrt(n) (Miller 2024, arXiv 2411.00640); infinite without rows.
    """
    return _z_sum(alpha / 2, power) * sd_of_differences / math.sqrt(num_rows) if num_rows else math.inf


def rows_needed(difference: float, sd_of_differences: float, *, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """How many test rows would show a true difference of this size; None if it is 0 or not measured.

    ((z_{1-alpha/2} + z_power) * sd / difference)^2, sd from `paired_sd` (Miller 2024, arXiv 2411.00640).
    """
    return _rows_for(difference, sd_of_differences, _z_sum(alpha / 2, power))


def rows_needed_for_gain(gain: float, *, discordance: float, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """As `rows_needed`, for exact McNemar on right/wrong rows, whose power is that of `minimum_detectable_gain`.

    The z formula, with sd = sqrt(discordance - gain^2), is 5-10 % short; above 5,000 rows it is given all the same.
    """
    _check_discordance(discordance)
    gain = min(abs(gain), discordance)  # larger it cannot be, but for rounding
    start = rows_needed(gain, math.sqrt(discordance - gain * gain), alpha=alpha, power=power)
    if start is None or start > _MAX_EXACT_ROWS:
        return start
    low, high = 0, start
    while _mcnemar_power(high, gain, discordance, alpha) < power:
        low, high = high, high + 4 + high // 16
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _mcnemar_power(middle, gain, discordance, alpha) >= power else (middle, high)
    return high


def rows_needed_for_noninferiority(
    margin: float, sd_of_differences: float, *, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """How many test rows would show "not worse by more than `margin`" of arms that are truly equal.

    ((z_{1-alpha} + z_power) * sd / margin)^2 (Julious 2004, Stat. Med. 23:1921); None without a margin or a spread.
    """
    return _rows_for(margin, sd_of_differences, _z_sum(alpha, power))


def design_effect(scores: RowScores, groups: IntArray | None) -> float:
    """How many grouped rows tell as much about the score as one independent row (Kish 1965); 1 without groups."""
    if groups is None or math.isnan(scores.value):
        return 1.0
    independent, grouped = (standard_error(linearise(scores.columns, units)) for units in (None, groups))
    return (grouped / independent) ** 2 if independent > 0 and math.isfinite(grouped) else 1.0


def _mcnemar_power(num_rows: int, gain: float, discordance: float, alpha: float) -> float:
    spread = 9 * math.sqrt(num_rows * discordance) + 9  # the rest has a weight below 1e-15
    centre = num_rows * discordance
    num_changed = np.arange(max(0, int(centre - spread)), min(num_rows, int(centre + spread)) + 1)
    weights = _binomial(num_changed, num_rows, discordance)
    most_wins = _most_wins_kept(alpha, 1 << num_rows.bit_length())[num_changed]
    win_share = (1 + gain / discordance) / 2
    return float(weights @ special.bdtrc(most_wins, num_changed, win_share))


@lru_cache(maxsize=32)
def _most_wins_kept(alpha: float, end: int) -> IntArray:
    """For 0, 1, ..., end - 1 changed rows: with more wins than this the exact McNemar test rejects."""
    kept, wins = np.zeros(end, dtype=np.int64), 0
    for num_changed in range(end):  # a row more is at most a win more
        wins += int(special.bdtrc(wins, num_changed, 0.5) > alpha / 2)
        kept[num_changed] = wins
    return kept


def _binomial(successes: IntArray, trials: int, share: float) -> FloatArray:
    """Probability of each number of successes, through the logarithms of its three factors."""
    failures = trials - successes
    ways = special.gammaln(trials + 1) - special.gammaln(successes + 1) - special.gammaln(failures + 1)
    probability: FloatArray = np.exp(ways + special.xlogy(successes, share) + special.xlog1py(failures, -share))
    return probability


def _rows_for(difference: float, sd: float, z: float) -> int | None:
    if difference == 0 or not math.isfinite(difference) or not math.isfinite(sd):
        return None
    root = z * sd / abs(difference)
    return max(1, math.ceil(root * root)) if math.isfinite(root * root) else None


def _z_sum(tail: float, power: float) -> float:
    return float(special.ndtri(power) - special.ndtri(tail))


def _check_discordance(discordance: float) -> None:
    if not 0 <= discordance <= 1:
        raise ValueError(f"discordance is a share of rows, between 0 and 1; found {discordance}.")
