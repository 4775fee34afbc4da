"""The run of a job: found among the run folders, and how far it has come."""

import tomllib
from pathlib import Path

from burnish.run_dir import RunDir, list_run_dirs
from burnish.serve.jobs.worker.order import Order


def training_path(order: Order, file_id: str) -> Path:
    """Where a job reads a file of examples: under a name that tells what it is, and that no other job has."""
    return order.folder.resolve() / f"{file_id}.jsonl"


def find_run(order: Order, file_id: str) -> RunDir | None:
    """The newest run that learns from the job's own copy of its file; None where it has not begun."""
    wanted = str(training_path(order, file_id))
    for run_dir in reversed(list_run_dirs(Path(order.runs))):
        try:
            recipe = tomllib.loads(run_dir.recipe.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # a damaged run of somebody else
        if recipe.get("data", {}).get("train") == wanted:
            return run_dir
    return None


def progress_of(order: Order) -> int:
    """A number that grows with what a job's run has kept: answers, steps of its checkpoints, the adapter, the end."""
    files = sorted(path.stem for path in order.folder.glob("*.jsonl"))
    runs = [run for name in files if (run := find_run(order, name))]
    total = 0
    for run_dir in runs:
        total += 1 + sum(_num_lines(path) for path in (run_dir.path / "predictions").glob("*.jsonl"))
        total += max((int(path.name.removeprefix("step-")) for path in run_dir.checkpoints.glob("step-*")), default=0)
        total += run_dir.adapter.is_dir() + run_dir.evaluation.is_file()
    return total


def _num_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")
