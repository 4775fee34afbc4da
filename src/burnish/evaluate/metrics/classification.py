"""Labels: what each is worth, and which are taken for which."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from burnish.evaluate.metrics.confidence import measure_calibration, risk_coverage

MAX_MATRIX_LABELS = 30
"""With more labels a matrix is too large to be looked at."""
NUM_WORST_PAIRS = 30


def measure_labels(
    rows: Sequence[dict[str, Any]], validation: Sequence[dict[str, Any]] = (), *, confidence: float = 0.95
) -> dict[str, Any]:
    """An arm's prediction rows as labels; `validation` are rows to choose thresholds on, if there are any.

    `macro_f1` is the mean of the labels' F1, whether or not they are frequent: the "averaged F1" of Opitz & Burst
    2019 (arXiv 1911.03347), over the labels of the targets and of the predictions, as scikit-learn has it.
    """
    labels = label_table(rows)
    return {
        "macro_f1": sum(label["f1"] for label in labels) / len(labels) if labels else None,
        "labels": labels,
        "confusion": confusion(rows),
        "calibration": measure_calibration(rows),
        "risk_coverage": risk_coverage(rows, validation, confidence=confidence),
    }


def label_table(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each label that is wanted or predicted; a share of no rows is None.

    F1 = 2 * right / (wanted + predicted), the harmonic mean of both (van Rijsbergen 1979, ch. 7).
    """
    wanted, predicted = (Counter(row[key] for row in rows) for key in ("target", "prediction"))
    right = Counter(row["target"] for row in rows if row["prediction"] == row["target"])
    return [
        {
            "name": name,
            "precision": right[name] / predicted[name] if predicted[name] else None,
            "recall": right[name] / wanted[name] if wanted[name] else None,
            "f1": 2 * right[name] / (wanted[name] + predicted[name]),
            "num_rows": wanted[name],
            "num_predicted": predicted[name],
        }
        for name in sorted(wanted | predicted)
    ]


def confusion(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How often each label was answered where each was wanted.

    `matrix[i][j]` counts the rows that want `labels[i]` and got `labels[j]`; None with more than 30 labels.
    `worst_pairs` are the most frequent mistakes, with their share of the rows that want the target.
    """
    wanted = Counter(row["target"] for row in rows)
    pairs = Counter((row["target"], row["prediction"]) for row in rows)
    labels = sorted({label for pair in pairs for label in pair})
    mistakes = [(count, pair) for pair, count in pairs.items() if pair[0] != pair[1]]
    mistakes.sort(key=lambda mistake: (-mistake[0], mistake[1]))
    is_small = len(labels) <= MAX_MATRIX_LABELS
    return {
        "labels": labels,
        "matrix": [[pairs[target, answer] for answer in labels] for target in labels] if is_small else None,
        "worst_pairs": [
            {"target": target, "prediction": answer, "num_rows": count, "share_of_target": count / wanted[target]}
            for count, (target, answer) in mistakes[:NUM_WORST_PAIRS]
        ],
    }
