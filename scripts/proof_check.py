"""Is the proof itself sound? Intervals must cover, noise must not be called a gain, a gain of the printed size must be.

    python scripts/proof_check.py [--quick]

Three parts, each a table with counts: the coverage of the product's intervals; verdicts on simulated predictions; and
verdicts of whole runs that can't have learned anything: a tiny model of random weights is trained on labels that have
nothing to do with the texts, or with a learning rate that leaves the adapter at its start. About a quarter of an
hour on one core; with `--quick` fewer repetitions, which can only find coarse faults. Exit code 1 if a bar is missed.
"""

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from burnish.evaluate.arms import Arm
from burnish.evaluate.evaluation import ASSUMED_DISCORDANCE, ArmRun, Intervals, evaluate, expected_sensitivity
from burnish.evaluate.recommendation import Forgetting
from burnish.evaluate.statistics import FloatArray, RowScores, compare_paired, score_interval, wilson_interval
from burnish.recipe import Metric

Draw = Callable[[np.random.Generator, FloatArray], RowScores]
BASELINES = (Arm.ZERO_SHOT, Arm.FEW_SHOT)


@dataclass(frozen=True)
class Effort:
    """How often each thing is repeated."""

    intervals: int
    predictions: int
    trainings: int


FULL, QUICK = Effort(4000, 1000, 100), Effort(400, 100, 4)


def main(effort: Effort) -> int:
    rows = [*coverage(effort.intervals), *simulated(effort.predictions), *trained(effort.trainings)]
    missed = sum(not is_kept for is_kept in rows)
    print(f"\n{len(rows) - missed} of {len(rows)} bars are kept.")
    return int(missed > 0)


def coverage(repeats: int) -> Iterator[bool]:
    """Nominal 95 % intervals hold the truth in 93 to 97 %, give or take two standard errors of the simulation."""
    print(f"Coverage of nominal 95 % intervals, {repeats:,} draws each\n")
    print(f"{'rows':22}{'n':>5}{'score':>7}{'interval':>10}{'difference':>12}")
    rng = np.random.default_rng(0)
    slack = 2 * np.sqrt(0.95 * 0.05 / repeats)
    for name, draw in (("right or wrong", draw_right_wrong), ("graded", draw_graded), ("F1", draw_f1)):
        for num_rows in (50, 100, 500):
            for score in (0.05, 0.5, 0.9):
                truth = draw(rng, skills(rng, 400_000, score)).value
                hits = np.zeros(2)
                for _ in range(repeats):
                    skill_N = skills(rng, num_rows, score)
                    one, two = draw(rng, skill_N), draw(rng, skill_N)
                    interval, difference = score_interval(one), compare_paired(one, two, num_resamples=1).difference
                    hits += (interval.low <= truth <= interval.high, difference.low <= 0 <= difference.high)
                shares = hits / repeats
                print(f"{name:22}{num_rows:5}{score:7.2f}{shares[0]:10.1%}{shares[1]:12.1%}", flush=True)
                # Where a handful of rows decide, the interval is wider than it need be.
                yield bool(0.93 - slack <= shares[0] <= (1 if score * num_rows < 3 else 0.97 + slack))
                # A difference of arms that seldom differ is discrete, so its interval may hold the truth more often.
                yield bool(0.93 - slack <= shares[1])


def simulated(repeats: int) -> Iterator[bool]:
    """Verdicts through `evaluate` on simulated predictions of 150 rows."""
    print(f"\nVerdicts on simulated predictions, {repeats:,} each\n")
    for name, draw, metric in (
        ("right or wrong", draw_right_wrong, Metric.ACCURACY),
        ("graded", draw_graded, Metric.CHRF),
        ("F1", draw_f1, Metric.FIELD_F1),
    ):
        rng, outcomes = np.random.default_rng(1), []
        for _ in range(repeats):
            skill_N = skills(rng, 150, 0.6)
            specialist, equal, bad = draw(rng, skill_N), draw(rng, skill_N), draw(rng, skill_N / 5)
            outcomes.append(outcome(specialist, [equal, bad], metric))
        yield at_most(f"better than an equal, {name}", outcomes.count("better"), repeats)
    for num_baselines in (1, 2):
        rng, outcomes = np.random.default_rng(2), []
        blank = arm_run(RowScores(np.zeros(200), np.ones(200)))
        gain = expected_sensitivity(Metric.ACCURACY, dict.fromkeys(BASELINES[:num_baselines], blank))[0]
        assert gain is not None
        for _ in range(repeats):
            specialist = draw_right_wrong(rng, np.full(200, 0.5))
            baselines = [draw_lower(rng, specialist, gain) for _ in range(num_baselines)]
            outcomes.append(outcome(specialist, baselines, Metric.ACCURACY))
        name = f"a gain of the printed {100 * gain:.1f} points over {num_baselines}"
        yield at_least(name, outcomes.count("better"), repeats)


def trained(repeats: int) -> Iterator[bool]:
    """Whole runs on data that teach nothing, and runs that learn nothing."""
    print(f"\nWhole runs of a tiny random model, {repeats} of each kind, 100 test rows\n")
    start, num_better = time.perf_counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BURNISH_CACHE"] = str(Path(folder) / "cache")
        base = save_tiny_base(Path(folder) / "base")
        for kind, learning_rate in (("trained on shuffled targets", 0.01), ("adapter left at its start", 1e-30)):
            outcomes = [null_run(Path(folder), base, seed, learning_rate) for seed in range(repeats)]
            num_better += outcomes.count("better")
            print(
                f"{kind}: {outcomes.count('better')} better, {outcomes.count('worse')} worse, of {repeats}", flush=True
            )
    print(f"{time.perf_counter() - start:.0f} s")
    yield at_most("whole runs that taught nothing", num_better, 2 * repeats)


def null_run(folder: Path, base: Path, seed: int, learning_rate: float) -> str:
    """The outcome of a run whose labels were drawn without a look at the texts."""
    from burnish.pipeline import run
    from burnish.recipe import build_recipe

    chance = random.Random(seed)
    words = ["red", "green", "blue", "late", "early", "box", "lamp", "chair", "door", "cup"]
    data = folder / "rows.jsonl"
    texts = [" ".join(chance.choices(words, k=4)) + f" {number}" for number in range(200)]
    rows = [{"text": text, "label": chance.choice(["yes", "no", "maybe"])} for text in texts]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    values = {
        "task": "classification",
        "data": {"train": str(data), "test_share": 0.5, "split_seed": seed},
        "model": {"base": str(base)},
        "adapter": {"rank": 2},
        "train": {"epochs": 2, "learning_rate": learning_rate, "batch_size": 8, "seed": seed},
        "retention": {"measure": False, "budget": "off"},
        "evaluate": {"num_shots": 2, "arms": ["zero_shot", "few_shot", "embedding"]},
        "output": {"folder": str(folder / f"runs-{learning_rate}-{seed}")},
    }
    return str(run(build_recipe(values)).verdict["outcome"])


def save_tiny_base(folder: Path) -> Path:
    """Two layers, 32 wide, random; a token a byte."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    core = Tokenizer(
        models.BPE(vocab={x: i for i, x in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, merges=[])
    )
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    marks: dict[str, Any] = {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, additional_special_tokens=["<|im_start|>"], **marks)
    turn = "'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n'"
    ask = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    tokenizer.chat_template = f"{{% for message in messages %}}{{{{ {turn} }}}}{{% endfor %}}{ask}"
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"vocab_size": 258, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.15}
    config = LlamaConfig(**sizes, **heads, bos_token_id=None, eos_token_id=256, pad_token_id=256)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def outcome(specialist: RowScores, baselines: list[RowScores], metric: Metric) -> str:
    """What the product says of these scores."""
    arms = {arm: arm_run(scores) for arm, scores in zip(BASELINES, baselines, strict=False)}
    evaluation = evaluate(
        {**arms, Arm.SPECIALIST: arm_run(specialist)},
        metric=metric,
        intervals=Intervals(0.95, 999),
        retention=None,
        forgetting=Forgetting(),
        sensitivity=(None, ""),
    )
    return str(evaluation["verdict"]["outcome"])


def arm_run(scores: RowScores) -> ArmRun:
    fixed = {"prediction": "{}", "target": "{}", "has_ended": True, "prompt_tokens": 1, "latency_s": 0.0}
    pairs = zip(scores.numerators.tolist(), scores.denominators.tolist(), strict=True)
    return ArmRun([{**fixed, "numerator": n, "denominator": d} for n, d in pairs], 0.0)


def skills(rng: np.random.Generator, num_rows: int, score: float) -> FloatArray:
    """How likely each row is got right, by every arm: what makes arms correlate."""
    return rng.beta(3 * score, 3 * (1 - score), num_rows)


def draw_right_wrong(rng: np.random.Generator, skill_N: FloatArray) -> RowScores:
    return RowScores(rng.binomial(1, skill_N).astype(float), np.ones(len(skill_N)))


def draw_graded(rng: np.random.Generator, skill_N: FloatArray) -> RowScores:
    return RowScores(rng.beta(8 * skill_N + 1e-3, 8 * (1 - skill_N) + 1e-3).astype(float), np.ones(len(skill_N)))


def draw_f1(rng: np.random.Generator, skill_N: FloatArray) -> RowScores:
    wanted = rng.integers(1, 6, len(skill_N))
    said = np.maximum(1, wanted + rng.integers(-1, 2, len(skill_N)))
    return RowScores((2 * rng.binomial(np.minimum(wanted, said), skill_N)).astype(float), (wanted + said).astype(float))


def draw_lower(rng: np.random.Generator, specialist: RowScores, gain: float) -> RowScores:
    """A baseline that lies `gain` below a specialist who is right half the time, by the assumed discordance."""
    gained, lost = ASSUMED_DISCORDANCE - gain, ASSUMED_DISCORDANCE + gain
    return draw_right_wrong(rng, np.where(specialist.numerators == 1, 1 - lost, gained))


def at_most(name: str, count: int, total: int) -> bool:
    """Tell and judge: at most 5 %, and where there are 200 the upper Wilson bound at most 9 %."""
    bounds = wilson_interval(count, total)
    print(f"{name:46}{count:5} of {total:5}: {count / total:6.1%} ({bounds.low:.1%} to {bounds.high:.1%})", flush=True)
    return (count <= 0.05 * total and bounds.high <= 0.09) if total >= 200 else bounds.low <= 0.05


def at_least(name: str, count: int, total: int) -> bool:
    """Tell and judge: at least 75 %."""
    bounds = wilson_interval(count, total)
    print(f"{name:46}{count:5} of {total:5}: {count / total:6.1%} ({bounds.low:.1%} to {bounds.high:.1%})", flush=True)
    return count >= 0.75 * total if total >= 200 else bounds.high >= 0.75


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--quick"]):
        sys.exit(__doc__)
    sys.exit(main(QUICK if sys.argv[1:] else FULL))
