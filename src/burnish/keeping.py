"""How a run keeps the base model inside its retention budget: while the task is learned, and afterwards.

While it is learned, general texts stand beside the training examples, on which the model is to stay like the base
(`anchor_of`). Afterwards the adapter is made smaller until the budget is kept (`keep_budget`). Only the training half
of the bundled texts is used here, and of its passages some are replayed, others tell the scale; what the report says
comes from the other half.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from burnish.data import RenderedExample
from burnish.evaluate.bundled import Half, general_text
from burnish.evaluate.retention import text_examples
from burnish.evaluate.statistics import ConfidenceInterval, RowScores, bootstrap_interval
from burnish.forgetting import general_answers
from burnish.model.adapter import adapter_off, adapter_scaled, scale_adapter
from burnish.preparation import Prepared
from burnish.screen import Screen
from burnish.train.anchor import Anchor, ask_base
from burnish.train.loop import example_losses
from burnish.train.ranks import ALONE, Ranks
from burnish.train.shard import follow, lead

SCALES = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25)
REPLAYED_OF_FIVE = 3
"""Of five passages of the training half so many are replayed; the others tell how far the adapter may go."""
CAUTION = 1.2816 * math.sqrt(2)
"""Standard errors between the measurement on some texts and, in nine cases of ten, that on others of their kind."""


@dataclass(frozen=True)
class ScalePoint:
    """The adapter at one scale."""

    scale: float
    nll_change: ConfidenceInterval
    """On passages that are not replayed, nats per token."""
    likely_upper: float
    """Of the upper confidence limit on other passages, in nine cases of ten."""


@dataclass(frozen=True)
class Kept:
    """How the budget is kept."""

    scale: float
    points: tuple[ScalePoint, ...] = ()
    """From the largest scale to the first that keeps it."""

    def to_dict(self) -> dict[str, Any]:
        """For evaluation.json."""
        points = [{**asdict(point), "nll_change": point.nll_change.to_dict()} for point in self.points]
        return {"scale": self.scale, "scales": points}


def anchor_of(model: Any, prepared: Prepared, screen: Screen, ranks: Ranks = ALONE) -> Anchor | None:
    """What training holds fast of the base, as the recipe says; every rank has the same."""
    options, recipe = prepared.recipe.retention, prepared.recipe.train
    if not options.replay and not options.hold:
        return None
    anchor = None
    if ranks.is_first:
        with lead(model, ranks):
            size = int(recipe.micro_batch_tokens)
            examples = prepared.rendered["train"]
            anchor = Anchor(
                ask_base(model, replayed_texts(model, prepared, screen), max_tokens=size) if options.replay else None,
                float(options.replay),
                options.replay_weight,
                ask_base(model, examples, max_tokens=size, is_masked=True) if options.hold else None,
                options.hold,
            )
    else:
        follow(model, ranks)
    return ranks.agree(anchor)


def replayed_texts(model: Any, prepared: Prepared, screen: Screen) -> list[RenderedExample]:
    """Passages, and the base's own answers to general prompts."""
    with adapter_off(model):
        answers = general_answers(model, prepared, Half.TRAINING, screen)
    return [*answers, *_passages(prepared, are_replayed=True)]


def keep_budget(model: Any, prepared: Prepared, screen: Screen, ranks: Ranks = ALONE) -> Kept:
    """Make the adapter smaller, if need be, until what it forgot is likely inside the budget; on every rank alike."""
    options = prepared.recipe.retention
    if options.budget == "off" or not options.measure:
        return Kept(1.0)
    points = list[ScalePoint]()
    if ranks.is_first:
        with lead(model, ranks):
            points = _walk_down(model, prepared, float(options.budget))
    else:
        follow(model, ranks)
    points = ranks.agree(points)
    kept = Kept(points[-1].scale, tuple(points))
    scale_adapter(model, kept.scale)
    if kept.scale < 1:
        screen.say(_describe(kept, float(options.budget)))
    return kept


def _walk_down(model: Any, prepared: Prepared, budget: float) -> list[ScalePoint]:
    texts = _passages(prepared, are_replayed=False)
    max_tokens = int(prepared.recipe.train.micro_batch_tokens)
    with adapter_off(model):
        base = example_losses(model, texts, micro_batch_tokens=max_tokens)
    points = list[ScalePoint]()
    for scale in SCALES:
        with adapter_scaled(model, scale):
            tuned = example_losses(model, texts, micro_batch_tokens=max_tokens)
        points.append(_point(scale, tuned - base, texts, prepared))
        if points[-1].likely_upper <= budget:
            break
    return points


def _point(scale: float, rises: torch.Tensor, texts: list[RenderedExample], prepared: Prepared) -> ScalePoint:
    options = prepared.recipe.evaluate
    scores = RowScores(rises.numpy(), np.array([text.num_supervised for text in texts], dtype=float))
    interval = bootstrap_interval(scores, confidence=options.confidence, num_resamples=options.num_resamples)
    return ScalePoint(scale, interval, interval.high + CAUTION * _standard_error(scores))


def _standard_error(scores: RowScores) -> float:
    """Of a ratio of sums, by the spread of the rows around it (Cochran 1977, section 6.13)."""
    count, total = len(scores), float(scores.denominators.sum())
    residuals = scores.numerators - scores.value * scores.denominators
    return float(math.sqrt(count / (count - 1) * (residuals**2).sum()) / total)


def _passages(prepared: Prepared, *, are_replayed: bool) -> list[RenderedExample]:
    rows = general_text(Half.TRAINING)
    chosen = [row for n, row in enumerate(rows) if (n % 5 < REPLAYED_OF_FIVE) == are_replayed]
    return text_examples(prepared.renderer, chosen)


def _describe(kept: Kept, budget: float) -> str:
    first, last = kept.points[0], kept.points[-1]
    change = f"general text {first.nll_change.value:+.3f} -> {last.nll_change.value:+.3f} nats per token"
    if last.likely_upper > budget:
        return f"Adapter scaled to {kept.scale:g}: {change}. Even so the budget of {budget:g} is not sure to be kept."
    return f"Adapter scaled to {kept.scale:g} to keep the retention budget of {budget:g}: {change}."
