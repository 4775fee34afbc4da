"""The learning rate by trial: a short run of each of a few rates, judged on the validation rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from burnish.data.rendering.render import RenderedExample
from burnish.errors import TrainingError
from burnish.model.adapter import adapter_kept
from burnish.train.anchor import Anchor
from burnish.train.checkpoint import Prefers, Validation
from burnish.train.loop import TrainOptions, start_training, train
from burnish.train.ranks import ALONE, Ranks

STEP = 3.0
"""Ratio of neighbouring rates."""
SHARE = 0.1
"""Of the run's steps, what one trial takes; three take less than a third of the run."""
MIN_STEPS = 20
"""A shorter trial tells nothing, so short runs go without."""


@dataclass(frozen=True)
class Trial:
    """A rate, and what the validation rows say after a short run with it; None if its loss was no longer finite."""

    learning_rate: float
    validation: Validation | None


def trial_steps(num_steps: int) -> int:
    """The steps of one trial before a run of `num_steps`; 0 where that is too short to tell."""
    steps = int(SHARE * num_steps)
    return steps if steps >= MIN_STEPS else 0


def rates_around(learning_rate: float, count: int) -> list[float]:
    """`count` rates in equal ratios, `learning_rate` in their middle."""
    return [learning_rate * STEP ** (n - (count - 1) / 2) for n in range(count)]


def rates_up_to(learning_rate: float, count: int) -> list[float]:
    """Without the faster half of as many around it, where what is forgotten counts.

    A faster rate forgets more in the end, and a trial does not show it: what replay counts is only found after it.
    """
    return [learning_rate * STEP**-n for n in range(count // 2, -1, -1)]


def try_rates(
    model: Any,
    examples: Sequence[RenderedExample],
    rates: Sequence[float],
    *,
    options: TrainOptions,
    num_steps: int,
    validate: Callable[[int], Validation],
    on_step: Callable[[], None] = lambda: None,
    ranks: Ranks = ALONE,
    anchor: Anchor | None = None,
) -> list[Trial]:
    """Train the run's first `num_steps` steps with each rate, its schedule run to the end, and validate.

    The adapter is left as it was, and so is the random state.
    """
    random_state = torch.get_rng_state()
    trials = []
    for rate in rates:
        torch.manual_seed(options.seed + ranks.rank)
        own = replace(options, learning_rate=rate)
        with adapter_kept(model):
            state = start_training(model, own)
            try:
                for _ in train(state, examples, own, ranks, anchor, steps=range(num_steps)):
                    on_step()
                trials.append(Trial(rate, validate(state.step)))
            except TrainingError:
                trials.append(Trial(rate, None))
    torch.set_rng_state(random_state)
    return trials


def best_rate(trials: Sequence[Trial], prefers: Prefers) -> float:
    """The rate whose validation no other one's is preferred to.

    Raises:
        TrainingError: the loss was not finite with any of them.
    """
    best: tuple[float, Validation] | None = None
    for trial in trials:
        if trial.validation and (best is None or prefers(trial.validation, best[1])):
            best = trial.learning_rate, trial.validation
    if best is None:
        tried = ", ".join(f"{trial.learning_rate:.1e}" for trial in trials)
        raise TrainingError(f"the loss is not finite with any of the rates {tried}. Lower train.learning_rate.")
    return best[0]
