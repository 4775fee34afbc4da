"""The forward of a LoRA layer in its plain case: two thin products, the second one added where the base's output lies.

peft scales the product in a copy and adds it in another; beside a bf16 base it also casts the whole input to the fp32
of the adapter. Here the adapter's weights, which are far smaller, are cast to the format of the base, and their
gradients back to fp32. Where anything else is asked of the layer (dropout, several adapters, a merged or disabled one),
peft's own forward does it.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor


def add_in_place(model: Any) -> None:
    """Let the LoRA layers of a peft model compute their plain case this way; its parameters and methods stay peft's."""
    from peft.tuners.lora import Linear

    for module in model.modules():
        if type(module) is Linear and type(module.base_layer) is torch.nn.Linear:
            module.forward = MethodType(_forward, module)


def _forward(layer: Any, inputs: Tensor, *args: Any, **options: Any) -> Tensor:
    name = _plain_adapter(layer)
    if name is None or args or options:
        peft_result: Tensor = type(layer).forward(layer, inputs, *args, **options)
        return peft_result
    rows = inputs.reshape(-1, inputs.shape[-1])
    result: Tensor = layer.base_layer(rows)
    down_RI, up_OR = (side[name].weight.to(rows.dtype) for side in (layer.lora_A, layer.lora_B))
    result = result.addmm_(rows @ down_RI.T, up_OR.T, alpha=layer.scaling[name])
    return result.view(*inputs.shape[:-1], result.shape[-1])


def _plain_adapter(layer: Any) -> str | None:
    """The name of the one adapter that is at work here, if nothing is special about it."""
    active = [name for name in layer.active_adapters if name in layer.lora_A]
    if layer.disable_adapters or layer.merged or len(active) != 1 or active[0] in layer.lora_variant:
        return None
    dropout = layer.lora_dropout[active[0]]
    is_dropped = layer.training and not isinstance(dropout, torch.nn.Identity)
    return None if is_dropped or layer.lora_B[active[0]].bias is not None else active[0]
