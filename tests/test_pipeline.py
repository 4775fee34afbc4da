"""The whole job on the tiny model, for every task: products, resuming, running again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import burnish
from burnish.evaluate.statistics import RowScores
from burnish.files import read_json, read_jsonl, sha256_of_file
from burnish.pipeline import Run, resume, run
from burnish.prediction import predict
from burnish.preparation import prepare
from burnish.recipe import build_recipe, load_recipe
from burnish.registry import open_registry, rebuild_registry
from burnish.screen import SilentScreen
from burnish.solution import PromptSolution, _is_bf16_fast
from tests.tiny import build_model_without_interface, own_cache, save_base

FAST = {
    "train": {"epochs": 1, "learning_rate": 0.01, "batch_size": 8, "precision": "fp32"},
    "adapter": {"rank": 2},
    "retention": {"num_prompts": 4, "answer_tokens": 4},
    "evaluate": {
        "arms": ["zero_shot", "few_shot", "retrieved"],
        "num_shots": 2,
        "max_new_tokens": 6,
        "num_resamples": 200,
    },
}
WORDS = ["red", "green", "blue", "late", "early", "box", "lamp", "chair", "door", "cup"]


def rows(task: str) -> list[dict[str, Any]]:
    chance = random.Random(0)
    texts = [" ".join(chance.choices(WORDS, k=3)) + f" {n}" for n in range(60)]
    if task == "classification":
        return [{"text": text, "label": text.split()[0]} for text in texts]
    if task == "extraction":
        return [{"text": text, "fields": {"first": text.split()[0], "count": int(text.split()[-1])}} for text in texts]
    if task == "completion":
        return [{"question": text, "answer": text.upper()} for text in texts]
    ask = [{"role": "system", "content": "Be brief."}]
    return [
        {"messages": [*ask, {"role": "user", "content": t}, {"role": "assistant", "content": t.split()[1]}]}
        for t in texts
    ]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(autouse=True)
def cache_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_CACHE", own_cache(tmp_path))


def recipe_values(task: str, base: Path, folder: Path) -> dict[str, Any]:
    data = folder / f"{task}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows(task)))
    return {
        "task": task,
        "data": {"train": str(data)},
        "model": {"base": str(base)},
        "output": {"folder": str(folder / "runs")},
        **FAST,
    }


def run_task(task: str, base: Path, folder: Path, *overrides: str) -> Run:
    return run(build_recipe(recipe_values(task, base, folder), overrides=overrides))


@pytest.mark.parametrize("task", ["chat", "completion", "classification", "extraction"])
@pytest.mark.usefixtures("drawing")
def test_a_run_leaves_every_product_and_they_agree(task: str, base: Path, tmp_path: Path) -> None:
    done = run_task(task, base, tmp_path)
    names = {path.name for path in done.dir.path.iterdir()}
    assert names == {
        *("recipe.toml", "environment.json", "data", "metrics.jsonl", "checkpoints", "adapter", "predictions"),
        *("evaluation.json", "report.html", "solutions"),
    }
    evaluation = read_json(done.dir.evaluation)
    assert evaluation == done.evaluation
    assert evaluation["task"] == task
    arms = [arm["name"] for arm in evaluation["arms"]]
    assert arms == ["zero_shot", "few_shot", "retrieved", "specialist", *(["constrained"] * (task == "extraction"))]
    for arm in evaluation["arms"]:
        predictions = read_jsonl(done.dir.predictions(arm["name"]))
        assert len(predictions) == evaluation["num_test_rows"] == arm["num_rows"]
        numerator, denominator = (sum(row[key] for row in predictions) for key in ("numerator", "denominator"))
        score = arm["score"]["value"]
        assert score is None if denominator == 0 else score == pytest.approx(numerator / denominator)
    assert done.verdict["outcome"] in ("better", "worse", "not_shown")
    with open_registry(tmp_path / "runs" / "registry.sqlite") as registry:
        assert [(r.run_id, r.status.value) for r in registry.list_runs()] == [(done.dir.run_id, "finished")]
    assert rebuild_registry(tmp_path / "runs" / "registry.sqlite", tmp_path / "runs").num_runs == 1


@pytest.mark.parametrize("task", ["completion", "classification"])
def test_a_base_without_the_attention_interface_goes_the_whole_way(task: str, tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    (base / "model.safetensors").unlink()
    build_model_without_interface("qwen3_next").float().save_pretrained(base)
    said = list[str]()
    screen = SilentScreen()
    screen.say = said.append  # type: ignore[method-assign]
    done = run(build_recipe(recipe_values(task, base, tmp_path)), screen)
    assert sum("models of type qwen3_next do not use transformers' attention interface" in line for line in said) == 1
    tested = read_jsonl(done.dir.predictions("specialist"))
    specialist = burnish.load(done, arm="specialist")
    assert [specialist.generate(row["prompt"]) for row in tested] == [row["prediction"] for row in tested]


@pytest.mark.real  # the encoder
def test_every_arm_that_is_loaded_answers_as_it_was_tested(base: Path, tmp_path: Path) -> None:
    arms = ["zero_shot", "embedding", "few_shot", "retrieved"]
    done = run_task("classification", base, tmp_path, f"evaluate.arms={json.dumps(arms)}")
    for arm in [*arms, "specialist"]:
        tested = read_jsonl(done.dir.predictions(arm))
        specialist = burnish.load(done, arm=arm)
        asked = [row["prompt"][-1]["content"] for row in tested]
        assert (arm, specialist.classify(asked)) == (arm, [row["prediction"] for row in tested])
    assert burnish.load(done).card.arm == done.verdict["recommended_arm"]
    with pytest.raises(burnish.BurnishError, match="no arm 'encoder'"):
        burnish.load(done, arm="encoder")
    with pytest.raises(burnish.BurnishError, match="trained for classification, not for extraction"):
        specialist.extract(["x"])


@pytest.mark.parametrize(("speedup", "dtype"), [(4.0, torch.bfloat16), (1.2, torch.float32)])
def test_a_base_tested_in_bf16_is_loaded_so_where_that_is_fast(
    speedup: float, dtype: torch.dtype, bf16_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burnish.model.device.measure_bf16_speedup", lambda device, width: speedup)
    monkeypatch.setattr("burnish.solution._is_bf16_fast", _is_bf16_fast.__wrapped__)  # else probed once in a process
    for chosen in (burnish.load(bf16_run, arm="specialist"), burnish.load(bf16_run.dir.adapter)):
        assert isinstance(chosen.solution, PromptSolution)
        assert chosen.solution.model.get_input_embeddings().weight.dtype == dtype


@pytest.fixture(scope="module")
def bf16_run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("bf16")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_CACHE", own_cache(folder))
        return run_task("completion", base, folder, "train.precision=bf16", "evaluate.arms=['zero_shot']")


def test_running_the_saved_recipe_again_gives_the_same_adapter(base: Path, tmp_path: Path) -> None:
    first = run_task("extraction", base, tmp_path, "adapter.dropout=0.1")
    second = run(load_recipe(first.dir.recipe))
    names = ("adapter/adapter_model.safetensors", "recipe.toml", "data/split.json")
    for name in names:
        assert sha256_of_file(first.dir.path / name) == sha256_of_file(second.dir.path / name), name
    other = run(load_recipe(first.dir.recipe, ["train.seed=1"]))
    assert sha256_of_file(first.dir.path / names[0]) != sha256_of_file(other.dir.path / names[0])


COMMAND = [sys.executable, "-c", "from burnish.cli.main import main; main()"]


def start(recipe: Path, *overrides: str) -> "subprocess.Popen[str]":
    command = [*COMMAND, "run", str(recipe), *overrides]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})


def wait_for_steps(runs: Path, count: int, process: "subprocess.Popen[str]") -> Path:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for metrics in runs.glob("*/metrics.jsonl"):
            if metrics.read_text().count("\n") >= count:
                return metrics.parent
        time.sleep(0.02)
    raise AssertionError(f"the run ended before step {count}: {process.communicate()}")


@pytest.fixture(scope="module")
def undisturbed(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of 24 steps whose recipe asks for a checkpoint after each."""
    folder = tmp_path_factory.mktemp("undisturbed")
    overrides = ["train.epochs=12", "train.patience=99", "train.checkpoint_minutes=0", "evaluate.arms=['zero_shot']"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_CACHE", own_cache(folder))
        return run_task("extraction", base, folder, *overrides)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_stopped_goes_on_to_the_same_end(how: signal.Signals, undisturbed: Run, tmp_path: Path) -> None:
    from burnish.run_dir import RunDir

    process = start(undisturbed.dir.recipe, f"output.folder={tmp_path}")
    stopped = wait_for_steps(tmp_path, 8, process)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    if how is not signal.SIGKILL:
        assert process.returncode == 130, errors
        assert "--resume" in errors
        assert "Traceback" not in errors
    assert not (stopped / "evaluation.json").exists()
    resumed = resume(RunDir(stopped))
    for name in ("adapter/adapter_model.safetensors", "data/split.json"):
        assert sha256_of_file(resumed.dir.path / name) == sha256_of_file(undisturbed.dir.path / name), name
    steps = [[row["loss_per_token"] for row in read_jsonl(r.dir.metrics)] for r in (resumed, undisturbed)]
    assert steps[0] == steps[1]
    assert len(steps[0]) == 24
    scores = [[arm["score"] for arm in r.evaluation["arms"]] for r in (resumed, undisturbed)]
    assert scores[0] == scores[1]


def test_a_finished_run_is_only_read_by_resume(base: Path, tmp_path: Path) -> None:
    done = run_task("chat", base, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in done.dir.path.rglob("*")}
    assert resume(done.dir).evaluation == done.evaluation
    assert {path: path.stat().st_mtime_ns for path in done.dir.path.rglob("*")} == before


def test_a_test_that_was_tampered_with_stops_the_resume(base: Path, tmp_path: Path) -> None:
    done = run_task("chat", base, tmp_path)
    done.dir.evaluation.unlink()
    test = done.dir.data / "test.jsonl"
    test.write_text(test.read_text().replace("red", "rot"))
    with pytest.raises(burnish.BurnishError, match="not the rows that were frozen"):
        resume(done.dir)


def test_a_base_that_was_exchanged_stops_the_resume(tmp_path: Path) -> None:
    folder = save_base(tmp_path / "base")
    done = run_task("chat", folder, tmp_path)
    done.dir.evaluation.unlink()
    save_base(folder, seed=1)
    with pytest.raises(burnish.BurnishError, match="is not the one that this run began with"):
        resume(done.dir)


def test_an_arm_is_answered_once(base: Path, tmp_path: Path) -> None:
    done = run_task("chat", base, tmp_path)
    done.dir.evaluation.unlink()
    path = done.dir.predictions("zero_shot")
    before = path.stat().st_mtime_ns
    again = resume(done.dir)
    assert path.stat().st_mtime_ns == before
    scores = [[arm["score"] for arm in r.evaluation["arms"]] for r in (done, again)]
    assert scores[0] == scores[1]


OWN_METRICS = """
def shortness(prediction, target, row):
    return 1 / (1 + len(prediction))

def is_equal(prediction, target, row):
    return prediction == target

def fails(prediction, target, row):
    return len(target) / len(prediction)
"""
DECIDED_BY_OWN = ["evaluate.metric='own:shortness'", "evaluate.metrics=['own:is_equal']", "evaluate.arms=['zero_shot']"]


def test_a_metric_of_the_teams_own_decides_and_the_run_folder_keeps_it(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own.py"
    own.write_text(OWN_METRICS)
    done = run_task("chat", base, tmp_path, *DECIDED_BY_OWN)
    assert done.evaluation["metric"]["label"] == "own:shortness"
    assert done.evaluation["metric"]["sha256"] == sha256_of_file(own)
    for arm in done.evaluation["arms"]:
        predictions = read_jsonl(done.dir.predictions(arm["name"]))
        shortness = [1 / (1 + len(row["prediction"])) for row in predictions]
        assert [row["score"] for row in predictions] == pytest.approx(shortness)
        assert arm["score"]["value"] == pytest.approx(sum(shortness) / len(shortness))
        equal = [row["prediction"] == row["target"] for row in predictions]
        assert arm["custom"]["own:is_equal"]["value"] == sum(equal) / len(equal)
        assert list(arm["custom"]) == ["own:is_equal"]

    own.unlink()
    again = run(load_recipe(done.dir.recipe))
    assert [arm["score"] for arm in again.evaluation["arms"]] == [arm["score"] for arm in done.evaluation["arms"]]

    done.dir.evaluation.unlink()
    copy = done.dir.path / "own.py"
    copy.write_text(OWN_METRICS.replace("1 / (1 +", "1 / (2 +"))
    changed = resume(done.dir)
    assert changed.evaluation["metric"]["sha256"] == sha256_of_file(copy) != again.evaluation["metric"]["sha256"]
    for arm in changed.evaluation["arms"]:
        longer = [1 / (2 + len(row["prediction"])) for row in read_jsonl(done.dir.predictions(arm["name"]))]
        assert arm["score"]["value"] == pytest.approx(sum(longer) / len(longer))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluate.metric='own:nothing'", r"own\.py has no function 'nothing'\. Define it"),
        ("evaluate.metrics=['other:is_equal']", r"there is no .*other\.py\. Put the file beside the recipe"),
        (
            "evaluate.metrics=['own:fails']",
            r"row chat\.jsonl:1, prediction '': ZeroDivisionError.* Mend the function in",
        ),
    ],
)
def test_a_metric_that_cannot_be_had_or_fails_is_refused_before_there_is_a_run(
    override: str, message: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN_METRICS)
    with pytest.raises(burnish.BurnishError, match=message):
        run_task("chat", base, tmp_path, override)
    assert not (tmp_path / "runs").exists()


def test_the_scores_are_ratios_of_sums() -> None:
    assert RowScores([2.0, 0.0], [2.0, 4.0]).value == pytest.approx(1 / 3)  # type: ignore[arg-type]


def test_what_training_will_take_is_told_and_the_rate_is_measured_once(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = build_recipe(recipe_values("classification", base, tmp_path))
    prepared = prepare(loaded)
    assert prepared.plan is not None and prepared.plan.fits
    assert (prepared.recipe.train.micro_batch_tokens, prepared.recipe.train.recompute_layers) == (2048, False)
    first = predict(prepared)
    assert first is not None and first.num_steps == 2 and first.seconds > 0
    assert first.peak_bytes > prepared.plan.bytes_needed
    monkeypatch.setattr("burnish.model.base.load_model", lambda *_, **__: pytest.fail("the rate is known"))
    again = predict(prepared)
    assert again is not None and again.seconds == first.seconds


def test_with_little_memory_layers_are_recomputed_and_the_run_ends_alike(base: Path, tmp_path: Path) -> None:
    tight = build_recipe(recipe_values("classification", base, tmp_path), overrides=["train.memory_gb=0.0001"])
    settled = prepare(tight).recipe.train
    assert settled.recompute_layers is True and int(settled.micro_batch_tokens) < 2048
    assert settled.shard_base is False and prepare(tight, num_ranks=2).recipe.train.shard_base is True
    assert run(tight).evaluation["training"]["num_steps"] == 2
