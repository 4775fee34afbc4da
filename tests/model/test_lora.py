"""The plain case of a LoRA layer is peft's own result; every other case is peft's own forward."""

import copy
from typing import Any

import pytest
import torch
from peft.tuners.lora import Linear
from torch import Tensor

from burnish.model.adapter import adapter_off
from burnish.model.lora import add_in_place
from tests.tiny import adapt, build_exact_model, build_model, randomize_adapter

IDS = torch.tensor([[5, 17, 101, 3, 44, 90]])


def adapted(dropout: float = 0.0) -> Any:
    return adapt(build_exact_model(), dropout=dropout).train()


def peft_alone(model: Any) -> None:
    for module in model.modules():
        module.__dict__.pop("forward", None)


def result_of(model: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """The logits, and the gradients of a loss that weighs each of them differently."""
    model.zero_grad(set_to_none=True)
    torch.manual_seed(0)
    logits = model(input_ids=IDS).logits
    (logits * torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)).sum().backward()
    return logits.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_values_and_gradients_are_those_of_peft(dropout: float) -> None:
    model = adapted(dropout)
    ours = result_of(model)
    peft_alone(model)
    theirs = result_of(model)
    assert len(theirs[1]) == 2 * sum(isinstance(module, Linear) for module in model.modules())
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_layer_on_its_own_gives_the_input_its_gradient_and_keeps_the_shape() -> None:
    layer = next(module for module in adapted().modules() if isinstance(module, Linear))
    shapes = [(), (1,), (2, 3)]
    for shape in shapes:
        inputs = torch.randn(*shape, layer.in_features, dtype=torch.float64, requires_grad=True)
        results = []
        for forward in (layer.forward, lambda given: Linear.forward(layer, given)):
            output = forward(inputs)
            assert output.shape == (*shape, layer.out_features)
            results.append((output.detach(), *torch.autograd.grad(output.pow(2).sum(), inputs)))
        torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


def test_off_is_the_base_and_merged_is_the_same() -> None:
    model = adapted().eval()
    with torch.no_grad():
        wanted = model(input_ids=IDS).logits
        with adapter_off(model):
            torch.testing.assert_close(model(input_ids=IDS).logits, build_exact_model()(input_ids=IDS).logits)
        assert not torch.allclose(wanted, build_exact_model()(input_ids=IDS).logits)
        model.merge_adapter()
        torch.testing.assert_close(model(input_ids=IDS).logits, wanted, rtol=1e-12, atol=1e-12)
        model.unmerge_adapter()
        torch.testing.assert_close(model(input_ids=IDS).logits, wanted, rtol=1e-12, atol=1e-12)


def test_two_adapters_are_summed_as_peft_sums_them() -> None:
    model = adapted().eval()
    model.add_adapter("second", model.peft_config["default"])
    randomize_adapter(model, torch.float64)
    model.base_model.set_adapter(["default", "second"])
    add_in_place(model)
    ours = model(input_ids=IDS).logits
    peft_alone(model)
    assert torch.equal(ours, model(input_ids=IDS).logits)


def test_the_plain_case_does_not_pass_through_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted()

    def refuse(*_: Any) -> Tensor:
        raise AssertionError

    monkeypatch.setattr(Linear, "forward", refuse)
    model(input_ids=IDS)
    with pytest.raises(AssertionError), adapter_off(model):
        model(input_ids=IDS)


def test_beside_a_bf16_base_the_masters_stay_fp32_and_little_is_lost_against_peft() -> None:
    """Both against peft in float64 with the same weights: bf16 rounds for both, once more where peft casts to fp32."""
    model = adapt(build_model(dtype=torch.bfloat16)).train()
    randomize_adapter(model, torch.float32)
    exact = copy.deepcopy(model).double()
    peft_alone(exact)
    truth = result_of(exact)[1]

    def error_of(gradients: dict[str, Tensor]) -> float:
        assert all(gradient.dtype is torch.float32 for gradient in gradients.values())
        return float(sum((gradients[name] - true).square().sum() for name, true in truth.items())) ** 0.5

    logits, ours = result_of(model)
    assert logits.dtype is torch.bfloat16
    peft_alone(model)
    theirs = result_of(model)[1]
    size = float(sum(true.square().sum() for true in truth.values())) ** 0.5
    assert error_of(ours) < 0.1 * size
    assert error_of(ours) < 2 * error_of(theirs)
