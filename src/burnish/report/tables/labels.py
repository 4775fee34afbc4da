"""Labels and fields one by one, which labels are taken for which, and what can be left to an arm."""

from dataclasses import dataclass

from burnish.report.arms import arm_indexes, arm_titles, best_other, dig_sureness, specialist_arm, told_arm
from burnish.report.format import NOT_MEASURED, format_count, format_percent, format_score
from burnish.report.record import Json, dig, items
from burnish.report.tables.table import Cell, Table

RISK = "risk_coverage"


@dataclass(frozen=True)
class Confusion:
    """How often each label (a row) was answered by each (a column), with the share of its row."""

    title: str
    labels: tuple[str, ...]
    rows: tuple[tuple[tuple[int, float], ...], ...]


def build_label_costs_table(evaluation: Json) -> Table | None:
    """A row per label with what the specialist makes of it, those that cost most answers first; None without labels."""
    arm = told_arm(evaluation)
    labels = items(arm, "classification", "labels")
    if arm is None or not labels:
        return None
    others = {} if arm is best_other(evaluation) else _f1_by_name(best_other(evaluation), "classification", "labels")
    columns = ("Label", "Test rows", "Missed", "Wrongly given", "Precision", "Recall", "F1", *_other_heading(others))
    rows = tuple(_label_row(label, others) for label in sorted(labels, key=_label_cost))
    return Table(f"{arm_titles(evaluation)[arm['name']]}, the labels with most wrong answers first.", columns, rows)


def build_fields_table(evaluation: Json) -> Table | None:
    """A row per field with what the specialist makes of it, those that are missed most often first."""
    arm = told_arm(evaluation)
    fields = items(arm, "extraction", "fields")
    if arm is None or not fields:
        return None
    others = {} if arm is best_other(evaluation) else _f1_by_name(best_other(evaluation), "extraction", "fields")
    invented = {part["name"]: part for part in items(arm, "extraction", "invented_values_by_field")}
    columns = ("Field", "Test rows", "Precision", "Recall", "F1", *_other_heading(others), "Values not in the text")
    rows = tuple(_field_row(field, others, invented) for field in sorted(fields, key=_field_cost))
    caption = f"{arm_titles(evaluation)[arm['name']]}, the fields that are missed most often first."
    return Table(f"{caption} Values of a closed set, such as a category, need not stand in the text.", columns, rows)


def build_confusions(evaluation: Json) -> tuple[Confusion, ...]:
    """A matrix for each of specialist and best other arm, where the labels are few enough for one."""
    return tuple(
        _confusion(arm_titles(evaluation)[arm["name"]], arm["classification"]["confusion"])
        for arm in _compared(evaluation)
        if dig(arm, "classification", "confusion", "matrix")
    )


def build_pairs_table(evaluation: Json) -> Table | None:
    """The most frequent mistakes of the specialist; None where none was made, or a matrix shows them."""
    arm = told_arm(evaluation)
    pairs = items(arm, "classification", "confusion", "worst_pairs")
    if arm is None or not pairs or dig(arm, "classification", "confusion", "matrix"):
        return None
    rows = tuple(
        (
            Cell(str(pair["target"])),
            Cell(str(pair["prediction"])),
            Cell(format_count(pair["num_rows"])),
            Cell(format_percent(pair["share_of_target"])),
        )
        for pair in pairs
    )
    columns = ("Wanted", "Answered", "Rows", "Of the rows that want it")
    return Table(f"{arm_titles(evaluation)[arm['name']]}, its most frequent mistakes.", columns, rows)


def build_goals_table(evaluation: Json) -> Table | None:
    """A row per arm that meets a goal, a column per goal: what to send to a person for it to be met."""
    titles = arm_titles(evaluation)
    indexes = arm_indexes(list(titles))
    arms = [arm for arm in items(evaluation, "arms") if _meets_any(arm)]
    if not arms:
        return None
    goals = list(dict.fromkeys(goal["goal"] for arm in arms for goal in dig_sureness(arm, RISK, "goals")))
    rows = []
    for arm in arms:
        found = {goal["goal"]: goal for goal in dig_sureness(arm, RISK, "goals")}
        head = Cell(titles[arm["name"]], _spell_chosen(dig_sureness(arm, RISK)), indexes[arm["name"]])
        rows.append((head, *(_goal_cell(found.get(goal)) for goal in goals)))
    columns = ("Arm", *(f"For {100 * goal:g} % right" for goal in goals))
    caption = "What to send to a person, and how the test rows that were kept came out; “not shown”: the lower limit"
    return Table(f"{caption} does not reach the goal.", columns, tuple(rows))


def spell_unmet(evaluation: Json) -> str:
    """The arms that meet none of the goals, in a sentence; empty where each meets one, or none has a confidence."""
    arms = [arm for arm in items(evaluation, "arms") if dig_sureness(arm, RISK, "goals")]
    unmet = [arm for arm in arms if not _meets_any(arm)]
    if not unmet:
        return ""
    least = min(float(goal["goal"]) for arm in unmet for goal in dig_sureness(arm, RISK, "goals"))
    titles = arm_titles(evaluation)
    names = ", ".join(titles[arm["name"]] for arm in unmet)
    who = "Nothing can be left to any arm" if len(unmet) == len(arms) else f"Nothing can be left to these arms: {names}"
    right = "right in all fields" if any(dig(arm, "extraction") for arm in unmet) else "right"
    return f"{who}. Not even the surest answers are {100 * least:g} % {right}."


def _meets_any(arm: Json) -> bool:
    return any(dig(goal, "threshold") is not None for goal in dig_sureness(arm, RISK, "goals") or ())


def build_calibration_table(evaluation: Json) -> Table | None:
    """How sure the specialist was, and how often right, from the least sure rows to the surest."""
    arm = told_arm(evaluation)
    bins = dig_sureness(arm, "calibration", "bins")
    if arm is None or not bins:
        return None
    rows = tuple(
        (
            Cell(format_percent(each["confidence"])),
            Cell(format_percent(each["accuracy"])),
            Cell(format_count(each["num_rows"])),
        )
        for each in bins
    )
    right = "right in all fields" if dig(arm, "extraction") else "right"
    caption = f"{arm_titles(evaluation)[arm['name']]}: of answers given with 80 % confidence, 80 % should be {right}."
    return Table(caption, ("Confidence", "Right", "Test rows"), rows)


def _compared(evaluation: Json) -> list[Json]:
    arms = (specialist_arm(evaluation), best_other(evaluation))
    return [arm for arm in arms if arm is not None]


def _other_heading(others: dict[str, float | None]) -> tuple[str, ...]:
    return ("F1, best other arm",) if others else ()


def _f1_by_name(arm: Json | None, kind: str, parts: str) -> dict[str, float | None]:
    return {part["name"]: dig(part, "f1") for part in items(arm, kind, parts)}


def _label_row(label: Json, others: dict[str, float | None]) -> tuple[Cell, ...]:
    missed, wrong = _num_wrong(label)
    return (
        Cell(str(label["name"])),
        Cell(format_count(dig(label, "num_rows"))),
        Cell(format_count(missed)),
        Cell(format_count(wrong)),
        *(_share_cell(dig(label, key)) for key in ("precision", "recall", "f1")),
        *((_share_cell(others.get(label["name"])),) if others else ()),
    )


def _num_wrong(label: Json) -> tuple[int, int]:
    """Rows that want the label and got another, and rows that got it and want another."""
    wanted, predicted = dig(label, "num_rows") or 0, dig(label, "num_predicted") or 0
    num_right = round((dig(label, "recall") or 0) * wanted)
    return wanted - num_right, predicted - num_right


def _label_cost(label: Json) -> tuple[int, str]:
    return -sum(_num_wrong(label)), str(label["name"])


def _field_row(field: Json, others: dict[str, float | None], invented: dict[str, Json]) -> tuple[Cell, ...]:
    made_up = invented.get(field["name"])
    wanted = dig(made_up, "share_of_targets")
    return (
        Cell(str(field["name"])),
        Cell(format_count(dig(field, "num_rows"))),
        *(_share_cell(dig(field, key)) for key in ("precision", "recall", "f1")),
        *((_share_cell(others.get(field["name"])),) if others else ()),
        Cell(_share_cell(dig(made_up, "share")).text, "" if wanted is None else f"targets: {format_score(wanted)}"),
    )


def _field_cost(field: Json) -> tuple[float, str]:
    return -(dig(field, "num_rows") or 0) * (1 - (dig(field, "recall") or 0)), str(field["name"])


def _share_cell(share: float | None) -> Cell:
    """A share of no rows is none, and not a gap in the measurement."""
    return Cell("–" if share is None else format_score(share))


def _confusion(title: str, confusion: Json) -> Confusion:
    rows = [[(count, count / (sum(counts) or 1)) for count in counts] for counts in confusion["matrix"]]
    return Confusion(title, tuple(map(str, confusion["labels"])), tuple(map(tuple, rows)))


def _goal_cell(goal: Json | None) -> Cell:
    if goal is None or dig(goal, "sent_share") is None:
        return Cell(NOT_MEASURED)
    if dig(goal, "threshold") is None:
        return Cell("cannot be met")
    kept = f"{format_percent(dig(goal, 'accuracy'))} right, at least {format_percent(dig(goal, 'low'))}"
    shown = "" if dig(goal, "is_shown") else "; not shown"
    if not goal["threshold"]:
        return Cell("send nothing", f"{kept}{shown}")
    return Cell(f"send {format_percent(goal['sent_share'])}", f"below {goal['threshold']:.3g}; {kept}{shown}")


def _spell_chosen(found: Json) -> str:
    part, count = dig(found, "chosen_on"), dig(found, "num_rows_chosen_on")
    return "" if part is None or count is None else f"limits chosen on {format_count(count)} {part} rows"
