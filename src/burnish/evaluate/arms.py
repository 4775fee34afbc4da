"""Arms: ways to do the task, each answering the same test rows."""

import random
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from burnish.conversation import Conversation, Message, Role, to_dicts
from burnish.data import Example
from burnish.evaluate.metrics import AnyMetric, row_value, score_prediction
from burnish.generate.answer import Answer


class Arm(StrEnum):
    """The ways that are compared."""

    ZERO_SHOT = "zero_shot"
    FEW_SHOT = "few_shot"
    SPECIALIST = "specialist"


ARM_TITLES = {Arm.ZERO_SHOT: "Zero-shot prompt", Arm.FEW_SHOT: "Few-shot prompt", Arm.SPECIALIST: "Specialist"}


def choose_shots(train: Sequence[Example], num_shots: int, seed: int) -> list[Example]:
    """Examples for the few-shot prompt: short ones first to fit, drawn so that their answers differ.

    A draw of four times as many single-turn rows is thinned to rows with new answers, then to the shorter ones.
    """
    single = [example for example in train if len(example.prompt) <= 2]
    pool = random.Random(seed).sample(single, min(len(single), 4 * num_shots))
    pool.sort(key=lambda example: len(example.prompt[-1].content) + len(example.target))
    seen: set[str] = set()
    fresh = [example for example in pool if not (example.target in seen or seen.add(example.target))]  # type: ignore[func-returns-value]
    rest = [example for example in pool if example not in fresh]
    return (fresh + rest)[:num_shots]


def arm_prompt(arm: Arm, prompt: Conversation, shots: Sequence[Example]) -> Conversation:
    """The conversation that the arm's model answers."""
    if arm is not Arm.FEW_SHOT:
        return prompt
    head = prompt[:1] if prompt[0].role is Role.SYSTEM else ()
    demonstrations: list[Message] = []
    for shot in shots:
        demonstrations += [m for m in shot.messages if m.role is not Role.SYSTEM]
    return (*head, *demonstrations, *prompt[len(head) :])


def judge_answers(
    answers: Sequence[Answer], prompts: Sequence[Conversation], examples: Sequence[Example], metric: AnyMetric
) -> list[dict[str, Any]]:
    """The rows of predictions/ARM.jsonl: each answer beside its target, with its score.

    `confidence` is there where the arm has one: the model's probability of the label that it chose.
    """
    rows = []
    for answer, prompt, example in zip(answers, prompts, examples, strict=True):
        row: dict[str, Any] = {"id": example.id, "prompt": to_dicts(prompt)}
        row |= {"prediction": answer.text, "target": example.target}
        numerator, denominator = score_prediction(metric, row)
        row |= {
            "score": row_value(numerator, denominator),
            "numerator": numerator,
            "denominator": denominator,
            "has_ended": answer.has_ended,
            "latency_s": round(answer.latency_s, 4),
            "prompt_tokens": answer.prompt_tokens,
        }
        rows.append(row if answer.confidence is None else row | {"confidence": answer.confidence})
    return rows
