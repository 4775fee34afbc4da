"""What comes before the weights: the data read, checked, divided and rendered, and every `auto` value settled."""

import json
import math
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.cache import cache_dir
from burnish.conversation import Task
from burnish.data import (
    Example,
    Finding,
    RenderedExample,
    Renderer,
    Rendering,
    Severity,
    Split,
    TaskForm,
    check_parts,
    check_rendering,
    check_test_length,
    check_thoughts,
    count_duplicates,
    dropped_rows,
    fit_length,
    refuse_errors,
    render_cached,
    sha256_of_data,
    split_examples,
    thaw_split,
)
from burnish.data.split import PARTS
from burnish.errors import RecipeError, RunError
from burnish.examination import Examination, examine, given, load_metrics, ordered_of_recipe
from burnish.files import read_json
from burnish.recipe import (
    LoadedRecipe,
    Metric,
    OriginKind,
    Recipe,
    TokenFacts,
    load_recipe,
    origins_of_all,
    resolve_length,
    resolve_memory,
    resolve_tokens,
)
from burnish.run_dir import RunDir
from burnish.screen import Screen, SilentScreen

if TYPE_CHECKING:
    import torch

    from burnish.evaluate.general import General
    from burnish.evaluate.metrics import AnyMetric, CustomMetric
    from burnish.evaluate.replay import Replay
    from burnish.model.base import BaseFiles
    from burnish.previous import Previous
    from burnish.recorded import RecordedAnswer
    from burnish.train.forecast import Rehearsal
    from burnish.train.memory import BaseMemory
    from burnish.train.plan import Plan
    from burnish.train.savings import Savings


MIN_GENERAL = 256
"""Of the team's own general rows so many may be replayed, or as many as the run has room for if that is more."""


@dataclass(frozen=True, kw_only=True)
class Divided:
    """The rows, examined and divided: all that an encoder needs."""

    loaded: LoadedRecipe
    split: Split
    form: TaskForm
    findings: list[Finding]
    details: dict[str, Any]
    custom: "Mapping[str, CustomMetric]"
    """The team's own metrics by name."""
    general: "General | None" = None
    """The team's own rows that may be replayed."""

    @property
    def recipe(self) -> Recipe:
        return self.loaded.recipe

    @property
    def metric(self) -> "AnyMetric":
        """The score that decides."""
        name = self.recipe.evaluate.metric
        return self.custom[name] if name in self.custom else Metric(name)

    @cached_property
    def ordered(self) -> Collection[str]:
        """The lists of an answer whose order counts."""
        return ordered_of_recipe(self.recipe)

    @property
    def num_rows(self) -> dict[str, int]:
        """By part of the split."""
        return {part: len(getattr(self.split, part)) for part in PARTS}

    @property
    def power(self) -> str:
        """What the test can show, in words."""
        from burnish.evaluate.power import describe_power

        is_binary = self.metric in (Metric.ACCURACY, Metric.EXACT_MATCH)
        return describe_power(len(self.split.test), is_binary=is_binary)


@dataclass(frozen=True, kw_only=True)
class Prepared(Divided):
    """Everything that is settled before the weights of a language model are loaded."""

    base: "BaseFiles"
    renderer: Renderer
    rendered: dict[str, list[RenderedExample]] = field(repr=False)
    rehearsal: "Rehearsal | None" = field(repr=False)
    plan: "Plan | None"
    """Both are None if the base is of a kind that cannot be rehearsed."""
    previous: "Previous | None" = None
    """Known while the run begins; later what the run keeps of it counts."""

    @cached_property
    def replay(self) -> "Replay":
        """What training may replay."""
        from burnish.evaluate.replay import replay_of

        return replay_of(self.renderer, self.general, answer_tokens=self.recipe.retention.answer_tokens)


@dataclass(frozen=True)
class RenderedSplit:
    """A split as token ids, with what was found on the way."""

    loaded: LoadedRecipe
    base: "BaseFiles"
    renderer: Renderer
    split: Split
    parts: dict[str, list[RenderedExample]]
    findings: list[Finding]


def prepare(
    loaded: LoadedRecipe, screen: Screen | None = None, *, num_ranks: int = 1, judges_labels: bool = True
) -> Prepared:
    """Read, check, divide and render the data, and settle every `auto` value; no weights are loaded.

    `judges_labels`: look for wrong labels.

    Raises:
        DataError: lists the rows that cannot be used.
        RecipeError: a metric of the team's own, or the earlier adapter, cannot be used.
    """
    screen = screen or SilentScreen()
    previous = _find_previous(loaded.recipe, screen)
    divided = prepare_rows(loaded, screen, judges_labels=judges_labels)
    rendered = render(divided.loaded, divided.split, divided.findings, screen)
    refuse_errors(rendered.findings)
    prepared = settle(rendered, divided.form, divided.details, divided.custom, num_ranks=num_ranks)
    prepared = replace(prepared, general=_choose_general(prepared, screen))
    if previous is None:
        return prepared
    loaded = _name_previous(prepared.loaded, str(previous.adapter))
    return replace(prepared, loaded=loaded, previous=previous)


def _choose_general(prepared: Prepared, screen: Screen) -> "General | None":
    """What of the team's own general rows may be replayed in this run."""
    from burnish.evaluate.general import fit_general, leave_copies_out, read_general

    recipe, split = prepared.recipe, prepared.split
    if recipe.retention.general is None:
        return None
    if not recipe.retention.replay:
        raise RecipeError("retention.general: nothing is replayed, as retention.replay is 0. Leave one of them out.")
    path = Path(recipe.retention.general)
    task = [example for part in PARTS for example in getattr(split, part)]
    steps = steps_of(recipe, prepared.rendered["train"])
    general = fit_general(
        leave_copies_out(path.name, read_general(path), task),
        prepared.renderer,
        max_tokens=int(recipe.data.max_length) - recipe.retention.answer_tokens,
        max_rows=max(MIN_GENERAL, math.ceil(float(recipe.retention.replay) * sum(map(len, steps)))),
    )
    screen.say(str(general))
    return general


def prepare_rows(loaded: LoadedRecipe, screen: Screen | None = None, *, judges_labels: bool = True) -> Divided:
    """The first half of it, which needs no base model: read, check and divide the data.

    Raises:
        DataError: lists the rows that cannot be used.
        RecipeError: a metric of the team's own cannot be used, or recorded answers to test rows are missing.
    """
    examined = examine(loaded, screen or SilentScreen(), judges_labels=judges_labels)
    refuse_errors(examined.findings)
    divided = divided_of(examined)
    refuse_errors(divided.findings)
    recorded_answers(divided)  # whatever is missing is told before anything is trained
    return divided


def recorded_answers(divided: Divided) -> "list[RecordedAnswer]":
    """What a hosted model answered to the test rows; nothing where the recipe names no recording.

    Raises:
        RecipeError: there is no answer to some of them.
    """
    from burnish.recorded import find_recorded

    if (name := divided.recipe.evaluate.recorded) is None:
        return []
    return find_recorded(Path(name), divided.split.test, _spell_source(divided.loaded))


def _spell_source(loaded: LoadedRecipe) -> str:
    """The recipe's file, and what was laid over it that decides which rows are the test and what they are asked."""
    files = (origin.detail for origin in loaded.origins.values() if origin.kind is OriginKind.FILE)
    laid_over = [
        f"{key}={_spell_value(value)}"
        for key, value, origin in origins_of_all(loaded)
        if origin.kind is OriginKind.COMMAND_LINE and key.startswith(("task", "data.", "prompt."))
    ]
    name = next((file for file in files if file.endswith(".toml")), "RECIPE")
    return shlex.join([name, *laid_over])


def _spell_value(value: Any) -> str:
    """As TOML has it; text needs no quotes in an override."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {json.dumps(text)}" for key, text in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value)


def _find_previous(recipe: Recipe, screen: Screen) -> "Previous | None":
    from burnish.previous import find_previous

    if (name := recipe.evaluate.previous) is None:
        return None
    return find_previous(name, Path(recipe.output.folder), recipe.task, screen.say)


def _name_previous(loaded: LoadedRecipe, adapter: str) -> LoadedRecipe:
    """By its folder: what `latest` means changes."""
    evaluate = loaded.recipe.evaluate.model_copy(update={"previous": adapter})
    return replace(loaded, recipe=loaded.recipe.model_copy(update={"evaluate": evaluate}))


def prepare_again(run_dir: RunDir, screen: Screen, *, num_ranks: int = 1) -> Prepared:
    """The same from the frozen split and the resolved recipe of a run.

    Raises:
        RunError: the base model is another one by now.
    """
    divided = prepare_rows_again(run_dir)
    rendered = render(divided.loaded, divided.split, divided.findings, screen)
    refuse_errors(rendered.findings)
    prepared = settle(rendered, divided.form, divided.details, divided.custom, num_ranks=num_ranks)
    prepared = replace(prepared, general=divided.general)
    check_base(run_dir, prepared.base.name, prepared.base.fingerprint)
    return prepared


def check_base(run_dir: RunDir, name: str, fingerprint: str) -> None:
    """Refuse to go on with a base that has changed since the run began."""
    if run_dir.environment.is_file() and read_json(run_dir.environment)["base_fingerprint"] != fingerprint:
        raise RunError(f"{run_dir.path}: the base model {name} is not the one that this run began with.")


def prepare_rows_again(run_dir: RunDir) -> Divided:
    """The rows as they were frozen in a run."""
    from burnish.evaluate.general import thaw_general

    loaded = load_recipe(run_dir.recipe)
    split, manifest = thaw_split(run_dir.data)
    recipe = loaded.recipe
    form = TaskForm(recipe.task, str(recipe.prompt.system), given(recipe.prompt.labels), given(recipe.prompt.fields))
    findings = [
        Finding(**{**row, "severity": Severity(row["severity"]), "related": tuple(row["related"])})
        for row in read_json(run_dir.data / "check.json")
    ]
    details = {key: manifest[key] for key in ("train_file", "num_rows", "num_duplicates", "file_sha256")}
    return Divided(
        loaded=loaded,
        split=split,
        form=form,
        findings=findings,
        details=details,
        custom=load_metrics(loaded),
        general=thaw_general(run_dir.data),
    )


def divided_of(examined: Examination) -> Divided:
    """The rows of an examination, divided as the recipe says.

    Raises:
        DataError: they are too few, or one part would be empty.
    """
    split = _divide(examined)
    return Divided(
        loaded=examined.loaded,
        split=split,
        form=examined.form,
        findings=[*examined.findings, *check_parts(_parts(split), examined.loaded.recipe.task)],
        details=_details(examined),
        custom=examined.custom,
    )


def _divide(examined: Examination) -> Split:
    recipe, examples = examined.loaded.recipe, examined.examples
    return split_examples(
        examples["train"],
        validation=examples.get("validation"),
        test=examples.get("test"),
        validation_share=float(recipe.data.validation_share),
        test_share=float(recipe.data.test_share),
        seed=recipe.data.split_seed,
        stratify=recipe.task is Task.CLASSIFICATION,
        by_time=recipe.data.time_by is not None,
    )


def _parts(split: Split) -> dict[str, list[Example]]:
    return {part: getattr(split, part) for part in PARTS}


def _details(examined: Examination) -> dict[str, Any]:
    """What the manifest of the split tells of where its rows come from."""
    train = examined.examples["train"]
    return {
        "train_file": examined.tables["train"].path.name,
        "num_rows": len(train),
        "num_duplicates": count_duplicates(train),
        "file_sha256": {part: sha256_of_data(table.path) for part, table in examined.tables.items()},
    }


def render(loaded: LoadedRecipe, split: Split, findings: Sequence[Finding], screen: Screen) -> RenderedSplit:
    """The split through the base's template; rows that are too long are treated as the recipe says."""
    from burnish.model.base import context_length, find_base, load_tokenizer

    base = find_base(loaded.recipe.model.base, screen.say)
    renderer = Renderer(*load_tokenizer(base), bool(loaded.recipe.prompt.thinking), base.num_embeddings)
    loaded = resolve_length(loaded, context_length(base))
    renderings = _render_split(renderer, split, loaded.recipe, base)
    found = [finding for rendering in renderings.values() for finding in rendering.findings]
    if loaded.origins["prompt.thinking"].kind is OriginKind.AUTO or not loaded.recipe.prompt.thinking:
        found += [finding for rows in _parts(split).values() for finding in check_thoughts(renderer, rows)]
    dropped = {part: dropped_rows(rendering) for part, rendering in renderings.items()}
    split = replace(split, train=renderings["train"].examples, validation=renderings["validation"].examples)
    if any(dropped.values()):
        found += check_parts(_parts(split), loaded.recipe.task, dropped=dropped)
    return RenderedSplit(
        loaded,
        base,
        renderer,
        split,
        {part: rendering.rendered for part, rendering in renderings.items()},
        list(dict.fromkeys([*findings, *found])),  # a resumed run brings those of before
    )


def settle(
    rendered: RenderedSplit,
    form: TaskForm,
    details: dict[str, Any],
    custom: "Mapping[str, CustomMetric]",
    *,
    num_ranks: int,
) -> Prepared:
    """Settle what depends on tokens and device."""
    from burnish.model.base import width
    from burnish.model.device import choose_device, measure_bf16_speedup

    loaded, base, parts = rendered.loaded, rendered.base, rendered.parts
    everything = [example for part in parts.values() for example in part]
    is_asked = loaded.recipe.train.precision == "auto"
    facts = TokenFacts(
        num_train_rows=len(rendered.split.train),
        longest_target=max(len(r.input_ids) - r.prompt_length for r in everything),
        bf16_speedup=measure_bf16_speedup(choose_device(), width(base)) if is_asked else 0.0,
    )
    settled = resolve_tokens(loaded, facts)
    longest = max(2048, *(len(r.input_ids) for r in everything))
    rehearsal = _rehearse(base, settled.recipe)
    plan = _plan(rehearsal, settled.recipe, parts["train"], longest, num_ranks) if rehearsal else None
    settled = resolve_memory(
        settled,
        micro_batch_tokens=plan.max_tokens if plan else longest,
        recompute_layers=plan.recompute_layers if plan else False,
        shard_base=plan.shards_base if plan else False,
        reason=plan.reason if plan else "what it needs is not known",
    )
    return Prepared(
        loaded=settled,
        split=rendered.split,
        form=form,
        findings=rendered.findings,
        details=details,
        custom=custom,
        base=base,
        renderer=rendered.renderer,
        rendered=parts,
        rehearsal=rehearsal,
        plan=plan,
    )


def _render_split(renderer: Renderer, split: Split, recipe: Recipe, base: "BaseFiles") -> dict[str, Rendering]:
    """The three parts, rendered, with rows that fit, and with what was found."""
    from burnish.model.base import context_length

    max_length, on_too_long = int(recipe.data.max_length), recipe.data.on_too_long
    supervise_all = recipe.data.supervise == "all"
    parts = {}
    for part in ("train", "validation", "test"):
        rendering = render_cached(
            renderer,
            getattr(split, part),
            supervise_all=supervise_all and part != "test",
            cache=cache_dir(),
            fingerprint=base.fingerprint,
        )
        if part == "test":
            rendering.findings.extend(
                check_test_length(
                    rendering, max_length=max_length, context_length=context_length(base), on_too_long=on_too_long
                )
            )
        else:
            rendering = fit_length(
                rendering,
                renderer,
                max_length=max_length,
                context_length=context_length(base),
                on_too_long=on_too_long,
                supervise_all=supervise_all,
            )
        rendering.findings.extend(check_rendering(renderer, rendering))
        parts[part] = rendering
    return parts


def _rehearse(base: "BaseFiles", recipe: Recipe) -> "Rehearsal | None":
    """The base without numbers; None where its code, or the adapter's place in it, does not allow that."""
    from burnish.errors import AdapterError
    from burnish.model.base import load_config
    from burnish.model.device import dtype_of
    from burnish.train.forecast import Rehearsal

    try:
        return Rehearsal(load_config(base), lambda model: attach(model, recipe), dtype_of(recipe.train.precision))
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
            steps_of(recipe, train),
            StepSettings(longest if is_auto else int(options.micro_batch_tokens), savings=savings_of(recipe)),
            bytes_free=int(options.memory_gb * 1e9) if options.memory_gb else free_bytes(choose_device()),
            may_shrink=is_auto,
            recompute=None if options.recompute_layers == "auto" else bool(options.recompute_layers),
            num_ranks=num_ranks,
            shard=None if options.shard_base == "auto" else bool(options.shard_base),
        )
    except (RuntimeError, NotImplementedError):
        return None


def steps_of(recipe: Recipe, train: list[RenderedExample]) -> list[list[RenderedExample]]:
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


def memory_of(prepared: Prepared, device: "torch.device") -> "BaseMemory":
    """Of the base as this run uses it."""
    from burnish.train.memory import BaseMemory

    options = prepared.recipe.train
    return BaseMemory(prepared.base.fingerprint, str(options.precision), int(options.micro_batch_tokens), device)


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
    from burnish.model.device import dtype_of

    return load_model(prepared.base, dtype=dtype_of(prepared.recipe.train.precision), device=device)
