"""What training holds fast of the base model: its opinions on some texts are kept near while the task is learned.

The base's opinions (its likeliest next tokens) are asked for once, before training, since the base does not change.

Two ways, each with a weight:
- replay: beside the examples of a step stand a few texts that the base wrote itself; there the divergence
  KL(base || model) is to stay small.
- target-masked divergence: on the examples themselves the model learns the target, and what it says of all other
  tokens stays near what the base says of them.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from burnish.data.rendering.render import RenderedExample
from burnish.model.adapter import adapter_off
from burnish.model.head import UNMARKED
from burnish.model.loss import ROWS_AT_ONCE, Batch, Opinions, divergences, logits_in_pieces
from burnish.train.pack import batches_for
from burnish.train.savings import Savings
from burnish.train.step import BatchLoss, Objective

NUM_LIKELIEST = 20
"""Tokens of an opinion. A divergence over 20 of them trained as well as over all (tinker-cookbook, recipes/sdft)."""


GAIN, MAX_ERROR = 0.2, 1.5
"""The weight changes by a factor of exp(GAIN * error) a step that tells, at most by 35 %."""
MIN_WEIGHT, MAX_WEIGHT = 0.01, 100.0
TINY = 1e-6


@dataclass(frozen=True, eq=False)
class Taught:
    """Examples, and what the base says at each of their supervised tokens, one example behind the other."""

    examples: Sequence[RenderedExample]
    opinions: Opinions

    @cached_property
    def firsts(self) -> Tensor:
        """The row of each example's first supervised token."""
        counts = torch.tensor([0, *(example.num_supervised for example in self.examples)])
        return counts.cumsum(0)[:-1]

    def rows(self, examples_S: Tensor, places_S: Tensor) -> Tensor:
        """Where the opinions on supervised tokens of the examples stand."""
        return self.firsts.to(examples_S.device)[examples_S] + places_S


@torch.no_grad()
def ask_base(model: Any, examples: Sequence[RenderedExample], *, max_tokens: int, is_masked: bool = False) -> Taught:
    """The base's opinions on the supervised tokens of `examples`; with `is_masked` given that each is not the target.

    `model` may have an adapter, which is switched off meanwhile.
    """
    ids, shares, order = list[Tensor](), list[Tensor](), list[Tensor]()
    taught = Taught(examples, Opinions(torch.empty(0, 0), torch.empty(0, 0)))
    with _base(model), batches_for(model, examples, max_tokens=max_tokens, savings=Savings()) as batches:
        for batch in batches:
            targets = torch.split(batch.targets_S, ROWS_AT_ONCE)
            for logits_CV, targets_C in zip(logits_in_pieces(model, batch), targets, strict=True):
                if is_masked:
                    logits_CV.scatter_(-1, targets_C[:, None], -torch.inf)
                found = logits_CV.log_softmax(-1).topk(min(NUM_LIKELIEST, logits_CV.shape[-1] - 2), dim=-1)
                ids.append(found.indices)
                shares.append(found.values.exp())
            order.append(taught.rows(batch.owners_S, batch.places_S))
    back = torch.cat(order).argsort()
    return Taught(examples, Opinions(torch.cat(ids)[back], torch.cat(shares)[back]))


@dataclass(frozen=True)
class Anchor:
    """What is held fast, and how hard."""

    replay: Taught | None = None
    replay_share: float = 0.0
    """Texts of the base for each example of the task."""
    replay_weight: float = 1.0
    """Of the mean divergence on the texts, beside the mean loss of the task; at first, where there is a target."""
    target: float | None = None
    """The mean divergence on `telling` to settle at, nats per token: the weight is then what that takes."""
    task: Taught | None = None
    """The opinions on the training examples, for the target-masked divergence."""
    task_weight: float = 0.0

    @cached_property
    def telling(self) -> frozenset[int]:
        """The replayed texts whose divergence tells the weight: raw texts, as what is measured in the end; else all.

        The base's answers to prompts diverge two to three times as much.
        """
        texts = self.replay.examples if self.replay else ()
        raw = frozenset(n for n, example in enumerate(texts) if example.prompt_length <= 1)
        return raw or frozenset(range(len(texts)))

    def replayed(self, step: int, num_examples: int, seed: int) -> list[int]:
        """Which texts stand beside the examples of `step`, as `replayed_in` has it."""
        if self.replay is None:
            return []
        count = len(self.replay.examples)
        return replayed_in(step, num_examples, share=self.replay_share, num_texts=count, seed=seed)

    def adapted(self, weight: float, divergence: float | None) -> float:
        """The weight after a step with this mean divergence on its texts that tell (None: it had none).

        It grows while the divergence is over the target and shrinks while it is under it, as the adaptive KL controller
        of Ziegler et al. 2019 (arXiv 1909.08593, section 2.2) does, here by the logarithm of their ratio.
        """
        if self.target is None or divergence is None:
            return weight
        ratio = math.log(max(divergence, TINY) / self.target)
        return min(MAX_WEIGHT, max(MIN_WEIGHT, weight * math.exp(GAIN * max(-MAX_ERROR, min(MAX_ERROR, ratio)))))


def replayed_in(step: int, num_examples: int, *, share: float, num_texts: int, seed: int) -> list[int]:
    """Which of the texts stand beside the examples of `step` (counted from 0).

    A pure function, so that resumed = whole. Each is there once before any is there again. A share of 0.1 of 8 examples
    is a text in four steps of five.
    """
    first, last = (int(n * num_examples * share) for n in (step, step + 1))
    return [_permuted(n, num_texts, seed) for n in range(first, last)]


def anchored_loss(
    anchor: Anchor, owners: Sequence[tuple[int, bool]], *, num_supervised: int, num_replayed: int, replay_weight: float
) -> Objective:
    """The mean loss of the task, and the mean divergence where the base is held fast, each with its weight.

    `owners`: for each of the batches' examples its number in `anchor.task` or, if it is replayed, in `anchor.replay`.
    The counts are those of the whole step, on all ranks. `replay_weight` is that of the step.
    """
    numbers, is_text = torch.tensor([number for number, _ in owners]), torch.tensor([text for _, text in owners])
    is_telling = torch.tensor([text and number in anchor.telling for number, text in owners])

    def objective(model: Any, batch: Batch) -> BatchLoss:
        number_S, is_text_S, is_telling_S = (
            each.to(batch.owners_S.device)[batch.owners_S] for each in (numbers, is_text, is_telling)
        )
        opinions = _opinions_on(anchor, number_S, batch.places_S, is_text_S)
        targets_S = batch.targets_S.masked_fill(is_text_S, UNMARKED)
        losses_S, divergences_S = divergences(model, batch, opinions, targets_S)
        on_texts, on_task, telling = (
            divergences_S.where(which, 0.0).sum() for which in (is_text_S, ~is_text_S, is_telling_S)
        )
        total = losses_S.sum() / num_supervised + replay_weight * on_texts / max(1, num_replayed)
        if anchor.task:
            total = total + anchor.task_weight * on_task / num_supervised
        held = telling if anchor.replay else on_task
        return BatchLoss(total, losses_S.sum().item(), held.item())

    return objective


def _opinions_on(anchor: Anchor, numbers_S: Tensor, places_S: Tensor, is_text_S: Tensor) -> Opinions:
    """Row by row from the replayed texts or from the task; none where there are none."""
    sides = [(taught, rows_S) for taught, rows_S in ((anchor.replay, is_text_S), (anchor.task, ~is_text_S)) if taught]
    used = [(taught, rows_S) for taught, rows_S in sides if rows_S.any()]
    size = (len(numbers_S), max((taught.opinions.ids_SK.shape[1] for taught, _ in used), default=0))
    ids_SK = torch.full(size, UNMARKED, device=numbers_S.device)
    shares_SK = torch.zeros(size, device=numbers_S.device, dtype=used[0][0].opinions.shares_SK.dtype if used else None)
    for taught, rows_S in used:
        found = taught.opinions.at(taught.rows(numbers_S[rows_S], places_S[rows_S]))
        ids_SK[rows_S], shares_SK[rows_S] = found.ids_SK, found.shares_SK
    return Opinions(ids_SK, shares_SK)


def _permuted(number: int, count: int, seed: int) -> int:
    turn, place = divmod(number, count)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + turn)
    return int(torch.randperm(count, generator=generator)[place])


def _base(model: Any) -> AbstractContextManager[None]:
    return adapter_off(model) if hasattr(model, "disable_adapter") else nullcontext()
