"""One question to an OpenAI-compatible endpoint: asked, asked again where that may help, answered or refused."""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx2

from burnish.errors import EndpointError
from burnish.recorded import wire_messages
from burnish.recording.endpoint import Endpoint, Pace, Patience
from burnish.recording.questions import Question

READ_TIMEOUT_S, CONNECT_TIMEOUT_S = 300.0, 10.0
LONGEST_PAUSE_S = 120.0
"""An endpoint that asks for a longer one is left alone; the same command goes on later."""
ASKED_AGAIN = frozenset({408, 409, 429})
URL_REMEDY = "Check --base-url; it usually ends in /v1."


class RowRefused(Exception):  # noqa: N818  (told row by row, not raised to the user)
    """The endpoint gives no answer to this question; others may have one."""


@dataclass(frozen=True)
class Reply:
    """An answer as it came."""

    text: str
    tool_calls: list[dict[str, Any]] | None
    latency_s: float
    prompt_tokens: int | None
    completion_tokens: int | None
    finish_reason: str | None


@dataclass(frozen=True)
class _Trouble:
    """Why there is no answer, and whether there may be one later."""

    fault: EndpointError | RowRefused
    may_pass: bool = False
    pause_s: float | None = None
    """That the endpoint asks for."""
    is_for_all: bool = False


class _OtherKnobs:
    """The model takes other knobs, which are known now."""


class Client:
    """A connection to the endpoint; learns once for all which knobs a model does not know."""

    def __init__(self, endpoint: Endpoint, patience: Patience, num_at_once: int) -> None:
        self.endpoint, self.patience = endpoint, patience
        self.unknown: set[str] = set()
        """Of max_tokens and temperature, those that the model has refused."""
        self._http = httpx2.AsyncClient(
            base_url=endpoint.base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {},
            timeout=httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx2.Limits(max_connections=num_at_once),
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def ask(self, question: Question, pace: Pace) -> Reply:
        """The endpoint's answer.

        Raises:
            RowRefused: there is none to this question.
            EndpointError: nothing will be answered: wrong URL, key or model, no credit, no connection.
        """
        attempt = 0
        while True:
            await pace.turn()
            asked = await self._ask_once(question)
            if isinstance(asked, Reply):
                return asked
            if isinstance(asked, _OtherKnobs):
                continue  # which do not count as an attempt: there are two of them
            attempt += 1
            if not asked.may_pass or attempt == self.patience.num_attempts:
                raise asked.fault
            if asked.pause_s is not None and asked.is_for_all:
                pace.pause(asked.pause_s)
            await asyncio.sleep(self.patience.wait_s(attempt - 1) if asked.pause_s is None else asked.pause_s)

    async def _ask_once(self, question: Question) -> "Reply | _Trouble | _OtherKnobs":
        began = time.perf_counter()
        try:
            response = await self._http.post("chat/completions", json=self._body(question))
        except httpx2.TransportError as error:
            return _Trouble(EndpointError(self._spell_unreached(error)), may_pass=True)
        if response.status_code == 200:
            return self._read(response, time.perf_counter() - began)
        return _OtherKnobs() if self._learns_from(response) else self._judge(response)

    def _body(self, question: Question) -> dict[str, Any]:
        limit = "max_completion_tokens" if "max_tokens" in self.unknown else "max_tokens"
        body: dict[str, Any] = {"model": self.endpoint.model, "messages": wire_messages(question.prompt)}
        body[limit] = self.endpoint.max_tokens
        if "temperature" not in self.unknown:
            body["temperature"] = self.endpoint.temperature
        if question.tools:
            body["tools"] = [json.loads(tool) for tool in question.tools]
        return body

    def _learns_from(self, response: httpx2.Response) -> bool:
        """Whether a knob was refused that can be spelled in another way (max_completion_tokens) or left out."""
        knob = _error_of(response).get("param")
        sent = json.loads(response.request.content)
        if response.status_code != 400 or knob not in ("max_tokens", "temperature") or knob not in sent:
            return False
        self.unknown.add(str(knob))
        return True

    def _read(self, response: httpx2.Response, latency_s: float) -> Reply:
        try:
            body = response.json()
            choice = body["choices"][0]
            message, usage = choice["message"], body.get("usage") or {}
            text = message.get("content") or message.get("refusal") or ""
            if not isinstance(text, str):
                raise TypeError
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            raise EndpointError(
                f"{self.endpoint.address}: it answers, but not as an OpenAI-compatible endpoint does. {URL_REMEDY}"
            ) from None
        return Reply(
            text,
            message.get("tool_calls") or None,
            latency_s,
            usage.get("prompt_tokens"),
            usage.get("completion_tokens"),
            choice.get("finish_reason"),
        )

    def _judge(self, response: httpx2.Response) -> "_Trouble":
        fault, pause_s = self._fault_of(response), _asked_pause_s(response.headers)
        if isinstance(fault, EndpointError) or not _may_help_to_ask_again(response):
            return _Trouble(fault)
        if pause_s is not None and pause_s > LONGEST_PAUSE_S:
            told = f"{self.endpoint.host} asks to come back in {pause_s:,.0f} s. The same command goes on then."
            return _Trouble(EndpointError(told))
        return _Trouble(fault, may_pass=True, pause_s=pause_s, is_for_all=response.status_code == 429)

    def _fault_of(self, response: httpx2.Response) -> EndpointError | RowRefused:
        """What a refusal means: for all questions, or for this one."""
        status, error = response.status_code, _error_of(response)
        said = self._hide_key(str(error.get("message") or response.reason_phrase).strip())
        host, env = self.endpoint.host, self.endpoint.key_env
        if status == 401:
            key = f"the key in {env}" if self.endpoint.key else f"no key ({env} is not set)"
            return EndpointError(f"{host} refuses {key}: {said} Set {env}, or name another with --api-key-env.")
        if status == 403:
            return EndpointError(f"{host}: the key in {env} may not use {self.endpoint.model}: {said}")
        if status == 404 and error:
            return EndpointError(f"{host}: {said} Check --model, and --base-url, which usually ends in /v1.")
        if status in (404, 405) or response.is_redirect:
            return EndpointError(f"{self.endpoint.address}: no endpoint is there ({status}). {URL_REMEDY}")
        if error.get("code") == "insufficient_quota":
            return EndpointError(f"{host}: {said} What was answered is kept; the same command goes on.")
        return RowRefused(f"{status}: {said}")

    def _spell_unreached(self, error: Exception) -> str:
        what = self._hide_key(str(error) or type(error).__name__)
        return f"{self.endpoint.host}: cannot be reached ({what}). Check --base-url and the network."

    def _hide_key(self, text: str) -> str:
        return text.replace(self.endpoint.key, "...") if self.endpoint.key else text


def _may_help_to_ask_again(response: httpx2.Response) -> bool:
    if response.headers.get("x-should-retry") == "false":
        return False
    return response.status_code in ASKED_AGAIN or response.status_code >= 500


def _asked_pause_s(headers: Mapping[str, str]) -> float | None:
    """The wait that the endpoint asks for, in seconds, or by a date; None where it does not say."""
    with contextlib.suppress(KeyError, ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    with contextlib.suppress(KeyError, ValueError):
        return max(0.0, float(headers["retry-after"]))
    with contextlib.suppress(KeyError, ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    return None


def _error_of(response: httpx2.Response) -> dict[str, Any]:
    """The error object of the OpenAI wire; empty where the reply has none."""
    try:
        body = response.json()
    except ValueError:
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}
