"""LoRA layers in their plain case, without copies; layers that are given the same input are computed together.

peft scales the thin product in a copy and adds it in another, in the forward and again in the backward; it reads the
input once for each of q, k and v; and beside a bf16 base it casts the whole input to the fp32 of the adapter. Here each
product is added where the other lies, the thin products of q, k and v (and of gate and up) are one, and the adapter's
weights, which are far smaller, are cast to the format of the base. Where anything else is asked of a layer (dropout,
several adapters, a merged or disabled one), peft's own forward does it.

Shapes: T tokens, I and O the widths of input and output, R the rank.
"""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Layers of one block that are given the same input, as transformers' models name them.
SAME_INPUT = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


def add_in_place(model: Any) -> None:
    """Let the LoRA layers of a peft model compute their plain case this way; its parameters and methods stay peft's."""
    from peft.tuners.lora import Linear

    for block in model.modules():
        layers = {
            name: layer
            for name, layer in block.named_children()
            if type(layer) is Linear and type(layer.base_layer) is torch.nn.Linear
        }
        shared = [[layers.pop(name) for name in names if name in layers] for names in SAME_INPUT]
        for together in (*shared, *([layer] for layer in layers.values())):
            siblings = Siblings(together)
            for layer in together:
                layer.forward = partial(siblings, layer)


class Siblings:
    """Layers that are given the same input: the first that is called computes all, and each takes its own result."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self.layers = tuple(layers)
        self._input: Tensor | None = None
        self._results: dict[Any, Tensor] = {}

    def __call__(self, layer: Any, inputs: Tensor, *args: Any, **options: Any) -> Tensor:
        """The result of `layer`."""
        if args or options or not _is_plain(layer):
            peft_result: Tensor = type(layer).forward(layer, inputs, *args, **options)
            return peft_result
        if inputs is not self._input or layer not in self._results:
            layers = self.layers if all(map(_is_plain, self.layers)) else (layer,)
            self._input, self._results = inputs, dict(zip(layers, _compute(layers, inputs), strict=True))
        result = self._results.pop(layer)
        if not self._results:
            self._input = None
        return result


def _compute(layers: Sequence[Any], inputs: Tensor) -> list[Tensor]:
    """What each of the layers makes of the inputs."""
    tensors, scales = list[Tensor | None](), list[float]()
    for layer in layers:
        (name,) = layer.active_adapters
        sides = (side[name].weight.to(inputs.dtype) for side in (layer.lora_A, layer.lora_B))
        tensors += [layer.base_layer.weight, layer.base_layer.bias, *sides]
        scales.append(layer.scaling[name])
    rows_TI = inputs.reshape(-1, inputs.shape[-1])
    results = _LoraProducts.apply(rows_TI, scales, *tensors)  # type: ignore[no-untyped-call]
    return [result.view(*inputs.shape[:-1], result.shape[-1]) for result in results]


class _LoraProducts(torch.autograd.Function):
    """x W^T + b + s (x A^T) B^T, for each (W, b, A, B) and scale s; W and b are frozen."""

    @staticmethod
    def forward(ctx: Any, inputs_TI: Tensor, scales: Sequence[float], *tensors: Any) -> tuple[Tensor, ...]:
        weights, biases, downs, ups = (tensors[i::4] for i in range(4))
        down_RI = torch.cat(downs) if len(downs) > 1 else downs[0]
        thin_TR = inputs_TI @ down_RI.T
        ctx.scales, ctx.ranks = scales, [len(down) for down in downs]
        ctx.save_for_backward(inputs_TI, down_RI, thin_TR, *weights, *ups)
        parts = torch.split(thin_TR, ctx.ranks, dim=1)
        return tuple(
            torch.nn.functional.linear(inputs_TI, weight_OI, bias_O).addmm_(part_TR, up_OR.T, alpha=scale)
            for weight_OI, bias_O, part_TR, up_OR, scale in zip(weights, biases, parts, ups, scales, strict=True)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        inputs_TI, down_RI, thin_TR, *rest = ctx.saved_tensors
        weights, ups = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        into_thin_TR = torch.cat(
            [(into_TO @ up_OR).mul_(scale) for into_TO, up_OR, scale in zip(upstream, ups, ctx.scales, strict=True)],
            dim=1,
        )
        into_inputs_TI = None
        if ctx.needs_input_grad[0]:
            into_inputs_TI = into_thin_TR @ down_RI
            for into_TO, weight_OI in zip(upstream, weights, strict=True):
                into_inputs_TI.addmm_(into_TO, weight_OI)
        into_downs = torch.split(into_thin_TR.T @ inputs_TI, ctx.ranks)
        parts = torch.split(thin_TR, ctx.ranks, dim=1)
        into_ups = (
            (into_TO.T @ part_TR).mul_(scale)
            for into_TO, part_TR, scale in zip(upstream, parts, ctx.scales, strict=True)
        )
        into_adapters = ((None, None, down, up) for down, up in zip(into_downs, into_ups, strict=True))
        return into_inputs_TI, None, *chain.from_iterable(into_adapters)


def _is_plain(layer: Any) -> bool:
    """Whether one adapter is at work here, and nothing is special about it."""
    active = layer.active_adapters
    if layer.disable_adapters or layer.merged or len(active) != 1 or active[0] not in layer.lora_A:
        return False
    name = active[0]
    is_dropped = layer.training and not isinstance(layer.lora_dropout[name], torch.nn.Identity)
    return not (is_dropped or name in layer.lora_variant or layer.lora_B[name].bias is not None)
