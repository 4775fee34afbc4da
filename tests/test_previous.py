"""The earlier adapter as an arm: found or refused, left out where it knows the test, and answering as it did."""

import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import burnish
from burnish.answering import keep_previous, run_previous
from burnish.conversation import Task
from burnish.errors import RecipeError
from burnish.evaluate.kept import Budget
from burnish.files import read_json, read_jsonl, write_json
from burnish.model import base as base_module
from burnish.pipeline import Run, resume, run
from burnish.preparation import prepare
from burnish.previous import count_seen, find_previous
from burnish.recipe import build_recipe, load_recipe
from burnish.run_dir import RunDir
from burnish.screen import SilentScreen
from tests.tiny import own_cache, save_base

OLD, NEW = "Old instruction.", "New instruction."
WORDS = ["red", "green", "blue"]


class Listener(SilentScreen):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said = list[str]()

    def say(self, text: str) -> None:
        self.said.append(text)


def values(folder: Path, base: Path, system: str, *, data: str, test: str | None = None) -> dict[str, Any]:
    """A recipe for 60 questions about `data`, with a test of 30 about `test` unless it is a part of them."""
    for name, count in ((data, 60), (test, 30)):
        rows = [{"text": f"{WORDS[n % 3]} {name} {n * 7919}", "label": WORDS[n % 3]} for n in range(count)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "task": "classification",
        "data": {"train": str(folder / f"{data}.jsonl"), **({"test": str(folder / f"{test}.jsonl")} if test else {})},
        "prompt": {"system": system},
        "model": {"base": str(base)},
        "train": {"epochs": 1, "learning_rate": 0.01},
        "retention": {"measure": False},
        "evaluate": {"arms": ["zero_shot"], "num_resamples": 50},
        "output": {"folder": str(folder / "runs")},
    }


@pytest.fixture(autouse=True)
def cache_apart(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_CACHE", own_cache(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """An earlier run on a base of its own, and the base."""
    folder = tmp_path_factory.mktemp("earlier")
    base = save_base(folder / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_CACHE", own_cache(tmp_path_factory.getbasetemp()))
        return run(build_recipe(values(folder, base, OLD, data="apples"))), base


@pytest.fixture
def earlier(made: tuple[Run, Path], tmp_path: Path) -> RunDir:
    """A copy of the earlier run in this test's own folder of runs."""
    path = tmp_path / "runs" / made[0].dir.run_id
    shutil.copytree(made[0].dir.path, path)
    return RunDir(path)


def test_it_answers_the_same_test_from_its_own_base_with_its_own_instruction(
    earlier: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, load_model = list[Any](), base_module.load_model

    def load_alone(*args: Any, **kwargs: Any) -> Any:
        assert [model() for model in loaded if model() is not None] == []  # never two in memory
        model = load_model(*args, **kwargs)
        loaded.append(weakref.ref(model))
        return model

    recipe = values(tmp_path, save_base(tmp_path / "base", seed=1), NEW, data="pears", test="plums")
    with monkeypatch.context() as patch:
        patch.setattr(base_module, "load_model", load_alone)
        done = run(build_recipe(recipe, overrides=[f"evaluate.previous={earlier.run_id[:12]}"]))
    assert len(loaded) == 2
    arms = [arm["name"] for arm in done.evaluation["arms"]]
    assert arms == ["zero_shot", "previous", "specialist"]
    assert [pair["baseline"] for pair in done.evaluation["comparisons"]] == ["zero_shot", "previous"]
    tested = read_jsonl(done.dir.predictions("previous"))
    assert {row["prompt"][0]["content"] for row in tested} == {OLD}
    assert {row["prompt"][0]["content"] for row in read_jsonl(done.dir.predictions("specialist"))} == {NEW}
    asked, answers = [row["prompt"][-1]["content"] for row in tested], [row["prediction"] for row in tested]
    assert burnish.load(earlier.adapter).classify(asked) == answers
    assert load_recipe(done.dir.recipe).recipe.evaluate.previous == str(earlier.adapter)

    shutil.rmtree(earlier.path)  # the run folder holds all that the arm is
    assert burnish.load(done, arm="previous").classify(asked) == answers
    evaluation = read_json(done.dir.evaluation)
    evaluation["verdict"]["recommended_arm"] = "previous"
    write_json(done.dir.evaluation, evaluation)
    assert burnish.load(done).card.system == OLD

    done.dir.evaluation.unlink()
    before = done.dir.predictions("previous").stat().st_mtime_ns
    monkeypatch.setattr("burnish.answering.load_solution", lambda *_, **__: pytest.fail("it has answered"))
    again = resume(done.dir)
    assert [arm["score"] for arm in again.evaluation["arms"]] == [arm["score"] for arm in done.evaluation["arms"]]
    assert done.dir.predictions("previous").stat().st_mtime_ns == before


def test_it_is_left_out_where_it_knows_test_rows_and_a_word_is_said_where_that_is_unknown(
    earlier: RunDir, made: tuple[Run, Path], tmp_path: Path
) -> None:
    same = values(tmp_path, made[1], NEW, data="apples")
    for name, seed, is_kept in (("latest", 0, True), (str(earlier.path), 1, False)):
        overrides = [f"evaluate.previous={name}", f"data.split_seed={seed}"]
        prepared, screen, kept = prepare(build_recipe(same, overrides=overrides)), Listener(), RunDir(tmp_path / name)
        keep_previous(prepared, kept, screen)
        assert kept.solution("previous").is_dir() is is_kept
        assert bool(screen.said) is not is_kept
    learned = {tuple(row["messages"][-2].items()) for p in ("train", "validation") for row in rows_of(earlier, p)}
    num_seen = sum(tuple(row.to_dict()["messages"][-2].items()) in learned for row in prepared.split.test)
    assert num_seen > 0
    assert f"Earlier adapter: left out. {num_seen} of {len(prepared.split.test)} test rows are" in screen.said[0]
    assert "Name a data.test file that neither run has learned from." in screen.said[0]

    moved = shutil.copytree(earlier.adapter, tmp_path / "moved")
    prepared = prepare(build_recipe(same, overrides=[f"evaluate.previous={moved}", "data.split_seed=1"]))
    assert prepared.previous is not None and count_seen(prepared.previous, prepared.split.test) is None
    keep_previous(prepared, RunDir(tmp_path / "other"), screen)
    assert "what it was trained on is not beside it" in screen.said[-1]
    assert (tmp_path / "other" / "solutions" / "previous" / "adapter" / "burnish.json").is_file()


def rows_of(earlier: RunDir, part: str) -> list[dict[str, Any]]:
    return read_jsonl(earlier.data / f"{part}.jsonl")


def test_it_is_left_out_over_its_time_and_beside_a_base_that_is_divided(
    earlier: RunDir, made: tuple[Run, Path], tmp_path: Path
) -> None:
    overrides = [f"evaluate.previous={earlier.path}"]
    prepared = prepare(build_recipe(values(tmp_path, made[1], NEW, data="pears", test="plums"), overrides=overrides))
    kept, screen = RunDir(tmp_path / "kept"), Listener()
    keep_previous(prepared, kept, screen)
    assert run_previous(prepared, kept, screen, Budget(1e9), is_divided=True) == {}
    assert "left out, as the base is divided among the ranks" in screen.said[-1]
    assert not kept.predictions("previous").exists()
    budget = Budget(0.0)
    assert run_previous(prepared, kept, screen, budget, is_divided=False) == {}
    assert "Earlier adapter: left out, as it would not be done in time. Raise evaluate.time_budget" in screen.said[-1]
    assert not kept.predictions("previous").exists()


def other_task(adapter: Path) -> None:
    write_json(adapter / "burnish.json", read_json(adapter / "burnish.json") | {"task": "extraction"})


def other_base(adapter: Path) -> None:
    write_json(adapter / "burnish.json", read_json(adapter / "burnish.json") | {"base_fingerprint": "0" * 64})


def no_base(adapter: Path) -> None:
    write_json(adapter / "burnish.json", read_json(adapter / "burnish.json") | {"base_model": "/nowhere/at/all"})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_task, "it was trained for extraction, not for classification"),
        (other_base, r"was trained on .* \(fingerprint 000000000000\), not on"),
        (no_base, "/nowhere/at/all"),
        (lambda adapter: (adapter / "adapter_model.safetensors").unlink(), r"there is no adapter_model\.safetensors"),
        (lambda adapter: (adapter / "adapter_config.json").unlink(), r"there is no adapter_config\.json"),
        (lambda adapter: (adapter / "burnish.json").write_text("{}"), "no adapter made by burnish"),
        (shutil.rmtree, "no adapter made by burnish"),
    ],
)
def test_a_wrong_one_is_refused(spoil: Callable[[Path], Any], message: str, earlier: RunDir, tmp_path: Path) -> None:
    assert find_previous(str(earlier.adapter), tmp_path, Task.CLASSIFICATION).adapter == earlier.adapter
    spoil(earlier.adapter)
    remedy = "Name a finished run or an adapter folder of this task, or leave evaluate.previous out."
    with pytest.raises(RecipeError, match=rf"(?s)evaluate\.previous = '.*': .*{message}.* {remedy}"):
        find_previous(str(earlier.path), tmp_path, Task.CLASSIFICATION)


def test_one_that_is_not_there_is_refused_before_there_is_a_run(tmp_path: Path) -> None:
    recipe = values(tmp_path, tmp_path / "no-base", NEW, data="pears")
    with pytest.raises(RecipeError, match=r"evaluate\.previous = 'runs/none': runs/none: no such run, neither as a"):
        run(build_recipe(recipe, overrides=["evaluate.previous=runs/none"]))
    assert not (tmp_path / "runs").exists()


def test_the_instruction_of_the_recipe_is_replaced_and_that_of_a_row_stays() -> None:
    from burnish.answering import _with_system
    from burnish.conversation import Role, build_conversation

    def prompt(system: str) -> Any:
        return build_conversation(system, (Role.USER, "question"))

    assert _with_system(prompt("new"), "new", "old") == prompt("old")
    assert _with_system(prompt("new"), "new", "") == prompt("")
    assert _with_system(prompt(""), "", "old") == prompt("old")
    assert _with_system(prompt("row's"), "new", "old") == prompt("row's")
    assert _with_system(prompt("row's"), "", "old") == prompt("row's")
    assert _with_system((), "new", "old") == ()
