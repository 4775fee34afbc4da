"""Does an arm know when it is right? Calibration, and what can be left to it if a person takes the rest.

A row's confidence is how likely the arm found its answer to be right: a label, or an object as a whole.

Shapes: N rows, M thresholds (the different confidences), R draws of chance, B bins.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special  # type: ignore[import-untyped,unused-ignore]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Row = dict[str, Any]
IsRight = Callable[[Row], bool]

NUM_BINS = 15
NUM_DRAWS = 500
MAX_CURVE_POINTS = 100
GOALS = (0.99, 0.95, 0.90)


def is_target(row: Row) -> bool:
    """Whether the answer is the target, letter by letter."""
    return bool(row["prediction"] == row["target"])


def measure_calibration(rows: Sequence[Row], *, is_right: IsRight = is_target, seed: int = 0) -> dict[str, Any] | None:
    """Whether of the answers given with 80 % confidence 80 % are right; None unless all rows have a confidence.

    `ece`: sum over bins of share * |accuracy - mean confidence| (Naeini et al. 2015, AAAI; Guo et al. 2017,
    arXiv 1706.04599), of the top label, with 15 bins of equal mass (Nixon et al. 2019, arXiv 1904.01685); rows of
    equal confidence share a bin. It is above 0 by chance alone: `ece_if_calibrated` has the mean and the 95 % quantile
    for answers that are right exactly as often as these confidences say (Bröcker & Smith 2007, Weather Forecast.
    22:651). `brier`: mean of (confidence - right)^2 (Brier 1950), of the top label: 0 is best. `before` has the same of
    the model's own probabilities, where the confidences were made of them; else it is None.
    """
    if not rows or any(row.get("confidence") is None for row in rows):
        return None
    is_right_N = np.array([is_right(row) for row in rows], dtype=np.float64)
    has_own = all("probability" in row for row in rows)
    before = _calibration(_column(rows, "probability"), is_right_N, seed) if has_own else {}
    return {
        **_calibration(_column(rows, "confidence"), is_right_N, seed),
        "before": {name: value for name, value in before.items() if name != "bins"} or None,
    }


def risk_coverage(
    test: Sequence[Row],
    validation: Sequence[Row] = (),
    *,
    is_right: IsRight = is_target,
    confidence: float = 0.95,
) -> dict[str, Any] | None:
    """Accuracy against the share of rows that are answered at all, and thresholds for 99, 95 and 90 %.

    The most confident rows are answered, the others sent to a person (El-Yaniv & Wiener 2010, JMLR 11:1605). The
    threshold of a goal is the one that answers most rows with this accuracy on `validation`; what it does is told of
    `test`, with the one-sided Clopper-Pearson bound of the accuracy (1934, Biometrika 26:404). Without validation
    rows it is chosen on `test` too, and the bound is corrected for all thresholds that might have been chosen
    (union bound, as Geifman & El-Yaniv 2017, arXiv 1705.08500). None unless all rows have a confidence.
    """
    if not test or any(row.get("confidence") is None for row in [*test, *validation]):
        return None
    confidences_N, is_right_N = _columns(test, is_right)
    curve = _curve(confidences_N, is_right_N)
    chosen_on = _curve(*_columns(validation, is_right)) if validation else curve
    alpha = (1 - confidence) / (1 if validation else len(curve[0]))
    goals = [_meet_goal(goal, _threshold(goal, chosen_on), confidences_N, is_right_N, alpha) for goal in GOALS]
    return {
        "curve": _points(curve, len(test)),
        "chosen_on": "validation" if validation else "test",
        "num_rows_chosen_on": len(validation or test),
        "confidence": confidence,
        "goals": goals,
    }


def _calibration(confidences_N: FloatArray, is_right_N: FloatArray, seed: int) -> dict[str, Any]:
    bins_N = _equal_mass_bins(confidences_N)
    counts_B = np.bincount(bins_N, minlength=NUM_BINS)
    generator = np.random.default_rng(seed)
    draws = ((generator.random(len(bins_N)) < confidences_N) - confidences_N for _ in range(NUM_DRAWS))
    by_chance_R = np.array([_calibration_error(gaps_N, bins_N) for gaps_N in draws])
    return {
        "ece": _calibration_error(is_right_N - confidences_N, bins_N),
        "ece_if_calibrated": {"mean": float(by_chance_R.mean()), "high": float(np.quantile(by_chance_R, 0.95))},
        "brier": float(((confidences_N - is_right_N) ** 2).mean()),
        "mean_confidence": float(confidences_N.mean()),
        "bins": [
            {
                "confidence": float(confidences_N[bins_N == b].mean()),
                "accuracy": float(is_right_N[bins_N == b].mean()),
                "num_rows": int(counts_B[b]),
            }
            for b in np.flatnonzero(counts_B)
        ],
    }


def _columns(rows: Sequence[Row], is_right: IsRight) -> tuple[FloatArray, FloatArray]:
    return _column(rows, "confidence"), np.array([is_right(row) for row in rows], dtype=np.float64)


def _column(rows: Sequence[Row], name: str) -> FloatArray:
    return np.array([row[name] for row in rows], dtype=np.float64)


def _equal_mass_bins(confidences_N: FloatArray) -> IntArray:
    """By the number of rows that are less confident, so that neither ties nor the order of the rows matter."""
    num_below_N = np.searchsorted(np.sort(confidences_N), confidences_N, side="left")
    bins_N: IntArray = (num_below_N * NUM_BINS // len(confidences_N)).astype(np.int64)
    return bins_N


def _calibration_error(gaps_N: FloatArray, bins_N: IntArray) -> float:
    """`gaps_N`: right minus confidence; a bin's share times its gap is the sum of its rows' gaps over N."""
    return float(np.abs(np.bincount(bins_N, weights=gaps_N)).sum() / len(bins_N))


def _curve(confidences_N: FloatArray, is_right_N: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """[M] each, the highest first: threshold, rows that are at least so confident, and how many of them are right."""
    order_N = np.argsort(-confidences_N, kind="stable")
    sorted_N = confidences_N[order_N]
    ends_M = np.append(np.flatnonzero(np.diff(sorted_N)), len(sorted_N) - 1)
    return sorted_N[ends_M], ends_M + 1.0, np.cumsum(is_right_N[order_N])[ends_M]


def _points(curve: tuple[FloatArray, FloatArray, FloatArray], num_rows: int) -> list[dict[str, float]]:
    thresholds_M, answered_M, right_M = curve
    shown = np.unique(np.linspace(0, len(thresholds_M) - 1, MAX_CURVE_POINTS).round().astype(int))
    return [
        {
            "coverage": float(answered_M[m] / num_rows),
            "accuracy": float(right_M[m] / answered_M[m]),
            "threshold": float(thresholds_M[m]),
        }
        for m in shown
    ]


def _threshold(goal: float, curve: tuple[FloatArray, FloatArray, FloatArray]) -> float | None:
    """The lowest that meets the goal; 0 if answering everything does, None if nothing does."""
    thresholds_M, answered_M, right_M = curve
    meets_M = np.flatnonzero(right_M >= goal * answered_M - 1e-9)
    if not len(meets_M):
        return None
    return 0.0 if meets_M[-1] == len(thresholds_M) - 1 else float(thresholds_M[meets_M[-1]])


def _meet_goal(
    goal: float, threshold: float | None, confidences_N: FloatArray, is_right_N: FloatArray, alpha: float
) -> dict[str, Any]:
    """What the threshold does with the test rows; `low` bounds the accuracy on the answered rows from below."""
    is_answered_N = np.zeros(len(confidences_N), dtype=bool) if threshold is None else confidences_N >= threshold
    num_answered, num_right = int(is_answered_N.sum()), int(is_right_N[is_answered_N].sum())
    low = float(special.betaincinv(num_right, num_answered - num_right + 1, alpha)) if num_right else 0.0
    return {
        "goal": goal,
        "threshold": threshold,
        "sent_share": 1 - num_answered / len(confidences_N),
        "num_answered": num_answered,
        "accuracy": num_right / num_answered if num_answered else None,
        "low": low if num_answered else None,
        "is_shown": bool(num_answered and low >= goal),
    }
