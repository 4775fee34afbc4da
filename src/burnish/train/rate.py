"""How fast this machine trains a base: steps of two sizes, timed once and remembered."""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from burnish.cache import cache_dir, read_cached_json, write_cached_json
from burnish.data.rendering.render import RenderedExample
from burnish.files import sha256_of_json
from burnish.model.adapter import adapter_parameters
from burnish.model.arithmetic import arithmetic
from burnish.model.device import choose_device, describe_device
from burnish.train.forecast import Rehearsal, StepSettings
from burnish.train.pack import batches_for
from burnish.train.step import mean_loss, train_step

# Examples of a small and a large step, which begin alike; the last fourteen tokens of each are learned.
SMALL, LARGE = 2, 16
SHARED, OWN, LEARNED = 160, 56, 14
REPETITIONS = 5


@dataclass(frozen=True)
class Pace:
    """Seconds of a step: so many for each batch however small, and its operations at a rate."""

    batch_s: float
    operations_per_s: float

    def seconds(self, operations: float, num_batches: int) -> float:
        """Of forward and backward."""
        return num_batches * self.batch_s + operations / self.operations_per_s


def training_pace(fingerprint: str, rehearsal: Rehearsal, load: Callable[[], Any]) -> Pace:
    """The pace of forward and backward; kept in the cache of this machine.

    `load` gives the base with an adapter; it is called only if the pace is not known yet.
    """
    known = known_pace(fingerprint, rehearsal)
    if known is not None:
        return known
    model, settings = load().train(), StepSettings(max_tokens=2048)
    steps = [_standard_step(rehearsal.vocabulary, size) for size in (SMALL, LARGE)]
    rounds = [[_seconds_of_step(model, step, settings) for step in steps] for _ in range(1 + REPETITIONS)][1:]
    small_s, large_s = (statistics.median(times) for times in zip(*rounds, strict=True))
    pace = fit_pace([rehearsal.operations(step, settings) for step in steps], [small_s, large_s])
    device = describe_device(choose_device())
    write_cached_json(_path(fingerprint, rehearsal), asdict(pace) | {"device": device, "dtype": str(rehearsal.dtype)})
    return pace


def known_pace(fingerprint: str, rehearsal: Rehearsal) -> Pace | None:
    """The same, if it was measured before."""
    kept = read_cached_json(_path(fingerprint, rehearsal))
    if kept is None:
        return None
    return Pace(float(kept["batch_s"]), float(kept["operations_per_s"]))


def fit_pace(operations: Sequence[float], seconds: Sequence[float]) -> Pace:
    """Through two measured steps of one batch each, the smaller first; neither part is below 0."""
    (small, large), (small_s, large_s) = operations, seconds
    if large_s > small_s and (batch_s := small_s - small * (large_s - small_s) / (large - small)) > 0:
        return Pace(batch_s, (large - small) / (large_s - small_s))
    return Pace(0.0, large / large_s)


def _path(fingerprint: str, rehearsal: Rehearsal) -> Path:
    device = describe_device(choose_device())
    key = sha256_of_json([fingerprint, device, str(rehearsal.dtype), torch.__version__, arithmetic()])
    return cache_dir() / "paces" / f"{key}.json"


def _seconds_of_step(model: Any, examples: list[RenderedExample], settings: StepSettings) -> float:
    parameters = list(adapter_parameters(model).values())
    with batches_for(model, examples, max_tokens=settings.max_tokens) as batches:
        return train_step(
            model,
            parameters,
            torch.optim.SGD(parameters, lr=0.0),
            batches,
            objective=mean_loss(len(examples) * LEARNED),
            num_supervised=len(examples) * LEARNED,
            max_grad_norm=math.inf,
            step=1,
            epoch=1.0,
        ).seconds


def _standard_step(vocabulary: int, num_examples: int) -> list[RenderedExample]:
    chance = random.Random(0)
    start = [chance.randrange(vocabulary) for _ in range(SHARED)]
    mask = (False,) * (SHARED + OWN - LEARNED) + (True,) * LEARNED
    return [
        RenderedExample(
            str(i), (*start, *(chance.randrange(vocabulary) for _ in range(OWN))), mask, len(mask) - LEARNED
        )
        for i in range(num_examples)
    ]
