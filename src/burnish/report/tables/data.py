"""What the checks of the data found, and the labels with their rows."""

from burnish.report.format import format_count
from burnish.report.record import Json, items
from burnish.report.tables.table import Cell, Table, spell_name


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
    """What a check found, in a line: "a row without an answer (3 times)"."""
    meaning = str(check["meaning"] or spell_name(check["check"]))
    return f"{meaning} ({format_count(check['count'])} times)" if check["count"] > 1 else meaning


def _first_rows(check: Json) -> str:
    """The places of the first findings; what was found where it has no place."""
    rows = check["rows"]
    return ", ".join(rows) + (", …" if check["count"] > len(rows) else "") if rows else str(check["message"])
