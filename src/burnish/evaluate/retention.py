"""What the specialist forgot: the base model against the same model with the adapter, on general text.

Both are read from one model, since switching the adapter off gives the base exactly. Intervals come from a
bootstrap over prompts, whose tokens belong together; on general text they are t intervals over its kinds, because the
question there is what kinds of text that nobody measured have lost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from burnish.conversation import Role, build_conversation
from burnish.data import RenderedExample, Renderer
from burnish.evaluate.statistics import (
    ConfidenceInterval,
    RowScores,
    bootstrap_interval,
    interval_over_kinds,
    score_by_kind,
)
from burnish.evaluate.writing import answers_to, as_text, write
from burnish.model.adapter import adapter_off
from burnish.model.loss import ROWS_AT_ONCE, logits_in_pieces
from burnish.train.pack import batches_for
from burnish.train.savings import Savings


@dataclass(frozen=True)
class Drift:
    """How far the specialist has moved from its base on some texts; per token, nats.

    Intervals are over the texts; where the kinds of the texts are known, over the kinds.
    """

    num_texts: int
    num_tokens: int
    kl: ConfidenceInterval
    """KL(base || specialist)."""
    nll_change: ConfidenceInterval
    """Rise of the loss."""
    top1_agreement: ConfidenceInterval
    """Share of tokens where both find the same token the most likely."""
    nll_change_of_new_kinds: ConfidenceInterval | None = None
    """The same where other kinds of text are measured, as many; None where the kinds are not known."""
    nll_change_by_kind: dict[str, float] = field(default_factory=dict)
    """Rise of the loss on the texts of each kind; empty where the kinds are not known."""


@dataclass(frozen=True)
class RetentionResult:
    """Adapter against base."""

    answers: Drift
    """On the base's own answers to general prompts."""
    text: Drift
    """On general text."""
    task: Drift
    """On the answers of the task, in rows that were not learned: there it is to change, and that tells how much it
    forgets elsewhere (RL's Razor, arXiv 2509.04259)."""


def base_answers(
    model: Any,
    renderer: Renderer,
    prompts: Sequence[dict[str, str]],
    *,
    answer_tokens: int,
    batch_size: int,
    cache: Path,
    fingerprint: str,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[RenderedExample]:
    """The prompts with the base model's own greedy answers, all of whose tokens are scored; kept in `cache`."""
    asked = [(row["id"], build_conversation(None, (Role.USER, row["prompt"]))) for row in prompts]
    return write(
        model,
        renderer,
        answers_to(asked, renderer, answer_tokens),
        batch_size=batch_size,
        cache=cache,
        fingerprint=fingerprint,
        on_done=on_done,
    )


def text_examples(renderer: Renderer, rows: Sequence[dict[str, str]]) -> list[RenderedExample]:
    """Prose as it stands, without a chat template; every token but the first is scored."""
    return [as_text(row["id"], renderer.ids(row["text"])) for row in rows]


def measure_retention(
    model: Any,
    answers: Sequence[RenderedExample],
    texts: Sequence[RenderedExample],
    task: Sequence[RenderedExample],
    *,
    text_kinds: Sequence[str],
    micro_batch_tokens: int,
    confidence: float,
    num_resamples: int,
) -> RetentionResult:
    """Compare the model with and without its adapter; `text_kinds` has the kind of each of `texts`."""
    return RetentionResult(
        *(
            measure_drift(
                model,
                examples,
                kinds=kinds,
                micro_batch_tokens=micro_batch_tokens,
                confidence=confidence,
                num_resamples=num_resamples,
            )
            for examples, kinds in ((answers, ()), (texts, text_kinds), (task, ()))
        )
    )


def measure_drift(
    model: Any,
    examples: Sequence[RenderedExample],
    *,
    micro_batch_tokens: int,
    kinds: Sequence[str] = (),
    confidence: float = 0.95,
    num_resamples: int = 10_000,
) -> Drift:
    """The model with its adapter against the model without it, on the supervised tokens of `examples`.

    `kinds`: of each example; the intervals are then over the kinds.
    """
    sums = _compare(model, examples, micro_batch_tokens)

    def scores(name: str) -> RowScores:
        return RowScores(sums[name].numpy(), sums["count"].numpy())

    def interval(name: str) -> ConfidenceInterval:
        if kinds:
            return interval_over_kinds(scores(name), kinds, confidence=confidence)
        return bootstrap_interval(scores(name), confidence=confidence, num_resamples=num_resamples)

    return Drift(
        num_texts=len(examples),
        num_tokens=int(sums["count"].sum()),
        kl=interval("kl"),
        nll_change=interval("nll_change"),
        top1_agreement=interval("agreement"),
        nll_change_of_new_kinds=interval_over_kinds(
            scores("nll_change"), kinds, confidence=confidence, of_new_kinds=True
        )
        if kinds
        else None,
        nll_change_by_kind=score_by_kind(scores("nll_change"), kinds) if kinds else {},
    )


@torch.no_grad()
def _compare(model: Any, examples: Sequence[RenderedExample], max_tokens: int) -> dict[str, torch.Tensor]:
    """Sums over each example's scored tokens, in float64."""
    sums = {
        name: torch.zeros(len(examples), dtype=torch.float64) for name in ("kl", "nll_change", "agreement", "count")
    }
    # Each batch is read with and without the adapter, so none may hand its keys and values to the next.
    savings = Savings(prefix_once=False)
    with batches_for(model, examples, max_tokens=min(max_tokens, 1024), savings=savings) as batches:
        for batch in batches:
            tuned = logits_in_pieces(model, batch)
            with adapter_off(model):
                base = logits_in_pieces(model, batch)
            targets, owners = (torch.split(of_S, ROWS_AT_ONCE) for of_S in (batch.targets_S, batch.owners_S))
            for tuned_CV, base_CV, targets_C, owners_C in zip(tuned, base, targets, owners, strict=True):
                for name, value in _token_drift(tuned_CV, base_CV, targets_C).items():
                    sums[name].index_add_(0, owners_C.cpu(), value.cpu().double())
    return sums


def _token_drift(tuned_SV: torch.Tensor, base_SV: torch.Tensor, targets_S: torch.Tensor) -> dict[str, torch.Tensor]:
    """[S] each, from the logits of both."""
    tuned, base = tuned_SV.log_softmax(-1), base_SV.log_softmax(-1)
    target_S1 = targets_S[:, None]
    return {
        "kl": (base.exp() * (base - tuned)).sum(-1),
        "nll_change": (base.gather(-1, target_S1) - tuned.gather(-1, target_S1))[:, 0],
        "agreement": (tuned.argmax(-1) == base.argmax(-1)).double(),
        "count": torch.ones(len(targets_S)),
    }
