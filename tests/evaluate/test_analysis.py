"""Slices, mistakes, and the place of every value in evaluation.json."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from burnish.conversation import Task
from burnish.data import Example
from burnish.evaluate.analysis import Evidence
from burnish.evaluate.arms import Arm, judge_answers
from burnish.evaluate.evaluation import ArmRun, Intervals, evaluate
from burnish.evaluate.metrics import AnyMetric, load_metric
from burnish.evaluate.mistakes import list_changes, list_worst
from burnish.evaluate.recommendation import Forgetting
from burnish.evaluate.slices import slice_scores
from burnish.generate.answer import Answer
from burnish.recipe import Metric
from tests.data.datasets import question

ENGLISH = "Could you please tell me whether my parcel with the new kettle will arrive this week?"
GERMAN = "Können Sie mir bitte sagen, ob mein Paket mit dem neuen Wasserkocher diese Woche ankommt?"


def scored(*scores: float) -> list[dict[str, Any]]:
    return [{"id": f"f:{n}", "score": s, "numerator": s, "denominator": 1.0} for n, s in enumerate(scores)]


def sliced(
    candidate: list[dict[str, Any]], examples: list[Example], task: Task = Task.CLASSIFICATION
) -> dict[str, list[dict[str, Any]]]:
    found = slice_scores(candidate, scored(*[0.0] * len(examples)), examples, task=task)["slices"]
    return {kind: [part for part in found if part["kind"] == kind] for kind in ("label", "length", "language", "group")}


class TestSlices:
    def test_every_kind_with_its_rows(self) -> None:
        examples = [
            question(f"{GERMAN if n % 4 == 0 else ENGLISH} {'!' * n}", "ab"[n % 2], group="xy"[n >= 30])
            for n in range(40)
        ]
        found = sliced(scored(*[float(n % 2) for n in range(40)]), examples)
        assert [(p["name"], p["num_rows"], p["candidate"]["value"]) for p in found["label"]] == [
            ("a", 20, 0.0),
            ("b", 20, 1.0),
        ]
        assert {(p["name"], p["num_rows"]) for p in found["language"]} == {("de", 10), ("en", 30)}
        assert {(p["name"], p["num_rows"]) for p in found["group"]} == {("x", 30), ("y", 10)}
        assert [p["num_rows"] for p in found["length"]] == [10] * 4
        right = found["label"][1]
        assert (right["difference"]["value"], right["num_wins"], right["num_losses"]) == (1.0, 20, 0)
        assert right["difference"]["low"] > 0.5

    def test_what_is_surely_bad_comes_before_bad_luck(self) -> None:
        names = ["sure"] * 40 + ["luck"] * 5 + ["good"] * 40
        scores = [0.2 if name == "sure" else 0.0 if name == "luck" else 1.0 for name in names]
        right = [float(n % 10 < 10 * score) for n, score in enumerate(scores)]
        found = sliced(scored(*right), [question(f"q {name}", name) for name in names])["label"]
        assert [part["name"] for part in found] == ["sure", "luck", "good"]
        assert found[1]["candidate"]["value"] < found[0]["candidate"]["value"]

    def test_p_values_allow_for_all_the_slices(self) -> None:
        examples = [question("the same question", "abc"[n % 3]) for n in range(36)]
        after = scored(*[float(n % 3 != 0 or n == 0) for n in range(36)])
        found = {part["name"]: part for part in sliced(after, examples)["label"]}
        assert [found[name]["p_value"] for name in "abc"] == pytest.approx([1.0, 2**-11, 2**-11])  # exact McNemar
        assert [found[name]["p_value_adjusted"] for name in "abc"] == pytest.approx([1.0, 3 * 2**-11, 3 * 2**-11])

    def test_small_slices_and_kinds_that_divide_nothing_are_left_out(self) -> None:
        labels = ["a", "b"] * 8 + ["rare"] * 4
        found = sliced(scored(*[1.0] * 20), [question("the same question", label, group="one") for label in labels])
        assert {part["name"] for part in found["label"]} == {"a", "b"}
        assert found["length"] == found["language"] == found["group"] == []
        only_one_is_large = [question("the same question", "a" if n < 16 else "rare") for n in range(20)]
        assert sliced(scored(*[1.0] * 20), only_one_is_large)["label"] == []

    def test_free_text_has_no_labels(self) -> None:
        assert sliced(scored(*[1.0] * 20), [question("q", "ab"[n % 2]) for n in range(20)], Task.CHAT)["label"] == []

    def test_the_note_says_how_many_were_looked_at(self) -> None:
        examples = [question("q", str(n % 40)) for n in range(400)]
        rows = scored(*[float(n % 3 == 0) for n in range(400)])
        found = slice_scores(rows, rows, examples, task=Task.CLASSIFICATION)
        assert len(found["slices"]) == 40
        assert (
            "of 40 slices about 1 in 20 has an interval of the difference that leaves out 0 by chance" in found["note"]
        )


class TestMistakes:
    def test_changes(self) -> None:
        found = list_changes(scored(1, 0.5, 0, 1, 0.9, 0.2), scored(0, 1, 0, 1, 0.1, 0.3))
        assert found == {"fixed": ["f:0"], "broken": ["f:1"], "risen": ["f:0", "f:4"], "fallen": ["f:1", "f:5"]}

    def test_an_arm_against_itself_has_none(self) -> None:
        assert not any(list_changes(scored(1, 0.5), scored(1, 0.5)).values())

    def test_the_worst_by_score_and_then_by_confidence(self) -> None:
        rows = scored(0, 1, 0, 0.5, 0)
        for row, confidence in zip(rows, (0.2, 0.9, 0.8, 0.99, 0.5), strict=True):
            row["confidence"] = confidence
        assert [row["id"] for row in list_worst(rows)] == ["f:2", "f:4", "f:0", "f:3"]
        assert list_worst(rows)[0] == {"id": "f:2", "score": 0.0, "confidence": 0.8}

    def test_at_most_20_are_listed(self) -> None:
        assert len(list_worst(scored(*[0.0] * 50))) == 20


def measured(
    task: Task, metric: AnyMetric, pairs: dict[Arm, list[str]], targets: list[str], **evidence: Any
) -> dict[str, Any]:
    """The evaluation of arms with these predictions, made as a run makes it."""
    examples = [question(f"question {n} about {t}", t, row=f"f:{n}") for n, t in enumerate(targets)]
    prompts = [example.prompt for example in examples]
    confidence = 0.75 if task is Task.CLASSIFICATION else None
    arms = {
        arm: ArmRun(
            judge_answers(
                [Answer(p, True, 0.1, 9, confidence=confidence) for p in predictions], prompts, examples, metric
            ),
            1.0,
        )
        for arm, predictions in pairs.items()
    }
    return evaluate(
        arms,
        metric=metric,
        intervals=Intervals(0.95, 200),
        retention=None,
        forgetting=Forgetting(),
        sensitivity=(None, "not asked"),
        evidence=Evidence(task, examples, **evidence),
    )


class TestEvaluation:
    def test_classification(self) -> None:
        targets = ["a", "b"] * 20
        found = measured(
            Task.CLASSIFICATION, Metric.ACCURACY, {Arm.ZERO_SHOT: ["a"] * 40, Arm.SPECIALIST: targets}, targets
        )
        base, specialist = found["arms"]
        assert base["breakdown"] == [
            {"name": "a", "score": 1.0, "num_rows": 20},
            {"name": "b", "score": 0.0, "num_rows": 20},
        ]
        assert base["classification"]["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
        assert specialist["classification"]["macro_f1"] == 1.0
        assert specialist["classification"]["calibration"]["ece"] == pytest.approx(0.25)
        assert specialist["classification"]["risk_coverage"]["goals"][0]["sent_share"] == 0.0
        assert found["errors"]["changes"][0]["fixed"] == [f"f:{n}" for n in range(1, 40, 2)]
        assert [row["confidence"] for row in found["errors"]["worst"]["zero_shot"]] == [0.75] * 20
        assert (found["slices"]["candidate"], found["slices"]["baseline"]) == ("specialist", "zero_shot")
        assert found["likelihood"] is found["style"] is None
        assert json.loads(json.dumps(found, allow_nan=False)) == found

    def test_extraction(self) -> None:
        targets = ['{"a":"x"}'] * 10
        found = measured(
            Task.EXTRACTION,
            Metric.FIELD_F1,
            {Arm.SPECIALIST: ['{"a":"x","made_up":1}'] * 10},
            targets,
            fields=("a",),
            schema={"additionalProperties": False, "properties": {"a": {}}},
        )
        extraction = found["arms"][0]["extraction"]
        assert extraction["invented_fields"]["value"] == 0.5
        assert extraction["invented_values"]["value"] == 0.0
        assert extraction["schema_validity"]["value"] == 0.0
        assert found["slices"] is None
        assert json.loads(json.dumps(found, allow_nan=False)) == found

    def test_free_text_with_a_metric_of_the_teams_own_that_decides(self, tmp_path: Path) -> None:
        (tmp_path / "own.py").write_text(
            'def brief(prediction, target, row):\n    return 1 - 0.5 * prediction.startswith("Dear")\n'
        )
        metric = load_metric("own:brief", tmp_path)
        chance = random.Random(0)
        house = [f"Dear customer, thank you, {chance.random():.6f}" for _ in range(80)]
        plain = [f"sure thing {chance.random():.6f}" for _ in range(40)]
        found = measured(
            Task.CHAT,
            metric,
            {Arm.ZERO_SHOT: plain, Arm.SPECIALIST: house[:40]},
            house[:40],
            train_targets=house[40:],
            custom=[metric],
            base_nats=[2.0] * 40,
            specialist_nats=[1.0] * 40,
        )
        base, specialist = found["arms"]
        assert found["metric"]["label"] == "own:brief"
        assert (base["score"]["value"], specialist["score"]["value"]) == (1.0, 0.5)
        assert specialist["custom"]["own:brief"]["value"] == 0.5
        assert specialist["text"]["exact_match"]["value"] == 1.0
        assert found["likelihood"]["win_rate"]["value"] == 1.0
        assert found["style"]["accuracy"] == 1.0
        assert found["style"]["pass_rate"]["specialist"]["value"] == 1.0
        assert json.loads(json.dumps(found, allow_nan=False)) == found
