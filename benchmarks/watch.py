"""A `burnish run` that is watched until it has made so many optimizer steps, and then killed."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Watched:
    """A run that goes on until the block ends."""

    pid: int
    steps: list[dict[str, Any]]
    """Their rows of metrics.jsonl."""


@contextmanager
def run_until(num_steps: int, recipe: Path, output: Path, settings: Sequence[str]) -> Iterator[Watched]:
    """Within the block the run has made `num_steps`; behind it the run is killed. A run that fails ends the program."""
    output.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "burnish", "run", str(recipe), f"output.folder={output}", *settings]
    with (output / "log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            while len(steps := _read_steps(output)) < num_steps:
                if process.poll() is not None:
                    log.seek(0)
                    sys.exit(f"error: the run ended before its step {num_steps}.\n{log.read()}")
                time.sleep(0.01)
            yield Watched(process.pid, steps)
        finally:
            process.kill()
            process.wait()


def _read_steps(output: Path) -> list[dict[str, Any]]:
    lines = [line for path in output.glob("*/metrics.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    return [row for line in lines if line.endswith("}") and "grad_norm" in (row := json.loads(line))]
