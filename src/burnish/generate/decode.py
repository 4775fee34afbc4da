"""Prompts -> answers: batched decoding with a key/value cache."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from llguidance import LLMatcher

from burnish.generate.chance import choose_tokens
from burnish.generate.constrained import take
from burnish.generate.plain import generate_plainly
from burnish.generate.prompts import extend, read_prompts
from burnish.model.attention import can_pack


@dataclass(frozen=True)
class Generation:
    """The answer to one prompt."""

    token_ids: tuple[int, ...]
    """Without the end-of-turn token."""
    has_ended: bool
    """Whether the model ended its turn; else the answer was cut at the limit."""
    latency_s: float
    """From the start of its batch to its last token."""
    log_probability: float
    """Of its tokens and the end-of-turn token, nats, whatever a grammar forbids beside them."""


@torch.no_grad()
def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    end_ids: frozenset[int],
    batch_size: int,
    matchers: Sequence[LLMatcher] = (),
    chance: torch.Generator | None = None,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[Generation]:
    """The most likely next token, again and again, until the end of the turn; one answer a prompt, in order.

    With `matchers`, a fresh one for each prompt, the most likely of those that its grammar allows. With `chance` each
    token is drawn by its probability.
    """
    if not can_pack(model):
        return _decode_plainly(model, prompts, max_new_tokens, end_ids, batch_size, matchers, chance, on_done)
    answers: list[Generation | None] = [None] * len(prompts)
    start = time.perf_counter()
    for chosen, filled in read_prompts(model, prompts, batch_size=batch_size, pad_id=min(end_ids), room=max_new_tokens):
        rows = list(chosen)
        tokens: dict[int, list[int]] = {i: [] for i in chosen}
        log_probabilities = dict.fromkeys(chosen, 0.0)
        for _ in range(max_new_tokens):
            next_B, log_probabilities_B = choose_tokens(
                filled.logits_BV, [matchers[i] for i in rows if matchers], chance
            )
            is_open = []
            for row, (i, token, log_probability) in enumerate(
                zip(rows, next_B.tolist(), log_probabilities_B.tolist(), strict=True)
            ):
                if answers[i] is not None:
                    continue
                log_probabilities[i] += log_probability
                if matchers:
                    take(matchers[i], token)
                if token not in end_ids:
                    tokens[i].append(token)
                if token in end_ids or len(tokens[i]) == max_new_tokens:
                    elapsed = time.perf_counter() - start
                    answers[i] = Generation(tuple(tokens[i]), token in end_ids, elapsed, log_probabilities[i])
                else:
                    is_open.append(row)
            if not is_open:
                break
            if len(is_open) <= len(rows) // 2:  # finished rows cost as much as open ones
                filled.keep(is_open)
                next_B, rows = next_B[is_open], [rows[row] for row in is_open]
            extend(model, filled, next_B)
        on_done(len(chosen))
        start = time.perf_counter()
    return [answer for answer in answers if answer is not None]


def _decode_plainly(
    model: Any,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    end_ids: frozenset[int],
    batch_size: int,
    matchers: Sequence[LLMatcher],
    chance: torch.Generator | None,
    on_done: Callable[[int], None],
) -> list[Generation]:
    answers: dict[int, Generation] = {}
    for chosen, found, log_probabilities, elapsed in generate_plainly(
        model,
        prompts,
        max_new_tokens=max_new_tokens,
        end_ids=end_ids,
        batch_size=batch_size,
        matchers=matchers,
        chance=chance,
    ):
        for i, tokens, log_probability in zip(chosen, found, log_probabilities, strict=True):
            has_ended = tokens[-1] in end_ids
            answers[i] = Generation(tuple(tokens[: len(tokens) - has_ended]), has_ended, elapsed, log_probability)
        on_done(len(chosen))
    return [answers[i] for i in range(len(prompts))]
