"""Comparisons -> a verdict with its reasons: better, worse, or not shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from burnish.evaluate.statistics import PairedComparison


class Outcome(StrEnum):
    """What the test rows show about the specialist against the baselines."""

    BETTER = "better"
    WORSE = "worse"
    NOT_SHOWN = "not_shown"


@dataclass(frozen=True)
class Opponent:
    """A baseline and how the specialist compares with it; `adjusted_p` is Holm's over the family."""

    title: str
    score: float
    comparison: PairedComparison
    adjusted_p: float
    rows_needed: int | None


@dataclass(frozen=True)
class Verdict:
    """The outcome, in one sentence and in full."""

    outcome: Outcome
    headline: str
    reasons: list[str]
    rows_needed: int | None
    """Test rows that would show an effect of the observed size; None where it is shown, none was seen, or they are
    too many to be had."""


MIN_TEST_ROWS = 30
# So many times the test rows of a run are not to be had.
OUT_OF_REACH = 100


def judge(
    opponents: Sequence[Opponent], *, specialist_score: float, metric: str, num_rows: int, alpha: float
) -> Verdict:
    """Better: shown against every baseline. Worse: shown against at least one. Else not shown."""
    if not opponents:
        return Verdict(Outcome.NOT_SHOWN, "Nothing was compared: the run has no baseline arm.", [], None)
    reasons = [_reason(opponent, metric, num_rows, alpha) for opponent in opponents]
    losses = [o for o in opponents if _is_shown(o, alpha) and o.comparison.difference.value < 0]
    wins = [o for o in opponents if _is_shown(o, alpha) and o.comparison.difference.value > 0]
    scores = f"{100 * specialist_score:.1f} {metric} against"
    if num_rows < MIN_TEST_ROWS:
        headline = f"With {num_rows} test rows no verdict is given; at least {MIN_TEST_ROWS} are needed."
        return Verdict(Outcome.NOT_SHOWN, headline, reasons, MIN_TEST_ROWS)
    if losses:
        worst = max(losses, key=lambda o: o.score)
        headline = f"The specialist is worse: {scores} {100 * worst.score:.1f} for the {worst.title.lower()}."
        return Verdict(Outcome.WORSE, headline, reasons, None)
    best = max(opponents, key=lambda o: o.score)
    if len(wins) == len(opponents):
        headline = f"The specialist is better: {scores} {100 * best.score:.1f} for the best baseline."
        return Verdict(Outcome.BETTER, headline, reasons, None)
    needed = [o.rows_needed for o in opponents if o not in wins and o.rows_needed and o.rows_needed > num_rows]
    headline = f"No difference is shown: {scores} {100 * best.score:.1f} for the best baseline."
    most = max(needed, default=None)
    return Verdict(Outcome.NOT_SHOWN, headline, reasons, None if most and _is_out_of_reach(most, num_rows) else most)


def _is_shown(opponent: Opponent, alpha: float) -> bool:
    return opponent.adjusted_p < alpha


def _is_out_of_reach(rows_needed: int, num_rows: int) -> bool:
    return rows_needed > OUT_OF_REACH * num_rows


def _reason(opponent: Opponent, metric: str, num_rows: int, alpha: float) -> str:
    comparison, gap = opponent.comparison, opponent.comparison.difference
    points = f"{100 * gap.value:+.1f} points of {metric}"
    interval = f"{gap.confidence:.0%} interval {100 * gap.low:+.1f} to {100 * gap.high:+.1f}"
    p = "p < 0.001" if opponent.adjusted_p < 0.001 else f"p = {opponent.adjusted_p:.3f}"
    counts = f"{comparison.num_wins} of {num_rows} rows became better, {comparison.num_losses} worse"
    text = f"Against the {opponent.title.lower()}: {points} ({interval}; {p}); {counts}."
    if _is_shown(opponent, alpha):
        return text
    if opponent.rows_needed and _is_out_of_reach(opponent.rows_needed, num_rows):
        return f"{text} That is within chance, and so little that more test rows would hardly show it."
    if opponent.rows_needed and opponent.rows_needed > num_rows:
        return f"{text} That is within chance; about {opponent.rows_needed:,} test rows would show such a difference."
    return f"{text} That is within chance."
