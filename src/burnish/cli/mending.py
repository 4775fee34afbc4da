"""`burnish check --fix` and `--redact`: a cleaned copy of each data file, and what the user is told about it."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from burnish.data import Finding
from burnish.data.mending.mend import Change, copy_of, log_of, mend_file, usual_spellings
from burnish.errors import DataError
from burnish.inspection import Inspection
from burnish.report.format import format_plural


def refuse_to_replace(output: Path | None) -> None:
    """Stop before anything is done for a copy that cannot be written.

    Raises:
        DataError: there is a file of this name.
    """
    if output is not None and output.exists():
        raise DataError(f"{output}: there is a file already. Choose another --output.")


def mend_data(
    found: Inspection, output: Path | None, findings: Sequence[Finding], *, redact: bool
) -> dict[Path, list[Change]]:
    """Write a copy of each file that needs one, without what the findings tell; the changes of each copy.

    Raises:
        DataError: `output` is to hold more than one file, or files have the same name.
    """
    sources = [table.path for table in found.examined.tables.values()]
    if len({source.name for source in sources}) < len(sources):
        raise DataError(
            f"{sources[0].name}: more than one file has this name, so rows cannot be told apart. Rename one."
        )
    if output is not None and len(sources) > 1:
        raise DataError(f"{output}: the recipe names {len(sources)} files. Leave --output out; each gets its own copy.")
    copies: dict[Path, list[Change]] = {}
    examples = [example for part in found.examined.examples.values() for example in part]
    for source in sources:
        copy = output or copy_of(source)
        spellings = usual_spellings(findings, examples)
        if changes := mend_file(source, copy, findings, spellings=spellings, redact=redact):
            copies[copy] = changes
    return copies


def print_mended(console: Console, copies: Mapping[Path, Sequence[Change]]) -> None:
    """Each copy with how many rows were removed or changed, and where that is told row by row."""
    if not copies:
        console.print("Nothing to mend, so no copy was written.", soft_wrap=True)
    for copy, changes in copies.items():
        lines: dict[str, set[int | None]] = defaultdict(set)
        for change in changes:
            lines[change.done].add(change.line)
        is_rewritten = None in lines.get("rewritten", ())
        counts = [f"{format_plural(len(rows - {None}), 'row')} {done}" for done, rows in lines.items() if rows - {None}]
        what = ", ".join(["the whole file rewritten as UTF-8"] * is_rewritten + counts)
        console.print(Text.assemble("Wrote ", (os.path.relpath(copy), "bold"), f": {what}."), soft_wrap=True)
        log = os.path.relpath(log_of(copy))
        console.print(f"{log} tells each change and why; the original is as it was.", markup=False, soft_wrap=True)
