"""How a request wants its tokens drawn, and how many of them there is room for."""

from burnish.data import Renderer
from burnish.serve.catalog import ServedModel
from burnish.serve.engine.request import SamplingParams
from burnish.serve.errors import ApiError
from burnish.serve.inference.shapes import Sampled

SEEDS = 2**32


def sampling_params(body: Sampled, model: ServedModel, renderer: Renderer) -> SamplingParams:
    """OpenAI's defaults for a base model; what was trained here answers as it was tested, greedily, unless told."""
    usual = 1.0 if model.task is None else 0.0
    return SamplingParams(
        temperature=usual if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=max(body.top_k or 0, 0),
        min_p=body.min_p or 0.0,
        seed=None if body.seed is None else body.seed % SEEDS,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        logit_bias=_logit_bias(body.logit_bias or {}, num_tokens(renderer)),
    )


def seed_of(params: SamplingParams, choice: int) -> int | None:
    """The seed of the choice with that number: equal choices would be of no use."""
    return None if params.seed is None else (params.seed + choice) % SEEDS


def room_for_answer(num_prompt: int, wanted: int, max_length: int, *, param: str, needed: int = 1) -> int:
    """How many tokens an answer may have: `wanted`, or what the context has left.

    Raises:
        ApiError: the prompt leaves no room for those that are `needed`.
    """
    room = max_length - num_prompt
    if room < min(needed, wanted):
        raise ApiError(
            f"This model's maximum context length is {max_length} tokens, but the prompt has {num_prompt}. "
            "Shorten the prompt.",
            param=param,
            code="context_length_exceeded",
        )
    return min(wanted, room)


def num_tokens(renderer: Renderer) -> int:
    """Size of the vocabulary."""
    tokenizer: object = renderer.tokenizer
    return len(tokenizer)  # type: ignore[arg-type]  # every tokenizer has a length, though the protocol does not say so


def _logit_bias(given: dict[str, float], vocabulary: int) -> dict[int, float]:
    """Keys that are not numbers are ignored where they change nothing: OpenAI's own tests send one."""
    for key, value in given.items():
        if value and not (key.isascii() and key.isdigit()):
            raise ApiError(
                f"logit_bias: {key!r} is not the id of a token. Use ids of the model's own tokenizer.",
                param="logit_bias",
            )
    bias = {int(key): value for key, value in given.items() if key.isascii() and key.isdigit()}
    for token in bias:
        if token >= vocabulary:
            raise ApiError(
                f"logit_bias: {token} is no token of this model, which has {vocabulary}. Use ids of its own tokenizer.",
                param="logit_bias",
            )
    return bias
