"""Does confidence keep its word? Calibration error on test rows before and after: benchmarks/confidence.py DATA_FOLDER

Trains a quick specialist on part of BANKING77 (labels) or RESTAURANTS-8K (fields), which lie in DATA_FOLDER, and
compares the model's own probability of its answers with the confidence that is told of them. "By chance up to" is what
answers that are right exactly as often as is said would show in 19 of 20 tests of this size.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import burnish
from burnish.run_dir import RunDir

NUM_LABELS, NUM_TEST_ROWS = 12, 480
"""Of the first labels of the file, which are all about cards and easily taken for one another."""
QUICK: dict[str, Any] = {
    "model": {"base": "smollm2-135m-instruct"},
    "evaluate": {"arms": ["zero_shot"], "time_budget": 1},
    "retention": {"measure": False},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--kinds", nargs="*", default=list(RECIPES), choices=RECIPES)
    parser.add_argument("--rows-per-label", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=6, help="more of them make the model surer than it is right")
    parser.add_argument("--choose-by", default="score", choices=["score", "loss"], help="which epoch is kept")
    parser.add_argument("--folder", type=Path, default=Path("build/confidence"))
    given = parser.parse_args()
    columns = ["specialist", "validation rows", "test rows", "right", "measure", "before", "after", "by chance up to"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for kind in given.kinds:
        given.folder.mkdir(parents=True, exist_ok=True)
        own = {"train": {"epochs": given.epochs, "trials": 1, "choose_by": given.choose_by}, **RECIPES[kind](given)}
        recipe = burnish.Recipe(**QUICK, **own, output={"folder": str((given.folder / "runs").resolve())})
        show(kind, burnish.run(recipe).dir)


def label_recipe(given: argparse.Namespace) -> dict[str, Any]:
    """A dozen labels, so that a few minutes are enough to learn them."""
    source = given.data / "banking77"
    labels = list(dict.fromkeys(row["label"] for row in read(source / "train.jsonl")))[:NUM_LABELS]
    for name, limit in (("train", NUM_LABELS * given.rows_per_label), ("test", NUM_TEST_ROWS)):
        rows = [row for row in read(source / f"{name}.jsonl") if row["label"] in labels]
        by_label = [[row for row in rows if row["label"] == label][: limit // NUM_LABELS] for label in labels]
        text = "".join(json.dumps(row) + "\n" for some in by_label for row in some)
        (given.folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    files = {name: str((given.folder / f"{name}.jsonl").resolve()) for name in ("train", "test")}
    return {"task": "classification", "data": {**files, "validation_share": 0.25}}


def field_recipe(given: argparse.Namespace) -> dict[str, Any]:
    """As recipes/restaurant8k."""
    files = {name: str((given.data / "restaurant8k" / f"{name}.jsonl").resolve()) for name in ("train", "test")}
    return {
        "task": "extraction",
        "data": {**files, "max_rows": 400, "max_test_rows": 200, "validation_share": 0.25},
    }


RECIPES = {"labels": label_recipe, "fields": field_recipe}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def show(kind: str, run: RunDir) -> None:
    """A line for each measure; "before" is the model's own probability."""
    evaluation = json.loads(run.evaluation.read_text(encoding="utf-8"))
    (arm,) = (arm for arm in evaluation["arms"] if arm["name"] == "specialist")
    found = arm["classification" if kind == "labels" else "extraction"]["calibration"]
    right = sum(each["accuracy"] * each["num_rows"] for each in found["bins"]) / evaluation["num_test_rows"]
    head = [kind, evaluation["calibration"]["num_rows"], evaluation["num_test_rows"], f"{right:.1%}"]
    before, high = found["before"], found["ece_if_calibrated"]["high"]
    for name, key, chance in (("calibration error", "ece", f"{high:.3f}"), ("Brier score", "brier", "")):
        print(f"| {' | '.join(map(str, [*head, name, f'{before[key]:.3f}', f'{found[key]:.3f}', chance]))} |")


if __name__ == "__main__":
    main()
