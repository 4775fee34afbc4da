"""Where the specialist is good and where it is not: its score, and its gain, on parts of the test rows."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from burnish.conversation import Task
from burnish.data import Example, languages
from burnish.evaluate.metrics import collect_scores
from burnish.evaluate.statistics import compare_paired, holm, score_interval

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
    itself; `note` says in words that many were looked at, and `p_value_adjusted` (Holm over all slices) allows for it.
    """
    found: list[dict[str, Any]] = []
    for kind, parts in _divisions(examples, task).items():
        for name, rows in parts:
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
                    "p_value": paired.p_value,
                }
            )
    for part, p_value in zip(found, holm([part["p_value"] for part in found]), strict=True):
        part["p_value_adjusted"] = p_value
    return {"note": _note(len(found), confidence), "slices": sorted(found, key=_badness)}


def _divisions(examples: Sequence[Example], task: Task) -> dict[str, list[tuple[str, list[int]]]]:
    """For each kind its slices with their rows; a kind of a single slice divides nothing and is left out."""
    asked = [example.asked for example in examples]
    names: dict[str, Sequence[str | None]] = {
        "label": [example.target for example in examples] if task is Task.CLASSIFICATION else [],
        "length": _lengths(asked),
        "language": languages(asked),
        "group": [example.group for example in examples],
    }
    divisions = {kind: _largest(of_rows) for kind, of_rows in names.items()}
    return {kind: parts for kind, parts in divisions.items() if len(parts) > 1}


def _lengths(asked: Sequence[str]) -> list[str]:
    """The quarter of the rows to which each question belongs by its length in characters; equal lengths together."""
    lengths_N = np.array([len(text) for text in asked])
    quarters_N = np.searchsorted(np.sort(lengths_N), lengths_N) * NUM_LENGTHS // len(asked)
    names = {}
    for quarter in np.unique(quarters_N):
        inside = lengths_N[quarters_N == quarter]
        names[quarter] = f"{inside.min()} to {inside.max()} characters"
    return [names[quarter] for quarter in quarters_N]


def _largest(names: Sequence[str | None]) -> list[tuple[str, list[int]]]:
    """The slices of a kind, by the name of each row's slice; None is in none, and too small ones are left out."""
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
        f"For looking, not for proof: of {num_slices} slices about 1 in {1 / (1 - confidence):.0f} has an interval of "
        "the difference that leaves out 0 by chance alone."
    )
