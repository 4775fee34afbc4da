"""One optimizer step moves the parameters by the plain formula, however it is cut into micro-batches."""

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

from burnish.model.adapter import adapter_parameters
from burnish.train import pack
from burnish.train.savings import Savings
from tests.tiny import EXACT_KINDS, adapt, build_exact_model, random_examples
from tests.train.equivalence import assert_same_step, assert_same_tensors, one_by_one, stepped

EXAMPLES = random_examples(8, 13, seed=4)
# Tokens of a micro-batch, how many there are, and what is saved.
CUTS = {
    "8 micro-batches of 1": (1, 8, Savings(shared_prefix=False)),
    "the prefix and 8 of 1": (1, 9, Savings()),
    "8 of 1, the prefix in each": (1, 8, Savings(prefix_once=False)),
    "8 padded of 1": (1, 8, Savings(packing=False)),
    "1 padded of 8": (10_000, 1, Savings(packing=False)),
    "all logits at once": (10_000, 1, Savings(supervised_logits=False, chunked_loss=False)),
}


@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [(kind, torch.optim.SGD) for kind in EXACT_KINDS if kind != "starcoder2"] + [("starcoder2", torch.optim.AdamW)],
)
def test_a_step_of_8_examples_is_8_micro_batches_of_1(
    monkeypatch: pytest.MonkeyPatch, kind: str, optimizer: type[torch.optim.Optimizer]
) -> None:
    monkeypatch.setattr(pack, "MIN_KEPT", 8)
    assert len({example.num_supervised for example in EXAMPLES}) > 4  # else a mean of means would do
    whole = stepped(adapt(build_exact_model(kind, sliding_window=7)), EXAMPLES, 1, optimizer=optimizer)
    for max_tokens, num_batches, savings in CUTS.values():
        model = adapt(build_exact_model(kind, sliding_window=7))
        assert_same_step(stepped(model, EXAMPLES, num_batches, max_tokens, savings, optimizer), whole)


@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_a_step_is_the_plain_formula(kind: str) -> None:
    """Sum over supervised tokens / their number, clipped, once: p - lr (g + weight decay p)."""
    model = adapt(build_exact_model(kind, sliding_window=7))
    losses, gradients = one_by_one(model, EXAMPLES)
    count, parameters = sum(example.num_supervised for example in EXAMPLES), adapter_parameters(model)
    wanted = {name: p.detach().clone().requires_grad_() for name, p in parameters.items()}
    for name, parameter in wanted.items():
        parameter.grad = gradients[name] / count
    norm = clip_grad_norm_(list(wanted.values()), 0.5).item()
    metrics, got = stepped(model, EXAMPLES, 1)
    assert metrics.loss_per_token == pytest.approx(sum(losses) / count, rel=1e-12)
    assert metrics.grad_norm == pytest.approx(norm, rel=1e-10)
    assert norm > 0.5
    assert_same_tensors(got, {name: (p - 0.1 * (p.grad + 0.01 * p)).detach() for name, p in wanted.items()})
