"""The five questions that a team asks of a fine-tuned model, each answered in plain words from the run's files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.report.arms import (
    best_other,
    find_arm,
    has_share_metric,
    main_comparison,
    own_name,
    plain_name,
    specialist_arm,
)
from burnish.report.format import (
    NOT_MEASURED,
    format_count,
    format_difference,
    format_latency,
    format_percent,
    format_plural,
    format_score,
)
from burnish.report.record import ENCODER, Json, RunRecord, dig, items
from burnish.report.tables.data import spell_check
from burnish.report.tables.table import spell_interval, spell_score
from burnish.report.verdict import BETTER, NOT_SHOWN, WORSE, use_instead

HUGE_RISE = 1000.0
"""Of the perplexity, as a share: 100,000 %. Above it the size tells nothing more."""


@dataclass(frozen=True)
class Question:
    """A question, its answer in a few words, what that rests on, and where on the page there is more."""

    title: str
    tone: str  # good | bad | open | info | none
    answer: str
    grounds: str
    anchor: str


def answer_questions(record: RunRecord) -> tuple[Question, ...]:
    """The five questions of burnish in their order."""
    evaluation = record.evaluation
    return (
        _is_the_data_fit(record),
        _would_a_cheaper_way_do(evaluation),
        _did_it_help(evaluation),
        _what_was_forgotten(evaluation),
        _will_it_behave_the_same(record),
    )


def _is_the_data_fit(record: RunRecord) -> Question:
    evaluation = record.evaluation
    data = dig(evaluation, "data")
    warnings = dig(data, "warnings")
    everything = items(record.card, "checks")
    checks = [check for check in everything if check["severity"] != "note"]
    num_notes = len(everything) - len(checks)
    if warnings is None and not record.card:
        tone, answer = "none", NOT_MEASURED.capitalize()
    elif checks:
        tone, answer = "open", f"{format_plural(len(checks), 'check')} found something to look at."
    elif warnings and not record.card:
        tone, answer = "open", f"The checks raised {format_plural(len(warnings), 'warning')}."
    else:
        tone, answer = "good", "Yes: the checks raised no warnings."
    found = [spell_check(check) for check in checks] if record.card else list(map(str, warnings or ()))
    sizes = [dig(data, "split", part) for part in ("train", "validation", "test")]
    used = "{} rows to learn from, {} to choose by, {} to test with.".format(*map(format_count, sizes))
    grounds = (
        used if None not in sizes else "",
        f"Found: {'; '.join(found[:2])}{'; …' if len(found) > 2 else '.'}" if found else "",
        f"{format_plural(num_notes, 'check')} more found something that is good to know." if num_notes else "",
        _spell_forecast(items(evaluation, "more_data", "forecasts")),
    )
    return Question("Is my data fit to train on?", tone, answer, _join(grounds), "data" if record.card else "training")


def _spell_forecast(forecasts: Sequence[Json]) -> str:
    """What the smallest number of more rows would bring; empty where nobody can tell."""
    outlook, more = (dig(next(iter(forecasts), None), key) for key in ("outlook", "num_more"))
    if outlook == "no_evidence":
        return f"There is no evidence that {format_count(more)} more rows would help."
    low, high = (dig(next(iter(forecasts), None), "gain", end) for end in ("low", "high"))
    if outlook != "helps" or None in (more, low, high):
        return ""
    return f"{format_count(more)} more rows would likely add {format_score(low)} to {format_score(high)} points."


def _would_a_cheaper_way_do(evaluation: Json) -> Question:
    title, other = "Would a better prompt, look-up or a simple classifier do?", best_other(evaluation)
    if other is None:
        return Question(title, "none", NOT_MEASURED.capitalize(), "", "arms")
    tone, answer = _is_cheaper_enough(evaluation)
    specialist, is_share = specialist_arm(evaluation), has_share_metric(evaluation)
    name = plain_name(evaluation, other["name"])
    grounds = (
        f"The best of them, {name}, scores {spell_score(other['score'], is_share)}; "
        f"the fine-tuned model {spell_score(dig(specialist, 'score'), is_share)}.",
        _spell_costs(other, specialist),
        _spell_untouched(evaluation, other),
        _spell_missing(evaluation),
    )
    return Question(title, tone, answer, _join(grounds), "arms")


def _spell_untouched(evaluation: Json, other: Json) -> str:
    """What the base scores by the prompt alone, where that is not the best other way."""
    plain = find_arm(evaluation, "zero_shot")
    if plain is None or plain is other:
        return ""
    return (
        f"The base model with the instruction alone: {spell_score(dig(plain, 'score'), has_share_metric(evaluation))}."
    )


def _spell_costs(other: Json, specialist: Json | None) -> str:
    """What an answer of each costs, as far as it was measured."""
    paths = (("prompt_tokens", "mean"), ("request", "median_s"))
    tokens, seconds = ([dig(arm, *path) for arm in (other, specialist)] for path in paths)
    parts = []
    if None not in tokens:
        parts.append("reads {} tokens (the fine-tuned model {})".format(*map(format_count, tokens)))
    if None not in seconds:
        parts.append("takes {} ({})".format(*map(format_latency, seconds)))
    return f"For one request it {' and '.join(parts)}." if parts else ""


def _is_cheaper_enough(evaluation: Json) -> tuple[str, str]:
    """Tone and answer: by the arm to use where one is recommended, else by the outcome."""
    outcome, call = (dig(evaluation, "verdict", key) for key in ("outcome", "recommendation"))
    instead = use_instead(evaluation)
    if instead and outcome == WORSE:
        return "bad", f"Yes: {instead} does better."
    if instead and call == "do_not_ship":
        return "bad", f"Yes: {instead} does as well."
    if instead:
        return "open", f"Perhaps: {instead} is not shown to be worse."
    by_outcome = {
        BETTER: ("good", "No: those tried do less well."),
        WORSE: ("bad", "Yes: one of them is better."),
        NOT_SHOWN: ("open", "Perhaps: no difference was shown."),
    }
    return by_outcome.get(outcome, ("none", NOT_MEASURED.capitalize()))


def _spell_missing(evaluation: Json) -> str:
    """The cheaper ways of which no arm was measured."""
    ways: dict[str, tuple[str, ...]] = {"a prompt with solved examples": ("few_shot",), "look-up": ("retrieved",)}
    if dig(evaluation, "task") == "classification":
        ways["a simple classifier"] = ("embedding", "encoder")
    missing = [way for way, arms in ways.items() if not any(find_arm(evaluation, arm) for arm in arms)]
    return f"Not measured: {', '.join(missing)}." if missing else ""


def _did_it_help(evaluation: Json) -> Question:
    title, comparison = "Did it really help, or is it noise?", main_comparison(evaluation)
    if comparison is None:
        return Question(title, "none", NOT_MEASURED.capitalize(), "", "why")
    tone, answer = {
        BETTER: ("good", "It helped, by more than noise."),
        WORSE: ("bad", "It did harm, by more than noise."),
        NOT_SHOWN: ("open", "Cannot tell it from noise."),
    }.get(dig(evaluation, "verdict", "outcome"), ("none", NOT_MEASURED.capitalize()))
    is_share = has_share_metric(evaluation)
    interval = spell_interval(dig(comparison, "difference"), is_share, is_signed=True, absent="")
    counts = [dig(comparison, key) for key in ("num_wins", "num_losses", "num_ties")]
    ended = dig(specialist_arm(evaluation), "details", "ended_share")
    needed = dig(evaluation, "verdict", "rows_needed")
    grounds = (
        f"The true gain likely lies in {interval}{' points' if is_share else ''}." if interval else "",
        "" if None in counts else "{} answers became better, {} worse, {} neither.".format(*map(format_count, counts)),
        "" if ended in (None, 1) else f"{format_percent(1 - ended)} of its answers were cut at the length limit.",
        "" if needed is None else f"About {format_count(needed)} test rows would show a gain of this size.",
    )
    return Question(title, tone, answer, _join(grounds), "comparisons")


def _what_was_forgotten(evaluation: Json) -> Question:
    title, retention = "What was forgotten?", dig(evaluation, "retention")
    if own_name(evaluation) == ENCODER:
        return Question(title, "good", "Nothing: it only tells labels apart.", "It writes no text.", "retention")
    if retention is None:
        return Question(title, "none", NOT_MEASURED.capitalize(), "", "retention")
    tone, answer = {
        True: ("good", "Little: the change is inside the limit."),
        False: ("bad", "More than the limit allows."),
        None: ("open", "Measured, but not held against a limit."),
    }[dig(retention, "is_within_budget")]
    change, budget = dig(retention, "general_text_nll_change"), dig(retention, "budget")
    low, high = (_spell_rise(dig(change, end)) for end in ("low", "high"))
    likely = "" if NOT_MEASURED in (low, high) else f" (likely {low} to {high})"
    limit = "" if budget is None else f"; the limit is {_spell_rise(budget)}"
    if dig(change, "value") is None:
        return Question(title, tone, answer, "", "retention")
    is_harder = dig(change, "value") > 0
    how = "became harder for it to predict by" if is_harder else "is no harder for it to predict than before:"
    grounds = (
        f"Text outside the task {how} {_spell_rise(dig(change, 'value'))}{likely}{limit}.",
        "That matters where it is asked for anything but the task.",
    )
    return Question(title, tone, answer, _join(grounds), "retention")


def _spell_rise(nats: float | None) -> str:
    """The rise of the perplexity, exp(nats) - 1, which a reader can picture better than nats per token: "+4.2 %"."""
    if nats is None:
        return NOT_MEASURED
    is_huge = nats > math.log1p(HUGE_RISE)
    return f"over {format_difference(HUGE_RISE)} %" if is_huge else f"{format_difference(math.expm1(nats))} %"


def _will_it_behave_the_same(record: RunRecord) -> Question:
    title = "Will what I deploy behave like what I tested?"
    names = ("base model", "trained weights", "test rows")
    values = (
        dig(record.environment, "base_fingerprint"),
        record.adapter_sha256,
        dig(record.evaluation, "data", "test_sha256"),
    )
    hashes = [f"{name} {shorten_hash(value)}" for name, value in zip(names, values, strict=True) if value]
    if not hashes:
        return Question(title, "none", NOT_MEASURED.capitalize(), "", "environment")
    grounds = f"Fingerprints: {', '.join(hashes)}."
    return Question(title, "info", "Yes, where these fingerprints match.", grounds, "environment")


def shorten_hash(value: str | None) -> str:
    """The first eight digits of a fingerprint: enough to compare by eye."""
    return NOT_MEASURED if not value else str(value).removeprefix("sha256:")[:8]


def _join(sentences: Sequence[str]) -> str:
    return " ".join(filter(None, sentences))
