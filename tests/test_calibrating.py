"""A run's calibration: fitted on validation rows, kept beside the adapter, told of answers, measured on the test."""

import math
from pathlib import Path
from typing import Any

import pytest

import burnish
from burnish.evaluate.calibration import Calibration, fit_calibration, load_calibration
from burnish.evaluate.metrics import is_target, is_wholly_right
from burnish.files import read_json, read_jsonl
from burnish.pipeline import Run, resume, run
from burnish.recipe import build_recipe
from burnish.screen import SilentScreen
from burnish.serve.catalog import Catalog
from burnish.serve.jobs.store import open_store
from burnish.solution import save_previous
from burnish.specialist import Specialist
from tests.test_pipeline import base, cache_apart, recipe_values, run_task  # noqa: F401
from tests.tiny import own_cache

QUICK = ("retention.measure=false", "evaluate.arms=['zero_shot']")
ENOUGH = ("data.validation_share=0.4", *QUICK)
KINDS = {"classification": is_target, "extraction": is_wholly_right}


@pytest.fixture(scope="module", params=KINDS)
def done(request: pytest.FixtureRequest, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:  # noqa: F811
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_CACHE", own_cache(folder))
        return run_task(request.param, base, folder, *ENOUGH)


def test_it_is_fitted_to_validation_rows_and_kept_beside_the_adapter(done: Run) -> None:
    rows = read_jsonl(done.dir.validation("specialist"))
    validation = read_jsonl(done.dir.data / "validation.jsonl")
    is_right = KINDS[done.evaluation["task"]]
    wanted = fit_calibration([row["confidence"] for row in rows], [is_right(row) for row in rows])
    assert load_calibration(done.dir.adapter) == wanted is not None
    assert [row["id"] for row in rows] == [row["id"] for row in validation]
    assert done.evaluation["calibration"] == read_json(done.dir.adapter / "calibration.json")


def test_answers_are_as_sure_as_they_were_in_the_test(done: Run) -> None:
    calibration = load_calibration(done.dir.adapter)
    assert calibration is not None
    arms = ["specialist", *(["constrained"] if done.evaluation["task"] == "extraction" else [])]
    for arm in arms:
        tested = read_jsonl(done.dir.predictions(arm))
        asked = [row["prompt"][-1]["content"] for row in tested]
        for row, answer in zip(tested, burnish.load(done, arm=arm).answer(asked), strict=True):
            assert answer.text == row["prediction"] and answer.is_calibrated
            assert answer.confidence == pytest.approx(row["confidence"], rel=1e-3)
            assert row["confidence"] == calibration.confidence(row["probability"])
    alone = burnish.load(done.dir.adapter).answer(asked)
    assert all(answer.is_calibrated for answer in alone)


def test_the_test_rows_say_what_it_is_worth(done: Run) -> None:
    kind = done.evaluation["task"]
    arms = {arm["name"]: arm[kind] for arm in done.evaluation["arms"]}
    found = arms["specialist"]["calibration"]
    rows = read_jsonl(done.dir.predictions("specialist"))
    right = [KINDS[kind](row) for row in rows]
    for key, told in (("confidence", found), ("probability", found["before"])):
        brier = sum((row[key] - is_right) ** 2 for row, is_right in zip(rows, right, strict=True)) / len(rows)
        assert told["brier"] == pytest.approx(brier)
    assert arms["zero_shot"]["calibration"]["before"] is None
    chosen = arms["specialist"]["risk_coverage"]
    assert (chosen["chosen_on"], chosen["num_rows_chosen_on"]) == ("validation", 24)


def test_what_is_served_knows_it(done: Run, tmp_path: Path) -> None:
    name = f"{done.dir.run_id}-specialist" if done.verdict["recommended_arm"] != "specialist" else done.dir.run_id
    with open_store(tmp_path) as store:
        served = Catalog(done.dir.path.parent, "tiny", store).resolve(name)
    assert served.calibration == load_calibration(done.dir.adapter) is not None


def test_a_run_that_goes_on_asks_nothing_again(done: Run) -> None:
    if done.evaluation["task"] == "extraction":
        pytest.skip("one task is enough")
    kept = [done.dir.validation("specialist"), done.dir.predictions("specialist")]
    before = [path.stat().st_mtime_ns for path in kept]
    done.dir.evaluation.unlink()
    again = resume(done.dir)
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert again.evaluation["calibration"] == done.evaluation["calibration"]


class NeverOnTask:
    def is_on_task(self, texts: list[str]) -> list[bool]:
        return [False] * len(texts)


def test_the_base_s_answers_have_no_confidence(done: Run) -> None:
    specialist = burnish.load(done, arm="specialist")
    gated: Any = Specialist(specialist.solution, NeverOnTask())  # type: ignore[arg-type]
    (answer,) = gated.answer(["red lamp door 7"])
    assert (answer.confidence, answer.is_calibrated) == (None, False)


def test_too_few_rows_are_told_and_the_own_probability_stands(base: Path, tmp_path: Path) -> None:  # noqa: F811
    said = list[str]()
    screen = SilentScreen()
    screen.say = said.append  # type: ignore[method-assign]
    loaded = build_recipe(recipe_values("classification", base, tmp_path), overrides=QUICK)
    few = run(loaded, screen)
    num_rows = few.evaluation["training"]["num_validation_rows"]
    assert sum(f"{num_rows} validation rows are too few to calibrate" in line for line in said) == 1
    assert few.evaluation["calibration"] is None and not (few.dir.adapter / "calibration.json").exists()
    (answer,) = burnish.load(few, arm="specialist").answer(["red lamp door 7"])
    assert answer.confidence == answer.probability and not answer.is_calibrated


def test_an_earlier_adapter_brings_its_own(done: Run, tmp_path: Path) -> None:
    save_previous(tmp_path / "previous", done.dir.adapter)
    assert load_calibration(tmp_path / "previous" / "adapter") == load_calibration(done.dir.adapter) is not None


def test_a_confidence_is_never_certain() -> None:
    assert 0 < Calibration(5.0, 9.0, 20).confidence(1.0) < 1
    assert 0 < Calibration(5.0, -9.0, 20).confidence(0.0) < 1
    assert math.isclose(Calibration(1.0, 0.0, 20).confidence(0.25), 0.25)
