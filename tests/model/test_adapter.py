"""Adapters: start as the base, come back as saved, and refuse what does not fit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from burnish.errors import AdapterError
from burnish.model.adapter import AdapterCard, adapter_off, attach_adapter, load_adapter, read_card, save_adapter
from burnish.model.base import BaseFiles, find_base, load_model
from tests.tiny import randomize_adapter, save_base

CPU = torch.device("cpu")
IDS = torch.arange(3, 40)[None]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=IDS).logits
    return result


def card(base: BaseFiles) -> AdapterCard:
    return AdapterCard("run", base.name, base.fingerprint, "t", "d", 1.0, "chat", "", (), (), 8)


def attach(model: Any) -> Any:
    return attach_adapter(model, rank=4, alpha=8, dropout=0, target_modules="all-linear", seed=0)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BaseFiles:
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "cache"))
    return find_base(str(save_base(tmp_path / "base")))


@pytest.fixture
def saved(base: BaseFiles, tmp_path: Path) -> tuple[Path, torch.Tensor]:
    model = attach(load_model(base, dtype=torch.float32, device=CPU))
    randomize_adapter(model, torch.float32)
    folder = tmp_path / "adapter"
    folder.mkdir()
    save_adapter(model, folder, card(base))
    return folder, logits(model)


def test_a_new_adapter_is_the_base_exactly(base: BaseFiles) -> None:
    plain = logits(load_model(base, dtype=torch.float32, device=CPU))
    assert torch.equal(logits(attach(load_model(base, dtype=torch.float32, device=CPU))), plain)


def test_switched_off_it_is_the_base_exactly(base: BaseFiles) -> None:
    plain = logits(load_model(base, dtype=torch.float32, device=CPU))
    model = attach(load_model(base, dtype=torch.float32, device=CPU))
    randomize_adapter(model, torch.float32)
    with adapter_off(model):
        assert torch.equal(logits(model), plain)
    assert not torch.allclose(logits(model), plain, atol=1e-2)


def test_the_same_seed_gives_the_same_start_and_leaves_torchs_generator_alone(base: BaseFiles) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first, second = (attach(load_model(base, dtype=torch.float32, device=CPU)) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    for (_, a), (_, b) in zip(first.named_parameters(), second.named_parameters(), strict=True):
        assert torch.equal(a, b)


def test_saved_and_loaded_it_answers_the_same(base: BaseFiles, saved: tuple[Path, torch.Tensor]) -> None:
    folder, wanted = saved
    model = load_adapter(load_model(base, dtype=torch.float32, device=CPU), folder, base)
    assert torch.equal(logits(model), wanted)
    assert read_card(folder) == card(base)


def test_plain_peft_gives_the_same_logits(base: BaseFiles, saved: tuple[Path, torch.Tensor]) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder, wanted = saved
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base.folder, dtype="float32"), str(folder))
    assert (logits(model.eval()) - wanted).abs().max() < 1e-6
    merged = model.merge_and_unload()
    assert (logits(merged) - wanted).abs().max() < 1e-4


def test_another_base_is_refused(tmp_path: Path, saved: tuple[Path, torch.Tensor]) -> None:
    other = find_base(str(save_base(tmp_path / "other", seed=1)))
    with pytest.raises(AdapterError, match=r"was trained on .*base .*not on .*other"):
        load_adapter(load_model(other, dtype=torch.float32, device=CPU), saved[0], other)


def test_a_renamed_tensor_is_refused(base: BaseFiles, saved: tuple[Path, torch.Tensor]) -> None:
    path = saved[0] / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(iter(tensors))
    tensors[name.replace("layers.0", "layers.7")] = tensors.pop(name)
    save_file(tensors, path)
    with pytest.raises(AdapterError, match="does not fit the base model"):
        load_adapter(load_model(base, dtype=torch.float32, device=CPU), saved[0], base)


def test_a_folder_without_a_card_is_refused(base: BaseFiles, saved: tuple[Path, torch.Tensor]) -> None:
    (saved[0] / "burnish.json").unlink()
    with pytest.raises(AdapterError, match="no adapter made by burnish"):
        read_card(saved[0])


def test_an_unknown_target_is_refused(base: BaseFiles) -> None:
    with pytest.raises(AdapterError, match="target_modules"):
        attach_adapter(
            load_model(base, dtype=torch.float32, device=CPU),
            rank=4,
            alpha=8,
            dropout=0,
            target_modules=["no_such_layer"],
            seed=0,
        )


def test_the_fingerprint_knows_weights_tokenizer_and_template_but_not_the_library(
    base: BaseFiles, tmp_path: Path
) -> None:
    def changed(name: str, **changes: Any) -> str:
        return find_base(str(save_base(tmp_path / name, **changes))).fingerprint

    same = save_base(tmp_path / "same")
    config = json.loads((same / "config.json").read_text())
    (same / "config.json").write_text(json.dumps({**config, "transformers_version": "9.9"}))
    assert find_base(str(same)).fingerprint == base.fingerprint
    assert changed("weights", seed=1) != base.fingerprint
    assert changed("template", chat_template="{{ messages }}") != base.fingerprint
    assert changed("config", rope_theta=5.0) != base.fingerprint


def test_damaged_weights_are_refused(base: BaseFiles, saved: tuple[Path, torch.Tensor]) -> None:
    (saved[0] / "adapter_model.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(AdapterError, match="the adapter cannot be read"):
        load_adapter(load_model(base, dtype=torch.float32, device=CPU), saved[0], base)
