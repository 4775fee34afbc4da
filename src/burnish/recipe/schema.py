"""The recipe: every knob of a run, declared once, with its unit, its default and what it is for.

`AUTO` stands for a value that `resolve` chooses from the data and the base model; a resolved recipe has none left.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from burnish.conversation import Task

AUTO: Literal["auto"] = "auto"
Auto = Literal["auto"]


class Section(BaseModel):
    """A frozen table of the recipe; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Supervise(StrEnum):
    """Which of the assistant's turns are learned."""

    ALL = "all"
    LAST = "last"


class OnTooLong(StrEnum):
    """What is done with a row of train or validation that is over `data.max_length`."""

    REFUSE = "refuse"
    DROP = "drop"
    TRUNCATE_PROMPT = "truncate_prompt"


class Precision(StrEnum):
    """The number format of the frozen weights and activations; the adapter itself is always fp32."""

    FP32 = "fp32"
    BF16 = "bf16"


class Schedule(StrEnum):
    """How the learning rate moves after warm-up."""

    LINEAR = "linear"
    COSINE = "cosine"
    CONSTANT = "constant"


class Baseline(StrEnum):
    """A way to do the task without training the base model."""

    ZERO_SHOT = "zero_shot"
    EMBEDDING = "embedding"
    FEW_SHOT = "few_shot"
    RETRIEVED = "retrieved"
    ENCODER = "encoder"


class ChooseBy(StrEnum):
    """What decides between two validations of a run."""

    SCORE = "score"
    LOSS = "loss"


class Metric(StrEnum):
    """The score that decides the verdict."""

    ACCURACY = "accuracy"
    FIELD_F1 = "field_f1"
    EXACT_MATCH = "exact_match"
    CHRF = "chrf"


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number, found true or false")
    return value


# The limits come first: behind a validator pydantic leaves them out of the JSON schema.
Count = Annotated[int, Field(ge=1), BeforeValidator(_refuse_bool)]
Seed = Annotated[int, Field(ge=0), BeforeValidator(_refuse_bool)]
Share = Annotated[float, Field(ge=0.0, lt=1.0), BeforeValidator(_refuse_bool)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False), BeforeValidator(_refuse_bool)]
PositiveOrInf = Annotated[float, Field(gt=0.0), BeforeValidator(_refuse_bool)]
FunctionName = Annotated[str, Field(pattern=r"^[^\W\d]\w*:[^\W\d]\w*$", examples=["scores:tone"])]
"""A function of the team's own, in a file beside the recipe: scores.py."""
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False), BeforeValidator(_refuse_bool)]


class DataSection(Section):
    """Where the examples come from and how they are divided."""

    train: str = Field(
        description="the file of examples: .jsonl, .json, .csv, .tsv, .parquet or .xlsx; a folder of texts; hf://datasets/...",
        min_length=1,
    )
    validation: str | None = Field(None, description="a file for validation; else a part of train")
    test: str | None = Field(None, description="a file for the final test; else a part of train")
    columns: dict[str, str] = Field(
        {}, description='which column holds what, e.g. {text = "body", label = "queue"}; else detected'
    )
    group_by: str | None = Field(None, description="a column whose equal values must stay on one side of the split")
    time_by: str | None = Field(None, description="a column of times: the newest rows are the test, then validation")
    missing: tuple[str, ...] = Field(
        (),
        description='texts that are read as null, e.g. ["nan", "N/A"]; case does not count',
    )
    keep_missing_spelling: bool = Field(
        False, description='texts such as "nan" or "none" are meant as they stand; else many of them are an error'
    )
    json_schema: str | None = Field(None, description="a file with the JSON schema that every answer must fit")
    max_rows: Count | None = Field(None, description="use only the first N rows of train")
    max_test_rows: Count | None = Field(None, description="use only the first N rows of test")
    validation_share: Share | Auto = Field(AUTO, description="share of train that is held out for every choice")
    test_share: Share | Auto = Field(AUTO, description="share of train that is held out for the verdict")
    split_seed: Seed = Field(0, description="seed of the split")
    max_length: Count | Auto = Field(AUTO, description="longest example that is accepted, in tokens")
    on_too_long: OnTooLong = Field(
        OnTooLong.REFUSE,
        description="longer rows of train and validation: refuse all, drop them, or cut the middle of their longest "
        "user messages; test rows are never dropped or cut",
    )
    supervise: Supervise = Field(Supervise.ALL, description="which assistant turns of a conversation are learned")


class PromptSection(Section):
    """What the model is told; base and specialist see the same."""

    system: str | Auto = Field(AUTO, description='the system message; "" for none; chat rows keep their own')
    thinking: bool | Auto = Field(
        AUTO, description="whether answers begin with a thought, for chat templates that have a switch for it"
    )
    labels: tuple[str, ...] | Auto = Field(AUTO, description="classification: the allowed labels")
    fields: tuple[str, ...] | Auto = Field(AUTO, description="extraction: the keys of the JSON object, in order")


class ModelSection(Section):
    """The general model to start from."""

    base: str = Field(
        "smollm2-135m-instruct",
        description="catalog name, folder, or hub id; for classification also an encoder",
        min_length=1,
    )


class AdapterSection(Section):
    """The LoRA adapter."""

    rank: Count | Auto = Field(AUTO, description="rank of the two factors")
    alpha: Positive = Field(32.0, description="scale: the update is alpha / rank * B A")
    dropout: Share = Field(0.0, description="dropout on the adapter's input")
    target_modules: str | tuple[str, ...] = Field(
        "all-linear", description='"all-linear", or the names of the linear layers that are adapted'
    )


class TrainSection(Section):
    """The optimization."""

    seed: Seed = Field(0, description="seed of the adapter's start and of the order of the examples")
    seeds: Count = Field(
        1, description="runs with this and the next seeds, to tell how much of the score is luck; the first is kept"
    )
    epochs: Count | Auto = Field(AUTO, description="passes over the training rows, at most")
    batch_size: Count | Auto = Field(AUTO, description="examples in one optimizer step")
    learning_rate: Positive | Auto = Field(AUTO, description="peak learning rate of AdamW")
    trials: Count | Auto = Field(
        AUTO,
        description="learning rates around it that are tried first, in short runs; only its slower half where a "
        "retention budget is kept; 1 for none",
    )
    schedule: Schedule = Field(Schedule.LINEAR, description="decay of the learning rate to zero")
    warmup_share: Share = Field(0.05, description="share of the steps with a rising learning rate")
    weight_decay: NotNegative = Field(0.0, description="decoupled weight decay of AdamW")
    max_grad_norm: PositiveOrInf = Field(1.0, description="gradients are scaled down to this norm; inf for never")
    micro_batch_tokens: Count | Auto = Field(AUTO, description="tokens in one forward pass, at most")
    recompute_layers: bool | Auto = Field(
        AUTO, description="compute layers again in the backward: less memory, more time (activation checkpointing)"
    )
    shard_base: bool | Auto = Field(
        AUTO, description="with several ranks: each holds a part of the base's layers, not all of them (FSDP)"
    )
    memory_gb: Positive | None = Field(None, description="memory that training may use; else what is free")
    packing: bool = Field(True, description="feed examples one behind the other, without padding")
    shared_prefix: bool = Field(True, description="compute what the examples of a pack begin with in common once")
    prefix_once: bool = Field(True, description="and once a step, where the step needs several packs")
    drop_tail: bool = Field(True, description="do not feed tokens after which nothing is learned")
    supervised_logits: bool = Field(True, description="make logits only where a token is learned")
    chunked_loss: bool = Field(True, description="make them a chunk at a time, never all at once")
    in_place_lora: bool = Field(True, description="add the adapter's products where the base's output lies")
    precision: Precision | Auto = Field(AUTO, description="number format of the frozen weights")
    validations_per_epoch: Count = Field(1, description="how often the validation rows are asked")
    choose_by: ChooseBy | Auto = Field(
        AUTO, description="which validation is better: by the metric where it differs by more than chance, or by loss"
    )
    patience: Count = Field(2, description="validations without a better one before training stops")
    checkpoint_minutes: NotNegative = Field(5.0, description="time between two resumable checkpoints, minutes")


class RetentionSection(Section):
    """How much of the base model's behaviour must be kept."""

    measure: bool = Field(True, description="measure what the specialist forgot")
    num_prompts: Annotated[Count, Field(le=80)] = Field(80, description="bundled general prompts that are asked")
    answer_tokens: Count = Field(32, description="tokens of the base model's own answer to each prompt")
    budget: Positive | Literal["off"] = Field(
        0.02, description="rise of the loss on general text that is accepted, nats per token (upper bound)"
    )
    replay: Share | Auto = Field(
        AUTO, description="general texts beside each training example on which the model is to stay like the base"
    )
    general: str | None = Field(
        None,
        description="a file of your own prompts, conversations or texts that may be replayed beside the bundled ones",
    )
    replay_weight: NotNegative = Field(
        0.0,
        description="what staying like the base there counts beside the task's loss; 0: what the budget takes, "
        "which is found while it learns",
    )
    sweep: bool = Field(False, description="measure every scale of the adapter: the whole picture of score and drift")
    keep: str | None = Field(
        None, description="a file of prompts whose answers must stay the base's, word for word; each is told"
    )
    gate: bool = Field(
        False,
        description="prompts that are not of the task are answered by the untouched base, bit for bit as before",
    )
    lm_eval: tuple[str, ...] = Field(
        (),
        description="tasks of the lm-evaluation-harness, by name or as YAML files, to compare base and specialist on",
    )
    lm_eval_limit: Count = Field(200, description="documents of each of these tasks, at most")
    hold: NotNegative = Field(
        0.0,
        description="what it counts that on the task's own answers all tokens but the right one stay as likely "
        "as to the base (target-masked KL); 0 for never",
    )


class EvaluateSection(Section):
    """The proof."""

    arms: tuple[Baseline, ...] | Auto = Field(
        AUTO, description="baselines that the specialist must beat; embedding and encoder are for classification"
    )
    previous: str | None = Field(
        None, description="an earlier run of burnish, or its adapter folder: one more arm that the specialist must beat"
    )
    recorded: str | None = Field(
        None, description="a file of `burnish record`: the answers of the model that the specialist is to replace"
    )
    margin: Annotated[float, Field(gt=0.0, lt=1.0), BeforeValidator(_refuse_bool)] = Field(
        0.02, description="how much worse than the recorded model the specialist may be: 0.02 is 2 points of the score"
    )
    target: Annotated[float, Field(ge=0.0, le=1.0), BeforeValidator(_refuse_bool)] | None = Field(
        None,
        description="the score that is good enough, from 0 to 1: 0.9 is 90 of 100; without one no verdict says to ship",
    )
    time_budget: PositiveOrInf = Field(
        30.0, description="time that the baselines may take together, minutes; one that would take longer is left out"
    )
    metric: Metric | Auto | FunctionName = Field(
        AUTO,
        description='the score that decides; or "module:function", of your own module.py beside the recipe',
    )
    ordered: tuple[str, ...] = Field(
        (),
        description='extraction: lists whose order counts, e.g. ["steps", "order.items"]; in others any order is right',
    )
    metrics: tuple[FunctionName, ...] = Field((), description="functions of your own whose scores are told as well")
    learning_curve: bool = Field(
        False,
        description="train on an eighth, a quarter and half of the rows, too, to forecast what more rows would bring; "
        "classification forecasts it in seconds without",
    )
    num_shots: Count | Auto = Field(AUTO, description="examples in the few-shot prompt")
    max_new_tokens: Count | Auto = Field(AUTO, description="longest answer, in tokens")
    batch_size: Count = Field(16, description="prompts answered at a time")
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(0.95, description="confidence of every interval")
    num_resamples: Count = Field(10_000, description="bootstrap resamples")


class OutputSection(Section):
    """Where the run is kept."""

    folder: str = Field("runs", description="the folder of the run folders", min_length=1)


class Recipe(Section):
    """One run, wholly described."""

    task: Task = Field(description="what the specialist is for")
    data: DataSection
    prompt: PromptSection = PromptSection()
    model: ModelSection = ModelSection()
    adapter: AdapterSection = AdapterSection()
    train: TrainSection = TrainSection()
    retention: RetentionSection = RetentionSection()
    evaluate: EvaluateSection = EvaluateSection()
    output: OutputSection = OutputSection()
