"""Fields that a request has and burnish does not know: each is refused by name, on every route."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient

from burnish.serve.jobs.store import Store
from tests.serve.jobs.jobs_app import CHAT_ROW, jsonl
from tests.serve.whole_server import whole_server
from tests.serve.wire.plain_backend import live

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
UPLOADS, JOBS, GRADERS = "/v1/uploads", "/v1/fine_tuning/jobs", "/v1/fine_tuning/alpha/graders"
CHECK = {"type": "string_check", "name": "c", "input": "a", "reference": "a", "operation": "eq"}
FUNCTION = {"name": "f", "parameters": {"type": "object"}}
GOOD: dict[str, dict[str, Any]] = {
    CHAT: {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, "temperature": 0},
    COMPLETIONS: {"model": "tiny", "prompt": "a", "max_tokens": 2},
    EMBEDDINGS: {"model": "all-minilm-l6-v2", "input": "a"},
    UPLOADS: {"bytes": 1, "filename": "a.jsonl", "mime_type": "text/jsonl", "purpose": "fine-tune"},
    JOBS: {"model": "tiny", "training_file": "file-none"},
    f"{GRADERS}/run": {"grader": CHECK, "model_sample": "a"},
    f"{GRADERS}/validate": {"grader": CHECK},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Store, str]]:
    with whole_server(tmp_path_factory.mktemp("fields")) as (app, store), live(app) as url:
        yield TestClient(app, base_url="http://127.0.0.1"), store, url


@pytest.fixture
def client(server: tuple[TestClient, Store, str]) -> TestClient:
    return server[0]


def refused(reply: Any, param: str, said: str) -> None:
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert (error["param"], error["code"], error["type"]) == (param, "unknown_parameter", "invalid_request_error")
    assert error["message"].startswith(f"Unknown parameter: '{param}'. ") and said in error["message"]


def user(**more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "hi", **more}]}


def tool(function: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": FUNCTION if function is None else function, **more}]}


def form(**more: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, **more}}}


@pytest.mark.parametrize(
    ("path", "more", "param", "said"),
    [
        (CHAT, {"temprature": 0}, "temprature", "Did you mean 'temperature'?"),
        (CHAT, {"max_token": 3}, "max_token", "Did you mean 'max_tokens'?"),
        (CHAT, {"maxTokens": 3}, "maxTokens", "Did you mean 'max_tokens'?"),
        (CHAT, {"top-p": 0.1}, "top-p", "Did you mean 'top_p'?"),
        (CHAT, {"message": []}, "message", "Did you mean 'messages'?"),
        (CHAT, {"guided_json": {}}, "guided_json", "Use response_format with type json_schema."),
        (CHAT, {"guided_regex": "a"}, "guided_regex", "a pattern in the schema"),
        (CHAT, {"repetition_penalty": 1.1}, "repetition_penalty", "Use 'frequency_penalty'"),
        (CHAT, {"extra_body": {"top_k": 1}}, "extra_body", "send those themselves"),
        (CHAT, {"chat_template_kwargs": {"enable_thinking": False}}, "chat_template_kwargs", "No switch of a template"),
        (CHAT, {"include_usage": True}, "include_usage", "Its place is 'stream_options.include_usage'"),
        (CHAT, {"json_schema": {}}, "json_schema", "Its place is 'response_format.json_schema'"),
        (CHAT, {"made up \u2603": 0}, "made up \u2603", "Leave it out"),
        (CHAT, {"Temperature": 0}, "Temperature", "Did you mean 'temperature'?"),
        (CHAT, {"stream_options": {"include_usages": True}}, "stream_options.include_usages", "'include_usage'?"),
        (CHAT, {"response_format": {"type": "json_object", "schema": {}}}, "response_format.schema",
         "Its place is 'json_schema.schema'."),
        (CHAT, form(scheme={}), "response_format.json_schema.scheme", "Did you mean 'schema'?"),
        (CHAT, tool(name="f"), "tools[0].name", "Its place is 'function.name'."),
        (CHAT, tool({"name": "f", "parametres": {}}), "tools[0].function.parametres", "'parameters'?"),
        (CHAT, tool({"name": "f", "input_schema": {}}), "tools[0].function.input_schema", "Use 'parameters'."),
        (CHAT, {"functions": [{"name": "f", "param": {}}]}, "functions[0].param", "'parameters'?"),
        (CHAT, {"functions": [FUNCTION], "function_call": {"name": "f", "arguments": "{}"}},
         "function_call.arguments", "Leave it out"),
        (CHAT, {**tool(), "tool_choice": {"type": "function", "function": {"name": "f"}, "strict": True}},
         "tool_choice.strict", "Leave it out"),
        (CHAT, user(contents="x"), "messages[0].contents", "Did you mean 'content'?"),
        (CHAT, user(images=["x"]), "messages[0].images", "Leave it out"),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "txt": "b"}]}]},
         "messages[0].content[0].txt", "Did you mean 'text'?"),
        (CHAT, {"messages": [{"role": "assistant", "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "args": {}}}]}]},
         "messages[0].tool_calls[0].function.args", "Use 'arguments'."),
        (COMPLETIONS, {"messages": []}, "messages", "Send messages to /v1/chat/completions."),
        (CHAT, {"prompt": "a"}, "prompt", "to /v1/completions."),
        (CHAT, {"system": "Be brief."}, "system", "as the first message"),
        (CHAT, {"strict": True}, "strict", "Leave it out"),
        (COMPLETIONS, {"n_predict": 3}, "n_predict", "Use 'max_tokens'"),
        (COMPLETIONS, {"response_format": {"type": "json_object"}}, "response_format", "Leave it out"),
        (EMBEDDINGS, {"dimension": 3}, "dimension", "Did you mean 'dimensions'?"),
        (EMBEDDINGS, {"input_type": "query"}, "input_type", "The encoder reads all texts alike."),
        (UPLOADS, {"file_name": "a"}, "file_name", "Did you mean 'filename'?"),
        (UPLOADS, {"expires_after": {"anchor": "created_at", "second": 3600}}, "expires_after.second", "'seconds'?"),
        (JOBS, {"unknown": {"x": 1}}, "unknown", "Leave it out"),
        (JOBS, {"validation": "file-1"}, "validation", "Did you mean 'validation_file'?"),
        (JOBS, {"n_epochs": 3}, "n_epochs", "Its place is 'hyperparameters.n_epochs'."),
        (JOBS, {"hyperparameters": {"epochs": 3}}, "hyperparameters.epochs", "Did you mean 'n_epochs'?"),
        (JOBS, {"hyperparameters": {"learning_rate": 1e-4}}, "hyperparameters.learning_rate",
         "Did you mean 'learning_rate_multiplier'?"),
        (JOBS, {"method": {"type": "supervised", "hyperparameters": {}}}, "method.hyperparameters", "Leave it out"),
        (JOBS, {"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epoch": 3}}}},
         "method.supervised.hyperparameters.n_epoch", "Did you mean 'n_epochs'?"),
        (JOBS, {"method": {"type": "supervised", "supervised": {"hyperparameter": {}}}},
         "method.supervised.hyperparameter", "Did you mean 'hyperparameters'?"),
        (JOBS, {"integrations": [{"type": "wandb", "wandb": {"project": "p", "tag": "t"}}]},
         "integrations.0.wandb.tag", "Did you mean 'tags'?"),
        (f"{GRADERS}/run", {"sample": "a"}, "sample", "Did you mean 'model_sample'?"),
        (f"{GRADERS}/run", {"grader": {**CHECK, "operator": "eq"}}, "grader.operator", "Did you mean 'operation'?"),
        (f"{GRADERS}/validate", {"grader": {**CHECK, "ignore_case": True}}, "grader.ignore_case", "Leave it out"),
        (f"{GRADERS}/validate", {"grader": {"type": "text_similarity", "name": "a", "input": "a", "reference": "b",
         "metric": "bleu"}}, "grader.metric", "Did you mean 'evaluation_metric'?"),
        (f"{GRADERS}/validate", {"graders": [CHECK]}, "graders", "Did you mean 'grader'?"),
        (f"{GRADERS}/validate", {"grader": {"type": "multi", "name": "m", "graders": {"c": {**CHECK, "refrence": "b"}},
         "calculate_output": "c"}}, "grader.graders.c.refrence", "Did you mean 'reference'?"),
    ],
)  # fmt: skip
def test_an_unknown_field_is_refused_with_the_nearest_known_one(
    client: TestClient, path: str, more: dict[str, Any], param: str, said: str
) -> None:
    refused(client.post(path, json={**GOOD[path], **more}), param, said)


@pytest.mark.parametrize("path", GOOD)
def test_every_route_with_a_body_knows_its_fields(client: TestClient, path: str) -> None:
    refused(client.post(path, json={**GOOD[path], "made_up": 0}), "made_up", "Leave it out")


def test_routes_without_a_body_take_no_field(client: TestClient) -> None:
    routes = [f"{JOBS}/x/cancel", f"{JOBS}/x/pause", f"{JOBS}/x/resume", f"{UPLOADS}/x/cancel"]
    for path in routes:
        refused(client.post(path, json={"force": True}), "force", "Leave it out")
        assert client.post(path, json={}).status_code == client.post(path).status_code == 404
    refused(client.post(f"{UPLOADS}/x/complete", json={"part_ids": [], "md5sum": "x"}), "md5sum", "Did you mean 'md5'?")


def test_forms_know_their_fields(client: TestClient) -> None:
    def send(path: str, files: dict[str, bytes], **texts: str) -> Any:
        return client.post(path, data=texts, files=files)

    for name, near in (("purposes", "Did you mean 'purpose'?"), ("expires_after", "Did you mean 'expires_after[")):
        refused(send("/v1/files", {"file": b"{}"}, purpose="fine-tune", **{name: "x"}), name, near)
    assert client.get("/v1/files").json()["data"] == [], "nothing of a refused form is kept"
    begun = client.post(UPLOADS, json=GOOD[UPLOADS]).json()["id"]
    refused(send(f"{UPLOADS}/{begun}/parts", {"data": b"a"}, number="1"), "number", "Leave it out")


def test_a_new_job_is_not_begun_with_a_field_that_nobody_hears(server: tuple[TestClient, Store, str]) -> None:
    client, store, _ = server
    file = client.post("/v1/files", data={"purpose": "fine-tune"}, files={"file": jsonl([CHAT_ROW] * 12)}).json()["id"]
    asked = {"model": "tiny", "training_file": file}
    refused(client.post(JOBS, json={**asked, "sufix": "a"}), "sufix", "Did you mean 'suffix'?")
    assert not store.all("SELECT * FROM job")
    ignored = {"dpo": {"hyperparameters": {"beta": 1}}, "reinforcement": {"grader": CHECK}}
    assert client.post(JOBS, json={**asked, "method": {"type": "supervised", **ignored}}).status_code == 200
    client.delete(f"/v1/files/{file}")


@pytest.mark.parametrize(
    "more",
    [
        {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "safety_identifier": "s"},
        {"prompt_cache_key": "k", "prompt_cache_retention": "24h", "modalities": ["text"]},
        {"guided_json": None, "temprature": None},
        {"prediction": {"type": "content", "content": "a"}, "stream_options": {"include_obfuscation": False}},
        tool({**FUNCTION, "strict": True, "description": None}),
        form(description="d", strict=True),
        user(name="n", id="m1", timestamp=3),
        {"messages": [
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": "b", "refusal": None, "annotations": [], "audio": None,
             "function_call": None, "tool_calls": None, "reasoning_content": "c", "parsed": {"a": 1}},
            {"role": "user", "content": "c"}]},
    ],
)  # fmt: skip
def test_what_is_of_the_wire_and_changes_no_answer_is_taken(client: TestClient, more: dict[str, Any]) -> None:
    assert client.post(CHAT, json={**GOOD[CHAT], **more}).status_code == 200


def test_fields_of_the_wire_that_do_nothing_here_are_told(client: TestClient) -> None:
    asked = {**GOOD[CHAT], "reasoning_effort": "high", "web_search_options": {}, "verbosity": None, "user": "u"}
    for stream in (False, True):
        reply = client.post(CHAT, json={**asked, "stream": stream})
        assert reply.headers["x-burnish-ignored"] == "reasoning_effort, web_search_options"
    assert "x-burnish-ignored" not in client.post(CHAT, json=GOOD[CHAT]).headers
    spoken = client.post(CHAT, json={**GOOD[CHAT], "modalities": ["text", "audio"]})
    assert (spoken.status_code, spoken.json()["error"]["param"]) == (400, "modalities[1]")


def test_the_real_client_is_told_too(server: tuple[TestClient, Store, str]) -> None:
    asked: Any = {name: value for name, value in GOOD[CHAT].items() if name != "max_tokens"}
    with openai.OpenAI(base_url=server[2], api_key="any", max_retries=0) as real:
        with pytest.raises(openai.BadRequestError, match="Use response_format with type json_schema") as fault:
            real.chat.completions.create(**asked, extra_body={"guided_json": {"type": "object"}})
        assert (fault.value.param, fault.value.code) == ("guided_json", "unknown_parameter")
        first = real.chat.completions.create(**asked, max_completion_tokens=2, extra_body={"top_k": 1})
        message = first.choices[0].message
        again = real.chat.completions.create(**{**asked, "messages": [*asked["messages"], message]}, max_tokens=2)
        assert again.choices[0].finish_reason


class TestHonoured:
    """Fields of other servers that burnish follows."""

    def said(self, client: TestClient, path: str = CHAT, **more: Any) -> str:
        # Behind these two the tiny model's likeliest tokens have no rival with the same logit.
        asked = {"prompt": "b"} if path == COMPLETIONS else {"messages": [{"role": "user", "content": "hello there"}]}
        reply = client.post(path, json={**GOOD[path], "max_tokens": 8, "seed": 1, **asked, **more})
        assert reply.status_code == 200, reply.text
        choice = reply.json()["choices"][0]
        return str(choice["text"] if path == COMPLETIONS else choice["message"]["content"])

    @pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
    def test_one_likeliest_token_is_the_greedy_answer(self, client: TestClient, path: str) -> None:
        likeliest = self.said(client, path, temperature=0)
        for only_one in ({"top_k": 1}, {"min_p": 1.0}):
            assert self.said(client, path, temperature=2, **only_one) == likeliest
        free = self.said(client, path, temperature=2)
        assert free != likeliest
        for all_of_them in ({"top_k": 0}, {"top_k": -1}, {"min_p": 0}, {"top_k": 10**6}):
            assert self.said(client, path, temperature=2, **all_of_them) == free

    def test_a_bias_for_what_is_no_token_is_refused(self, client: TestClient) -> None:
        for path in (CHAT, COMPLETIONS):
            reply = client.post(path, json={**GOOD[path], "logit_bias": {"5": 1, "hello": 5}})
            assert reply.status_code == 400 and "'hello' is not the id of a token" in reply.json()["error"]["message"]
            assert self.said(client, path, logit_bias={"hello": 0}) == self.said(client, path)

    @pytest.mark.parametrize("more", [{"top_k": -2}, {"top_k": 1.5}, {"min_p": 1.5}, {"min_p": -0.1}])
    def test_their_bounds(self, client: TestClient, more: dict[str, Any]) -> None:
        error = client.post(CHAT, json={**GOOD[CHAT], **more}).json()["error"]
        assert error["param"] == next(iter(more))

    def test_one_of_several_choices(self, client: TestClient) -> None:
        choices = ["refund", "delivery", "something else"]
        said = self.said(client, guided_choice=choices)
        assert said in choices
        assert self.said(client, guided_choice=[each for each in choices if each != said]) in choices
        parts = client.post(CHAT, json={**GOOD[CHAT], "guided_choice": choices, "stream": True}).text.split("\n\n")
        deltas = [json.loads(part[6:])["choices"][0]["delta"] for part in parts if part.startswith("data: {")]
        assert "".join(delta.get("content") or "" for delta in deltas) == said

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ({"guided_choice": ["a", "a"]}, "a choice twice"),
            ({"guided_choice": []}, "at least 1 item"),
            ({"guided_choice": "a"}, "valid list"),
            ({"guided_choice": ["a"], **tool()}, "Take out response_format and tools"),
            ({"guided_choice": ["a"], "response_format": {"type": "json_object"}}, "Take out response_format"),
        ],
    )
    def test_what_cannot_be_chosen_among(self, client: TestClient, more: dict[str, Any], said: str) -> None:
        reply = client.post(CHAT, json={**GOOD[CHAT], **more})
        assert reply.status_code == 400 and said in reply.json()["error"]["message"]
