"""Logits to the next token of one sequence.

Shapes: V vocabulary.
"""

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from burnish.generate.chance import add_chance
from burnish.serve.engine.request import SamplingParams, TokenChance

GREEDY_BELOW = 1e-5
"""Temperatures that leave no choice."""


class Sampler:
    """Draws the tokens of one answer; with a seed always the same ones from the same logits."""

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self._counts: Counter[int] = Counter()
        self._generator = torch.Generator()
        if params.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(params.seed % 2**32)

    def draw(self, logits_V: Tensor) -> int:
        """The next token; `logits_V` (fp32) are overwritten. Those of -inf are never drawn."""
        params = self._params
        if params.logit_bias:
            known = {token: bias for token, bias in params.logit_bias.items() if 0 <= token < len(logits_V)}
            logits_V[list(known)] += logits_V.new_tensor(list(known.values()))
        if self._counts and (params.presence_penalty or params.frequency_penalty):
            counts = logits_V.new_tensor(list(self._counts.values()))
            logits_V[list(self._counts)] -= params.presence_penalty + params.frequency_penalty * counts
        if params.temperature > GREEDY_BELOW:
            logits_V /= params.temperature
            if 0 < params.top_k < len(logits_V):
                logits_V[logits_V.argsort(descending=True, stable=True)[params.top_k :]] = float("-inf")
            if params.min_p:  # of the tempered probabilities, as elsewhere
                logits_V[logits_V < logits_V.max() + math.log(params.min_p)] = float("-inf")
            if params.top_p < 1:
                _keep_likely(logits_V, params.top_p)
            add_chance(logits_V, self._generator)
        token = int(logits_V.argmax())
        self._counts[token] += 1
        return token


def chances(logits_SV: Tensor, tokens: Sequence[int], num_top: int) -> list[TokenChance]:
    """What the model thought of each of `tokens` in its place, and its `num_top` likeliest ones."""
    log_probabilities_SV = logits_SV.log_softmax(-1)
    own = log_probabilities_SV[range(len(tokens)), list(tokens)].tolist()
    values, ids = log_probabilities_SV.topk(num_top, dim=-1)
    rows = zip(tokens, own, ids.tolist(), values.tolist(), strict=True)
    return [
        TokenChance(token, value, tuple(zip(top_ids, top_values, strict=True)))
        for token, value, top_ids, top_values in rows
    ]


def _keep_likely(logits_V: Tensor, top_p: float) -> None:
    """Nucleus sampling (Holtzman et al. 2019, arXiv 1904.09751): the fewest tokens that have `top_p` of the mass."""
    ordered, ids = logits_V.sort(descending=True)
    before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
    logits_V[ids[before >= top_p]] = float("-inf")
