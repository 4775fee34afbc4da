"""Comparisons -> a verdict with its reasons: what the specialist is worth, and which arm to use."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.evaluate.advice import advise
from burnish.evaluate.contest import (
    MIN_TEST_ROWS,
    USUAL,
    Contest,
    Outcome,
    Rival,
    Standard,
    is_out_of_reach,
    is_shown,
    is_shown_worse,
)
from burnish.evaluate.recommendation import Choice, Forgetting, Recommendation, recommend
from burnish.evaluate.target import Reach, Target, spell_reach


@dataclass(frozen=True)
class Verdict:
    """The outcome, in one sentence and in full."""

    outcome: Outcome
    headline: str
    reasons: list[str]
    rows_needed: int | None
    """Test rows that would show an effect of the observed size; None where it is shown, none was seen, or they are
    too many to be had."""
    recommendation: Recommendation = Recommendation.CANNOT_TELL
    recommended_arm: str | None = None
    """The name of the arm to use; None where the evidence names none."""
    advice: str = ""
    """Prompt, retrieval or fine-tuning: a paragraph of measured numbers."""
    target: Target | None = None
    """Whether the arm to use, else the specialist, is good enough; None where nobody said what is."""


def judge(
    contest: Contest,
    *,
    leader: Contest | None = None,
    metric: str,
    num_rows: int,
    forgetting: Forgetting,
    data_errors: Sequence[str] = (),
    targets: Mapping[str, Target] = {},
    standard: Standard = USUAL,
) -> Verdict:
    """The verdict on `contest.arm`, the specialist.

    Outcome: better if it is shown to beat every cheaper arm, worse if one is shown to beat it, else not shown.

    The arm to use is the cheapest that is not worse: one that is shown to be within the margin, or one that is not
    shown to be worse at all, because the burden of proof is on what costs more. `leader`, the arm with the best score
    where that is not the specialist, takes the specialist's place in this. `targets` says of each arm, by name,
    whether it reaches the score that is needed; it is empty where nobody set one.

    Ship: the specialist, or a costlier form of it, is the arm to use, forgot no more than the budget and reaches the
    target. Needs target: the same without a target. Do not ship: a cheaper arm is better or within the margin, or too
    much was forgotten, or the target is not reached. Cannot tell: anything else, with the arm to use until more is
    known.
    """
    outcome, headline, rows_needed = _outcome(contest, metric, num_rows, standard.alpha)
    reasons = [_reason(rival, metric, num_rows, standard.alpha) for rival in contest.rivals]
    choice = recommend(
        contest,
        leader,
        outcome,
        num_rows=num_rows,
        forgetting=forgetting,
        data_errors=data_errors,
        targets=targets,
        standard=standard,
    )
    name = choice.arm.name if choice.arm else None
    advice = advise(
        [contest.arm, *(rival.arm for rival in contest.rivals)],
        recommended=name,
        barred=contest.arm.name if choice.arm is None and forgetting.is_over_budget else None,
        falls_short=choice.target is not None and choice.target.reach is Reach.NOT_REACHED,
        metric=metric,
        num_rows=num_rows,
    )
    return Verdict(
        outcome,
        " ".join(filter(None, (headline, _spell_enough(choice)))),
        [*reasons, *choice.reasons],
        rows_needed,
        choice.recommendation,
        name,
        advice,
        choice.target,
    )


def _outcome(contest: Contest, metric: str, num_rows: int, alpha: float) -> tuple[Outcome, str, int | None]:
    """With the headline and the test rows that would show more."""
    opponents = contest.cheaper
    if not opponents:
        return Outcome.NOT_SHOWN, "Nothing was compared: the run has no baseline arm.", None
    if num_rows < MIN_TEST_ROWS:
        headline = f"With {num_rows} test rows no verdict is given; at least {MIN_TEST_ROWS} are needed."
        return Outcome.NOT_SHOWN, headline, MIN_TEST_ROWS
    if math.isnan(contest.arm.score):
        return Outcome.NOT_SHOWN, f"The {contest.arm} has no score: there was nothing to find in the test rows.", None
    losses = [o for o in opponents if is_shown(o, alpha) and o.comparison.difference.value < 0]
    wins = [o for o in opponents if is_shown_worse(o, alpha)]
    scores = f"{100 * contest.arm.score:.1f} {metric} against"
    if losses:
        worst = max(losses, key=lambda o: o.arm.score)
        headline = f"The {contest.arm} is worse: {scores} {100 * worst.arm.score:.1f} for the {worst.arm}."
        return Outcome.WORSE, headline, None
    best = max(opponents, key=lambda o: o.arm.score).arm
    if len(wins) == len(opponents):
        against = f"{scores} {100 * best.score:.1f} for the best of them"
        return Outcome.BETTER, f"The {contest.arm} is better than every simpler way: {against}.", None
    needed = [o.rows_needed for o in opponents if o not in wins and o.rows_needed and o.rows_needed > num_rows]
    most = max(needed, default=None)
    headline = f"No difference is shown: {scores} {100 * best.score:.1f} for the best baseline."
    return Outcome.NOT_SHOWN, headline, None if most and is_out_of_reach(most, num_rows) else most


def _spell_enough(choice: Choice) -> str:
    """Whether what is to be used is good enough; a question to the reader where nobody said what is."""
    if choice.target is not None:
        return f"{spell_reach(choice.target)}."
    if choice.recommendation is not Recommendation.NEEDS_TARGET or choice.arm is None:
        return ""
    return f"Is {100 * choice.arm.score:.1f} of 100 good enough for you? Set evaluate.target."


def _reason(rival: Rival, metric: str, num_rows: int, alpha: float) -> str:
    comparison, gap = rival.comparison, rival.comparison.difference
    if math.isnan(gap.value):
        return f"Against the {rival.arm}: not to be told, as one of the two has no score."
    points = f"{100 * gap.value:+.1f} points of {metric}"
    interval = f"{gap.confidence:.0%} interval {100 * gap.low:+.1f} to {100 * gap.high:+.1f}"
    p = "p < 0.001" if rival.adjusted_p < 0.001 else f"p = {rival.adjusted_p:.3f}"
    counts = f"{comparison.num_wins} of {num_rows} rows became better, {comparison.num_losses} worse"
    text = f"Against the {rival.arm}: {points} ({interval}; {p}); {counts}."
    if is_shown(rival, alpha):
        return text
    if rival.rows_needed and is_out_of_reach(rival.rows_needed, num_rows):
        return f"{text} That is within chance, and so little that more test rows would hardly show it."
    if rival.rows_needed and rival.rows_needed > num_rows:
        return f"{text} That is within chance; about {rival.rows_needed:,} test rows would show such a difference."
    return f"{text} That is within chance."
