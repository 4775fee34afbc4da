"""Runs beside the run, for what one cannot tell: how much is luck of the seed, and what more rows would bring.

Nothing is chosen by them. Each is written down when it is done, so that a resumed run does not do it again; the adapter
is left as it was.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import torch

from burnish.answering import score_specialist, spread
from burnish.data import RenderedExample
from burnish.evaluate.more_data import Curve, CurvePoint, nested_subsets
from burnish.evaluate.statistics import RowScores
from burnish.files import read_json, write_json
from burnish.keeping import Watch, anchor_of, keep_budget, watch_of, what_is_forgotten
from burnish.model.adapter import adapter_kept, restart_adapter
from burnish.preparation import Prepared
from burnish.run_dir import RunDir
from burnish.screen import Screen
from burnish.train.checkpoint import is_over_budget
from burnish.train.fit import FitEvents, FitOptions, fit
from burnish.train.loop import count_steps, start_training, train
from burnish.train.mend import ROUNDS, can_mend, mend, round_from
from burnish.training import choice_of, settled_options

MAX_CURVE_ROWS = 200
"""Validation rows that the points of the learning curve are scored on, at most."""


def score_seeds(model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen) -> list[dict[str, Any]]:
    """The run again with the next seeds of `train.seeds`: of each, its score on the test rows."""
    recipe = prepared.recipe.train
    path = run_dir.side_runs / "seeds.json"
    done: list[dict[str, Any]] = read_json(path) if path.is_file() else []
    watch = watch_of(model, prepared)
    for seed in range(recipe.seed + 1 + len(done), recipe.seed + recipe.seeds):
        with _state_kept(model):
            restart_adapter(model, seed)
            _fit_with(seed, model, prepared, run_dir, screen, watch)
            keep_budget(model, prepared, screen, watch)
            screen.say(f"Seed {seed}: answering {len(prepared.split.test)} test rows ...")
            score = score_specialist(model, prepared, prepared.split.test).value
        done.append({"seed": seed, "score": score})
        write_json(path, done)
        rmtree(_folder(run_dir, seed) / "checkpoints")
    return done


def measure_learning_curve(model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen) -> Curve:
    """The score on validation rows after training on an eighth, a quarter, half and all of the training rows."""
    path = run_dir.side_runs / "learning_curve.json"
    done: list[dict[str, Any]] = read_json(path) if path.is_file() else []
    examples = prepared.split.train
    groups = [example.group or example.duplicate_key for example in examples]
    subsets = nested_subsets([0] * len(examples), groups=groups, seed=prepared.recipe.train.seed)
    held = spread(prepared.split.validation, MAX_CURVE_ROWS)
    for subset in subsets[len(done) :]:
        with _state_kept(model):
            if len(subset) < len(examples):  # else it is what the model holds
                watch = watch_of(model, prepared)
                _train_on(subset.tolist(), model, prepared, run_dir, screen, watch)
                keep_budget(model, prepared, screen, watch)
            scores = score_specialist(model, prepared, held)
        done.append(
            {
                "num_rows": len(subset),
                "numerators": scores.numerators.tolist(),
                "denominators": scores.denominators.tolist(),
            }
        )
        write_json(path, done)
    points = [
        CurvePoint(point["num_rows"], RowScores(np.array(point["numerators"]), np.array(point["denominators"])))
        for point in done
    ]
    return Curve(tuple(points))


def _fit_with(seed: int, model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen, watch: Watch | None) -> None:
    """As the run itself was trained, but for the seed."""
    recipe, examples = prepared.recipe.train, prepared.rendered["train"]
    options = replace(settled_options(prepared, run_dir), seed=seed)
    folder = _folder(run_dir, seed)
    folder.mkdir(parents=True, exist_ok=True)
    with screen.bar(f"Training with seed {seed}", count_steps(len(examples), options)) as advance:
        fit(
            model,
            examples,
            prepared.rendered["validation"],
            options=options,
            fit_options=FitOptions(recipe.validations_per_epoch, recipe.patience, recipe.checkpoint_minutes * 60),
            checkpoints=folder / "checkpoints",
            metrics_path=folder / "metrics.jsonl",
            events=FitEvents(on_step=lambda metrics, num_steps: advance(1, "")),
            choice=choice_of(model, prepared, watch),
            anchor=anchor_of(model, prepared, screen),
        )


def _folder(run_dir: RunDir, seed: int) -> Path:
    return run_dir.side_runs / f"seed-{seed}"


def _train_on(
    rows: Sequence[int], model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen, watch: Watch | None
) -> None:
    """From the run's own start, as many passes over these training rows as the run may make over all, and mended."""
    options = settled_options(prepared, run_dir)
    examples: list[RenderedExample] = [prepared.rendered["train"][row] for row in rows]
    restart_adapter(model, options.seed)
    torch.manual_seed(options.seed)
    anchor = anchor_of(model, prepared, screen)
    anchor = replace(anchor, task=None, task_weight=0.0) if anchor else None  # its opinions are on all rows
    state, num_steps = start_training(model, options), count_steps(len(examples), options)
    with screen.bar(f"Training on {len(examples)} rows", num_steps) as advance:
        for _ in train(state, examples, options, anchor=anchor):
            advance(1, "")
    for _ in range(ROUNDS):
        if not (watch and can_mend(anchor) and is_over_budget(what_is_forgotten(model, prepared, watch))):
            break
        for _ in mend(state, examples, options, anchor, round_from(state.step, num_steps)):
            pass


@contextmanager
def _state_kept(model: Any) -> Iterator[None]:
    """The adapter and the random state are put back as they were."""
    random_state = torch.get_rng_state()
    try:
        with adapter_kept(model):
            yield
    finally:
        torch.set_rng_state(random_state)
