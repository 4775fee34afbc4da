"""How long `burnish run` takes to its first optimizer step, the machine's caches filled; prints a Markdown table.

python benchmarks/start.py TRAIN.jsonl [--task chat] [--repetitions 5] [KEY=VALUE ...]

No baselines and nothing about retention, which come before the training and are what a user has asked for. Only the
first run fills the caches (renderings, the embeddings that look for wrong labels, the base's fingerprint); it is told
apart. Beside it: what importing torch and transformers alone takes in a fresh process.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from watch import run_until

BARE = ["evaluate.arms=[]", "retention.measure=false", "retention.budget=off", "retention.replay=0", "train.trials=1"]
IMPORTS = "import torch, transformers.models.llama.modeling_llama, peft"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--task", default="chat")
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="start-") as name:
        folder = Path(name)
        recipe = folder / "recipe.toml"
        recipe.write_text(f'task = "{given.task}"\n[data]\ntrain = "{given.data.resolve()}"\n', encoding="utf-8")
        settings = [*BARE, *given.settings]
        first = first_step(recipe, folder / "first", settings)
        times = [(first_step(recipe, folder / str(n), settings), importing()) for n in range(given.repetitions)]
    steps, imports = zip(*times, strict=True)
    print("| | seconds |\n|---|---|")
    print(f"| the first run, to its first step | {first:.1f} |")
    print(f"| later runs | {_spread(steps)} |")
    print(f"| of these, importing torch, transformers and peft | {_spread(imports)} |")


def first_step(recipe: Path, output: Path, settings: list[str]) -> float:
    """Seconds from exec until the first step is in metrics.jsonl."""
    start = time.perf_counter()
    with run_until(1, recipe, output, settings):
        return time.perf_counter() - start


def importing() -> float:
    """Seconds that a fresh process takes for what any training with these libraries imports."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.perf_counter() - start


def _spread(values: tuple[float, ...]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} – {max(values):.1f})"


if __name__ == "__main__":
    main()
