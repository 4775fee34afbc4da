"""How much arithmetic a step is, and how fast this device does it."""

import time
from typing import Any

import torch

from burnish.model.adapter import base_of


def product_rate(dtype: torch.dtype, device: torch.device, size: int) -> float:
    """Floating-point operations a second of a square matrix product, the best of ten."""
    x = torch.randn(size, size, device=device, dtype=dtype)
    best = 0.0
    for _ in range(10):
        start = time.perf_counter()
        (x @ x)[0, 0].item()  # waits for the device
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def flops(body_weights: int, head_weights: int, tokens: int, head_tokens: int, *, recomputes: bool = False) -> float:
    """Forward, and the gradient towards the inputs: 4 operations a frozen weight and token; 2 more if recomputed.

    Attention and the adapter are not counted, so that a share of the product rate is a lower bound.
    """
    return (6.0 if recomputes else 4.0) * body_weights * tokens + 4.0 * head_weights * head_tokens


def weights_of(model: Any) -> tuple[int, int]:
    """How many weights the linear layers of the body have, and how many the head."""
    base = base_of(model)
    body = sum(p.numel() for name, p in base.model.named_parameters() if "base_layer" in name)
    return body, base.get_output_embeddings().weight.numel()
