"""Files with known defects: the checks find exactly those, by row and id, and are silent about sound data."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from burnish.conversation import Task
from burnish.data import Finding, Severity, detect_file, load_table
from burnish.errors import DataError
from burnish.examination import examine
from burnish.recipe import build_recipe
from burnish.screen import SilentScreen

DATA = Path(__file__).parents[3] / "shared" / "data"
MESSY = DATA / "messy"
EXPECTATIONS: dict[str, list[dict[str, Any]]] = (
    json.loads((MESSY / "expectations.json").read_text()) if MESSY.is_dir() else {}
)
pytestmark = pytest.mark.skipif(not EXPECTATIONS, reason="the public data is not here")

NAMED = frozenset(problem["problem"] for problems in EXPECTATIONS.values() for problem in problems)
# The half of a pair that this file leaks into.
TRAIN_OF = {"leak_test.jsonl": "leak_train.jsonl"}


def problems_of(name: str) -> list[Finding]:
    """What `burnish check` finds in a file, of the kinds that the expectations know."""
    train = TRAIN_OF.get(name)
    path = str(MESSY / (train or name))
    try:
        task = detect_file(path)[0].task
    except DataError:
        task = Task.CHAT
    data = {"train": path} | ({"test": str(MESSY / name)} if train else {})
    findings = examine(build_recipe({"task": task, "data": data}), SilentScreen()).findings
    return [f for f in findings if f.check in NAMED and not (train and f.row and f.row.startswith(train))]


@pytest.mark.parametrize("name", EXPECTATIONS)
def test_each_file_gives_exactly_its_problems(name: str) -> None:
    accepted = [
        {(problem["line"], problem["problem"]), (problem["line"], problem.get("or", problem["problem"]))}
        for problem in EXPECTATIONS[name]
    ]
    found = {(_line(finding), finding.check) for finding in problems_of(name)}
    assert [names for names in accepted if not names & found] == []
    assert found - set().union(*accepted) == set()


def test_the_formats_are_those_of_the_manifest() -> None:
    shapes = {name: entry["shape"] for name, entry in json.loads((MESSY / "manifest.json").read_text()).items()}
    names = {"preference_messages": "preference"}  # one format, with texts or with messages
    for name, shape in shapes.items():
        if shape != "none":
            assert detect_file(str(MESSY / name))[0].format.name == names.get(shape, shape), name


SOUND = ("bank_chat", "banking77", "gsm8k", "medquad", "restaurant8k")


def test_sound_data_has_no_errors_and_only_the_warnings_that_were_looked_at() -> None:
    found = Counter[tuple[str, str, str]]()
    for path in (path for name in SOUND for path in sorted((DATA / name).glob("*.jsonl"))):
        for finding in load_table(path, detect_file(str(path))[0].task, columns={}).findings:
            found[path.parent.name, finding.check, finding.severity] += 1
    assert found == {
        ("gsm8k", "invisible_character", Severity.WARNING): 2,
        ("gsm8k", "line_separator", Severity.NOTE): 1,
        ("restaurant8k", "replacement_character", Severity.WARNING): 1,
    }


def _line(finding: Finding) -> int | None:
    return int(finding.row.rpartition(":")[2]) if finding.row else None
