"""Is an arm worse by no more than a margin? What a difference that is not significant can't tell."""

import math

from scipy import special  # type: ignore[import-untyped,unused-ignore]

from burnish.evaluate.statistics.scores import (
    IntArray,
    RowScores,
    check_same_rows,
    linearise_difference,
    standard_error,
)


def noninferiority_p_value(
    candidate: RowScores, baseline: RowScores, *, margin: float, groups: IntArray | None = None
) -> float:
    """One-sided p of "the candidate is worse by `margin` or more"; where it is small, the candidate is as good.

    Right/wrong rows without groups: the score test of Tango 1998, Stat. Med. 17:891. Else a t test of the linearised
    rows or groups, shifted by the margin.

    Raises:
        ValueError: the margin is not positive, or the arms have unequal numbers of rows.
    """
    if margin <= 0:
        raise ValueError(f"a margin is a positive difference of scores; found {margin}.")
    check_same_rows(candidate, baseline)
    difference = candidate.value - baseline.value
    if math.isnan(difference):
        return 1.0
    if candidate.is_binary and baseline.is_binary and groups is None:
        num_wins = int((candidate.numerators > baseline.numerators).sum())
        num_losses = int((candidate.numerators < baseline.numerators).sum())
        return float(special.ndtr(-tango_statistic(num_wins, num_losses, len(candidate), -margin)))
    influences_U = linearise_difference(candidate, baseline, groups)
    error = standard_error(influences_U)
    if error == 0 or math.isnan(error):
        return 0.0 if error == 0 and difference > -margin else 1.0
    return float(special.stdtr(len(influences_U) - 1, -(difference + margin) / error))


def tango_statistic(num_wins: int, num_losses: int, num_rows: int, difference: float) -> float:
    """The score statistic of "the true difference of the paired shares is `difference`", standard normal if it is.

    (wins - losses - n d) / sqrt(n (2 q + d (1 - d))), q being the most likely share of losses under that hypothesis
    (Tango 1998, eq. 5-7).
    """
    a = 2 * num_rows
    b = (2 * num_rows - num_wins + num_losses) * difference - num_wins - num_losses
    c = -num_losses * difference * (1 - difference)
    share_lost = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = num_rows * (2 * share_lost + difference * (1 - difference))
    excess = num_wins - num_losses - num_rows * difference
    if variance <= 0:
        return 0.0 if excess == 0 else math.copysign(math.inf, excess)
    return excess / math.sqrt(variance)
