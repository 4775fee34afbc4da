"""Is an arm good enough? Its score, with an interval of its own, against the score that is needed."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from burnish.evaluate.advice import ArmFacts
from burnish.evaluate.contest import MIN_TEST_ROWS, is_out_of_reach
from burnish.evaluate.statistics import ConfidenceInterval


class Reach(StrEnum):
    """Where the score lies beside the target."""

    REACHED = "reached"
    """The whole interval is at or above it."""
    NOT_REACHED = "not_reached"
    """The whole interval is below it."""
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, kw_only=True)
class Target:
    """The score that is needed, and whether an arm reaches it."""

    value: float
    arm: ArmFacts
    reach: Reach
    score: ConfidenceInterval
    """Its level is corrected for repeated openings of the test."""
    rows_needed: int | None
    """Test rows that would tell, if the score stayed; None where it is told, or where hardly any number would."""
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """As it stands in evaluation.json."""
        return {
            "value": self.value,
            "arm": self.arm.name,
            "reach": self.reach.value,
            "score": self.score.to_dict(),
            "rows_needed": self.rows_needed,
            "sentence": self.sentence,
        }


def judge_target(value: float, arm: ArmFacts, score: ConfidenceInterval, *, metric: str, num_rows: int) -> Target:
    """Whether `arm` reaches the target; below the least number of test rows of a verdict nothing is told."""
    reach, rows_needed = _reach(value, score, num_rows), None
    if reach is Reach.CANNOT_TELL:
        rows_needed = _rows_needed(value, score, num_rows)
    sentence = _spell(reach, value, arm, score, metric, num_rows, rows_needed)
    return Target(value=value, arm=arm, reach=reach, score=score, rows_needed=rows_needed, sentence=sentence)


def spell_reach(target: Target) -> str:
    """In a few words: "The specialist reaches the target of 50"."""
    aim = f"the target of {spell_target(target.value)}"
    return {
        Reach.REACHED: f"The {target.arm} reaches {aim}",
        Reach.NOT_REACHED: f"The {target.arm} does not reach {aim}",
        Reach.CANNOT_TELL: f"The test cannot tell whether the {target.arm} reaches {aim}",
    }[target.reach]


def spell_target(value: float) -> str:
    """In points of 100: "82.5"."""
    return f"{100 * value:.6g}"


def _reach(value: float, score: ConfidenceInterval, num_rows: int) -> Reach:
    # An interval without width comes of rows that do not vary, and bounds nothing.
    if num_rows < MIN_TEST_ROWS or not score.high > score.low:
        return Reach.CANNOT_TELL
    if score.low >= value:
        return Reach.REACHED
    return Reach.NOT_REACHED if score.high < value else Reach.CANNOT_TELL


def _rows_needed(value: float, score: ConfidenceInterval, num_rows: int) -> int | None:
    """An interval narrows with the square root of the rows."""
    if num_rows < MIN_TEST_ROWS:
        return MIN_TEST_ROWS
    gap, side = abs(score.value - value), score.low if score.value >= value else score.high
    if not gap > 0 or not score.high > score.low:
        return None
    needed = math.ceil(num_rows * (abs(score.value - side) / gap) ** 2)
    return None if is_out_of_reach(needed, num_rows) else max(needed, num_rows + 1)


def _spell(
    reach: Reach,
    value: float,
    arm: ArmFacts,
    score: ConfidenceInterval,
    metric: str,
    num_rows: int,
    rows_needed: int | None,
) -> str:
    if math.isnan(score.value):
        return f"The {arm} has no score to hold against the target of {spell_target(value)}."
    interval = f"{100 * score.confidence:.4g}% interval {100 * score.low:.1f} to {100 * score.high:.1f}"
    found = f"it scores {100 * score.value:.1f} {metric} ({interval})"
    told = spell_reach(Target(value=value, arm=arm, reach=reach, score=score, rows_needed=None, sentence=""))
    if reach is not Reach.CANNOT_TELL:
        return f"{told}: {found}."
    if num_rows < MIN_TEST_ROWS:
        return f"{told}: {num_rows} test rows are too few, at least {MIN_TEST_ROWS} are needed."
    if not score.high > score.low:
        return f"{told}: all test rows score alike, which says nothing of others."
    if rows_needed is None:
        return f"{told}: {found}, and more test rows would hardly tell."
    return f"{told}: {found}. About {rows_needed:,} test rows would, if the score stayed."
