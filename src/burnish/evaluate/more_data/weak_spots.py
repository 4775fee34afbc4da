"""Which rows to collect: the labels, or other kinds of rows, with most of the errors."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from burnish.evaluate.statistics import RowScores


@dataclass(frozen=True, kw_only=True)
class WeakSpot:
    """One kind of rows: how many there are to learn from, its own score, and its share of all errors."""

    name: str
    num_rows: int
    num_held_rows: int
    score: float
    share_of_errors: float

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def find_weak_spots(
    names: Sequence[str], scores: RowScores, *, num_rows: Mapping[str, int] | None = None, limit: int = 5
) -> list[WeakSpot]:
    """The kinds of held-out rows with the largest shares of the errors, the largest first; none where all is right.

    `names` tells each row's kind; `num_rows` the rows of each to learn from, which are the held-out ones themselves
    where the scores are out of fold. A row's error is denominator minus numerator: what it lacks to be faultless.
    """
    kinds, kind_N = np.unique(names, return_inverse=True)
    wanted_K = np.bincount(kind_N, weights=scores.denominators)
    errors_K = wanted_K - np.bincount(kind_N, weights=scores.numerators)
    counts = Counter(names)
    worst = [k for k in np.argsort(-errors_K, kind="stable")[:limit].tolist() if errors_K[k] > 0]
    return [
        WeakSpot(
            name=str(kinds[k]),
            num_rows=(counts if num_rows is None else num_rows).get(str(kinds[k]), 0),
            num_held_rows=counts[str(kinds[k])],
            score=float(1 - errors_K[k] / wanted_K[k]),
            share_of_errors=float(errors_K[k] / errors_K.sum()),
        )
        for k in worst
    ]
