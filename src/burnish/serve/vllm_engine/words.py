"""What vLLM is asked and what it tells, as plain values: nothing here needs it to be installed."""

import math
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from burnish.serve.engine.request import AdapterRef, GenerationRequest, TokenChance
from burnish.serve.engine.sampling import GREEDY_BELOW

LEAST_TOP_P = 1e-9
"""vLLM refuses 0, which leaves the likeliest token alone, as this does."""
MAX_TOP = 20
"""Likely tokens that vLLM tells of a place, unless it is started otherwise; the wire asks for no more."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A prompt to be continued in vLLM's terms."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    stop_token_ids: tuple[int, ...] = ()
    allowed_token_ids: tuple[int, ...] = ()
    """The only ones that may come; empty for all."""
    num_top: int | None = None
    tells_prompt: bool = False
    """Whether the prompt's own tokens are told with their probabilities, from its second one on."""
    grammar: str | None = None

    def arguments(self) -> dict[str, Any]:
        """Of vLLM's `SamplingParams`, all but the grammar; stop texts and characters are `engine.saying`'s work."""
        return {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "seed": self.seed,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "logit_bias": dict(self.logit_bias) or None,
            "stop_token_ids": list(self.stop_token_ids),
            "ignore_eos": True,  # what ends a turn stands in stop_token_ids
            "allowed_token_ids": list(self.allowed_token_ids) or None,
            "logprobs": self.num_top,
            "prompt_logprobs": self.num_top if self.tells_prompt else None,
            "detokenize": False,
        }


@dataclass(frozen=True)
class Told:
    """The next tokens of an answer; with probabilities, by token in nats, where they were asked for."""

    token_ids: tuple[int, ...]
    likely: tuple[Mapping[int, float], ...] = ()
    """At the place of each token: itself and the likeliest ones."""
    prompt_likely: tuple[Mapping[int, float], ...] = ()
    """The same for the prompt's tokens from its second one on; with the first part of an answer."""
    num_cached: int = 0
    """Tokens of the prompt that were read from an earlier one."""
    is_last: bool = False


class Client(Protocol):
    """A base model in vLLM's hands, for one event loop."""

    @property
    def max_length(self) -> int:
        """The longest prompt with its answer, in tokens."""

    def generate(
        self, prompt_ids: tuple[int, ...], asked: Asked, adapter: AdapterRef | None
    ) -> AsyncGenerator[Told, None]:
        """The answer as it grows; closing it early makes room at once.

        Raises:
            AdapterError: the adapter cannot be served.
            DataError: the request cannot be followed, for what vLLM says.
        """

    def close(self) -> None:
        """Let everything go."""


def continuation(request: GenerationRequest, end_ids: Collection[int]) -> Asked:
    """What is asked for an answer to `request`."""
    sampling = request.sampling
    return Asked(
        max_tokens=request.max_new_tokens,
        temperature=sampling.temperature if sampling.temperature > GREEDY_BELOW else 0.0,
        top_p=max(sampling.top_p, LEAST_TOP_P),
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        seed=sampling.seed,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        logit_bias=sampling.logit_bias,
        stop_token_ids=tuple(sorted(end_ids)) if request.ends_turn else (),
        num_top=0 if request.num_top is None and request.tells_probability else request.num_top,
        tells_prompt=request.echoes_prompt,
        grammar=request.grammar,
    )


def next_among(token_ids: Collection[int], *, num_top: int, tells_prompt: bool = False) -> Asked:
    """The likeliest of these as the next token. Probabilities are told as they are before the others are ruled out."""
    return Asked(max_tokens=1, allowed_token_ids=tuple(sorted(token_ids)), num_top=num_top, tells_prompt=tells_prompt)


def chance(token: int, likely: Mapping[int, float], num_top: int) -> TokenChance:
    """How likely `token` was, of what vLLM told of its place: it stands there even where it is not of the likeliest."""
    top = sorted(likely.items(), key=lambda item: -item[1])[:num_top]
    return TokenChance(token, likely.get(token, -math.inf), tuple(top))
