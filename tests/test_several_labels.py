"""Rows with several labels each: every way to write them is recognized, and the remedy that is printed works."""

import csv
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from burnish.cli.main import app
from burnish.errors import BurnishError
from burnish.files import write_jsonl
from burnish.pipeline import run
from burnish.recipe import load_recipe
from burnish.recording import Endpoint, read_questions, record_answers
from tests.recording.server import Asked, Reply, serving
from tests.tiny import own_cache, save_base

LABELS = ("billing", "refund", "delivery", "broken")
RANDOM = random.Random(0)
ROWS = [(f"Message {n}", sorted(RANDOM.sample(LABELS, 1 + n % 2 + (n % 5 == 0)))) for n in range(60)]
Make = Callable[[list[str]], dict[str, Any]]
REMEDY = 'Write several as {"text": "...", "fields": {"labels": ["...", "..."]}}, with task = "extraction"'


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("several") / "base")


@pytest.fixture(autouse=True)
def cache_apart(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_CACHE", own_cache(tmp_path_factory.getbasetemp()))


def check(base: Path, path: Path, *more: str, task: str = "classification") -> tuple[int, str]:
    recipe = path.with_suffix(".toml")
    recipe.write_text(f'task = "{task}"\n[data]\ntrain = "{path}"\n[model]\nbase = "{base}"\n')
    done = CliRunner().invoke(app, ["check", str(recipe), *more], env={"COLUMNS": "400"})
    if isinstance(done.exception, BurnishError):  # what `main` prints behind "error: "
        return 1, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, " ".join(done.output.split())


JSON_SHAPES: dict[str, tuple[Make, str]] = {
    "lists": (lambda labels: {"label": labels}, "Column 'label' holds a set of labels: "),
    "numbers": (lambda labels: {"label": [LABELS.index(x) for x in labels]}, "Column 'label' holds a set of labels: "),
    "flags in an object": (lambda labels: {"label": {x: int(x in labels) for x in LABELS}}, "holds a set of labels: "),
    "a column of another name": (lambda labels: {"labels": labels}, "Column 'labels' holds a set of labels: "),
    "tags": (lambda labels: {"tags": labels}, "Column 'tags' holds a set of labels: "),
    "flags": (lambda labels: {x: x in labels for x in LABELS}, "The columns billing, refund, delivery, broken say yes"),
}
CELLS: dict[str, tuple[Make, str]] = {
    "Python's lists": (lambda labels: {"label": repr(labels)}, "Column 'label' holds a set of labels: "),
    "JSON in cells": (lambda labels: {"label": json.dumps(labels)}, "Column 'label' holds a set of labels: "),
    "0 and 1": (lambda labels: {x: int(x in labels) for x in LABELS}, "say yes or no"),
    "crosses": (lambda labels: {x: "x" if x in labels else "" for x in LABELS}, "say yes or no"),
    "True and False": (lambda labels: {x: x in labels for x in LABELS}, "say yes or no"),
    "numbered": (lambda labels: {f"label_{n}": "".join(labels[n : n + 1]) for n in range(3)}, "hold several labels"),
    **{
        repr(joined): (
            lambda labels, joined=joined: {"label": joined.join(labels)},  # type: ignore[misc]
            "36 rows join labels by ",
        )
        for joined in (", ", ",", ";", "|", " + ", " / ", "/", " and ", "&")
    },
}


@pytest.mark.parametrize("shape", JSON_SHAPES)
def test_sets_in_json_are_recognized(base: Path, tmp_path: Path, shape: str) -> None:
    make, said = JSON_SHAPES[shape]
    write_jsonl(tmp_path / "rows.jsonl", [{"text": text, **make(labels)} for text, labels in ROWS])
    code, output = check(base, tmp_path / "rows.jsonl")
    assert code == 1
    assert said in output and REMEDY in output


@pytest.mark.parametrize("shape", CELLS)
def test_sets_in_tables_are_recognized(base: Path, tmp_path: Path, shape: str) -> None:
    make, said = CELLS[shape]
    rows = [{"text": text, **make(labels)} for text, labels in ROWS]
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    code, output = check(base, tmp_path / "rows.csv")
    assert said in output and REMEDY in output
    assert code == (0 if "join" in said else 1)


@pytest.mark.parametrize(
    "labels",
    [
        ["Terms, conditions", "Sales", "Support"],  # one combination alone is a name
        ["Research & development", "Sales & marketing", "Support"],
        ["travel/hotel", "travel/flight", "food/hotel", "food/flight"],  # two levels, each at its place
        ["[urgent]", "[later]"],
        ['it\'s a "quote"', "x, y"],
    ],
)
def test_names_with_a_separator_are_labels(base: Path, tmp_path: Path, labels: list[str]) -> None:
    rows = [{"text": f"Message {n}", "label": labels[n % len(labels)]} for n in range(60)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    code, output = check(base, tmp_path / "rows.jsonl")
    assert code == 0
    assert "several_labels" not in output and "joined_labels" not in output


def test_flags_beside_a_label_column_of_another_name_are_no_labels(base: Path, tmp_path: Path) -> None:
    rows = [
        {"body": text, "queue": labels[0], "vip": n % 2, "new": n % 3 == 0, "tags": labels}
        for n, (text, labels) in enumerate(ROWS)
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    code, output = check(base, tmp_path / "rows.jsonl")
    assert code == 1
    assert 'Set data.columns = {text = "...", label = "..."}.' in output and REMEDY not in output


def test_many_flags_are_labels_whatever_stands_beside_them(base: Path, tmp_path: Path) -> None:
    rows = [
        {"text": text, "author": "ab"[n % 2], "id": str(n), **{x: int(x in labels) for x in LABELS}}
        for n, (text, labels) in enumerate(ROWS)
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert "say yes or no" in check(base, tmp_path / "rows.jsonl")[1]


def test_combinations_that_are_meant_are_labels(base: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "label": ", ".join(labels)} for text, labels in ROWS]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    meant = json.dumps(sorted({row["label"] for row in rows}))
    assert "joined_labels" in check(base, tmp_path / "rows.jsonl")[1]
    assert "joined_labels" not in check(base, tmp_path / "rows.jsonl", f"prompt.labels={meant}")[1]


def test_flags_of_which_one_is_set_in_each_row_are_one_label(base: Path, tmp_path: Path) -> None:
    rows = [{"text": text, **{x: int(x == labels[0]) for x in LABELS}} for text, labels in ROWS]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    code, output = check(base, tmp_path / "rows.jsonl")
    assert code == 1
    assert "say yes to one label a row. Write its name in one column, 'label'." in output
    write_jsonl(tmp_path / "rows.jsonl", [{"text": text, "label": labels[0]} for text, labels in ROWS])
    assert check(base, tmp_path / "rows.jsonl")[0] == 0


def test_the_remedy_works_and_the_score_is_micro_f1(base: Path, tmp_path: Path) -> None:
    """As scikit-learn has it, of the sets that a hosted model answers."""
    from sklearn.metrics import f1_score
    from sklearn.preprocessing import MultiLabelBinarizer

    write_jsonl(tmp_path / "rows.jsonl", [{"text": text, "fields": {"labels": labels}} for text, labels in ROWS])
    code, output = check(base, tmp_path / "rows.jsonl", task="extraction")
    assert code == 0 and "several_labels" not in output
    recipe = tmp_path / "rows.toml"
    recipe.write_text(
        recipe.read_text()
        + '[train]\nepochs = 1\nlearning_rate = 0.01\nprecision = "fp32"\n[retention]\nmeasure = false\n'
        f'[evaluate]\narms = []\nnum_resamples = 200\nrecorded = "{tmp_path / "answers.jsonl"}"\n'
        f'max_new_tokens = 4\n[output]\nfolder = "{tmp_path / "runs"}"\n'
    )
    with serving(answer) as server:
        endpoint = Endpoint(base_url=server.url, model="hosted", max_tokens=99)
        record_answers(read_questions(load_recipe(recipe)), endpoint, tmp_path / "answers.jsonl")
    done = run(load_recipe(recipe))
    recorded = next(arm for arm in done.evaluation["arms"] if arm["name"] == "recorded")
    rows = [json.loads(line) for line in done.dir.predictions("recorded").read_text().splitlines()]
    said, wanted = ([json.loads(row[key])["labels"] for row in rows] for key in ("prediction", "target"))
    sets = MultiLabelBinarizer(classes=LABELS)
    assert said != wanted
    assert recorded["score"]["value"] == pytest.approx(
        f1_score(sets.fit_transform(wanted), sets.fit_transform(said), average="micro")
    )
    assert recorded["num_fully_right"] == sum(set(a) == set(b) for a, b in zip(said, wanted, strict=True))


def answer(asked: Asked, number: int) -> Reply:
    """The right labels in another order, of every third row one too few, of every fourth one too many."""
    n = int(re.sub(r"\D", "", asked.body["messages"][-1]["content"]))
    labels = ROWS[n][1][::-1][n % 3 == 0 :]
    labels += [label for label in LABELS if label not in ROWS[n][1]][: n % 4 == 0]
    message = {"role": "assistant", "content": json.dumps({"labels": labels})}
    return 200, {}, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {}}
