"""What the comparisons in float64 rest on: the tiny models lose nothing of it on the way, and are transformers' own."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.tiny import EXACT_KINDS, adapt, build_exact_model, build_model

IDS = torch.arange(20)[None]


class LossyCasts(TorchDispatchMode):
    """The operations that make a coarser number of one in float64, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        exact = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor) and t.dtype == torch.float64]
        for tensor in tree_leaves(result):
            is_coarser = isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.dtype.itemsize < 8
            if is_coarser and any(t.shape != tensor.shape or not torch.equal(t, tensor.double()) for t in exact):
                self.found.append(str(operation))
        return result


def lossy_casts(model: Any) -> list[str]:
    with LossyCasts() as casts:
        logits = adapt(model)(input_ids=IDS).logits
        logits.logsumexp(-1).sum().backward()
    assert logits.dtype == torch.float64
    return casts.found


@pytest.mark.parametrize("sliding_window", [None, 7])
@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_a_model_for_exactness_keeps_float64_throughout(kind: str, sliding_window: int | None) -> None:
    assert lossy_casts(build_exact_model(kind, sliding_window=sliding_window)) == []


def test_a_model_of_transformers_as_it_is_does_not() -> None:
    assert set(lossy_casts(build_model())) == {"aten._to_copy.default"}  # in the norms


@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_the_norms_in_float64_are_those_of_transformers_to_float32(kind: str) -> None:
    model = build_exact_model(kind)
    norms = [module for module in model.modules() if type(module).__name__.endswith("RMSNorm")]
    assert len(norms) == {"starcoder2": 0, "llama": 5, "qwen3": 9, "gemma3": 13}[kind]
    for norm in norms:
        torch.nn.init.normal_(norm.weight)
        inputs = torch.randn(5, len(norm.weight), dtype=torch.float64)
        torch.testing.assert_close(norm(inputs), type(norm).forward(norm, inputs), rtol=1e-5, atol=1e-6)
        assert not torch.equal(norm(inputs), type(norm).forward(norm, inputs))


@torch.no_grad()
@pytest.mark.parametrize("kind", ["starcoder2", "qwen3", "gemma3"])
def test_a_window_is_at_work(kind: str) -> None:
    wide, narrow = (build_exact_model(kind, sliding_window=window)(input_ids=IDS).logits[0] for window in (None, 7))
    if kind != "gemma3":  # whose windowed layers have rotary angles of their own
        torch.testing.assert_close(wide[:7], narrow[:7], rtol=1e-10, atol=1e-10)
    assert (wide[7:] - narrow[7:]).abs().amax(-1).min() > 1e-4
