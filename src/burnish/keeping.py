"""How a run keeps the base model inside its retention budget: while the task is learned, and afterwards.

While it is learned, general texts stand beside the training examples, on which the model is to stay like the base
(`anchor_of`), and every choice between adapters is made at the scale that keeps the budget (`what_is_forgotten`).
What is over the budget in the end is mended in a few steps more (`train/mend.py`); the rest is done by a smaller
adapter (`keep_budget`). Only the training half of the bundled texts is used
here, and the team's own: its passages tell the scale, and are not replayed. What the report says comes from the other
half.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from burnish.answering import score_specialist, spread
from burnish.cache import cache_dir
from burnish.data import RenderedExample
from burnish.evaluate.bundled import Half, general_text
from burnish.evaluate.replay import write_replay
from burnish.evaluate.retention import text_examples
from burnish.evaluate.statistics import ConfidenceInterval, RowScores, interval_over_kinds
from burnish.model.adapter import adapter_off, adapter_scaled, hash_adapter, scale_adapter
from burnish.preparation import Prepared, memory_of
from burnish.recipe import AUTO, ChooseBy
from burnish.screen import Screen
from burnish.train.anchor import Anchor, ask_base
from burnish.train.checkpoint import Forgotten, Validation
from burnish.train.loop import example_losses, loss_per_token
from burnish.train.ranks import ALONE, Ranks
from burnish.train.shard import on_first_rank

SCALES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.55, 0.4, 0.25)
FALL = 2.5
"""Power of the scale by which the upper limit of the rise falls: 1.9 to 3.2 in sweeps of bank_chat and restaurant8k."""
FIRST_WEIGHT = 1.0
"""Of the texts that are replayed, before it is known what the budget takes."""
TARGET = 2.0
"""Times the budget: the divergence on replayed texts, KL, at which the rise of the loss on others mostly keeps it."""
MAX_SCORED_ROWS = 100
"""Validation rows that are answered at a validation, or at a scale of the adapter, at most: it is done often."""


@dataclass(frozen=True)
class ScalePoint:
    """The adapter at one scale."""

    scale: float
    nll_change: ConfidenceInterval
    """On the passages of the training half, nats per token."""
    loss: float | None = None
    """On the validation rows, nats per token; None where it was not asked for."""
    score: float | None = None
    """Of the answers to validation rows, where the recipe chooses by them."""


@dataclass(frozen=True)
class Kept:
    """How the budget is kept."""

    scale: float = 1.0
    points: tuple[ScalePoint, ...] = ()
    """From large to small; in a sweep all."""
    task_kept: float | None = None
    """What the scale leaves of the task, on validation rows: of the score, or of the fall of the loss."""

    def to_dict(self) -> dict[str, Any]:
        """For evaluation.json."""
        points = [{**asdict(point), "nll_change": point.nll_change.to_dict()} for point in self.points]
        return {"scale": self.scale, "task_kept": self.task_kept, "scales": points}


def anchor_of(model: Any, prepared: Prepared, screen: Screen, ranks: Ranks = ALONE) -> Anchor | None:
    """What training holds fast of the base, as the recipe says; every rank has the same."""
    options, recipe = prepared.recipe.retention, prepared.recipe.train
    share = 0.0 if options.replay == AUTO else float(options.replay)  # unsettled in runs of before there was such a key
    if not share and not options.hold:
        return None
    target = None if options.replay_weight or options.budget == "off" else TARGET * float(options.budget)

    def make() -> Anchor:
        replay = task = None
        if share:
            replay = memory_of(prepared, model.device).opinions(model, replayed_texts(model, prepared, screen))
        if options.hold:
            size = int(recipe.micro_batch_tokens)
            task = ask_base(model, prepared.rendered["train"], max_tokens=size, is_masked=True)
        return Anchor(replay, share, options.replay_weight or FIRST_WEIGHT, target, task, options.hold)

    return on_first_rank(make, model, ranks)


def replayed_texts(model: Any, prepared: Prepared, screen: Screen) -> list[RenderedExample]:
    """The base's own answers to general prompts, texts that it goes on with from openings, and the team's own texts."""
    replay = prepared.replay
    with (
        adapter_off(model),
        screen.bar("Base model: texts to replay (written once, then kept)", replay.num_written) as advance,
    ):
        return write_replay(
            model,
            prepared.renderer,
            replay,
            batch_size=prepared.recipe.evaluate.batch_size,
            cache=cache_dir(),
            fingerprint=prepared.base.fingerprint,
            on_done=lambda count: advance(count, ""),
        )


@dataclass(frozen=True, eq=False)
class Watch:
    """The passages by which a run tells what its adapter has forgotten, and what the base makes of them."""

    texts: list[RenderedExample]
    base_losses: torch.Tensor
    """[texts]: the sum over the tokens of each, nats."""
    budget: float
    """Rise of the loss, nats per token; inf for none."""
    kinds: tuple[str, ...]
    """[texts]"""
    known: dict[tuple[str, float], ScalePoint] = field(default_factory=dict)
    """Measured so far, by adapter and scale: the adapter of the last validation is often the one that is kept."""

    @property
    def has_budget(self) -> bool:
        return self.budget < math.inf


def watch_of(model: Any, prepared: Prepared, ranks: Ranks = ALONE) -> Watch | None:
    """As the recipe says; on every rank alike. One serves training and `keep_budget`."""
    options = prepared.recipe.retention
    if not options.measure or (options.budget == "off" and not options.sweep):
        return None

    def make() -> Watch:
        rows = general_text(Half.TRAINING)
        texts, kinds = text_examples(prepared.renderer, rows), tuple(row["kind"] for row in rows)
        budget = math.inf if options.budget == "off" else float(options.budget)
        return Watch(texts, memory_of(prepared, model.device).losses(model, texts), budget, kinds)

    return on_first_rank(make, model, ranks)


def what_is_forgotten(model: Any, prepared: Prepared, watch: Watch, ranks: Ranks = ALONE) -> Forgotten:
    """By the adapter as it is now, and the scale at which the budget is expected to hold; on every rank alike.

    It reads the passages once: `keep_budget` makes sure of the scale.
    """
    rise = on_first_rank(lambda: _rise_at(1.0, model, prepared, watch), model, ranks).nll_change
    scale = _expected_scale(rise.high, watch.budget)
    return Forgotten(rise.value, scale, _expected_rise(rise.high, scale) <= watch.budget)


def keep_budget(
    model: Any,
    prepared: Prepared,
    screen: Screen,
    watch: Watch | None,
    ranks: Ranks = ALONE,
    *,
    judged: Validation | None = None,
) -> Kept:
    """Make the adapter smaller, if need be, until what it forgot is inside the budget; on every rank alike.

    `judged`: the validation of this very adapter, if there was one; what it says is not asked again.
    """
    if watch is None:
        return Kept()
    kept = on_first_rank(lambda: _choose_scale(model, prepared, watch, judged), model, ranks)
    scale_adapter(model, kept.scale)
    if kept.scale < 1:
        screen.say(_describe(kept, watch.budget))
    return kept


def _choose_scale(model: Any, prepared: Prepared, watch: Watch, judged: Validation | None) -> Kept:
    """The largest scale that keeps the budget, or the smallest there is."""
    is_sweep = prepared.recipe.retention.sweep
    measured = _measure_scales(model, prepared, watch, is_sweep=is_sweep)
    points, chosen = {point.scale: point for point in measured}, _chosen(measured, watch.budget).scale
    asked = set(points) if is_sweep else {1.0, chosen} if chosen < 1 else set()
    points |= {scale: _with_worth(points[scale], model, prepared, judged) for scale in asked}
    task_kept = _share_kept(points[1.0], points[chosen], model, prepared) if chosen < 1 else 1.0
    return Kept(chosen, tuple(points.values()), task_kept)


def _measure_scales(model: Any, prepared: Prepared, watch: Watch, *, is_sweep: bool = False) -> list[ScalePoint]:
    """From large to small: those that show which is the largest that keeps the budget, or all in a sweep."""

    def rise_at(scale: float) -> ScalePoint:
        return _rise_at(scale, model, prepared, watch)

    whole = rise_at(1.0)
    if is_sweep:
        return [rise_at(scale) for scale in SCALES]
    points = {1.0: whole}
    n = SCALES.index(_expected_scale(whole.nll_change.high, watch.budget))
    while n < len(SCALES) and SCALES[n] not in points:  # up while the budget is kept, else down
        points[SCALES[n]] = point = rise_at(SCALES[n])
        n += -1 if point.nll_change.high <= watch.budget else 1
    return [points[scale] for scale in SCALES if scale in points]


def _rise_at(scale: float, model: Any, prepared: Prepared, watch: Watch) -> ScalePoint:
    key = hash_adapter(model), scale
    if key not in watch.known:
        with adapter_scaled(model, scale):
            tuned = example_losses(model, watch.texts, micro_batch_tokens=int(prepared.recipe.train.micro_batch_tokens))
        num_tokens = np.array([float(text.num_supervised) for text in watch.texts])
        scores = RowScores((tuned - watch.base_losses).numpy(), num_tokens)
        interval = interval_over_kinds(scores, watch.kinds, confidence=prepared.recipe.evaluate.confidence)
        watch.known[key] = ScalePoint(scale, interval)
    return watch.known[key]


def _expected_scale(high: float, budget: float) -> float:
    """The largest at which the budget should be kept, by the upper limit of the rise of the whole adapter."""
    return next((scale for scale in SCALES if _expected_rise(high, scale) <= budget), SCALES[-1])


def _expected_rise(high: float, scale: float) -> float:
    return high * math.pow(scale, FALL)


def _chosen(points: Sequence[ScalePoint], budget: float) -> ScalePoint:
    return next((point for point in points if point.nll_change.high <= budget), points[-1])


def _with_worth(point: ScalePoint, model: Any, prepared: Prepared, judged: Validation | None) -> ScalePoint:
    """What the adapter is worth at this scale, on validation rows."""
    is_scored = prepared.recipe.train.choose_by is not ChooseBy.LOSS
    if judged and judged.forgotten and judged.forgotten.scale == point.scale and bool(judged.scores) == is_scored:
        return replace(point, loss=judged.loss, score=judged.score)
    rows = spread(prepared.split.validation, MAX_SCORED_ROWS)
    with adapter_scaled(model, point.scale):
        loss = _validation_loss(model, prepared)
        return replace(point, loss=loss, score=score_specialist(model, prepared, rows).value if is_scored else None)


def _share_kept(whole: ScalePoint, chosen: ScalePoint, model: Any, prepared: Prepared) -> float | None:
    if whole.score is not None and chosen.score is not None:
        return chosen.score / whole.score if whole.score > 0 else None
    with adapter_off(model):
        base = _validation_loss(model, prepared)
    assert whole.loss is not None
    assert chosen.loss is not None
    return (base - chosen.loss) / (base - whole.loss) if whole.loss < base else None


def _validation_loss(model: Any, prepared: Prepared) -> float:
    max_tokens = int(prepared.recipe.train.micro_batch_tokens)
    return loss_per_token(model, prepared.rendered["validation"], micro_batch_tokens=max_tokens)


def _describe(kept: Kept, budget: float) -> str:
    at = {point.scale: point for point in kept.points}
    change = f"general text {at[1.0].nll_change.value:+.3f} -> {at[kept.scale].nll_change.value:+.3f} nats per token"
    left = "" if kept.task_kept is None else f", {kept.task_kept:.0%} of the task kept on validation rows"
    if at[kept.scale].nll_change.high > budget:
        unsure = f"Even so the budget of {budget:g} is not kept."
        return f"Adapter scaled to {kept.scale:g}: {change}{left}. {unsure}"
    return f"Adapter scaled to {kept.scale:g} to keep the retention budget of {budget:g}: {change}{left}."
