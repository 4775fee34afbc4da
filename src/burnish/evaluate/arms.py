"""Arms: ways to do the task, each answering the same test rows."""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from burnish.conversation import Conversation, Role, to_dicts
from burnish.data import Example, Renderer
from burnish.evaluate.metrics import AnyMetric, row_value, score_prediction
from burnish.generate.answer import Answer
from burnish.train.loop import loss_per_token


class Arm(StrEnum):
    """The ways that are compared."""

    ZERO_SHOT = "zero_shot"
    EMBEDDING = "embedding"
    FEW_SHOT = "few_shot"
    RETRIEVED = "retrieved"
    ENCODER = "encoder"
    PREVIOUS = "previous"
    RECORDED = "recorded"
    SPECIALIST = "specialist"
    CONSTRAINED = "constrained"


ARM_TITLES = {
    Arm.ZERO_SHOT: "Zero-shot prompt",
    Arm.EMBEDDING: "Embedding classifier",
    Arm.FEW_SHOT: "Few-shot prompt",
    Arm.RETRIEVED: "Retrieved examples",
    Arm.ENCODER: "Fine-tuned encoder",
    Arm.PREVIOUS: "Earlier adapter",
    Arm.RECORDED: "Recorded model",
    Arm.SPECIALIST: "Specialist",
    Arm.CONSTRAINED: "Specialist, held to a schema",
}
CLASSIFIERS = frozenset({Arm.EMBEDDING, Arm.ENCODER})
"""Write no text."""
REPLACED = Arm.RECORDED
"""What the specialist is to take the place of: held against it, but no way that could be taken instead."""
ADAPTED = frozenset({Arm.SPECIALIST, Arm.CONSTRAINED})
"""Use the adapter of the run."""


def is_single_turn(example: Example) -> bool:
    """Whether the example can be shown in a prompt: one question, with an instruction or without, and its answer."""
    return 1 <= len(example.prompt) <= 2


def choose_shots(train: Sequence[Example], num_shots: int, seed: int) -> list[Example]:
    """Examples for the few-shot prompt: short ones first to fit, drawn so that their answers differ.

    A draw of four times as many single-turn rows is thinned to rows with new answers, then to the shorter ones.
    """
    single = [example for example in train if is_single_turn(example)]
    pool = random.Random(seed).sample(single, min(len(single), 4 * num_shots))
    pool.sort(key=lambda example: len(example.prompt[-1].content) + len(example.target))
    seen: set[str] = set()
    fresh = [example for example in pool if not (example.target in seen or seen.add(example.target))]  # type: ignore[func-returns-value]
    rest = [example for example in pool if example not in fresh]
    return (fresh + rest)[:num_shots]


def candidate_shots(train: Sequence[Example], num_shots: int, seed: int, *, num_candidates: int) -> list[list[Example]]:
    """Different draws of `choose_shots`, the one of `seed` first; fewer where the rows do not give so many."""
    draws: list[list[Example]] = []
    for draw in range(num_candidates):
        shots = choose_shots(train, num_shots, seed + draw)
        if shots not in draws:
            draws.append(shots)
    return draws


def best_shots(
    candidates: Sequence[list[Example]], score: Callable[[Sequence[Example]], float]
) -> tuple[list[Example], list[float]]:
    """The candidate with the least `score` (a loss on validation), the first of equals, and all scores in order."""
    scores = [score(shots) for shots in candidates]
    return candidates[scores.index(min(scores))], scores


def shots_loss(
    model: Any,
    renderer: Renderer,
    shots: Sequence[Example],
    rows: Sequence[Example],
    *,
    micro_batch_tokens: int,
) -> float:
    """Negative log-likelihood of the rows' own answers behind the shots, nats per token; one pass, nothing decoded."""
    shown = [replace(row, messages=with_shots(row.messages, shots)) for row in rows]
    rendered = [part for row in shown for part in renderer.render(row, supervise_all=False)]
    return loss_per_token(model, rendered, micro_batch_tokens=micro_batch_tokens)


def with_shots(messages: Conversation, shots: Sequence[Example]) -> Conversation:
    """The conversation with the shots, as earlier turns, between its system message and its first question."""
    head = messages[:1] if messages[0].role is Role.SYSTEM else ()
    demonstrations = [m for shot in shots for m in shot.messages if m.role is not Role.SYSTEM]
    return (*head, *demonstrations, *messages[len(head) :])


def judge_answers(
    answers: Sequence[Answer],
    prompts: Sequence[Conversation],
    examples: Sequence[Example],
    metric: AnyMetric,
    *,
    ordered: Collection[str] = (),
) -> list[dict[str, Any]]:
    """The rows of predictions/ARM.jsonl: each answer beside its target, with its score.

    `confidence` is there where the arm knows how likely an answer is right; `probability`, the model's own of exactly
    this answer, beside one that was made of it. `ordered`, the lists whose order counts, if there are any.
    """
    rows = []
    for answer, prompt, example in zip(answers, prompts, examples, strict=True):
        row: dict[str, Any] = {"id": example.id, "prompt": to_dicts(prompt)}
        row |= {"prediction": answer.text, "target": example.target}
        if ordered:
            row["ordered"] = sorted(ordered)
        numerator, denominator = score_prediction(metric, row)
        row |= {
            "score": row_value(numerator, denominator),
            "numerator": numerator,
            "denominator": denominator,
            "has_ended": answer.has_ended,
            "latency_s": round(answer.latency_s, 4),
            "prompt_tokens": answer.prompt_tokens,
        }
        if answer.confidence is not None:
            row["confidence"] = answer.confidence
        if answer.is_calibrated and answer.probability is not None:
            row["probability"] = answer.probability
        rows.append(row)
    return rows
