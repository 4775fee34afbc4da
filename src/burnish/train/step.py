"""One optimizer step: the loss of its examples, normalized by all their supervised tokens."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from burnish.errors import TrainingError
from burnish.model.attention import PrefixStore
from burnish.model.loss import Batch, token_losses
from burnish.train.ranks import ALONE, Ranks
from burnish.train.savings import ALL_SAVINGS, Savings


@dataclass(frozen=True)
class BatchLoss:
    """What one batch adds to a step."""

    objective: Tensor
    """Its part of what is minimized; a scalar."""
    nll: float
    """Summed over the supervised tokens of the task, nats."""
    divergence: float = 0.0
    """From the base, summed over the tokens where it is held fast, nats."""


Objective = Callable[[Any, Batch], BatchLoss]
"""Of a model and a batch of the step."""


def mean_loss(num_supervised: int, savings: Savings = ALL_SAVINGS) -> Objective:
    """The mean negative log-likelihood of a step with so many supervised tokens, over all batches and ranks."""

    def objective(model: Any, batch: Batch) -> BatchLoss:
        nll = token_losses(
            model, batch, supervised_logits_only=savings.supervised_logits, chunked=savings.chunked_loss
        ).sum()
        return BatchLoss(nll / num_supervised, nll.item())

    return objective


@dataclass(frozen=True)
class StepMetrics:
    """A row of metrics.jsonl."""

    step: int
    epoch: float
    loss_per_token: float
    """Mean over the supervised tokens of the whole step, nats."""
    learning_rate: float
    grad_norm: float
    """Before clipping."""
    tokens: int
    """Tokens that were fed."""
    supervised_tokens: int
    seconds: float
    divergence: float | None = None
    """From the base, mean over the tokens where it is held fast, nats; None where it is held nowhere."""
    replay_weight: float | None = None
    """What that counted in the step."""


def train_step(
    model: Any,
    parameters: Sequence[Tensor],
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    *,
    objective: Objective,
    num_supervised: int,
    num_held: int = 0,
    max_grad_norm: float,
    step: int,
    epoch: float,
    ranks: Ranks = ALONE,
) -> StepMetrics:
    """Accumulate the gradients of `batches` and move the parameters once.

    `objective` divides sums over tokens by the counts of the whole step, so that the step does not depend on how it is
    cut into batches, or spread over ranks. `num_supervised` and `num_held` are these counts, for the metrics: of the
    task's tokens, and of those where the base is held fast.

    Raises:
        TrainingError: loss or gradient is not finite; the parameters have not been moved.
    """
    start = time.perf_counter()
    loss_sum, divergence_sum, tokens = 0.0, 0.0, 0
    optimizer.zero_grad(set_to_none=True)
    prefixes = list[tuple[PrefixStore, Tensor]]()
    for batch in batches:
        loss = objective(model, batch)
        if batch.fills is None:
            loss.objective.backward()  # type: ignore[no-untyped-call]
        else:  # its backward waits for those of the batches that use it
            prefixes.append((batch.fills, loss.objective))
        loss_sum += loss.nll
        divergence_sum += loss.divergence
        tokens += batch.num_tokens
    for store, share in prefixes:
        store.backward(share)
    ranks.sum_gradients(parameters)
    loss_sum, divergence_sum, fed = ranks.sum(loss_sum, divergence_sum, tokens)
    grad_norm = torch.nn.utils.clip_grad_norm_(parameters, max_grad_norm).item()
    if not (math.isfinite(loss_sum + divergence_sum) and math.isfinite(grad_norm)):
        raise TrainingError(
            f"step {step}: the loss ({loss_sum / num_supervised:.3g}) or its gradient ({grad_norm:.3g}) is not finite. "
            "Lower train.learning_rate, or set train.precision=fp32; the last checkpoint is sound."
        )
    optimizer.step()
    return StepMetrics(
        step=step,
        epoch=epoch,
        loss_per_token=loss_sum / num_supervised,
        learning_rate=optimizer.param_groups[0]["lr"],
        grad_norm=grad_norm,
        tokens=int(fed),
        supervised_tokens=num_supervised,
        seconds=time.perf_counter() - start,
        divergence=divergence_sum / num_held if num_held else None,
    )
