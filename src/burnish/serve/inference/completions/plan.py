"""A completion request -> what the engine is asked. No chat template: the prompt is the text as it stands."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from burnish.data import Renderer
from burnish.model.base import is_encoder
from burnish.serve.catalog import ServedModel
from burnish.serve.engine.request import GenerationRequest
from burnish.serve.errors import ApiError
from burnish.serve.inference.sampling import num_tokens, room_for_answer, sampling_params, seed_of
from burnish.serve.inference.shapes import CompletionRequest

DEFAULT_TOKENS = 16
MAX_PROMPTS = 256
MAX_CHOICES = 1024


@dataclass(frozen=True)
class Prompt:
    """A text to be continued: its ids, and how many of them are not of the client's but begin every text."""

    text: str
    ids: tuple[int, ...]
    num_own: int


@dataclass(frozen=True, kw_only=True)
class CompletionPlan:
    """What answers a completion request."""

    prompts: tuple[Prompt, ...]
    requests: tuple[GenerationRequest, ...]
    """`num_drawn` for each prompt in turn."""
    num_drawn: int
    num_kept: int
    """How many of them are told, the most likely ones."""
    echoes: bool
    has_logprobs: bool

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be asked of the engine."""
        return not self.requests[0].max_new_tokens and not self.requests[0].echoes_prompt


def check_completion(body: CompletionRequest, model: ServedModel) -> None:
    """Refuse what can be refused without a tokenizer.

    Raises:
        ApiError: settings that contradict one another, or that this model cannot follow.
    """
    if is_encoder(model.base) or model.labels or model.is_classifier or model.solution:
        raise ApiError(f"{model.id} continues no texts. Use /v1/chat/completions or another model.", param="model")
    if body.best_of and body.best_of < (body.n or 1):
        raise ApiError("best_of is smaller than n. Raise it, or take it out.", param="best_of")
    if body.best_of and body.best_of > (body.n or 1) and body.stream:
        raise ApiError(
            "best_of cannot be streamed: the best is known at the end. Take one of them out.", param="best_of"
        )


def plan_completion(body: CompletionRequest, model: ServedModel, renderer: Renderer, max_length: int) -> CompletionPlan:
    """Everything that the engine is asked.

    Raises:
        ApiError: a prompt is too long or holds what is no token, or there are too many.
    """
    prompts = _prompts(body.prompt, renderer)
    num_kept = body.n or 1
    num_drawn = max(body.best_of or 0, num_kept)
    if len(prompts) * num_drawn > MAX_CHOICES:
        raise ApiError(f"{len(prompts)} prompts times {num_drawn} are too many. Send at most {MAX_CHOICES}.", param="n")
    return CompletionPlan(
        prompts=prompts,
        requests=tuple(
            _numbered(request, prompt * num_drawn + draw)
            for prompt, request in enumerate(_requests(body, prompts, model, renderer, max_length))
            for draw in range(num_drawn)
        ),
        num_drawn=num_drawn,
        num_kept=num_kept,
        echoes=bool(body.echo),
        has_logprobs=body.logprobs is not None,
    )


def _requests(
    body: CompletionRequest, prompts: Sequence[Prompt], model: ServedModel, renderer: Renderer, max_length: int
) -> list[GenerationRequest]:
    wanted = DEFAULT_TOKENS if body.max_tokens is None else body.max_tokens
    is_ranked = bool(body.best_of and body.best_of > (body.n or 1))
    num_top = body.logprobs if body.logprobs is not None else 0 if is_ranked else None
    sampling = sampling_params(body, model, renderer)
    return [
        GenerationRequest(
            prompt_ids=prompt.ids,
            max_new_tokens=room_for_answer(len(prompt.ids), wanted, max_length, param="prompt"),
            adapter=model.adapter,
            sampling=sampling,
            # No model here knows what comes behind a gap; the text that fills it ends where that begins.
            stop=(*body.stops, body.suffix) if body.suffix else body.stops,
            num_top=num_top,
            echoes_prompt=bool(body.echo) and body.logprobs is not None,
        )
        for prompt in prompts
    ]


def _numbered(request: GenerationRequest, choice: int) -> GenerationRequest:
    return replace(request, sampling=replace(request.sampling, seed=seed_of(request.sampling, choice)))


def _prompts(given: str | list[str] | list[int] | list[list[int]], renderer: Renderer) -> tuple[Prompt, ...]:
    """Each prompt; a list of numbers is a single one."""
    is_single = isinstance(given, str) or not given or isinstance(given[0], int)
    several: list[Any] = [given] if is_single else list(given)
    if len(several) > MAX_PROMPTS:
        raise ApiError(f"prompt: {len(several)} prompts. Send at most {MAX_PROMPTS}.", param="prompt")
    return tuple(_of_text(one, renderer) if isinstance(one, str) else _of_ids(one, renderer) for one in several)


def _of_text(text: str, renderer: Renderer) -> Prompt:
    """Behind the BOS where the tokenizer puts one; an empty text is what begins every text."""
    ids = renderer.ids(text)
    start = [renderer.start_id] if not ids or renderer.bos_id is not None else []
    return Prompt(text, (*start, *ids), len(start))


def _of_ids(ids: list[int], renderer: Renderer) -> Prompt:
    """The ids as they stand."""
    vocabulary = num_tokens(renderer)
    for token in ids:
        if token >= vocabulary:
            raise ApiError(f"prompt: {token} is no token of this model, which has {vocabulary}.", param="prompt")
    return Prompt(renderer.decode(ids), tuple(ids), 0) if ids else _of_text("", renderer)
