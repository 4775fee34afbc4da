"""Results as tables for the terminal; the digits are those of the report."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from burnish.registry import RunRecord
from burnish.report import format as fmt
from burnish.report.tables.retention import spell_worst_kinds

OUTCOMES = {
    "better": ("BETTER", "bold green"),
    "worse": ("WORSE", "bold red"),
    "not_shown": ("NOT SHOWN", "bold yellow"),
}


def print_evaluation(console: Console, evaluation: dict[str, Any]) -> None:
    """Arms with intervals, the verdict with its reasons, and retention."""
    metric = evaluation["metric"]["label"]
    rows = fmt.format_plural(evaluation["num_test_rows"], "test row")
    title = f"{evaluation['base_model']}, {evaluation['task']}: {metric} on {rows}"
    confidence = evaluation["arms"][0]["score"]["confidence"]
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    for name in ("arm", metric, f"{confidence:.0%} interval", "tokens in", "request", "a minute"):
        # Where the terminal is narrow, the names of the arms are folded, never the figures.
        table.add_column(name, justify="left" if name == "arm" else "right", no_wrap=name != "arm")
    for arm in evaluation["arms"]:
        score, request = arm["score"], arm.get("request") or {}
        table.add_row(
            arm["title"],
            fmt.format_score(score["value"]),
            fmt.format_interval(score["low"], score["high"]),
            fmt.format_count(arm["prompt_tokens"]["mean"]),
            fmt.format_latency(request.get("median_s")).replace(fmt.NOT_MEASURED, "–"),
            fmt.format_per_minute(arm.get("answers_per_s")).replace(fmt.NOT_MEASURED, "–"),
            style="bold" if arm["name"] == evaluation.get("candidate", "specialist") else None,
        )
    table.caption, table.caption_justify = "request: the time of one alone; a minute: answers when busy", "left"
    console.print(table)
    console.print()
    _print_verdict(console, evaluation)
    if evaluation.get("candidate") != "encoder":  # which writes no text
        _print_retention(console, evaluation.get("retention"))
    _print_more(console, evaluation)


def print_runs(console: Console, records: Sequence[RunRecord]) -> None:
    """One line a run, oldest first."""
    table = Table()
    for name in ("run", "status", "task", "base", "data", "score", "best baseline", "verdict"):
        table.add_column(name, justify="right" if name in ("score", "best baseline") else "left")
    for record in records:
        table.add_row(
            record.run_id,
            record.status.value,
            record.task or "",
            record.base_model or "",
            (record.data_train or "").rsplit("/", 1)[-1],
            fmt.format_score(record.specialist_score) if record.specialist_score is not None else "",
            fmt.format_score(record.best_baseline_score) if record.best_baseline_score is not None else "",
            _spell_judged(record.outcome, record.recommendation, record.target, record.target_reach),
        )
    console.print(table)


def print_origins(console: Console, rows: Sequence[tuple[str, Any, Any]]) -> None:
    """Each knob with its value and where that came from."""
    table = Table(show_lines=False)
    for name in ("key", "value", "from"):
        table.add_column(name, overflow="fold")
    for key, value, origin in rows:
        table.add_row(key, Text(_short(value)), Text(str(origin)))
    console.print(table)


def print_comparison(console: Console, comparison: dict[str, Any]) -> None:
    """Two runs on the rows that both have answered."""
    arms = " and ".join(dict.fromkeys(comparison[side]["arm"] for side in ("first", "second")))
    title = f"{arms}: {comparison['metric']} on {comparison['num_rows']} common test rows"
    table = Table(title=title, title_justify="left")
    for name in ("run", "score", "interval", "own verdict"):
        table.add_column(name, justify="right" if name in ("score", "interval") else "left")
    for side in ("first", "second"):
        score, target = comparison[side]["score"], comparison[side].get("target") or {}
        outcome, call = (comparison[side].get(key) for key in ("outcome", "recommendation"))
        table.add_row(
            comparison[side]["run_id"],
            fmt.format_score(score["value"]),
            fmt.format_interval(score["low"], score["high"]),
            _spell_judged(outcome, call, target.get("value"), target.get("reach")),
        )
    console.print(table)
    gap = comparison["difference"]
    interval = fmt.format_interval(gap["low"], gap["high"], is_signed=True)
    console.print(
        f"Second minus first: {fmt.format_difference(gap['value'])} points ({interval}; "
        f"{fmt.format_p_value(comparison['p_value'])}); {comparison['num_wins']} rows better, "
        f"{comparison['num_losses']} worse."
    )


def _spell_judged(outcome: str | None, call: str | None, target: float | None, reach: str | None) -> str:
    """The words of a verdict in a few: "better, ship; target 80 reached"."""
    call = fmt.settled_call(call, target is not None)
    said = [word.replace("_", " ") for word in (outcome, call) if word]
    held = [] if target is None else [f"target {100 * target:g} {(reach or '').replace('_', ' ')}"]
    return "; ".join(filter(None, [", ".join(said), *held]))


def _print_verdict(console: Console, evaluation: dict[str, Any]) -> None:
    verdict = evaluation["verdict"]
    word, style = OUTCOMES[verdict["outcome"]]
    call = fmt.settled_call(verdict.get("recommendation"), evaluation.get("target") is not None)
    # The headline of a verdict that needs a target asks for it; one of an earlier version says nothing of it.
    is_asked = call == "needs_target" and verdict.get("recommendation") == call
    said = "" if is_asked else fmt.RECOMMENDATIONS.get(call, "")
    console.print(Text.assemble("Verdict: ", (word, style), f"  {verdict['headline']} {said}".rstrip()), soft_wrap=True)
    for reason in (*verdict["reasons"], *evaluation.get("notes", ())):
        console.print(f"  - {reason}", markup=False, soft_wrap=True)
    if verdict.get("advice"):
        console.print(verdict["advice"], markup=False, soft_wrap=True)


def _print_retention(console: Console, retention: dict[str, Any] | None) -> None:
    if retention is None:
        console.print("Retention: not measured.")
        return
    text, kl, agreement = (retention[k] for k in ("general_text_nll_change", "kl", "top1_agreement"))
    words = {True: "inside the budget", False: "OVER the budget", None: "no budget set"}
    budget = "" if retention["budget"] is None else f" of {fmt.format_nats(retention['budget'], is_signed=False)}"
    console.print(
        f"Retention: loss on general text {fmt.format_nats(text['value'])} nats per token "
        f"({fmt.format_nats_interval(text['low'], text['high'])}), {words[retention['is_within_budget']]}{budget}; "
        f"KL {fmt.format_nats(kl['value'], is_signed=False)}; same next token "
        f"{fmt.format_percent(agreement['value'])} of the time.",
        markup=False,
        soft_wrap=True,
    )
    if worst := spell_worst_kinds(retention):
        num_kinds = len(retention["general_text_nll_change_by_kind"])
        new = retention.get("general_text_new_kinds")
        other = f"On other kinds expect {fmt.format_nats_interval(new['low'], new['high'])}. " if new else ""
        console.print(
            f"{other}Of {num_kinds} kinds of general text these changed most: {worst}.", markup=False, soft_wrap=True
        )


def _print_more(console: Console, evaluation: dict[str, Any]) -> None:
    """How much of the score is luck of the seed, and what more rows would bring, where that was measured."""
    if seeds := evaluation.get("seeds"):
        scores = ", ".join(f"{fmt.format_score(seed['score'])} with seed {seed['seed']}" for seed in seeds)
        console.print(f"The same training with other seeds: {scores}.", markup=False, soft_wrap=True)
    more = evaluation.get("more_data") or {}
    for forecast in more.get("forecasts", [])[1:2]:  # as many again
        console.print(f"{forecast['text']} (Judged by {more['stands_for']}.)", markup=False, soft_wrap=True)


def _short(value: Any, width: int = 160) -> str:
    text = str(value) if not isinstance(value, str) else value.replace("\n", " / ")
    return text if len(text) <= width else text[: width - 3] + "..."
