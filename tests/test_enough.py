"""Better is one thing, good enough another: `evaluate.target` from the recipe to every place that tells the verdict."""

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from burnish.files import read_json, read_jsonl, write_json
from burnish.pipeline import resume
from burnish.registry import open_registry
from burnish.run_dir import RunDir
from tests.report.reading import read_page
from tests.test_cli import burnish_here
from tests.tiny import own_cache, save_base

RECIPE = """task = "classification"
[data]
train = "train.jsonl"
test = "test.jsonl"
[model]
base = "base"
[train]
epochs = 1
learning_rate = 0.01
trials = 1
batch_size = 8
precision = "fp32"
[adapter]
rank = 2
[retention]
measure = false
budget = "off"
[evaluate]
arms = ["zero_shot"]
"""
NEW_KEYS = ("target", "weaker_parts", "notes")


def write_rows(path: Path, count: int, seed: int) -> None:
    """Rows of which 85 % and more are "late", which is what the tiny model learns; its base never says it."""
    chance = random.Random(seed)
    labels = ["late" if chance.random() < 0.85 else chance.choice(["late", "early", "red"]) for _ in range(count)]
    rows = [{"text": f"box {7919 * n}", "label": label} for n, label in enumerate(labels)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe whose specialist beats its one baseline, 90 against 7, on 60 test rows."""
    folder = tmp_path_factory.mktemp("enough")
    save_base(folder / "base")
    write_rows(folder / "train.jsonl", 90, 0)
    write_rows(folder / "test.jsonl", 60, 1)
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


def run_with(place: Path, *arguments: str, runs: str) -> tuple[int, str, str, dict[str, Any]]:
    before = set((place / runs).glob("2*"))
    done = burnish_here(place, "run", "recipe.toml", f"output.folder={runs}", *arguments)
    (made,) = set((place / runs).glob("2*")) - before  # two runs of one second are in no order
    run = RunDir(made)
    return done.returncode, done.stdout, done.stderr, read_json(run.evaluation)


@pytest.fixture(scope="module")
def without(place: Path) -> tuple[int, str, str, dict[str, Any]]:
    return run_with(place, "--gate", runs="without")


def first_screen(place: Path, runs: str) -> str:
    html = RunDir(max((place / runs).glob("2*"))).report.read_text(encoding="utf-8")
    return read_page(re.search(r"<body>(.*?)<nav", html, re.DOTALL)[1]).text  # type: ignore[index]


def test_without_a_target_nothing_is_called_fit_to_ship(place: Path, without: tuple[int, str, str, Any]) -> None:
    code, printed, _, evaluation = without
    verdict = evaluation["verdict"]
    assert (verdict["outcome"], verdict["recommendation"]) == ("better", "needs_target")
    assert evaluation["target"] is None
    assert code == 0  # the gate wants "better" and the retention budget
    score = next(arm for arm in evaluation["arms"] if arm["name"] == "specialist")["score"]["value"]
    asked = f"Is {100 * score:.1f} of 100 good enough for you?"
    assert f"BETTER  The specialist is better than every simpler way: {100 * score:.1f} accuracy against" in printed
    assert f"{asked} Set evaluate.target." in printed
    screen = first_screen(place, "without")
    assert f"Better than every simpler way. {asked}" in screen and "Set evaluate.target in the recipe" in screen
    assert "ship it" not in (printed + screen).lower()


@pytest.mark.parametrize(
    ("target", "reach", "call", "code", "said", "shown"),
    [
        ("0.5", "reached", "ship", 0, "The specialist reaches the target of 50. Ship it.",
         "Ship it. Fine-tuning helped."),
        ("0.99", "not_reached", "do_not_ship", 3, "does not reach the target of 99. Do not ship it.",
         "Do not ship it. Fine-tuning helped, but the answers are not good enough. The best way so far is the fine-"),
        ("0.9", "cannot_tell", "cannot_tell", 3,
         "The test cannot tell whether the specialist reaches the target of 90. Cannot tell yet.",
         "Cannot tell yet. Fine-tuning helped; whether that is good enough is open."),
    ],
)  # fmt: skip
def test_a_target_is_reached_missed_or_open(
    place: Path, target: str, reach: str, call: str, code: int, said: str, shown: str
) -> None:
    runs = f"at-{target}"
    found, printed, told, evaluation = run_with(place, f"evaluate.target={target}", "--gate", runs=runs)
    assert (evaluation["target"]["reach"], evaluation["verdict"]["recommendation"]) == (reach, call)
    assert evaluation["verdict"]["outcome"] == "better"
    assert (evaluation["target"]["value"], evaluation["target"]["arm"]) == (float(target), "specialist")
    own = next(arm for arm in evaluation["arms"] if arm["name"] == "specialist")["score"]
    assert evaluation["target"]["score"] == own  # the first opening of the test: nothing to correct for
    assert found == code
    assert said in printed
    assert ("Gate: evaluate.target is not shown to be reached." in told) == (code == 3)
    screen = first_screen(place, runs)
    assert shown in screen and f"The score that you need is {100 * float(target):.1f}." in screen
    listed = burnish_here(place, "runs", "--runs", runs).stdout
    assert f"better, {call.replace('_', ' ')}; target {100 * float(target):g} {reach.replace('_', ' ')}" in listed


def test_a_test_that_is_opened_again_is_held_to_a_surer_interval(place: Path) -> None:
    """The second opening gets half of the level, as the comparisons do."""
    levels = [
        run_with(place, "evaluate.target=0.5", f"train.seed={seed}", runs="again")[3]["target"]["score"]["confidence"]
        for seed in (0, 1)
    ]
    assert levels == pytest.approx([0.95, 0.975])


@pytest.mark.parametrize("value", ["90", "-0.1", "true", "high"])
def test_a_target_that_is_no_share_is_refused(place: Path, value: str) -> None:
    done = burnish_here(place, "run", "recipe.toml", f"evaluate.target={value}")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "evaluate.target" in done.stderr


def test_the_parts_in_which_it_is_behind_are_named(place: Path, without: tuple[int, str, str, Any]) -> None:
    _, printed, _, evaluation = without
    behind = {part["name"]: part for part in evaluation["weaker_parts"]}
    run = RunDir(max((place / "without").glob("2*")))
    rows = {arm: read_jsonl(run.predictions(arm)) for arm in ("zero_shot", "specialist")}
    for label in {row["target"] for row in rows["specialist"]}:
        right = {
            arm: [row["prediction"] == label for row in answers if row["target"] == label]
            for arm, answers in rows.items()
        }
        is_behind = sum(right["specialist"]) < sum(right["zero_shot"])
        assert (label in behind) == is_behind
        if is_behind:
            shares = [100 * sum(each) / len(each) for each in right.values()]
            line = (
                f"Worse than the zero-shot prompt in {label}: {shares[1]:.1f} against {shares[0]:.1f} (within chance)"
            )
            assert line in printed
    assert behind
    num_right = sum(row["prediction"] == row["target"] for row in rows["specialist"])
    assert f"Fully right: {num_right} of 60 answers." in printed
    assert f"Answers of it fully right {num_right} of 60" in first_screen(place, "without")


def test_one_request_alone_is_timed_once_and_told(
    place: Path, without: tuple[int, str, str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    evaluation = without[3]
    for arm in evaluation["arms"]:
        request = arm["request"]
        assert request["num_rows"] == 3
        assert 0 < request["min_s"] <= request["median_s"] <= request["max_s"] < 10
    assert "time p50" not in without[1] and "p95" not in without[1]
    monkeypatch.setenv("BURNISH_CACHE", own_cache(tmp_path))
    run = RunDir(Path(shutil.copytree(place / "without", tmp_path / "runs")) / max((place / "without").glob("2*")).name)
    run.evaluation.unlink()
    again = resume(run)
    assert [arm["request"] for arm in again.evaluation["arms"]] == [arm["request"] for arm in evaluation["arms"]]


def test_a_run_of_an_earlier_version_still_opens_and_is_not_called_fit_to_ship(
    place: Path, without: tuple[int, str, str, Any], tmp_path: Path
) -> None:
    shutil.copytree(place / "without", tmp_path / "runs")
    run = RunDir(max((tmp_path / "runs").glob("2*")))
    evaluation = {key: value for key, value in read_json(run.evaluation).items() if key not in NEW_KEYS}
    evaluation["verdict"] |= {"recommendation": "ship", "headline": "The specialist is better."}
    for arm in evaluation["arms"]:
        del arm["request"], arm["num_fully_right"]
    write_json(run.evaluation, evaluation)
    shown = burnish_here(tmp_path, "show", "latest")
    assert shown.returncode == 0
    assert "The specialist is better. Better than every simpler way." in shown.stdout
    assert burnish_here(tmp_path, "report", "latest").returncode == 0
    screen = first_screen(tmp_path, "runs")
    assert "Better than every simpler way. Is" in screen and "ship it" not in screen.lower()
    assert "Answers of it fully right" in screen and "(not tested)" in screen
    compared = burnish_here(tmp_path, "compare", "latest", str(place / "without" / run.run_id))
    assert compared.returncode == 0 and "better, needs target" in compared.stdout
    assert burnish_here(tmp_path, "runs", "--rebuild").returncode == 0
    with open_registry(run.registry) as registry:
        (record,) = registry.list_runs()
    assert (record.outcome, record.target) == ("better", None)


def test_test_rows_with_nothing_to_find_give_no_score_and_no_traceback(place: Path) -> None:
    for name, count in (("train", 60), ("test", 40)):
        rows = [{"text": f"{name} {7919 * n}", "fields": {"a": None, "b": None}} for n in range(count)]
        (place / f"null-{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ["task=extraction", "data.train=null-train.jsonl", "data.test=null-test.jsonl", "evaluate.target=0.5"]
    code, printed, told, evaluation = run_with(place, *data, "evaluate.max_new_tokens=4", runs="null")
    assert code == 0, told
    assert "The specialist has no score: there was nothing to find in the test rows." in printed
    assert "nan" not in printed.replace(str(place), "")
    assert evaluation["target"]["reach"] == "cannot_tell"
    own = next(arm for arm in evaluation["arms"] if arm["name"] == "specialist")
    run = RunDir(max((place / "null").glob("2*")))
    objects = [row["prediction"].startswith("{") for row in read_jsonl(run.predictions("specialist"))]
    assert own["num_fully_right"] <= sum(objects)
    assert "You need 50.0, and the fine-tuned model has no score." in first_screen(place, "null")
