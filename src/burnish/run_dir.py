"""The run folder: where everything about one run lies, and how a run is found by name."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from burnish.errors import RunError
from burnish.files import storage_errors


@dataclass(frozen=True)
class RunDir:
    """The paths of one run; `evaluation.json` is there if, and only if, the run is finished."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def solution(self, arm: str) -> Path:
        """What answers as `arm` did; the adapter is in a folder of its own."""
        return self.path / "solutions" / arm

    @property
    def trials(self) -> Path:
        return self.path / "trials.json"

    @property
    def side_runs(self) -> Path:
        """What was trained beside the run, to know more about it."""
        return self.path / "side_runs"

    @property
    def registry(self) -> Path:
        """The index of all runs of its folder."""
        return self.path.parent / "registry.sqlite"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def recorded(self) -> Path:
        """What a hosted model answered to the test rows, where the recipe names a recording."""
        return self.data / "recorded.jsonl"

    def predictions(self, arm: str) -> Path:
        return self.path / "predictions" / f"{arm}.jsonl"

    def validation(self, arm: str) -> Path:
        """What `arm` answered to validation rows."""
        return self.path / "predictions" / "validation" / f"{arm}.jsonl"


def create_run_dir(parent: Path) -> RunDir:
    """Make a new, empty run folder under `parent`; its name is the UTC time and a short random hash."""
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    path = parent / run_id
    with storage_errors(path, setting="output.folder=/path/you/own"):
        path.mkdir(parents=True)
    return RunDir(path.resolve())


def find_run_dir(name: str | Path, parent: Path) -> RunDir:
    """The run that `name` means: a path, `latest`, or a run id or the beginning of one under `parent`.

    Raises:
        RunError: none or several runs fit.
    """
    direct = Path(name)
    if (direct / "recipe.toml").is_file():
        return RunDir(direct.resolve())
    runs = list_run_dirs(parent)
    if str(name) == "latest" and runs:
        return runs[-1]
    matches = [run for run in runs if run.run_id.startswith(str(name))]
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(run.run_id for run in matches)
        raise RunError(f"{name}: {len(matches)} runs begin so: {listed}. Give more of the name.")
    hint = "There are no runs yet." if not runs else f"The newest is {runs[-1].run_id}; `burnish runs` lists all."
    raise RunError(f"{name}: no such run, neither as a folder nor under {parent}. {hint}")


def list_run_dirs(parent: Path) -> list[RunDir]:
    """All runs under `parent`, oldest first."""
    if not parent.is_dir():
        return []
    return [RunDir(path.resolve()) for path in sorted(parent.iterdir()) if (path / "recipe.toml").is_file()]
