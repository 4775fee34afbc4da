"""Several adapters beside one base model, each for tokens of its own, in one product a layer.

Each adapter at work has a block of columns beside a layer's weights: [W | s1 B1 | s2 B2 | ...], and its first matrix
has the same rows in [A1; A2; ...]. A token's products with the first matrices of other adapters are set to 0, so that
[x | m x A^T] [W | s B]^T is its own adapter's answer, summed with the base's before it is rounded, as in `model.lora`.

Shapes: N tokens, I inputs, O outputs, J = I and all blocks, U columns of the blocks in use.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from burnish.errors import AdapterError
from burnish.files import read_json
from burnish.model.adapter import CONFIG_NAME, WEIGHTS_NAME

PEFT_PREFIX = "base_model.model."
UNKNOWN_FORMS = ("use_dora", "lora_bias", "alpha_pattern", "rank_pattern", "trainable_token_indices", "modules_to_save")
"""What peft's configuration can ask for and this room does not compute."""


@dataclass(frozen=True, eq=False)
class LoadedAdapter:
    """By the name of a layer: A [R, I] and s B [O, R], in the base's format."""

    rank: int
    matrices: dict[str, tuple[Tensor, Tensor]]

    @property
    def num_bytes(self) -> int:
        return sum(matrix.nbytes for pair in self.matrices.values() for matrix in pair)


def read_adapter(folder: Path, *, dtype: torch.dtype, device: torch.device) -> LoadedAdapter:
    """An adapter in peft's format.

    Raises:
        AdapterError: it cannot be read, or is of a form that cannot be mixed with others.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config, tensors = read_json(folder / CONFIG_NAME), load_file(folder / WEIGHTS_NAME)
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise AdapterError(f"{folder}: the adapter cannot be read ({str(error).splitlines()[0]}).") from error
    if unknown := [form for form in UNKNOWN_FORMS if config.get(form)]:
        raise AdapterError(f"{folder}: an adapter with {unknown[0]} cannot be served beside others. Merge it.")
    scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
    matrices = {}
    for name, down_RI in tensors.items():
        if name.endswith(".lora_A.weight"):
            up_OR = tensors[name.replace(".lora_A.", ".lora_B.")] * scale
            layer = name.removeprefix(PEFT_PREFIX).removesuffix(".lora_A.weight")
            matrices[layer] = down_RI.to(device, dtype), up_OR.to(device, dtype)
    if 2 * len(matrices) != len(tensors):
        raise AdapterError(f"{folder}: the adapter holds more than pairs of LoRA matrices; it cannot be served.")
    return LoadedAdapter(rank, matrices)


class MixedAdapters:
    """The adapters at work beside a model, and the blocks where they lie."""

    def __init__(self, model: Any) -> None:
        self._modules: dict[str, Any] = dict(model.named_modules())
        self._layers: dict[str, _MixedLayer] = {}
        self._blocks: list[tuple[str, LoadedAdapter] | None] = []
        self._width = 0

    def place(self, name: str, adapter: LoadedAdapter, needed: Iterable[str | None]) -> None:
        """Give an adapter a block: that of one which is not `needed`, or a new one.

        Raises:
            AdapterError: the model has no such layers.
        """
        if name in self._names:
            return
        self._check_fits(name, adapter)
        free = self._free(set(needed))
        if adapter.rank > self._width or free is None:
            self._rebuild(
                max(self._width, adapter.rank), len(self._blocks) + (free is None) * max(1, len(self._blocks))
            )
            free = self._free(set(needed))
        assert free is not None
        for layer in adapter.matrices.keys() - self._layers.keys():
            self._layers[layer] = _MixedLayer(self._modules[layer], self._width * len(self._blocks))
        self._blocks[free] = name, adapter
        self._write(free)

    @property
    def _names(self) -> list[str | None]:
        return [block[0] if block else None for block in self._blocks]

    def _free(self, needed: set[str | None]) -> int | None:
        return next((i for i, name in enumerate(self._names) if name is None or name not in needed), None)

    @contextmanager
    def at_work(self, tokens: Sequence[tuple[str | None, int]]) -> Iterator[None]:
        """Within the block the model is fed so many tokens of each adapter in turn; None is the base itself."""
        used = 1 + max((self._names.index(name) for name, _ in tokens if name is not None), default=-1)
        any_layer = next(iter(self._layers.values()), None)
        if not used or any_layer is None:
            yield
            return
        weight = any_layer.wide_OJ
        is_own = torch.zeros(sum(count for _, count in tokens), used, dtype=weight.dtype)
        start = 0
        for name, count in tokens:
            if name is not None:
                is_own[start : start + count, self._names.index(name)] = 1
            start += count
        mask_NU = is_own.repeat_interleave(self._width, dim=1).to(weight.device)
        for layer in self._layers.values():
            layer.mask_NU = mask_NU
        try:
            yield
        finally:
            for layer in self._layers.values():
                layer.mask_NU = None

    def _check_fits(self, name: str, adapter: LoadedAdapter) -> None:
        for layer, (down_RI, up_OR) in adapter.matrices.items():
            module = self._modules.get(layer)
            if type(module) is not torch.nn.Linear:
                raise AdapterError(f"{name}: the base model has no linear layer {layer}. Is it the adapter's own base?")
            if (up_OR.shape[0], down_RI.shape[1]) != (module.out_features, module.in_features):
                raise AdapterError(f"{name}: {layer} is of another size. Is it the adapter's own base?")

    def _rebuild(self, width: int, num_blocks: int) -> None:
        """Make room for wider or more blocks; what lay in them is written again."""
        self._width = width
        self._blocks += [None] * (num_blocks - len(self._blocks))
        for layer in self._layers.values():
            layer.resize(width * num_blocks)
        for i, block in enumerate(self._blocks):
            if block is not None:
                self._write(i)

    def _write(self, i: int) -> None:
        block = self._blocks[i]
        assert block is not None
        columns = slice(i * self._width, (i + 1) * self._width)
        for name, layer in self._layers.items():
            layer.write(columns, block[1].matrices.get(name))


class _MixedLayer:
    """A linear layer with blocks beside its weights; its forward is replaced."""

    def __init__(self, module: Any, num_columns: int) -> None:
        self._module = module
        self.mask_NU: Tensor | None = None
        self.resize(num_columns)
        module.forward = self.forward

    def resize(self, num_columns: int) -> None:
        """Empty blocks of so many columns in all."""
        weight_OI = self._module.weight.data
        num_out, self._num_in = weight_OI.shape
        self.wide_OJ = weight_OI.new_zeros(num_out, self._num_in + num_columns)
        self.wide_OJ[:, : self._num_in] = weight_OI
        self._module.weight.data = self.wide_OJ[:, : self._num_in]  # the old weights are let go
        self._down_UI = weight_OI.new_zeros(num_columns, self._num_in)

    def write(self, columns: slice, matrices: tuple[Tensor, Tensor] | None) -> None:
        """Fill a block; a smaller rank, or an adapter without this layer, leaves zeros."""
        wide = self.wide_OJ[:, self._num_in :]
        self._down_UI[columns], wide[:, columns] = 0, 0
        if matrices is not None:
            down_RI, up_OR = matrices
            filled = slice(columns.start, columns.start + len(down_RI))
            self._down_UI[filled], wide[:, filled] = down_RI, up_OR

    def forward(self, inputs: Tensor) -> Tensor:
        """x W^T + b, and for each token what its own adapter adds."""
        module = self._module
        if self.mask_NU is None:
            return linear(inputs, module.weight, module.bias)
        used = self.mask_NU.shape[1]
        rows_NI = inputs.reshape(-1, self._num_in)
        thin_NU = (rows_NI @ self._down_UI[:used].T).mul_(self.mask_NU)
        result_NO = linear(torch.cat([rows_NI, thin_NU], dim=1), self.wide_OJ[:, : self._num_in + used], module.bias)
        return result_NO.view(*inputs.shape[:-1], -1)
