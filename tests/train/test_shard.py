"""Two processes that each hold half of the frozen base train as one that holds all of it, to rounding."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor

from burnish.errors import BaseModelError
from burnish.generate.decode import decode
from burnish.model.adapter import AdapterCard, save_adapter
from burnish.train.loop import example_losses, loss_per_token
from burnish.train.ranks import ALONE, Ranks, join_ranks
from burnish.train.shard import follow, lead, shard_base
from tests.tiny import adapt, build_exact_model, random_examples
from tests.train.test_fit import OPTIONS
from tests.train.test_ranks import CASES as REPLICATED
from tests.train.test_ranks import check_equal, check_resumed, fit_cases, fit_tiny, run_main

LONG_PREFIX = random_examples(9, 70, seed=3)  # long enough to be kept for several packs, on a rank that has two
CASES = {
    **REPLICATED,
    "recomputed": replace(REPLICATED["even"], recompute_layers=True),
    "long prefix": replace(OPTIONS, epochs=1, batch_size=3, micro_batch_tokens=80),
    "padded": replace(OPTIONS, epochs=1, savings=replace(OPTIONS.savings, packing=False)),
}
EXAMPLES = {"long prefix": LONG_PREFIX}
CPU = torch.device("cpu")


def answers(model: object) -> dict[str, torch.Tensor]:
    """What the first rank finds on its own."""
    prompts = [example.input_ids[:9] for example in LONG_PREFIX]
    found = decode(model, prompts, max_new_tokens=5, end_ids=frozenset([256]), batch_size=4)
    losses = example_losses(model, LONG_PREFIX, micro_batch_tokens=100)
    return {"losses": losses, "tokens": torch.tensor([token for answer in found for token in answer.token_ids])}


def main(folder: Path) -> None:
    """What each of the two processes does."""
    with join_ranks() as joined:
        ranks = replace(joined, shards_base=True)
        fit_cases(folder, ranks, CASES, EXAMPLES)
        use(folder, ranks)


def use(folder: Path, ranks: Ranks) -> None:
    """The first rank answers before there is an adapter and with it, and saves it; then both take a loss."""
    model = build_exact_model()
    shard_base(model, CPU, ranks)
    for name in ("base", "adapted"):
        if ranks.is_first:
            with lead(model, ranks):
                save_file(answers(model), folder / f"{name}.safetensors")
        else:
            follow(model, ranks)
        if name == "base":
            held = {n: p.to_local().numel() if isinstance(p, DTensor) else -1 for n, p in model.named_parameters()}
            (folder / f"held-{ranks.rank}.json").write_text(json.dumps(held))
            model = adapt(model)
    if ranks.is_first:
        save_adapter(model, folder, CARD)
    loss = loss_per_token(model, LONG_PREFIX, micro_batch_tokens=100, ranks=ranks)
    (folder / f"loss-{ranks.rank}.json").write_text(json.dumps(loss))


CARD = AdapterCard("run", "tiny", "", "", "", 1.0, "generation", "", (), (), 5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_main("tests.train.test_shard", tmp_path_factory.mktemp("shards"))


@pytest.mark.parametrize("case", CASES)
def test_ranks_with_half_of_the_base_equal_one_with_all_of_it(trained: Path, tmp_path: Path, case: str) -> None:
    alone = fit_tiny(tmp_path, CASES[case], ALONE, examples=EXAMPLES.get(case))
    check_equal(trained, tmp_path, case, alone)


def test_ranks_that_were_stopped_go_on_bit_for_bit(trained: Path) -> None:
    check_resumed(trained)


def test_each_rank_holds_half_of_the_layers_and_all_of_the_rest(trained: Path) -> None:
    whole = {name: parameter.numel() for name, parameter in build_exact_model().named_parameters()}
    first, second = (json.loads((trained / f"held-{rank}.json").read_text()) for rank in range(2))
    assert first.keys() == second.keys() == whole.keys()
    for name, size in whole.items():
        wanted = size if ".layers." in name else -2
        assert first[name] + second[name] == wanted, name
    layers = sum(size for name, size in whole.items() if ".layers." in name)
    assert sum(size for size in first.values() if size > 0) == pytest.approx(layers / 2, rel=0.01)


def test_the_first_rank_uses_the_model_while_the_others_follow(trained: Path) -> None:
    model = build_exact_model()
    for name in ("base", "adapted"):
        found = load_file(trained / f"{name}.safetensors")
        wanted = answers(model)
        torch.testing.assert_close(found["losses"], wanted["losses"], rtol=1e-10, atol=0)
        assert torch.equal(found["tokens"], wanted["tokens"])
        model = adapt(model) if name == "base" else model
    loss = loss_per_token(model, LONG_PREFIX, micro_batch_tokens=100)
    for rank in range(2):
        assert json.loads((trained / f"loss-{rank}.json").read_text()) == pytest.approx(loss, rel=1e-10)


def test_the_adapter_is_saved_as_ever(trained: Path, tmp_path: Path) -> None:
    save_adapter(adapt(build_exact_model()), tmp_path, CARD)
    ours, whole = (load_file(folder / "adapter_model.safetensors") for folder in (trained, tmp_path))
    assert ours.keys() == whole.keys()
    assert all(torch.equal(ours[name], whole[name]) for name in whole)


def test_a_base_without_a_list_of_layers_is_refused() -> None:
    model = build_exact_model()
    model.model.layers = torch.nn.Sequential(*model.model.layers)
    with pytest.raises(BaseModelError, match=r"Starcoder2Model: no list of layers .* Set train\.shard_base=false"):
        shard_base(model, CPU, Ranks(0, 2, shards_base=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
