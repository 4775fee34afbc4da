"""Prediction rows for the tests of the metrics."""

from typing import Any


def rows_of(*pairs: tuple[str, str], confidences: tuple[float, ...] = ()) -> list[dict[str, Any]]:
    """A row for each (prediction, target), with its confidence where there are any."""
    rows: list[dict[str, Any]] = []
    for n, (prediction, target) in enumerate(pairs):
        is_right = float(prediction == target)
        rows.append({"id": f"t:{n}", "prompt": [{"role": "user", "content": f"question {n}"}]})
        rows[-1] |= {"prediction": prediction, "target": target, "has_ended": True}
        rows[-1] |= {"score": is_right, "numerator": is_right, "denominator": 1.0}
        if confidences:
            rows[-1]["confidence"] = confidences[n]
    return rows
