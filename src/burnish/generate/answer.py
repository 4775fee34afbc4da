"""Conversations -> answers, the one way for testing and for use: the most likely label, else greedy decoding."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.conversation import Conversation
from burnish.data import Renderer
from burnish.generate.constrained import build_matchers
from burnish.generate.decode import decode
from burnish.generate.labels import LabelChoice, choose_labels


@dataclass(frozen=True)
class Answer:
    """The answer to one conversation."""

    text: str
    has_ended: bool
    """Whether the model ended its turn; else the answer was cut at the limit."""
    latency_s: float
    """From the start of its batch."""
    prompt_tokens: int
    probability: float | None = None
    """The language model's own, of exactly this answer among all texts that it could write."""
    confidence: float | None = None
    """How likely it is right, of a label or an extracted object; the own probability where nothing better is known."""
    is_calibrated: bool = False
    """Whether the confidence was held against rows that were not learned from."""


def answer_prompts(
    model: Any,
    renderer: Renderer,
    prompts: Sequence[Conversation],
    *,
    labels: Sequence[str],
    max_new_tokens: int,
    batch_size: int,
    tools: Sequence[Sequence[str]] = (),
    schema: Mapping[str, Any] | None = None,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[Answer]:
    """One answer a prompt, in order: one of `labels` where there are any, else free text,
    which is JSON by `schema` where that is given and the answer is not cut.

    `tools` are what each prompt may call, as JSON texts.
    """
    tools = tools or [()] * len(prompts)
    prompt_ids = [renderer.prompt_ids(prompt, known) for prompt, known in zip(prompts, tools, strict=True)]
    lengths = [len(ids) for ids in prompt_ids]
    ends = renderer.end_of_turn_ids
    if labels:
        label_ids = [renderer.answer_ids(prompts[0], label) for label in labels]
        choices = choose_labels(model, prompt_ids, label_ids, pad_id=min(ends), batch_size=batch_size, on_done=on_done)
        return [_label_answer(labels, choice, length) for choice, length in zip(choices, lengths, strict=True)]
    generations = decode(
        model,
        prompt_ids,
        max_new_tokens=max_new_tokens,
        end_ids=ends,
        batch_size=batch_size,
        matchers=build_matchers(renderer, schema, prompts) if schema is not None else (),
        on_done=on_done,
    )
    return [
        Answer(
            renderer.decode(generation.token_ids).strip(),
            generation.has_ended,
            generation.latency_s,
            length,
            probability_of(generation.log_probability),
        )
        for generation, length in zip(generations, lengths, strict=True)
    ]


def _label_answer(labels: Sequence[str], choice: LabelChoice, prompt_tokens: int) -> Answer:
    probability = probability_of(choice.log_probability)
    return Answer(labels[choice.label_index], True, choice.latency_s, prompt_tokens, probability)


def probability_of(log_probability: float) -> float:
    """At most 1: rounding may lift the logarithm above 0."""
    return min(1.0, math.exp(log_probability))
