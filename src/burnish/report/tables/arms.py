"""All arms side by side: scores, costs, comparisons, parts of the task."""

from burnish.report.arms import PLAIN_NAMES, arm_indexes, arm_titles, has_share_metric, score_heading
from burnish.report.format import (
    NOT_MEASURED,
    format_count,
    format_difference,
    format_latency,
    format_number,
    format_p_value,
    format_per_minute,
    format_percent,
    format_plural,
    format_score,
)
from burnish.report.record import Json, dig, items
from burnish.report.tables.measures import KINDS
from burnish.report.tables.table import SHARES, Cell, Table, spell_interval, spell_name, spell_score


def build_arms_table(evaluation: Json) -> Table | None:
    """A row per arm: score with interval, what a request costs, and the details; None without arms."""
    arms = items(evaluation, "arms")
    if not arms:
        return None
    measured = {name for arm in arms for kind in KINDS for name in dig(arm, kind) or {}}  # with intervals, further down
    details = [name for name in _detail_names(arms) if name not in measured]
    columns = (
        "Arm",
        score_heading(evaluation),
        "Prompt tokens",
        "One request alone",
        "Answers a minute, when busy",
        *map(spell_name, details),
    )
    rows = tuple(_arm_row(arm, details, evaluation) for arm in arms)
    return Table("Every arm answered the same frozen test rows.", columns, rows)


def _detail_names(arms: list[Json]) -> list[str]:
    return list(dict.fromkeys(name for arm in arms for name in dig(arm, "details") or {}))


def build_comparisons_table(evaluation: Json) -> Table | None:
    """A row per paired comparison; None where there is none."""
    comparisons = [*items(evaluation, "comparisons"), *items(evaluation, "leader_comparisons")]
    if not comparisons:
        return None
    titles = arm_titles(evaluation)
    methods = dict.fromkeys(str(c["method"]) for c in comparisons if dig(c, "method"))
    caption = "Row by row on the same test rows." + (f" Method: {'; '.join(methods)}." if methods else "")
    has_margin = any(dig(c, "p_value_within_margin") is not None for c in comparisons)
    margin = 100 * (dig(evaluation, "noninferiority_margin") or 0)
    rows = tuple(_comparison_row(comparison, titles, evaluation, has_margin) for comparison in comparisons)
    within = (f"p, other within {margin:g} point{'s' if margin != 1 else ''}",) if has_margin else ()
    columns = ("Comparison", "Difference", "p", "Adjusted p", *within, "Wins / ties / losses")
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


def _arm_row(arm: Json, details: list[str], evaluation: Json) -> tuple[Cell, ...]:
    index, is_share = arm_indexes(list(arm_titles(evaluation)))[arm["name"]], has_share_metric(evaluation)
    score, tokens, request = (dig(arm, key) for key in ("score", "prompt_tokens", "request"))
    return (
        Cell(str(arm.get("title") or arm["name"]), PLAIN_NAMES.get(arm["name"], ""), arm_index=index),
        Cell(spell_score(score, is_share), spell_interval(score, is_share, absent="")),
        Cell(format_count(dig(tokens, "mean")), _unless_absent("max ", dig(tokens, "max"))),
        Cell(format_latency(dig(request, "median_s")), _spell_range(request)),
        Cell(format_per_minute(dig(arm, "answers_per_s"))),
        *(Cell(_format_detail(name, dig(arm, "details", name))) for name in details),
    )


def _spell_range(request: Json | None) -> str:
    """Between which times the requests lay, and how many they were."""
    ends, count = [dig(request, key) for key in ("min_s", "max_s")], dig(request, "num_rows")
    if None in (*ends, count):
        return ""
    return f"{' – '.join(map(format_latency, ends))}, {format_plural(count, 'row')}"


def _format_detail(name: str, value: float | None) -> str:
    return format_percent(value) if name.endswith(SHARES) else format_number(value)


def _unless_absent(before: str, value: float | None) -> str:
    return "" if value is None else before + format_count(value)


def _comparison_row(comparison: Json, titles: dict[str, str], evaluation: Json, has_margin: bool) -> tuple[Cell, ...]:
    is_share = has_share_metric(evaluation)
    candidate, baseline = (str(comparison[key]) for key in ("candidate", "baseline"))
    difference = dig(comparison, "difference")
    interval = spell_interval(difference, is_share, is_signed=True, absent="")
    return (
        Cell(titles.get(candidate, candidate), f"against {titles.get(baseline, baseline)}"),
        Cell(format_difference(dig(difference, "value"), is_share=is_share), interval),
        Cell(format_p_value(dig(comparison, "p_value"))),
        Cell(format_p_value(dig(comparison, "p_value_adjusted"))),
        *((Cell(format_p_value(dig(comparison, "p_value_within_margin"))),) if has_margin else ()),
        _counts_cell([dig(comparison, key) for key in ("num_wins", "num_ties", "num_losses")]),
    )


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
