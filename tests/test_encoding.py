"""The short corridor, where the base is an encoder: products, resuming, use, and what is refused."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import burnish
from burnish.classify import finetune
from burnish.cli.main import main
from burnish.evaluate.compare import compare_runs
from burnish.files import read_json, read_jsonl, sha256_of_file, write_jsonl
from burnish.pipeline import Run, resume, run
from burnish.recipe import build_recipe, load_recipe
from burnish.recording import read_questions
from burnish.registry import open_registry
from burnish.run_dir import RunDir
from tests.tiny import own_cache, save_encoder

WORDS = ["lost", "box", "red", "lamp", "is", "my", "the", "where"]
LABELS = {"lost_box": ["lost", "box"], "red-lamp": ["red", "lamp"]}


@pytest.fixture(scope="module", autouse=True)
def small_and_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_CACHE", own_cache(tmp_path_factory.mktemp("own")))
        patch.setattr(finetune, "MIN_STEPS", 8)
        patch.setattr(finetune, "STEPS_PER_ROOT", 0.0)
        yield


def recipe_values(folder: Path, **more: Any) -> dict[str, Any]:
    """300 rows, one in ten of which has the other label, so that there is something to be unsure of."""
    chance, lines = random.Random(0), []
    for n in range(300):
        label, other = chance.sample(list(LABELS), 2)
        said = " ".join([*chance.choices(["is", "my", "the", "where"], k=3), *LABELS[label], str(n)])
        lines.append(json.dumps({"text": said, "label": other if n % 10 == 0 else label}))
    data = folder / "tickets.jsonl"
    data.write_text("\n".join(lines))
    return {
        "task": "classification",
        "data": {"train": str(data)},
        "model": {"base": str(save_encoder(folder / "encoder", WORDS))},
        "evaluate": {"num_resamples": 200},
        "output": {"folder": str(folder / "runs")},
        **more,
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(build_recipe(recipe_values(tmp_path_factory.mktemp("job"))))


def test_a_recorded_model_may_be_replaced_by_an_encoder(tmp_path: Path) -> None:
    values = recipe_values(tmp_path)
    questions = read_questions(build_recipe(values), test_only=True)
    told = {"model": "hosted", "host": "h", "prompt": [], "latency_s": 1.5, "recorded_at": "2026-12-01T00:00:00+00:00"}
    told |= {"prompt_tokens": None, "completion_tokens": None, "finish_reason": "stop"}
    answers = [{"id": q.id, "prompt_sha256": q.sha256, "answer": q.target, **told} for q in questions]
    write_jsonl(tmp_path / "answers.jsonl", answers)
    values["evaluate"] = {**values["evaluate"], "recorded": str(tmp_path / "answers.jsonl"), "margin": 0.3}
    evaluation = run(build_recipe(values)).evaluation
    arms = {arm["name"]: arm for arm in evaluation["arms"]}
    assert list(arms) == ["embedding", "recorded", "encoder"]
    assert (arms["recorded"]["score"]["value"], arms["recorded"]["latency_s"]["p50"]) == (1.0, 1.5)
    assert arms["recorded"]["prompt_tokens"]["mean"] is None  # the endpoint did not say
    assert evaluation["replacement"]["candidate"] == "encoder" and evaluation["replacement"]["margin"] == 0.3
    assert "than the recorded model" in evaluation["verdict"]["reasons"][-1]


def test_a_run_on_an_encoder_is_proven_kept_and_used_like_any_other(done: Run) -> None:
    evaluation = read_json(done.dir.evaluation)
    assert evaluation == done.evaluation
    assert (evaluation["candidate"], evaluation["retention"]) == ("encoder", None)
    assert [arm["name"] for arm in evaluation["arms"]] == ["embedding", "encoder"]
    (comparison,) = evaluation["comparisons"]
    assert (comparison["candidate"], comparison["baseline"]) == ("encoder", "embedding")
    for arm in evaluation["arms"]:
        tested = read_jsonl(done.dir.predictions(arm["name"]))
        right = sum(row["prediction"] == row["target"] for row in tested)
        assert arm["score"]["value"] == pytest.approx(right / len(tested)) and right > 0.8 * len(tested)
        classified = burnish.load(done, arm=arm["name"]).classify(row["prompt"][-1]["content"] for row in tested)
        assert classified == [row["prediction"] for row in tested]
        chosen_on = arm["classification"]["risk_coverage"]
        assert chosen_on["chosen_on"] == "validation" and chosen_on["num_rows_chosen_on"] > 100
    assert burnish.load(done).card.arm == done.verdict["recommended_arm"]
    assert "runs/" not in done.dir.report.read_text().split("<main")[0]
    with open_registry(done.dir.registry) as registry:
        (record,) = registry.list_runs()
        assert record.specialist_score == evaluation["arms"][1]["score"]["value"]
        assert registry.count_adapters(sha256_of_file(done.dir.data / "test.jsonl")) == 1


def test_a_stopped_run_goes_on_and_a_repeated_one_is_the_same(done: Run, tmp_path: Path) -> None:
    done = Run(RunDir(shutil.copytree(done.dir.path, done.dir.path.with_name(tmp_path.name))), done.evaluation)
    weights = done.dir.solution("encoder") / "classifier.safetensors"
    before, fitted = sha256_of_file(weights), weights.stat().st_mtime_ns
    done.dir.evaluation.unlink()
    done.dir.predictions("encoder").unlink()
    again = resume(done.dir)
    assert weights.stat().st_mtime_ns == fitted
    assert [arm["score"] for arm in again.evaluation["arms"]] == [arm["score"] for arm in done.evaluation["arms"]]
    assert again.evaluation["num_test_openings"] == 1
    repeated = run(load_recipe(done.dir.recipe))
    assert sha256_of_file(repeated.dir.solution("encoder") / "classifier.safetensors") == before
    assert compare_runs(again.dir, repeated.dir)["num_ties"] == done.evaluation["num_test_rows"]
    other = save_encoder(tmp_path / "encoder", WORDS, seed=1)
    text = done.dir.recipe.read_text().replace(done.evaluation["base_model"], str(other))
    done.dir.recipe.write_text(text)
    done.dir.evaluation.unlink()
    with pytest.raises(burnish.BurnishError, match="is not the one that this run began with"):
        resume(done.dir)


def test_the_passes_of_the_recipe_are_heard(done: Run, tmp_path: Path) -> None:
    weights = [
        sha256_of_file(made.dir.solution("encoder") / "classifier.safetensors")
        for made in (done, run(build_recipe(recipe_values(tmp_path, train={"epochs": 20}))))
    ]
    assert weights[0] != weights[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "chat"}, "it is for classification, not for chat"),
        ({"train": {"batch_size": 3}}, "Leave out train.batch_size"),
        ({"retention": {"budget": 0.1}}, "Leave out retention.budget"),
        ({"evaluate": {"previous": "latest"}}, "Leave out evaluate.previous"),
        ({"evaluate": {"arms": ["embedding", "zero_shot"]}}, "Leave out of evaluate.arms: zero_shot"),
    ],
)
def test_what_an_encoder_cannot_do_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    values = recipe_values(tmp_path, **change)
    if change.get("task") == "chat":
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        Path(values["data"]["train"]).write_text("\n".join(json.dumps({"messages": turns}) for _ in range(80)))
    with pytest.raises(burnish.BurnishError, match=words):
        run(build_recipe(values))
    assert not (tmp_path / "runs").exists()


def test_the_other_commands_know_such_a_run(
    done: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["burnish", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return f"{ended.value.code}: {said.out}{said.err}"

    monkeypatch.chdir(done.dir.path.parents[1])
    recipe = str(done.dir.recipe)
    assert "train.epochs" in say("explain", recipe)
    assert "test" in say("check", recipe)
    assert "Fine-tuned encoder" in say("show", done.dir.run_id)
    refused = say("chat", done.dir.run_id, "-m", "hello")
    assert "writes no text" in refused and "Traceback" not in refused
