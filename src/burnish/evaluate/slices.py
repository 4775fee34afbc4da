"""Where the specialist is good and where it is not: its score, and its gain, on parts of the test rows."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from burnish.conversation import Task
from burnish.data import Example, languages
from burnish.evaluate.metrics import collect_scores
from burnish.evaluate.statistics import compare_paired, score_interval

MIN_ROWS = 5
"""Of a smaller slice nothing can be said; the rows themselves can be read."""
MAX_SLICES = 100
"""Of each kind, the largest."""
NUM_LENGTHS = 4


def slice_scores(
    candidate: Sequence[dict[str, Any]],
    baseline: Sequence[dict[str, Any]],
    examples: Sequence[Example],
    *,
    task: Task,
    confidence: float = 0.95,
    num_resamples: int = 2_000,
) -> dict[str, Any]:
    """Both arms' scores by label, length of the question, language and group, the worst slices first.

    The worst is the one whose score is at most so high: the order goes by the upper limit of the candidate's interval,
    so that five rows by bad luck do not stand before fifty that are surely bad. The limits are of each slice by
    itself; `note` says in words that many were looked at.
    """
    found = []
    for kind, names in _divisions(examples, task).items():
        for name, rows in _largest(names):
            arms = [collect_scores([arm[i] for i in rows]) for arm in (candidate, baseline)]
            limits = [score_interval(s, confidence=confidence, num_resamples=num_resamples).to_dict() for s in arms]
            paired = compare_paired(*arms, confidence=confidence, num_resamples=num_resamples)
            found.append(
                {
                    "kind": kind,
                    "name": name,
                    "num_rows": len(rows),
                    "candidate": limits[0],
                    "baseline": limits[1],
                    "difference": paired.difference.to_dict(),
                    "num_wins": paired.num_wins,
                    "num_losses": paired.num_losses,
                }
            )
    return {"note": _note(len(found), confidence), "slices": sorted(found, key=_badness)}


def _divisions(examples: Sequence[Example], task: Task) -> dict[str, list[str | None]]:
    """For each kind the slice of each row, None for no slice; kinds that do not divide the rows are left out."""
    asked = [example.asked for example in examples]
    kinds: dict[str, list[str | None]] = {
        "label": [example.target if task is Task.CLASSIFICATION else None for example in examples],
        "length": _lengths(asked),
        "language": languages(asked),
        "group": [example.group for example in examples],
    }
    return {kind: names for kind, names in kinds.items() if len({*names} - {None}) > 1}


def _lengths(asked: Sequence[str]) -> list[str | None]:
    """The quarter of the rows to which each question belongs by its length in characters; equal lengths together."""
    lengths_N = np.array([len(text) for text in asked])
    cuts = np.unique(np.quantile(lengths_N, np.linspace(0, 1, NUM_LENGTHS + 1), method="lower"))
    edges = [*cuts[:-1], int(lengths_N.max()) + 1]
    names: list[str | None] = [None] * len(asked)
    for low, high in pairwise(edges):
        inside = np.flatnonzero((lengths_N >= low) & (lengths_N < high))
        for i in inside:
            names[i] = f"{lengths_N[inside].min()} to {lengths_N[inside].max()} characters"
    return names


def _largest(names: Sequence[str | None]) -> list[tuple[str, list[int]]]:
    """The slices of a kind with their rows, without those that are too small."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        if name is not None:
            rows_of[name].append(i)
    slices = sorted(rows_of.items(), key=lambda part: (-len(part[1]), part[0]))
    return [part for part in slices[:MAX_SLICES] if len(part[1]) >= MIN_ROWS]


def _badness(part: dict[str, Any]) -> tuple[bool, float, float]:
    high, value = part["candidate"]["high"], part["candidate"]["value"]
    return (high is None, high or 0.0, value or 0.0)


def _note(num_slices: int, confidence: float) -> str:
    return (
        f"For looking, not for proof: of {num_slices} slices about 1 in {1 / (1 - confidence):.0f} has an interval of the "
        "difference that leaves out 0 by chance alone."
    )
