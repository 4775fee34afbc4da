"""Fields and labels in which the candidate is behind a simpler way: a better whole may hide a worse part."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from burnish.evaluate.metrics import AnyMetric, part_scores
from burnish.evaluate.statistics import IntArray, RowScores, compare_paired, openings_factor
from burnish.recipe import Metric

Rows = Sequence[dict[str, Any]]
TOLERANCE = 1e-9


def weaker_parts(
    candidate: Rows,
    simpler: Mapping[str, Rows],
    *,
    metric: AnyMetric,
    confidence: float,
    num_resamples: int,
    groups: IntArray | None = None,
    num_openings: int = 1,
) -> list[dict[str, Any]]:
    """Each part in which a simpler arm scores higher, with the best such arm and the paired difference, largest first.

    `p_value_adjusted` is multiplied by the number of all pairs of part and arm (Bonferroni), since the pairs are picked
    for being worse, and corrected for openings of the test. Empty where the metric has no parts.
    """
    mine = part_scores(metric, candidate)
    theirs = {arm: part_scores(metric, rows) for arm, rows in simpler.items()}
    family = openings_factor(num_openings) * max(1, len(mine) * len(theirs))
    found = []
    for name, scores in mine.items():
        known = {arm: parts[name] for arm, parts in theirs.items() if name in parts}
        values = {arm: part.value for arm, part in known.items() if part.value > scores.value + TOLERANCE}
        if not values:
            continue
        arm = max(values, key=lambda each: values[each])
        found.append(
            {
                "name": name,
                "baseline": arm,
                "score": scores.value,
                "baseline_score": values[arm],
                **_compare(scores, known[arm], family, confidence, num_resamples, groups),
            }
        )
    return sorted(found, key=lambda part: part["score"] - part["baseline_score"])


def equal_parts(candidate: Rows, simpler: Mapping[str, Rows], *, metric: AnyMetric) -> list[str]:
    """The fields in which no score is beaten, though there is something left to gain; labels are too many to tell."""
    if metric is not Metric.FIELD_F1:
        return []
    mine, theirs = part_scores(metric, candidate), [part_scores(metric, rows) for rows in simpler.values()]
    best = {name: max((each[name].value for each in theirs if name in each), default=-1.0) for name in mine}
    return [name for name in mine if abs(mine[name].value - best[name]) <= TOLERANCE and best[name] < 1]


def _compare(
    mine: RowScores,
    theirs: RowScores,
    family: int,
    confidence: float,
    num_resamples: int,
    groups: IntArray | None,
) -> dict[str, Any]:
    """On the rows that have something of the part in either arm."""
    has_part = (mine.denominators > 0) | (theirs.denominators > 0)
    mine, theirs = (RowScores(each.numerators[has_part], each.denominators[has_part]) for each in (mine, theirs))
    result = compare_paired(
        mine,
        theirs,
        confidence=confidence,
        num_resamples=num_resamples,
        groups=None if groups is None else np.asarray(groups)[has_part],
    )
    adjusted = min(1.0, family * result.p_value)
    return {
        "num_rows": int(has_part.sum()),
        "difference": result.difference.to_dict(),
        "p_value": result.p_value,
        "p_value_adjusted": adjusted,
        "is_shown": adjusted < 1 - confidence,
    }
