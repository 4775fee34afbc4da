"""Completions: plain texts and ids, probabilities of a prompt, the best of several."""

import json
import math
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from openai import OpenAI

from burnish.serve.engine.request import GenerationRequest
from tests.serve.wire.plain_backend import CHAT, LABELLER, PlainBackend


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    reply = client.post("/v1/completions", json={"model": "tiny", "prompt": "Once", "seed": 1, **body})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_the_text_goes_on_without_a_template(client: TestClient, backend: PlainBackend) -> None:
    ids = tuple(backend.renderer.ids("Once"))
    pieces = backend.engine.pieces(backend.model, GenerationRequest(prompt_ids=ids, max_new_tokens=16))
    reply = ask(client, temperature=0)
    assert reply["object"] == "text_completion" and reply["id"].startswith("cmpl-")
    (choice,) = reply["choices"]
    assert choice["text"] == "".join(piece.text for piece in pieces)
    assert (choice["finish_reason"], choice["logprobs"]) == ("length", None)
    assert (reply["usage"]["prompt_tokens"], reply["usage"]["completion_tokens"]) == (4, 16)


def test_ids_say_the_same_as_their_text(client: TestClient, backend: PlainBackend) -> None:
    ids = backend.renderer.ids("Once")
    wanted = ask(client, temperature=0)["choices"][0]["text"]
    assert ask(client, prompt=ids, temperature=0)["choices"][0]["text"] == wanted
    reply = ask(client, prompt=[ids, backend.renderer.ids("Twice")], temperature=0)
    assert [c["text"] for c in reply["choices"]] == [
        wanted,
        ask(client, prompt="Twice", temperature=0)["choices"][0]["text"],
    ]
    assert reply["usage"]["prompt_tokens"] == 9


def test_choices_are_numbered_prompt_by_prompt(client: TestClient) -> None:
    choices = ask(client, prompt=["a", "b"], n=2, echo=True, max_tokens=2)["choices"]
    assert [(c["index"], c["text"][0]) for c in choices] == [(0, "a"), (1, "a"), (2, "b"), (3, "b")]
    assert ask(client, prompt=["a", "b"], n=2, echo=True, max_tokens=2)["choices"] == choices


@pytest.mark.parametrize("as_ids", [False, True])
def test_the_probabilities_of_a_prompt_are_the_model_s(client: TestClient, backend: PlainBackend, as_ids: bool) -> None:
    """As lm-evaluation-harness asks for the likelihood of a text."""
    ids = backend.renderer.ids("héllo")
    reply = ask(client, prompt=ids if as_ids else "héllo", echo=True, logprobs=1, max_tokens=0)["choices"][0]
    assert (reply["text"], reply["finish_reason"]) == ("héllo", "length")
    logprobs = reply["logprobs"]
    start = [backend.renderer.start_id]  # before the first token nothing stands: it begins a text
    values_TV = torch.cat([backend.model(input_ids=torch.tensor([part])).logits[0] for part in (start, ids)])
    values_TV = values_TV.log_softmax(-1)
    wanted = [float(values_TV[i, token]) for i, token in enumerate(ids)]
    assert logprobs["token_logprobs"] == pytest.approx(wanted, abs=1e-12)
    assert logprobs["tokens"] == ["h", r"bytes:\xc3", r"bytes:\xa9", "l", "l", "o"]
    assert logprobs["text_offset"] == [0, 1, 1, 2, 3, 4]
    for top, best, token in zip(logprobs["top_logprobs"], values_TV.amax(-1), logprobs["tokens"], strict=False):
        assert max(top.values()) == pytest.approx(float(best)) and token in top


def test_probabilities_of_prompt_and_answer_are_told_together(client: TestClient) -> None:
    choice = ask(client, prompt="ab", echo=True, logprobs=0, max_tokens=3)["choices"][0]
    logprobs = choice["logprobs"]
    assert choice["text"].startswith("ab") and len(logprobs["tokens"]) == 5
    assert len(logprobs["token_logprobs"]) == len(logprobs["text_offset"]) == 5
    assert all(list(top) == [token] for top, token in zip(logprobs["top_logprobs"], logprobs["tokens"], strict=True))


def test_the_best_of_several_is_the_likeliest(client: TestClient) -> None:
    drawn = ask(client, n=4, logprobs=0, max_tokens=5)["choices"]
    means = [math.fsum(c["logprobs"]["token_logprobs"]) / len(c["logprobs"]["tokens"]) for c in drawn]
    reply = ask(client, n=1, best_of=4, max_tokens=5)
    assert reply["choices"][0]["text"] == drawn[means.index(max(means))]["text"] and len(set(means)) == 4
    assert reply["choices"][0]["logprobs"] is None and reply["usage"]["completion_tokens"] == 20


@pytest.mark.parametrize("more", [{}, {"echo": True, "logprobs": 2}, {"n": 2, "stop": "e"}, {"max_tokens": 0}])
def test_a_stream_says_what_the_whole_reply_says(client: TestClient, more: dict[str, Any]) -> None:
    whole = ask(client, prompt="Twé", **more)
    body = {
        "model": "tiny",
        "prompt": "Twé",
        "seed": 1,
        "stream": True,
        **more,
        "stream_options": {"include_usage": True},
    }
    *events, done, _ = client.post("/v1/completions", json=body).text.split("\n\n")
    assert done == "data: [DONE]"
    *chunks, last = [json.loads(event.removeprefix("data: ")) for event in events]
    assert last["choices"] == [] and last["usage"] == whole["usage"]
    for choice in whole["choices"]:
        own = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == choice["index"]]
        assert "".join(o["text"] for o in own) == choice["text"]
        assert [o["finish_reason"] for o in own] == [None] * (len(own) - 1) + [choice["finish_reason"]]
        for key, values in (choice["logprobs"] or {}).items():
            assert [value for o in own for value in o["logprobs"][key]] == values


def test_the_real_client_reads_it(openai: OpenAI) -> None:
    asked: Any = {"model": CHAT, "prompt": "Once", "max_tokens": 6}
    whole = openai.completions.create(**asked).choices[0].text
    assert "".join(chunk.choices[0].text for chunk in openai.completions.create(**asked, stream=True)) == whole != ""


def test_a_text_before_a_suffix_ends_where_that_begins(client: TestClient) -> None:
    asked = {"model": "tiny", "prompt": "Once", "max_tokens": 12, "temperature": 0}
    whole = client.post("/v1/completions", json=asked).json()["choices"][0]["text"]
    gap = client.post("/v1/completions", json={**asked, "suffix": whole[4:6]}).json()["choices"][0]
    assert (gap["text"], gap["finish_reason"]) == (whole[: whole.index(whole[4:6])], "stop")


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"best_of": 1, "n": 2}, "best_of", "smaller than n"),
        ({"best_of": 3, "stream": True}, "best_of", "cannot be streamed"),
        ({"prompt": [1, 999]}, "prompt", "999 is no token of this model, which has 258"),
        ({"prompt": "a" * 513}, "prompt", "maximum context length is 512 tokens"),
        ({"logprobs": 6}, "logprobs", "less than or equal to 5"),
        ({"prompt": ["a"] * 200, "n": 100}, "n", "too many"),
        ({"model": LABELLER}, "model", "continues no texts"),
    ],
)
def test_what_cannot_be_done_is_refused(client: TestClient, body: Any, param: str, said: str) -> None:
    reply = client.post("/v1/completions", json={"model": "tiny", "prompt": "Once", **body})
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, param) and said in error["message"]


def test_nothing_begins_like_every_text(client: TestClient) -> None:
    assert ask(client, prompt="", best_of=0)["usage"]["prompt_tokens"] == 1
