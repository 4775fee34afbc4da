"""`burnish check`: what the checks found, the rendered examples, and the copies that `--fix` and `--redact` write."""

import os
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from burnish.cli.findings import count_severities, print_findings
from burnish.cli.mending import mend_data, print_mended, refuse_to_replace
from burnish.cli.output import print_json, print_next
from burnish.cli.preview import print_preview
from burnish.cli.screen import TerminalScreen
from burnish.conversation import Task
from burnish.data import Severity, check_stream, count_lines, detect_file, locate
from burnish.data.mending.mend import MENDED, Change
from burnish.inspection import Inspection, inspect_data
from burnish.recipe import DataSection, LoadedRecipe, OriginKind, build_recipe, load_recipe, starter_recipe
from burnish.report.preview import write_preview_html

PREVIEWS_ON_PAGE = 50


@dataclass(frozen=True)
class CheckOptions:
    """What the command line asks for besides the check itself."""

    shown: Iterable[int]
    """Numbers of the rendered examples to print, from 0."""
    is_whole: bool
    """Print all of them, however long."""
    html: Path | None
    fix: bool
    leave: frozenset[str]
    """Checks whose findings `fix` leaves alone."""
    redact: bool
    output: Path | None
    deep: bool
    as_json: bool


def check_data(source: str, overrides: list[str], options: CheckOptions) -> bool:
    """Check a recipe's data, or a data file, and tell what was found; whether a run may use it."""
    refuse_to_replace(options.output)
    found = inspect_data(load_recipe_or_data(source, overrides), TerminalScreen(), deep=options.deep)
    if unknown := options.leave - MENDED - {finding.check for finding in found.findings}:
        raise typer.BadParameter(f"--leave: nothing was found by {min(unknown)!r}; names stand in [brackets]")
    copies = None
    if options.fix or options.redact:
        mended = [one for one in found.findings if one.check not in options.leave] if options.fix else []
        copies = mend_data(found, options.output, mended, redact=options.redact)
    counts = count_severities(found.findings)
    if options.as_json:
        _print_as_json(found, counts, copies or {})
    else:
        _print(found, options, copies)
        if copies:
            print_next(*((f"check {os.path.relpath(copy)}", "see what is left") for copy in copies))
        elif copies is None and any(finding.row and finding.severity is Severity.ERROR for finding in found.findings):
            print_next((f"check {source} --fix", "write a copy without these rows"))
    if options.html is not None:
        _write_page(options.html, found)
    return not counts["error"]


def check_quickly(source: str, overrides: list[str], *, as_json: bool) -> bool:
    """One pass over the training file, which may be larger than memory; whether every row is sound."""
    data, task = _asked_for(source, overrides)
    path = locate(data.train)
    with TerminalScreen().bar(f"Checking {path.name}", count_lines(path)) as advance:
        report = check_stream(
            path,
            task=task,
            columns=data.columns,
            missing=data.missing,
            keeps_missing_spelling=data.keep_missing_spelling,
            advance=advance,
        )
    rows = {"rows": report.num_rows, "sound": report.num_sound, "copies": report.num_duplicates}
    if as_json:
        found = [asdict(finding) for finding in report.findings]
        print_json({**rows, "counts": dict(report.num_findings), "findings": found, "pairs": report.duplicates})
    else:
        console = Console(highlight=False)
        print_findings(console, report.findings)
        for check, count in report.num_findings.items():
            if count > (kept := sum(finding.check == check for finding in report.findings)):
                console.print(f"{check}: {count:,} in all; the first {kept:,} are listed.", markup=False)
        told = f"{report.num_rows:,} rows, {report.num_sound:,} sound, {report.num_duplicates:,} copies of earlier ones"
        console.print(f"{told}; only the form of the rows and exact copies were looked at.", markup=False)
    return report.num_sound == report.num_rows


def load_recipe_or_data(source: str, overrides: list[str]) -> LoadedRecipe:
    """A recipe; for a data file, the one that `burnish init` would write for it."""
    if source.endswith(".toml"):
        return load_recipe(Path(source), overrides)
    data, task = _asked_for(source, overrides)
    found, _ = detect_file(data.train, task=task, given=data.columns)
    text = starter_recipe(task=found.task, data=source, notes=[])
    return build_recipe(tomllib.loads(text), overrides=overrides, name=f"the recipe for {source}")


def _asked_for(source: str, overrides: list[str]) -> tuple[DataSection, Task | None]:
    """What a recipe, or a data file with overrides, says of the data; the task of the latter only if it is set."""
    if source.endswith(".toml"):
        recipe = load_recipe(Path(source), overrides).recipe
        return recipe.data, recipe.task
    values = {"task": Task.CHAT.value, "data": {"train": source}}
    loaded = build_recipe(values, overrides=overrides, name=f"the recipe for {source}")
    is_set = loaded.origins["task"].kind is OriginKind.COMMAND_LINE
    return loaded.recipe.data, loaded.recipe.task if is_set else None


def _print(found: Inspection, options: CheckOptions, copies: dict[Path, list[Change]] | None) -> None:
    """Rows, previews, findings, and what was mended."""
    console = Console(highlight=False)
    if detection := found.examined.tables["train"].detection:
        console.print(f"Read as {detection}", markup=False, soft_wrap=True)
    rows = ", ".join(f"{count:,} {part}" for part, count in found.num_rows.items())
    console.print(f"{rows} rows to use", markup=False)
    if found.divided:
        console.print(found.divided.power, markup=False, soft_wrap=True)
    if found.prepared:
        rendered = found.prepared.rendered["train"]
        for number in options.shown:
            if number >= len(rendered):
                raise typer.BadParameter(f"there are {len(rendered):,} examples to learn from")
            print_preview(console, found.prepared.renderer, rendered[number], whole=options.is_whole)
    print_findings(console, found.findings)
    if copies is not None:
        print_mended(console, copies)


def _print_as_json(found: Inspection, counts: dict[str, int], copies: dict[Path, list[Change]]) -> None:
    mended: dict[str, Any] = {str(path): [asdict(change) for change in changes] for path, changes in copies.items()}
    findings = [asdict(finding) for finding in found.findings]
    print_json({"rows": found.num_rows, "counts": counts, "findings": findings, "mended": mended})


def _write_page(path: Path, found: Inspection) -> None:
    console = Console(stderr=True, highlight=False)
    if found.prepared is None:
        why = "an encoder reads no prompts" if found.divided else "the data cannot be rendered with these errors"
        console.print(f"No page was written: {why}.")
        return
    write_preview_html(path, found.prepared.renderer, found.prepared.rendered["train"][:PREVIEWS_ON_PAGE])
    console.print(f"Wrote {path}.", markup=False)
