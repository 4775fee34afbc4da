"""What a few rows of each of many kinds tell of all kinds, and of kinds that nobody measured."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special  # type: ignore[import-untyped,unused-ignore]

from burnish.evaluate.statistics.confidence import ConfidenceInterval, undefined_interval
from burnish.evaluate.statistics.scores import RowScores, linearise, ratio, standard_error, sum_groups


def score_by_kind(scores: RowScores, kinds: Sequence[str]) -> dict[str, float]:
    """The score of each kind's own rows, in the order of the kinds; those whose denominators sum to 0 are left out."""
    names = list(dict.fromkeys(kinds))
    number = {name: n for n, name in enumerate(names)}
    values_U = ratio(sum_groups(scores.columns, np.array([number[kind] for kind in kinds])))
    return {name: float(value) for name, value in zip(names, values_U, strict=True) if math.isfinite(value)}


def interval_over_kinds(
    scores: RowScores, kinds: Sequence[str], *, confidence: float = 0.95, of_new_kinds: bool = False
) -> ConfidenceInterval:
    """The score of all rows, and where the score over all kinds lies; or over as many kinds that nobody measured.

    The kinds are the independent units of a ratio estimate (Cochran 1977, Sampling Techniques, chapter 6): a kind
    counts by its denominator, so that one of few tokens does not speak as loud as one of many. The interval for new
    kinds adds the chance of their own draw: it is a t prediction interval, sqrt(2) times as wide (Hahn & Meeker
    1991, Statistical Intervals, chapter 4). One kind alone has no interval: NaN.
    """
    numbers = {kind: n for n, kind in enumerate(dict.fromkeys(kinds))}
    method = f"t over {len(numbers)} kinds" + (", for as many new ones" if of_new_kinds else "")
    if len(numbers) < 2:
        return undefined_interval(confidence, method)
    influences = linearise(scores.columns, np.array([numbers[kind] for kind in kinds]))
    t = float(special.stdtrit(len(numbers) - 1, (1 + confidence) / 2))
    half_width = t * standard_error(influences) * (math.sqrt(2) if of_new_kinds else 1.0)
    value = float(ratio(scores.columns.sum(axis=0)))
    return ConfidenceInterval(
        value=value, low=value - half_width, high=value + half_width, confidence=confidence, method=method
    )
