"""The training loop: an iterator of StepMetrics. Its caller decides when to log, validate, save or stop."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from burnish.data.rendering.render import RenderedExample
from burnish.model.adapter import adapter_parameters, recompute_layers
from burnish.model.loss import token_losses
from burnish.recipe import Schedule
from burnish.train.anchor import Anchor, anchored_loss
from burnish.train.pack import batches_for
from burnish.train.ranks import ALONE, Ranks
from burnish.train.savings import ALL_SAVINGS, Savings
from burnish.train.schedule import examples_of_step, learning_rate_at, steps_per_epoch
from burnish.train.step import Objective, StepMetrics, mean_loss, train_step


@dataclass(frozen=True)
class TrainOptions:
    """What the loop needs to know."""

    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: Schedule
    warmup_share: float
    weight_decay: float
    max_grad_norm: float
    micro_batch_tokens: int
    savings: Savings = ALL_SAVINGS
    recompute_layers: bool = False


@dataclass
class TrainState:
    """Everything that moves during training."""

    model: Any
    optimizer: torch.optim.Optimizer
    step: int = 0
    """Steps that are done."""
    parameters: dict[str, Tensor] = field(default_factory=dict)
    replay_weight: float | None = None
    """Of the anchor's texts in the next step; None before the first."""


def start_training(model: Any, options: TrainOptions) -> TrainState:
    """AdamW over the adapter alone; layers kept or recomputed as `options` say."""
    recompute_layers(model, options.recompute_layers)
    parameters = adapter_parameters(model)
    optimizer = torch.optim.AdamW(
        list(parameters.values()), lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
    )
    return TrainState(model, optimizer, parameters=parameters)


def count_steps(num_examples: int, options: TrainOptions) -> int:
    """Optimizer steps of a whole run."""
    return options.epochs * steps_per_epoch(num_examples, options.batch_size)


def rate_of_step(step: int, steps: range, options: TrainOptions) -> float:
    """The learning rate of `step` (counted from 0), which rises and falls once over `steps`."""
    return learning_rate_at(
        step - steps.start,
        len(steps),
        peak=options.learning_rate,
        warmup_share=options.warmup_share,
        schedule=options.schedule,
    )


def train(
    state: TrainState,
    examples: Sequence[RenderedExample],
    options: TrainOptions,
    ranks: Ranks = ALONE,
    anchor: Anchor | None = None,
    *,
    steps: range | None = None,
) -> Iterator[StepMetrics]:
    """Go on from `state.step` to the last of `steps`, by default a whole run's.

    `state` is whole whenever a step has been yielded.
    """
    steps = steps or range(count_steps(len(examples), options))
    per_epoch = steps_per_epoch(len(examples), options.batch_size)
    while state.step < steps.stop:
        chosen = examples_of_step(state.step, len(examples), options.batch_size, options.seed)
        for group in state.optimizer.param_groups:
            group["lr"] = rate_of_step(state.step, steps, options)
        if anchor and state.replay_weight is None:
            state.replay_weight = anchor.replay_weight
        weight = state.replay_weight
        work = plan_step(examples, chosen, state.step, options, anchor, ranks, replay_weight=weight)
        state.model.train()
        with batches_for(
            state.model, work.examples, max_tokens=options.micro_batch_tokens, savings=options.savings, ranks=ranks
        ) as batches:
            metrics = train_step(
                state.model,
                list(state.parameters.values()),
                state.optimizer,
                batches,
                objective=work.objective,
                num_supervised=work.num_supervised,
                num_held=work.num_held,
                max_grad_norm=options.max_grad_norm,
                step=state.step + 1,
                epoch=(state.step + 1) / per_epoch,
                ranks=ranks,
            )
        state.step += 1
        state.model.eval()
        if anchor and weight is not None:
            metrics = replace(metrics, replay_weight=weight)
            state.replay_weight = anchor.adapted(weight, metrics.divergence)
        yield metrics


@dataclass(frozen=True)
class StepWork:
    """What a rank does in a step."""

    examples: list[RenderedExample]
    objective: Objective
    num_supervised: int
    """Tokens of the task, on all ranks."""
    num_held: int = 0
    """Tokens whose divergence from the base is told, on all ranks."""


def plan_step(
    examples: Sequence[RenderedExample],
    chosen: Sequence[int],
    step: int,
    options: TrainOptions,
    anchor: Anchor | None = None,
    ranks: Ranks = ALONE,
    *,
    replay_weight: float | None = None,
) -> StepWork:
    """The chosen examples of the task, and texts of the base beside them where there is an anchor."""
    num_supervised = sum(examples[i].num_supervised for i in chosen)
    if anchor is None:
        own = [examples[chosen[i]] for i in ranks.share([examples[i].length for i in chosen])]
        return StepWork(own, mean_loss(num_supervised, options.savings), num_supervised)
    texts = anchor.replayed(step, len(chosen), options.seed)
    beside = [anchor.replay.examples[i] for i in texts] if anchor.replay else []
    together, numbers = [*(examples[i] for i in chosen), *beside], [*chosen, *texts]
    mine = ranks.share([example.length for example in together])
    num_replayed = sum(example.num_supervised for example in beside)
    num_telling = sum(example.num_supervised for n, example in zip(texts, beside, strict=True) if n in anchor.telling)
    return StepWork(
        [together[i] for i in mine],
        anchored_loss(
            anchor,
            [(numbers[i], i >= len(chosen)) for i in mine],
            num_supervised=num_supervised,
            num_replayed=num_replayed,
            replay_weight=anchor.replay_weight if replay_weight is None else replay_weight,
        ),
        num_supervised,
        num_telling if anchor.replay else num_supervised,
    )


@torch.no_grad()
def example_losses(
    model: Any, examples: Sequence[RenderedExample], *, micro_batch_tokens: int, ranks: Ranks = ALONE
) -> Tensor:
    """[examples]: the sum of the negative log-likelihood of each example's supervised tokens, nats."""
    sums = torch.zeros(len(examples), dtype=torch.float64)
    with batches_for(model, examples, max_tokens=micro_batch_tokens, ranks=ranks) as batches:
        for batch in batches:
            losses = token_losses(model, batch)
            sums.index_add_(0, batch.owners_S.cpu(), losses.cpu().double())
    return sums


def loss_per_token(
    model: Any, examples: Sequence[RenderedExample], *, micro_batch_tokens: int, ranks: Ranks = ALONE
) -> float:
    """The mean negative log-likelihood over all supervised tokens, nats; each rank takes its share."""
    own = [examples[i] for i in ranks.share([example.length for example in examples])]
    losses = example_losses(model, own, micro_batch_tokens=micro_batch_tokens, ranks=ranks)
    (total,) = ranks.sum(float(losses.sum()))
    return total / sum(example.num_supervised for example in examples)
