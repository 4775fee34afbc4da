"""The corridor: from a recipe to a judged model, read top to bottom.

Each stage leaves its product in the run folder and is skipped where the product is there already, so that a run
that was stopped at any moment goes on from where it was.
"""

import json
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from burnish.conversation import Conversation, Task
from burnish.data import (
    Finding,
    RenderedExample,
    Renderer,
    Severity,
    Split,
    Table,
    TaskForm,
    build_examples,
    check_examples,
    check_lengths,
    count_duplicates,
    fields_of,
    freeze_split,
    labels_of,
    load_table,
    render_all,
    split_examples,
    system_prompt_of,
    thaw_split,
)
from burnish.errors import RunError
from burnish.files import new_folder, read_json, sha256_of_file, sha256_of_json, write_json, write_text
from burnish.recipe import (
    LoadedRecipe,
    Precision,
    Recipe,
    RowFacts,
    TokenFacts,
    dump_recipe,
    load_recipe,
    resolve_memory,
    resolve_rows,
    resolve_tokens,
)
from burnish.registry import open_registry
from burnish.run_dir import RunDir, create_run_dir

if TYPE_CHECKING:
    import torch

    from burnish.evaluate.arms import Arm
    from burnish.evaluate.evaluation import ArmRun
    from burnish.model.base import BaseFiles
    from burnish.train.fit import FitResult
    from burnish.train.forecast import Rehearsal
    from burnish.train.plan import Plan
    from burnish.train.ranks import Ranks
    from burnish.train.savings import Savings

Advance = Callable[[int, str], None]


class Screen(Protocol):
    """Where a run tells what it does; the command line draws it, a library user may ignore it."""

    def say(self, text: str) -> None:
        """One line of news."""

    def bar(self, title: str, total: int) -> AbstractContextManager[Advance]:
        """A bar of `total` units; the block gets `advance(units, note)`."""

    def gentle_stop(self) -> AbstractContextManager[Callable[[], bool]]:
        """In the block Ctrl-C waits for a safe moment; the block gets a function that tells whether it was pressed."""


class SilentScreen:
    """Tells nothing."""

    def say(self, text: str) -> None: ...

    def bar(self, title: str, total: int) -> AbstractContextManager[Advance]:
        return nullcontext(lambda units, note="": None)

    def gentle_stop(self) -> AbstractContextManager[Callable[[], bool]]:
        return nullcontext(lambda: False)


@dataclass(frozen=True)
class Prepared:
    """Everything that is settled before the weights are loaded."""

    loaded: LoadedRecipe
    base: "BaseFiles"
    renderer: Renderer
    split: Split
    form: TaskForm
    findings: list[Finding]
    details: dict[str, Any]
    rendered: dict[str, list[RenderedExample]] = field(repr=False)
    rehearsal: "Rehearsal | None" = field(repr=False)
    plan: "Plan | None"
    """Both are None if the base is of a kind that cannot be rehearsed."""

    @property
    def recipe(self) -> Recipe:
        return self.loaded.recipe


@dataclass(frozen=True)
class Prediction:
    """What the training of a run (not its baselines and measurements) will take on this machine."""

    num_steps: int
    seconds: float
    peak_bytes: int
    """Of the whole process."""

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds), 60)
        time = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
        return f"Training: {self.num_steps} steps in about {time}, with about {self.peak_bytes / 1e9:.1f} GB of memory."


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

    Under torchrun all ranks train; the first one does the rest, and each returns the finished run.

    Raises:
        BurnishError: the recipe, the data or the base model is at fault; nothing has been trained.
        Interrupted: the user stopped it; `resume` goes on.
    """
    from burnish.train.ranks import join_ranks

    screen = screen or SilentScreen()
    with join_ranks() as ranks:
        if not ranks.is_first:
            return _help(ranks.agree(RunDir(Path())), screen, ranks)
        prepared = prepare(loaded, screen)
        run_dir = create_run_dir(Path(prepared.recipe.output.folder))
        freeze_split(prepared.split, run_dir.data, prepared.details)
        write_json(run_dir.data / "check.json", [asdict(finding) for finding in prepared.findings])
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
        return _go_on(_prepare_again(run_dir, screen), run_dir, screen, ranks)


def open_run(run_dir: RunDir) -> Run:
    """Read a finished run.

    Raises:
        RunError: it is not finished.
    """
    if not run_dir.evaluation.is_file():
        raise RunError(f"{run_dir.path}: this run is not finished. Go on with `burnish run --resume {run_dir.run_id}`.")
    return Run(run_dir, read_json(run_dir.evaluation))


def prepare(loaded: LoadedRecipe, screen: Screen | None = None) -> Prepared:
    """Read, check, divide and render the data, and settle every `auto` value; no weights are loaded."""
    screen = screen or SilentScreen()
    table = _load(loaded.recipe, "train")
    loaded, form = _settle_rows(loaded, table)
    recipe = loaded.recipe
    examples = build_examples(table, form)
    held_out = {
        part: build_examples(_load(recipe, part), form) for part in ("validation", "test") if getattr(recipe.data, part)
    }
    findings = check_examples(examples, recipe.task)
    split = split_examples(
        examples,
        validation=held_out.get("validation"),
        test=held_out.get("test"),
        validation_share=float(recipe.data.validation_share),
        test_share=float(recipe.data.test_share),
        seed=recipe.data.split_seed,
        stratify=recipe.task is Task.CLASSIFICATION,
    )
    if split.removed:
        message = f"Rows left out of train or validation because a held-out part asks the same: {len(split.removed)}."
        findings.append(Finding("leakage", Severity.WARNING, message))
    details = {
        "train_file": Path(recipe.data.train).name,
        "num_rows": len(examples),
        "num_duplicates": count_duplicates(examples),
        "file_sha256": {
            part: sha256_of_file(Path(path))
            for part in ("train", "validation", "test")
            if (path := getattr(recipe.data, part))
        },
    }
    return _finish_preparing(loaded, split, form, findings, details, screen)


def predict(prepared: Prepared) -> Prediction | None:
    """Time and memory of the training, from its counted work and the rate of this machine for this base.

    The rate is measured the first time. None where the base is of a kind that cannot be rehearsed.
    """
    import psutil

    from burnish.model.base import load_model
    from burnish.model.device import choose_device
    from burnish.train.forecast import StepSettings
    from burnish.train.rate import training_rate

    if prepared.rehearsal is None or prepared.plan is None:
        return None
    process = psutil.Process().memory_info().rss if choose_device().type == "cpu" else 0
    recipe, rehearsal, plan = prepared.recipe, prepared.rehearsal, prepared.plan
    steps = _steps(recipe, prepared.rendered["train"])
    settings = StepSettings(plan.max_tokens, plan.recompute_layers, _savings(recipe))
    work = sum(rehearsal.operations(examples, settings) for examples in steps)
    rate = training_rate(
        prepared.base.fingerprint,
        rehearsal,
        lambda: _attach(load_model(prepared.base, dtype=_dtype(recipe), device=choose_device()), recipe),
    )
    return Prediction(len(steps), work / rate, process + plan.bytes_needed)


def _prepare_again(run_dir: RunDir, screen: Screen) -> Prepared:
    """The same from the frozen split and the resolved recipe of a run."""
    loaded = load_recipe(run_dir.recipe)
    split, manifest = thaw_split(run_dir.data)
    recipe = loaded.recipe
    form = TaskForm(recipe.task, str(recipe.prompt.system), _names(recipe.prompt.labels), _names(recipe.prompt.fields))
    findings = [
        Finding(row["check"], Severity(row["severity"]), row["message"])
        for row in read_json(run_dir.data / "check.json")
    ]
    details = {key: manifest[key] for key in ("train_file", "num_rows", "num_duplicates", "file_sha256")}
    prepared = _finish_preparing(loaded, split, form, findings, details, screen)
    if run_dir.environment.is_file():
        before = read_json(run_dir.environment)["base_fingerprint"]
        if before != prepared.base.fingerprint:
            raise RunError(
                f"{run_dir.path}: the base model {prepared.base.name} is not the one that this run began with."
            )
    return prepared


def _load(recipe: Recipe, part: str) -> Table:
    return load_table(
        Path(getattr(recipe.data, part)),
        recipe.task,
        columns=recipe.data.columns,
        group_by=recipe.data.group_by,
        max_rows={"train": recipe.data.max_rows, "test": recipe.data.max_test_rows}.get(part),
    )


def _settle_rows(loaded: LoadedRecipe, table: Table) -> tuple[LoadedRecipe, TaskForm]:
    """Settle split, prompt and metric; the labels and fields are those of the training file unless given."""
    recipe = loaded.recipe
    labels = _names(recipe.prompt.labels) or labels_of(table)
    fields = _names(recipe.prompt.fields) or fields_of(table)
    form = TaskForm(recipe.task, "", labels, fields)
    words = sorted(len(example.target.split()) for example in build_examples(table, form))
    facts = RowFacts(
        num_rows=len(table.rows),
        labels=labels,
        fields=fields,
        system=system_prompt_of(table, labels, fields),
        median_target_words=words[len(words) // 2],
    )
    settled = resolve_rows(loaded, facts)
    return settled, TaskForm(recipe.task, str(settled.recipe.prompt.system), labels, fields)


def _names(value: Any) -> tuple[str, ...]:
    return () if value == "auto" else tuple(value)


def _finish_preparing(
    loaded: LoadedRecipe,
    split: Split,
    form: TaskForm,
    findings: list[Finding],
    details: dict[str, Any],
    screen: Screen,
) -> Prepared:
    """Render the split through the base's template and settle what depends on tokens and device."""
    from burnish.model.base import context_length, find_base, load_tokenizer
    from burnish.model.device import choose_device, measure_bf16_speedup

    base = find_base(loaded.recipe.model.base, screen.say)
    renderer = Renderer(*load_tokenizer(base))
    supervise_all = loaded.recipe.data.supervise == "all"
    rendered = {
        part: render_all(renderer, getattr(split, part), supervise_all=supervise_all)
        for part in ("train", "validation", "test")
    }
    everything = [example for part in rendered.values() for example in part]
    is_asked = loaded.recipe.train.precision == "auto"
    facts = TokenFacts(
        num_train_rows=len(split.train),
        longest_example=max(len(r.input_ids) for r in everything),
        longest_target=max(len(r.input_ids) - r.prompt_length for r in everything),
        context_length=context_length(base),
        bf16_speedup=measure_bf16_speedup(choose_device()) if is_asked else 0.0,
    )
    settled = resolve_tokens(loaded, facts)
    check_lengths(everything, int(settled.recipe.data.max_length))
    longest = max(2048, facts.longest_example)
    rehearsal = _rehearse(base, settled.recipe)
    plan = _plan(rehearsal, settled.recipe, rendered["train"], longest) if rehearsal else None
    settled = resolve_memory(
        settled,
        micro_batch_tokens=plan.max_tokens if plan else longest,
        recompute_layers=plan.recompute_layers if plan else False,
        reason=plan.reason if plan else "what it needs is not known",
    )
    return Prepared(settled, base, renderer, split, form, findings, details, rendered, rehearsal, plan)


def _rehearse(base: "BaseFiles", recipe: Recipe) -> "Rehearsal | None":
    """The base without numbers; None where its code, or the adapter's place in it, does not allow that."""
    from burnish.errors import AdapterError
    from burnish.model.base import load_config
    from burnish.train.forecast import Rehearsal

    try:
        return Rehearsal(load_config(base), lambda model: _attach(model, recipe), _dtype(recipe))
    except (AdapterError, AttributeError, TypeError, ValueError, RuntimeError, NotImplementedError):
        return None


def _plan(rehearsal: "Rehearsal", recipe: Recipe, train: list[RenderedExample], longest: int) -> "Plan | None":
    from burnish.model.device import choose_device, free_bytes
    from burnish.train.forecast import StepSettings
    from burnish.train.plan import make_plan

    options = recipe.train
    is_auto = options.micro_batch_tokens == "auto"
    try:
        return make_plan(
            rehearsal,
            _steps(recipe, train),
            StepSettings(longest if is_auto else int(options.micro_batch_tokens), savings=_savings(recipe)),
            bytes_free=int(options.memory_gb * 1e9) if options.memory_gb else free_bytes(choose_device()),
            may_shrink=is_auto,
            recompute=None if options.recompute_layers == "auto" else bool(options.recompute_layers),
        )
    except (RuntimeError, NotImplementedError):
        return None


def _steps(recipe: Recipe, train: list[RenderedExample]) -> list[list[RenderedExample]]:
    """The examples of each step of a whole run."""
    from burnish.train.schedule import examples_of_run

    options = recipe.train
    order = examples_of_run(len(train), int(options.batch_size), int(options.epochs), options.seed)
    return [[train[i] for i in step] for step in order]


def _savings(recipe: Recipe) -> "Savings":
    from burnish.train.savings import Savings

    options = recipe.train
    return Savings(
        supervised_logits=options.supervised_logits,
        chunked_loss=options.chunked_loss,
        drop_tail=options.drop_tail,
        packing=options.packing,
        shared_prefix=options.shared_prefix,
        prefix_once=options.prefix_once,
    )


def _help(run_dir: RunDir, screen: Screen, ranks: "Ranks") -> Run:
    """Train beside the first rank, and wait for its result."""
    from burnish.model.base import load_model
    from burnish.model.device import choose_device

    if not run_dir.recipe.is_file():
        raise RunError(f"{run_dir.path}: not to be seen from here. All hosts must share output.folder.")
    prepared = _prepare_again(run_dir, screen)
    model = load_model(prepared.base, dtype=_dtype(prepared.recipe), device=choose_device())
    _fit(_attach(model, prepared.recipe), prepared, run_dir, screen, ranks)
    ranks.agree(None)  # the first rank has written the result
    return open_run(run_dir)


def _attach(model: Any, recipe: Recipe) -> Any:
    from burnish.model.adapter import attach_adapter

    return attach_adapter(
        model,
        rank=int(recipe.adapter.rank),
        alpha=recipe.adapter.alpha,
        dropout=recipe.adapter.dropout,
        target_modules=recipe.adapter.target_modules,
        seed=recipe.train.seed,
        in_place=recipe.train.in_place_lora,
    )


def _go_on(prepared: Prepared, run_dir: RunDir, screen: Screen, ranks: "Ranks") -> Run:
    """Everything that needs the weights."""
    from burnish.evaluate.arms import Arm
    from burnish.evaluate.evaluation import expected_sensitivity
    from burnish.model.attention import can_pack
    from burnish.model.base import load_model
    from burnish.model.device import choose_device

    recipe, split = prepared.recipe, prepared.split
    device = choose_device()
    _write_environment(prepared, run_dir, device)
    for finding in prepared.findings:
        screen.say(f"{finding.severity.value}: {finding.message}")
    rows = ", ".join(f"{len(getattr(split, part))} {part}" for part in ("train", "validation", "test"))
    screen.say(f"{prepared.details['train_file']}: {rows} rows; base {prepared.base.name} on {device.type}")
    if prepared.plan:
        screen.say(str(prepared.plan))
    with _registered(run_dir):
        model = load_model(prepared.base, dtype=_dtype(recipe), device=device)
        if not can_pack(model):
            screen.say(
                f"note: models of type {model.config.model_type} do not use transformers' attention interface. "
                "Examples are padded, not packed, and answers come from transformers' generate: slower, but the same."
            )
        answers = _base_answers(model, prepared, screen) if recipe.retention.measure else []
        baselines = {Arm(arm): _run_arm(Arm(arm), model, prepared, run_dir, screen) for arm in recipe.evaluate.arms}
        sensitivity = expected_sensitivity(_metric(recipe), baselines)
        screen.say(_describe_sensitivity(sensitivity, len(split.test)))
        model = _attach(model, recipe)
        fitted = _fit(model, prepared, run_dir, screen, ranks)
        _save_adapter(model, prepared, run_dir)
        arms = {**baselines, Arm.SPECIALIST: _run_arm(Arm.SPECIALIST, model, prepared, run_dir, screen)}
        done = _conclude(model, prepared, run_dir, arms, answers, fitted, sensitivity, screen)
    ranks.agree(None)  # lets the other ranks go
    return done


def _run_arm(arm: "Arm", model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen) -> "ArmRun":
    """The arm's answers to the test rows; read from predictions/ARM.jsonl where they are there."""
    from burnish.evaluate.arms import ARM_TITLES, Arm, arm_prompt, cached_arm, choose_shots, judge_answers
    from burnish.evaluate.evaluation import ArmRun
    from burnish.generate.answer import answer_prompts

    recipe, test = prepared.recipe, prepared.split.test
    num_shots = int(recipe.evaluate.num_shots) if arm is Arm.FEW_SHOT else 0
    shots = choose_shots(prepared.split.train, num_shots, recipe.train.seed) if num_shots else []
    prompts: list[Conversation] = [arm_prompt(arm, example.prompt, shots) for example in test]
    adapter = run_dir.adapter / "adapter_model.safetensors"
    key = {
        "base": prepared.base.fingerprint,
        "adapter": sha256_of_file(adapter) if arm is Arm.SPECIALIST else None,
        "prompts": sha256_of_json([[asdict(m) for m in prompt] for prompt in prompts]),
        "max_new_tokens": recipe.evaluate.max_new_tokens,
        "metric": str(_metric(recipe)),
    }

    def predict() -> list[dict[str, Any]]:
        if arm is Arm.SPECIALIST:
            _count_opening(run_dir)
        with screen.bar(f"{ARM_TITLES[arm]}: answering {len(test)} test rows", len(test)) as advance:
            answers = answer_prompts(
                model,
                prepared.renderer,
                prompts,
                labels=prepared.form.labels,
                max_new_tokens=int(recipe.evaluate.max_new_tokens),
                batch_size=recipe.evaluate.batch_size,
                on_done=lambda count: advance(count, ""),
            )
        return judge_answers(answers, prompts, test, _metric(recipe))

    return ArmRun(*cached_arm(run_dir.predictions(arm.value), key, predict))


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


def _fit(model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen, ranks: "Ranks") -> "FitResult":
    from burnish.train.fit import FitEvents, FitOptions, fit
    from burnish.train.loop import TrainOptions, count_steps
    from burnish.train.step import StepMetrics

    recipe = prepared.recipe.train
    options = TrainOptions(
        seed=recipe.seed,
        epochs=int(recipe.epochs),
        batch_size=int(recipe.batch_size),
        learning_rate=float(recipe.learning_rate),
        schedule=recipe.schedule,
        warmup_share=recipe.warmup_share,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        micro_batch_tokens=int(recipe.micro_batch_tokens),
        savings=_savings(prepared.recipe),
        recompute_layers=bool(recipe.recompute_layers),
    )
    total = count_steps(len(prepared.rendered["train"]), options)
    title = f"Training: {total} steps of {options.batch_size} examples"
    with screen.gentle_stop() as should_stop, screen.bar(title, total) as advance:
        done = 0

        def on_step(metrics: StepMetrics, num_steps: int) -> None:
            nonlocal done
            speed = metrics.tokens / metrics.seconds
            advance(metrics.step - done, f"loss {metrics.loss_per_token:.3f}  {speed:,.0f} tokens/s")
            done = metrics.step

        return fit(
            model,
            prepared.rendered["train"],
            prepared.rendered["validation"],
            options=options,
            fit_options=FitOptions(recipe.validations_per_epoch, recipe.patience, recipe.checkpoint_minutes * 60),
            checkpoints=run_dir.checkpoints,
            metrics_path=run_dir.metrics,
            events=FitEvents(
                on_step=on_step,
                on_validation=lambda step, loss: screen.say(f"step {step}: validation loss {loss:.4f} nats per token"),
                should_stop=should_stop,
            ),
            ranks=ranks,
        )


def _count_opening(run_dir: RunDir) -> None:
    """Note that this adapter is about to see the test rows."""
    test, adapter = run_dir.data / "test.jsonl", run_dir.adapter / "adapter_model.safetensors"
    with open_registry(_registry_path(run_dir)) as registry:
        registry.count_test_opening(run_dir.run_id, sha256_of_file(test), sha256_of_file(adapter))


def _registry_path(run_dir: RunDir) -> Path:
    return run_dir.path.parent / "registry.sqlite"


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
        arms, metric=_metric(recipe), precision=precision, retention=retention, budget=budget, sensitivity=sensitivity
    )
    evaluation = {
        "schema_version": 1,
        "run_id": run_dir.run_id,
        "task": recipe.task.value,
        "base_model": prepared.base.name,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **measured,
        "training": _training(prepared, run_dir, fitted),
        "data": _data(prepared, run_dir),
    }
    write_json(run_dir.evaluation, evaluation)
    _report(run_dir)
    return Run(run_dir, evaluation)


def _report(run_dir: RunDir) -> None:
    from burnish.report.page import write_report  # with matplotlib, which takes a second to import

    write_report(run_dir)


def _training(prepared: Prepared, run_dir: RunDir, fitted: "FitResult") -> dict[str, Any]:
    rows = [json.loads(line) for line in run_dir.metrics.read_text(encoding="utf-8").split("\n") if line]
    return {
        "num_train_rows": len(prepared.split.train),
        "num_validation_rows": len(prepared.split.validation),
        "num_steps": fitted.num_steps,
        "best_step": fitted.best_step,
        "stopped_early": fitted.stopped_early,
        "num_tokens": sum(row["tokens"] for row in rows),
        "elapsed_s": round(fitted.elapsed_s, 1),
        "validation": [{"step": step, "loss_per_token": loss} for step, loss in fitted.validations],
        "peak_memory_bytes": _peak_memory_bytes(),
    }


def _data(prepared: Prepared, run_dir: RunDir) -> dict[str, Any]:
    split = prepared.split
    return {
        "train": prepared.details["train_file"],
        "num_rows": prepared.details["num_rows"],
        "split": {part: len(getattr(split, part)) for part in ("train", "validation", "test")},
        "test_sha256": sha256_of_file(run_dir.data / "test.jsonl"),
        "num_duplicates": prepared.details["num_duplicates"],
        "warnings": [finding.message for finding in prepared.findings],
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
            "data_sha256": prepared.details["file_sha256"],
            "command": ["burnish", *sys.argv[1:]],
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


@contextmanager
def _registered(run_dir: RunDir) -> Iterator[None]:
    """Note the run in the index when it begins and when it ends, however it ends."""

    def record() -> None:
        with open_registry(_registry_path(run_dir)) as registry:
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


def _dtype(recipe: Recipe) -> "torch.dtype":
    import torch

    return torch.bfloat16 if recipe.train.precision is Precision.BF16 else torch.float32


def _metric(recipe: Recipe) -> Any:
    return recipe.evaluate.metric


def _peak_memory_bytes() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
