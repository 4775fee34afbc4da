"""Two processes that train together equal one, to rounding; their stopped run goes on bit for bit."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from burnish.data import RenderedExample
from burnish.errors import Interrupted
from burnish.files import read_json
from burnish.model.adapter import adapter_parameters
from burnish.train.fit import FitEvents, FitOptions, fit
from burnish.train.loop import TrainOptions
from burnish.train.ranks import ALONE, Ranks, join_ranks
from burnish.train.shard import shard_base
from tests.tiny import adapt, build_exact_model, own_cache, random_examples, save_base
from tests.train.test_fit import OPTIONS, VALIDATION

EXAMPLES = random_examples(9, 13, seed=1)  # not a multiple of two, or of the batch
CASES = {
    "even": replace(OPTIONS, epochs=2, batch_size=4),
    "one example a step": replace(OPTIONS, epochs=1, batch_size=1),
    "tiny batches": replace(OPTIONS, epochs=1, batch_size=4, micro_batch_tokens=1),
}


def fit_tiny(
    folder: Path,
    options: TrainOptions,
    ranks: Ranks,
    stop_after: int | None = None,
    examples: Sequence[RenderedExample] | None = None,
) -> dict[str, Any]:
    """Train the float64 model; returns what came out, for comparison. Rank 1 is the one that asks for a stop."""
    base = build_exact_model()
    if ranks.shards_base:
        shard_base(base, torch.device("cpu"), ranks)
    model = adapt(base)
    done = 0

    def count(*_: Any) -> None:
        nonlocal done
        done += 1

    result = fit(
        model,
        examples or EXAMPLES,
        VALIDATION,
        options=options,
        fit_options=FitOptions(validations_per_epoch=2, patience=9, checkpoint_s=0.0),
        checkpoints=folder / "checkpoints",
        metrics_path=folder / "metrics.jsonl",
        events=FitEvents(on_step=count, should_stop=lambda: done == stop_after and ranks.rank == ranks.count - 1),
        ranks=ranks,
    )
    tensors = {name: p.detach().clone() for name, p in adapter_parameters(model).items()}
    return {"validations": [(each.step, each.loss) for each in result.validations], "tensors": tensors}


def main(folder: Path) -> None:
    """What each of the two processes does."""
    with join_ranks() as ranks:
        fit_cases(folder, ranks, CASES)


def fit_cases(
    folder: Path,
    ranks: Ranks,
    cases: Mapping[str, TrainOptions],
    examples: Mapping[str, Sequence[RenderedExample]] | None = None,
) -> None:
    """Train each case, "even" once more with a stop, and leave what came out; some cases have examples of their own."""
    for name, options in cases.items():
        found = fit_tiny(folder / name, options, ranks, examples=(examples or {}).get(name))
        save_file(found["tensors"], folder / f"{name}-{ranks.rank}.safetensors")
        (folder / f"{name}-{ranks.rank}.json").write_text(json.dumps(found["validations"]))
    try:
        fit_tiny(folder / "stopped", cases["even"], ranks, stop_after=3)
    except Interrupted:
        found = fit_tiny(folder / "stopped", cases["even"], ranks)
        save_file(found["tensors"], folder / f"stopped-{ranks.rank}.safetensors")


def torchrun(*words: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
    return subprocess.run(
        [*command, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_main("tests.train.test_ranks", tmp_path_factory.mktemp("ranks"))


def run_main(module: str, folder: Path) -> Path:
    """The folder, after two processes have run the `main` of a test module."""
    done = torchrun("-m", module, folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_equal_one(trained: Path, tmp_path: Path, case: str) -> None:
    check_equal(trained, tmp_path, case, fit_tiny(tmp_path, CASES[case], ALONE))


def check_equal(trained: Path, alone_folder: Path, case: str, alone: dict[str, Any]) -> None:
    """That both ranks in `trained` came to what one process came to, and logged it."""
    for rank in range(2):
        tensors = load_file(trained / f"{case}-{rank}.safetensors")
        for name, tensor in alone["tensors"].items():
            torch.testing.assert_close(tensors[name], tensor, rtol=1e-9, atol=1e-11)
        validations = json.loads((trained / f"{case}-{rank}.json").read_text())
        assert [step for step, _ in validations] == [step for step, _ in alone["validations"]]
        assert [loss for _, loss in validations] == pytest.approx([loss for _, loss in alone["validations"]], rel=1e-10)
    first, own = ((path / "metrics.jsonl").read_text().splitlines() for path in (trained / case, alone_folder))
    for ours, theirs in zip(map(json.loads, first), map(json.loads, own), strict=True):
        assert ours["loss_per_token"] == pytest.approx(theirs["loss_per_token"], rel=1e-10)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-9)
        assert ours["supervised_tokens"] == theirs["supervised_tokens"]


def test_ranks_that_were_stopped_by_one_of_them_go_on_bit_for_bit(trained: Path) -> None:
    check_resumed(trained)


def check_resumed(trained: Path) -> None:
    """That "even", stopped and gone on with, came to the same bits on both ranks."""
    for rank in range(2):
        whole, parts = (load_file(trained / f"{name}-{rank}.safetensors") for name in ("even", "stopped"))
        assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, and beside it what one process makes of it."""
    folder = tmp_path_factory.mktemp("job")
    base, data, recipe = save_base(folder / "base"), folder / "data.jsonl", folder / "recipe.toml"
    texts = [f"{word} {n}" for n in range(30) for word in ("red", "green")]
    data.write_text("".join(json.dumps({"text": text, "label": text.split()[0]}) + "\n" for text in texts))
    recipe.write_text(
        f'task = "classification"\ndata.train = "{data}"\nmodel.base = "{base}"\ntrain.epochs = 2\n'
        'train.precision = "fp32"\n'
        "retention.budget = 0.001\nretention.replay = 0\n"  # the second epoch's adapter is judged smaller
        "retention.num_prompts = 4\nretention.answer_tokens = 4\nevaluate.num_resamples = 200\n"
        'evaluate.arms = ["zero_shot", "few_shot"]\n'
    )
    subprocess.run(
        [sys.executable, "-m", "burnish", "run", str(recipe), f"output.folder={folder / 'alone'}"],
        capture_output=True,
        check=True,
        env={**os.environ, "BURNISH_CACHE": own_cache(folder)},
    )
    return folder


@pytest.mark.parametrize("is_sharded", [False, True])
def test_torchrun_does_the_whole_job(alone: Path, tmp_path: Path, is_sharded: bool) -> None:
    output = [f"output.folder={tmp_path}", f"train.shard_base={str(is_sharded).lower()}"]
    words = ["-m", "burnish", "run", alone / "recipe.toml", *output, "--json"]
    done = torchrun(*words, BURNISH_CACHE=own_cache(tmp_path / "other"))  # asks the base again
    assert done.returncode == 0, done.stderr[-3000:]
    assert ("divided among 2 ranks" in done.stderr) is is_sharded
    shown = json.loads(done.stdout)  # one rank talks
    (run,), (other,) = (
        [path.parent for path in place.glob("*/evaluation.json")] for place in (tmp_path, alone / "alone")
    )
    assert shown["run_id"] == read_json(run / "evaluation.json")["run_id"] == run.name
    ours, theirs = (load_file(path / "adapter" / "adapter_model.safetensors") for path in (run, other))
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=1e-5)
    judged, as_alone = (read_json(path / "evaluation.json")["training"]["validation"] for path in (run, other))
    for each, alike in zip(judged, as_alone, strict=True):
        assert each["forgotten"]["scale"] == alike["forgotten"]["scale"]
        assert each["forgotten"]["nll_change"] == pytest.approx(alike["forgotten"]["nll_change"], rel=1e-3)
        assert each["loss_per_token"] == pytest.approx(alike["loss_per_token"], rel=1e-4)
    assert min(each["forgotten"]["scale"] for each in judged) < 1
    scores, wanted = (
        [arm["score"]["value"] for arm in read_json(path / "evaluation.json")["arms"]] for path in (run, other)
    )
    assert scores == wanted


@pytest.mark.parametrize("lengths", [[], [5], [3, 3, 3], [9, 1, 1, 1, 1, 5, 2]])
def test_every_example_has_one_rank(lengths: list[int]) -> None:
    shares = [Ranks(rank, 3).share(lengths) for rank in range(3)]
    assert sorted(i for share in shares for i in share) == list(range(len(lengths)))
    assert ALONE.share(lengths) == list(range(len(lengths)))
    loads = [sum(lengths[i] for i in share) for share in shares]
    assert max(loads) - min(loads) <= max(lengths, default=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
