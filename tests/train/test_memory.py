"""What the base makes of texts is kept between runs, bit for bit, and by all that changes it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.model.adapter import adapter_off
from burnish.train import memory
from burnish.train.anchor import ask_base
from burnish.train.loop import example_losses
from burnish.train.memory import BaseMemory
from tests.tiny import adapt, build_exact_model, random_examples, randomize_adapter

TEXTS = random_examples(5, 4)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path))
    return tmp_path


def adapted() -> Any:
    model = adapt(build_exact_model("llama")).eval()
    randomize_adapter(model, torch.float64)
    return model


def new_memory() -> BaseMemory:
    return BaseMemory("a base", "fp32", 60, torch.device("cpu"))


def deaf(*_: Any, **__: Any) -> Any:
    raise AssertionError("the base was asked again")


def test_what_is_kept_is_what_the_base_says_bit_for_bit(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, known = adapted(), new_memory()
    assert not known.has_opinions(TEXTS)
    with adapter_off(model):
        losses = example_losses(model, TEXTS, micro_batch_tokens=60)
    asked = ask_base(model, TEXTS, max_tokens=60).opinions
    known.losses(model, TEXTS), known.opinions(model, TEXTS)
    assert known.has_opinions(TEXTS)
    monkeypatch.setattr(memory, "ask_base", deaf)
    monkeypatch.setattr(memory, "example_losses", deaf)
    randomize_adapter(model, torch.float64, seed=1)  # another adapter, the same base
    assert torch.equal(known.losses(model, TEXTS), losses) and losses.dtype == torch.float64
    kept = known.opinions(model, TEXTS)
    assert torch.equal(kept.opinions.ids_SK, asked.ids_SK)
    assert torch.equal(kept.opinions.shares_SK, asked.shares_SK)
    assert kept.opinions.shares_SK.dtype == asked.shares_SK.dtype


@pytest.mark.parametrize("change", [{"fingerprint": "another"}, {"precision": "bf16"}, {"max_tokens": 70}, {}])
def test_another_base_precision_packing_or_text_is_asked_anew(cache: Path, change: dict[str, Any]) -> None:
    known, texts = new_memory(), TEXTS if change else TEXTS[:4]
    known.opinions(adapted(), TEXTS)
    assert known.has_opinions(TEXTS)
    assert not replace(known, **change).has_opinions(texts)


def test_another_arithmetic_is_asked_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, known = adapted(), new_memory()
    known.opinions(model, TEXTS)
    assert known.has_opinions(TEXTS)
    monkeypatch.setattr(memory, "arithmetic", lambda: "of another version")
    assert not known.has_opinions(TEXTS)


def test_a_damaged_memory_is_made_anew(cache: Path) -> None:
    model, known = adapted(), new_memory()
    before = known.losses(model, TEXTS)
    (path,) = cache.glob("base_memory/*/*.safetensors")
    path.write_bytes(path.read_bytes()[:40])
    assert torch.equal(known.losses(model, TEXTS), before)
    assert torch.equal(known.losses(model, TEXTS), before)


def test_a_memory_that_cannot_be_written_is_no_reason_to_stop(cache: Path) -> None:
    (cache / "base_memory").write_text("a file in its place")
    assert new_memory().losses(adapted(), TEXTS).isfinite().all()
