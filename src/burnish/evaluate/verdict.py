"""Comparisons -> a verdict with its reasons: what the specialist is worth, and which arm to use."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from burnish.evaluate.advice import ArmFacts, Way, advise, spell_cost
from burnish.evaluate.statistics import PairedComparison


class Outcome(StrEnum):
    """What the test rows show about the specialist against the cheaper arms."""

    BETTER = "better"
    WORSE = "worse"
    NOT_SHOWN = "not_shown"


class Recommendation(StrEnum):
    """What to do with the specialist, once outcome, cost, forgetting and data are joined."""

    SHIP = "ship"
    DO_NOT_SHIP = "do_not_ship"
    CANNOT_TELL = "cannot_tell"


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


@dataclass(frozen=True)
class Forgetting:
    """The rise of the loss on general text, nats per token: its upper confidence limit, None where not measured."""

    upper: float | None = None
    budget: float | None = None
    """None: the user set no budget, so forgetting does not count."""
    scale: float = 1.0
    """What the adapter was multiplied with to keep the budget."""
    task_kept: float | None = None
    """What that left of the task's score, on validation rows; None where it is not known."""

    @property
    def costs_the_task(self) -> bool:
        """Whether budget and task cannot both be kept."""
        return self.task_kept is not None and self.task_kept < MIN_TASK_KEPT


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


@dataclass(frozen=True, kw_only=True)
class Standard:
    """What the verdict is held to."""

    alpha: float = 0.05
    margin: float = 0.01
    """A cheaper arm that is shown to be worse by less than this is as good. One answer in a hundred: a gain below it is
    smaller than what a test of 1,000 rows can tell from chance (Wilson: +-2.5 points at 80 %), so that nobody would
    notice it, while everybody pays for the costlier arm."""


MIN_TEST_ROWS = 30
MIN_TASK_KEPT = 0.95
"""Of the task's score without a budget; below it the two cannot be had together."""
# So many times the test rows of a run are not to be had.
OUT_OF_REACH = 100


def judge(
    contest: Contest,
    *,
    leader: Contest | None = None,
    metric: str,
    num_rows: int,
    forgetting: Forgetting,
    data_errors: Sequence[str] = (),
    standard: Standard = Standard(),
) -> Verdict:
    """The verdict on `contest.arm`, the specialist.

    Outcome: better if it is shown to beat every cheaper arm, worse if one is shown to beat it, else not shown.

    The arm to use is the cheapest that is not worse: one that is shown to be within the margin, or one that is not
    shown to be worse at all, because the burden of proof is on what costs more. `leader`, the arm with the best score
    where that is not the specialist, takes the specialist's place in this. Ship: the specialist, or a costlier form of
    it, is the arm to use and forgot no more than the budget. Do not ship: a cheaper arm is better or within the margin,
    or too much was forgotten. Cannot tell: anything else, with the arm to use until more is known.
    """
    outcome, headline, rows_needed = _outcome(contest, metric, num_rows, standard.alpha)
    reasons = [_reason(rival, metric, num_rows, standard.alpha) for rival in contest.rivals]
    recommendation, arm, why = _recommend(contest, leader, outcome, num_rows, forgetting, data_errors, standard)
    everybody = [contest.arm, *(rival.arm for rival in contest.rivals)]
    name = arm.name if arm else None
    has_forgotten = recommendation is Recommendation.DO_NOT_SHIP and arm is None
    advice = advise(
        everybody,
        recommended=name,
        barred=contest.arm.name if has_forgotten else None,
        metric=metric,
        num_rows=num_rows,
    )
    if forgetting.costs_the_task and forgetting.budget is not None:
        why.append(_cannot_keep_both(forgetting))
    return Verdict(outcome, headline, [*reasons, *why], rows_needed, recommendation, name, advice)


def _outcome(contest: Contest, metric: str, num_rows: int, alpha: float) -> tuple[Outcome, str, int | None]:
    """With the headline and the test rows that would show more."""
    opponents = contest.cheaper
    if not opponents:
        return Outcome.NOT_SHOWN, "Nothing was compared: the run has no baseline arm.", None
    if num_rows < MIN_TEST_ROWS:
        headline = f"With {num_rows} test rows no verdict is given; at least {MIN_TEST_ROWS} are needed."
        return Outcome.NOT_SHOWN, headline, MIN_TEST_ROWS
    losses = [o for o in opponents if _is_shown(o, alpha) and o.comparison.difference.value < 0]
    wins = [o for o in opponents if _is_shown_worse(o, alpha)]
    scores = f"{100 * contest.arm.score:.1f} {metric} against"
    if losses:
        worst = max(losses, key=lambda o: o.arm.score)
        headline = f"The {contest.arm} is worse: {scores} {100 * worst.arm.score:.1f} for the {worst.arm}."
        return Outcome.WORSE, headline, None
    best = max(opponents, key=lambda o: o.arm.score).arm
    if len(wins) == len(opponents):
        headline = f"The {contest.arm} is better: {scores} {100 * best.score:.1f} for the best baseline."
        return Outcome.BETTER, headline, None
    needed = [o.rows_needed for o in opponents if o not in wins and o.rows_needed and o.rows_needed > num_rows]
    most = max(needed, default=None)
    headline = f"No difference is shown: {scores} {100 * best.score:.1f} for the best baseline."
    return Outcome.NOT_SHOWN, headline, None if most and _is_out_of_reach(most, num_rows) else most


def _recommend(
    contest: Contest,
    leader: Contest | None,
    outcome: Outcome,
    num_rows: int,
    forgetting: Forgetting,
    data_errors: Sequence[str],
    standard: Standard,
) -> tuple[Recommendation, ArmFacts | None, list[str]]:
    """With the arm to use, and why."""
    if data_errors:
        return Recommendation.CANNOT_TELL, None, list(data_errors)
    if not contest.cheaper:
        why = f"No simpler way was measured, so nothing says whether the {contest.arm} is needed."
        return Recommendation.CANNOT_TELL, None, [why]
    if num_rows < MIN_TEST_ROWS:
        return Recommendation.CANNOT_TELL, None, [f"{num_rows} test rows are too few to choose an arm by."]
    # An arm that leads without being the specialist is no reason to leave a specialist that has beaten all the others.
    leading = leader if leader and outcome is not Outcome.BETTER else contest
    simpler = [r for r in leading.cheaper if r.arm.name != contest.arm.name]
    if good := [r for r in simpler if _is_within(r, standard) or not _is_shown_worse(r, standard.alpha)]:
        is_settled = outcome is Outcome.WORSE or any(_is_within(r, standard) for r in contest.cheaper)
        recommendation = Recommendation.DO_NOT_SHIP if is_settled else Recommendation.CANNOT_TELL
        return recommendation, good[0].arm, [_why_simpler(good[0], leading.arm, standard)]
    if leading.arm.cost_rank < contest.arm.cost_rank:
        why = f"A simpler way, the {leading.arm}, has the best score: use it; {spell_cost(leading.arm)}."
        recommendation = Recommendation.DO_NOT_SHIP if outcome is Outcome.WORSE else Recommendation.CANNOT_TELL
        return recommendation, leading.arm, [why]
    return _unless_it_forgot(_best_form(leading, standard.alpha), forgetting)


def _why_simpler(rival: Rival, arm: ArmFacts, standard: Standard) -> str:
    costs = f"{spell_cost(rival.arm)}; of the {arm}: {spell_cost(arm)}"
    if _is_within(rival, standard):
        points = f"{100 * standard.margin:g} point" + ("" if standard.margin == 0.01 else "s")
        shown = f"is shown to be less than {points} worse than the {arm}: use it"
    else:
        shown = f"is not shown to be worse than the {arm}: use it, unless more test rows say otherwise"
    return f"A simpler way, the {rival.arm}, {shown}; {costs}."


def _best_form(contest: Contest, alpha: float) -> ArmFacts:
    """The arm, or the best of the costlier ones that are shown to beat it, such as its own constrained form."""
    costlier = [r for r in contest.rivals if r.arm.cost_rank >= contest.arm.cost_rank and _is_shown(r, alpha)]
    better = [r.arm for r in costlier if r.comparison.difference.value < 0]
    return max(better, key=lambda arm: arm.score, default=contest.arm)


def _unless_it_forgot(arm: ArmFacts, forgetting: Forgetting) -> tuple[Recommendation, ArmFacts | None, list[str]]:
    why = f"The {arm} is shown to be better than every simpler way; {spell_cost(arm)}."
    if arm.way is Way.CLASSIFIER:
        return Recommendation.SHIP, arm, [f"{why} It writes no text, so there is nothing to forget."]
    if forgetting.budget is None:
        return Recommendation.SHIP, arm, [f"{why} What it forgot does not count: retention.budget is off."]
    budget = f"the budget of {forgetting.budget:g} nats per token"
    if forgetting.upper is None:
        unknown = f"What it forgot was not measured, so nothing says whether it keeps {budget}."
        return Recommendation.CANNOT_TELL, None, [why, unknown]
    rise = f"its loss on general text changed by at most {forgetting.upper:+.3g} nats per token (upper limit)"
    if forgetting.upper > forgetting.budget:
        return Recommendation.DO_NOT_SHIP, None, [why, f"But it forgot too much: {rise}, over {budget}."]
    return Recommendation.SHIP, arm, [why, f"It forgot no more than is allowed: {rise}, inside {budget}."]


def _cannot_keep_both(forgetting: Forgetting) -> str:
    return (
        f"Cannot keep both: to stay within {forgetting.budget:g} nats per token on general text the adapter was scaled "
        f"to {forgetting.scale:g}, which leaves {forgetting.task_kept:.0%} of its score on validation rows. A larger "
        "retention.budget keeps more of the task."
    )


def _is_shown(rival: Rival, alpha: float) -> bool:
    return rival.adjusted_p < alpha


def _is_shown_worse(rival: Rival, alpha: float) -> bool:
    return _is_shown(rival, alpha) and rival.comparison.difference.value > 0


def _is_within(rival: Rival, standard: Standard) -> bool:
    return rival.p_within_margin < standard.alpha


def _is_out_of_reach(rows_needed: int, num_rows: int) -> bool:
    return rows_needed > OUT_OF_REACH * num_rows


def _reason(rival: Rival, metric: str, num_rows: int, alpha: float) -> str:
    comparison, gap = rival.comparison, rival.comparison.difference
    points = f"{100 * gap.value:+.1f} points of {metric}"
    interval = f"{gap.confidence:.0%} interval {100 * gap.low:+.1f} to {100 * gap.high:+.1f}"
    p = "p < 0.001" if rival.adjusted_p < 0.001 else f"p = {rival.adjusted_p:.3f}"
    counts = f"{comparison.num_wins} of {num_rows} rows became better, {comparison.num_losses} worse"
    text = f"Against the {rival.arm}: {points} ({interval}; {p}); {counts}."
    if _is_shown(rival, alpha):
        return text
    if rival.rows_needed and _is_out_of_reach(rival.rows_needed, num_rows):
        return f"{text} That is within chance, and so little that more test rows would hardly show it."
    if rival.rows_needed and rival.rows_needed > num_rows:
        return f"{text} That is within chance; about {rival.rows_needed:,} test rows would show such a difference."
    return f"{text} That is within chance."
