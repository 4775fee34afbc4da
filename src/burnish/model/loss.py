"""The loss of a pack: logits only for the rows that predict a supervised token, and never all of these at once.

Shapes: T tokens of the pack, S supervised tokens, W width of the model, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from burnish.model.adapter import base_of
from burnish.model.attention import PackLayout, PrefixStore, build_layout, position_ids
from burnish.model.head import read_head


@dataclass(frozen=True)
class Batch:
    """One forward pass and what is learned from it: a pack of examples, or examples padded on the right."""

    input_ids: Tensor
    """[1, T] of a pack, else [B, T]"""
    layout: PackLayout | None
    """None for padded examples, each in a row of its own."""
    rows_S: Tensor
    """The row (of all, counted through) that predicts each supervised token; rows of a shared prefix may repeat."""
    targets_S: Tensor
    """The supervised tokens."""
    owners_S: Tensor
    """Which example each supervised token belongs to, as an index into the caller's list."""

    @property
    def fills(self) -> PrefixStore | None:
        """Where its keys and values go, if it is a prefix that later batches use."""
        group = self.layout.groups[0] if self.layout else None
        return group.store if group and not group.suffix_lengths else None

    @property
    def num_tokens(self) -> int:
        return self.input_ids.numel()

    @property
    def inputs(self) -> dict[str, Any]:
        """The arguments of the model's forward. Padding needs no mask: it comes last, and attention is causal."""
        if self.layout is None:
            return {"input_ids": self.input_ids, "use_cache": False}
        return {
            "input_ids": self.input_ids,
            "position_ids": position_ids(self.layout),
            "pack_layout": self.layout,
            "use_cache": False,
        }


def token_losses(model: Any, batch: Batch, *, supervised_logits_only: bool = True, chunked: bool = True) -> Tensor:
    """[S]: the negative log-likelihood of each supervised token, nats.

    For a pack the model must be inside `packed_attention`. The switches change what is computed, not the result.
    """
    head_VW = find_frozen_head(model, batch) if supervised_logits_only and chunked else None
    if head_VW is None:
        logits_SV = supervised_logits(model, batch, all_rows=not supervised_logits_only)
        return cross_entropy(logits_SV, batch.targets_S, reduction="none")
    hidden_TW = hidden_states(model, batch).flatten(0, 1)
    return head_losses(hidden_TW[batch.rows_S], head_VW, batch.targets_S)


def head_losses(hidden_SW: Tensor, head_VW: Tensor, targets_S: Tensor) -> Tensor:
    """[S]: the negative log-likelihood of each target, nats, from what the frozen head [V, W] reads."""
    target_S1, rest_S = read_head(hidden_SW, head_VW, targets_S[:, None])
    gap_S = rest_S - target_S1[:, 0]  # of the others together: a small one keeps all its digits, and so its gradient
    return torch.logaddexp(gap_S, torch.zeros_like(gap_S))


def supervised_logits(model: Any, batch: Batch, *, all_rows: bool = False) -> Tensor:
    """[S, V] in fp32 (or wider); for a pack the model must be inside `packed_attention`.

    Only of a pack can the model be told which rows are wanted; else, or with `all_rows`, it makes the logits of all.
    """
    if batch.layout is None or all_rows:
        logits_SV: Tensor = model(**batch.inputs).logits.flatten(0, 1)[batch.rows_S]
    else:
        logits_SV = model(**batch.inputs, logits_to_keep=batch.rows_S).logits[0]
    return logits_SV.to(_accurate(logits_SV))


def find_frozen_head(model: Any, batch: Batch) -> Tensor | None:
    """The head's matrix [V, W]; None if it is trained, or something else than it makes the logits.

    Some models scale or cap their logits. Whether this one does is tried once, on a few tokens of the kind of `batch`.
    """
    base = base_of(model)
    head = base.get_output_embeddings()
    if type(head) is not torch.nn.Linear or head.bias is not None or head.weight.requires_grad:
        return None
    if base not in _makes_plain_logits:
        _makes_plain_logits[base] = _try_plain_logits(base, head, batch)
    return head.weight if _makes_plain_logits[base] else None


_makes_plain_logits: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


@torch.no_grad()
def _try_plain_logits(base: Any, head: torch.nn.Linear, like: Batch) -> bool:
    """Whether the logits are the head's output, to the last bit: a cap or a scale changes at least some of them."""
    ids_1T = torch.arange(4, device=head.weight.device)[None]
    layout = None if like.layout is None else build_layout([(0, [4])], ids_1T.device)
    trial = Batch(ids_1T, layout, rows_S=ids_1T[0], targets_S=ids_1T[0], owners_S=ids_1T[0])
    is_training = base.training
    base.eval()  # dropout would differ from pass to pass, and move the random state of a run
    logits_1TV = base(**trial.inputs).logits
    is_plain = torch.equal(logits_1TV, head(hidden_states(base, trial)).to(logits_1TV.dtype))
    base.train(is_training)
    return is_plain


def hidden_states(model: Any, batch: Batch) -> Tensor:
    """[B, T, W]: what the head reads; for a pack the model must be inside `packed_attention`."""
    hidden_BTW: Tensor = base_of(model).get_decoder()(**batch.inputs).last_hidden_state
    return hidden_BTW


def _accurate(tensor: Tensor) -> torch.dtype:
    """fp32, or the tensor's own format where that is wider."""
    return torch.promote_types(tensor.dtype, torch.float32)
