"""May the specialist take the place of the model whose answers were recorded? Non-inferiority, in words."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from burnish.evaluate.advice import ArmFacts
from burnish.evaluate.contest import MIN_TEST_ROWS, Rival
from burnish.evaluate.statistics import PairedComparison

DEFAULT_MARGIN = 0.02
"""Two answers in a hundred. Wider than the margin within which a cheaper arm is preferred: here the arm that is to be
replaced is often no longer to be had, and a narrower margin takes more test rows than most teams hold."""


class Standing(StrEnum):
    """What the test rows show of the specialist beside the recorded model."""

    BETTER = "better"
    AS_GOOD = "as_good"
    """Worse by less than the margin, if at all."""
    NOT_SHOWN = "not_shown"
    WORSE = "worse"


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """The answer, with what it rests on."""

    candidate: str
    replaced: str
    margin: float
    standing: Standing
    comparison: PairedComparison
    p_worse_by_margin: float
    """Of the candidate being worse by the margin or more, one-sided; adjusted for openings of the test."""
    p_differs: float
    """Of no difference, two-sided; adjusted in the same way."""
    sentence: str

    @property
    def is_shown(self) -> bool:
        """Whether the candidate may take the place."""
        return self.standing in (Standing.BETTER, Standing.AS_GOOD)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in evaluation.json; the comparison stands with the others."""
        return {
            "candidate": self.candidate,
            "replaced": self.replaced,
            "margin": self.margin,
            "standing": self.standing.value,
            "is_shown": self.is_shown,
            "p_value": self.p_worse_by_margin,
            "sentence": self.sentence,
        }


def judge_replacement(
    candidate: ArmFacts,
    replaced: Rival,
    *,
    p_worse_by_margin: float,
    margin: float,
    metric: str,
    num_rows: int,
    alpha: float,
) -> Replacement:
    """Held to half of `alpha`, one side of the interval that stands beside it (as ICH E9 has it for non-inferiority).

    Below the least number of test rows of a verdict nothing is shown.
    """
    difference = replaced.comparison.difference
    standing = Standing.NOT_SHOWN
    if num_rows >= MIN_TEST_ROWS:
        differs = replaced.adjusted_p < alpha
        if p_worse_by_margin < alpha / 2:
            standing = Standing.BETTER if differs and difference.value > 0 else Standing.AS_GOOD
        elif differs and difference.value < 0:
            standing = Standing.WORSE
    scores = f"{100 * candidate.score:.1f} {metric} against {100 * replaced.arm.score:.1f}"
    if not math.isnan(difference.low):
        low, high = 100 * difference.low, 100 * difference.high
        scores += f" ({difference.confidence:.0%} interval of the difference {low:+.1f} to {high:+.1f})"
    if num_rows < MIN_TEST_ROWS:
        scores += f"; {num_rows} test rows are too few, at least {MIN_TEST_ROWS} are needed"
    return Replacement(
        candidate=candidate.name,
        replaced=replaced.arm.name,
        margin=margin,
        standing=standing,
        comparison=replaced.comparison,
        p_worse_by_margin=p_worse_by_margin,
        p_differs=replaced.adjusted_p,
        sentence=f"{_spell(standing, candidate, replaced.arm, spell_margin(margin))}: {scores}.",
    )


def spell_margin(margin: float) -> str:
    """In points of the score: "2 points"."""
    points = f"{100 * margin:g}"
    return f"{points} point" + ("" if points == "1" else "s")


def _spell(standing: Standing, candidate: ArmFacts, replaced: ArmFacts, points: str) -> str:
    at_most = f"at most {points} worse than the {replaced}"
    return {
        Standing.BETTER: f"The {candidate} is shown to be better than the {replaced}",
        Standing.AS_GOOD: f"The {candidate} is shown to be {at_most}",
        Standing.NOT_SHOWN: f"The {candidate} is not shown to be {at_most}",
        Standing.WORSE: f"The {candidate} is shown to be worse than the {replaced}, and not shown to be {at_most}",
    }[standing]
