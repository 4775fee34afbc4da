"""The same answers without packed attention or a cache of our own: for models and prompts that these do not fit.

Such are models that do not attend through transformers' interface (recurrent and hybrid ones, some old ones), and
labels behind a prompt that is longer than a sliding window. It is slower, and exact.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from llguidance import LLMatcher
from torch import Tensor

from burnish.generate.chance import choose_tokens
from burnish.generate.constrained import take
from burnish.model.loss import Batch, token_losses


def generate_plainly(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    end_ids: frozenset[int],
    batch_size: int,
    matchers: Sequence[LLMatcher] = (),
    chance: torch.Generator | None = None,
) -> Iterator[tuple[list[int], list[list[int]], list[float], float]]:
    """Through transformers' own `generate`.

    Yields the indices of the prompts, the tokens of each answer through its end-of-turn token, if it came to one, their
    log-probability, nats, and the seconds that the batch took.
    """
    from transformers import GenerationConfig, LogitsProcessorList

    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        repetition_penalty=1.0,
        eos_token_id=sorted(end_ids),
        pad_token_id=min(end_ids),
    )
    for chosen in _of_equal_length(prompts, batch_size):
        start = time.perf_counter()
        ids = torch.tensor([list(prompts[i]) for i in chosen], device=model.device)
        chooser: Any = _Chooser([matchers[i] for i in chosen if matchers], chance, ids.shape[1])
        answers = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=config,
            logits_processor=LogitsProcessorList([chooser]),
        )
        found = [_through_end(answer, end_ids) for answer in answers[:, ids.shape[1] :].tolist()]
        sums = [sum(row[: len(tokens)]) for row, tokens in zip(chooser.log_probabilities(), found, strict=True)]
        yield chosen, found, sums, time.perf_counter() - start


class _Chooser:
    """A logits processor of transformers that leaves one token of each row, and knows how likely it was."""

    def __init__(self, matchers: Sequence[LLMatcher], chance: torch.Generator | None, prompt_length: int) -> None:
        self._matchers, self._chance, self._prompt_length = matchers, chance, prompt_length
        self._found = list[list[float]]()

    def log_probabilities(self) -> list[tuple[float, ...]]:
        """Of the tokens of each row, those behind its end too."""
        return list(zip(*self._found, strict=True))

    def __call__(self, ids_BT: Tensor, logits_BV: Tensor) -> Tensor:
        if self._matchers and ids_BT.shape[1] > self._prompt_length:
            for matcher, token in zip(self._matchers, ids_BT[:, -1].tolist(), strict=True):
                if not matcher.is_stopped():  # else the row is padded by transformers
                    take(matcher, token)
        next_B, log_probabilities_B = choose_tokens(logits_BV, self._matchers, self._chance)
        self._found.append(log_probabilities_B.tolist())
        return torch.full_like(logits_BV, float("-inf")).scatter_(1, next_B[:, None], 0.0)


def _of_equal_length(prompts: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Batches that need no padding: not every model computes the same behind it."""
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    for _, alike in groupby(order, key=lambda i: len(prompts[i])):
        members = list(alike)
        for begin in range(0, len(members), batch_size):
            yield members[begin : begin + batch_size]


def _through_end(answer: list[int], end_ids: frozenset[int]) -> list[int]:
    end = next((i for i, token in enumerate(answer) if token in end_ids), len(answer))
    return answer[: end + 1]


def score_labels(
    model: Any, prompts: Sequence[Sequence[int]], labels: Sequence[Sequence[int]], batch_size: int
) -> Tensor:
    """[prompts, labels]: the log-probability of each label after each prompt, nats; every label is read in full."""
    pairs = [(prompt, label) for prompt in prompts for label in labels]
    order = sorted(range(len(pairs)), key=lambda i: (sum(map(len, pairs[i])), i))
    scores = torch.zeros(len(pairs), dtype=torch.float64)
    for begin in range(0, len(order), batch_size):
        chosen = order[begin : begin + batch_size]
        losses_S, owners_S = _label_losses(model, [pairs[i] for i in chosen])
        scores.index_add_(0, torch.tensor(chosen)[owners_S], -losses_S)
    return scores.view(len(prompts), len(labels))


def _label_losses(model: Any, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> tuple[Tensor, Tensor]:
    """The negative log-likelihood of each token of the labels, and which pair it belongs to; both on the CPU."""
    rows = [[*prompt, *label][:-1] for prompt, label in pairs]  # nothing is predicted behind the last token
    longest = max(map(len, rows))
    tokens = [
        (row * longest + len(prompt) - 1 + place, token, row, place)
        for row, (prompt, label) in enumerate(pairs)
        for place, token in enumerate(label)
    ]
    padded = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=model.device)
    batch = Batch(padded, None, *torch.tensor(tokens, device=model.device).T)
    return token_losses(model, batch).cpu().double(), batch.owners_S.cpu()
