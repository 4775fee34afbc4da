"""BCa bootstrap intervals of ratios of sums."""

import math
from collections.abc import Iterator

import numpy as np
from scipy import special  # type: ignore[import-untyped,unused-ignore]

from burnish.evaluate.statistics.confidence import ConfidenceInterval, normal_quantile, undefined_interval
from burnish.evaluate.statistics.scores import FloatArray, IntArray, RowScores, ratio, sum_groups

_CHUNK_CELLS = 1_000_000  # resamples x units held at once; about 30 MB
TIE = 1e-12  # two statistics nearer than this, relative to max(1, size), differ by rounding only


def bootstrap_interval(
    scores: RowScores,
    *,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
    groups: IntArray | None = None,
) -> ConfidenceInterval:
    """The BCa interval of a ratio of sums (Efron 1987, JASA 82:171), accelerated by the jackknife; for any range.

    Its limits are widened, if need be, to hold the value itself.
    With `groups`, one integer a row, whole groups are resampled: rows of one document are not independent
    (Davison & Hinkley 1997, section 3.8). Where BCa is not defined the percentile interval is given and
    `method` says why; rows that do not vary (or a single one) give a width of 0, which bounds nothing.
    """
    units_UK, kind = sum_groups(scores.columns, groups), "bootstrap" if groups is None else "cluster bootstrap"
    z = normal_quantile(confidence)
    totals_K = units_UK.sum(axis=0)
    value = float(ratio(totals_K))
    if math.isnan(value):
        return undefined_interval(confidence, kind)
    jackknife_U = ratio(totals_K - units_UK)
    if len(units_UK) < 2 or np.allclose(jackknife_U, value, rtol=TIE, atol=TIE):
        method = f"percentile {kind} (the rows do not vary)"
        return ConfidenceInterval(value=value, low=value, high=value, confidence=confidence, method=method)
    resampled_R = np.concatenate([ratio(sums_RK) for sums_RK in _resample_sums(units_UK, num_resamples, seed)])
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
    for size in chunk_sizes(num_resamples, num_units):
        picks_RU = generator.integers(num_units, size=(size, num_units))
        picks_RU += num_units * np.arange(size)[:, None]  # one range of bins a resample
        counts = np.bincount(picks_RU.ravel(), minlength=size * num_units)
        yield counts.reshape(size, num_units) @ units_UK


def chunk_sizes(total: int, width: int) -> Iterator[int]:
    """Parts of `total` resamples, each so small that `width` numbers a resample fit into memory."""
    per_chunk = max(1, _CHUNK_CELLS // width)
    for start in range(0, total, per_chunk):
        yield min(per_chunk, total - start)


def _bca_levels(resampled_R: FloatArray, jackknife_U: FloatArray, value: float, z: float) -> tuple[float, float] | None:
    """The two quantile levels of BCa (Efron & Tibshirani 1993, eq. 14.10); None where not defined."""
    tie = TIE * max(1.0, abs(value))
    share_below = float(np.mean(resampled_R < value - tie) + np.mean(resampled_R <= value + tie)) / 2
    z0 = float(special.ndtri(share_below))  # infinite if all resamples lie on one side
    deviations_U = jackknife_U.mean() - jackknife_U  # NaN if one unit holds the whole denominator
    acceleration = float((deviations_U**3).sum() / (6 * (deviations_U**2).sum() ** 1.5))
    # Beyond |z0| = z the limits would leave the value out; beyond 1 / acceleration they change places.
    if not (abs(z0) < z and abs(acceleration) * (abs(z0) + z) < 1):
        return None
    levels = [float(special.ndtr(z0 + shifted / (1 - acceleration * shifted))) for shifted in (z0 - z, z0 + z)]
    return levels[0], levels[1]
