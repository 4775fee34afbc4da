"""Runs with other seeds and on fewer rows: the same as if they had been made by themselves, and without a trace."""

import json
import tomllib
from pathlib import Path

import pytest
import torch

from burnish.files import read_json, sha256_of_file
from burnish.model.adapter import adapter_parameters, attach_adapter, restart_adapter
from burnish.pipeline import Run, resume, run
from burnish.recipe import build_recipe
from tests.test_pipeline import recipe_values
from tests.tiny import build_model, own_cache, save_base


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_CACHE", own_cache(folder))
        values = recipe_values("chat", save_base(folder / "base"), folder)
        overrides = ["train.seed=1", "evaluate.arms=['zero_shot']", "adapter.dropout=0.1", "retention.measure=false"]
        return run(build_recipe(values, overrides=overrides))


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_an_adapter_that_starts_again_is_like_a_new_one(dropout: float) -> None:
    options = {"rank": 4, "alpha": 32.0, "dropout": dropout, "target_modules": "all-linear"}
    new = attach_adapter(build_model(), **options, seed=5)
    used = attach_adapter(build_model(), **options, seed=6)
    for tensor in adapter_parameters(used).values():
        torch.nn.init.normal_(tensor)
    restart_adapter(used, 5)
    ours, theirs = adapter_parameters(used), adapter_parameters(new)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_side_runs_tell_what_runs_of_their_own_would_and_change_nothing(
    plain: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURNISH_CACHE", own_cache(tmp_path))
    recipe = plain.dir.recipe.read_text()
    more = ["train.seeds=2", "evaluate.learning_curve=true"]
    done = run(build_recipe(tomllib.loads(recipe), overrides=["train.seed=0", *more]))
    (other,) = done.evaluation["seeds"]
    specialist = next(arm for arm in plain.evaluation["arms"] if arm["name"] == "specialist")
    assert other == {"seed": 1, "score": specialist["score"]["value"]}
    losses = [json.loads(line)["loss_per_token"] for line in plain.dir.metrics.read_text().splitlines()]
    aside = (done.dir.side_runs / "seed-1" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss_per_token"] for line in aside] == losses
    assert not (done.dir.side_runs / "seed-1" / "checkpoints").exists()

    alone = run(build_recipe(tomllib.loads(recipe), overrides=["train.seed=0"]))
    for name in ("adapter/adapter_model.safetensors", "data/split.json"):
        assert sha256_of_file(done.dir.path / name) == sha256_of_file(alone.dir.path / name)
    assert [arm["score"] for arm in done.evaluation["arms"]] == [arm["score"] for arm in alone.evaluation["arms"]]
    assert alone.evaluation["seeds"] is None

    num_rows = done.evaluation["training"]["num_train_rows"]
    points = read_json(done.dir.side_runs / "learning_curve.json")
    assert [point["num_rows"] for point in points] == [round(num_rows / share) for share in (8, 4, 2, 1)]
    assert [point["num_rows"] for point in done.evaluation["more_data"]["curve"]] == [p["num_rows"] for p in points]
    kept = {path: path.stat().st_mtime_ns for path in done.dir.side_runs.rglob("*")}
    done.dir.evaluation.unlink()
    assert resume(done.dir).evaluation["more_data"] == done.evaluation["more_data"]
    assert {path: path.stat().st_mtime_ns for path in done.dir.side_runs.rglob("*")} == kept
