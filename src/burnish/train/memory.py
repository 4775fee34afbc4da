"""What the base makes of texts, kept between runs: its losses on passages, and its opinions on what is replayed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from burnish.cache import cache_dir, tolerate_unwritable
from burnish.data.rendering.render import RenderedExample
from burnish.files import keep_newest, new_folder, sha256_of_json
from burnish.model.adapter import adapter_off
from burnish.model.arithmetic import arithmetic
from burnish.model.device import describe_device
from burnish.model.loss import Opinions
from burnish.train.anchor import Taught, ask_base
from burnish.train.loop import example_losses

TENSORS = "tensors.safetensors"
MAX_KEPT = 50
"""Folders; the opinions on the bundled texts take some 3 MB."""


@dataclass(frozen=True)
class BaseMemory:
    """Kept by all that changes a bit of it, burnish's own sources too: an adapter that does nothing changes nothing."""

    fingerprint: str
    precision: str
    max_tokens: int
    """Of a forward pass."""
    device: torch.device

    def losses(self, model: Any, texts: Sequence[RenderedExample]) -> Tensor:
        """[texts], float64: the sum over the supervised tokens of each, nats. `model` has an adapter."""

        def read() -> dict[str, Tensor]:
            with adapter_off(model):
                return {"losses": example_losses(model, texts, micro_batch_tokens=self.max_tokens)}

        return self._recall("losses", texts, read)["losses"]

    def opinions(self, model: Any, texts: Sequence[RenderedExample]) -> Taught:
        """As `ask_base`."""

        def ask() -> dict[str, Tensor]:
            found = ask_base(model, texts, max_tokens=self.max_tokens).opinions
            return {"ids": found.ids_SK, "shares": found.shares_SK}

        kept = self._recall("opinions", texts, ask)
        return Taught(texts, Opinions(kept["ids"].to(self.device), kept["shares"].to(self.device)))

    def has_opinions(self, texts: Sequence[RenderedExample]) -> bool:
        """Whether they need not be asked for."""
        return self._folder("opinions", texts).is_dir()

    def _recall(
        self, kind: str, texts: Sequence[RenderedExample], find: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        folder = self._folder(kind, texts)
        found = _read(folder)
        if found is None:
            found = find()
            if all(tensor.isfinite().all() for tensor in found.values()):
                _write(folder, found)
        return found

    def _folder(self, kind: str, texts: Sequence[RenderedExample]) -> Path:
        device = [describe_device(self.device), torch.backends.cpu.get_cpu_capability(), torch.__version__]
        asked = [(text.input_ids, text.loss_mask) for text in texts]
        key = sha256_of_json([kind, self.fingerprint, self.precision, self.max_tokens, arithmetic(), *device, asked])
        return cache_dir() / "base_memory" / key


def _read(folder: Path) -> dict[str, Tensor] | None:
    """None where there is no such folder, or it is damaged."""
    from safetensors.torch import load_file

    try:
        found: dict[str, Tensor] = load_file(folder / TENSORS)
        folder.touch()  # so that it is not the next to go
    except (OSError, SafetensorError):
        return None
    return found


def _write(folder: Path, tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    with tolerate_unwritable():
        with new_folder(folder) as draft:
            save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, draft / TENSORS)
        keep_newest(folder.parent, MAX_KEPT)
