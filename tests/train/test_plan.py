"""The memory plan: what the rehearsal counts is what the real model keeps, and the cheapest way that fits is taken."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from burnish.data import RenderedExample
from burnish.model.adapter import adapter_parameters, attach_adapter, recompute_layers
from burnish.train.forecast import Rehearsal, StepSettings, bytes_kept, heaviest
from burnish.train.loop import start_training, train
from burnish.train.pack import batches_for
from burnish.train.plan import SHARE_OF_FREE, Plan, make_plan
from tests.tiny import adapt, build_model, random_examples
from tests.train.test_fit import OPTIONS

EXAMPLES = random_examples(8, 13)


def attach(model: Any) -> Any:
    return attach_adapter(model, rank=4, alpha=8, dropout=0.0, target_modules="all-linear", seed=0)


def rehearse(layers: int = 2) -> Rehearsal:
    return Rehearsal(build_model(num_hidden_layers=layers).config, attach, torch.float32)


@pytest.mark.parametrize("layers", [2, 5])
@pytest.mark.parametrize("is_recomputed", [False, True])
def test_the_rehearsal_counts_what_the_real_model_keeps(layers: int, is_recomputed: bool) -> None:
    real = attach(build_model(dtype=torch.float32, num_hidden_layers=layers)).train()
    recompute_layers(real, is_recomputed)
    with batches_for(real, EXAMPLES, max_tokens=10_000) as batches:
        kept = sum(bytes_kept(real, batch) for batch in batches)
    rehearsal, settings = rehearse(layers), StepSettings(10_000, is_recomputed)
    assert rehearsal.kept_bytes(EXAMPLES, settings) == kept


def test_the_weights_are_counted() -> None:
    model = build_model(num_hidden_layers=5)
    wanted = sum(p.numel() for p in model.parameters()) * 4
    assert Rehearsal(model.config, attach, torch.float32).weight_bytes == wanted


def test_recomputed_layers_keep_less_and_cost_more() -> None:
    rehearsal = rehearse(5)
    plain, again = StepSettings(10_000), StepSettings(10_000, recompute_layers=True)
    assert rehearsal.kept_bytes(EXAMPLES, again) < 0.3 * rehearsal.kept_bytes(EXAMPLES, plain)
    assert rehearsal.operations(EXAMPLES, again) > rehearsal.operations(EXAMPLES, plain)


def test_operations_of_a_step_are_counted_by_hand() -> None:
    example = RenderedExample("row:1", tuple(range(10)), (False,) * 8 + (True,) * 2, 8)
    per_layer = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48  # q and o, k and v, gate, up and down
    adapter = 4 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 48))
    tokens, learned, pairs = 9, 2, 9 * 9
    wanted = 2 * tokens * (4 * per_layer + 6 * adapter) + 4 * 32 * 258 * learned + 12 * 32 * 2 * pairs
    assert rehearse().operations([example], StepSettings(100)) == wanted


def plan(bytes_free: int, **options: Any) -> Plan:
    return make_plan(rehearse(5), [EXAMPLES], StepSettings(512), bytes_free=bytes_free, **options)


def test_with_room_nothing_changes() -> None:
    roomy = plan(10**12)
    assert (roomy.max_tokens, roomy.recompute_layers, roomy.fits) == (512, False, True)


def test_smaller_batches_come_before_recomputed_layers() -> None:
    most = plan(10**12).bytes_needed
    found = [plan(int(share * most / SHARE_OF_FREE)) for share in (0.999, 0.8, 0.3)]
    assert found[0].max_tokens < 512 and not found[0].recompute_layers
    tokens = [way.max_tokens for way in found if not way.recompute_layers]
    assert tokens == sorted(tokens, reverse=True)
    assert found[-1].recompute_layers


def test_what_cannot_fit_is_said() -> None:
    tight = plan(1000)
    assert not tight.fits and "may not fit" in str(tight)
    assert tight.max_tokens == max(example.length for example in EXAMPLES) and tight.recompute_layers


def test_what_the_recipe_settles_stands() -> None:
    assert plan(1000, may_shrink=False, recompute=False).max_tokens == 512
    assert not plan(1000, may_shrink=False, recompute=False).recompute_layers
    assert plan(10**12, recompute=True).recompute_layers


def test_the_base_is_shared_where_it_does_not_fit_one_rank() -> None:
    """Of five layers each of ten ranks holds a half; two more stand in full while they are computed."""
    whole, rest = (rehearse(layers).weight_bytes for layers in (5, 0))
    layer = (whole - rest) // 5
    assert rehearse(5).sharded_bytes(10) == rest + 2.5 * layer
    assert rehearse(2).sharded_bytes(2) == rehearse(2).weight_bytes
    only = {"may_shrink": False, "recompute": True}
    tight = int((plan(1000, num_ranks=10, **only).bytes_needed + layer) / SHARE_OF_FREE)
    shared = plan(tight, num_ranks=10, **only)
    assert shared.fits and shared.shards_base
    alone = plan(tight, shard=True, **only)  # has nobody to share with
    assert not alone.fits and not alone.shards_base
    assert not plan(tight, num_ranks=10, shard=False, **only).fits
    assert not plan(10**12, num_ranks=10, **only).shards_base
    assert plan(10**12, num_ranks=10, shard=True, **only).shards_base


def test_the_heaviest_step_has_the_longest_example() -> None:
    short, long = random_examples(4, 0, seed=1, longest=10), random_examples(1, 0, seed=2, longest=60)
    assert heaviest([short, long]) == long


def adapter_after(is_recomputed: bool, max_tokens: int, dropout: float) -> dict[str, torch.Tensor]:
    model = adapt(build_model(), dropout=dropout)
    options = replace(OPTIONS, epochs=2, micro_batch_tokens=max_tokens, recompute_layers=is_recomputed)
    torch.manual_seed(0)
    for _ in train(start_training(model, options), random_examples(8, 70), options):
        pass
    return {name: parameter.detach() for name, parameter in adapter_parameters(model).items()}


@pytest.mark.parametrize("max_tokens", [10_000, 100])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_recomputed_layers_train_the_same_adapter(max_tokens: int, dropout: float) -> None:
    """With 100 tokens a pack the prefix of 70 is kept in a pack of its own."""
    kept, again = (adapter_after(is_recomputed, max_tokens, dropout) for is_recomputed in (False, True))
    for name, tensor in kept.items():
        torch.testing.assert_close(again[name], tensor, rtol=1e-9, atol=1e-11)
