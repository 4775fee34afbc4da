"""Chat: what is answered, whole and as a stream, and what is refused."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openai import LengthFinishReasonError, OpenAI
from pydantic import BaseModel

from burnish.conversation import Role, build_conversation
from burnish.evaluate.calibration import Calibration
from burnish.serve.app import create_app
from burnish.serve.engine.request import GenerationRequest, SamplingParams
from tests.serve.wire.asking import TOOLS, USER, ask, refusal, streamed, text
from tests.serve.wire.plain_backend import (
    CHAT,
    EXTRACTOR,
    LABELLER,
    LABELS,
    SCHEMA,
    SOLVER,
    PlainBackend,
    settings,
)


class TestWhole:
    def test_the_answer_is_the_engine_s(self, client: TestClient, backend: PlainBackend) -> None:
        prompt = tuple(backend.renderer.prompt_ids(build_conversation(None, (Role.USER, "hi"))))
        sampling = SamplingParams(temperature=0.7, top_p=0.9, seed=5, logit_bias={97: 3.0})
        wanted = GenerationRequest(prompt_ids=prompt, max_new_tokens=9, sampling=sampling)
        said = "".join(piece.text for piece in backend.engine.pieces(backend.model, wanted))
        settings = {"temperature": 0.7, "top_p": 0.9, "seed": 5, "logit_bias": {"97": 3, "foo": 0}}
        assert text(client, max_tokens=9, **settings) == said.strip() != ""

    def test_the_shape_is_openai_s(self, client: TestClient) -> None:
        reply = ask(client, max_tokens=3)
        assert reply["object"] == "chat.completion" and reply["id"].startswith("chatcmpl-")
        (choice,) = reply["choices"]
        assert choice["finish_reason"] == "length" and choice["logprobs"] is None
        assert choice["message"]["role"] == "assistant" and choice["message"]["refusal"] is None
        assert reply["usage"] == {
            "prompt_tokens": 21,
            "completion_tokens": 3,
            "total_tokens": 24,
            "prompt_tokens_details": {"cached_tokens": 0},
        }

    def test_equal_seeds_get_equal_answers_and_choices_differ(self, client: TestClient) -> None:
        first = [choice["message"]["content"] for choice in ask(client, seed=-7, n=3)["choices"]]
        again = [choice["message"]["content"] for choice in ask(client, seed=-7, n=3)["choices"]]
        assert first == again and len(set(first)) == 3
        assert text(client, seed=-6) == first[1]

    def test_the_fingerprint_changes_with_the_adapter_only(self, client: TestClient) -> None:
        prints = [ask(client, model=model, max_tokens=1)["system_fingerprint"] for model in ("tiny", "tiny", CHAT)]
        assert prints[0] == prints[1] != prints[2]

    def test_stop_texts_end_the_answer_and_are_no_part_of_it(self, client: TestClient) -> None:
        whole = text(client, temperature=0, logit_bias={str(i): 100 for i in range(33, 60)})
        reply = ask(client, temperature=0, logit_bias={str(i): 100 for i in range(33, 60)}, stop=["~~", whole[3:5]])
        assert reply["choices"][0]["message"]["content"] == whole[: whole.index(whole[3:5])]
        assert reply["choices"][0]["finish_reason"] == "stop"

    def test_no_tokens_wanted_is_an_empty_answer(self, client: TestClient) -> None:
        choices = ask(client, max_tokens=0, max_completion_tokens=0, n=2)["choices"]
        assert [(c["message"]["content"], c["finish_reason"]) for c in choices] == [("", "length")] * 2

    def test_penalties_forbid_what_was_said(self, client: TestClient) -> None:
        """With a bias towards two letters, the penalty of one makes the other one's turn come."""
        two = {"temperature": 0, "logit_bias": {"64": 100, "65": 99}, "max_tokens": 8}
        assert len(set(text(client, **two))) == 1
        assert len(set(text(client, **two, frequency_penalty=2, presence_penalty=2))) == 2

    def test_probabilities_come_with_their_bytes(self, client: TestClient, backend: PlainBackend) -> None:
        reply = ask(client, logprobs=True, top_logprobs=2, max_tokens=6)["choices"][0]
        items = reply["logprobs"]["content"]
        assert len(items) == 6
        said = b"".join(bytes(item["bytes"]) for item in items)
        assert said.decode(errors="replace").strip() == reply["message"]["content"]
        for item in items:
            first, second = (top["logprob"] for top in item["top_logprobs"])
            assert 0 > first >= second and item["logprob"] <= first
        assert ask(client, logprobs=True, max_tokens=1)["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []


class TestModels:
    def test_a_specialist_has_its_own_system_and_is_greedy(self, client: TestClient) -> None:
        own = text(client, model=CHAT, seed=1)
        assert own == text(client, model=CHAT, seed=2)
        system = {"role": "developer", "content": "Be brief."}
        assert text(client, model=CHAT, messages=[system, *USER]) == own
        assert text(client, model=CHAT, messages=[{**system, "content": "Be long."}, *USER]) != own
        assert ask(client, model=CHAT)["usage"]["completion_tokens"] <= 12

    @pytest.mark.parametrize("model", [LABELLER, SOLVER])
    def test_labels_come_with_their_confidence(self, client: TestClient, model: str) -> None:
        reply = ask(client, model=model, n=2, logprobs=True)
        first, second = reply["choices"]
        assert first["message"]["content"] in LABELS and second["message"] == first["message"]
        assert 0 < first["burnish"]["confidence"] <= 1 and first["burnish"]["calibrated"] is False
        assert first["finish_reason"] == "stop"
        assert first["logprobs"]["content"][0]["token"] == first["message"]["content"]
        assert math.exp(first["logprobs"]["content"][0]["logprob"]) == pytest.approx(first["burnish"]["confidence"])
        chunks = streamed(client, model=model)
        assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == first["message"]["content"]
        assert chunks[-1]["choices"][0]["burnish"] == first["burnish"]

    @pytest.mark.parametrize("kind", [LABELLER, EXTRACTOR])
    def test_a_calibration_changes_the_confidence_alone(
        self, client: TestClient, backend: PlainBackend, kind: str
    ) -> None:
        own = ask(client, model=kind, logprobs=True)["choices"][0]
        calibration = Calibration(slope=0.5, shift=1.0, num_rows=40)
        models = [replace(model, calibration=calibration) for model in backend.models()]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backend, "_models", models)
            sure = ask(client, model=kind, logprobs=True)["choices"][0]
            chunks = streamed(client, model=kind)
        wanted = calibration.confidence(own["burnish"]["confidence"])
        assert own["burnish"]["calibrated"] is False
        assert sure["burnish"] == {"confidence": pytest.approx(wanted), "calibrated": True}
        assert chunks[-1]["choices"][0]["burnish"] == sure["burnish"]
        assert {**own, "burnish": None} == {**sure, "burnish": None}

    @pytest.mark.parametrize(
        "change",
        [
            {"temperature": 1.0, "seed": 1},
            {"max_tokens": 3},
            {"stop": ["}"]},
            {"logit_bias": {"65": 1}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}},
        ],
    )
    def test_an_answer_that_no_run_has_tested_has_no_confidence(
        self, client: TestClient, change: dict[str, Any]
    ) -> None:
        assert "burnish" not in ask(client, model=EXTRACTOR, **change)["choices"][0]
        assert "burnish" in ask(client, model=EXTRACTOR, response_format={"type": "json_object"})["choices"][0]

    def test_only_answers_that_are_right_or_wrong_have_a_confidence(self, client: TestClient) -> None:
        for model in ("tiny", CHAT):
            assert "burnish" not in ask(client, model=model)["choices"][0]

    def test_a_schema_of_the_model_is_kept(self, client: TestClient) -> None:
        assert set(json.loads(text(client, model=EXTRACTOR))) == set(SCHEMA["properties"])  # type: ignore[call-overload]

    def test_the_answer_of_a_label_model_has_no_other_form(self, client: TestClient) -> None:
        assert refusal(client, model=LABELLER, response_format={"type": "json_object"})[:2] == (400, "response_format")
        assert refusal(client, model=LABELLER, tools=TOOLS, tool_choice="required")[:2] == (400, "tool_choice")


class TestForm:
    def test_json_object_gives_an_object_or_says_that_it_was_cut(self, client: TestClient) -> None:
        choices = ask(client, response_format={"type": "json_object"}, max_tokens=5, n=6)["choices"]
        assert {choice["finish_reason"] for choice in choices} == {"stop", "length"}
        for choice in choices:
            content = choice["message"]["content"]
            assert content.startswith("{")
            assert choice["finish_reason"] == "length" or isinstance(json.loads(content), dict)

    def test_a_schema_that_cannot_be_followed_is_refused(self, client: TestClient) -> None:
        schema = {"name": "x", "schema": {"type": "array", "uniqueItems": True}}
        status, param, _, message = refusal(client, response_format={"type": "json_schema", "json_schema": schema})
        assert (status, param) == (400, "response_format") and "cannot be followed" in message

    def test_parse_gives_the_model_s_own_class(self, openai: OpenAI) -> None:
        class Inner(BaseModel):
            size: bool

        class Outer(BaseModel):
            inner: Inner
            other: Inner | None

        asked: Any = {"model": "tiny", "messages": USER, "response_format": Outer, "seed": 3}
        reply = openai.chat.completions.parse(**asked, max_tokens=80)
        assert isinstance(reply.choices[0].message.parsed, Outer)
        with openai.chat.completions.stream(**asked, max_tokens=80) as stream:
            assert stream.get_final_completion().choices[0].message.parsed == reply.choices[0].message.parsed
        with pytest.raises(LengthFinishReasonError):
            openai.chat.completions.parse(**asked, max_tokens=5)


class TestRefused:
    @pytest.mark.parametrize(
        ("body", "status", "param", "code", "said"),
        [
            ({"model": "gone"}, 404, "model", "model_not_found", "The model `gone` does not exist"),
            ({"messages": []}, 400, "messages", "too_short", "at least 1 item"),
            ({"messages": [{"role": "king", "content": ""}]}, 400, "messages[0].role", "literal_error", "'developer'"),
            ({"messages": [{"role": "user"}]}, 400, "messages[0].content", None, "content is missing"),
            ({"temperature": 3}, 400, "temperature", "less_than_equal", "less than or equal to 2"),
            ({"n": 129}, 400, "n", "less_than_equal", "128"),
            ({"stop": ["a"] * 5}, 400, "stop", "too_long", "at most 4"),
            ({"top_logprobs": 3}, 400, "top_logprobs", None, "needs logprobs"),
            ({"logit_bias": {"999": 1}}, 400, "logit_bias", None, "no token of this model, which has 258"),
            ({"tool_choice": "required"}, 400, "tool_choice", None, "Send tools."),
            ({"tool_choice": "maybe", "tools": TOOLS}, 400, "tool_choice", None, "no choice"),
            ({"messages": [{"role": "user", "content": "a" * 600}]}, 400, "messages", "context_length_exceeded", "512"),
            ({"model": "tiny-encoder"}, 400, "model", None, "makes embeddings"),
            ({"messages": [{"role": "user", "content": "\ud83d"}]}, 400, None, "value_error", "half of a character"),
            ({"response_format": {"type": "json_schema"}}, 400, "response_format", "value_error", "is missing"),
        ],
    )
    def test_it_says_what_is_wrong_and_where(
        self, client: TestClient, body: Any, status: int, param: str | None, code: str | None, said: str
    ) -> None:
        found = refusal(client, **body)
        assert found[:3] == (status, param, code)
        assert said in found[3]

    def test_pictures_cannot_be_read(self, client: TestClient) -> None:
        part = {"type": "image_url", "image_url": {"url": "data:,"}}
        status, param, _, message = refusal(client, messages=[{"role": "user", "content": [part]}])
        assert (status, param) == (400, "messages[0].content") and "'image_url' cannot be read" in message

    def test_what_the_template_refuses_is_told(self, tmp_path: Path) -> None:
        backend = PlainBackend(tmp_path)
        backend.renderer.tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
        with TestClient(create_app(settings(tmp_path), backend), base_url="http://127.0.0.1") as client:
            status, param, _, message = refusal(client)
        backend.engine.close()
        assert (status, param) == (400, "messages") and "roles must alternate" in message
