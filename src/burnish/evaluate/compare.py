"""Two runs on the test rows that both have answered."""

from typing import Any

from burnish.errors import RunError
from burnish.evaluate.arms import Arm
from burnish.evaluate.metrics import collect_scores
from burnish.evaluate.statistics import compare_paired, score_interval
from burnish.files import read_json, read_jsonl
from burnish.run_dir import RunDir


def compare_runs(first: RunDir, second: RunDir, *, arm: str | None = None) -> dict[str, Any]:
    """The scores of `arm`, else of what each run is about, and their paired difference, second minus first.

    Raises:
        RunError: a run is not finished or has no such arm, or they have no test row or metric in common.
    """
    evaluations = [_evaluation(run, arm) for run in (first, second)]
    names, files = ([evaluation["metric"].get(key) for evaluation in evaluations] for key in ("name", "sha256"))
    if names[0] != names[1]:
        raise RunError(f"the runs are scored differently ({names[0]} and {names[1]}) and can't be compared.")
    if files[0] != files[1]:
        raise RunError(
            f"the runs are scored by different versions of {names[0]} and can't be compared. "
            "Run one again with the other's file beside its recipe."
        )
    arms = [arm or evaluation.get("candidate", Arm.SPECIALIST.value) for evaluation in evaluations]
    rows = [_rows_by_question(run, name) for run, name in zip((first, second), arms, strict=True)]
    common = [question for question in rows[0] if question in rows[1]]
    if not common:
        raise RunError(f"{first.run_id} and {second.run_id} have no test row in common. Give both the same data.test.")
    scores = [collect_scores([side[question] for question in common]) for side in rows]
    comparison = compare_paired(scores[1], scores[0])
    sides = {
        side: {"run_id": run.run_id, "arm": name, "score": score_interval(score).to_dict(), **_judged(evaluation)}
        for side, run, name, score, evaluation in zip(
            ("first", "second"), (first, second), arms, scores, evaluations, strict=True
        )
    }
    metric = evaluations[0]["metric"]["label"]
    return {"metric": metric, "num_rows": len(common), **sides, **comparison.to_dict()}


def _judged(evaluation: dict[str, Any]) -> dict[str, Any]:
    """What the run's own verdict says of it, on its own test rows."""
    verdict = evaluation.get("verdict") or {}
    return {
        "outcome": verdict.get("outcome"),
        "recommendation": verdict.get("recommendation"),
        "target": evaluation.get("target"),
    }


def _evaluation(run: RunDir, arm: str | None) -> dict[str, Any]:
    if not run.evaluation.is_file():
        raise RunError(f"{run.path}: this run is not finished. Go on with `burnish run --resume {run.run_id}`.")
    value: dict[str, Any] = read_json(run.evaluation)
    names = [each["name"] for each in value["arms"]]
    if arm and arm not in names:
        raise RunError(f"{run.path}: no arm {arm!r}. There are: {', '.join(names)}.")
    return value


def _rows_by_question(run: RunDir, arm: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Prediction rows by id, question and target: the same id may mean different rows in different files."""
    rows = read_jsonl(run.predictions(arm))
    return {(row["id"], row["prompt"][-1]["content"], row["target"]): row for row in rows}
