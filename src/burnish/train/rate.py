"""How fast this machine trains a base: one step of a standard shape, timed once and remembered."""

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from burnish.data.rendering.render import RenderedExample
from burnish.files import cache_dir, read_json, sha256_of_json, write_json
from burnish.model.adapter import adapter_parameters
from burnish.model.device import choose_device, describe_device
from burnish.train.forecast import Rehearsal, StepSettings
from burnish.train.pack import batches_for
from burnish.train.step import mean_loss, train_step

# A step of 16 examples that begin alike; the last fourteen tokens of each are learned.
NUM_EXAMPLES, SHARED, OWN, LEARNED = 16, 160, 56, 14
REPETITIONS = 3


def training_rate(fingerprint: str, rehearsal: Rehearsal, load: Callable[[], Any]) -> float:
    """Floating-point operations a second of forward and backward; kept in the cache of this machine.

    `load` gives the base with an adapter; it is called only if the rate is not known yet.
    """
    known = known_rate(fingerprint, rehearsal)
    if known is not None:
        return known
    model, settings = load().train(), StepSettings(max_tokens=2048)
    examples = _standard_step(rehearsal.vocabulary)
    seconds = min(_seconds_of_step(model, examples, settings) for _ in range(REPETITIONS))
    rate = rehearsal.operations(examples, settings) / seconds
    device = describe_device(choose_device())
    path = _path(fingerprint, rehearsal)
    write_json(path, {"operations_per_s": rate, "device": device, "dtype": str(rehearsal.dtype)})
    return rate


def known_rate(fingerprint: str, rehearsal: Rehearsal) -> float | None:
    """The same, if it was measured before."""
    path = _path(fingerprint, rehearsal)
    return float(read_json(path)["operations_per_s"]) if path.is_file() else None


def _path(fingerprint: str, rehearsal: Rehearsal) -> Path:
    device = describe_device(choose_device())
    key = sha256_of_json([fingerprint, device, str(rehearsal.dtype), torch.__version__])
    return cache_dir() / "rates" / f"{key}.json"


def _seconds_of_step(model: Any, examples: list[RenderedExample], settings: StepSettings) -> float:
    parameters = list(adapter_parameters(model).values())
    with batches_for(model, examples, max_tokens=settings.max_tokens) as batches:
        return train_step(
            model,
            parameters,
            torch.optim.SGD(parameters, lr=0.0),
            batches,
            objective=mean_loss(NUM_EXAMPLES * LEARNED),
            num_supervised=NUM_EXAMPLES * LEARNED,
            max_grad_norm=math.inf,
            step=1,
            epoch=1.0,
        ).seconds


def _standard_step(vocabulary: int) -> list[RenderedExample]:
    chance = random.Random(0)
    start = [chance.randrange(vocabulary) for _ in range(SHARED)]
    mask = (False,) * (SHARED + OWN - LEARNED) + (True,) * LEARNED
    return [
        RenderedExample(
            str(i), (*start, *(chance.randrange(vocabulary) for _ in range(OWN))), mask, len(mask) - LEARNED
        )
        for i in range(NUM_EXAMPLES)
    ]
