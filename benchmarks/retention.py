"""What each way to keep the base model costs and brings: benchmarks/retention.py DATA_FOLDER RESULTS.jsonl [options]

Trains SmolLM2-135M on three tasks by each way (rung) and seed, and measures the score on test rows and what was
forgotten on the measurement half of the bundled texts. A line of RESULTS for each; what is there is not done again.
`--table` prints the means as Markdown and the fit of forgetting on the divergence on the task's own answers.
`--defaults` trains each task and seed as `burnish run` does, with its budget and without one, in turns: what keeping
the budget costs in time and score. Its RESULTS are a file of their own.
`--step-times N` takes the first steps of each rung in turns, N times, and tells how much longer they take than plain's.

plain: training alone. early: of checkpoints every tenth of the steps the one that is worth most when scaled to the
budget. replay: general texts beside the examples. hold: target-masked divergence. mlp: adapters on the MLP alone.
upper: adapters on the upper two thirds of the layers. Each is measured as it is, and scaled to the budget ("+a").
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from burnish.answering import ask, card_of, score_specialist, spread
from burnish.evaluate.arms import Arm
from burnish.evaluate.bundled import Half, general_text
from burnish.evaluate.metrics import collect_scores
from burnish.evaluate.retention import measure_drift, text_examples
from burnish.forgetting import general_answers
from burnish.keeping import anchor_of, keep_budget, watch_of, what_is_forgotten
from burnish.model.adapter import adapter_off, adapter_parameters, adapter_scaled, restart_adapter
from burnish.model.device import choose_device
from burnish.preparation import Prepared, attach, load_weights, prepare
from burnish.recipe import load_recipe
from burnish.run_dir import create_run_dir
from burnish.screen import SilentScreen
from burnish.solution import PromptSolution
from burnish.train.loop import loss_per_token, start_training, train
from burnish.train.ranks import ALONE
from burnish.train.step import StepMetrics
from burnish.training import train_adapter, train_options

State = dict[str, torch.Tensor]
RECIPES = Path(__file__).parent.parent / "recipes"
MLP = "['gate_proj', 'up_proj', 'down_proj']"
NUM_TIMED = 6
"""Steps of each rung in a turn."""
OFF = ["retention.replay=0", "retention.hold=0"]
RUNGS: dict[str, list[str]] = {
    "plain": OFF,
    "early": OFF,
    "replay": [],
    "hold": ["retention.replay=0", "retention.hold=1"],
    "mlp": [*OFF, f"adapter.target_modules={MLP}"],
    "upper": OFF,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--tasks", nargs="+", default=["restaurant8k", "bank_chat", "medquad"])
    parser.add_argument("--rungs", nargs="+", default=list(RUNGS), choices=RUNGS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--test-rows", type=int, default=100)
    parser.add_argument("--set", nargs="*", default=[], help="further settings of the recipe")
    parser.add_argument("--name", default="", help="added to the name of the rung, for further settings")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--defaults", action="store_true")
    parser.add_argument("--step-times", type=int, default=0)
    given = parser.parse_args()
    if given.step_times:
        for task in given.tasks:
            time_steps(given, task)
        return
    done = read(given.results)
    if given.table:
        print(table_of_defaults(done) if given.defaults else table(done))
        return
    if given.defaults:
        compare_defaults(given, done)
        return
    for seed in given.seeds:
        for task in given.tasks:
            for rung in given.rungs:
                name = rung + given.name
                if (task, name, seed) not in {(row["task"], row["rung"], row["seed"]) for row in done}:
                    row = {
                        "task": task,
                        "rung": name,
                        "seed": seed,
                        "rows": given.rows,
                        **study(given, task, rung, seed),
                    }
                    with given.results.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps(row) + "\n")
                    print(json.dumps(row), flush=True)


def study(given: argparse.Namespace, task: str, rung: str, seed: int) -> dict[str, Any]:
    """One training, measured as it is and scaled to the budget."""
    screen = SilentScreen()
    prepared, model = start(given, task, rung, seed)
    with adapter_off(model):
        answers = general_answers(model, prepared, screen)[:40]
    anchor = anchor_of(model, prepared, screen)
    options, began = train_options(prepared), time.perf_counter()
    torch.manual_seed(seed)
    kept, tokens = list[tuple[int, State]](), 0
    num_steps = 0
    for metrics in train(start_training(model, options), prepared.rendered["train"], options, anchor=anchor):
        num_steps, tokens = metrics.step, tokens + metrics.tokens
        if rung == "early":
            kept.append((metrics.step, {name: p.detach().clone() for name, p in adapter_parameters(model).items()}))
    seconds = time.perf_counter() - began
    rests = [m for m in range(1, num_steps + 1) if m % max(1, num_steps // 10) == 0]
    if rung == "early":
        put(model, best_scaled(model, [state for step, state in kept if step in rests], prepared))

    def measure() -> dict[str, Any]:
        size = int(prepared.recipe.train.micro_batch_tokens)
        passages = text_examples(prepared.renderer, general_text(Half.MEASUREMENT))
        own = spread(prepared.rendered["validation"], 40)
        drifts = {
            name: measure_drift(model, examples, micro_batch_tokens=size)
            for name, examples in (("text", passages), ("chat", answers), ("task", own))
        }
        found: dict[str, Any] = {
            f"{name}_{key}": [round(getattr(getattr(drift, key), end), 5) for end in ("value", "low", "high")]
            for name, drift in drifts.items()
            for key in ("nll_change", "kl")
        }
        found["loss"] = round(loss_per_token(model, prepared.rendered["test"], micro_batch_tokens=size), 5)
        if task != "medquad":  # long answers: their loss tells more than their words
            solution = PromptSolution(model, prepared.renderer, card_of(Arm.SPECIALIST, prepared))
            found["score"] = round(collect_scores(ask(solution, prepared, prepared.split.test)).value, 4)
        return found

    plain = measure()
    points = keep_budget(model, prepared, screen, watch_of(model, prepared))
    scaled = plain if points.scale == 1 else measure()
    facts = {"seconds": round(seconds, 1), "tokens": tokens, "scale": points.scale}
    return {**facts, "plain": plain, "scaled": scaled}


def start(given: argparse.Namespace, task: str, rung: str, seed: int) -> tuple[Prepared, Any]:
    """The base with the rung's new adapter."""
    chosen = [*settings(given, task, seed), *RUNGS[rung]]
    prepared = prepare(load_recipe(RECIPES / task / "recipe.toml", chosen), SilentScreen())
    model = attach(load_weights(prepared, choose_device()), prepared.recipe)
    restart_adapter(model, seed)
    if rung == "upper":
        freeze_lower_third(model)
    return prepared, model


def time_steps(given: argparse.Namespace, task: str) -> None:
    """Of the same examples; `early` takes the steps of plain."""
    running = dict[str, Iterator[StepMetrics]]()
    for rung in dict.fromkeys(["plain", *given.rungs]):
        if rung != "early":
            prepared, model = start(given, task, rung, seed=0)
            anchor, rows = anchor_of(model, prepared, SilentScreen()), prepared.rendered["train"]
            options = replace(train_options(prepared), epochs=(given.step_times + 1) * NUM_TIMED)  # enough for few rows
            running[rung] = train(start_training(model, options), rows, options, anchor=anchor)
    ratios: dict[str, list[float]] = {rung: [] for rung in running}
    for _ in range(given.step_times + 1):
        seconds = {rung: sum(next(steps).seconds for _ in range(NUM_TIMED)) for rung, steps in running.items()}
        for rung, taken in seconds.items():
            ratios[rung].append(taken / seconds["plain"])
    for rung, found in ratios.items():
        print(f"{task}: steps of {rung} take {spread_of(found[1:], '.2f')} times as long as plain's")


def compare_defaults(given: argparse.Namespace, done: list[dict[str, Any]]) -> None:
    """A line of each task and seed: with the budget (`kept`), and without (`free`)."""
    for seed in given.seeds:
        for task in given.tasks:
            if (task, seed) in {(row["task"], row["seed"]) for row in done}:
                continue
            kept, free = (as_run_does(given, task, seed, more) for more in ([], ["retention.budget=off", *OFF]))
            row = {"task": task, "seed": seed, "rows": given.rows, "kept": kept, "free": free}
            with given.results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            print(table_of_defaults([row]), flush=True)


def as_run_does(given: argparse.Namespace, task: str, seed: int, more: list[str]) -> dict[str, Any]:
    """Wall and processor seconds from the new adapter to the one that is kept, and what that one is worth.

    The base's own texts and opinions are kept from an earlier run.
    """
    screen = SilentScreen()
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(load_recipe(RECIPES / task / "recipe.toml", [*settings(given, task, seed), *more]), screen)
        model = attach(load_weights(prepared, choose_device()), prepared.recipe)
        anchor_of(model, prepared, screen), watch_of(model, prepared)
        run_dir = create_run_dir(Path(folder))
        start, cpu = time.perf_counter(), time.process_time()
        watch = watch_of(model, prepared)
        fitted = train_adapter(model, prepared, run_dir, screen, watch, ALONE)
        scale = keep_budget(model, prepared, screen, watch, judged=fitted.best).scale
        seconds = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    size = int(prepared.recipe.train.micro_batch_tokens)
    rise = measure_drift(
        model, text_examples(prepared.renderer, general_text(Half.MEASUREMENT)), micro_batch_tokens=size
    ).nll_change
    loss = loss_per_token(model, prepared.rendered["test"], micro_batch_tokens=size)
    with adapter_off(model):
        base_loss = loss_per_token(model, prepared.rendered["test"], micro_batch_tokens=size)
    found = {**seconds, "scale": scale, "rise": [rise.value, rise.low, rise.high], "loss": loss, "base_loss": base_loss}
    if task != "medquad":
        scores = score_specialist(model, prepared, prepared.split.test)
        found["scores"] = [scores.numerators.tolist(), scores.denominators.tolist()]
    return found


def table_of_defaults(rows: list[dict[str, Any]]) -> str:
    """By task, over the seeds: means with the lowest and highest; of the shares an interval over test rows."""
    lines = ["| task | seeds | time, s | times as long | general text | highest upper limit | task | share kept |"]
    lines.append("|" + "---|" * 8)
    for task in dict.fromkeys(row["task"] for row in rows):
        group = [row for row in rows if row["task"] == task]
        pairs = [(row["kept"], row["free"]) for row in group]
        cells = [
            str(len(group)),
            ", ".join(f"{kept['seconds']:.0f} for {free['seconds']:.0f}" for kept, free in pairs),
            spread_of([kept["seconds"] / free["seconds"] for kept, free in pairs], ".2f"),
            " for ".join(spread_of([each["rise"][0] for each in way], "+.3f") for way in zip(*pairs, strict=True)),
            f"{max(kept['rise'][2] for kept, _ in pairs):+.4f}",
            *share_cells(pairs),
        ]
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def share_cells(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> tuple[str, str]:
    """Of the score, or else of the fall of the loss; the test rows are the same for all seeds."""
    if "scores" not in pairs[0][0]:
        told = ", ".join(f"loss {kept['loss']:.3f} for {free['loss']:.3f}" for kept, free in pairs)
        return told, spread_of([share_of_fall(kept, free) for kept, free in pairs], ".1%")
    scores = np.array([[way["scores"] for way in pair] for pair in pairs])  # seed, way, numerator or denominator, row
    rows = np.random.default_rng(0).integers(scores.shape[-1], size=(2000, scores.shape[-1]))
    drawn = [share_of_score(scores[..., chosen]) for chosen in rows]
    low, high = np.percentile(drawn, [2.5, 97.5])
    means = 100 * (scores[:, :, 0].sum(-1) / scores[:, :, 1].sum(-1))
    return (
        " for ".join(spread_of(list(way), ".1f") for way in means.T),
        f"{share_of_score(scores):.1%} ({low:.1%} to {high:.1%})",
    )


def share_of_score(scores: Any) -> float:
    """Of scores [seed, way, numerator or denominator, row]: the mean with the budget by that without."""
    kept, free = (scores[:, :, 0].sum(-1) / scores[:, :, 1].sum(-1)).mean(0)
    return float(kept / free)


def share_of_fall(kept: dict[str, Any], free: dict[str, Any]) -> float:
    return float((kept["base_loss"] - kept["loss"]) / (free["base_loss"] - free["loss"]))


def settings(given: argparse.Namespace, task: str, seed: int) -> list[str]:
    """Of the recipe: the rows, and nothing that neither trains nor measures."""
    train, test = (f"data.{part}={given.data / task}/{part}.jsonl" for part in ("train", "test"))
    sizes = [f"data.max_rows={given.rows}", f"data.max_test_rows={given.test_rows}"]
    return [train, test, *sizes, "evaluate.arms=[]", f"train.seed={seed}", *given.set]


def freeze_lower_third(model: Any) -> None:
    parameters = adapter_parameters(model)
    layer_of = {name: int(name.split(".layers.")[1].split(".")[0]) for name in parameters}
    for name, parameter in parameters.items():
        parameter.requires_grad_(layer_of[name] >= (max(layer_of.values()) + 1) / 3)


def put(model: Any, state: State) -> None:
    with torch.no_grad():
        for name, parameter in adapter_parameters(model).items():
            parameter.copy_(state[name])


def best_scaled(model: Any, states: list[State], prepared: Prepared) -> State:
    """The checkpoint whose validation loss is lowest when it is scaled to the budget."""
    losses, watch = list[float](), watch_of(model, prepared)
    assert watch, "the study keeps the recipes' budget"
    for state in states:
        put(model, state)
        with adapter_scaled(model, what_is_forgotten(model, prepared, watch).scale):
            size = int(prepared.recipe.train.micro_batch_tokens)
            losses.append(loss_per_token(model, prepared.rendered["validation"], micro_batch_tokens=size))
    return states[int(np.argmin(losses))]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line] if path.is_file() else []


def table(rows: list[dict[str, Any]]) -> str:
    """Means over the seeds, with the lowest and highest; by task and rung, as trained and scaled to the budget."""
    lines = ["| task | way | scale | score | loss on test | general text | chat | task KL |"]
    lines.append("|" + "---|" * 8)
    for (task, rung), group in grouped(rows):
        for kind in ("plain", "scaled"):
            if kind == "scaled" and all(row["scale"] == 1 for row in group):
                continue
            found = [row[kind] for row in group]
            scores = [100 * each["score"] for each in found if "score" in each]
            cells = [
                spread_of([row["scale"] if kind == "scaled" else 1.0 for row in group], ".2f"),
                spread_of(scores, ".1f") if scores else "",
                spread_of([each["loss"] for each in found], ".3f"),
                spread_of([each["text_nll_change"][0] for each in found], "+.4f"),
                spread_of([each["chat_nll_change"][0] for each in found], "+.3f"),
                spread_of([each["task_kl"][0] for each in found], ".3f"),
            ]
            lines.append(f"| {task} | {rung}{' +a' if kind == 'scaled' else ''} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", fit(rows)])


def grouped(rows: list[dict[str, Any]]) -> Iterator[tuple[tuple[str, str], list[dict[str, Any]]]]:
    """By task and rung, in the order of RUNGS; those of further settings behind."""
    order = {rung: n for n, rung in enumerate(RUNGS)}
    keys = dict.fromkeys((row["task"], row["rung"]) for row in rows)
    for key in sorted(keys, key=lambda key: (key[0], order.get(key[1], len(order)))):
        yield key, [row for row in rows if (row["task"], row["rung"]) == key]


def spread_of(values: list[float], form: str) -> str:
    middle = format(float(np.mean(values)), form)
    return middle if len(values) == 1 else f"{middle} ({min(values):{form}} to {max(values):{form}})"


def fit(rows: list[dict[str, Any]]) -> str:
    """Forgetting on the divergence on the task, squared as in RL's Razor; over all trainings, as trained and scaled."""
    found = [row[kind] for row in rows for kind in ("plain", "scaled")]
    x = np.array([each["task_kl"][0] for each in found])
    y = np.array([each["text_nll_change"][0] for each in found])
    design = np.stack([x, x**2], axis=1)
    coefficients, *_ = np.linalg.lstsq(design, y, rcond=None)
    r_squared = 1 - ((y - design @ coefficients) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    a, b = coefficients
    formula = f"Rise on general text = {a:.3f} KL + {b:.4f} KL^2 on the task's answers"
    return f"{formula}: R^2 {r_squared:.2f} ({len(x)} points)."


if __name__ == "__main__":
    main()
