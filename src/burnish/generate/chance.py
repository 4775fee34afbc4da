"""Draws from a model's distribution."""

import torch
from torch import Tensor


def add_chance(logits_BV: Tensor, generator: torch.Generator) -> Tensor:
    """Add noise to logits in place, after which the largest of a row is a token drawn by its probability.

    The noise is Gumbel's: the argmax of logits plus such noise has the distribution of their softmax (the Gumbel-max
    trick; Maddison, Tarlow & Minka 2014, arXiv 1411.0030). Drawn on the CPU, so that every device draws the same.
    """
    waits_BV = torch.empty(logits_BV.shape, dtype=torch.float32).exponential_(generator=generator)
    return logits_BV.sub_(waits_BV.log_().to(logits_BV))
