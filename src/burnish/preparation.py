"""What comes before the weights: the data read, checked, divided and rendered, and every `auto` value settled."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.conversation import Task
from burnish.data import (
    Check,
    Example,
    Finding,
    RenderedExample,
    Renderer,
    Severity,
    Split,
    Table,
    TaskForm,
    build_examples,
    check_answers,
    check_examples,
    check_lengths,
    count_duplicates,
    fields_of,
    labels_of,
    load_table,
    locate,
    render_cached,
    require_sound,
    sha256_of_data,
    split_examples,
    system_prompt_of,
    thaw_split,
)
from burnish.data.privacy import check_privacy
from burnish.data.split import PARTS
from burnish.errors import RunError
from burnish.files import cache_dir, read_json
from burnish.recipe import (
    LoadedRecipe,
    Precision,
    Recipe,
    RowFacts,
    TokenFacts,
    load_recipe,
    resolve_memory,
    resolve_rows,
    resolve_tokens,
)
from burnish.run_dir import RunDir
from burnish.screen import Screen, SilentScreen

if TYPE_CHECKING:
    import torch

    from burnish.model.base import BaseFiles
    from burnish.train.forecast import Rehearsal
    from burnish.train.plan import Plan
    from burnish.train.savings import Savings


LEAKAGE = Check(
    "leakage",
    Severity.WARNING,
    "rows outside the test that ask what a row of it asks",
    "They are left out of train and validation.",
)


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


def prepare(loaded: LoadedRecipe, screen: Screen | None = None, *, num_ranks: int = 1) -> Prepared:
    """Read, check, divide and render the data, and settle every `auto` value; no weights are loaded."""
    screen = screen or SilentScreen()
    table = _load(loaded.recipe, "train")
    loaded, form = _settle_rows(loaded, table)
    recipe = loaded.recipe
    examples = build_examples(table, form)
    held_out = {
        part: build_examples(_load(recipe, part), form) for part in ("validation", "test") if getattr(recipe.data, part)
    }
    findings = [*table.findings, *check_examples(examples, recipe.task)]
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
        findings.append(
            LEAKAGE.found(f"{len(split.removed)} rows of train or validation ask what a held-out row asks.")
        )
    details = {
        "train_file": Path(recipe.data.train).name,
        "num_rows": len(examples),
        "num_duplicates": count_duplicates(examples),
        "file_sha256": {
            part: sha256_of_data(locate(path))
            for part in ("train", "validation", "test")
            if (path := getattr(recipe.data, part))
        },
    }
    return _finish_preparing(loaded, split, form, findings, details, screen, num_ranks=num_ranks)


@dataclass(frozen=True)
class Inspection:
    """What the checks say about a recipe's data. `prepared` is None where an error in the data would stop a run."""

    tables: dict[str, Table] = field(repr=False)
    """By part: train, and validation and test where they have files of their own."""
    examples: list[Example] = field(repr=False)
    """Of all rows that can be used."""
    findings: list[Finding]
    prepared: Prepared | None

    @property
    def num_rows(self) -> dict[str, int]:
        """The rows of each part of the split; without one, those of each file that can be used."""
        if self.prepared is None:
            return {part: len(table.rows) for part, table in self.tables.items()}
        return {part: len(getattr(self.prepared.split, part)) for part in PARTS}


def inspect_data(loaded: LoadedRecipe, screen: Screen | None = None) -> Inspection:
    """Check the data with what would stop a run in it; the rows with errors are left out of the further checks."""
    recipe = loaded.recipe
    tables = {part: _read(recipe, part) for part in PARTS if getattr(recipe.data, part)}
    findings = [finding for table in tables.values() for finding in table.findings]
    labels = _names(recipe.prompt.labels) or labels_of(tables["train"])
    fields = _names(recipe.prompt.fields) or fields_of(tables["train"])
    form = TaskForm(recipe.task, "", labels, fields)
    for table in tables.values():
        findings += check_answers(table, form)
    refused = {finding.row for finding in findings if finding.severity is Severity.ERROR}
    sound = {part: replace(t, rows=[row for row in t.rows if row.id not in refused]) for part, t in tables.items()}
    if not sound["train"].rows:
        return Inspection(tables, [], findings, None)
    _, form = _settle_rows(loaded, sound["train"])
    examples = {part: build_examples(table, form) for part, table in sound.items()}
    everything = [example for part in examples.values() for example in part]
    findings += [*check_examples(examples["train"], recipe.task), *check_privacy(everything)]
    if any(finding.severity is Severity.ERROR for finding in findings):
        return Inspection(tables, everything, findings, None)
    prepared = prepare(loaded, screen)
    findings += [finding for finding in prepared.findings if finding not in findings]
    return Inspection(tables, everything, findings, prepared)


def prepare_again(run_dir: RunDir, screen: Screen, *, num_ranks: int = 1) -> Prepared:
    """The same from the frozen split and the resolved recipe of a run."""
    loaded = load_recipe(run_dir.recipe)
    split, manifest = thaw_split(run_dir.data)
    recipe = loaded.recipe
    form = TaskForm(recipe.task, str(recipe.prompt.system), _names(recipe.prompt.labels), _names(recipe.prompt.fields))
    findings = [
        Finding(**{**row, "severity": Severity(row["severity"]), "related": tuple(row["related"])})
        for row in read_json(run_dir.data / "check.json")
    ]
    details = {key: manifest[key] for key in ("train_file", "num_rows", "num_duplicates", "file_sha256")}
    prepared = _finish_preparing(loaded, split, form, findings, details, screen, num_ranks=num_ranks)
    if run_dir.environment.is_file():
        before = read_json(run_dir.environment)["base_fingerprint"]
        if before != prepared.base.fingerprint:
            raise RunError(
                f"{run_dir.path}: the base model {prepared.base.name} is not the one that this run began with."
            )
    return prepared


def predict(prepared: Prepared) -> Prediction | None:
    """Time and memory of the training, from its counted work and the rate of this machine for this base.

    The rate is measured the first time. None where the base is of a kind that cannot be rehearsed.
    """
    import psutil

    from burnish.model.device import choose_device
    from burnish.train.forecast import StepSettings
    from burnish.train.rate import training_rate

    if prepared.rehearsal is None or prepared.plan is None:
        return None
    process = psutil.Process().memory_info().rss if choose_device().type == "cpu" else 0
    recipe, rehearsal, plan = prepared.recipe, prepared.rehearsal, prepared.plan
    steps = _steps(recipe, prepared.rendered["train"])
    settings = StepSettings(plan.max_tokens, plan.recompute_layers, savings_of(recipe))
    work = sum(rehearsal.operations(examples, settings) for examples in steps)
    rate = training_rate(
        prepared.base.fingerprint,
        rehearsal,
        lambda: attach(load_weights(prepared, choose_device()), recipe),
    )
    return Prediction(len(steps), work / rate, process + plan.bytes_needed)


def _load(recipe: Recipe, part: str) -> Table:
    return require_sound(_read(recipe, part))


def _read(recipe: Recipe, part: str) -> Table:
    return load_table(
        locate(getattr(recipe.data, part)),
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
    *,
    num_ranks: int,
) -> Prepared:
    """Render the split through the base's template and settle what depends on tokens and device."""
    from burnish.model.base import context_length, find_base, load_tokenizer, width
    from burnish.model.device import choose_device, measure_bf16_speedup

    base = find_base(loaded.recipe.model.base, screen.say)
    renderer = Renderer(*load_tokenizer(base))
    supervise_all = loaded.recipe.data.supervise == "all"
    rendered = {
        part: render_cached(
            renderer,
            getattr(split, part),
            supervise_all=supervise_all,
            cache=cache_dir(),
            fingerprint=base.fingerprint,
        )
        for part in ("train", "validation", "test")
    }
    everything = [example for part in rendered.values() for example in part]
    is_asked = loaded.recipe.train.precision == "auto"
    facts = TokenFacts(
        num_train_rows=len(split.train),
        longest_example=max(len(r.input_ids) for r in everything),
        longest_target=max(len(r.input_ids) - r.prompt_length for r in everything),
        context_length=context_length(base),
        bf16_speedup=measure_bf16_speedup(choose_device(), width(base)) if is_asked else 0.0,
    )
    settled = resolve_tokens(loaded, facts)
    check_lengths(everything, int(settled.recipe.data.max_length))
    longest = max(2048, facts.longest_example)
    rehearsal = _rehearse(base, settled.recipe)
    plan = _plan(rehearsal, settled.recipe, rendered["train"], longest, num_ranks) if rehearsal else None
    settled = resolve_memory(
        settled,
        micro_batch_tokens=plan.max_tokens if plan else longest,
        recompute_layers=plan.recompute_layers if plan else False,
        shard_base=plan.shards_base if plan else False,
        reason=plan.reason if plan else "what it needs is not known",
    )
    return Prepared(settled, base, renderer, split, form, findings, details, rendered, rehearsal, plan)


def _rehearse(base: "BaseFiles", recipe: Recipe) -> "Rehearsal | None":
    """The base without numbers; None where its code, or the adapter's place in it, does not allow that."""
    from burnish.errors import AdapterError
    from burnish.model.base import load_config
    from burnish.train.forecast import Rehearsal

    try:
        return Rehearsal(load_config(base), lambda model: attach(model, recipe), _dtype(recipe))
    except (AdapterError, AttributeError, TypeError, ValueError, RuntimeError, NotImplementedError):
        return None


def _plan(
    rehearsal: "Rehearsal", recipe: Recipe, train: list[RenderedExample], longest: int, num_ranks: int
) -> "Plan | None":
    from burnish.model.device import choose_device, free_bytes
    from burnish.train.forecast import StepSettings
    from burnish.train.plan import make_plan

    options = recipe.train
    is_auto = options.micro_batch_tokens == "auto"
    try:
        return make_plan(
            rehearsal,
            _steps(recipe, train),
            StepSettings(longest if is_auto else int(options.micro_batch_tokens), savings=savings_of(recipe)),
            bytes_free=int(options.memory_gb * 1e9) if options.memory_gb else free_bytes(choose_device()),
            may_shrink=is_auto,
            recompute=None if options.recompute_layers == "auto" else bool(options.recompute_layers),
            num_ranks=num_ranks,
            shard=None if options.shard_base == "auto" else bool(options.shard_base),
        )
    except (RuntimeError, NotImplementedError):
        return None


def _steps(recipe: Recipe, train: list[RenderedExample]) -> list[list[RenderedExample]]:
    """The examples of each step of a whole run."""
    from burnish.train.schedule import examples_of_run

    options = recipe.train
    order = examples_of_run(len(train), int(options.batch_size), int(options.epochs), options.seed)
    return [[train[i] for i in step] for step in order]


def savings_of(recipe: Recipe) -> "Savings":
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


def attach(model: Any, recipe: Recipe) -> Any:
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


def load_weights(prepared: Prepared, device: "torch.device") -> Any:
    """The base model in the recipe's precision."""
    from burnish.model.base import load_model

    return load_model(prepared.base, dtype=_dtype(prepared.recipe), device=device)


def _dtype(recipe: Recipe) -> "torch.dtype":
    import torch

    return torch.bfloat16 if recipe.train.precision is Precision.BF16 else torch.float32
