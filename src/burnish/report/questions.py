"""The five questions that a team asks of a fine-tuned model, each answered from the run's files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from burnish.report.format import (
    NOT_MEASURED,
    RECOMMENDATIONS,
    format_count,
    format_difference,
    format_nats,
    format_nats_interval,
    format_p_value,
    format_percent,
    format_plural,
    format_score,
)
from burnish.report.record import CONSTRAINED, SPECIALIST, Json, RunRecord, dig, items
from burnish.report.tables import has_share_metric, spell_check, spell_interval

BETTER, WORSE, NOT_SHOWN = "better", "worse", "not_shown"


@dataclass(frozen=True)
class Question:
    """A question, its answer in a few words, the figures behind it, and where on the page there is more."""

    title: str
    tone: str  # good | bad | open | info | none
    answer: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    anchor: str


def answer_questions(record: RunRecord) -> tuple[Question, ...]:
    """The five questions of burnish in their order."""
    evaluation = record.evaluation
    return (
        _is_the_data_fit(record),
        _would_a_prompt_do(evaluation),
        _did_it_help(evaluation),
        _what_was_forgotten(dig(evaluation, "retention")),
        _will_it_behave_the_same(record),
    )


def spell_recommendation(evaluation: Json) -> str:
    """What to do, with the arm to use; empty for a run that recommends nothing."""
    said = RECOMMENDATIONS.get(dig(evaluation, "verdict", "recommendation"))
    name = dig(evaluation, "verdict", "recommended_arm")
    arm = next((arm for arm in items(evaluation, "arms") if arm["name"] == name), None)
    if said is None:
        return ""
    return f"{said} Use: {str(arm.get('title') or name).lower()}." if arm else said


def best_prompt(evaluation: Json) -> Json | None:
    """The highest-scoring arm that does without the adapter."""
    arms = [arm for arm in items(evaluation, "arms") if arm["name"] not in (SPECIALIST, CONSTRAINED)]
    scored = [arm for arm in arms if dig(arm, "score", "value") is not None]
    return max(scored, key=lambda arm: float(arm["score"]["value"]), default=None)


def specialist_arm(evaluation: Json) -> Json | None:
    """The specialist's arm, where there is one."""
    return next((arm for arm in items(evaluation, "arms") if arm["name"] == SPECIALIST), None)


def main_comparison(evaluation: Json) -> Json | None:
    """The specialist against the best prompt."""
    baseline = dig(best_prompt(evaluation), "name")
    pairs = items(evaluation, "comparisons")
    return next((c for c in pairs if (c["candidate"], c["baseline"]) == (SPECIALIST, baseline)), None)


def _is_the_data_fit(record: RunRecord) -> Question:
    evaluation = record.evaluation
    data, split = dig(evaluation, "data"), dig(evaluation, "data", "split")
    warnings = dig(data, "warnings")
    checks = [check for check in items(record.card, "checks") if check["severity"] != "note"]
    if warnings is None and not record.card:
        tone, answer = "none", NOT_MEASURED.capitalize()
    elif checks:
        tone, answer = "open", f"{format_plural(len(checks), 'check')} found something."
    elif warnings and not record.card:
        tone, answer = "open", f"The checks raised {format_plural(len(warnings), 'warning')}."
    else:
        tone, answer = "good", "Yes: the checks raised no warnings."
    notes = [spell_check(check) for check in checks] if record.card else list(map(str, warnings or ()))
    is_share = has_share_metric(evaluation)
    facts = (
        ("Rows", format_count(dig(data, "num_rows"))),
        ("Train / validation / test", _joined(split, ("train", "validation", "test"), format_count)),
        ("Duplicates found", format_count(dig(data, "num_duplicates"))),
        (
            "Smallest gain this test can show",
            _points(dig(evaluation, "minimum_detectable_difference"), is_share),
        ),
    )
    return Question("Is my data fit to train on?", tone, answer, facts, tuple(notes), "data")


def _would_a_prompt_do(evaluation: Json) -> Question:
    title, anchor = "Would a cheaper way do?", "arms"
    prompt, specialist = best_prompt(evaluation), specialist_arm(evaluation)
    outcome = dig(evaluation, "verdict", "outcome")
    if prompt is None:
        return Question(title, "none", NOT_MEASURED.capitalize(), (), (), anchor)
    tone, answer = {
        BETTER: ("good", "No: the best of them falls short."),
        WORSE: ("bad", "Yes: one of them is better."),
        NOT_SHOWN: ("open", "Perhaps: no difference was shown."),
    }.get(outcome, ("none", NOT_MEASURED.capitalize()))
    is_share = has_share_metric(evaluation)
    name = str(prompt.get("title") or prompt["name"])
    tokens = [dig(arm, "prompt_tokens", "mean") for arm in (prompt, specialist)]
    facts = (
        ("Best without the adapter", name),
        ("Its score", format_score(prompt["score"]["value"], is_share=is_share)),
        ("Specialist's score", format_score(dig(specialist, "score", "value"), is_share=is_share)),
        ("Prompt tokens, it / specialist", " / ".join(map(format_count, tokens))),
    )
    return Question(title, tone, answer, facts, (), anchor)


def _did_it_help(evaluation: Json) -> Question:
    title, anchor = "Did it help, or is it noise?", "arms"
    comparison = main_comparison(evaluation)
    if comparison is None:
        return Question(title, "none", NOT_MEASURED.capitalize(), (), (), anchor)
    tone, answer = {
        BETTER: ("good", "It helped, by more than noise."),
        WORSE: ("bad", "It did harm, by more than noise."),
        NOT_SHOWN: ("open", "Cannot tell it from noise."),
    }.get(dig(evaluation, "verdict", "outcome"), ("none", NOT_MEASURED.capitalize()))
    is_share = has_share_metric(evaluation)
    difference, p_adjusted = dig(comparison, "difference"), dig(comparison, "p_value_adjusted")
    interval = spell_interval(difference, is_share, is_signed=True)
    facts = [
        ("Against the best other arm", format_difference(dig(difference, "value"), is_share=is_share)),
        (_interval_name(difference), interval),
        ("Adjusted p-value" if p_adjusted is not None else "p-value", _p_value(comparison)),
        ("Wins / ties / losses", _joined(comparison, ("num_wins", "num_ties", "num_losses"), format_count)),
    ]
    if (rows_needed := dig(evaluation, "verdict", "rows_needed")) is not None:
        facts.append(("Test rows that would show it", format_count(rows_needed)))
    return Question(title, tone, answer, tuple(facts), (), anchor)


def _what_was_forgotten(retention: Json | None) -> Question:
    title, anchor = "What was forgotten?", "retention"
    if retention is None:
        return Question(title, "none", NOT_MEASURED.capitalize(), (), (), anchor)
    tone, answer = {
        True: ("good", "Little: the change is inside the budget."),
        False: ("bad", "More than the budget allows."),
        None: ("open", "Measured, but not judged against a budget."),
    }[dig(retention, "is_within_budget")]
    facts = (
        ("Change of NLL on the base's own answers", _nats_with_interval(dig(retention, "nll_change"))),
        ("On general text", _nats_with_interval(dig(retention, "general_text_nll_change"))),
        ("Budget", format_nats(dig(retention, "budget"), is_signed=False).replace(NOT_MEASURED, "none set")),
        ("Same most likely token", format_percent(dig(retention, "top1_agreement", "value"))),
    )
    return Question(title, tone, answer, facts, (), anchor)


def _nats_with_interval(estimate: Any) -> str:
    interval = format_nats_interval(dig(estimate, "low"), dig(estimate, "high"))
    return format_nats(dig(estimate, "value")) + (f" ({interval})" if interval != NOT_MEASURED else "")


def _will_it_behave_the_same(record: RunRecord) -> Question:
    facts = (
        ("Base model", shorten_hash(dig(record.environment, "base_fingerprint"))),
        ("Adapter weights", shorten_hash(record.adapter_sha256)),
        ("Test rows", shorten_hash(dig(record.evaluation, "data", "test_sha256"))),
    )
    if all(value == NOT_MEASURED for _, value in facts):
        return Question("Will it behave the same?", "none", NOT_MEASURED.capitalize(), facts, (), "environment")
    answer = "Yes, where these fingerprints match."
    return Question("Will it behave the same?", "info", answer, facts, (), "environment")


def shorten_hash(value: str | None) -> str:
    """The first twelve digits of a fingerprint: enough to compare by eye."""
    return NOT_MEASURED if not value else str(value).removeprefix("sha256:")[:12]


def _points(value: float | None, is_share: bool) -> str:
    return format_score(value, is_share=is_share) + (" points" if is_share and value is not None else "")


def _interval_name(estimate: Any) -> str:
    confidence = dig(estimate, "confidence")
    return "Interval" if confidence is None else f"{100 * confidence:.3g} % interval"


def _p_value(comparison: Json) -> str:
    adjusted = dig(comparison, "p_value_adjusted")
    return format_p_value(adjusted if adjusted is not None else dig(comparison, "p_value"))


def _joined(value: Any, keys: tuple[str, ...], spell: Callable[[float | None], str]) -> str:
    found = [dig(value, key) for key in keys]
    return NOT_MEASURED if all(part is None for part in found) else " / ".join(map(spell, found))
