"""What `burnish explain` tells of a recipe's training, and what it takes; prints a Markdown table.

python benchmarks/forecast.py RECIPE.toml [KEY=VALUE ...]

The run has no baselines, answers nothing at validations, and is killed behind its last step, so that its peak memory is
that of the training (answering needs memory that `explain` does not tell). Rounds that mend an adapter in the end are
counted in neither.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from watch import run_until

BARE = ["evaluate.arms=[]", "retention.measure=false", "train.trials=1", "train.choose_by=loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    given = parser.parse_args()
    settings = [*BARE, *given.settings]
    command = [sys.executable, "-m", "burnish", "explain", str(given.recipe), *settings, "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["training"]
    with tempfile.TemporaryDirectory(prefix="forecast-") as name:
        taken = train(given.recipe, Path(name), settings, told["num_steps"])
    told_s = told["seconds"] - (told["asking_s"] or 0)
    rows = [
        ("its steps, s", told_s, taken["seconds"]),
        ("memory, GB", told["peak_bytes"] / 1e9, taken["peak_bytes"] / 1e9),
    ]
    print(f"| {given.recipe.parent.name}, {told['num_steps']} steps | told | taken | taken / told |\n|---|---|---|---|")
    for title, before, after in rows:
        print(f"| {title} | {before:.1f} | {after:.1f} | {after / before:.2f} |")


def train(recipe: Path, output: Path, settings: list[str], num_steps: int) -> dict[str, float]:
    """Seconds of all steps, and the most memory of the process until the end of the last."""
    with run_until(num_steps, recipe, output, settings) as run:
        status = Path(f"/proc/{run.pid}/status").read_text(encoding="utf-8")
    peak_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return {"seconds": sum(step["seconds"] for step in run.steps), "peak_bytes": 1024.0 * peak_kb}


if __name__ == "__main__":
    main()
