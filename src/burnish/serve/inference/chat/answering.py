"""What the engine says to a chat request, as the parts of its choices."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from burnish.data import Renderer
from burnish.model.base import is_encoder
from burnish.serve.engine.request import AnswersRequests, FinishReason, LabelRequest, Ticket
from burnish.serve.inference.backend import Backend
from burnish.serve.inference.chances import TokenTexts, label_items
from burnish.serve.inference.chat.plan import ChatPlan
from burnish.serve.inference.tickets import cancel_all, read_together, submit_all


@dataclass(frozen=True, kw_only=True)
class Part:
    """The next part of one choice."""

    choice: int
    text: str = ""
    num_tokens: int = 0
    num_cached: int = 0
    logprobs: tuple[dict[str, object], ...] = ()
    finish: FinishReason | None = None
    confidence: float | None = None
    """Of a label, in the last part."""


@dataclass(frozen=True, kw_only=True)
class Answering:
    """A request on its way: its tickets, and the parts that are known already."""

    num_prompt: int
    known: tuple[Part, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    texts: TokenTexts | None = None
    """Where probabilities are wanted."""

    def cancel(self) -> None:
        """Nobody waits any more."""
        cancel_all(self.tickets)

    async def parts(self) -> AsyncIterator[Part]:
        """The parts of all choices, those of one choice in order."""
        for part in self.known:
            yield part
        async for choice, piece in read_together(self.tickets):
            logprobs = self.texts.chat_items(piece.tokens) if self.texts else []
            yield Part(
                choice=choice,
                text=piece.text,
                num_tokens=piece.num_tokens,
                num_cached=piece.num_cached,
                logprobs=tuple(logprobs),
                finish=piece.finish,
            )


async def ask_solution(plan: ChatPlan, backend: Backend) -> Answering:
    """Have the model's solution answer; all choices say the same."""
    if plan.is_empty:
        return Answering(num_prompt=0, known=_empty(plan))
    answer = await backend.answer_solution(plan.model, plan.conversation)
    # A classifier on an encoder writes no tokens at all.
    writes = not is_encoder(plan.model.base)
    num_tokens = len(backend.renderer_for(plan.model).ids(answer.text)) if writes else 0
    finish = FinishReason.STOP if answer.has_ended else FinishReason.LENGTH
    known = _same(plan, answer.text, num_tokens, finish, answer.confidence)
    return Answering(num_prompt=answer.prompt_tokens, known=known)


async def ask_engine(plan: ChatPlan, engine: AnswersRequests, renderer: Renderer) -> Answering:
    """Put the request in line, once for each choice.

    Raises:
        EngineBusy: too many wait already.
    """
    request = plan.request
    assert request is not None
    num_prompt = len(request.prompt_ids)
    if plan.is_empty:
        return Answering(num_prompt=num_prompt, known=_empty(plan))
    if isinstance(request, LabelRequest):
        label = await engine.submit(request).label()
        text, num_tokens = plan.model.labels[label.index], len(request.label_ids[label.index])
        known = _same(plan, text, num_tokens, FinishReason.STOP, label.probability)
        return Answering(num_prompt=num_prompt, known=known)
    texts = TokenTexts(renderer) if plan.has_logprobs else None
    requests = [plan.request_of(choice) for choice in range(plan.num_choices)]
    return Answering(num_prompt=num_prompt, tickets=submit_all(engine, requests), texts=texts)


def _empty(plan: ChatPlan) -> tuple[Part, ...]:
    return tuple(Part(choice=i, finish=FinishReason.LENGTH) for i in range(plan.num_choices))


def _same(
    plan: ChatPlan, text: str, num_tokens: int, finish: FinishReason, confidence: float | None
) -> tuple[Part, ...]:
    has_logprobs = plan.has_logprobs and confidence is not None
    return tuple(
        Part(
            choice=i,
            text=text,
            num_tokens=num_tokens,
            logprobs=tuple(label_items(text, confidence or 0.0)) if has_logprobs else (),
            finish=finish,
            confidence=confidence,
        )
        for i in range(plan.num_choices)
    )
