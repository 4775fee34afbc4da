"""What the engine says to a chat request, as the parts of its choices."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from burnish.data import Renderer
from burnish.evaluate.calibration import Calibration, Confidence, confidence_of
from burnish.serve.engine.request import AnswersRequests, FinishReason, LabelRequest, Piece, Ticket
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
    confidence: Confidence | None = None
    """In the last part, of an answer that is right or wrong."""


@dataclass(frozen=True, kw_only=True)
class Answering:
    """A request on its way: its tickets, and the parts that are known already."""

    num_prompt: int
    known: tuple[Part, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    texts: TokenTexts | None = None
    """Where probabilities are wanted."""
    calibration: Calibration | None = None

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
                confidence=self._confidence(piece),
            )

    def _confidence(self, piece: Piece) -> Confidence | None:
        """None of an answer that was cut: it is not the one that was asked for."""
        if piece.probability is None or piece.finish is not FinishReason.STOP:
            return None
        return confidence_of(piece.probability, self.calibration)


async def ask_classifier(plan: ChatPlan, backend: Backend) -> Answering:
    """Have a classifier answer, which writes no tokens; all choices say the same."""
    if plan.is_empty:
        return Answering(num_prompt=0, known=_empty(plan))
    answer = await backend.classify(plan.model, plan.conversation)
    assert answer.confidence is not None, "a classifier knows how likely its label is right"
    confidence = Confidence(answer.confidence, answer.is_calibrated)
    known = _same(plan, answer.text, 0, FinishReason.STOP, confidence, answer.confidence)
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
        confidence = confidence_of(label.probability, plan.model.calibration)
        known = _same(plan, text, num_tokens, FinishReason.STOP, confidence, label.probability)
        return Answering(num_prompt=num_prompt, known=known)
    texts = TokenTexts(renderer) if plan.has_logprobs else None
    requests = [plan.request_of(choice) for choice in range(plan.num_choices)]
    tickets = submit_all(engine, requests)
    return Answering(num_prompt=num_prompt, tickets=tickets, texts=texts, calibration=plan.model.calibration)


def _empty(plan: ChatPlan) -> tuple[Part, ...]:
    return tuple(Part(choice=i, finish=FinishReason.LENGTH) for i in range(plan.num_choices))


def _same(
    plan: ChatPlan,
    text: str,
    num_tokens: int,
    finish: FinishReason,
    confidence: Confidence,
    probability: float,
) -> tuple[Part, ...]:
    """`probability`: of a label, the model's own."""
    return tuple(
        Part(
            choice=i,
            text=text,
            num_tokens=num_tokens,
            logprobs=tuple(label_items(text, probability)) if plan.has_logprobs else (),
            finish=finish,
            confidence=confidence,
        )
        for i in range(plan.num_choices)
    )
