"""The top of the page in words for a reader who knows neither burnish nor statistics: what to do, and the figures."""

from dataclasses import dataclass

from burnish.report.arms import (
    best_other,
    find_arm,
    has_share_metric,
    main_comparison,
    own_name,
    plain_name,
    score_heading,
    specialist_arm,
)
from burnish.report.format import (
    NOT_MEASURED,
    RECOMMENDATIONS,
    format_count,
    format_difference,
    format_latency,
    format_score,
)
from burnish.report.record import CONSTRAINED, Json, dig
from burnish.report.tables.table import spell_interval, spell_score

BETTER, WORSE, NOT_SHOWN = "better", "worse", "not_shown"
SHIP, DO_NOT_SHIP = "ship", "do_not_ship"
OUTCOMES = {BETTER: "Fine-tuning helped", WORSE: "Fine-tuning did harm", NOT_SHOWN: "No gain was shown"}
UNITS = {
    "accuracy": "right answers in 100",
    "field_f1": "points of 100 for fields filled in exactly right",
    "exact_match": "answers in 100 that are exactly as wanted",
    "chrf": "points of 100 for likeness to the wanted answer",
}


@dataclass(frozen=True)
class Figure:
    """One of the large figures of the first screen."""

    label: str
    value: str
    note: str
    role: str  # specialist | baseline | difference | chance


def spell_call(evaluation: Json) -> str:
    """What to do, in three words; empty for a run that recommends nothing."""
    return RECOMMENDATIONS.get(dig(evaluation, "verdict", "recommendation"), "")


def spell_finding(evaluation: Json) -> str:
    """What was found, in a sentence of plain words."""
    outcome = OUTCOMES.get(dig(evaluation, "verdict", "outcome"))
    call, is_within = dig(evaluation, "verdict", "recommendation"), dig(evaluation, "retention", "is_within_budget")
    if outcome is None:
        return "The verdict was not measured."
    instead = use_instead(evaluation)
    if call == DO_NOT_SHIP and instead:
        better = "does better" if dig(evaluation, "verdict", "outcome") == WORSE else "does as well"
        return f"{outcome}, and {instead} {better}." if outcome == OUTCOMES[WORSE] else f"{_upper(instead)} {better}."
    if is_within is False:
        joined = "but" if outcome == OUTCOMES[BETTER] else "and"
        return f"{outcome}, {joined} the model forgot too much."
    return f"{outcome}, and little was forgotten." if call == SHIP and is_within else f"{outcome}."


def spell_use(evaluation: Json) -> str:
    """What to use now; empty where nothing says."""
    arm, call = dig(evaluation, "verdict", "recommended_arm"), dig(evaluation, "verdict", "recommendation")
    if arm is not None:
        until = "" if call in (SHIP, DO_NOT_SHIP) else "Until more is known: "
        use = f"{until}Use {plain_name(evaluation, arm)}."
        return f"{use} {_spell_worth(find_arm(evaluation, arm), has_share_metric(evaluation))}".rstrip()
    other = best_other(evaluation)
    if call == DO_NOT_SHIP and other is not None:
        score = format_score(dig(other, "score", "value"), is_share=has_share_metric(evaluation))
        name = plain_name(evaluation, other["name"])
        return (
            "Train it again so that it forgets less: in fewer passes, or at a lower learning rate. "
            f"Until then use {name}, which scores {score}."
        )
    return ""


def spell_replacement(evaluation: Json) -> str:
    """Whether the fine-tuned model may take the place of the recorded one, in plain words; empty where none was."""
    margin = dig(evaluation, "replacement", "margin")
    if margin is None:
        return ""
    points = f"{100 * float(margin):g} point{'' if float(margin) == 0.01 else 's'}"
    arms, is_share = (
        [dig(evaluation, "replacement", key) for key in ("candidate", "replaced")],
        has_share_metric(evaluation),
    )
    names = [plain_name(evaluation, arm) for arm in arms]
    scores = [format_score(dig(find_arm(evaluation, arm), "score", "value"), is_share=is_share) for arm in arms]
    found = {
        "better": "is shown to be better than",
        "as_good": f"is shown to be at most {points} worse than",
        "worse": "is shown to be worse than",
    }.get(str(dig(evaluation, "replacement", "standing")), f"is not shown to be at most {points} worse than")
    return f"{_upper(names[0])} {found} {names[1]}: {scores[0]} against {scores[1]}."


def use_instead(evaluation: Json) -> str:
    """The recommended arm where it is not the specialist or a form of it, in plain words; else empty."""
    arm = dig(evaluation, "verdict", "recommended_arm")
    is_own = arm is None or arm in (own_name(evaluation), CONSTRAINED)
    return "" if is_own else plain_name(evaluation, arm)


def spell_unit(evaluation: Json) -> str:
    """What the large figures count."""
    name, rows = str(dig(evaluation, "metric", "name")), format_count(dig(evaluation, "num_test_rows"))
    share = f"{score_heading(evaluation)}, of 100" if has_share_metric(evaluation) else score_heading(evaluation)
    return (
        f"{_upper(UNITS.get(name, share))}, on {rows} test rows that were kept out of the training. "
        "The small figures: where the true value likely lies."
    )


def build_figures(evaluation: Json) -> tuple[Figure, ...]:
    """The scores of the specialist and of the best other arm, the gain, and how often chance alone would show it."""
    is_share, other = has_share_metric(evaluation), best_other(evaluation)
    arms = (
        ("The fine-tuned model", dig(specialist_arm(evaluation), "score"), "specialist"),
        (f"The best other way: {plain_name(evaluation, dig(other, 'name'))}", dig(other, "score"), "baseline"),
    )
    found = [
        Figure(title, spell_score(score, is_share), spell_interval(score, is_share), role)
        for title, score, role in arms
        if dig(score, "value") is not None
    ]
    comparison = main_comparison(evaluation)
    if difference := dig(comparison, "difference"):
        value = format_difference(dig(difference, "value"), is_share=is_share)
        found.append(Figure("Difference", value, spell_interval(difference, is_share, is_signed=True), "difference"))
        found.append(
            Figure("How often luck alone shows such a gap", spell_chance(adjusted_p(comparison)), "", "chance")
        )
    return tuple(found)


def adjusted_p(comparison: Json | None) -> float | None:
    """The p-value of a comparison, adjusted where that was done."""
    adjusted = dig(comparison, "p_value_adjusted")
    value = dig(comparison, "p_value") if adjusted is None else adjusted
    return None if value is None else float(value)


def spell_chance(p_value: float | None) -> str:
    """How often chance alone would do so, for a reader who knows no p-values: "1 in 40"."""
    if p_value is None:
        return NOT_MEASURED
    if p_value < 0.001:
        return "under 1 in 1,000"
    return f"1 in {format_count(1 / p_value)}" if p_value < 2 / 3 else "nearly always"


def _spell_worth(arm: Json | None, is_share: bool) -> str:
    """What an arm scores and how long it takes."""
    score, latency = dig(arm, "score", "value"), dig(arm, "latency_s", "p50")
    if score is None:
        return ""
    took = "" if latency is None else f", and an answer takes {format_latency(latency)}"
    return f"It scores {format_score(score, is_share=is_share)}{took}."


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
