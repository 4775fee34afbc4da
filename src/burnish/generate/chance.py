"""The next tokens: the likeliest ones, or draws from the model's distribution.

Shapes: B rows of a batch, V vocabulary.
"""

from collections.abc import Sequence

import torch
from llguidance import LLMatcher
from torch import Tensor

from burnish.generate.constrained import forbid


def choose_tokens(
    logits_BV: Tensor, matchers: Sequence[LLMatcher], chance: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """[B] each: the next tokens, and their log-probabilities among all tokens, nats; `logits_BV` may be overwritten."""
    totals_B = logits_BV.logsumexp(-1)
    if matchers:
        forbid(logits_BV, matchers)
    next_B = (add_chance(logits_BV.clone(), chance) if chance else logits_BV).argmax(-1)
    return next_B, logits_BV.gather(1, next_B[:, None])[:, 0] - totals_B


def add_chance(logits_BV: Tensor, generator: torch.Generator) -> Tensor:
    """Add noise to logits in place, after which the largest of a row is a token drawn by its probability.

    The noise is Gumbel's: the argmax of logits plus such noise has the distribution of their softmax (the Gumbel-max
    trick; Maddison, Tarlow & Minka 2014, arXiv 1411.0030). Drawn on the CPU, so that every device draws the same.
    """
    waits_BV = torch.empty(logits_BV.shape, dtype=torch.float32).exponential_(generator=generator)
    return logits_BV.sub_(waits_BV.log_().to(logits_BV))
