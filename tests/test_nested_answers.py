"""Answers with lists of objects: how a run scores them, and what it says of lists whose order counts."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.data import Finding, Severity
from burnish.errors import RecipeError
from burnish.files import read_jsonl, write_jsonl
from burnish.inspection import inspect_data
from burnish.pipeline import Run, run
from burnish.recipe import load_recipe
from burnish.recording import Endpoint, read_questions, record_answers
from tests.recording.server import Asked, Reply, serving
from tests.tiny import own_cache, save_base

ORDER = "2 kettles and 1 lamp, order"


def wanted(n: int) -> dict[str, Any]:
    return {
        "id": 10 * n,
        "city": "Malmö",
        "items": [{"name": "kettle", "quantity": 2}, {"name": "lamp", "quantity": 1}],
        "steps": ["pack", "send"],
    }


def answer(asked: Asked, number: int) -> Reply:
    """The hosted model's: quantities swapped in every other row; the rest is the target in another spelling."""
    n = int(asked.body["messages"][-1]["content"].removeprefix(ORDER))
    items = [{"name": "lamp", "quantity": 1.0}, {"quantity": 2, "name": "kettle"}]
    if n % 2:
        items = [{"name": "lamp", "quantity": 2}, {"name": "kettle", "quantity": 1}]
    text = json.dumps({"items": items, "city": "Malmo\u0308", "id": float(10 * n), "steps": ["send", "pack"]})
    message = {"role": "assistant", "content": text}
    return 200, {}, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {}}


def write_recipe(folder: Path, base: Path) -> Path:
    for name, count in (("train", 40), ("test", 10)):
        rows = [{"text": f"{ORDER} {n}", "fields": wanted(n)} for n in range(count)]
        write_jsonl(folder / f"{name}.jsonl", rows)
    path = folder / "recipe.toml"
    path.write_text(
        f'task = "extraction"\n[data]\ntrain = "train.jsonl"\ntest = "test.jsonl"\n[model]\nbase = "{base}"\n'
        '[train]\nepochs = 1\nlearning_rate = 0.01\nprecision = "fp32"\n[retention]\nmeasure = false\n'
        '[evaluate]\nrecorded = "answers.jsonl"\narms = []\nnum_resamples = 200\nmax_new_tokens = 4\n'
        f'[output]\nfolder = "{folder / "runs"}"\n'
    )
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    folder = tmp_path_factory.mktemp("nested")
    recipe = write_recipe(folder, save_base(folder / "base"))
    with pytest.MonkeyPatch.context() as patch, serving(answer) as server:
        patch.setenv("BURNISH_CACHE", own_cache(tmp_path_factory.getbasetemp()))
        endpoint = Endpoint(base_url=server.url, model="hosted", max_tokens=99)
        record_answers(read_questions(load_recipe(recipe)), endpoint, folder / "answers.jsonl")
        return recipe, run(load_recipe(recipe))


def test_a_run_scores_items_as_wholes_and_equal_values_as_equal(made: tuple[Path, Run]) -> None:
    """Of 8 values a row, all are right in even rows; in odd ones 2, the quantities, are wrong: 70 of 80."""
    evaluation = made[1].evaluation
    recorded = next(arm for arm in evaluation["arms"] if arm["name"] == "recorded")
    assert recorded["score"]["value"] == pytest.approx(70 / 80)
    assert recorded["num_fully_right"] == 5
    assert recorded["details"]["exact_match"] == 0.5
    assert {part["name"]: part["score"] for part in recorded["breakdown"]} == {
        "id": 1.0,
        "city": 1.0,
        "items[].name": 1.0,
        "items[].quantity": 0.5,
        "steps[]": 1.0,
    }
    page = made[1].report_path.read_text()
    assert "items[].quantity" in page


def test_the_report_marks_only_the_fields_that_are_wrong(made: tuple[Path, Run]) -> None:
    rows = read_jsonl(made[1].dir.predictions("recorded"))
    from burnish.report.answers import build_answer

    marked = [[part.name for part in build_answer(row, []).parts if part.is_different] for row in rows]
    assert marked == [[], ["items"]] * 5


def test_order_counts_where_the_recipe_says_so(made: tuple[Path, Run]) -> None:
    """Then one of the two steps is wrong in each row, too: 60 of 80."""
    ordered = load_recipe(made[0], ['evaluate.ordered=["steps"]'])
    recorded = next(arm for arm in run(ordered).evaluation["arms"] if arm["name"] == "recorded")
    assert recorded["score"]["value"] == pytest.approx(60 / 80)
    assert recorded["num_fully_right"] == 0


def test_order_counts_where_the_schema_says_so(made: tuple[Path, Run]) -> None:
    recipe, _ = made
    schema = recipe.with_name("schema.json")
    schema.write_text(json.dumps({"properties": {"steps": {"prefixItems": [{"enum": ["pack"]}, {"enum": ["send"]}]}}}))
    done = run(load_recipe(recipe, [f"data.json_schema={schema}"]))
    recorded = next(arm for arm in done.evaluation["arms"] if arm["name"] == "recorded")
    assert recorded["score"]["value"] == pytest.approx(60 / 80)


def test_a_list_that_no_answer_has_is_refused(made: tuple[Path, Run]) -> None:
    loaded = load_recipe(made[0], ['evaluate.ordered=["item"]'])
    with pytest.raises(RecipeError, match=r"no answer of train has a list named 'item'\. Use one of items, steps\."):
        run(loaded)


def check(made: tuple[Path, Run], path: Path) -> list[Finding]:
    base = made[0].parent / "base"
    path.with_suffix(".toml").write_text(f'task = "extraction"\n[data]\ntrain = "{path}"\n[model]\nbase = "{base}"\n')
    return inspect_data(load_recipe(path.with_suffix(".toml"))).findings


def test_copies_and_contradictions_go_by_what_an_answer_says(made: tuple[Path, Run], tmp_path: Path) -> None:
    rows = [{"text": f"{ORDER} {n}", "fields": wanted(n)} for n in range(60)]
    rows.append({"text": f"{ORDER} 1", "fields": {**wanted(1), "id": 10.0, "items": wanted(1)["items"][::-1]}})
    rows.append({"text": "the grid", "fields": {"id": 1, "items": [[1, 2], [3]]}})
    rows.append({"text": "the grid", "fields": {"id": 1, "items": [[1], [2, 3]]}})
    write_jsonl(tmp_path / "rows.jsonl", rows)
    found = check(made, tmp_path / "rows.jsonl")
    told = {(f.check, f.row) for f in found if f.row}
    assert ("near_duplicate", "rows.jsonl:61") in told
    assert {row for check, row in told if check in ("conflicting_label", "several_answers")} == {
        "rows.jsonl:62",
        "rows.jsonl:63",
    }


def test_a_list_in_place_of_an_object_is_told_with_a_remedy_that_works(made: tuple[Path, Run], tmp_path: Path) -> None:
    rows = [{"text": f"{ORDER} {n}", "fields": wanted(n)["items"]} for n in range(60)]
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, rows)
    said = [f.message for f in check(made, path) if f.severity is Severity.ERROR]
    assert said[0] == "column 'fields' holds a list. Give it a name, as in {\"items\": [...]}."
    write_jsonl(path, [{**row, "fields": {"items": row["fields"]}} for row in rows])
    assert not [f for f in check(made, path) if f.severity is Severity.ERROR]
