"""Will more data help? The score at growing numbers of rows, what it says about more of them, and which are missing."""

from burnish.evaluate.more_data.curve import (
    Curve,
    CurvePoint,
    ScoreRows,
    measure_curve,
    nested_subsets,
    score_embeddings,
)
from burnish.evaluate.more_data.forecast import Forecast, Outlook, forecast_gain
from burnish.evaluate.more_data.weak_spots import WeakSpot, find_weak_spots

__all__ = [
    "Curve",
    "CurvePoint",
    "Forecast",
    "Outlook",
    "ScoreRows",
    "WeakSpot",
    "find_weak_spots",
    "forecast_gain",
    "measure_curve",
    "nested_subsets",
    "score_embeddings",
]
