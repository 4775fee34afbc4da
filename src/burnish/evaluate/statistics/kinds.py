"""What a mean over kinds tells of other kinds, from a few rows of each of many kinds."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special  # type: ignore[import-untyped,unused-ignore]

from burnish.evaluate.statistics.confidence import ConfidenceInterval, undefined_interval
from burnish.evaluate.statistics.scores import RowScores, ratio, standard_error, sum_groups


def score_by_kind(scores: RowScores, kinds: Sequence[str]) -> dict[str, float]:
    """The score of each kind's own rows, in the order of the kinds; those whose denominators sum to 0 are left out."""
    names = list(dict.fromkeys(kinds))
    number = {name: n for n, name in enumerate(names)}
    values_U = ratio(sum_groups(scores.columns, np.array([number[kind] for kind in kinds])))
    return {name: float(value) for name, value in zip(names, values_U, strict=True) if math.isfinite(value)}


def interval_over_kinds(scores: RowScores, kinds: Sequence[str], *, confidence: float = 0.95) -> ConfidenceInterval:
    """The mean of the kinds' scores, every kind counting the same, and where the mean of as many new kinds would lie.

    The kinds are the independent units. A confidence interval says where the mean over all kinds lies; whoever measures
    other kinds has the chance of their own draw as well, so this is the t prediction interval for the mean of as many
    new kinds, sqrt(2) times as wide (Hahn & Meeker 1991, Statistical Intervals, chapter 4). The spread between kinds
    holds that within them. One kind alone has no interval: NaN.
    """
    values = np.array(list(score_by_kind(scores, kinds).values()))
    method = f"t over {len(values)} kinds, for the mean of as many new ones"
    if len(values) < 2:
        return undefined_interval(confidence, method)
    t = float(special.stdtrit(len(values) - 1, (1 + confidence) / 2))
    value, half_width = float(values.mean()), t * standard_error(values) * math.sqrt(2)
    return ConfidenceInterval(
        value=value, low=value - half_width, high=value + half_width, confidence=confidence, method=method
    )
