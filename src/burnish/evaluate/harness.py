"""Tasks of the lm-evaluation-harness (`retention.lm_eval`): base and specialist on the same documents.

The harness is no part of burnish: it is used where it is installed. A task is one of its names, or a YAML file of one's
own, which may name local data.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from burnish.errors import RecipeError
from burnish.evaluate.statistics import RowScores, compare_paired, score_interval
from burnish.model.adapter import adapter_off

KEY = "retention.lm_eval"
Tasks = Mapping[str, Any]


def load_tasks(names: Sequence[str]) -> Tasks:
    """The harness's tasks of these names or files, with their data; groups as their tasks.

    Raises:
        RecipeError: the harness is not installed, does not know one, or cannot have its data.
    """
    if not names:
        return {}
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise RecipeError(f"{KEY}: {error}. Run `pip install lm-eval`, or leave it out.") from None
    is_own = all(name.endswith((".yaml", ".yml")) for name in names)
    manager, tasks = TaskManager(include_defaults=not is_own), dict[str, Any]()
    for name in names:
        try:
            tasks |= manager.load([name])["tasks"]
        except Exception as error:  # the harness lets through whatever its data sets and their hub raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise RecipeError(
                f"{KEY}: {name}: {reason[:200]}. `lm-eval ls tasks` lists the names; a YAML file may name local data."
            ) from None
    return tasks


def compare_on_tasks(
    model: Any,
    tokenizer: Any,
    tasks: Tasks,
    *,
    limit: int,
    batch_size: int,
    max_length: int,
    confidence: float,
    num_resamples: int,
) -> list[dict[str, Any]]:
    """For evaluation.json: of each task both scores and their paired difference, on its first `limit` documents."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=False)  # the tasks are there; it would look through thousands of files

    def evaluate() -> dict[str, Any]:
        harness = HFLM(
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=batch_size,
            max_length=max_length,
            device=str(model.device),
        )
        # The harness draws its few-shot examples by seeds of its own, so both have the same prompts.
        found = simple_evaluate(
            harness, tasks=list(tasks.values()), task_manager=manager, limit=limit, bootstrap_iters=0, log_samples=True
        )
        return dict(found or {})

    with _random_state_kept():
        with adapter_off(model):
            base = evaluate()
        tuned = evaluate()
    return [_compare(name, base, tuned, confidence, num_resamples) for name in tasks]


def _compare(
    name: str, base: Mapping[str, Any], tuned: Mapping[str, Any], confidence: float, num_resamples: int
) -> dict[str, Any]:
    metric = _metric(base["samples"][name], base["higher_is_better"][name])
    if metric is None:  # one that is told of all documents together, such as a perplexity
        return {"task": name, "metric": None}
    before, after = (_scores(found["samples"][name], metric) for found in (base, tuned))
    assert before.keys() == after.keys(), "both are asked the same"
    rows = [
        RowScores(np.array([scores[document] for document in before]), np.ones(len(before)))
        for scores in (after, before)
    ]
    gain = compare_paired(rows[0], rows[1], confidence=confidence, num_resamples=num_resamples)
    specialist, untouched = (
        score_interval(scores, confidence=confidence, num_resamples=num_resamples).to_dict() for scores in rows
    )
    return {
        "task": name,
        "metric": metric,
        "num_documents": len(before),
        "base": untouched,
        "specialist": specialist,
        "difference": gain.difference.to_dict(),
        "p_value": gain.p_value,
    }


def _metric(samples: Sequence[Mapping[str, Any]], is_higher_better: Mapping[str, bool]) -> str | None:
    """The task's first metric that is a number from 0 to 1 for each document, of which more is better."""
    for metric, higher in is_higher_better.items():
        values = [sample.get(metric) for sample in samples]
        if higher and values and all(isinstance(value, int | float) and 0 <= value <= 1 for value in values):
            return metric
    return None


def _scores(samples: Sequence[Mapping[str, Any]], metric: str) -> dict[int, float]:
    """By document; where the task reads answers in several ways (filters), the first."""
    first = samples[0]["filter"]
    return {int(sample["doc_id"]): float(sample[metric]) for sample in samples if sample["filter"] == first}


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """The harness seeds every generator there is."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
