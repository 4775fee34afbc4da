"""The route of completions, read from top to bottom."""

import asyncio
import time
from collections.abc import Callable

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from burnish.serve.catalog import ServedModel
from burnish.serve.engine.request import Ticket
from burnish.serve.errors import CLIENT_GONE
from burnish.serve.inference.backend import Backend
from burnish.serve.inference.chances import TokenTexts
from burnish.serve.inference.completions.plan import CompletionPlan, check_completion, plan_completion
from burnish.serve.inference.completions.reply import CompletionReply
from burnish.serve.inference.identity import reply_head
from burnish.serve.inference.shapes import CompletionRequest
from burnish.serve.inference.sse import ClientGone, EventStream, unless_gone
from burnish.serve.inference.tickets import cancel_all, submit_all


def build_router(backend: Backend, *, on_first_token: Callable[[float], None] = lambda elapsed_s: None) -> APIRouter:
    """`POST /completions`; `on_first_token` is told how long each request waited for its first token."""
    router = APIRouter(tags=["inference"])

    @router.post("/completions", response_model=None, responses={200: {"content": {"text/event-stream": {}}}})
    async def create_completion(request: Request, body: CompletionRequest) -> Response:
        """The continuation of plain texts, whole or as a stream."""
        start = time.perf_counter()
        model = backend.resolve(body.model)
        check_completion(body, model)
        try:
            plan, tickets = await unless_gone(request.receive, _ask(body, model, backend))
            texts = TokenTexts(backend.renderer_for(model)) if plan.has_logprobs else None
            reply = CompletionReply(plan, tickets, texts, lambda: on_first_token(time.perf_counter() - start))
            head = reply_head("cmpl", "text_completion", model, backend)
            if body.stream:
                chunks = reply.chunks(head, includes_usage=body.includes_usage)
                return EventStream(chunks, on_end=lambda: cancel_all(tickets))
            return JSONResponse(await unless_gone(request.receive, _whole(reply, tickets, head)))
        except ClientGone:
            return Response(status_code=CLIENT_GONE)

    return router


async def _ask(
    body: CompletionRequest, model: ServedModel, backend: Backend
) -> tuple[CompletionPlan, tuple[Ticket, ...]]:
    """Everything that can be refused is refused here, before a stream has begun."""
    engine = await backend.engine_for(model)
    plan = await asyncio.to_thread(plan_completion, body, model, backend.renderer_for(model), engine.max_length)
    return plan, () if plan.is_empty else submit_all(engine, plan.requests)


async def _whole(reply: CompletionReply, tickets: tuple[Ticket, ...], head: dict[str, object]) -> dict[str, object]:
    try:
        return await reply.whole(head)
    finally:
        cancel_all(tickets)
