"""p-values that remember how many questions were asked of the same test rows."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for being a family, in the order given (Holm 1979, Scand. J. Stat. 6:65)."""
    p_sorted = np.sort(np.asarray(p_values, dtype=np.float64))
    if not ((p_sorted >= 0) & (p_sorted <= 1)).all():
        raise ValueError(f"p-values lie between 0 and 1; found {list(p_values)}.")
    stepped = p_sorted * np.arange(len(p_sorted), 0, -1)
    adjusted = np.empty_like(p_sorted)
    adjusted[np.argsort(p_values, kind="stable")] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(p) for p in adjusted]


def openings_factor(num_openings: int) -> int:
    """What the p-values of the k-th opening of a test are multiplied by: 1, then k (k - 1), so 2, 6, 12, 20 ...

    Alpha spending (Bonferroni with unequal shares). The first opening, the one that was planned, is tested at alpha.
    All later ones together get alpha once more, since 1/2 + 1/6 + 1/12 + ... = 1. "Better" is one side of a two-sided
    test, so it takes half of each: however often a test is opened, a false "better" comes up with probability alpha at
    most. (Plain Bonferroni, times k, would not do: alpha (1 + 1/2 + 1/3 + ...) / 2 is over alpha from the fourth
    opening on.) No factor helps against an adapter that was made by looking at the test rows themselves.

    Raises:
        ValueError: `num_openings`, which counts the present one, is below 1.
    """
    if num_openings < 1:
        raise ValueError(f"a test that is judged has been opened; found {num_openings} openings.")
    return max(1, num_openings * (num_openings - 1))


def adjust(p_values: Sequence[float], *, num_openings: int = 1) -> list[float]:
    """Holm over the family, then the correction for repeated openings of the test."""
    factor = openings_factor(num_openings)
    return [min(1.0, factor * p) for p in holm(p_values)]
