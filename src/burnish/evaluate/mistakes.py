"""Which rows to read: those that training mended or broke, and those that are still the worst."""

from collections.abc import Sequence
from typing import Any

NUM_LISTED = 20


def list_changes(candidate: Sequence[dict[str, Any]], baseline: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """The ids of the rows that differ between two arms, which answered the same rows in the same order.

    `fixed` went from wrong to right and `broken` from right to wrong, where right is the full score. `risen` and
    `fallen` are the 20 largest changes of the score, the largest first: for graded scores the more telling ones.
    """
    pairs = list(zip(candidate, baseline, strict=True))
    worst_first = sorted(pairs, key=_gain)  # stable: equal changes stay in the order of the rows
    best_first = sorted(pairs, key=_gain, reverse=True)
    return {
        "fixed": [new["id"] for new, old in pairs if new["score"] == 1 > old["score"]],
        "broken": [new["id"] for new, old in pairs if new["score"] < 1 == old["score"]],
        "risen": [pair[0]["id"] for pair in best_first[:NUM_LISTED] if _gain(pair) > 0],
        "fallen": [pair[0]["id"] for pair in worst_first[:NUM_LISTED] if _gain(pair) < 0],
    }


def list_worst(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The 20 worst rows that are not wholly right: the lowest score first, then the most confident."""
    wrong = [row for row in rows if row["score"] < 1]
    wrong.sort(key=lambda row: (row["score"], -(row.get("confidence") or 0.0)))
    return [{"id": row["id"], "score": row["score"], "confidence": row.get("confidence")} for row in wrong[:NUM_LISTED]]


def _gain(pair: tuple[dict[str, Any], dict[str, Any]]) -> float:
    return float(pair[0]["score"] - pair[1]["score"])
