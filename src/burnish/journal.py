"""What a run writes down beside its products: how it began, where it ran, what its data were, and how it ended."""

import platform
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.data import Example, Finding, RenderedExample, Severity, build_card, freeze_split, languages, summarize
from burnish.data.split import PARTS
from burnish.evaluate.general import freeze_general
from burnish.files import copy_file, sha256_of_file, write_json, write_text
from burnish.preparation import Divided
from burnish.recipe import dump_recipe
from burnish.registry import open_registry
from burnish.run_dir import RunDir, create_run_dir
from burnish.screen import Screen

if TYPE_CHECKING:
    import torch


def begin(
    prepared: Divided,
    screen: Screen,
    *,
    rendered: Mapping[str, Sequence[RenderedExample]] | None = None,
    estimate: Mapping[str, Any] | None = None,
    keep: Callable[[RunDir], None] = lambda run_dir: None,
) -> RunDir:
    """Make the run folder and freeze in it what the run begins with; from here on it can be resumed.

    `estimate`: what training on the data will take. `keep` puts in what else it needs.
    """
    run_dir = create_run_dir(Path(prepared.recipe.output.folder))
    freeze_split(prepared.split, run_dir.data, prepared.details)
    if prepared.general:
        freeze_general(prepared.general, run_dir.data)
    write_json(run_dir.data / "check.json", [asdict(finding) for finding in prepared.findings])
    everything = [example for part in PARTS for example in getattr(prepared.split, part)]
    card = build_card(
        prepared.split,
        rendered or {},
        prepared.findings,
        task=prepared.recipe.task,
        sha256=prepared.details["file_sha256"],
        languages=Counter(name for name in languages([example.asked for example in everything]) if name),
        estimate=estimate,
    )
    write_json(run_dir.data / "card.json", card)
    for metric in prepared.custom.values():
        copy_file(metric.path, run_dir.path)  # beside the recipe
    keep(run_dir)
    write_text(run_dir.recipe, dump_recipe(prepared.recipe))
    screen.say(f"Run {run_dir.run_id} in {run_dir.path}")
    return run_dir


def tell_data(prepared: Divided, base: str, screen: Screen) -> None:
    """Say what the run works with: warnings, rows, base."""
    for line in summarize(_told(prepared)):
        screen.say(line)
    rows = ", ".join(f"{count} {part}" for part, count in prepared.num_rows.items())
    screen.say(f"{prepared.details['train_file']}: {rows} rows; base {base}")


def tell_sensitivity(sensitivity: tuple[float | None, str], num_rows: int, screen: Screen) -> None:
    """Say how small a gain the test can show, and under which condition."""
    value, condition = sensitivity
    if value is None:
        screen.say(f"{num_rows} test rows: the smallest gain that they can show is not known ({condition}).")
        return
    screen.say(f"{num_rows} test rows can show a true gain of {100 * value:.1f} points in 4 of 5 cases ({condition}).")


def write_environment(
    prepared: Divided, run_dir: RunDir, device: "torch.device", *, base_name: str, base_fingerprint: str
) -> None:
    """Versions, device, seed and hashes; a resumed run keeps the first."""
    from burnish.model.device import describe_device

    if run_dir.environment.is_file():
        return
    names = ("torch", "transformers", "peft", "safetensors", "numpy", "scipy", "tokenizers")
    write_json(
        run_dir.environment,
        {
            "burnish": version("burnish"),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "device": describe_device(device),
            "packages": {name: version(name) for name in names},
            "seed": prepared.recipe.train.seed,
            "base_model": base_name,
            "base_fingerprint": base_fingerprint,
            "metric_sha256": {metric.name: metric.sha256 for metric in prepared.custom.values()},
            "data_sha256": prepared.details["file_sha256"],
            "command": ["burnish", *sys.argv[1:]],
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


@contextmanager
def registered(run_dir: RunDir) -> Iterator[None]:
    """Note the run in the index when it begins and when it ends, however it ends."""

    def record() -> None:
        with open_registry(run_dir.registry) as registry:
            registry.record(run_dir)

    record()
    try:
        yield
    finally:
        record()


def count_openings(run_dir: RunDir) -> int:
    """How many results of training these test rows have judged."""
    with open_registry(run_dir.registry) as registry:
        return registry.count_adapters(sha256_of_file(run_dir.data / "test.jsonl"))


def expect_openings(run_dir: RunDir) -> int:
    """The same once this run has its result; what it may have opened before it was stopped does not count twice."""
    with open_registry(run_dir.registry) as registry:
        return 1 + registry.count_adapters(sha256_of_file(run_dir.data / "test.jsonl"), without_run=run_dir.run_id)


def groups_of(examples: Sequence[Example]) -> list[str | None] | None:
    """The group of each row; None where no row has one."""
    groups = [example.group for example in examples]
    return groups if any(groups) else None


def conclude(prepared: Divided, run_dir: RunDir, base_name: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Write evaluation.json, with which the run is finished, and the report."""
    evaluation = {
        "schema_version": 1,
        "run_id": run_dir.run_id,
        "task": prepared.recipe.task.value,
        "base_model": base_name,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **parts,
        "data": _describe_data(prepared, run_dir),
    }
    write_json(run_dir.evaluation, evaluation)
    report(run_dir)
    return evaluation


def report(run_dir: RunDir) -> None:
    """Write the report of a finished run."""
    from burnish.report.page import write_report  # with matplotlib, which takes a second to import

    write_report(run_dir)


def peak_memory_bytes() -> int | None:
    """Of this process so far; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _told(prepared: Divided) -> list[Finding]:
    """What a run tells on its way; `burnish check` tells the rest."""
    return [finding for finding in prepared.findings if finding.severity is not Severity.NOTE]


def _describe_data(prepared: Divided, run_dir: RunDir) -> dict[str, Any]:
    return {
        "train": prepared.details["train_file"],
        "num_rows": prepared.details["num_rows"],
        "split": prepared.num_rows,
        "test_sha256": sha256_of_file(run_dir.data / "test.jsonl"),
        "num_duplicates": prepared.details["num_duplicates"],
        "warnings": summarize(_told(prepared)),
    }
