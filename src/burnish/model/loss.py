"""The loss of a pack: logits only for the rows that predict a supervised token, and never all of these at once.

Shapes: T tokens of the pack, S supervised tokens, W width of the model, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from burnish.model.adapter import base_of
from burnish.model.attention import PackLayout, PrefixStore, build_layout, position_ids
from burnish.model.head import UNMARKED, read_head

ROWS_AT_ONCE = 128
"""Of `logits_in_pieces`: 25 MB in fp32 with a vocabulary of 49,152."""


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
    places_S: Tensor
    """Which of its example's supervised tokens it is, counted from 0."""

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


@dataclass(frozen=True)
class Opinions:
    """What a teacher says of the token that comes next, for each of S tokens: its K likeliest ones.

    All other tokens count as one, whose probability is what is left to 1.
    """

    ids_SK: Tensor
    """Different tokens; UNMARKED where there are fewer."""
    shares_SK: Tensor
    """Their probabilities; 0 where there is none."""

    def at(self, rows: Tensor) -> "Opinions":
        """Of some of the tokens."""
        return Opinions(self.ids_SK[rows], self.shares_SK[rows])


def divergences(model: Any, batch: Batch, opinions: Opinions, targets_S: Tensor) -> tuple[Tensor, Tensor]:
    """[S] each, nats: the negative log-likelihood of each target, and the Kullback-Leibler divergence from the teacher.

    Where there is no target (UNMARKED) the first is 0 and the second KL(teacher || model). Where there is one, the
    divergence is that of the two given that the next token is not the target, so that learning the target and staying
    near the teacher do not pull against each other (target-masked KL; arXiv 2605.29498). The opinions are then what the
    teacher says under this condition.
    """
    marked_SM = torch.cat([targets_S[:, None], opinions.ids_SK], dim=1)
    head_VW = find_frozen_head(model, batch)
    if head_VW is None:
        known_SM, rest_S = _mark(supervised_logits(model, batch), marked_SM)
    else:
        known_SM, rest_S = read_head(hidden_states(model, batch).flatten(0, 1)[batch.rows_S], head_VW, marked_SM)
    has_target_S = targets_S != UNMARKED
    others_SK1 = torch.cat([known_SM[:, 1:], rest_S[:, None]], dim=1)
    gap_S = others_SK1.logsumexp(-1) - known_SM[:, 0].where(has_target_S, torch.inf)
    losses_S = torch.logaddexp(gap_S, torch.zeros_like(gap_S))
    left_S1 = (1 - opinions.shares_SK.sum(-1, keepdim=True)).clamp(min=0)
    shares_SK1 = torch.cat([opinions.shares_SK, left_S1], dim=1)
    logs_SK1 = others_SK1.log_softmax(-1).where(shares_SK1 > 0, 0.0)
    return losses_S, (torch.xlogy(shares_SK1, shares_SK1) - shares_SK1 * logs_SK1).sum(-1)


def _mark(logits_SV: Tensor, marked_SM: Tensor) -> tuple[Tensor, Tensor]:
    """`read_head` where all logits are there."""
    is_there_SM = marked_SM != UNMARKED
    known_SM = logits_SV.gather(-1, marked_SM.clamp(min=0)).masked_fill(~is_there_SM, -torch.inf)
    hidden_SV = torch.zeros_like(logits_SV, dtype=torch.uint8)
    hidden_SV.scatter_reduce_(-1, marked_SM.clamp(min=0), is_there_SM.to(torch.uint8), "amax")
    return known_SM, logits_SV.masked_fill(hidden_SV.bool(), -torch.inf).logsumexp(-1)


def supervised_logits(model: Any, batch: Batch, *, all_rows: bool = False) -> Tensor:
    """[S, V] in fp32 (or wider); for a pack the model must be inside `packed_attention`.

    Only of a pack can the model be told which rows are wanted; else, or with `all_rows`, it makes the logits of all.
    """
    if batch.layout is None or all_rows:
        logits_SV: Tensor = model(**batch.inputs).logits.flatten(0, 1)[batch.rows_S]
    else:
        logits_SV = model(**batch.inputs, logits_to_keep=batch.rows_S).logits[0]
    return logits_SV.to(_accurate(logits_SV))


def logits_in_pieces(model: Any, batch: Batch) -> Iterator[Tensor]:
    """`supervised_logits`, ROWS_AT_ONCE rows after the other, so that all never exist at once.

    Only a head that is more than a matrix makes all at once. The body has been through its forward when this returns.
    """
    head_VW = find_frozen_head(model, batch)
    if head_VW is None:
        return iter(torch.split(supervised_logits(model, batch), ROWS_AT_ONCE))
    hidden_SW = hidden_states(model, batch).flatten(0, 1)[batch.rows_S]
    return ((hidden_CW @ head_VW.T).to(_accurate(hidden_CW)) for hidden_CW in torch.split(hidden_SW, ROWS_AT_ONCE))


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
    trial = Batch(ids_1T, layout, rows_S=ids_1T[0], targets_S=ids_1T[0], owners_S=ids_1T[0], places_S=ids_1T[0])
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
