"""What more rows would bring, by the curves that fit the measured points, each as far as they support it.

An error, 1 - score, is one at the smallest size, another at the largest, and a shape between and beyond:

    error(n) = smallest * (1 - u(n)) + largest * u(n),    u = (f(n) - f(n_min)) / (f(n_max) - f(n_min))

With f = n^-b this is the power law c + a n^-b; the other shapes are the logarithm and the Morgan-Mercer-Flodin
curve, 1 / (1 + (n / s)^b), which starts flat where there are too few rows to learn anything. Many shapes are weighted
by how well they fit the points (Bayesian model averaging: Hoeting et al. 1999, Statistical Science 14:382), with flat
priors on the two errors, which mean the same in every shape. So uncertain shapes widen the interval, as they should:
one power law through four points is far too sure. The families: Viering & Loog 2021, arXiv 2103.10948.

P points, T sizes (the points, then now, then later), Z shapes with an assumed misfit each, R draws, N held-out rows.
"""

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from burnish.evaluate.more_data.curve import Curve
from burnish.evaluate.statistics import ConfidenceInterval, FloatArray, RowScores

POWERS = np.linspace(0.05, 1.5, 30)
MMF_POWERS = np.linspace(0.15, 1.5, 10)
MMF_SCALES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""In multiples of the smallest size."""
MISFITS = (0.01, 0.02, 0.04, 0.08, 0.16)
"""How far a training run lies from any curve, as a share of its error; the points choose among these."""
MIN_SIZES = 3
MIN_HELD_ROWS = 30
MAX_STRETCH = 8
"""Further than this many times the largest size is a guess."""
NUM_DRAWS = 10_000
MIN_DRAWS = 500
"""Fewer of them possible: what was measured is no learning curve."""
_METHOD = "power law, MMF and logarithm, averaged"
_SMALLEST_SHOWN = 0.0005  # a gain that is printed as 0.0 points is none


class Outlook(StrEnum):
    """Whether more rows help."""

    HELPS = "helps"
    NO_EVIDENCE = "no_evidence"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The gain of the score from `num_rows` to `num_more` more, and the score then; `reason` why it can't be told."""

    num_rows: int
    num_more: int
    gain: ConfidenceInterval
    score: ConfidenceInterval
    reason: str = ""

    @property
    def outlook(self) -> Outlook:
        """A gain is claimed only where the whole interval lies above 0."""
        if self.reason:
            return Outlook.CANNOT_TELL
        return Outlook.HELPS if self.gain.low >= _SMALLEST_SHOWN else Outlook.NO_EVIDENCE

    def describe(self) -> str:
        """One line: "200 more rows: +1.8 points, 90 % interval 0.4 to 3.1."."""
        if self.reason:
            return f"Cannot tell whether more rows help: {self.reason}."
        value, low, high = (100 * number for number in (self.gain.value, self.gain.low, self.gain.high))
        gain = f"{value:+.1f} points, {self.gain.confidence:.0%} interval {low:.1f} to {high:.1f}".replace("%", " %")
        if self.outlook is Outlook.HELPS:
            return f"{self.num_more:,} more rows: {gain}."
        return f"{self.num_more:,} more rows: no evidence that more rows help ({gain})."

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values, with the outlook and its line."""
        intervals = {"gain": self.gain.to_dict(), "score": self.score.to_dict()}
        return {**asdict(self), **intervals, "outlook": self.outlook.value, "text": self.describe()}


def forecast_gain(
    curve: Curve,
    *,
    num_rows: int,
    num_more: int,
    num_test_rows: int | None = None,
    confidence: float = 0.9,
    seed: int = 0,
) -> Forecast:
    """The expected gain from `num_rows` rows to `num_more` more of the same kind, and the score then.

    The score's interval is for the expected score or, with `num_test_rows`, for what a test of so many rows will show.
    Measured on BANKING77, parts of it and restaurant8k by benchmarks/more_data.py; fitted on the log-loss and then
    converted, fewer intervals held the truth.
    """
    if reason := _doubt(curve, num_rows + num_more):
        return _unknown(num_rows, num_more, confidence, reason)
    chance = np.random.default_rng(seed)
    errors_P, covariance_PP = _errors(curve)
    now_R, later_R = _draw_errors(curve, errors_P, covariance_PP, (num_rows, num_rows + num_more), chance)
    if len(later_R) < MIN_DRAWS:
        return _unknown(num_rows, num_more, confidence, "no learning curve fits the measured points")
    score_R = 1 - later_R
    if num_test_rows is not None:
        last = _largest(curve)
        row_variance = covariance_PP[last, last] * len(curve.points[last].scores)
        # A right or wrong row varies as error * (1 - error); a graded one is taken to do so in proportion.
        variance_R = row_variance * later_R * (1 - later_R) / (errors_P[last] * (1 - errors_P[last]))
        score_R = np.clip(score_R + chance.normal(size=len(score_R)) * np.sqrt(variance_R / num_test_rows), 0, 1)
    gain, score = _interval(now_R - later_R, confidence), _interval(score_R, confidence)
    return Forecast(num_rows=num_rows, num_more=num_more, gain=gain, score=score)


def _unknown(num_rows: int, num_more: int, confidence: float, reason: str) -> Forecast:
    none = ConfidenceInterval(value=math.nan, low=math.nan, high=math.nan, confidence=confidence, method="none")
    return Forecast(num_rows=num_rows, num_more=num_more, gain=none, score=none, reason=reason)


def _doubt(curve: Curve, num_rows_then: int) -> str:
    """Why no number should be given; empty if one may."""
    sizes = {point.num_rows for point in curve.points}
    values = [point.scores.value for point in curve.points]
    if len(sizes) < MIN_SIZES:
        return f"the score was measured at {len(sizes)} sizes, and a curve needs {MIN_SIZES}"
    if (num_held := len(curve.points[0].scores)) < MIN_HELD_ROWS:
        return f"{num_held} held-out rows are too few; {MIN_HELD_ROWS} are needed"
    if not all(map(math.isfinite, values)):
        return "the score is not defined at every size"
    if values[_largest(curve)] == 1:
        return "no held-out row is wrong any more"
    if values[_largest(curve)] == 0:
        return "every held-out row is wrong"
    if num_rows_then > MAX_STRETCH * max(sizes):
        return f"{num_rows_then:,} rows are more than {MAX_STRETCH} times the {max(sizes):,} that were tried"
    return ""


def _largest(curve: Curve) -> int:
    return max(range(len(curve.points)), key=lambda n: curve.points[n].num_rows)


def _errors(curve: Curve) -> tuple[FloatArray, FloatArray]:
    """The error of each point, and their covariance over the held-out rows, of which groups count as one."""
    errors_P = np.array([1 - point.scores.value for point in curve.points])
    residuals_PN = np.stack([_residuals(point.scores) for point in curve.points])
    num_rows = residuals_PN.shape[1]
    if curve.groups is not None:
        _, group_N = np.unique(curve.groups, return_inverse=True)
        residuals_PN = np.stack([np.bincount(group_N, weights=row_N) for row_N in residuals_PN])
    # One row more or less may always be wrong: few errors are less certain than they look.
    return errors_P, (residuals_PN @ residuals_PN.T + np.eye(len(errors_P))) / num_rows**2


def _residuals(scores: RowScores) -> FloatArray:
    """What each row adds to the score beyond its share (linearised ratio: Cochran 1977, ch. 6)."""
    residuals_N: FloatArray = scores.numerators - scores.value * scores.denominators
    return residuals_N / float(scores.denominators.mean())


class _Shapes(NamedTuple):
    """u at each size, and at the end that must not lie below 0: without limit, but the logarithm's largest size."""

    u_ZT: FloatArray
    end_Z: FloatArray
    log_prior_Z: FloatArray


def _shapes(sizes_T: FloatArray, num_points: int) -> _Shapes:
    first, last = int(sizes_T[:num_points].argmin()), int(sizes_T[:num_points].argmax())
    ratios_T = sizes_T / sizes_T[first]
    power_ZT = ratios_T ** -POWERS[:, None]
    mmf_ZT = np.stack([1 / (1 + (ratios_T / scale) ** power) for power in MMF_POWERS for scale in MMF_SCALES])
    log_ZT = -np.log(ratios_T)[None]
    f_ZT = np.concatenate((power_ZT, mmf_ZT, log_ZT))
    limit_Z = np.array([0.0] * (len(f_ZT) - 1) + [float(log_ZT.min())])
    log_prior_Z = -np.log(np.repeat([len(power_ZT), len(mmf_ZT), 1], [len(power_ZT), len(mmf_ZT), 1]))
    span_Z = f_ZT[:, last] - f_ZT[:, first]
    return _Shapes((f_ZT - f_ZT[:, [first]]) / span_Z[:, None], (limit_Z - f_ZT[:, first]) / span_Z, log_prior_Z)


def _draw_errors(
    curve: Curve,
    errors_P: FloatArray,
    covariance_PP: FloatArray,
    wanted: tuple[int, int],
    chance: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Errors at the two sizes, drawn from all curves by their weight; none that would fall below 0 or rise above 1."""
    num_points = len(errors_P)
    sizes_T = np.array([*(point.num_rows for point in curve.points), *wanted], dtype=np.float64)
    u_ZT, end_Z, log_prior_Z = _shapes(sizes_T, num_points)
    fits = [_fit(u_ZT[:, :num_points], errors_P, covariance_PP + np.diag((m * errors_P) ** 2)) for m in MISFITS]
    means_Z2, roots_Z22 = (np.concatenate([fit[n] for fit in fits]) for n in (0, 1))
    log_weights_Z = np.concatenate([fit[2] + log_prior_Z for fit in fits])
    weights_Z = np.exp(log_weights_Z - log_weights_Z.max())
    chosen_R = chance.choice(len(weights_Z), size=NUM_DRAWS, p=weights_Z / weights_Z.sum())
    ends_R2 = means_Z2[chosen_R] + np.einsum("rij,rj->ri", roots_Z22[chosen_R], chance.normal(size=(NUM_DRAWS, 2)))
    shape_R = chosen_R % len(u_ZT)
    now_R, later_R, end_R = (
        ends_R2[:, 0] * (1 - u_R) + ends_R2[:, 1] * u_R
        for u_R in (u_ZT[shape_R, -2], u_ZT[shape_R, -1], end_Z[shape_R])
    )
    is_possible_R = (np.minimum.reduce((now_R, later_R, end_R)) >= 0) & (np.maximum(now_R, later_R) <= 1)
    return now_R[is_possible_R], later_R[is_possible_R]


def _fit(
    u_ZP: FloatArray, errors_P: FloatArray, covariance_PP: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Generalised least squares of each shape: the two errors, a root of their covariance, the log evidence."""
    design_ZP2 = np.stack((1 - u_ZP, u_ZP), axis=-1)
    precision_PP = np.linalg.inv(covariance_PP)
    information_Z22 = design_ZP2.transpose(0, 2, 1) @ precision_PP @ design_ZP2
    covariance_Z22 = np.linalg.inv(information_Z22)
    means_Z2 = np.einsum("zij,zpj,p->zi", covariance_Z22, design_ZP2, precision_PP @ errors_P)
    residuals_ZP = errors_P - np.einsum("zpj,zj->zp", design_ZP2, means_Z2)
    misfit_Z = np.einsum("zp,pq,zq->z", residuals_ZP, precision_PP, residuals_ZP)
    volume_Z = np.linalg.slogdet(information_Z22)[1] + np.linalg.slogdet(covariance_PP)[1]
    return means_Z2, np.linalg.cholesky(covariance_Z22), -(misfit_Z + volume_Z) / 2


def _interval(draws_R: FloatArray, confidence: float) -> ConfidenceInterval:
    low, value, high = np.quantile(draws_R, ((1 - confidence) / 2, 0.5, (1 + confidence) / 2)).tolist()
    return ConfidenceInterval(value=value, low=low, high=high, confidence=confidence, method=_METHOD)
