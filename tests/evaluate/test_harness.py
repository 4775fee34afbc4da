"""Tasks of the lm-evaluation-harness: told before training where they cannot be had; compared where it is installed."""

import importlib.util
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.errors import RecipeError
from burnish.evaluate.harness import compare_on_tasks, load_tasks
from burnish.model.adapter import attach_adapter
from burnish.pipeline import run
from burnish.recipe import build_recipe, load_recipe
from tests.test_pipeline import recipe_values
from tests.tiny import build_model, build_tokenizer, randomize_adapter, save_base

HAS_HARNESS = importlib.util.find_spec("lm_eval") is not None
needs_harness = pytest.mark.skipif(not HAS_HARNESS, reason="lm-eval is not installed")

YAML = """task: opposites
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
doc_to_choice: "{{{{choices}}}}"
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task of forty documents."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    chance, data = random.Random(0), tmp_path / "opposites.jsonl"
    rows = [
        {"question": f"Of {n} it is", "choices": ["".join(chance.sample("abcdefgh", 4)) for _ in range(2)], "answer": 0}
        for n in range(40)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "opposites.yaml"
    path.write_text(YAML.format(data=data))
    return path


def new_adapter() -> Any:
    model = build_model(dtype=torch.float32)
    return attach_adapter(model, rank=3, alpha=8, dropout=0, target_modules="all-linear", seed=0).eval()


def compare(task: Path, model: Any, limit: int) -> dict[str, Any]:
    (found,) = compare_on_tasks(
        model,
        build_tokenizer(),
        load_tasks([str(task)]),
        limit=limit,
        batch_size=4,
        max_length=512,
        confidence=0.95,
        num_resamples=200,
    )
    return found


@pytest.mark.skipif(HAS_HARNESS, reason="lm-eval is installed")
def test_without_the_harness_a_run_says_how_to_have_it_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "cache"))
    values = recipe_values("chat", save_base(tmp_path / "base"), tmp_path)
    with pytest.raises(RecipeError, match=r"retention\.lm_eval: No module named 'lm_eval'. Run `pip install lm-eval`"):
        run(build_recipe(values | {"retention": {"lm_eval": ["arc_easy"]}}))
    assert not list((tmp_path / "runs").glob("*/metrics.jsonl"))


def test_no_tasks_need_no_harness() -> None:
    assert load_tasks([]) == {}


def test_task_files_lie_beside_the_recipe_and_names_stay(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("task: own\n")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('task = "chat"\n[data]\ntrain = "x"\n[retention]\nlm_eval = ["own.yaml", "arc_easy"]\n')
    assert load_recipe(recipe).recipe.retention.lm_eval == (str(tmp_path / "own.yaml"), "arc_easy")


@needs_harness
@pytest.mark.parametrize("name", ["no_such.yaml", "broken.yaml"])
def test_an_unknown_task_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "broken.yaml").write_text("task: broken\ndataset_path: json\n")
    with pytest.raises(RecipeError, match=rf"retention\.lm_eval: .*{name}: .* lists the names"):
        load_tasks([str(tmp_path / name)])


@needs_harness
def test_a_new_adapter_changes_nothing_and_a_moved_one_is_seen(task: Path) -> None:
    state = torch.get_rng_state()
    found = compare(task, new_adapter(), limit=30)
    assert torch.equal(torch.get_rng_state(), state)
    assert (found["task"], found["metric"], found["num_documents"]) == ("opposites", "acc", 30)
    assert found["base"] == found["specialist"]
    assert found["difference"]["value"] == 0
    model = new_adapter()
    randomize_adapter(model, torch.float32)
    moved = compare(task, model, limit=40)
    assert moved["num_documents"] == 40
    assert moved["base"] != moved["specialist"]


@needs_harness
def test_a_run_compares_base_and_specialist_on_a_task_of_a_file(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "cache"))
    values = recipe_values("chat", save_base(tmp_path / "base"), tmp_path)
    more = [f'retention.lm_eval=["{task}"]', "retention.lm_eval_limit=20"]
    done = run(build_recipe(values, overrides=more))
    (found,) = done.evaluation["lm_eval"]
    assert (found["task"], found["num_documents"]) == ("opposites", 20)
    assert "acc, 20 documents" in done.report_path.read_text()
