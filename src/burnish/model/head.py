"""What a frozen head says of a few tokens of its vocabulary, and of all others together.

The head is the widest matrix of a small model, and a loss asks little of it: the logits of some marked tokens (those
that are learned, or those that a teacher thinks likely), and of the rest only how likely they are together. As the
head is frozen, the gradient of that sum towards a hidden state is known with it: the mean of the rest's rows of the
head, weighted by their softmax. So one pass over slices of the vocabulary is enough for loss and gradient, with a
running maximum as in FlashAttention (Dao et al. 2022, arXiv 2205.14135), and the logits never all exist at once.

Shapes: S rows that predict, W width of the model, V vocabulary, M marked tokens of a row, N of all rows; C rows and U
tokens at once.
"""

from typing import Any

import torch
from torch import Tensor

UNMARKED = -1
"""Fills up the marks of a row that has fewer than others; its logit is -inf."""
ROWS_AT_ONCE = 512
LOGITS_AT_ONCE = 2**21
"""8 MB in fp32, which stay in a CPU's cache."""
LOGITS_AT_ONCE_ON_GPU = 2**26


def read_head(hidden_SW: Tensor, head_VW: Tensor, marked_SM: Tensor) -> tuple[Tensor, Tensor]:
    """The logits of the marked tokens [S, M], and the log of the summed exponentials of all other logits [S].

    In fp32 at least. The marks of a row are different tokens, or UNMARKED; at least one token is not marked.
    """
    read: tuple[Tensor, Tensor] = FrozenHead.apply(hidden_SW, head_VW, marked_SM)  # type: ignore[no-untyped-call]
    return read


class FrozenHead(torch.autograd.Function):
    """`read_head`, whose gradient goes to the hidden states alone."""

    @staticmethod
    def forward(ctx: Any, hidden_SW: Tensor, head_VW: Tensor, marked_SM: Tensor) -> tuple[Tensor, Tensor]:
        wants_gradient = ctx.needs_input_grad[0]
        pieces = zip(torch.split(hidden_SW, ROWS_AT_ONCE), torch.split(marked_SM, ROWS_AT_ONCE), strict=True)
        parts = [_read_rows(hidden_CW, head_VW, marked_CM, wants_gradient) for hidden_CW, marked_CM in pieces]
        logits_SM, rest_S, means_SW = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        ctx.save_for_backward(head_VW, marked_SM, means_SW)
        return logits_SM, rest_S

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        head_VW, marked_SM, means_SW = ctx.saved_tensors
        towards_logits_SM, towards_rest_S = upstream
        gradient_SW = means_SW * towards_rest_S[:, None]
        rows_N, marks_N = (marked_SM != UNMARKED).nonzero(
            as_tuple=True
        )  # most rows have fewer marks than there is room
        heads_NW = head_VW[marked_SM[rows_N, marks_N]].to(gradient_SW.dtype)
        gradient_SW.index_add_(0, rows_N, heads_NW * towards_logits_SM[rows_N, marks_N, None])
        return gradient_SW.to(head_VW.dtype), None, None


def _read_rows(
    hidden_CW: Tensor, head_VW: Tensor, marked_CM: Tensor, wants_gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Marked logits, what the rest sums to, and the weighted mean of the rest's rows of the head."""
    dtype = torch.promote_types(hidden_CW.dtype, torch.float32)
    logits_CM = torch.full(marked_CM.shape, -torch.inf, dtype=dtype, device=hidden_CW.device)
    # The sums are in units of exp(highest); its start is low, and not -inf, whose difference to itself is no number.
    highest_C1 = torch.full((len(hidden_CW), 1), torch.finfo(dtype).min, dtype=dtype, device=hidden_CW.device)
    sums_C1 = torch.zeros_like(highest_C1)
    width = hidden_CW.shape[1] if wants_gradient else 0
    sums_CW = torch.zeros(len(hidden_CW), width, dtype=dtype, device=hidden_CW.device)
    at_once = LOGITS_AT_ONCE if hidden_CW.device.type == "cpu" else LOGITS_AT_ONCE_ON_GPU
    first = 0
    for head_UW in torch.split(head_VW, max(1, at_once // max(1, len(hidden_CW)))):
        logits_CU = (hidden_CW @ head_UW.T).to(dtype)
        place_CM = marked_CM - first
        is_here_CM = (place_CM >= 0) & (place_CM < len(head_UW)) & (marked_CM != UNMARKED)
        first += len(head_UW)
        _take_out(logits_CU, place_CM, is_here_CM, logits_CM)
        higher_C1 = torch.maximum(highest_C1, logits_CU.amax(-1, keepdim=True))
        shrink_C1, highest_C1 = (highest_C1 - higher_C1).exp_(), higher_C1
        weights_CU = logits_CU.sub_(highest_C1).exp_()
        sums_C1 = sums_C1 * shrink_C1 + weights_CU.sum(-1, keepdim=True)
        if wants_gradient:
            sums_CW.mul_(shrink_C1).add_(weights_CU.to(head_UW.dtype) @ head_UW)
    return logits_CM, (highest_C1 + sums_C1.log())[:, 0], (sums_CW / sums_C1).to(head_VW.dtype)


def _take_out(logits_CU: Tensor, place_CM: Tensor, is_here_CM: Tensor, logits_CM: Tensor) -> None:
    """Move the marked logits of a slice to `logits_CM`; -inf is left in their place."""
    place_CM = place_CM.clamp(0, logits_CU.shape[1] - 1)
    # A mark of another slice points to a place that may be marked, too: minima leave there what is lower.
    found_CM = logits_CU.gather(-1, place_CM)
    logits_CM.copy_(torch.where(is_here_CM, found_CM, logits_CM))
    logits_CU.scatter_reduce_(-1, place_CM, found_CM.masked_fill(is_here_CM, -torch.inf), "amin")
