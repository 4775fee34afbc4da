"""A few steps more for an adapter that has forgotten too much, in which what is held fast counts most."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeGuard

from burnish.data.rendering.render import RenderedExample
from burnish.recipe import Schedule
from burnish.train.anchor import Anchor
from burnish.train.loop import TrainOptions, TrainState, train
from burnish.train.ranks import ALONE, Ranks
from burnish.train.step import StepMetrics

ROUNDS = 3
"""At most; the adapter is measured after each."""
LENGTH = 1 / 16
"""Of the run's steps, in a round."""
RATE = 0.3
"""Of the run's highest learning rate, at which a round begins; it falls to 0."""
SHARE, WEIGHT = 0.25, 16.0
"""Of the replayed texts, where the run itself makes do with less: texts for each example, and what they count."""


def can_mend(anchor: Anchor | None) -> TypeGuard[Anchor]:
    """Whether texts are replayed, with a weight that is not the recipe's."""
    return anchor is not None and anchor.replay is not None and anchor.target is not None


def round_from(step: int, num_steps: int) -> range:
    """The steps of a round that begins behind `step` of a run of `num_steps`."""
    return range(step, step + math.ceil(LENGTH * num_steps))


def mend(
    state: TrainState,
    examples: Sequence[RenderedExample],
    options: TrainOptions,
    anchor: Anchor,
    steps: range,
    ranks: Ranks = ALONE,
) -> Iterator[StepMetrics]:
    """One round, from where `state` is; AdamW goes on with the moments that it has."""
    state.replay_weight = max(WEIGHT, state.replay_weight or 0.0)
    options = replace(options, learning_rate=RATE * options.learning_rate, warmup_share=0.0, schedule=Schedule.LINEAR)
    anchor = replace(anchor, replay_share=max(SHARE, anchor.replay_share), target=None)
    return train(state, examples, options, ranks, anchor, steps=steps)
