"""What the checks of the data found, for the terminal: grouped by check, the gravest first."""

import textwrap
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from burnish.data import Finding, Severity, group_by_check

SHOWN_ROWS = 3
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold cyan"}
_INDENT = 9
_PIPED_WIDTH = 100_000  # a line of a message stays one line for grep


def print_findings(console: Console, findings: Sequence[Finding], *, shown_rows: int = SHOWN_ROWS) -> None:
    """Print each check once, with the first rows that it found, and a last line with the counts."""
    for group in group_by_check(findings):
        _print_check(console, group, shown_rows)
        console.print()
    console.print(_totals(findings))


def count_severities(findings: Sequence[Finding]) -> dict[str, int]:
    """How many findings there are of each severity, none of which is left out."""
    counts = Counter(finding.severity for finding in findings)
    return {severity.value: counts[severity] for severity in Severity}


def _print_check(console: Console, group: Sequence[Finding], shown_rows: int) -> None:
    first = group[0]
    count = f"{len(group):,} × " if len(group) > 1 else ""
    meaning = first.meaning or first.check.replace("_", " ")
    head = (f"{first.severity.value:{_INDENT}}", _STYLES[first.severity]), (f"{count}{meaning}", "bold")
    _print(console, Text.assemble(*head, (f"  [{first.check}]", "dim")))
    shown = group[:shown_rows]
    width = max(len(finding.row or "") for finding in shown)
    for finding in shown:
        _print_row(console, finding, width)
    if len(group) > len(shown):
        _print(console, Text(f"{'':{_INDENT}}… and {len(group) - len(shown):,} more", "dim"))
    _print(console, Text.assemble((f"{'→ ':>{_INDENT}}", "green"), _wrapped(console, first.remedy, _INDENT)))


def _print_row(console: Console, finding: Finding, width: int) -> None:
    """The row, and beside it what is wrong; a long message goes on below itself."""
    row = _printable(finding.row or "")
    message = finding.message
    if finding.row:
        message = message[:1].upper() + message[1:]
    indent = _INDENT + (width + 2 if width else 0)
    gap = f"{'':{_INDENT}}", (f"{row:{indent - _INDENT}}", "cyan")
    _print(console, Text.assemble(*gap, _wrapped(console, message, indent)))


def _totals(findings: Sequence[Finding]) -> Text:
    if not findings:
        return Text("Nothing to complain about.", "bold green")
    parts = []
    for severity, count in count_severities(findings).items():
        text = f"{count:,} {severity}{'' if count == 1 else 's'}"
        parts.append((text, _STYLES[Severity(severity)] if count else "dim"))
    return Text(", ").join([Text(*part) for part in parts])


def _wrapped(console: Console, text: str, indent: int) -> str:
    width = console.width if console.is_terminal else _PIPED_WIDTH
    lines = textwrap.wrap(_printable(text), max(20, width - indent), break_long_words=True, break_on_hyphens=False)
    return f"\n{'':{indent}}".join(lines)


def _printable(text: str) -> str:
    """Messages quote the rows, and a row may hold what a terminal would obey."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True)
