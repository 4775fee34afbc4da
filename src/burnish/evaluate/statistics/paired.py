"""Two arms on the same rows: the difference, its interval, and whether it could be chance."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special  # type: ignore[import-untyped,unused-ignore]

from burnish.evaluate.statistics.confidence import ConfidenceInterval, normal_quantile, undefined_interval
from burnish.evaluate.statistics.noninferiority import tango_statistic
from burnish.evaluate.statistics.randomisation import randomisation_test
from burnish.evaluate.statistics.scores import (
    FloatArray,
    IntArray,
    RowScores,
    check_same_rows,
    linearise_difference,
    ratio,
    standard_error,
)


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


def compare_paired(
    candidate: RowScores,
    baseline: RowScores,
    *,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
    groups: IntArray | None = None,
) -> PairedComparison:
    """The difference candidate - baseline with its interval and two-sided p; same rows, same order.

    Right/wrong rows: exact McNemar test (McNemar 1947) and Tango's score interval. Graded or grouped rows: paired
    randomisation test and a t interval of the linearised differences, both over groups where there are any (one integer
    a row): rows of one document are not independent.
    Test and interval are two procedures: near the border one may exclude "no difference" and the other not.

    A win is a row where the candidate's own numerator / denominator is higher. A row with denominator 0 in
    both arms is a tie; in one arm only, it is faultless there (F1: nothing to find or found) and counts as 1.

    Raises:
        ValueError: the arms have unequal numbers of rows.
    """
    check_same_rows(candidate, baseline)
    gains_N = _row_values(candidate) - _row_values(baseline)
    wins, losses = int((gains_N > 0).sum()), int((gains_N < 0).sum())
    if candidate.is_binary and baseline.is_binary and groups is None:
        difference, method = tango_interval(wins, losses, len(candidate), confidence), "exact McNemar test"
        p_value = min(1.0, 2 * float(special.bdtr(min(wins, losses), wins + losses, 0.5)))
    else:
        difference = difference_interval(candidate, baseline, confidence=confidence, groups=groups)
        p_value, method = randomisation_test(candidate, baseline, num_resamples=num_resamples, seed=seed, groups=groups)
    return PairedComparison(
        difference=difference,
        p_value=p_value,
        method=method,
        num_wins=wins,
        num_losses=losses,
        num_ties=len(candidate) - wins - losses,
    )


def tango_interval(num_wins: int, num_losses: int, num_rows: int, confidence: float = 0.95) -> ConfidenceInterval:
    """The score interval of a difference of paired shares: the differences that `tango_statistic` does not reject.

    Exact coverage for 50 and 100 rows, shares of 0.05 to 0.95: 94.5-96.7 % where more than four rows are expected to
    differ (Newcombe's method 10: 94.7-97.9 %). With fewer no method can do much about the steps of so few counts: up to
    99.4 % here, 99.9 % there.
    """
    z = normal_quantile(confidence)
    value = (num_wins - num_losses) / num_rows

    def limit(side: int) -> float:
        if value == side:
            return value

        def excess(difference: float) -> float:
            return tango_statistic(num_wins, num_losses, num_rows, difference) + side * z

        return float(optimize.brentq(excess, value, side, xtol=1e-12))

    return ConfidenceInterval(
        value=value, low=limit(-1), high=limit(1), confidence=confidence, method="Tango score interval"
    )


def difference_interval(
    candidate: RowScores, baseline: RowScores, *, confidence: float = 0.95, groups: IntArray | None = None
) -> ConfidenceInterval:
    """A t interval of the linearised differences of rows, or of groups of rows (paired and clustered standard errors:
    Miller 2024, arXiv 2411.00640), within the -1 to 1 that shares allow; below two units it bounds nothing.

    Measured on 50 graded or F1 rows in ten settings, the scores 0.05 to 0.95: it holds the truth in 92-97 %, where the
    paired BCa bootstrap does in 79-95 % and the studentized bootstrap in 85-95 %.
    """
    normal_quantile(confidence)  # for its check
    value, kind = candidate.value - baseline.value, "paired t" if groups is None else "paired t by group"
    if math.isnan(value):
        return undefined_interval(confidence, kind)
    influences_U = linearise_difference(candidate, baseline, groups)
    error, num_units = standard_error(influences_U), len(influences_U)
    half_width = math.inf if math.isnan(error) else error * float(special.stdtrit(num_units - 1, (1 + confidence) / 2))
    bound = 1.0 if candidate.is_share and baseline.is_share else math.inf
    low, high = max(value - half_width, -bound), min(value + half_width, bound)
    method = kind if error != 0 else f"{kind} (the rows do not vary)"
    return ConfidenceInterval(value=value, low=low, high=high, confidence=confidence, method=method)


def _row_values(scores: RowScores) -> FloatArray:
    return np.where(scores.denominators == 0, 1.0, ratio(scores.columns))
