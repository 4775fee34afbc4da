"""A chat request -> what the engine is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from burnish.conversation import Conversation
from burnish.data import Renderer
from burnish.errors import RenderError
from burnish.model.base import is_encoder
from burnish.serve.catalog import ServedModel
from burnish.serve.engine.grammar import ANY_PROMPT, json_grammar
from burnish.serve.engine.request import GenerationRequest, LabelRequest, SamplingParams
from burnish.serve.errors import ApiError
from burnish.serve.inference.chat.messages import put_behind
from burnish.serve.inference.chat.thoughts import Thoughts, thoughts_of
from burnish.serve.inference.chat.tools import NO_TOOLS, Tools, call_or, tools_of
from burnish.serve.inference.sampling import room_for_answer, sampling_params, seed_of
from burnish.serve.inference.shapes import ChatRequest
from burnish.solution import JUDGED_TASKS


@dataclass(frozen=True, kw_only=True)
class ChatPlan:
    """What answers a chat request."""

    model: ServedModel
    conversation: Conversation
    tools: Tools = NO_TOOLS
    num_choices: int = 1
    has_logprobs: bool = False
    thoughts: Thoughts = Thoughts.NEVER
    is_empty: bool = False
    """Whether no token is wanted at all."""
    unheard: tuple[str, ...] = ()
    """Fields that the request set, and that do nothing for this model."""
    request: GenerationRequest | LabelRequest | None = None
    """None where a classifier answers."""
    schema: Mapping[str, Any] | None = None
    """What a finished answer that calls no tool fits."""

    def request_of(self, choice: int) -> GenerationRequest | LabelRequest:
        """What the engine is asked for the choice with that number."""
        assert self.request is not None
        if isinstance(self.request, LabelRequest):
            return self.request
        sampling = self.request.sampling
        return replace(self.request, sampling=replace(sampling, seed=seed_of(sampling, choice)))


LABEL_UNHEARD = (
    *("tools", "functions", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "logit_bias"),
    *("presence_penalty", "frequency_penalty", "max_tokens", "max_completion_tokens", "top_logprobs"),
)
"""Fields that change nothing where the most likely label is the answer."""


def check_chat(body: ChatRequest, model: ServedModel) -> None:
    """Refuse what can be refused without a tokenizer.

    Raises:
        ApiError: settings that contradict one another, or that this model cannot follow.
    """
    if body.top_logprobs and not body.logprobs:
        raise ApiError("top_logprobs needs logprobs: true beside it.", param="top_logprobs")
    if is_encoder(model.base) and not model.is_classifier:
        raise ApiError(f"{model.id} makes embeddings; it cannot chat. Ask another model.", param="model")
    if body.guided_choice is not None:
        _check_choice(body, model)
    if not (model.labels or model.is_classifier):
        return
    if body.response_format and body.response_format.type != "text":
        raise ApiError(f"{model.id} answers in a form of its own. Take out response_format.", param="response_format")
    if tools_of(body).must_call:
        raise ApiError(f"{model.id} calls no tools. Take out tool_choice.", param="tool_choice")


def _check_choice(body: ChatRequest, model: ServedModel) -> None:
    if model.task is not None and (model.labels or model.schema or model.is_classifier):
        told = f"{model.id} answers in a form of its own. Take out guided_choice."
    elif (body.response_format and body.response_format.type != "text") or tools_of(body).names:
        told = "guided_choice is a form of the answer by itself. Take out response_format and tools."
    elif len(set(body.guided_choice or ())) < len(body.guided_choice or ()):
        told = "guided_choice has a choice twice. Take one of them out."
    else:
        return
    raise ApiError(told, param="guided_choice")


def plan_answer(body: ChatRequest, conversation: Conversation, model: ServedModel) -> ChatPlan:
    """For a classifier; a plan for the engine begins so, too."""
    return ChatPlan(
        model=model,
        conversation=put_behind(model.system, conversation),
        num_choices=body.n or 1,
        has_logprobs=bool(body.logprobs),
        is_empty=_limit(body, model) == 0,
        unheard=_unheard(body) if model.labels or model.is_classifier else (),
    )


def _unheard(body: ChatRequest) -> tuple[str, ...]:
    """What is set to something else than its default; no tokens at all (`max_tokens` 0) are given as asked."""
    return tuple(name for name in LABEL_UNHEARD if getattr(body, name) and name not in _defaults(body))


def _defaults(body: ChatRequest) -> set[str]:
    return {name for name, value in (("top_p", 1), ("top_k", -1)) if getattr(body, name) == value}


def plan_chat(
    body: ChatRequest, conversation: Conversation, model: ServedModel, renderer: Renderer, max_length: int
) -> ChatPlan:
    """For a model that the engine runs.

    Raises:
        ApiError: the template refuses the messages, they are too long, or a schema cannot be followed.
    """
    if body.guided_choice:
        model = replace(model, labels=tuple(body.guided_choice), calibration=None)
    plan = plan_answer(body, conversation, model)
    tools = NO_TOOLS if model.labels else tools_of(body)
    prompt_ids = _prompt_ids(renderer, plan.conversation, tools)
    if model.labels:
        return replace(plan, request=_label_request(model, renderer, prompt_ids, max_length))
    limit = room_for_answer(len(prompt_ids), _limit(body, model), max_length, param="messages")
    request = GenerationRequest(
        prompt_ids=prompt_ids,
        max_new_tokens=limit,
        adapter=model.adapter,
        sampling=sampling_params(body, model, renderer),
        stop=body.stops,
        grammar=_grammar(body, model, renderer, tools) if limit else None,
        num_top=(body.top_logprobs or 0) if body.logprobs else None,
    )
    request = replace(request, tells_probability=_is_as_tested(body, model, request))
    thoughts = thoughts_of(renderer, prompt_ids, has_grammar=request.grammar is not None)
    # A text that the client stops at may stand in the middle of the JSON.
    schema = None if request.grammar is None or request.stop else _schema_of_answer(body, model)
    return replace(plan, tools=tools, thoughts=thoughts, request=request, schema=schema)


def _is_as_tested(body: ChatRequest, model: ServedModel, request: GenerationRequest) -> bool:
    """Whether an answer is the one that the run would have tested: only then is it known how often such are right."""
    is_greedy = request.sampling == SamplingParams(seed=request.sampling.seed)
    has_own_form = _wanted_schema(body, model) in (None, model.schema) and not tools_of(body).names
    return model.task in JUDGED_TASKS and is_greedy and has_own_form and not request.stop


def _limit(body: ChatRequest, model: ServedModel) -> int:
    limit = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    return model.max_new_tokens if limit is None else limit


def _prompt_ids(renderer: Renderer, conversation: Conversation, tools: Tools) -> tuple[int, ...]:
    try:
        return tuple(renderer.prompt_ids(conversation, tools.declarations))
    except RenderError as error:
        raise ApiError(f"{error}.", param="messages") from error


def _label_request(
    model: ServedModel, renderer: Renderer, prompt_ids: tuple[int, ...], max_length: int
) -> LabelRequest:
    label_ids = _label_ids(renderer, model.labels)
    longest = max(map(len, label_ids))
    room_for_answer(len(prompt_ids), longest, max_length, param="messages", needed=longest)
    return LabelRequest(prompt_ids=prompt_ids, label_ids=label_ids, adapter=model.adapter)


@lru_cache(maxsize=64)  # each label goes through the template
def _label_ids(renderer: Renderer, labels: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(renderer.answer_ids(ANY_PROMPT, label)) for label in labels)


def _grammar(body: ChatRequest, model: ServedModel, renderer: Renderer, tools: Tools) -> str | None:
    """Of a call that must be made; else of the form that the request asks for; else of the model's own."""
    if tools.must_call:
        return json_grammar(renderer, tools.schema, param="tools")
    wanted = _wanted_schema(body, model)
    if wanted is not None and tools.names:
        json_grammar(renderer, wanted)  # so that a fault is told where it is
        return json_grammar(renderer, call_or(tools, wanted), param="tools")
    schema = _schema_of_answer(body, model)
    return None if schema is None else json_grammar(renderer, schema)


def _schema_of_answer(body: ChatRequest, model: ServedModel) -> Mapping[str, Any] | None:
    wanted = _wanted_schema(body, model)
    return model.schema if wanted is None else wanted


def _wanted_schema(body: ChatRequest, model: ServedModel) -> Mapping[str, Any] | None:
    """The schema that the request asks for; a model that has one of its own knows no other JSON objects."""
    wanted = body.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return model.schema or {"type": "object"}
    return wanted.json_schema.schema_ if wanted.json_schema else None
