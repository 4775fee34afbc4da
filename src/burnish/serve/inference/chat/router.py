"""The route of chat, read from top to bottom."""

import asyncio
import time
from collections.abc import Callable

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from burnish.serve.catalog import ServedModel
from burnish.serve.errors import CLIENT_GONE
from burnish.serve.inference.backend import Backend
from burnish.serve.inference.chat.answering import Answering, ask_classifier, ask_engine
from burnish.serve.inference.chat.messages import conversation_of, put_behind
from burnish.serve.inference.chat.plan import ChatPlan, check_chat, plan_answer, plan_chat
from burnish.serve.inference.chat.reply import Reply
from burnish.serve.inference.identity import reply_head
from burnish.serve.inference.shapes import ChatRequest
from burnish.serve.inference.sse import ClientGone, EventStream, unless_gone

UNHEARD_HEADER = "x-burnish-ignored"


def build_router(backend: Backend, *, on_first_token: Callable[[float], None] = lambda elapsed_s: None) -> APIRouter:
    """`POST /chat/completions`; `on_first_token` is told how long each request waited for its first token."""
    router = APIRouter(tags=["inference"])

    @router.post("/chat/completions", response_model=None, responses={200: {"content": {"text/event-stream": {}}}})
    async def create_chat_completion(request: Request, body: ChatRequest) -> Response:
        """The answer to a conversation, whole or as a stream."""
        start = time.perf_counter()
        model = backend.resolve(body.model)
        check_chat(body, model)
        try:
            plan, answering = await unless_gone(request.receive, _ask(body, model, backend))
            reply = Reply(answering, plan, lambda: on_first_token(time.perf_counter() - start))
            if body.stream:
                head = reply_head("chatcmpl", "chat.completion.chunk", model, backend)
                chunks = reply.chunks(head, includes_usage=body.includes_usage)
                return _told(body, plan, EventStream(chunks, on_end=answering.cancel))
            head = reply_head("chatcmpl", "chat.completion", model, backend)
            return _told(body, plan, JSONResponse(await unless_gone(request.receive, _whole(reply, answering, head))))
        except ClientGone:
            return Response(status_code=CLIENT_GONE)

    return router


def _told(body: ChatRequest, plan: ChatPlan, reply: Response) -> Response:
    """The reply with the fields that did nothing; a body in OpenAI's shape has no place for them."""
    if unheard := (*body.unheard, *plan.unheard):
        reply.headers[UNHEARD_HEADER] = ", ".join(unheard)
    return reply


async def _ask(body: ChatRequest, model: ServedModel, backend: Backend) -> tuple[ChatPlan, Answering]:
    """Everything that can be refused is refused here, before a stream has begun."""
    conversation = conversation_of(body.messages)
    if model.is_classifier:
        plan = plan_answer(body, conversation, model)
        return plan, await ask_classifier(plan, backend)
    if model.solution is not None:
        conversation = await backend.shown(model, put_behind(model.system, conversation))
    model = await backend.routed(model, conversation)
    engine = await backend.engine_for(model)
    renderer = backend.renderer_for(model)
    # A long prompt takes a while to be cut into tokens; others are answered meanwhile.
    plan = await asyncio.to_thread(plan_chat, body, conversation, model, renderer, engine.max_length)
    return plan, await ask_engine(plan, engine, renderer)


async def _whole(reply: Reply, answering: Answering, head: dict[str, object]) -> dict[str, object]:
    try:
        return await reply.whole(head)
    finally:
        answering.cancel()
