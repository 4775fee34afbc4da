"""What training will take, told before it starts: memory from a rehearsal without numbers, time from counted work.

The rehearsal runs the model's own forward on torch's `meta` device, where tensors have shapes but no values, and
adds up what the backward would keep: with one layer and with two, since all layers are alike.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from burnish.data.rendering.render import RenderedExample
from burnish.model.adapter import base_of, recompute_layers
from burnish.model.head import LOGITS_AT_ONCE
from burnish.model.loss import Batch, hidden_states
from burnish.train.pack import batches_for
from burnish.train.savings import ALL_SAVINGS, Savings

# Beside what is kept for it, a backward holds a few tensors at a time, as wide as the widest layer.
BACKWARD_TENSORS = 4
# A parameter of the adapter stands in memory with its gradient and AdamW's two moments, all in fp32.
BYTES_PER_TRAINED = 16


@dataclass(frozen=True)
class StepSettings:
    """How a step is computed."""

    max_tokens: int
    recompute_layers: bool = False
    savings: Savings = ALL_SAVINGS


class Rehearsal:
    """A base model without numbers, of one layer and of two, with the adapter that `attach` puts on it."""

    def __init__(self, config: Any, attach: Callable[[Any], Any], dtype: torch.dtype) -> None:
        text = config.get_text_config()
        self.depth, self.vocabulary, self.dtype = int(text.num_hidden_layers), int(text.vocab_size), dtype
        self._query_width = int(text.num_attention_heads) * int(
            getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        )
        self._models = [_without_numbers(config, attach, layers, dtype) for layers in (1, 2)]

    @property
    def weight_bytes(self) -> int:
        """The frozen weights in memory."""
        return self._whole([_count(model, trained=False) for model in self._models]) * self.dtype.itemsize

    def sharded_bytes(self, num_ranks: int) -> int:
        """The frozen weights on each of several ranks that share the layers; two layers at a time are there in full."""
        one, two = (_count(model, trained=False) for model in self._models)
        layer = two - one
        num_layers = min(self.depth, self.depth / num_ranks + 2)
        return int((one - layer + layer * num_layers) * self.dtype.itemsize)

    def step_bytes(self, examples: Sequence[RenderedExample], settings: StepSettings) -> int:
        """What a step with these examples adds to the weights at its peak, about."""
        batches = self.batches(examples, settings)
        tokens = max(batch.num_tokens for batch in batches)
        rows = max(len(batch.rows_S) for batch in batches) if settings.savings.supervised_logits else tokens
        num_logits = rows * self.vocabulary
        if settings.savings.supervised_logits and settings.savings.chunked_loss:
            num_logits = min(LOGITS_AT_ONCE, num_logits)
        kept = self.kept_bytes(examples, settings)
        if settings.recompute_layers:  # one layer at a time is there in full
            one, two = (
                _bytes_kept(model, examples, replace(settings, recompute_layers=False)) for model in self._models
            )
            kept += two - one
        widest = max(max(layer.weight.shape) for layer in _linear_layers(self._models[0]))
        scratch = BACKWARD_TENSORS * tokens * widest * self.dtype.itemsize + 2 * num_logits * 4
        return kept + scratch + self._whole([_count(m, trained=True) for m in self._models]) * BYTES_PER_TRAINED

    def kept_bytes(self, examples: Sequence[RenderedExample], settings: StepSettings) -> int:
        """What the backward of a step keeps at once, at most."""
        return self._whole([_bytes_kept(model, examples, settings) for model in self._models])

    def operations(self, examples: Sequence[RenderedExample], settings: StepSettings) -> float:
        """Floating-point operations of a step's forward and backward.

        A frozen weight costs four for each token, one of the adapter six; the head counts where a token is learned.
        Recomputed layers go through their forward once more: half of that, and a third of the attention.
        """
        return self.operations_of(self.batches(examples, settings), settings)

    def operations_of(self, batches: Sequence[Batch], settings: StepSettings) -> float:
        """The same of batches that are made already."""
        body, head, total = self._body_operations, 4.0 * self._head_size, 0.0
        for batch in batches:
            attention = 12.0 * self._query_width * self.depth * _pairs(batch)
            total += body * batch.num_tokens + head * len(batch.rows_S) + attention
            if settings.recompute_layers:
                total += body * batch.num_tokens / 2 + attention / 3
        return total

    def reading_operations(self, examples: Sequence[RenderedExample], settings: StepSettings) -> float:
        """Of a forward alone without the adapter, at most: half of a step that recomputes nothing."""
        return self.operations(examples, replace(settings, recompute_layers=False)) / 2

    def batches(self, examples: Sequence[RenderedExample], settings: StepSettings) -> list[Batch]:
        """The batches of a step."""
        model = self._models[0]
        with batches_for(model, examples, max_tokens=settings.max_tokens, savings=settings.savings) as found:
            return list(found)

    @cached_property
    def _body_operations(self) -> int:
        """Of all layers, for each token."""
        return self._whole([_operations_per_token(model) for model in self._models])

    @property
    def _head_size(self) -> int:
        return int(base_of(self._models[0]).get_output_embeddings().weight.numel())

    def _whole(self, of_one_and_two: Sequence[int]) -> int:
        """From what one layer and two layers make to what all make."""
        one, two = of_one_and_two
        return one + (self.depth - 1) * (two - one)


def heaviest(steps: Iterable[Sequence[RenderedExample]]) -> Sequence[RenderedExample]:
    """The step that will need the most memory: the one with the longest example, and the most tokens beside it."""
    return max(steps, key=lambda examples: (max(e.length for e in examples), sum(e.length for e in examples)))


def _without_numbers(config: Any, attach: Callable[[Any], Any], layers: int, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    shallow = copy.deepcopy(config)
    text = shallow.get_text_config()
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shallow, dtype=dtype).requires_grad_(False)
        return attach(model).train()


def _bytes_kept(model: Any, examples: Sequence[RenderedExample], settings: StepSettings) -> int:
    """What the backward of a step keeps at once: of the prefixes that wait for it, and of the largest other batch."""
    waiting, largest = 0, 0
    recompute_layers(model, settings.recompute_layers)
    with batches_for(model, examples, max_tokens=settings.max_tokens, savings=settings.savings) as batches:
        for batch in batches:
            kept = bytes_kept(model, batch)
            if batch.fills is not None:
                waiting += kept
            else:
                largest = max(largest, kept)
    return waiting + largest


def bytes_kept(model: Any, batch: Batch) -> int:
    """The memory of all tensors that the forward of a batch leaves for its backward; weights are not counted."""
    frozen = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept = dict[int, Tensor]()  # holds on to the tensors, so that no address comes back

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        hidden_states(model, batch)
    return sum(t.untyped_storage().nbytes() for address, t in kept.items() if address not in frozen)


def _linear_layers(model: Any) -> list[torch.nn.Linear]:
    return [module for module in base_of(model).get_decoder().modules() if isinstance(module, torch.nn.Linear)]


def _operations_per_token(model: Any) -> int:
    return sum(layer.weight.numel() * (6 if layer.weight.requires_grad else 4) for layer in _linear_layers(model))


def _count(model: Any, *, trained: bool) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad is trained)


def _pairs(batch: Batch) -> int:
    """Pairs of a query and a key that the attention computes, in one layer and head."""
    if batch.layout is None:
        return batch.input_ids.shape[0] * batch.input_ids.shape[1] ** 2
    pairs = 0
    for group in batch.layout.groups:
        longest = max(group.suffix_lengths, default=0)
        pairs += group.num_prefix_tokens**2 + len(group.suffix_lengths) * longest * (group.prefix_length + longest)
    return pairs
