"""From a language model's own probability of its answer to how likely the answer is right.

N rows.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize  # type: ignore[import-untyped,unused-ignore]
from scipy.special import expit  # type: ignore[import-untyped,unused-ignore]

from burnish.errors import AdapterError
from burnish.files import read_json, write_json

FloatArray = npt.NDArray[np.float64]

CALIBRATION_NAME = "calibration.json"
MIN_ROWS = 20
"""With fewer rows the model's own probability stands as it is."""
SLOPE_SD, SHIFT_SD = 0.5, 1.0
"""How far slope and shift may lie from 1 and 0 before rows have spoken: standard deviations of normal priors."""
MIN_SLOPE = 0.01
MAX_LOGIT = 14.0
"""Of the model's own probability: logits in fp32 tell no difference between 1 - 1e-6 and 1."""


@dataclass(frozen=True)
class Calibration:
    """The share of right answers among those of equal own probability p: sigmoid(slope * logit(p) + shift)."""

    slope: float
    """Above 0, so that a surer answer stays the surer one."""
    shift: float
    num_rows: int
    """That it was fitted to."""

    def confidence(self, probability: float) -> float:
        """How likely an answer is right to which the model gave this probability; never 0 or 1."""
        sure = float(expit(self.slope * _logit(probability) + self.shift))
        return min(max(sure, math.ulp(0.0)), 1 - 2**-53)

    def save(self, adapter: Path) -> None:
        """Write it beside the adapter."""
        write_json(adapter / CALIBRATION_NAME, asdict(self))


@dataclass(frozen=True)
class Confidence:
    """How likely an answer is right; without a calibration the model's own probability of it."""

    value: float
    is_calibrated: bool


def confidence_of(probability: float, calibration: Calibration | None) -> Confidence:
    """Of an answer to which the model gave this probability."""
    if calibration is None:
        return Confidence(probability, is_calibrated=False)
    return Confidence(calibration.confidence(probability), is_calibrated=True)


def fit_calibration(probabilities: Sequence[float], is_right: Sequence[bool]) -> Calibration | None:
    """The most likely slope and shift, given the priors, for answers that were not learned from; None of too few.

    Platt scaling (1999, Advances in Large Margin Classifiers 61) of the model's own log-odds. Two more rows count, one
    right and one wrong at the median, so that rows which are all right do not say "always" (the rule of succession).
    The loss is convex: there is one answer.
    """
    if len(probabilities) < MIN_ROWS:
        return None
    logits = [_logit(probability) for probability in probabilities]
    middle = float(np.median(logits))
    logits_N = np.array([*logits, middle, middle])
    signs_N = 2.0 * np.array([*is_right, True, False], dtype=np.float64) - 1

    def loss_and_gradient(parameters: FloatArray) -> tuple[float, FloatArray]:
        slope, shift = parameters
        margins_N = signs_N * (slope * logits_N + shift)
        pulls_N = -signs_N * expit(-margins_N)
        far, aside = (slope - 1) / SLOPE_SD, shift / SHIFT_SD
        gradient = np.array([pulls_N @ logits_N + far / SLOPE_SD, pulls_N.sum() + aside / SHIFT_SD])
        return float(np.logaddexp(0, -margins_N).sum() + (far**2 + aside**2) / 2), gradient

    bounds = [(MIN_SLOPE, None), (None, None)]
    found = minimize(loss_and_gradient, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return Calibration(float(found.x[0]), float(found.x[1]), len(probabilities))


def load_calibration(adapter: Path) -> Calibration | None:
    """The one beside an adapter; None where it has none.

    Raises:
        AdapterError: it is damaged.
    """
    try:
        return Calibration(**read_json(adapter / CALIBRATION_NAME))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        raise AdapterError(f"{adapter}: {CALIBRATION_NAME} is damaged. Remove it, or run the recipe again.") from None


def _logit(probability: float) -> float:
    if probability <= 0:  # less than a float can say
        return math.log(math.ulp(0.0))
    return min(math.log(probability) - math.log1p(-probability), MAX_LOGIT) if probability < 1 else MAX_LOGIT
