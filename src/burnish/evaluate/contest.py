"""An arm and what it was compared with: the words and the tests that verdict and recommendation share."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from burnish.evaluate.advice import ArmFacts
from burnish.evaluate.statistics import PairedComparison

MIN_TEST_ROWS = 30
# So many times the test rows of a run are not to be had.
OUT_OF_REACH = 100


class Outcome(StrEnum):
    """What the test rows show about the specialist against the cheaper arms."""

    BETTER = "better"
    WORSE = "worse"
    NOT_SHOWN = "not_shown"


@dataclass(frozen=True, kw_only=True)
class Rival:
    """An arm with which another was compared; p-values are adjusted for the family and the openings of the test."""

    arm: ArmFacts
    comparison: PairedComparison
    """The other arm minus this one."""
    adjusted_p: float
    """Of no difference, two-sided."""
    p_within_margin: float
    """Of this arm being worse by the margin or more, one-sided (non-inferiority)."""
    rows_needed: int | None


@dataclass(frozen=True)
class Contest:
    """An arm and those it was compared with."""

    arm: ArmFacts
    rivals: Sequence[Rival]

    @property
    def cheaper(self) -> list[Rival]:
        """The rivals that cost less, cheapest first."""
        return sorted((r for r in self.rivals if r.arm.cost_rank < self.arm.cost_rank), key=lambda r: r.arm.cost_rank)


@dataclass(frozen=True, kw_only=True)
class Standard:
    """What the verdict is held to."""

    alpha: float = 0.05
    margin: float = 0.01
    """A cheaper arm that is shown to be worse by less than this is as good. One answer in a hundred: a gain below it is
    smaller than what a test of 1,000 rows can tell from chance (Wilson: +-2.5 points at 80 %), so that nobody would
    notice it, while everybody pays for the costlier arm."""


USUAL = Standard()


def is_shown(rival: Rival, alpha: float) -> bool:
    """Whether chance alone hardly makes such a difference."""
    return rival.adjusted_p < alpha


def is_shown_worse(rival: Rival, alpha: float) -> bool:
    """Whether the rival is shown to be behind."""
    return is_shown(rival, alpha) and rival.comparison.difference.value > 0


def is_within(rival: Rival, standard: Standard) -> bool:
    """Whether the rival is shown to be behind by less than the margin, if at all."""
    return rival.p_within_margin < standard.alpha


def is_out_of_reach(rows_needed: int, num_rows: int) -> bool:
    """Whether nobody would collect so many test rows."""
    return rows_needed > OUT_OF_REACH * num_rows
