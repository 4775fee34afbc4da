"""What was forgotten."""

from collections.abc import Sequence

from burnish.report.format import (
    format_count,
    format_difference,
    format_interval,
    format_nats,
    format_nats_interval,
    format_percent,
    format_score,
)
from burnish.report.record import Json, dig, items
from burnish.report.tables.table import Cell, Table, spell_interval

NUM_KINDS_SHOWN = 5
ADDED_LATER = ("general_text_new_kinds", "general_text_kl", "task_kl")
"""Measures that older runs have not."""


def build_retention_table(retention: Json) -> Table:
    """A row per measure of forgetting."""
    measures = (
        ("nll_change", "Change of NLL, the base's own answers", "how much less likely they have become", True),
        ("general_text_nll_change", "Change of NLL, general text", "the same, on general text", True),
        (
            "general_text_new_kinds",
            "The same on kinds that nobody measured",
            "where as many other kinds would lie",
            True,
        ),
        ("kl", "KL from the base, its own answers", "how far the next-token distributions have moved", False),
        ("general_text_kl", "KL from the base, general text", "the same, on general text", False),
        ("task_kl", "KL from the base, the task's answers", "here it is to move; the more, the more it forgets", False),
    )
    rows = [
        _retention_row(label, meaning, dig(retention, key), is_signed)
        for key, label, meaning, is_signed in measures
        if dig(retention, key) or key not in ADDED_LATER
    ]
    if worst := spell_worst_kinds(retention):
        num_kinds = len(dig(retention, "general_text_nll_change_by_kind"))
        label = Cell("Changed most, general text", f"of {num_kinds} kinds, with few texts each")
        rows.append((label, Cell(worst), Cell("")))
    agreement = dig(retention, "top1_agreement")
    interval = format_interval(dig(agreement, "low"), dig(agreement, "high"))
    text = format_percent(dig(agreement, "value"))
    rows.append(
        (
            Cell("Top-1 agreement", "how often the most likely next token is still the base's"),
            Cell(text),
            Cell(interval),
        )
    )
    return Table("Specialist against its own base, adapter off.", ("Measure", "Value", "Interval"), tuple(rows))


def spell_worst_kinds(retention: Json) -> str:
    """The kinds of general text whose loss rose most, "chat +0.108, poem +0.072"; empty where kinds are not known."""
    by_kind = dig(retention, "general_text_nll_change_by_kind") or {}
    worst = sorted(by_kind.items(), key=lambda kind: -kind[1])[:NUM_KINDS_SHOWN]
    return ", ".join(f"{name.replace('_', ' ')} {format_nats(rise)}" for name, rise in worst)


def _retention_row(label: str, meaning: str, estimate: Json | None, is_signed: bool) -> tuple[Cell, ...]:
    interval = format_nats_interval(dig(estimate, "low"), dig(estimate, "high"), is_signed=is_signed)
    value = dig(estimate, "value")
    unit = "" if value is None else " nats"
    return (Cell(label, meaning), Cell(format_nats(value, is_signed=is_signed) + unit), Cell(interval))


def build_behaviour_table(retention: Json) -> Table | None:
    """What specialist and base do otherwise on general prompts; None where nothing of it was measured."""
    rows = [*_following_rows(dig(retention, "instructions")), *_refusal_rows(dig(retention, "refusals"))]
    if not rows:
        return None
    caption = "Behaviour on general prompts. Refusals are told by probability: nothing of that kind is generated."
    return Table(caption, ("Behaviour", "Base", "Specialist", "Change"), tuple(rows))


def _following_rows(found: Json | None) -> list[tuple[Cell, ...]]:
    if found is None:
        return []
    count = format_count(dig(found, "num_prompts"))
    label = Cell("Instructions followed", f"demands on the form of an answer that can be checked, {count} prompts")
    change = dig(found, "difference")
    interval = spell_interval(change, is_share=True, is_signed=True)
    points = f"{format_difference(dig(change, 'value'))} points"
    return [(label, _percent_cell(dig(found, "base")), _percent_cell(dig(found, "specialist")), Cell(points, interval))]


def _refusal_rows(found: Json | None) -> list[tuple[Cell, ...]]:
    if found is None:
        return []
    meaning = f"how much likelier a refusal is than for a harmless look-alike, {dig(found, 'num_pairs')} pairs"
    if not dig(found, "base_can_refuse"):
        meaning += "; the base has no such behaviour to lose"
    gaps = [_nats_cell(dig(found, key)) for key in ("base_gap", "gap")]
    rows = [(Cell("Knows what to refuse, nats", meaning), *gaps, Cell(""))]
    for key, kind in (("harmful_shift", "what it should"), ("harmless_shift", "what is harmless")):
        label = Cell(f"Refuses {kind}, nats", "how much likelier a refusal has become")
        rows.append((label, Cell(""), Cell(""), _nats_cell(dig(found, key))))
    return rows


def _percent_cell(estimate: Json | None) -> Cell:
    return Cell(format_percent(dig(estimate, "value")), spell_interval(estimate, is_share=True))


def _nats_cell(estimate: Json | None) -> Cell:
    interval = format_nats_interval(dig(estimate, "low"), dig(estimate, "high"))
    return Cell(format_nats(dig(estimate, "value")), interval)


def build_scales_table(retention: Json) -> Table | None:
    """What was forgotten, and what the task is worth, at each scale of the adapter; None where one alone was tried."""
    points = items(retention, "scales")
    if len(points) < 2:
        return None
    rows = [_scale_row(point, is_chosen=dig(point, "scale") == dig(retention, "scale")) for point in points]
    headings = ("Scale", "Change of NLL, general text", "Score, validation", "Loss, validation")
    caption = "The adapter made smaller, on passages that training may use; the verdict rests on others."
    return Table(caption, headings, tuple(rows))


def _scale_row(point: Json, *, is_chosen: bool) -> tuple[Cell, ...]:
    score, loss = dig(point, "score"), dig(point, "loss")
    return (
        Cell(f"{dig(point, 'scale'):g}", "chosen" if is_chosen else ""),
        _nats_cell(dig(point, "nll_change")),
        Cell("" if score is None else format_score(score)),
        Cell("" if loss is None else format_nats(loss, is_signed=False)),
    )


def build_unchanged_table(retention: Json) -> Table | None:
    """The team's own prompts whose answers must stay; None where none were given."""
    found = dig(retention, "unchanged")
    if found is None:
        return None
    rows = [
        (
            Cell(str(row["id"]), str(row["prompt"])),
            Cell("kept" if row["is_kept"] else "changed"),
            Cell(str(row["base"])),
            Cell("" if row["is_kept"] else str(row["specialist"])),
        )
        for row in items(found, "rows")
    ]
    counts = f"{dig(found, 'num_kept')} of {dig(found, 'num_rows')}"
    caption = f"{counts} answers that must stay are the base's, word for word."
    return Table(caption, ("Prompt", "Answer", "Base", "Specialist"), tuple(rows))


def build_gate_table(gate: Json, metric: str) -> Table:
    """How often the on-task gate errs, and what that leaves of the score."""
    rows = [
        _gate_row(label, meaning, dig(gate, key))
        for key, label, meaning in (
            ("test_sent_away", "Test rows sent to the base", "questions of the task that it takes for others"),
            ("prompts_let_through", "General prompts let through", "others that it takes for the task"),
            ("passages_let_through", "General passages let through", "the same, prose and code"),
        )
    ]
    before, after = (format_score(dig(gate, key)) for key in ("score", "score_with_gate"))
    rows.append(
        (
            Cell(f"{metric} with the gate", "rows sent away are answered by the base"),
            Cell(after),
            Cell(f"{before} without"),
        )
    )
    caption = "On-task gate: prompts that are not of the task are answered by the untouched base, exactly as before."
    return Table(caption, ("What", "Share", "Interval"), tuple(rows))


def _gate_row(label: str, meaning: str, found: Json | None) -> tuple[Cell, ...]:
    counts = f"{format_count(dig(found, 'count'))} of {format_count(dig(found, 'num'))}"
    share = Cell(format_percent(dig(found, "value")), counts)
    return (Cell(label, meaning), share, Cell(spell_interval(found, is_share=True)))


def build_harness_table(tasks: Sequence[Json]) -> Table | None:
    """Base and specialist on tasks of the lm-evaluation-harness; None where none were asked for."""
    rows = [_harness_row(found) for found in tasks]
    caption = "Tasks of the lm-evaluation-harness, base and specialist on the same documents."
    return Table(caption, ("Task", "Base", "Specialist", "Change"), tuple(rows)) if rows else None


def _harness_row(found: Json) -> tuple[Cell, ...]:
    name, metric, change = str(dig(found, "task")), dig(found, "metric"), dig(found, "difference")
    if metric is None:
        return (Cell(name, "no score of single documents, so nothing to compare"), Cell(""), Cell(""), Cell(""))
    label = Cell(name, f"{metric}, {format_count(dig(found, 'num_documents'))} documents")
    points = f"{format_difference(dig(change, 'value'))} points"
    scores = [_percent_cell(dig(found, key)) for key in ("base", "specialist")]
    return (label, *scores, Cell(points, spell_interval(change, is_share=True, is_signed=True)))
