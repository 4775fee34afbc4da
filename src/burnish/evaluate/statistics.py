"""Is the gain real? Intervals, paired tests and power for scores that are ratios of sums over rows.

Every metric of burnish is sum(numerators) / sum(denominators): a row of accuracy is (0 or 1, 1), of a
mean score (score, 1), of micro-F1 (2 * true positives, predicted + gold). More is better.

Arrays carry their shape as a suffix: N rows, U resampled units (rows or groups of rows), R resamples,
K summed columns (numerator and denominator, of one arm or of two).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats  # type: ignore[import-untyped,unused-ignore]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer[Any]]

_CHUNK_CELLS = 1_000_000  # resamples x units held at once; about 30 MB
_MAX_ENUMERATED_ROWS = 12  # 2^12 assignments of the arms, fewer than the 10,000 that would be drawn
_TIE = 1e-12  # two statistics nearer than this, relative to max(1, size), differ by rounding only


@dataclass(frozen=True, kw_only=True)
class ConfidenceInterval:
    """A measured value with the limits that `method` gives it; NaN where nothing could be measured."""

    value: float
    low: float
    high: float
    confidence: float
    method: str

    def to_dict(self) -> dict[str, float | str | None]:
        """The fields as JSON values; NaN becomes None, "not measured"."""
        limits = {"value": self.value, "low": self.low, "high": self.high}
        rounded = {name: None if math.isnan(number) else number for name, number in limits.items()}
        return {**rounded, "confidence": self.confidence, "method": self.method}


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
        return float(_ratio(self.columns.sum(axis=0)))

    @property
    def is_binary(self) -> bool:
        """Whether each row is plainly right (1/1) or wrong (0/1)."""
        is_right_or_wrong = np.isin(self.numerators, (0.0, 1.0)) & (self.denominators == 1.0)
        return len(self) > 0 and bool(is_right_or_wrong.all())

    @property
    def columns(self) -> FloatArray:
        """The numerators and the denominators side by side, (N, 2)."""
        return np.column_stack((self.numerators, self.denominators))


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """A candidate arm against a baseline arm on the same rows; `difference` is candidate minus baseline."""

    difference: ConfidenceInterval
    p_value: float
    method: str
    num_wins: int
    num_losses: int
    num_ties: int

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {**vars(self), "difference": self.difference.to_dict()}


def score_interval(
    scores: RowScores,
    *,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
    groups: IntArray | None = None,
) -> ConfidenceInterval:
    """The interval that suits the score: Wilson if rows are right or wrong and ungrouped, else bootstrap."""
    if scores.is_binary and groups is None:
        return wilson_interval(int(scores.numerators.sum()), len(scores), confidence)
    return bootstrap_interval(scores, confidence=confidence, num_resamples=num_resamples, seed=seed, groups=groups)


def wilson_interval(successes: int, total: int, confidence: float = 0.95) -> ConfidenceInterval:
    """The score interval of one proportion (Wilson 1927, JASA 22:209); NaN throughout if `total` is 0."""
    if not 0 <= successes <= total:
        raise ValueError(f"{successes} successes of {total} are impossible.")
    z = _normal_quantile(confidence)
    if total == 0:
        return _undefined_interval(confidence, "Wilson")
    p = successes / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half_width = z * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
    # The limits at 0 and 1 are exact; rounding would leave 1e-17 or let the value slip out.
    low = 0.0 if successes == 0 else centre - half_width
    high = 1.0 if successes == total else centre + half_width
    return ConfidenceInterval(value=p, low=low, high=high, confidence=confidence, method="Wilson")


def bootstrap_interval(
    scores: RowScores,
    *,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
    groups: IntArray | None = None,
) -> ConfidenceInterval:
    """The BCa interval of a ratio of sums (Efron 1987, JASA 82:171), accelerated by the jackknife.

    With `groups`, one integer a row, whole groups are resampled: rows of one document are not independent
    (Davison & Hinkley 1997, section 3.8). Where BCa is not defined the percentile interval is given and
    `method` says why; rows that do not vary (or a single one) give a width of 0, which bounds nothing.
    """
    if groups is None:
        units_UK, kind = scores.columns, "bootstrap"
    else:
        units_UK, kind = _sum_groups(scores, groups), "cluster bootstrap"
    return _bca_interval(units_UK, _ratio, confidence=confidence, num_resamples=num_resamples, seed=seed, kind=kind)


def compare_paired(
    candidate: RowScores,
    baseline: RowScores,
    *,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> PairedComparison:
    """The difference candidate - baseline with its interval and two-sided p; same rows, same order.

    Right/wrong rows: exact McNemar test (McNemar 1947) and Newcombe's interval for paired proportions.
    Graded rows: paired randomisation test (Noreen 1989; for F1 Yeh 2000, COLING) and BCa paired bootstrap.
    Test and interval are two procedures: near the border one may exclude "no difference" and the other not.

    A win is a row where the candidate's own numerator / denominator is higher. A row with denominator 0 in
    both arms is a tie; in one arm only, it is faultless there (F1: nothing to find or found) and counts as 1.

    Raises:
        ValueError: the arms have unequal numbers of rows.
    """
    if len(candidate) != len(baseline):
        found = f"{len(candidate)} rows and the baseline {len(baseline)}"
        raise ValueError(f"the candidate has {found}. Compare the same rows in the same order.")
    gains_N = _row_values(candidate) - _row_values(baseline)
    wins, losses = int((gains_N > 0).sum()), int((gains_N < 0).sum())
    if candidate.is_binary and baseline.is_binary:
        both = int((candidate.numerators * baseline.numerators).sum())
        table = (both, wins, losses, len(candidate) - both - wins - losses)
        difference, method = _newcombe_interval(table, confidence), "exact McNemar test"
        p_value = _mcnemar_p_value(wins, losses)
    else:
        difference = _difference_interval(
            candidate, baseline, confidence=confidence, num_resamples=num_resamples, seed=seed
        )
        p_value, method = _randomisation_test(candidate, baseline, num_resamples=num_resamples, seed=seed)
    num_ties = len(candidate) - wins - losses
    return PairedComparison(
        difference=difference,
        p_value=p_value,
        method=method,
        num_wins=wins,
        num_losses=losses,
        num_ties=num_ties,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for being a family, in the order given (Holm 1979, Scand. J. Stat. 6:65)."""
    p_sorted = np.sort(np.asarray(p_values, dtype=np.float64))
    if not ((p_sorted >= 0) & (p_sorted <= 1)).all():
        raise ValueError(f"p-values lie between 0 and 1; found {list(p_values)}.")
    stepped = p_sorted * np.arange(len(p_sorted), 0, -1)
    adjusted = np.empty_like(p_sorted)
    adjusted[np.argsort(p_values, kind="stable")] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(p) for p in adjusted]


def minimum_detectable_gain(
    num_rows: int, *, discordance: float, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """The smallest true gain in accuracy that exact McNemar finds with probability `power`; None: no gain is.

    `discordance` is the share of rows whose correctness changes, the largest gain there can be. The power is
    exact and unconditional (Duffy 1984, Biometrics 40:1005): summed over how many rows change and how many
    of these are wins. Only "better" counts as found.
    """
    if not 0 <= discordance <= 1:
        raise ValueError(f"discordance is a share of rows, between 0 and 1; found {discordance}.")
    num_changed = np.arange(num_rows + 1)
    weights = stats.binom.pmf(num_changed, num_rows, discordance)
    most_wins_kept = stats.binom.isf(alpha / 2, num_changed, 0.5)  # with more wins than this the test rejects

    def shortfall(gain: float) -> float:
        win_share = (1 + gain / discordance) / 2
        return power - float(weights @ stats.binom.sf(most_wins_kept, num_changed, win_share))

    if discordance == 0 or shortfall(discordance) > 0:
        return None
    return float(optimize.brentq(shortfall, 0.0, discordance, xtol=1e-9)) if shortfall(0.0) > 0 else 0.0


def minimum_detectable_difference(
    sd_of_differences: float, num_rows: int, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest true difference of a graded score that a paired z-test finds with probability `power`.

    (z_{1-alpha/2} + z_power) * sd / sqrt(n) (Miller 2024, arXiv 2411.00640); infinite without rows.
    """
    return _z_sum(alpha, power) * sd_of_differences / math.sqrt(num_rows) if num_rows else math.inf


def rows_needed(difference: float, sd_of_differences: float, *, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """How many test rows would show a true difference of this size; None if it is 0 or not measured.

    ((z_{1-alpha/2} + z_power) * sd / difference)^2, sd from `paired_sd` (Miller 2024, arXiv 2411.00640). For
    right/wrong rows sd = sqrt(psi - difference^2), psi the discordance; exact McNemar needs 5-10 % more.
    """
    if difference == 0 or not math.isfinite(difference) or not math.isfinite(sd_of_differences):
        return None
    root = _z_sum(alpha, power) * sd_of_differences / abs(difference)
    return max(1, math.ceil(root * root)) if math.isfinite(root * root) else None


def paired_sd(candidate: RowScores, baseline: RowScores) -> float:
    """The spread over rows: `paired_sd / sqrt(n)` is the standard error of the difference of the scores.

    The sample standard deviation of the rows' linearised contributions, (numerator - score * denominator) /
    mean denominator, candidate minus baseline (linearised ratio: Cochran 1977, Sampling Techniques, ch. 6).
    For right/wrong and mean scores these are the row differences, centred. NaN below two rows or if either
    score is not defined.
    """
    if len(candidate) != len(baseline):
        raise ValueError(f"the arms have {len(candidate)} and {len(baseline)} rows. Compare the same rows.")
    if len(candidate) < 2 or math.isnan(candidate.value) or math.isnan(baseline.value):
        return math.nan
    return float(np.std(_linearised_rows(candidate) - _linearised_rows(baseline), ddof=1))


def _normal_quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1; found {confidence}.")
    return float(stats.norm.ppf((1 + confidence) / 2))


def _undefined_interval(confidence: float, method: str) -> ConfidenceInterval:
    reason = f"{method} (not defined: the denominators sum to 0)"
    return ConfidenceInterval(value=math.nan, low=math.nan, high=math.nan, confidence=confidence, method=reason)


def _sum_groups(scores: RowScores, groups: IntArray) -> FloatArray:
    if np.shape(groups) != (len(scores),):
        raise ValueError(f"{np.size(groups)} group numbers for {len(scores)} rows. Give one a row.")
    _, inverse_N = np.unique(groups, return_inverse=True)
    return np.column_stack([np.bincount(inverse_N, weights=column) for column in scores.columns.T])


def _ratio(sums_K: FloatArray) -> FloatArray:
    """Numerator over denominator along the last axis; NaN over 0."""
    numerators, denominators = sums_K[..., 0], sums_K[..., 1]
    ratios: FloatArray = np.full(np.shape(numerators), np.nan)
    np.divide(numerators, denominators, out=ratios, where=denominators != 0)
    return ratios


def _difference_of_ratios(sums_K: FloatArray) -> FloatArray:
    return _ratio(sums_K[..., :2]) - _ratio(sums_K[..., 2:])


def _bca_interval(
    units_UK: FloatArray,
    statistic: Callable[[FloatArray], FloatArray],
    *,
    confidence: float,
    num_resamples: int,
    seed: int,
    kind: str,
) -> ConfidenceInterval:
    """BCa limits of `statistic` of the column sums; widened, if need be, to hold the value itself."""
    z = _normal_quantile(confidence)
    totals_K = units_UK.sum(axis=0)
    value = float(statistic(totals_K))
    if math.isnan(value):
        return _undefined_interval(confidence, kind)
    jackknife_U = statistic(totals_K - units_UK)
    if len(units_UK) < 2 or np.allclose(jackknife_U, value, rtol=_TIE, atol=_TIE):
        method = f"percentile {kind} (the rows do not vary)"
        return ConfidenceInterval(value=value, low=value, high=value, confidence=confidence, method=method)
    resampled_R = np.concatenate([statistic(sums_RK) for sums_RK in _resample_sums(units_UK, num_resamples, seed)])
    defined_R = resampled_R[~np.isnan(resampled_R)]
    levels = None if len(defined_R) < len(resampled_R) else _bca_levels(defined_R, jackknife_U, value, z)
    if levels is None:
        method = f"percentile {kind} (too skewed or too sparse for BCa)"
        levels = ((1 - confidence) / 2, (1 + confidence) / 2)
    else:
        method = f"BCa {kind}"
    low, high = np.quantile(defined_R, levels)
    return ConfidenceInterval(
        value=value,
        low=min(float(low), value),
        high=max(float(high), value),
        confidence=confidence,
        method=method,
    )


def _resample_sums(units_UK: FloatArray, num_resamples: int, seed: int) -> Iterator[FloatArray]:
    """Yield, in chunks, the column sums of resamples with replacement."""
    generator = np.random.default_rng(seed)
    num_units = len(units_UK)
    for size in _chunk_sizes(num_resamples, num_units):
        picks_RU = generator.integers(num_units, size=(size, num_units))
        picks_RU += num_units * np.arange(size)[:, None]  # one range of bins a resample
        counts = np.bincount(picks_RU.ravel(), minlength=size * num_units)
        yield counts.reshape(size, num_units) @ units_UK


def _chunk_sizes(total: int, width: int) -> Iterator[int]:
    per_chunk = max(1, _CHUNK_CELLS // width)
    for start in range(0, total, per_chunk):
        yield min(per_chunk, total - start)


def _bca_levels(resampled_R: FloatArray, jackknife_U: FloatArray, value: float, z: float) -> tuple[float, float] | None:
    """The two quantile levels of BCa (Efron & Tibshirani 1993, eq. 14.10); None where not defined."""
    tie = _TIE * max(1.0, abs(value))
    share_below = float(np.mean(resampled_R < value - tie) + np.mean(resampled_R <= value + tie)) / 2
    z0 = float(stats.norm.ppf(share_below))  # infinite if all resamples lie on one side
    deviations_U = jackknife_U.mean() - jackknife_U  # NaN if one unit holds the whole denominator
    acceleration = float((deviations_U**3).sum() / (6 * (deviations_U**2).sum() ** 1.5))
    # Beyond |z0| = z the limits would leave the value out; beyond 1 / acceleration they change places.
    if not (abs(z0) < z and abs(acceleration) * (abs(z0) + z) < 1):
        return None
    levels = [float(stats.norm.cdf(z0 + shifted / (1 - acceleration * shifted))) for shifted in (z0 - z, z0 + z)]
    return levels[0], levels[1]


def _row_values(scores: RowScores) -> FloatArray:
    return np.where(scores.denominators == 0, 1.0, _ratio(scores.columns))


def _newcombe_interval(table: tuple[int, int, int, int], confidence: float) -> ConfidenceInterval:
    """Method 10 of Newcombe 1998, Stat. Med. 17:2635; table: both right, candidate only, baseline only, none.

    Wilson limits of each arm, joined by square-and-add with the correlation phi, which is corrected for
    continuity when positive (that is what sets method 10 apart from method 8).
    """
    both, only_candidate, only_baseline, neither = table
    total = sum(table)
    one = wilson_interval(both + only_candidate, total, confidence)
    two = wilson_interval(both + only_baseline, total, confidence)
    covariance: float = both * neither - only_candidate * only_baseline
    if covariance > 0:
        covariance = max(covariance - total / 2, 0.0)
    margins = (both + only_candidate, only_baseline + neither, both + only_baseline, only_candidate + neither)
    phi = covariance / math.sqrt(math.prod(margins)) if all(margins) else 0.0

    def square_and_add(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    value = (only_candidate - only_baseline) / total
    low = value - square_and_add(one.value - one.low, two.high - two.value)
    high = value + square_and_add(one.high - one.value, two.value - two.low)
    return ConfidenceInterval(value=value, low=low, high=high, confidence=confidence, method="Newcombe method 10")


def _mcnemar_p_value(wins: int, losses: int) -> float:
    return min(1.0, 2 * float(stats.binom.cdf(min(wins, losses), wins + losses, 0.5)))


def _difference_interval(
    candidate: RowScores, baseline: RowScores, *, confidence: float, num_resamples: int, seed: int
) -> ConfidenceInterval:
    columns_NK = np.hstack((candidate.columns, baseline.columns))
    return _bca_interval(
        columns_NK,
        _difference_of_ratios,
        confidence=confidence,
        num_resamples=num_resamples,
        seed=seed,
        kind="paired bootstrap",
    )


def _randomisation_test(
    candidate: RowScores, baseline: RowScores, *, num_resamples: int, seed: int
) -> tuple[float, str]:
    """Two-sided p and method: how often exchanging the arms in random rows gives so large a difference."""
    one_NK, two_NK = candidate.columns, baseline.columns
    totals_K = np.concatenate((one_NK.sum(axis=0), two_NK.sum(axis=0)))
    changes_NK = one_NK - two_NK
    changes_NK = changes_NK[changes_NK.any(axis=1)]  # exchanging equal rows changes nothing
    observed = abs(float(_difference_of_ratios(totals_K)))
    if math.isnan(observed):
        return 1.0, "no test (not defined: the denominators sum to 0)"
    is_exact = len(changes_NK) <= _MAX_ENUMERATED_ROWS
    num_extreme = num_swaps = 0
    swaps = _all_swaps(len(changes_NK)) if is_exact else _random_swaps(len(changes_NK), num_resamples, seed)
    for swaps_RN in swaps:
        moved_RK = swaps_RN @ changes_NK
        differences_R = _difference_of_ratios(totals_K + np.hstack((-moved_RK, moved_RK)))
        # Written with "not less" so that an undefined difference counts as extreme, against the candidate.
        num_extreme += int((~(np.abs(differences_R) < observed - _TIE * max(1.0, observed))).sum())
        num_swaps += len(swaps_RN)
    if is_exact:
        return num_extreme / num_swaps, "exact paired randomisation test"
    # The observed arrangement is one of the drawn (Phipson & Smyth 2010), so p is never 0.
    return (num_extreme + 1) / (num_swaps + 1), "paired randomisation test"


def _all_swaps(num_rows: int) -> Iterator[FloatArray]:
    yield ((np.arange(2**num_rows)[:, None] >> np.arange(num_rows)) & 1).astype(np.float64)


def _random_swaps(num_rows: int, num_resamples: int, seed: int) -> Iterator[FloatArray]:
    generator = np.random.default_rng(seed)
    for size in _chunk_sizes(num_resamples, num_rows):
        yield generator.integers(2, size=(size, num_rows), dtype=np.int8).astype(np.float64)


def _linearised_rows(scores: RowScores) -> FloatArray:
    residuals_N: FloatArray = scores.numerators - scores.value * scores.denominators
    return residuals_N / float(scores.denominators.mean())


def _z_sum(alpha: float, power: float) -> float:
    return float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power))
