"""The chunked loss through a frozen head is cross-entropy: values, gradients, and when it must not be used."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, Gemma2Config, GraniteConfig

from burnish.data import RenderedExample
from burnish.model import head as reading
from burnish.model import loss
from burnish.model.head import UNMARKED, FrozenHead, read_head
from burnish.model.loss import find_frozen_head, head_losses, logits_in_pieces, supervised_logits, token_losses
from burnish.train.pack import batches_for
from burnish.train.savings import Savings
from tests.tiny import EXACT_KINDS, adapt, build_exact_model, random_examples

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


def cut_small(monkeypatch: pytest.MonkeyPatch, rows: int, logits: int) -> None:
    monkeypatch.setattr(reading, "ROWS_AT_ONCE", rows)
    monkeypatch.setattr(reading, "LOGITS_AT_ONCE", logits)


SIZES = pytest.mark.parametrize(("rows", "logits"), [(1, 1), (1, 31), (4, 12), (23, 23), (1000, 400), (1000, 10_000)])


@SIZES
def test_values_and_gradients_are_those_of_cross_entropy(
    monkeypatch: pytest.MonkeyPatch, rows: int, logits: int
) -> None:
    cut_small(monkeypatch, rows, logits)
    hidden, head, targets = tensors()
    weights = torch.arange(-7, 16, dtype=torch.float64) / 5  # some negative, one zero
    assert weights.eq(0).any()
    results = []
    for chunked in (True, False):
        own = hidden.clone().requires_grad_()
        losses = head_losses(own, head, targets) if chunked else cross_entropy(own @ head.T, targets, reduction="none")
        (losses * weights).sum().backward()
        results.append((losses.detach(), own.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)


IGNORED = -100


def assert_is_weighted_cross_entropy() -> None:
    """With a weight for each token (the upstream gradient), a third of them zero, and rows that are not learned."""
    hidden, head, targets = tensors()
    labels = torch.where(torch.arange(23) % 5 == 2, IGNORED, targets)
    weights = torch.arange(-7, 16, dtype=torch.float64) * (torch.arange(23) % 3 > 0)
    own, plain = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    rows = (labels != IGNORED).nonzero()[:, 0]
    losses = loss.head_losses(own[rows], head, labels[rows])
    (losses * weights[rows]).sum().backward()
    wanted = cross_entropy(plain @ head.T, labels, reduction="none", ignore_index=IGNORED)
    (wanted * weights).sum().backward()
    torch.testing.assert_close(losses, wanted[rows], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(own.grad, plain.grad, rtol=1e-12, atol=1e-12)
    unlearned = (labels == IGNORED) | (weights == 0)
    assert own.grad is not None
    assert torch.equal(own.grad.abs().sum(-1) == 0, unlearned)


@SIZES
def test_weighted_tokens_and_rows_that_are_not_learned(monkeypatch: pytest.MonkeyPatch, rows: int, logits: int) -> None:
    cut_small(monkeypatch, rows, logits)
    assert_is_weighted_cross_entropy()


def test_a_row_that_predicts_for_several_examples() -> None:
    hidden, head, targets = tensors()
    rows, weights = torch.tensor([3, 0, 3, 3, 22]), torch.tensor([2.0, 0.0, -1.0, 0.5, 0.0], dtype=torch.float64)
    own, plain = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    (head_losses(own[rows], head, targets[:5]) * weights).sum().backward()
    (cross_entropy((plain @ head.T)[rows], targets[:5], reduction="none") * weights).sum().backward()
    torch.testing.assert_close(own.grad, plain.grad, rtol=1e-12, atol=1e-12)


def forget_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    real = FrozenHead.backward
    means = staticmethod(lambda ctx, *upstream: real(ctx, *(u.mean(0, keepdim=True).expand_as(u) for u in upstream)))
    monkeypatch.setattr(FrozenHead, "backward", means)


def forget_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the target counted among the others as well."""
    monkeypatch.setattr(torch.Tensor, "scatter_reduce_", lambda tensor, *_: tensor)


def forget_the_running_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LOGITS_AT_ONCE", 100)
    monkeypatch.setattr(torch.Tensor, "mul_", lambda tensor, _: tensor)


def forget_the_last_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a last chunk that is not full were left out."""
    real = loss.head_losses
    weights = torch.arange(18) < 16
    monkeypatch.setattr(loss, "head_losses", lambda *tensors: real(*tensors) * weights)


@pytest.mark.parametrize(
    "fault", [forget_the_weights, forget_the_target, forget_the_running_maximum, forget_the_last_rows]
)
def test_a_fault_in_the_loss_is_noticed(monkeypatch: pytest.MonkeyPatch, fault: Callable[..., None]) -> None:
    assert_is_weighted_cross_entropy()
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        assert_is_weighted_cross_entropy()


@SIZES
def test_marked_tokens_and_the_rest(monkeypatch: pytest.MonkeyPatch, rows: int, logits: int) -> None:
    cut_small(monkeypatch, rows, logits)
    hidden, head, _ = tensors()
    generator = torch.Generator().manual_seed(5)
    marked = torch.stack([torch.randperm(31, generator=generator)[:4] for _ in hidden])
    marked[::3, 2:] = UNMARKED  # some rows have fewer marks
    marked[0] = torch.tensor([30, 0, UNMARKED, UNMARKED])  # the ends, where marks of other slices are put, too
    own, plain = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    known, rest = read_head(own, head, marked)
    all_logits = plain @ head.T
    is_marked = torch.zeros(23, 32, dtype=torch.bool).scatter_(1, marked % 32, True)[:, :31]  # UNMARKED is put aside
    wanted_rest = all_logits.masked_fill(is_marked, -torch.inf).logsumexp(1)
    assert torch.equal(known.isinf(), marked == UNMARKED)
    is_known = marked != UNMARKED
    wanted = all_logits.gather(1, marked.clamp(min=0))
    torch.testing.assert_close(known[is_known], wanted[is_known], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(rest, wanted_rest, rtol=1e-12, atol=1e-12)
    weights = torch.randn(23, 5, generator=generator, dtype=torch.float64)
    (known[is_known] * weights[:, :4][is_known]).sum().add((rest * weights[:, 4]).sum()).backward()
    (wanted[is_known] * weights[:, :4][is_known]).sum().add((wanted_rest * weights[:, 4]).sum()).backward()
    torch.testing.assert_close(own.grad, plain.grad, rtol=1e-12, atol=1e-12)


def test_a_sure_prediction_keeps_its_gradient() -> None:
    """The gradient of a target with a probability near 1 is tiny, and still right to six digits in fp32."""
    head = torch.eye(4)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        hidden = torch.tensor([[18.0, 1.0, 0.0, 0.5]], dtype=dtype).requires_grad_()
        head_losses(hidden, head.to(dtype), torch.tensor([0])).sum().backward()
        assert hidden.grad is not None
        gradients.append(hidden.grad.double())
    assert 0 < gradients[1].abs().max() < 1e-6
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=0)


def test_no_rows() -> None:
    hidden, head, targets = tensors(0)
    hidden.requires_grad_()
    losses = head_losses(hidden, head, targets)
    losses.sum().backward()
    assert losses.shape == (0,)
    assert hidden.grad is not None
    assert hidden.grad.shape == (0, 7)


def test_extreme_logits_stay_finite() -> None:
    hidden, head, targets = tensors()
    hidden = (hidden * 1e4).requires_grad_()
    losses = head_losses(hidden, head, targets)
    losses.sum().backward()
    torch.testing.assert_close(losses, cross_entropy(hidden @ head.T, targets, reduction="none"))
    assert hidden.grad is not None
    assert hidden.grad.isfinite().all()


def test_half_precision_sums_in_fp32() -> None:
    hidden, head, targets = tensors()
    half = hidden.bfloat16().requires_grad_()
    losses = head_losses(half, head.bfloat16(), targets)
    assert losses.dtype == torch.float32
    wanted = cross_entropy((half @ head.bfloat16().T).float(), targets, reduction="none")
    torch.testing.assert_close(losses, wanted)


def adapted(model: Any, targets: str | list[str] = "all-linear") -> Any:
    return adapt(model, dropout=0.3, target_modules=targets).eval()


PACKED, PADDED = Savings(), Savings(packing=False)


@pytest.fixture(params=[PACKED, PADDED], ids=["packed", "padded"])
def savings(request: pytest.FixtureRequest) -> Savings:
    return request.param


ROWS_AT_ONCE = 7


@pytest.fixture(autouse=True)
def few_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of logits that are made in pieces, so that there are several."""
    monkeypatch.setattr(loss, "ROWS_AT_ONCE", ROWS_AT_ONCE)


def assert_losses_are_those_of_the_logits(
    model: Any, examples: list[RenderedExample], savings: Savings, *, through_head: bool
) -> None:
    with batches_for(model, examples, max_tokens=100, savings=savings) as batches:
        for batch in batches:
            assert (find_frozen_head(model, batch) is not None) == through_head
            logits_SV = supervised_logits(model, batch)
            pieces = list(logits_in_pieces(model, batch))
            assert [len(piece) for piece in pieces] == [len(piece) for piece in torch.split(logits_SV, ROWS_AT_ONCE)]
            torch.testing.assert_close(torch.cat(pieces), logits_SV, rtol=1e-10, atol=1e-10)
            wanted = cross_entropy(logits_SV, batch.targets_S, reduction="none")
            for switches in ({}, {"chunked": False}, {"supervised_logits_only": False}):
                got = token_losses(model, batch, **switches)
                torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


def test_a_plain_head_is_used_and_gives_the_same(savings: Savings) -> None:
    model = adapted(build_exact_model())
    assert_losses_are_those_of_the_logits(model, random_examples(5, 9), savings, through_head=True)


@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_weighted_tokens_through_a_whole_model(kind: str, savings: Savings) -> None:
    model, examples = adapted(build_exact_model(kind, sliding_window=7)), random_examples(5, 9)
    weights = torch.randint(-1, 3, (5, 60), generator=torch.Generator().manual_seed(0)).double()  # by example and token

    for number, example in enumerate(examples):
        labels = torch.tensor(example.input_ids).where(torch.tensor(example.loss_mask), IGNORED)[1:]
        logits = model(input_ids=torch.tensor([example.input_ids])).logits[0, :-1]
        losses = cross_entropy(logits, labels, reduction="none", ignore_index=IGNORED)
        (losses * weights[number, : len(labels)]).sum().backward()
    wanted = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    learned = [[t - 1 for t, is_learned in enumerate(example.loss_mask) if is_learned] for example in examples]
    with batches_for(model, examples, max_tokens=100, savings=savings) as batches:
        for batch in batches:
            positions = [learned[owner].pop(0) for owner in batch.owners_S.tolist()]  # in order within an example
            (token_losses(model, batch) * weights[batch.owners_S, positions]).sum().backward()
    assert learned == [[]] * 5
    assert len(wanted) > 0
    for name, parameter in model.named_parameters():
        if name in wanted:
            torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-10, atol=1e-10)


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
