"""Arms: ways to do the task, each answering the same test rows."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from burnish.conversation import Conversation, Role, to_dicts
from burnish.data import Example, Renderer
from burnish.evaluate.metrics import row_value, score_row
from burnish.files import read_json, read_jsonl, write_json, write_jsonl
from burnish.generate.answer import Answer
from burnish.recipe import Metric
from burnish.train.loop import loss_per_token


class Arm(StrEnum):
    """The ways that are compared."""

    ZERO_SHOT = "zero_shot"
    FEW_SHOT = "few_shot"
    SPECIALIST = "specialist"


ARM_TITLES = {Arm.ZERO_SHOT: "Zero-shot prompt", Arm.FEW_SHOT: "Few-shot prompt", Arm.SPECIALIST: "Specialist"}


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


def arm_prompt(arm: Arm, prompt: Conversation, shots: Sequence[Example]) -> Conversation:
    """The conversation that the arm's model answers."""
    return with_shots(prompt, shots) if arm is Arm.FEW_SHOT else prompt


def with_shots(messages: Conversation, shots: Sequence[Example]) -> Conversation:
    """The conversation with the shots, as earlier turns, between its system message and its first question."""
    head = messages[:1] if messages[0].role is Role.SYSTEM else ()
    demonstrations = [m for shot in shots for m in shot.messages if m.role is not Role.SYSTEM]
    return (*head, *demonstrations, *messages[len(head) :])


def judge_answers(
    answers: Sequence[Answer], prompts: Sequence[Conversation], examples: Sequence[Example], metric: Metric
) -> list[dict[str, Any]]:
    """The rows of predictions/ARM.jsonl: each answer beside its target, with its score."""
    rows = []
    for answer, prompt, example in zip(answers, prompts, examples, strict=True):
        numerator, denominator = score_row(metric, answer.text, example.target)
        rows.append(
            {
                "id": example.id,
                "prompt": to_dicts(prompt),
                "prediction": answer.text,
                "target": example.target,
                "score": row_value(numerator, denominator),
                "numerator": numerator,
                "denominator": denominator,
                "has_ended": answer.has_ended,
                "latency_s": round(answer.latency_s, 4),
                "prompt_tokens": answer.prompt_tokens,
            }
        )
    return rows


def cached_arm(path: Path, key: dict[str, Any], predict: Callable[[], list[dict[str, Any]]]) -> tuple[list[Any], float]:
    """The arm's rows and the seconds that they took; predicted only if the file was not made with the same `key`."""
    card = path.with_suffix(".meta.json")
    if path.is_file() and card.is_file() and (found := read_json(card))["key"] == key:
        return read_jsonl(path), float(found["elapsed_s"])
    start = time.perf_counter()
    rows = predict()
    elapsed = time.perf_counter() - start
    write_jsonl(path, rows)
    write_json(card, {"key": key, "elapsed_s": round(elapsed, 2)})
    return rows, elapsed
