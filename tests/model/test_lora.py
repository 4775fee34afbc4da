"""The plain case of a LoRA layer is peft's own result; every other case is peft's own forward."""

import copy
import statistics
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear
from torch import Tensor

from burnish.model.adapter import adapter_off
from burnish.model.lora import JoinedProduct, add_in_place
from tests.tiny import adapt, build_exact_model, build_model, randomize_adapter

IDS = torch.tensor([[5, 17, 101, 3, 44, 90]])


def adapted(dropout: float = 0.0) -> Any:
    return adapt(build_exact_model(), dropout=dropout).train()


def peft_alone(model: Any) -> None:
    for module in model.modules():
        module.__dict__.pop("forward", None)


def result_of(model: Any, ids: Tensor = IDS) -> tuple[Tensor, dict[str, Tensor]]:
    """The logits, and the gradients of a loss that weighs each of them differently."""
    model.zero_grad(set_to_none=True)
    torch.manual_seed(0)
    logits = model(input_ids=ids).logits
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
    """Both against peft in float64 with the same weights, over several inputs, since one may fall badly for either."""
    model = adapt(build_model(dtype=torch.bfloat16)).train()
    randomize_adapter(model, torch.float32)
    exact, plain = copy.deepcopy(model).double(), copy.deepcopy(model)
    peft_alone(exact)
    peft_alone(plain)
    chance = torch.Generator().manual_seed(0)
    ours, theirs = list[float](), list[float]()
    for _ in range(8):
        ids = torch.randint(0, 100, (1, 6), generator=chance)
        truth = result_of(exact, ids)[1]
        size = sum(true.square().sum() for true in truth.values())
        for system, errors in ((model, ours), (plain, theirs)):
            logits, gradients = result_of(system, ids)
            assert logits.dtype is torch.bfloat16
            assert all(gradient.dtype is torch.float32 for gradient in gradients.values())
            wrong = sum((gradients[name] - true).square().sum() for name, true in truth.items())
            errors.append(float(wrong / size) ** 0.5)
    assert statistics.median(ours) < 0.1
    assert statistics.median(ours) < 2 * statistics.median(theirs)


def bf16_layer(outputs: int = 64, rank: int = 2) -> Any:
    """A LoRA layer beside bf16 weights whose outputs are near 1, each of them moved by the adapter by 0.001."""
    torch.manual_seed(0)
    base = torch.nn.Linear(32, outputs, bias=True).to(torch.bfloat16).requires_grad_(False)
    model = torch.nn.Sequential(base)
    layer = get_peft_model(model, LoraConfig(r=rank, lora_alpha=rank, target_modules=["0"])).base_model.model[0]
    with torch.no_grad():
        base.weight.fill_(1 / 32)
        base.bias.copy_(torch.linspace(0.0, 0.5, outputs))
        layer.lora_A["default"].weight.fill_(1 / 32)
        layer.lora_B["default"].weight.fill_(0.001 / rank)
    return layer


def test_what_is_below_half_of_the_last_bit_is_not_lost_beside_a_bf16_base() -> None:
    """Between 1 and 2 bf16 has steps of 0.008: added to a rounded output, 0.001 is nothing; rounded once, it is there
    on average."""
    layer = bf16_layer(outputs=4096)
    inputs = torch.ones(1, 32, dtype=torch.bfloat16)
    with torch.no_grad():
        without = layer.base_layer(inputs).float()
        by_peft = layer(inputs).float()
        add_in_place(layer)
        ours = layer(inputs).float()
    assert (by_peft - without).mean().item() == pytest.approx(0.0, abs=1e-6)
    assert (ours - without).mean().item() == pytest.approx(0.001, rel=0.2)


def test_a_joined_product_has_the_values_and_gradients_of_two() -> None:
    torch.manual_seed(1)
    rows, weight, bias = (torch.randn(*shape, dtype=torch.float64) for shape in ((5, 7), (6, 7), (6,)))
    down, up = torch.randn(3, 7, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    wide = torch.cat([weight, torch.full((6, 3), torch.nan, dtype=torch.float64)], dim=1)
    leaves = [tensor.requires_grad_() for tensor in (rows, down, up)]
    ours = JoinedProduct.apply(rows, wide, bias, down, up, 0.7)
    theirs = rows @ weight.T + bias + 0.7 * (rows @ down.T @ up.T)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(theirs)
    torch.testing.assert_close(
        torch.autograd.grad((ours * weights).sum(), leaves),
        torch.autograd.grad((theirs * weights).sum(), leaves),
        rtol=1e-12,
        atol=1e-12,
    )


def test_joined_weights_are_the_base_itself_and_follow_it() -> None:
    layer = bf16_layer()
    add_in_place(layer)
    inputs = torch.ones(1, 32, dtype=torch.bfloat16)
    before = layer.base_layer.weight.clone()
    with torch.no_grad():
        first = layer(inputs)
        wide = layer.base_layer.wide_weight
        layer(inputs)
        assert layer.base_layer.wide_weight is wide
        assert wide.data_ptr() == layer.base_layer.weight.data_ptr()
        assert torch.equal(layer.base_layer.weight, before)
        layer.base_layer.weight.data = 2 * before
        assert not torch.equal(layer(inputs), first)
        layer.lora_B["default"].weight.mul_(-3000)
        assert (layer(inputs) < first).all()
