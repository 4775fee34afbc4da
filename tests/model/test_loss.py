"""The chunked loss through a frozen head is cross-entropy: values, gradients, and when it must not be used."""

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, Gemma2Config, GraniteConfig

from burnish.data import RenderedExample
from burnish.model import loss
from burnish.model.loss import FrozenHeadLoss, find_frozen_head, supervised_logits, token_losses
from burnish.train.pack import batches_for
from burnish.train.savings import Savings
from tests.tiny import adapt, build_exact_model, random_examples

SMALL = {
    "vocab_size": 61,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}


def tensors(rows: int = 23) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(rows, 7, generator=generator, dtype=torch.float64)
    head = torch.randn(31, 7, generator=generator, dtype=torch.float64)
    return hidden, head, torch.randint(31, (rows,), generator=generator)


@pytest.mark.parametrize("rows_per_chunk", [1, 4, 23, 1000])
def test_values_and_gradients_are_those_of_cross_entropy(monkeypatch: pytest.MonkeyPatch, rows_per_chunk: int) -> None:
    monkeypatch.setattr(loss, "ROWS_PER_CHUNK", rows_per_chunk)
    hidden, head, targets = tensors()
    weights = torch.linspace(-1, 2, len(targets), dtype=torch.float64)  # some negative, one zero
    results = []
    for chunked in (True, False):
        own = hidden.clone().requires_grad_()
        losses = (
            FrozenHeadLoss.apply(own, head, targets)
            if chunked
            else cross_entropy(own @ head.T, targets, reduction="none")
        )
        (losses * weights).sum().backward()
        results.append((losses.detach(), own.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)


def test_no_rows() -> None:
    hidden, head, targets = tensors(0)
    hidden.requires_grad_()
    losses = FrozenHeadLoss.apply(hidden, head, targets)
    losses.sum().backward()
    assert losses.shape == (0,)
    assert hidden.grad is not None
    assert hidden.grad.shape == (0, 7)


def test_extreme_logits_stay_finite() -> None:
    hidden, head, targets = tensors()
    hidden = (hidden * 1e4).requires_grad_()
    losses = FrozenHeadLoss.apply(hidden, head, targets)
    losses.sum().backward()
    torch.testing.assert_close(losses, cross_entropy(hidden @ head.T, targets, reduction="none"))
    assert hidden.grad is not None
    assert hidden.grad.isfinite().all()


def test_half_precision_sums_in_fp32() -> None:
    hidden, head, targets = tensors()
    half = hidden.bfloat16().requires_grad_()
    losses = FrozenHeadLoss.apply(half, head.bfloat16(), targets)
    assert losses.dtype == torch.float32
    wanted = cross_entropy((half @ head.bfloat16().T).float(), targets, reduction="none")
    torch.testing.assert_close(losses, wanted)


def adapted(model: Any, targets: str | list[str] = "all-linear") -> Any:
    return adapt(model, dropout=0.3, target_modules=targets).eval()


PACKED, PADDED = Savings(), Savings(packing=False)


@pytest.fixture(params=[PACKED, PADDED], ids=["packed", "padded"])
def savings(request: pytest.FixtureRequest) -> Savings:
    return request.param


def assert_losses_are_those_of_the_logits(
    model: Any, examples: list[RenderedExample], savings: Savings, *, through_head: bool
) -> None:
    with batches_for(model, examples, max_tokens=100, savings=savings) as batches:
        for batch in batches:
            assert (find_frozen_head(model, batch) is not None) == through_head
            wanted = cross_entropy(supervised_logits(model, batch), batch.targets_S, reduction="none")
            for switches in ({}, {"chunked": False}, {"supervised_logits_only": False}):
                got = token_losses(model, batch, **switches)
                torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


def test_a_plain_head_is_used_and_gives_the_same(savings: Savings) -> None:
    model = adapted(build_exact_model())
    assert_losses_are_those_of_the_logits(model, random_examples(5, 9), savings, through_head=True)


def test_an_adapted_head_takes_the_plain_way(savings: Savings) -> None:
    model = adapted(build_exact_model(), ["q_proj", "lm_head"])
    assert_losses_are_those_of_the_logits(model, random_examples(5, 9), savings, through_head=False)


@pytest.mark.parametrize(
    "config",
    [Gemma2Config(**SMALL, final_logit_softcapping=3.0, pad_token_id=0), GraniteConfig(**SMALL, logits_scaling=4.0)],
    ids=["capped", "scaled"],
)
def test_capped_or_scaled_logits_take_the_plain_way(config: Any, savings: Savings) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = adapted(AutoModelForCausalLM.from_config(config).double().requires_grad_(False).eval())
    examples = [
        RenderedExample(e.id, tuple(t % 61 for t in e.input_ids), e.loss_mask, e.prompt_length)
        for e in random_examples(4, 9)
    ]
    assert_losses_are_those_of_the_logits(model, examples, savings, through_head=False)


def test_the_trial_of_a_model_leaves_dropout_and_the_random_state_alone(savings: Savings) -> None:
    model = adapted(build_exact_model()).train()
    before = torch.get_rng_state()
    with batches_for(model, random_examples(2, 9), max_tokens=100, savings=savings) as batches:
        assert find_frozen_head(model, next(batches)) is not None
    assert torch.equal(torch.get_rng_state(), before)
    assert all(module.training for module in model.modules())
