"""The top of the page in words for a reader who knows neither burnish nor statistics: what to do, and the figures."""

from dataclasses import dataclass

from burnish.evaluate.contest import MIN_TEST_ROWS
from burnish.evaluate.notes import LIKENESS
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
    format_per_minute,
    format_score,
    settled_call,
)
from burnish.report.record import CONSTRAINED, Json, dig
from burnish.report.tables.table import spell_interval, spell_score

BETTER, WORSE, NOT_SHOWN = "better", "worse", "not_shown"
SHIP, DO_NOT_SHIP, CANNOT_TELL, NEEDS_TARGET = "ship", "do_not_ship", "cannot_tell", "needs_target"
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
    role: str  # specialist | baseline | whole | difference | chance


def spell_call(evaluation: Json) -> str:
    """What to do, in a few words; empty for a run that recommends nothing."""
    return RECOMMENDATIONS.get(call_of(evaluation), "")


def call_of(evaluation: Json) -> str:
    """The recommendation; nothing is to be shipped that nobody has called good enough."""
    return settled_call(dig(evaluation, "verdict", "recommendation"), dig(evaluation, "target") is not None)


def spell_finding(evaluation: Json) -> str:
    """What was found, in a sentence of plain words."""
    outcome = OUTCOMES.get(dig(evaluation, "verdict", "outcome"))
    call, is_within = call_of(evaluation), dig(evaluation, "retention", "is_within_budget")
    if outcome is None:
        return "The verdict was not measured."
    instead = use_instead(evaluation)
    if call == DO_NOT_SHIP and instead:
        better = "does better" if dig(evaluation, "verdict", "outcome") == WORSE else "does as well"
        return f"{outcome}, and {instead} {better}." if outcome == OUTCOMES[WORSE] else f"{_upper(instead)} {better}."
    joined = "but" if outcome == OUTCOMES[BETTER] else "and"
    if is_within is False:
        return f"{outcome}, {joined} the model forgot too much."
    if call == NEEDS_TARGET:
        return _ask_for_target(evaluation)
    if call == DO_NOT_SHIP and dig(evaluation, "target", "reach") == "not_reached":
        return f"{outcome}, {joined} the answers are not good enough."
    is_better = outcome == OUTCOMES[BETTER]
    if call == CANNOT_TELL and is_better and dig(evaluation, "target", "reach") == "cannot_tell":
        return f"{outcome}; whether that is good enough is open."
    return f"{outcome}, and little was forgotten." if call == SHIP and is_within else f"{outcome}."


def _ask_for_target(evaluation: Json) -> str:
    arm = find_arm(evaluation, dig(evaluation, "verdict", "recommended_arm")) or specialist_arm(evaluation)
    return f"Is {format_score(dig(arm, 'score', 'value'))} of 100 good enough for you?"


def spell_enough(evaluation: Json) -> str:
    """What is called good enough, and whether that is reached; how to say it where nobody has."""
    target, is_share = dig(evaluation, "target"), has_share_metric(evaluation)
    if dig(target, "value") is None:
        need = "Set evaluate.target in the recipe to the score that you need: then the verdict says whether to ship."
        return need if call_of(evaluation) == NEEDS_TARGET else ""
    name = plain_name(evaluation, dig(target, "arm"))
    found = {"reached": f"{_upper(name)} reaches it", "not_reached": f"{_upper(name)} does not reach it"}.get(
        str(dig(target, "reach")), f"The test cannot tell whether {name} reaches it"
    )
    score = dig(target, "score")
    if dig(score, "value") is None:
        return f"You need {format_score(target['value'], is_share=is_share)}, and {name} has no score."
    has_width = dig(score, "low") != dig(score, "high")
    likely = spell_interval(score, is_share, absent="") if has_width else ""
    scores = f": it scores {spell_score(score, is_share)}" + (f" (likely {likely})" if likely else "")
    more = dig(target, "rows_needed")
    is_large = (dig(evaluation, "num_test_rows") or 0) >= MIN_TEST_ROWS
    told = "About {} test rows would tell." if is_large else "At least {} test rows are needed."
    needed = "" if more is None else f" {told.format(format_count(more))}"
    return f"The score that you need is {format_score(target['value'], is_share=is_share)}. {found}{scores}.{needed}"


def spell_use(evaluation: Json) -> str:
    """What to use now; empty where nothing says."""
    arm, call = dig(evaluation, "verdict", "recommended_arm"), call_of(evaluation)
    if arm is not None:
        use = f"{_advise_use(evaluation, call)} {plain_name(evaluation, arm)}."
        return f"{use} {_spell_worth(find_arm(evaluation, arm), has_share_metric(evaluation))}".rstrip()
    other = best_other(evaluation)
    if call == DO_NOT_SHIP and other is not None and dig(evaluation, "retention", "is_within_budget") is False:
        score = format_score(dig(other, "score", "value"), is_share=has_share_metric(evaluation))
        name = plain_name(evaluation, other["name"])
        return (
            "Train it again so that it forgets less: in fewer passes, or at a lower learning rate. "
            f"Until then use {name}, which scores {score}."
        )
    return ""


def _advise_use(evaluation: Json, call: str) -> str:
    reach = dig(evaluation, "target", "reach")
    if call == SHIP or (call == DO_NOT_SHIP and reach != "not_reached"):
        return "Use"
    return (
        "Until more is known: Use" if call == CANNOT_TELL and reach in (None, "reached") else "The best way so far is"
    )


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
    """Scores of the specialist and of the best other arm, what is fully right, the gain, and the chance of such."""
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
    own = specialist_arm(evaluation)
    num_right, num_rows = (dig(own, key) for key in ("num_fully_right", "num_rows"))
    if None not in (num_right, num_rows) and dig(evaluation, "metric", "name") not in LIKENESS:
        note = "in all fields" if dig(own, "extraction") else ""
        found.append(
            Figure("Answers of it fully right", f"{format_count(num_right)} of {format_count(num_rows)}", note, "whole")
        )
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
    """What an arm scores and how long a user waits for it."""
    score, request, rate = (
        dig(arm, *path) for path in (("score", "value"), ("request", "median_s"), ("answers_per_s",))
    )
    if score is None:
        return ""
    took = "" if request is None else f", and one request alone takes {format_latency(request)}"
    busy = "" if rate is None else f" When busy, it gives {format_per_minute(rate)} answers a minute."
    return f"It scores {format_score(score, is_share=is_share)}{took}.{busy}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
