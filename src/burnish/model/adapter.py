"""LoRA adapters through peft: made, saved, loaded, switched off. (Their forward is in lora.py.)"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from burnish.errors import AdapterError
from burnish.files import read_json, write_json
from burnish.model.base import BaseFiles
from burnish.model.device import seeded
from burnish.model.lora import add_in_place

CARD_NAME = "burnish.json"
SECOND = "second"
"""The name of an adapter that is there for a moment only."""
CONFIG_NAME, WEIGHTS_NAME = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True)
class AdapterCard:
    """What an adapter remembers of its making; stands beside it as burnish.json."""

    run_id: str
    base_model: str
    base_fingerprint: str
    template_sha256: str
    train_sha256: str
    scale: float
    """What the trained adapter was multiplied with to keep the retention budget; the saved one is so already."""
    task: str
    system: str
    labels: tuple[str, ...]
    fields: tuple[str, ...]
    max_new_tokens: int
    thinking: bool = False
    """Whether the chat template was asked for answers that begin with a thought."""
    precision: str = "fp32"
    """Of the base while it was trained and tested."""


def attach_adapter(
    model: Any,
    *,
    rank: int,
    alpha: float,
    dropout: float,
    target_modules: str | Sequence[str],
    seed: int,
    in_place: bool = True,
) -> Any:
    """Wrap `model` with a new LoRA adapter in fp32; its B is zero, so the model's answers do not change yet.

    `in_place` as in `model.lora`; peft's own forward without it.

    Raises:
        AdapterError: no layer has such a name.
    """
    from peft import LoraConfig, get_peft_model

    targets = target_modules if isinstance(target_modules, str) else list(target_modules)
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets, bias="none", task_type="CAUSAL_LM"
    )
    try:
        with seeded(seed, model.device):
            wrapped = get_peft_model(model, config)
    except ValueError as error:
        raise AdapterError(f"adapter.target_modules = {target_modules!r}: {str(error).splitlines()[0]}") from None
    if in_place:
        add_in_place(wrapped)
    return wrapped


def restart_adapter(model: Any, seed: int) -> None:
    """Give the adapter the start that `attach_adapter` gives it with this seed."""
    with seeded(seed, model.device):
        model.add_adapter(SECOND, model.peft_config["default"])
    tensors = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in tensors.items():
            if f".{SECOND}." in name:
                tensors[name.replace(f".{SECOND}.", ".default.")].copy_(tensor)
    model.delete_adapter(SECOND)


def base_of(model: Any) -> Any:
    """transformers' own model under an adapter; a model without one is its own base."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def recompute_layers(model: Any, is_wanted: bool) -> None:
    """Let the backward compute each layer again instead of keeping what its forward made (activation checkpointing)."""
    base = base_of(model)
    word = "activation" if hasattr(base, "activation_checkpointing_enable") else "gradient"  # up to transformers 5.19
    if is_wanted:
        getattr(base, f"{word}_checkpointing_enable")({"use_reentrant": False})
    elif getattr(base, f"is_{word}_checkpointing"):
        getattr(base, f"{word}_checkpointing_disable")()


def adapter_parameters(model: Any) -> dict[str, Tensor]:
    """The trained tensors by name, in a fixed order."""
    return {name: parameter for name, parameter in sorted(model.named_parameters()) if parameter.requires_grad}


def hash_adapter(model: Any) -> str:
    """SHA-256 of the trained tensors as they are now."""
    tensors = {name: p.detach().cpu().contiguous() for name, p in adapter_parameters(model).items()}
    return hashlib.sha256(safetensors.torch.save(tensors)).hexdigest()


@contextmanager
def adapter_off(model: Any) -> Iterator[None]:
    """Within the block the model is the base model."""
    with model.disable_adapter():
        yield


@torch.no_grad()
def scale_adapter(model: Any, factor: float) -> None:
    """Make what the adapter adds so many times as large: its second matrices are, so that any tool loads it so."""
    for name, parameter in adapter_parameters(model).items():
        if ".lora_B." in name:
            parameter.mul_(factor)


@contextmanager
def adapter_kept(model: Any) -> Iterator[None]:
    """Whatever the block does to the adapter's weights, they are put back as they were."""
    before = {name: p.detach().clone() for name, p in adapter_parameters(model).items()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, parameter in adapter_parameters(model).items():
                parameter.copy_(before[name])


@contextmanager
def adapter_scaled(model: Any, factor: float) -> Iterator[None]:
    """Within the block what the adapter adds is so many times as large."""
    with adapter_kept(model):
        scale_adapter(model, factor)
        yield


def save_adapter(model: Any, folder: Path, card: AdapterCard) -> None:
    """Write the adapter in peft's format, with its card, into an existing folder."""
    config = model.peft_config["default"]
    config.base_model_name_or_path = card.base_model
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
    write_json(folder / CARD_NAME, asdict(card))


def read_card(folder: Path) -> AdapterCard:
    """What the adapter in `folder` remembers.

    Raises:
        AdapterError: the folder holds no adapter of burnish.
    """
    try:
        values = read_json(folder / CARD_NAME)
        return AdapterCard(**{**values, "labels": tuple(values["labels"]), "fields": tuple(values["fields"])})
    except (OSError, ValueError, TypeError, KeyError):
        raise AdapterError(f"{folder}: no adapter made by burnish ({CARD_NAME} is missing or damaged).") from None


def check_base(card: AdapterCard, folder: Path, base: BaseFiles) -> None:
    """Refuse a base that is not the one of the adapter in `folder`.

    Raises:
        AdapterError: it is another one.
    """
    if card.base_fingerprint != base.fingerprint:
        raise AdapterError(
            f"{folder}: this adapter was trained on {card.base_model} (fingerprint {card.base_fingerprint[:12]}), "
            f"not on {base.name} (fingerprint {base.fingerprint[:12]}). Load it on its own base, or train a new one."
        )


def load_adapter(model: Any, folder: Path, base: BaseFiles) -> Any:
    """Wrap `model` with the saved adapter.

    Raises:
        AdapterError: it was trained on another base, or is damaged.
    """
    from peft import PeftModel
    from safetensors import SafetensorError

    check_base(read_card(folder), folder, base)
    try:
        wrapped: Any = PeftModel.from_pretrained(model, str(folder), is_trainable=False)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise AdapterError(f"{folder}: the adapter cannot be read ({str(error).splitlines()[0]}).") from error
    _check_all_loaded(wrapped, folder)
    add_in_place(wrapped)
    return wrapped.eval()


def _check_all_loaded(model: Any, folder: Path) -> None:
    """peft only warns of missing and unknown keys; an adapter that is partly applied is refused."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import load_file

    saved = load_file(folder / WEIGHTS_NAME)
    loaded = get_peft_model_state_dict(model, save_embedding_layers=False)
    if saved.keys() != loaded.keys():
        strange = sorted(saved.keys() ^ loaded.keys())[0]
        raise AdapterError(f"{folder}: the adapter does not fit the base model ({strange}). Was a file exchanged?")
    for name, tensor in saved.items():
        if not torch.equal(tensor, loaded[name].to(tensor).cpu()):
            raise AdapterError(f"{folder}: {name} was not loaded as saved. Was a file exchanged?")
