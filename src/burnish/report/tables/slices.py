"""Parts of the test rows, and which rows changed."""

from burnish.report.arms import arm_titles, has_share_metric
from burnish.report.format import format_count, format_difference, format_p_value
from burnish.report.record import Json, dig, items
from burnish.report.tables.table import Cell, Table, spell_interval, spell_score


def build_slices_table(evaluation: Json) -> Table | None:
    """A row per slice, the worst first: both scores and their paired difference; None where there is none."""
    found, titles = dig(evaluation, "slices"), arm_titles(evaluation)
    if not items(found, "slices"):
        return None
    arms = [titles.get(str(dig(found, side)), side.capitalize()) for side in ("baseline", "candidate")]
    rows = tuple(_slice_row(part, has_share_metric(evaluation)) for part in found["slices"])
    columns = ("Slice", "Test rows", *arms, "Difference", "Adjusted p", "Better / worse")
    return Table(str(dig(found, "note") or "Parts of the test rows."), columns, rows)


def build_changes_table(evaluation: Json) -> Table | None:
    """How many rows the specialist mended and broke against each other arm; None where there are none to tell of."""
    changes, titles = items(evaluation, "errors", "changes"), arm_titles(evaluation)
    rows = tuple(
        (
            Cell(titles.get(str(change["baseline"]), str(change["baseline"]))),
            *(Cell(format_count(len(change[key]))) for key in ("fixed", "broken")),
        )
        for change in changes
        if dig(change, "fixed") is not None and dig(change, "broken") is not None
        if change["fixed"] or change["broken"]
    )
    caption = "Rows that only one of the two has fully right."
    columns = ("Specialist against", "Fixed: wrong, now right", "Broken: right, now wrong")
    return Table(caption, columns, rows) if rows else None


def _slice_row(part: Json, is_share: bool) -> tuple[Cell, ...]:
    difference = dig(part, "difference")
    interval = spell_interval(difference, is_share, is_signed=True, absent="")
    wins, losses = dig(part, "num_wins"), dig(part, "num_losses")
    return (
        Cell(str(part["name"]), str(dig(part, "kind") or "")),
        Cell(format_count(dig(part, "num_rows"))),
        *(_score_cell(dig(part, side), is_share) for side in ("baseline", "candidate")),
        Cell(format_difference(dig(difference, "value"), is_share=is_share), interval),
        Cell(format_p_value(dig(part, "p_value_adjusted"))),
        Cell(f"{format_count(wins)} / {format_count(losses)}"),
    )


def _score_cell(estimate: Json | None, is_share: bool) -> Cell:
    return Cell(spell_score(estimate, is_share), spell_interval(estimate, is_share, absent=""))
