"""Parts of choices -> the reply, whole or in chunks.

Both come of the same `Choice`, so that a stream says what the whole reply says.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

from burnish.conversation import ToolCall
from burnish.data.json_schema import find_breach
from burnish.serve.engine.request import FinishReason
from burnish.serve.errors import ApiError
from burnish.serve.inference.chat.answering import Answering, Part
from burnish.serve.inference.chat.plan import ChatPlan
from burnish.serve.inference.chat.reading import AnswerReader, Said
from burnish.serve.inference.chat.thoughts import Thought, ThoughtReader, Thoughts
from burnish.serve.inference.chat.tools import NO_TOOLS, Tools
from burnish.serve.inference.identity import usage


class Choice:
    """One answer as it grows."""

    def __init__(
        self, tools: Tools, thoughts: Thoughts, *, has_logprobs: bool, schema: Mapping[str, Any] | None = None
    ) -> None:
        self._thoughts, self._thought_reader = ThoughtReader(thoughts), AnswerReader(NO_TOOLS)
        self._reader = AnswerReader(tools)
        self._tools, self._has_logprobs, self._schema = tools, has_logprobs, schema
        self._thought: list[str] = []
        self._said: list[str] = []
        self._calls: list[ToolCall] = []
        self._logprobs: list[Mapping[str, object]] = []
        self._untold: list[Mapping[str, object]] = []
        self._last = Part(choice=0)
        self.num_tokens = 0

    def take(self, part: Part) -> list[Said | Thought]:
        """What the part adds."""
        self.num_tokens += part.num_tokens
        self._logprobs += part.logprobs
        self._untold += part.logprobs
        self._last = part
        is_last = part.finish is not None
        thought, text = self._thoughts.feed(part.text, is_last=is_last)
        thoughts = [Thought(str(item)) for item in self._thought_reader.feed(thought, is_last=is_last)]
        added = [*thoughts, *self._reader.feed(text, is_last=is_last)]
        for item in added:
            if isinstance(item, Thought):
                self._thought.append(item.text)
            elif isinstance(item, str):
                self._said.append(item)
            elif isinstance(item, ToolCall):
                self._calls.append(item)
            else:
                self._calls[-1] = replace(self._calls[-1], arguments=self._calls[-1].arguments + item.text)
        return added

    def whole(self, index: int) -> dict[str, Any]:
        """The choice of a reply."""
        content = "".join(self._said)
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if self._thought:
            message["reasoning_content"] = "".join(self._thought)
        if self._calls:
            message["content"] = content or None
            calls = [_call(call) for call in self._calls]
            message |= {"function_call": calls[0]["function"]} if self._tools.is_legacy else {"tool_calls": calls}
        choice = {"index": index, "message": message, "logprobs": self._as_logprobs(self._logprobs)}
        return {**choice, "finish_reason": self._finish_reason(), **self._extra()}

    def refuse_breach(self) -> None:
        """Let no finished answer pass that breaks the form which was promised.

        Raises:
            ApiError: it does, because the grammar that it followed is not the whole schema.
        """
        if self._last.finish is not FinishReason.STOP:
            return
        said = "".join(self._said)
        checked = [(self._schema, said)] if self._schema is not None and not self._calls else []
        checked += [(self._tools.promised[c.name], c.arguments) for c in self._calls if c.name in self._tools.promised]
        for schema, text in checked:
            if (breach := find_breach(schema, text)) is not None:
                message = f"The model's answer breaks the schema: {breach} Ask again, or use a simpler schema."
                raise ApiError(message, status=500, kind="server_error", code="answer_breaks_schema")

    def first_delta(self) -> dict[str, Any]:
        """The role, and only here; a message that may be nothing but calls begins without content."""
        return {"role": "assistant", "content": None if self._tools.names else "", "refusal": None}

    def deltas(self, added: list[Said | Thought]) -> list[dict[str, Any]]:
        """What was added, as deltas."""
        first = len(self._calls) - sum(isinstance(item, ToolCall) for item in added)
        deltas = list[dict[str, Any]]()
        for item in added:
            if isinstance(item, Thought):
                deltas.append({"reasoning_content": item.text})
            elif isinstance(item, str):
                deltas.append({"content": item})
            elif isinstance(item, ToolCall):
                deltas += self._call_deltas(item, first)
                first += 1
            else:
                deltas.append(self._arguments_delta(item.text, first - 1))
        return deltas

    def last_deltas(self) -> list[dict[str, Any]]:
        """What remains to be told of an answer without text and calls where content was none so far."""
        return [{"content": ""}] if self._tools.names and not self._said and not self._calls else []

    def chunk(self, index: int, delta: Mapping[str, Any], *, is_last: bool = False) -> dict[str, Any]:
        """The choice of a chunk, with the probabilities that no chunk has told yet."""
        untold, self._untold = self._untold, []
        return {
            "index": index,
            "delta": delta,
            "logprobs": self._as_logprobs(untold) if untold else None,
            "finish_reason": self._finish_reason() if is_last else None,
            **(self._extra() if is_last else {}),
        }

    def _call_deltas(self, call: ToolCall, index: int) -> list[dict[str, Any]]:
        """Id and name first, then the arguments that are known: clients join what is repeated."""
        head = _call(replace(call, arguments=""))
        first = (
            {"function_call": head["function"]} if self._tools.is_legacy else {"tool_calls": [{"index": index, **head}]}
        )
        return [first, *([self._arguments_delta(call.arguments, index)] if call.arguments else [])]

    def _arguments_delta(self, text: str, index: int) -> dict[str, Any]:
        if self._tools.is_legacy:
            return {"function_call": {"arguments": text}}
        return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}

    def _as_logprobs(self, items: list[Mapping[str, object]]) -> dict[str, Any] | None:
        return {"content": items, "refusal": None} if self._has_logprobs else None

    def _finish_reason(self) -> str:
        if self._calls and self._last.finish is FinishReason.STOP and not self._reader.is_cut:
            return "function_call" if self._tools.is_legacy else "tool_calls"
        return str(self._last.finish)

    def _extra(self) -> dict[str, Any]:
        confidence = self._last.confidence
        if confidence is None:
            return {}
        return {"burnish": {"confidence": confidence.value, "calibrated": confidence.is_calibrated}}


class Reply:
    """All choices of a request."""

    def __init__(self, answering: Answering, plan: ChatPlan, on_first_token: Callable[[], None]) -> None:
        self._answering, self._on_first_token = answering, on_first_token
        self._choices = [
            Choice(plan.tools, plan.thoughts, has_logprobs=plan.has_logprobs, schema=plan.schema)
            for _ in range(plan.num_choices)
        ]
        self._num_cached = 0
        self._has_begun = False

    async def whole(self, head: Mapping[str, Any]) -> dict[str, Any]:
        """The reply, once every choice has ended."""
        async for part in self._answering.parts():
            self._take(part)
        for choice in self._choices:
            choice.refuse_breach()
        return {**head, "choices": [choice.whole(i) for i, choice in enumerate(self._choices)], "usage": self._usage()}

    async def chunks(self, head: Mapping[str, Any], *, includes_usage: bool) -> AsyncIterator[dict[str, Any]]:
        """The chunks of a stream; choices appear first in their order."""
        head = {**head, "usage": None} if includes_usage else head
        for i, choice in enumerate(self._choices):
            yield {**head, "choices": [choice.chunk(i, choice.first_delta())]}
        async for part in self._answering.parts():
            choice = self._choices[part.choice]
            deltas = choice.deltas(self._take(part))
            for delta in [*deltas, *(choice.last_deltas() if part.finish else [])]:
                yield {**head, "choices": [choice.chunk(part.choice, delta)]}
            if part.finish is not None:
                choice.refuse_breach()
                yield {**head, "choices": [choice.chunk(part.choice, {}, is_last=True)]}
        if includes_usage:
            yield {**head, "choices": [], "usage": self._usage()}

    def _take(self, part: Part) -> list[Said | Thought]:
        if part.num_tokens and not self._has_begun:
            self._has_begun = True
            self._on_first_token()
        if part.choice == 0:
            self._num_cached = max(self._num_cached, part.num_cached)
        return self._choices[part.choice].take(part)

    def _usage(self) -> dict[str, Any]:
        num_new = sum(choice.num_tokens for choice in self._choices)
        return usage(self._answering.num_prompt, num_new, self._num_cached)


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
