"""What a user reads of the findings: one block a check, the gravest first, and the counts; nothing a terminal obeys."""

import io

from rich.console import Console

from burnish.cli.findings import count_severities, print_findings
from burnish.data import Check, Finding, Severity

BROKEN = Check("invalid_json", Severity.ERROR, "a line that is not JSON", "Mend the line or remove it.")
COPY = Check("duplicate_row", Severity.WARNING, "the same row again", "Remove it.")
MARK = Check("utf8_bom", Severity.NOTE, "a byte order mark", "Nothing has to be done.")


def printed(*findings: Finding, width: int = 60, is_terminal: bool = False) -> str:
    stream = io.StringIO()
    print_findings(Console(file=stream, width=width, force_terminal=is_terminal, highlight=False), findings)
    return stream.getvalue()


def test_the_gravest_first_each_check_once_and_the_counts_last() -> None:
    copies = [COPY.found("the same as rows.jsonl:1.", f"rows.jsonl:{n}") for n in range(97, 1102)]
    text = printed(MARK.found("rows.jsonl: it begins with one."), *copies, BROKEN.found("not JSON.", "rows.jsonl:3"))
    assert text == (
        "error    a line that is not JSON  [invalid_json]\n"
        "         rows.jsonl:3  Not JSON.\n"
        "       → Mend the line or remove it.\n"
        "\n"
        "warning  1,005 × the same row again  [duplicate_row]\n"
        "         rows.jsonl:97  The same as rows.jsonl:1.\n"
        "         rows.jsonl:98  The same as rows.jsonl:1.\n"
        "         rows.jsonl:99  The same as rows.jsonl:1.\n"
        "         … and 1,002 more\n"
        "       → Remove it.\n"
        "\n"
        "note     a byte order mark  [utf8_bom]\n"
        "         rows.jsonl: it begins with one.\n"
        "       → Nothing has to be done.\n"
        "\n"
        "1 error, 1,005 warnings, 1 note\n"
    )


def test_the_check_that_found_most_comes_first_among_equals() -> None:
    other = Check("near_duplicate", Severity.WARNING, "nearly the same", "Look.")
    text = printed(COPY.found("", "r:1"), other.found("", "r:2"), other.found("", "r:3"))
    assert text.index("near_duplicate") < text.index("duplicate_row")


def test_nothing_found() -> None:
    assert printed() == "Nothing to complain about.\n"
    assert count_severities([]) == {"error": 0, "warning": 0, "note": 0}


def test_a_long_message_goes_on_below_itself_in_a_terminal_and_stays_one_line_in_a_pipe() -> None:
    finding = BROKEN.found("a long message " * 6, "rows.jsonl:3")
    assert any("a long message " * 4 in line for line in printed(finding).split("\n"))
    first, *rest = [line for line in printed(finding, is_terminal=True).split("\n") if "long" in line]
    assert "rows.jsonl:3" in first and len(rest) == 2
    assert all(line.startswith(" " * 23 + "message") or line.startswith(" " * 23 + "a long") for line in rest)


def test_colours_only_in_a_terminal_and_no_escape_of_the_data_in_either() -> None:
    finding = BROKEN.found("found '\x1b[2Jgone\x07' [bold]here[/bold]", "rows\x1b.jsonl:3")
    assert "\x1b" not in printed(finding) and "[bold]here[/bold]" in printed(finding)
    text = printed(finding, is_terminal=True)
    assert "\x1b[1;31merror" in text and "\x1b[2J" not in text and "\x07" not in text
