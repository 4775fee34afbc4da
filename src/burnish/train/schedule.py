"""What is learned when, and how fast: pure functions of the seed and the step, so that a resumed run needs no more."""

import math
from collections.abc import Sequence

import torch

from burnish.recipe import Schedule


def learning_rate_at(step: int, num_steps: int, *, peak: float, warmup_share: float, schedule: Schedule) -> float:
    """The learning rate of `step` (counted from 0): a linear rise, then a decay that would reach 0 at `num_steps`."""
    num_warmup = math.ceil(warmup_share * num_steps)
    if step < num_warmup:
        return peak * (step + 1) / num_warmup
    progress = (step - num_warmup) / max(1, num_steps - num_warmup)
    if schedule is Schedule.CONSTANT:
        return peak
    if schedule is Schedule.COSINE:
        return peak * 0.5 * (1 + math.cos(math.pi * progress))
    return peak * (1 - progress)


def steps_per_epoch(num_examples: int, batch_size: int) -> int:
    """The last step of an epoch may be smaller; no example is left out."""
    return -(-num_examples // batch_size)


def examples_of_step(step: int, num_examples: int, batch_size: int, seed: int) -> Sequence[int]:
    """The indices of the examples of `step`: each epoch is a fresh permutation."""
    epoch, within = divmod(step, steps_per_epoch(num_examples, batch_size))
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order: list[int] = torch.randperm(num_examples, generator=generator).tolist()
    return order[within * batch_size : (within + 1) * batch_size]


def examples_of_run(num_examples: int, batch_size: int, epochs: int, seed: int) -> list[Sequence[int]]:
    """The indices of the examples of each step of a whole run."""
    num_steps = epochs * steps_per_epoch(num_examples, batch_size)
    return [examples_of_step(step, num_examples, batch_size, seed) for step in range(num_steps)]
