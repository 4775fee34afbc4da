"""Two runs are compared, paired, on the questions that both have answered."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import RunError
from burnish.evaluate.compare import compare_runs
from burnish.run_dir import RunDir


def row(name: str, numerator: float, asked: str | None = None, target: str = "x") -> dict[str, Any]:
    prompt = [{"role": "system", "content": "s"}, {"role": "user", "content": asked or f"question {name}"}]
    return {"id": name, "prompt": prompt, "target": target, "numerator": numerator, "denominator": 1.0}


def make_run(
    tmp_path: Path, name: str, rows: list[dict[str, Any]], metric: str = "accuracy", sha256: str | None = None
) -> RunDir:
    """All rows are the specialist's; the zero-shot arm's are the same, answered wrongly."""
    run = RunDir(tmp_path / name)
    run.predictions("specialist").parent.mkdir(parents=True)
    for arm, factor in (("zero_shot", 0), ("specialist", 1)):
        answered = [r | {"numerator": factor * r["numerator"]} for r in rows]
        run.predictions(arm).write_text("".join(json.dumps(r) + "\n" for r in answered))
    arms = [{"name": "zero_shot"}, {"name": "specialist"}]
    described = {"name": metric, "label": metric.title(), "sha256": sha256}
    run.evaluation.write_text(json.dumps({"metric": described, "arms": arms}))
    return run


def test_second_minus_first_on_the_common_rows_in_any_order(tmp_path: Path) -> None:
    first = make_run(tmp_path, "one", [row(str(n), float(n < 10)) for n in range(40)] + [row("only here", 0.0)])
    second = make_run(tmp_path, "two", [row(str(n), float(n < 30)) for n in reversed(range(40))])
    found = compare_runs(first, second)
    assert found["num_rows"] == 40
    assert found["metric"] == "Accuracy"
    assert (found["first"]["run_id"], found["first"]["score"]["value"]) == ("one", 0.25)
    assert (found["second"]["run_id"], found["second"]["score"]["value"]) == ("two", 0.75)
    assert found["difference"]["value"] == pytest.approx(0.5)
    assert (found["num_wins"], found["num_losses"], found["num_ties"]) == (20, 0, 20)
    assert found["p_value"] < 1e-5
    assert json.loads(json.dumps(found)) == found
    back = compare_runs(second, first)
    assert (back["difference"]["value"], back["num_losses"]) == (pytest.approx(-0.5), 20)


def test_another_arm_of_both(tmp_path: Path) -> None:
    first, second = make_run(tmp_path, "one", [row("a", 1.0)]), make_run(tmp_path, "two", [row("a", 1.0)])
    found = compare_runs(first, second, arm="zero_shot")
    assert (found["first"]["arm"], found["first"]["score"]["value"], found["second"]["score"]["value"]) == (
        "zero_shot",
        0,
        0,
    )
    second.predictions("few_shot").write_text("")  # left out for want of time
    with pytest.raises(RunError, match=r"one: no arm 'few_shot'\. There are: zero_shot, specialist\."):
        compare_runs(first, second, arm="few_shot")


def test_the_same_id_in_another_file_is_another_question(tmp_path: Path) -> None:
    first = make_run(tmp_path, "one", [row("t:1", 1.0), row("t:2", 1.0), row("t:3", 1.0)])
    second = make_run(tmp_path, "two", [row("t:1", 0.0), row("t:2", 0.0, asked="other"), row("t:3", 0.0, target="y")])
    assert compare_runs(first, second)["num_rows"] == 1


def test_nothing_in_common(tmp_path: Path) -> None:
    first, second = make_run(tmp_path, "one", [row("a", 1.0)]), make_run(tmp_path, "two", [row("b", 1.0)])
    with pytest.raises(RunError, match=r"one and two have no test row in common\. Give both the same data\.test\."):
        compare_runs(first, second)


def test_other_metrics(tmp_path: Path) -> None:
    first, second = make_run(tmp_path, "one", [row("a", 1.0)]), make_run(tmp_path, "two", [row("a", 1.0)], "chrf")
    with pytest.raises(RunError, match=r"scored differently \(accuracy and chrf\) and can't be compared"):
        compare_runs(first, second)


def test_other_versions_of_a_teams_own_metric(tmp_path: Path) -> None:
    one, two, same = (
        make_run(tmp_path, name, [row("a", 1.0)], "own:f", sha) for name, sha in zip("xyz", "abb", strict=True)
    )
    with pytest.raises(RunError, match=r"different versions of own:f .* Run one again with the other's file"):
        compare_runs(one, two)
    assert compare_runs(two, same)["num_rows"] == 1


def test_an_unfinished_run(tmp_path: Path) -> None:
    first, second = make_run(tmp_path, "one", [row("a", 1.0)]), make_run(tmp_path, "two", [row("a", 1.0)])
    second.evaluation.unlink()
    with pytest.raises(RunError, match=r"two: this run is not finished\. Go on with `burnish run --resume two`\."):
        compare_runs(first, second)
