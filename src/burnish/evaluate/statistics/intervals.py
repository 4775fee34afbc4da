"""The interval of one score."""

import math

import numpy as np
from scipy import special  # type: ignore[import-untyped,unused-ignore]

from burnish.evaluate.statistics.bootstrap import bootstrap_interval
from burnish.evaluate.statistics.confidence import ConfidenceInterval, normal_quantile, undefined_interval
from burnish.evaluate.statistics.scores import FloatArray, IntArray, RowScores, linearise, standard_error


def score_interval(
    scores: RowScores,
    *,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
    groups: IntArray | None = None,
) -> ConfidenceInterval:
    """The interval that suits the score: Wilson's for ungrouped right/wrong rows, else the logit's for shares.

    A score with rows below 0 or above 1 gets the bootstrap's; `num_resamples` and `seed` are for that one.
    """
    if scores.is_binary and groups is None:
        return wilson_interval(int(scores.numerators.sum()), len(scores), confidence)
    if scores.is_share:
        return logit_interval(scores, confidence=confidence, groups=groups)
    return bootstrap_interval(scores, confidence=confidence, num_resamples=num_resamples, seed=seed, groups=groups)


def wilson_interval(successes: int, total: int, confidence: float = 0.95) -> ConfidenceInterval:
    """The score interval of one proportion (Wilson 1927, JASA 22:209); NaN throughout if `total` is 0."""
    if not 0 <= successes <= total:
        raise ValueError(f"{successes} successes of {total} are impossible.")
    z = normal_quantile(confidence)
    if total == 0:
        return undefined_interval(confidence, "Wilson")
    p = successes / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half_width = z * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
    # The limits at 0 and 1 are exact; rounding would leave 1e-17 or let the value slip out.
    low = 0.0 if successes == 0 else centre - half_width
    high = 1.0 if successes == total else centre + half_width
    return ConfidenceInterval(value=p, low=low, high=high, confidence=confidence, method="Wilson")


def logit_interval(
    scores: RowScores, *, confidence: float = 0.95, groups: IntArray | None = None
) -> ConfidenceInterval:
    """A t interval on the logit scale for a mean or a ratio between 0 and 1, of rows or of groups of rows.

    The logit keeps the limits between 0 and 1 and evens out the skew near them (Korn & Graubard 1999, Analysis of
    Health Surveys, 3.2); the standard error is the linearised one; the degrees of freedom allow for outliers
    (`student_degrees`). Where the score is exactly 0 or 1, Wilson's interval of as many units; a single unit bounds
    nothing. Units that do not vary, the score being between, give a width of 0, which bounds nothing either.

    Measured on 50 and 100 rows of five graded and F1 kinds, scores of 0.05 and 0.9: it holds the truth in 94.6-96.8 %,
    but in up to 99 % for F1 of 0.05 on 50 rows, of which half a dozen score at all. With U - 1 degrees of freedom
    it does in 91.0-96.0 %, the BCa bootstrap on 50 rows in 88.3-95.5 %.
    """
    normal_quantile(confidence)  # for its check
    value, kind = scores.value, "logit t" if groups is None else "logit t by group"
    if math.isnan(value):
        return undefined_interval(confidence, kind)
    influences_U = linearise(scores.columns, groups)
    if len(influences_U) < 2:
        return ConfidenceInterval(
            value=value, low=0.0, high=1.0, confidence=confidence, method=f"{kind} (one unit bounds nothing)"
        )
    if value in (0.0, 1.0):
        bounds = wilson_interval(round(value * len(influences_U)), len(influences_U), confidence)
        return ConfidenceInterval(
            value=value, low=bounds.low, high=bounds.high, confidence=confidence, method="Wilson, of units all alike"
        )
    t = float(special.stdtrit(student_degrees(influences_U), (1 + confidence) / 2))
    half_width = t * standard_error(influences_U) / (value * (1 - value))
    low, high = (float(special.expit(special.logit(value) + side * half_width)) for side in (-1, 1))
    method = kind if half_width > 0 else f"{kind} (the rows do not vary)"
    return ConfidenceInterval(
        value=value, low=min(low, value), high=max(high, value), confidence=confidence, method=method
    )


def student_degrees(influences_U: FloatArray) -> float:
    """Degrees of freedom of the standard error: U - 1 for normal units, fewer where a few units make up the variance.

    2 / (2 / (U - 1) + k / U), k the excess kurtosis where positive: Satterthwaite's match of the moments with
    Var(s^2) = s^4 (2 / (U - 1) + k / U). At least 1.
    """
    num_units = len(influences_U)
    squares_U = (influences_U - influences_U.mean()) ** 2
    excess = float(np.mean(squares_U**2) / np.mean(squares_U) ** 2 - 3) if squares_U.any() else 0.0
    return max(1.0, 2 / (2 / (num_units - 1) + max(0.0, excess) / num_units))
