"""How experts' opinions become probabilities that keep their word.

N rows, L labels, K experts (an embedding classifier has one, a fine-tuned encoder two).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize  # type: ignore[import-untyped,unused-ignore]
from scipy.special import log_softmax, logsumexp, softmax  # type: ignore[import-untyped,unused-ignore]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PRIOR_ROWS = 5.0
"""The scales stay near 1 / K until so many held-out rows speak against it."""
NUM_BINS = 15


@dataclass(frozen=True)
class HeldOut:
    """What a classifier was worth on rows that it had not seen; the calibration errors before and after scaling."""

    num_rows: int
    accuracy: float
    log_loss: float
    raw_calibration_error: float
    calibration_error: float
    confidences: tuple[float, ...]
    """Of the label that each of these rows was given."""
    is_right: tuple[bool, ...]


def pool_opinions(log_probabilities_KNL: FloatArray, scales_K: FloatArray) -> FloatArray:
    """The logarithmic opinion pool, (N, L): softmax of the sum of the experts' log-probabilities times their scales.

    One expert's scale is the inverse of its temperature (Guo et al. 2017, arXiv 1706.04599); the scales of several
    also weigh them (Heskes 1998, NIPS 10:266).
    """
    pooled_NL: FloatArray = softmax(np.tensordot(scales_K, log_probabilities_KNL, axes=1), axis=1)
    return pooled_NL


def fit_scales(log_probabilities_KNL: FloatArray, labels_N: IntArray) -> FloatArray:
    """The scales, none below 0, that make the held-out rows' labels most likely; convex, so there is one answer."""
    num_experts, num_rows, _ = log_probabilities_KNL.shape
    prior_K = np.full(num_experts, 1 / num_experts)
    own_KN = log_probabilities_KNL[:, np.arange(num_rows), labels_N]

    def loss_and_gradient(scales_K: FloatArray) -> tuple[float, FloatArray]:
        pooled_NL = np.tensordot(scales_K, log_probabilities_KNL, axes=1)
        expected_KN = (log_probabilities_KNL * softmax(pooled_NL, axis=1)).sum(axis=2)
        away_K = scales_K - prior_K
        loss = (logsumexp(pooled_NL, axis=1) - scales_K @ own_KN).sum() + PRIOR_ROWS * (away_K**2).sum()
        return float(loss), (expected_KN - own_KN).sum(axis=1) + 2 * PRIOR_ROWS * away_K

    found = minimize(loss_and_gradient, prior_K, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * num_experts)
    scales_K: FloatArray = found.x
    return scales_K


def measure_held_out(log_probabilities_KNL: FloatArray, labels_N: IntArray, scales_K: FloatArray) -> HeldOut:
    """What the pool is worth on rows that no expert had seen."""
    num_experts, num_rows, _ = log_probabilities_KNL.shape
    raw_NL = pool_opinions(log_probabilities_KNL, np.full(num_experts, 1 / num_experts))
    probabilities_NL = pool_opinions(log_probabilities_KNL, scales_K)
    own_N = probabilities_NL[np.arange(num_rows), labels_N]
    is_right_N = probabilities_NL.argmax(axis=1) == labels_N
    return HeldOut(
        num_rows=num_rows,
        accuracy=float(is_right_N.mean()),
        log_loss=float(-np.log(np.maximum(own_N, np.finfo(float).tiny)).mean()),
        raw_calibration_error=expected_calibration_error(raw_NL, labels_N),
        calibration_error=expected_calibration_error(probabilities_NL, labels_N),
        confidences=tuple(probabilities_NL.max(axis=1).round(4).tolist()),
        is_right=tuple(is_right_N.tolist()),
    )


def expected_calibration_error(probabilities_NL: FloatArray, labels_N: IntArray, num_bins: int = NUM_BINS) -> float:
    """The mean gap between confidence and accuracy, over bins of equal width weighted by their rows.

    Naeini et al. 2015, AAAI 29:2901, for the confidence in the likeliest label.
    """
    confidence_N = probabilities_NL.max(axis=1)
    gaps_N = (probabilities_NL.argmax(axis=1) == labels_N) - confidence_N
    bins_N = np.minimum((confidence_N * num_bins).astype(int), num_bins - 1)
    return float(np.abs(np.bincount(bins_N, weights=gaps_N)).sum() / len(labels_N))


def log_softmax_rows(logits_NL: npt.NDArray[np.floating]) -> FloatArray:
    """The logarithm of the softmax over labels, in float64."""
    found_NL: FloatArray = log_softmax(logits_NL.astype(np.float64), axis=1)
    return found_NL
