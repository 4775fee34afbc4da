"""The forward of a LoRA layer in its plain case, faster and, beside a bf16 base, truer than peft's.

Beside an fp32 base: two thin products, the second one added where the base's output lies; peft scales it in a copy and
adds it in another.

Beside a bf16 base: whoever adds the adapter's product to the base's output adds it to numbers that have been rounded
already, to 8 bits, and what is below half of the last bit is lost. Early in training that is most of it. So the base's
weights and the adapter's second matrix stand side by side, [W | s B], and one product of [x | x A^T] with them is
summed in fp32 and rounded once. The adapter's own weights stay fp32 and are cast, as they are far smaller than the
inputs that peft casts; so are their gradients.

Where anything else is asked of the layer (dropout, several adapters, a merged or disabled one), peft's own forward does
it.

N rows, I inputs, O outputs, R the rank.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear


def add_in_place(model: Any) -> None:
    """Let the LoRA layers of a peft model compute their plain case this way; its parameters and methods stay peft's."""
    from peft.tuners.lora import Linear

    for module in model.modules():
        if type(module) is Linear and type(module.base_layer) is torch.nn.Linear:
            module.forward = MethodType(_join if _can_join(module.base_layer) else _add, module)


def _add(layer: Any, inputs: Tensor, *args: Any, **options: Any) -> Tensor:
    name = _plain_adapter(layer)
    if name is None or args or options:
        return _by_peft(layer, inputs, *args, **options)
    rows_NI = inputs.reshape(-1, inputs.shape[-1])
    down_RI, up_OR = _matrices(layer, name, rows_NI.dtype)
    result_NO: Tensor = layer.base_layer(rows_NI)
    result_NO = result_NO.addmm_(rows_NI @ down_RI.T, up_OR.T, alpha=layer.scaling[name])
    return result_NO.view(*inputs.shape[:-1], -1)


def _join(layer: Any, inputs: Tensor, *args: Any, **options: Any) -> Tensor:
    name = _plain_adapter(layer)
    if name is None or args or options:
        return _by_peft(layer, inputs, *args, **options)
    down_RI, up_OR = layer.lora_A[name].weight, layer.lora_B[name].weight
    result_NO: Tensor = JoinedProduct.apply(  # type: ignore[no-untyped-call]
        inputs.reshape(-1, inputs.shape[-1]),
        _widen(layer.base_layer, len(down_RI)),
        layer.base_layer.bias,
        down_RI,
        up_OR,
        layer.scaling[name],
    )
    return result_NO.view(*inputs.shape[:-1], -1)


def _by_peft(layer: Any, inputs: Tensor, *args: Any, **options: Any) -> Tensor:
    result: Tensor = type(layer).forward(layer, inputs, *args, **options)
    return result


def _matrices(layer: Any, name: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A [R, I] and B [O, R]."""
    return layer.lora_A[name].weight.to(dtype), layer.lora_B[name].weight.to(dtype)


def _can_join(base: torch.nn.Linear) -> bool:
    """Whether its weights are bf16, frozen, and here as a whole."""
    is_frozen = not any(parameter.requires_grad for parameter in base.parameters())
    is_whole = type(base.weight) is torch.nn.Parameter  # FSDP's parts are DTensors
    return base.weight.dtype == torch.bfloat16 and is_frozen and is_whole


def _widen(base: torch.nn.Linear, rank: int) -> Tensor:
    """[O, I + R]: the weights of `base`, which lie in it from now on, and room for an adapter's second matrix."""
    weight_OI = base.weight
    wide_OJ: Tensor | None = getattr(base, "wide_weight", None)
    size = (weight_OI.shape[0], weight_OI.shape[1] + rank)
    if wide_OJ is None or wide_OJ.shape != size or wide_OJ.data_ptr() != weight_OI.data_ptr():
        wide_OJ = weight_OI.new_empty(size)
        wide_OJ[:, : size[1] - rank] = weight_OI.data
        weight_OI.data = wide_OJ[:, : size[1] - rank]
        base.wide_weight = wide_OJ
    return wide_OJ


class JoinedProduct(torch.autograd.Function):
    """x W^T + b + s x A^T B^T, rounded once: x [N, I], W in the left of [O, I + R], b [O] or None, A [R, I], B [O, R].

    W and b are frozen. The right of `wide_OJ` is overwritten.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows_NI: Tensor,
        wide_OJ: Tensor,
        bias_O: Tensor | None,
        down_RI: Tensor,
        up_OR: Tensor,
        scaling: float,
    ) -> Tensor:
        scaled_OR = torch.mul(up_OR, scaling, out=wide_OJ[:, rows_NI.shape[1] :]).clone()
        rounded_RI = down_RI.to(rows_NI.dtype)
        thin_NR = rows_NI @ rounded_RI.T
        ctx.save_for_backward(rows_NI, thin_NR, rounded_RI, scaled_OR)
        ctx.weight_OI, ctx.scaling, ctx.dtype = wide_OJ[:, : rows_NI.shape[1]], scaling, up_OR.dtype
        return linear(torch.cat([rows_NI, thin_NR], dim=1), wide_OJ, bias_O)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        rows_NI, thin_NR, rounded_RI, scaled_OR = ctx.saved_tensors
        (upstream_NO,) = upstream
        thin_upstream_NR = upstream_NO @ scaled_OR
        towards_rows = None
        if ctx.needs_input_grad[0]:
            towards_rows = (upstream_NO @ ctx.weight_OI).addmm_(thin_upstream_NR, rounded_RI)
        towards_down = (thin_upstream_NR.T @ rows_NI).to(ctx.dtype)
        # The thin matrix first: a third faster. And in B's own layout, which autograd would copy it to otherwise.
        towards_up = torch.empty(scaled_OR.shape, dtype=ctx.dtype, device=scaled_OR.device)
        torch.mul((thin_NR.T @ upstream_NO).T, ctx.scaling, out=towards_up)
        return towards_rows, None, None, towards_down, towards_up, None


def _plain_adapter(layer: Any) -> str | None:
    """The name of the one adapter that is at work here, if nothing is special about it."""
    active = [name for name in layer.active_adapters if name in layer.lora_A]
    if layer.disable_adapters or layer.merged or len(active) != 1 or active[0] in layer.lora_variant:
        return None
    dropout = layer.lora_dropout[active[0]]
    is_dropped = layer.training and not isinstance(dropout, torch.nn.Identity)
    return None if is_dropped or layer.lora_B[active[0]].bias is not None else active[0]
