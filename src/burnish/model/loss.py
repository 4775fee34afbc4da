"""The loss of a pack: logits only at the rows that predict a supervised token."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from burnish.model.attention import PackLayout


@dataclass(frozen=True)
class Batch:
    """One forward pass: a pack of examples and what is learned from it. T tokens, S supervised."""

    input_ids: Tensor
    """[1, T]"""
    position_ids: Tensor
    """[1, T]"""
    layout: PackLayout
    rows_S: Tensor
    """The row of the pack that predicts each supervised token; rows of a shared prefix may repeat."""
    targets_S: Tensor
    """The supervised tokens."""
    owners_S: Tensor
    """Which example each supervised token belongs to, as an index into the caller's list."""

    @property
    def num_tokens(self) -> int:
        return int(self.input_ids.shape[1])


def supervised_logits(model: Any, batch: Batch) -> Tensor:
    """[S, V] in fp32 (or wider); the model must be inside `packed_attention`."""
    output = model(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        use_cache=False,
        logits_to_keep=batch.rows_S,
        pack_layout=batch.layout,
    )
    logits_SV: Tensor = output.logits[0]
    return logits_SV.to(torch.promote_types(logits_SV.dtype, torch.float32))


def token_losses(model: Any, batch: Batch) -> Tensor:
    """[S]: the negative log-likelihood of each supervised token, nats."""
    return cross_entropy(supervised_logits(model, batch), batch.targets_S, reduction="none")
