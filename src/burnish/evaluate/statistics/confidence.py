"""What every interval is: a value and its limits."""

import math
from dataclasses import dataclass

from scipy import special  # type: ignore[import-untyped,unused-ignore]


@dataclass(frozen=True, kw_only=True)
class ConfidenceInterval:
    """A measured value with the limits that `method` gives it; NaN where nothing could be measured."""

    value: float
    low: float
    high: float
    confidence: float
    method: str

    def to_dict(self) -> dict[str, float | str | None]:
        """The fields as JSON values; what is not finite becomes None, "not measured"."""
        limits = {"value": self.value, "low": self.low, "high": self.high}
        values = {name: number if math.isfinite(number) else None for name, number in limits.items()}
        return {**values, "confidence": self.confidence, "method": self.method}


def undefined_interval(confidence: float, method: str) -> ConfidenceInterval:
    """The interval of a score whose denominators sum to 0."""
    reason = f"{method} (not defined: the denominators sum to 0)"
    return ConfidenceInterval(value=math.nan, low=math.nan, high=math.nan, confidence=confidence, method=reason)


def normal_quantile(confidence: float) -> float:
    """How many standard errors to each side; 1.96 for 0.95.

    Raises:
        ValueError: `confidence` does not lie between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1; found {confidence}.")
    return float(special.ndtri((1 + confidence) / 2))
