"""The corridor: from a recipe to a judged model, read top to bottom.

Each stage leaves its product in the run folder and is skipped where the product is there already, so that a run
that was stopped at any moment goes on from where it was.
"""

import json
import platform
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.data import Example, Finding, RenderedExample, Severity, build_card, freeze_split, languages, summarize
from burnish.data.split import PARTS
from burnish.errors import RunError
from burnish.files import copy_file, new_folder, read_json, sha256_of_file, write_json, write_text
from burnish.preparation import Prepared, attach, load_weights, predict, prepare, prepare_again
from burnish.recipe import LoadedRecipe, dump_recipe
from burnish.registry import open_registry
from burnish.run_dir import RunDir, create_run_dir
from burnish.screen import Screen, SilentScreen

if TYPE_CHECKING:
    import torch

    from burnish.evaluate.arms import Arm
    from burnish.evaluate.evaluation import ArmRun
    from burnish.train.fit import FitResult
    from burnish.train.ranks import Ranks


@dataclass(frozen=True)
class Run:
    """A finished run."""

    dir: RunDir
    evaluation: dict[str, Any]

    @property
    def verdict(self) -> dict[str, Any]:
        """Outcome, headline and reasons."""
        return dict(self.evaluation["verdict"])

    @property
    def adapter_path(self) -> Path:
        return self.dir.adapter

    @property
    def report_path(self) -> Path:
        return self.dir.report


def run(loaded: LoadedRecipe, screen: Screen | None = None) -> Run:
    """Do the whole job for a recipe: check, split, baselines, training, measurement, verdict, report.

    Under torchrun all ranks train; the first one does the rest, to which others that share the base with it lend their
    parts; each returns the finished run.

    Raises:
        BurnishError: the recipe, the data or the base model is at fault; nothing has been trained.
        Interrupted: the user stopped it; `resume` goes on.
    """
    from burnish.answering import keep_previous
    from burnish.train.ranks import join_ranks

    screen = screen or SilentScreen()
    with join_ranks() as ranks:
        if not ranks.is_first:
            return _help(ranks.agree(RunDir(Path())), screen, ranks)
        prepared = prepare(loaded, screen, num_ranks=ranks.count)
        run_dir = create_run_dir(Path(prepared.recipe.output.folder))
        freeze_split(prepared.split, run_dir.data, prepared.details)
        write_json(run_dir.data / "check.json", [asdict(finding) for finding in prepared.findings])
        write_json(run_dir.data / "card.json", _card(prepared))
        for metric in prepared.custom.values():
            copy_file(metric.path, run_dir.path)  # beside the recipe
        keep_previous(prepared, run_dir, screen)
        write_text(run_dir.recipe, dump_recipe(prepared.recipe))
        screen.say(f"Run {run_dir.run_id} in {run_dir.path}")
        ranks.agree(run_dir)
        return _go_on(prepared, run_dir, screen, ranks)


def resume(run_dir: RunDir, screen: Screen | None = None) -> Run:
    """Go on with a run that was stopped; a finished one is only read.

    Raises:
        RunError: the folder is damaged, or base model or split are not what they were.
    """
    from burnish.train.ranks import join_ranks

    screen = screen or SilentScreen()
    if run_dir.evaluation.is_file():
        if not run_dir.report.is_file():
            _report(run_dir)
        return open_run(run_dir)
    with join_ranks() as ranks:
        if not ranks.is_first:
            return _help(run_dir, screen, ranks)
        return _go_on(prepare_again(run_dir, screen, num_ranks=ranks.count), run_dir, screen, ranks)


def open_run(run_dir: RunDir) -> Run:
    """Read a finished run.

    Raises:
        RunError: it is not finished.
    """
    if not run_dir.evaluation.is_file():
        raise RunError(f"{run_dir.path}: this run is not finished. Go on with `burnish run --resume {run_dir.run_id}`.")
    return Run(run_dir, read_json(run_dir.evaluation))


def _help(run_dir: RunDir, screen: Screen, ranks: "Ranks") -> Run:
    """Train beside the first rank, follow it where it uses a base that is shared, and wait for its result."""
    from burnish.train.shard import follow
    from burnish.training import train_adapter

    if not run_dir.recipe.is_file():
        raise RunError(f"{run_dir.path}: not to be seen from here. All hosts must share output.folder.")
    prepared = prepare_again(run_dir, screen, num_ranks=ranks.count)
    ranks = ranks.sharing_base(bool(prepared.recipe.train.shard_base))
    model = _load_base(prepared, ranks)
    follow(model, ranks)  # the baselines
    model = attach(model, prepared.recipe)
    train_adapter(model, prepared, run_dir, screen, ranks)
    follow(model, ranks)  # the test and what was forgotten
    ranks.agree(None)  # the first rank has written the result
    return open_run(run_dir)


def _load_base(prepared: Prepared, ranks: "Ranks") -> Any:
    """The base on the device, or this rank's part of it; for that each rank first reads all of it into its host."""
    import torch

    from burnish.model.device import choose_device
    from burnish.train.shard import shard_base

    if not ranks.shards_base:
        return load_weights(prepared, choose_device())
    model = load_weights(prepared, torch.device("cpu"))
    shard_base(model, choose_device(), ranks)
    return model


def _go_on(prepared: Prepared, run_dir: RunDir, screen: Screen, ranks: "Ranks") -> Run:
    """Everything that needs the weights."""
    from burnish.answering import run_adapted, run_baselines, run_previous
    from burnish.evaluate.evaluation import expected_sensitivity
    from burnish.evaluate.kept import Budget
    from burnish.model.attention import can_pack
    from burnish.model.device import choose_device
    from burnish.train.shard import lead
    from burnish.training import train_adapter

    recipe, split = prepared.recipe, prepared.split
    ranks = ranks.sharing_base(bool(recipe.train.shard_base))
    device = choose_device()
    _write_environment(prepared, run_dir, device)
    for line in summarize(_told(prepared)):
        screen.say(line)
    rows = ", ".join(f"{count} {part}" for part, count in prepared.num_rows.items())
    place = f"{device.type}, divided among {ranks.count} ranks" if ranks.shards_base else device.type
    screen.say(f"{prepared.details['train_file']}: {rows} rows; base {prepared.base.name} on {place}")
    if prepared.plan:
        screen.say(str(prepared.plan))
    with _registered(run_dir):
        budget = Budget(60 * recipe.evaluate.time_budget)
        previous = run_previous(prepared, run_dir, screen, budget, is_divided=ranks.shards_base)
        model = _load_base(prepared, ranks)
        if not can_pack(model):
            screen.say(
                f"note: models of type {model.config.model_type} do not use transformers' attention interface. "
                "Examples are padded, not packed, and answers come from transformers' generate: slower, but the same."
            )
        with lead(model, ranks):
            answers = _base_answers(model, prepared, screen) if recipe.retention.measure else []
            baselines = run_baselines(model, prepared, run_dir, screen, budget) | previous  # the cheapest first
        groups, num_openings = _groups(split.test), _count_openings(run_dir) + 1
        sensitivity = expected_sensitivity(
            prepared.metric,
            baselines,
            confidence=recipe.evaluate.confidence,
            groups=groups,
            num_openings=num_openings,
        )
        screen.say(_describe_sensitivity(sensitivity, len(split.test)))
        model = attach(model, recipe)
        fitted = train_adapter(model, prepared, run_dir, screen, ranks)
        _save_adapter(model, prepared, run_dir)
        with lead(model, ranks):
            arms = {**baselines, **run_adapted(model, prepared, run_dir, screen)}
            done = _conclude(model, prepared, run_dir, arms, answers, fitted, sensitivity, screen)
    ranks.agree(None)  # lets the other ranks go
    return done


def _base_answers(model: Any, prepared: Prepared, screen: Screen) -> list[RenderedExample]:
    from burnish.evaluate.retention import base_answers, general_prompts
    from burnish.files import cache_dir

    options = prepared.recipe.retention
    prompts = general_prompts(options.num_prompts)
    with screen.bar("Base model: answering general prompts (kept for later runs)", len(prompts)) as advance:
        return base_answers(
            model,
            prepared.renderer,
            prompts,
            answer_tokens=options.answer_tokens,
            batch_size=prepared.recipe.evaluate.batch_size,
            cache=cache_dir(),
            fingerprint=prepared.base.fingerprint,
            on_done=lambda count: advance(count, ""),
        )


def _save_adapter(model: Any, prepared: Prepared, run_dir: RunDir) -> None:
    from burnish.model.adapter import AdapterCard, save_adapter

    card = AdapterCard(
        run_id=run_dir.run_id,
        base_model=prepared.base.name,
        base_fingerprint=prepared.base.fingerprint,
        template_sha256=prepared.base.template_sha256,
        train_sha256=sha256_of_file(run_dir.data / "train.jsonl"),
        scale=1.0,
        task=prepared.recipe.task.value,
        system=prepared.form.system,
        labels=prepared.form.labels,
        fields=prepared.form.fields,
        max_new_tokens=int(prepared.recipe.evaluate.max_new_tokens),
        thinking=prepared.renderer.thinking,
    )
    with new_folder(run_dir.adapter) as draft:
        save_adapter(model, draft, card)


def _conclude(
    model: Any,
    prepared: Prepared,
    run_dir: RunDir,
    arms: "dict[Arm, ArmRun]",
    answers: list[RenderedExample],
    fitted: "FitResult",
    sensitivity: tuple[float | None, str],
    screen: Screen,
) -> Run:
    """Measure retention, judge, and write evaluation.json and the report."""
    from burnish.evaluate.evaluation import Precision as EvaluationPrecision
    from burnish.evaluate.evaluation import evaluate
    from burnish.evaluate.retention import general_text, measure_retention, text_examples
    from burnish.evidence import forecast_more_data, gather_evidence

    recipe = prepared.recipe
    precision = EvaluationPrecision(recipe.evaluate.confidence, recipe.evaluate.num_resamples)
    retention = None
    if answers:
        screen.say("Measuring what was forgotten ...")
        retention = measure_retention(
            model,
            answers,
            text_examples(prepared.renderer, general_text()),
            micro_batch_tokens=int(recipe.train.micro_batch_tokens),
            confidence=precision.confidence,
            num_resamples=precision.num_resamples,
        )
    budget = None if recipe.retention.budget == "off" else float(recipe.retention.budget)
    measured = evaluate(
        arms,
        metric=prepared.metric,
        precision=precision,
        retention=retention,
        budget=budget,
        sensitivity=sensitivity,
        groups=_groups(prepared.split.test),
        num_openings=_count_openings(run_dir),
        evidence=gather_evidence(model, prepared, run_dir, screen),
    )
    evaluation = {
        "schema_version": 1,
        "run_id": run_dir.run_id,
        "task": recipe.task.value,
        "base_model": prepared.base.name,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **measured,
        "more_data": forecast_more_data(prepared, screen),
        "training": _training(prepared, run_dir, fitted),
        "data": _data(prepared, run_dir),
    }
    write_json(run_dir.evaluation, evaluation)
    _report(run_dir)
    return Run(run_dir, evaluation)


def _groups(test: Sequence[Example]) -> list[str | None] | None:
    """The group of each test row; None where no row has one."""
    groups = [example.group for example in test]
    return groups if any(groups) else None


def _count_openings(run_dir: RunDir) -> int:
    """How many adapters these test rows have judged."""
    with open_registry(run_dir.registry) as registry:
        return registry.count_adapters(sha256_of_file(run_dir.data / "test.jsonl"))


def _report(run_dir: RunDir) -> None:
    from burnish.report.page import write_report  # with matplotlib, which takes a second to import

    write_report(run_dir)


def _training(prepared: Prepared, run_dir: RunDir, fitted: "FitResult") -> dict[str, Any]:
    rows = [json.loads(line) for line in run_dir.metrics.read_text(encoding="utf-8").split("\n") if line]
    return {
        "num_train_rows": len(prepared.split.train),
        "num_validation_rows": len(prepared.split.validation),
        "num_steps": fitted.num_steps,
        "best_step": fitted.best.step,
        "stopped_early": fitted.stopped_early,
        "num_tokens": sum(row["tokens"] for row in rows),
        "elapsed_s": round(fitted.elapsed_s, 1),
        "validation": [
            {"step": each.step, "loss_per_token": each.loss, "score": each.score} for each in fitted.validations
        ],
        "peak_memory_bytes": _peak_memory_bytes(),
    }


def _card(prepared: Prepared) -> dict[str, Any]:
    """What is known of the data, and of what training on them will take."""
    everything = [example for part in PARTS for example in getattr(prepared.split, part)]
    prediction = predict(prepared, may_measure=False)
    return build_card(
        prepared.split,
        prepared.rendered,
        prepared.findings,
        task=prepared.recipe.task,
        sha256=prepared.details["file_sha256"],
        languages=Counter(name for name in languages([example.asked for example in everything]) if name),
        estimate=asdict(prediction) if prediction else None,
    )


def _told(prepared: Prepared) -> list[Finding]:
    """What a run tells on its way; `burnish check` tells the rest."""
    return [finding for finding in prepared.findings if finding.severity is not Severity.NOTE]


def _data(prepared: Prepared, run_dir: RunDir) -> dict[str, Any]:
    return {
        "train": prepared.details["train_file"],
        "num_rows": prepared.details["num_rows"],
        "split": prepared.num_rows,
        "test_sha256": sha256_of_file(run_dir.data / "test.jsonl"),
        "num_duplicates": prepared.details["num_duplicates"],
        "warnings": summarize(_told(prepared)),
    }


def _write_environment(prepared: Prepared, run_dir: RunDir, device: "torch.device") -> None:
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
            "base_model": prepared.base.name,
            "base_fingerprint": prepared.base.fingerprint,
            "metric_sha256": {metric.name: metric.sha256 for metric in prepared.custom.values()},
            "data_sha256": prepared.details["file_sha256"],
            "command": ["burnish", *sys.argv[1:]],
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


@contextmanager
def _registered(run_dir: RunDir) -> Iterator[None]:
    """Note the run in the index when it begins and when it ends, however it ends."""

    def record() -> None:
        with open_registry(run_dir.registry) as registry:
            registry.record(run_dir)

    record()
    try:
        yield
    finally:
        record()


def _describe_sensitivity(sensitivity: tuple[float | None, str], num_rows: int) -> str:
    value, condition = sensitivity
    if value is None:
        return f"{num_rows} test rows: the smallest gain that they can show is not known ({condition})."
    return f"{num_rows} test rows can show a true gain of {100 * value:.1f} points in 4 of 5 cases ({condition})."


def _peak_memory_bytes() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
