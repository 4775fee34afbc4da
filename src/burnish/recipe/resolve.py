"""Recipe with `auto` values + facts about data and base -> Recipe without, and the reason for each choice."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from burnish.conversation import Task
from burnish.errors import RecipeError
from burnish.recipe.load import LoadedRecipe, all_keys
from burnish.recipe.origin import Origin, OriginKind
from burnish.recipe.schema import AUTO, Baseline, ChooseBy, Metric, Precision, Recipe

MIN_BF16_SPEEDUP = 1.3
REPLAY = 1 / 16


@dataclass(frozen=True)
class RowFacts:
    """What the rows of the training file tell before they are divided."""

    num_rows: int
    labels: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    system: str = ""
    has_thoughts: bool = False
    median_target_words: float = 0.0
    base_is_encoder: bool = False


@dataclass(frozen=True)
class TokenFacts:
    """What the split and its rendering tell."""

    num_train_rows: int
    longest_target: int
    bf16_speedup: float


ENCODER_KEYS: dict[str, tuple[str, ...]] = {
    "adapter": (),
    "train": ("seed", "epochs"),
    "retention": (),
    "evaluate": ("arms", "recorded", "margin", "metric", "metrics", "batch_size", "confidence", "num_resamples"),
}
"""What is heard of these sections where the base is an encoder."""


def resolve_rows(loaded: LoadedRecipe, facts: RowFacts) -> LoadedRecipe:
    """Settle what depends on the rows alone: the split, the prompt and the metric."""
    recipe, n = loaded.recipe, facts.num_rows
    test_rows = min(1000, max(50, round(0.2 * n)))
    validation_rows = min(200, max(20, round(0.1 * n)))
    _refuse_classifiers(recipe)
    if facts.base_is_encoder:
        _refuse_text(recipe)
    metric, why_metric = _choose_metric(recipe.task, facts)
    return _settle(
        loaded,
        {
            "data.test_share": (
                0.0 if recipe.data.test else round(min(0.5, test_rows / n), 4),
                "a test file is given" if recipe.data.test else "a fifth of the rows, 50 to 1,000 of them",
            ),
            "data.validation_share": (
                0.0 if recipe.data.validation else round(min(0.25, validation_rows / n), 4),
                "a validation file is given" if recipe.data.validation else "a tenth of the rows, 20 to 200 of them",
            ),
            "prompt.labels": (facts.labels, "the labels in the training file"),
            "prompt.fields": (facts.fields, "the keys of the targets, in order of appearance"),
            "prompt.system": (facts.system, "written from the task's labels or fields" if facts.system else "none"),
            "prompt.thinking": (
                facts.has_thoughts,
                "answers hold thoughts" if facts.has_thoughts else "no answer holds a thought",
            ),
            "evaluate.metric": (metric, why_metric),
            "evaluate.arms": _choose_arms(recipe.task, facts.base_is_encoder),
        },
    )


def resolve_length(loaded: LoadedRecipe, context_length: int) -> LoadedRecipe:
    """Settle how long an example may be: it is needed before the rows are taken as they are."""
    reason = "2,048, or the base model's context length if shorter"
    return _settle(loaded, {"data.max_length": (min(context_length, 2048), reason)})


def resolve_tokens(loaded: LoadedRecipe, facts: TokenFacts) -> LoadedRecipe:
    """Settle what depends on tokens, on the number of training rows, or on the device."""
    n = facts.num_train_rows
    recipe = loaded.recipe
    batch_size = recipe.train.batch_size if recipe.train.batch_size != AUTO else (4 if n < 200 else 8)
    epochs = recipe.train.epochs if recipe.train.epochs != AUTO else (6 if n < 200 else 3)
    use_bf16 = facts.bf16_speedup >= MIN_BF16_SPEEDUP
    return _settle(
        loaded,
        {
            "adapter.rank": (16 if n < 1000 else 32, "16 below 1,000 training rows, 32 above"),
            "train.batch_size": (batch_size, "4 below 200 training rows, 8 above"),
            "train.epochs": (epochs, "6 below 200 training rows, 3 above; validation stops it earlier"),
            "train.learning_rate": (
                1e-3,
                "a flat optimum of LoRA with alpha 32, from small models to large ones",
            ),
            "train.trials": (
                3 if recipe.train.learning_rate == AUTO else 1,
                "3 where no rate is given, the fastest left out where a retention budget is kept; runs of fewer than "
                "200 steps go without",
            ),
            "train.choose_by": (
                ChooseBy.LOSS if recipe.evaluate.metric is Metric.CHRF else ChooseBy.SCORE,
                "loss where answers are free text, which takes long to write and is scored roughly; else the score",
            ),
            "train.precision": (
                Precision.BF16 if use_bf16 else Precision.FP32,
                f"bf16 matrix products measured {facts.bf16_speedup:.2f} times as fast as fp32; "
                f"bf16 from {MIN_BF16_SPEEDUP}",
            ),
            "retention.replay": (
                0.0 if recipe.retention.budget == "off" else REPLAY,
                "0 where retention.budget is off; else what kept general text at the least cost, see docs/retention.md",
            ),
            "evaluate.num_shots": (
                8 if recipe.task is Task.CLASSIFICATION else 4,
                "8 for classification, 4 else",
            ),
            "evaluate.max_new_tokens": (
                min(256, int(1.25 * facts.longest_target)),
                "1.25 times the longest target, at most 256",
            ),
        },
    )


def resolve_memory(
    loaded: LoadedRecipe, *, micro_batch_tokens: int, recompute_layers: bool, shard_base: bool, reason: str
) -> LoadedRecipe:
    """Settle what the memory plan has chosen."""
    return _settle(
        loaded,
        {
            "train.micro_batch_tokens": (micro_batch_tokens, f"2,048, or the longest example; {reason}"),
            "train.recompute_layers": (recompute_layers, reason),
            "train.shard_base": (
                shard_base,
                f"true where several ranks train and the device of one is too small; {reason}",
            ),
        },
    )


def origins_of_all(loaded: LoadedRecipe) -> list[tuple[str, Any, Origin]]:
    """Every key with its value and where it came from."""
    values = loaded.recipe.model_dump(mode="json")
    default = Origin(OriginKind.DEFAULT)
    return [(key, _get(values, key), loaded.origins.get(key, default)) for key in all_keys()]


def _choose_metric(task: Task, facts: RowFacts) -> tuple[Metric, str]:
    if task is Task.CLASSIFICATION:
        return Metric.ACCURACY, "the task is classification"
    if task is Task.EXTRACTION:
        return Metric.FIELD_F1, "the task is extraction"
    words = facts.median_target_words
    if words <= 8:
        return Metric.EXACT_MATCH, f"half of the answers have at most {words:.0f} words"
    return Metric.CHRF, f"answers are free text: half of them have {words:.0f} words or more"


def _choose_arms(task: Task, base_is_encoder: bool) -> tuple[tuple[Baseline, ...], str]:
    """The quick ones first: they have their answers before the time for baselines is over."""
    if base_is_encoder:
        return (Baseline.EMBEDDING,), "the same encoder without fine-tuning: it writes no text"
    of_base = (Baseline.ZERO_SHOT, Baseline.FEW_SHOT, Baseline.RETRIEVED)
    if task is not Task.CLASSIFICATION:
        return of_base, "prompts, and examples that are looked up"
    return (Baseline.EMBEDDING, Baseline.ENCODER, *of_base), "classifiers, prompts, and examples that are looked up"


def _refuse_classifiers(recipe: Recipe) -> None:
    found = [arm for arm in recipe.evaluate.arms if arm in (Baseline.EMBEDDING, Baseline.ENCODER)]
    if found and recipe.task is not Task.CLASSIFICATION and recipe.evaluate.arms != AUTO:
        name = Baseline(found[0]).value
        raise RecipeError(f"evaluate.arms: {name} is for classification, not for {recipe.task.value}.")


def _refuse_text(recipe: Recipe) -> None:
    """With an encoder as the base: refuse whatever takes a language model, rather than leave it unheard."""
    base = f"model.base: {recipe.model.base} is an encoder"
    if recipe.task is not Task.CLASSIFICATION:
        raise RecipeError(f"{base}, which writes no answers: it is for classification, not for {recipe.task.value}.")
    defaults = Recipe(task=recipe.task, data=recipe.data)
    for section, heard in ENCODER_KEYS.items():
        own, usual = getattr(recipe, section), getattr(defaults, section)
        for key in type(own).model_fields:
            if key not in heard and getattr(own, key) != getattr(usual, key):
                raise RecipeError(f"{base}, which is fine-tuned and tested in its own way. Leave out {section}.{key}.")
    arms = [] if recipe.evaluate.arms == AUTO else list(recipe.evaluate.arms)
    if unfit := [arm.value for arm in map(Baseline, arms) if arm is not Baseline.EMBEDDING]:
        raise RecipeError(f"{base}, with which only embedding can be compared. Leave out of evaluate.arms: {unfit[0]}.")


def _settle(loaded: LoadedRecipe, choices: Mapping[str, tuple[Any, str]]) -> LoadedRecipe:
    values = loaded.recipe.model_dump()
    origins = dict(loaded.origins)
    for key, (value, reason) in choices.items():
        section, name = key.split(".")
        if values[section][name] == AUTO:
            values[section][name] = value
            origins[key] = Origin(OriginKind.AUTO, reason)
    return replace(loaded, recipe=Recipe.model_validate(values), origins=origins)


def _get(values: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values
