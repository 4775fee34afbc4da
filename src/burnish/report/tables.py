"""The tables of the page as rows of text: arms, comparisons, parts of the task, retention."""

from dataclasses import dataclass
from typing import Any

from burnish.report.format import (
    NOT_MEASURED,
    format_count,
    format_difference,
    format_interval,
    format_latency,
    format_nats,
    format_nats_interval,
    format_number,
    format_p_value,
    format_percent,
    format_score,
)
from burnish.report.plots import arm_indexes
from burnish.report.record import Json, dig, items

SHARES = (
    "validity",
    "match",
    "accuracy",
    "f1",
    "precision",
    "recall",
    "share",
    "rate",
    "agreement",
    "coverage",
)
SPELLINGS = {
    "json": "JSON",
    "f1": "F1",
    "nll": "NLL",
    "kl": "KL",
    "chrf": "chrF",
    "bleu": "BLEU",
    "p50": "p50",
}


@dataclass(frozen=True)
class Cell:
    """One cell; the first of a row is its header."""

    text: str
    note: str = ""
    arm_index: int | None = None
    share: float | None = None  # drawn as a thin bar under the text
    counts: tuple[int, ...] | None = None  # wins, ties, losses, drawn as a divided bar


@dataclass(frozen=True)
class Table:
    """A table with a caption and the heads of its columns."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def build_arms_table(evaluation: Json) -> Table | None:
    """A row per arm: score with interval, what a request costs, and the details; None without arms."""
    arms = items(evaluation, "arms")
    if not arms:
        return None
    details = list(dict.fromkeys(name for arm in arms for name in dig(arm, "details") or {}))
    columns = (
        "Arm",
        score_heading(evaluation),
        "Prompt tokens",
        "Latency p50",
        "Latency p95",
        *map(spell_name, details),
    )
    rows = tuple(_arm_row(arm, details, evaluation) for arm in arms)
    return Table("Every arm answered the same frozen test rows.", columns, rows)


def build_comparisons_table(evaluation: Json) -> Table | None:
    """A row per paired comparison; None where there is none."""
    comparisons = items(evaluation, "comparisons")
    if not comparisons:
        return None
    titles = arm_titles(evaluation)
    rows = tuple(_comparison_row(comparison, titles, evaluation) for comparison in comparisons)
    methods = dict.fromkeys(str(c["method"]) for c in comparisons if dig(c, "method"))
    caption = "Row by row on the same test rows." + (f" Method: {'; '.join(methods)}." if methods else "")
    columns = ("Comparison", "Difference", "p", "Adjusted p", "Wins / ties / losses")
    return Table(caption, columns, rows)


def build_breakdown_table(evaluation: Json) -> Table | None:
    """A row per field or label, a column per arm; None where no arm has a breakdown."""
    arms = [arm for arm in items(evaluation, "arms") if dig(arm, "breakdown")]
    if not arms:
        return None
    names = list(dict.fromkeys(part["name"] for arm in arms for part in arm["breakdown"]))
    parts = {(arm["name"], part["name"]): part for arm in arms for part in arm["breakdown"]}
    rows = tuple(_breakdown_row(name, arms, parts, evaluation) for name in names)
    caption = f"{score_heading(evaluation)} by part, and the test rows that have it."
    return Table(caption, ("Part", "Test rows", *(str(arm.get("title") or arm["name"]) for arm in arms)), rows)


def build_retention_table(retention: Json) -> Table:
    """A row per measure of forgetting."""
    measures = (
        ("nll_change", "Change of NLL, the base's own answers", "how much less likely they have become", True),
        ("general_text_nll_change", "Change of NLL, general text", "the same, on general text", True),
        ("kl", "KL from the base", "how far the next-token distributions have moved", False),
    )
    rows = [
        _retention_row(label, meaning, dig(retention, key), is_signed) for key, label, meaning, is_signed in measures
    ]
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


def build_checks_table(card: Json) -> Table | None:
    """A row per check that found something, errors first; None where none did."""
    checks = items(card, "checks")
    if not checks:
        return None
    rows = tuple(
        (
            Cell(str(check["meaning"] or spell_name(check["check"])), f"{check['severity']}: {check['check']}"),
            Cell(format_count(check["count"])),
            Cell(_first_rows(check)),
            Cell(str(check["done"] or check["remedy"])),
        )
        for check in checks
    )
    return Table("What the checks of the data found.", ("Found", "Times", "First", "What to do, or was done"), rows)


def build_labels_table(card: Json) -> Table | None:
    """A row per label with its rows in each part; None where the task has no labels."""
    labels = items(card, "labels")
    if not labels:
        return None
    parts = ("train", "validation", "test")
    rows = tuple((Cell(label["label"]), *(Cell(format_count(label[part])) for part in parts)) for label in labels)
    return Table("Rows by label.", ("Label", *map(str.capitalize, parts)), rows)


def spell_check(check: Json) -> str:
    """What a check found, in a line: "3 × a row without an answer"."""
    meaning = str(check["meaning"] or spell_name(check["check"]))
    return f"{format_count(check['count'])} × {meaning}" if check["count"] > 1 else meaning[:1].upper() + meaning[1:]


def score_heading(evaluation: Json) -> str:
    """The metric's name for a column or a figure: "field F1"."""
    return str(dig(evaluation, "metric", "label") or dig(evaluation, "metric", "name") or "Score")


def arm_titles(evaluation: Json) -> dict[str, str]:
    """Each arm's title by its name."""
    return {arm["name"]: str(arm.get("title") or arm["name"]) for arm in items(evaluation, "arms")}


def has_share_metric(evaluation: Json) -> bool:
    """Whether scores are shares, to be shown as percent points."""
    return dig(evaluation, "metric", "is_share") is not False


def spell_score(estimate: Any, is_share: bool) -> str:
    """The value of an estimate of the metric."""
    return format_score(dig(estimate, "value"), is_share=is_share)


def spell_interval(estimate: Any, is_share: bool, *, is_signed: bool = False, absent: str = NOT_MEASURED) -> str:
    """The interval of an estimate of the metric, or, with `is_signed`, of a difference."""
    low, high = dig(estimate, "low"), dig(estimate, "high")
    if low is None or high is None:
        return absent
    return format_interval(low, high, is_share=is_share, is_signed=is_signed)


def spell_name(name: str) -> str:
    """A key as a person would write it: "json_validity" reads "JSON validity"."""
    words = [SPELLINGS.get(word, word) for word in name.split("_")]
    return " ".join(
        [words[0][:1].upper() + words[0][1:] if words[0] not in SPELLINGS.values() else words[0], *words[1:]]
    )


def _arm_row(arm: Json, details: list[str], evaluation: Json) -> tuple[Cell, ...]:
    index, is_share = arm_indexes(list(arm_titles(evaluation)))[arm["name"]], has_share_metric(evaluation)
    score, tokens, latency = (dig(arm, key) for key in ("score", "prompt_tokens", "latency_s"))
    return (
        Cell(str(arm.get("title") or arm["name"]), arm_index=index),
        Cell(spell_score(score, is_share), spell_interval(score, is_share, absent="")),
        Cell(format_count(dig(tokens, "mean")), _unless_absent("max ", dig(tokens, "max"))),
        Cell(format_latency(dig(latency, "p50"))),
        Cell(format_latency(dig(latency, "p95"))),
        *(Cell(_format_detail(name, dig(arm, "details", name))) for name in details),
    )


def _format_detail(name: str, value: float | None) -> str:
    return format_percent(value) if name.endswith(SHARES) else format_number(value)


def _unless_absent(before: str, value: float | None) -> str:
    return "" if value is None else before + format_count(value)


def _comparison_row(comparison: Json, titles: dict[str, str], evaluation: Json) -> tuple[Cell, ...]:
    is_share = has_share_metric(evaluation)
    candidate, baseline = (str(comparison[key]) for key in ("candidate", "baseline"))
    difference = dig(comparison, "difference")
    interval = spell_interval(difference, is_share, is_signed=True, absent="")
    return (
        Cell(titles.get(candidate, candidate), f"against {titles.get(baseline, baseline)}"),
        Cell(format_difference(dig(difference, "value"), is_share=is_share), interval),
        Cell(format_p_value(dig(comparison, "p_value"))),
        Cell(format_p_value(dig(comparison, "p_value_adjusted"))),
        _counts_cell([dig(comparison, key) for key in ("num_wins", "num_ties", "num_losses")]),
    )


def _first_rows(check: Json) -> str:
    """The places of the first findings; what was found where it has no place."""
    rows = check["rows"]
    return ", ".join(rows) + (", …" if check["count"] > len(rows) else "") if rows else str(check["message"])


def _counts_cell(counts: list[int | None]) -> Cell:
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return Cell(NOT_MEASURED)
    return Cell(" / ".join(map(format_count, known)), counts=tuple(known))


def _breakdown_row(
    name: str, arms: list[Json], parts: dict[tuple[str, str], Json], evaluation: Json
) -> tuple[Cell, ...]:
    is_share, indexes = has_share_metric(evaluation), arm_indexes(list(arm_titles(evaluation)))
    found = {arm["name"]: parts.get((arm["name"], name)) for arm in arms}
    num_rows = next((n for part in found.values() if (n := dig(part, "num_rows")) is not None), None)
    scores = {arm: dig(part, "score") for arm, part in found.items()}
    cells = [
        Cell(format_score(score, is_share=is_share), "", indexes[arm], score if is_share else None)
        for arm, score in scores.items()
    ]
    return (Cell(name), Cell(format_count(num_rows)), *cells)


def _retention_row(label: str, meaning: str, estimate: Json | None, is_signed: bool) -> tuple[Cell, ...]:
    interval = format_nats_interval(dig(estimate, "low"), dig(estimate, "high"), is_signed=is_signed)
    value = dig(estimate, "value")
    unit = "" if value is None else " nats"
    return (Cell(label, meaning), Cell(format_nats(value, is_signed=is_signed) + unit), Cell(interval))
