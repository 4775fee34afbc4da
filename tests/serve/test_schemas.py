"""Answers under a JSON schema, on the real server with a real model: valid, cut, or an error."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import openai
import pytest

from burnish.serve.inference.chat import reply
from burnish.serve.jobs.store import open_store
from burnish.serve.server import build_app
from burnish.serve.settings import ServeSettings
from tests.serve.wire.plain_backend import live
from tests.tiny import own_cache, save_base

ENDLESS = "this part refers to itself without an end"
WIDE = "has more than 64 bits"
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"$ref": "#"}, "$", ENDLESS),
    ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "$", ENDLESS),
    ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}, "type": "object"}, "$.$defs.a", ENDLESS),
    ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "$", ENDLESS),
    (
        {"type": "object", "properties": {"a": {"type": "array", "minItems": 1, "items": {"$ref": "#/properties/a"}}}},
        "$.properties.a",
        ENDLESS,
    ),
    ({"$ref": "#/$defs/none"}, "$", "is nowhere in the schema"),
    ({"$ref": "https://example.org/x"}, "$", "cannot be followed"),
    ({"type": "object", "properties": {"n": {"type": "integer", "maximum": 10**25}}}, "$.properties.n.maximum", WIDE),
    ({"type": "array", "items": {"const": -(2**63)}}, "$.items.const", WIDE),
    ({"enum": [1, {"a": [2**70]}]}, "$.enum", WIDE),
    (
        {"type": "object", "properties": {"n": {"type": "integer", "minimum": 5, "maximum": 3}}, "required": ["n"]},
        "$.properties.n",
        "greater than maximum",
    ),
    (
        {"type": "array", "minItems": 1, "items": {"allOf": [{"type": "string"}, {"type": "integer"}]}},
        "$.items",
        "incompatible",
    ),
    ({"type": "array", "items": {"type": "array", "uniqueItems": True}}, "$.items", "uniqueItems"),
    ({"anyOf": [{"type": "null"}, {"not": {"type": "string"}}]}, "$.anyOf[1]", "not"),
    ({"type": "object", "properties": {"n": {"type": "strin"}}}, "$.properties.n.type", "no JSON schema"),
    ({"type": "array", "items": {"multipleOf": 0}}, "$.items.multipleOf", "no JSON schema"),
]
KEPT: list[dict[str, Any]] = [
    {"type": "object", "properties": {"a": {"$ref": "#"}}, "additionalProperties": False},
    {"$defs": {"n": {"type": ["integer", "null"], "minimum": -(2**62), "maximum": 2**62}}, "$ref": "#/$defs/n"},
    {"type": "array", "items": {"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 1}, "maxItems": 2},
    {"type": "string", "pattern": "^[a-f]{2,4}$"},
    {"type": "object", "properties": {"größe": {"enum": ["S", "é", None]}}, "required": ["größe"]},
    {"anyOf": [{"const": 1.0}, {"type": "string", "format": "date"}]},
    {"type": "object", "patternProperties": {"^k": {"type": "boolean"}}, "additionalProperties": False},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 6},
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    folder: Path = tmp_path_factory.mktemp("schemas")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_CACHE", own_cache(folder))
        settings = ServeSettings(runs=folder / "runs", base=str(save_base(folder / "tiny")))
        with open_store(settings.folder) as store, live(build_app(settings, store)) as url:
            yield openai.OpenAI(base_url=url, api_key="any", max_retries=0)


def ask(client: openai.OpenAI, schema: dict[str, Any], **more: Any) -> Any:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    question: Any = [{"role": "user", "content": "?"}]
    return client.chat.completions.create(
        model="tiny", messages=question, response_format=form, max_tokens=60, seed=1, **more
    )


@pytest.mark.parametrize(("schema", "path", "reason"), REFUSED)
def test_a_schema_that_cannot_be_kept_is_refused_with_the_part(
    client: openai.OpenAI, schema: dict[str, Any], path: str, reason: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, schema)
    body: Any = caught.value.body
    assert (body["param"], body["code"]) == ("response_format", "invalid_schema")
    assert body["message"].startswith(f"at {path}: ") and reason in body["message"]


@pytest.mark.parametrize("schema", KEPT)
def test_a_finished_answer_fits_its_schema(client: openai.OpenAI, schema: dict[str, Any]) -> None:
    for seed in range(3):
        choice = ask(client, schema, temperature=1.0, extra_body={"seed": seed}).choices[0]
        assert choice.finish_reason in ("stop", "length")
        if choice.finish_reason == "stop":
            value = json.loads(choice.message.content)
            if "items" in schema:  # jsonschema divides floats: 0.07 would be no multiple of 0.01
                assert all(abs(item) <= 1 and float(round(100 * item, 9)).is_integer() for item in value)
            else:
                jsonschema.validate(value, schema)


def test_a_finished_answer_that_breaks_its_schema_is_an_error(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the grammar were looser than the schema: the answer is held against a narrower one."""
    narrow = {"const": "nothing that the grammar writes"}
    check = reply.find_breach
    monkeypatch.setattr(reply, "find_breach", lambda schema, text: check(narrow, text))
    with pytest.raises(openai.InternalServerError, match="The model's answer breaks the schema") as caught:
        ask(client, {"enum": ["a", "b"]})
    body: Any = caught.value.body
    assert body["code"] == "answer_breaks_schema"
    with pytest.raises(openai.APIError, match="breaks the schema"):
        chunks = list(ask(client, {"enum": ["a", "b"]}, stream=True))
        assert not any(chunk.choices and chunk.choices[0].finish_reason for chunk in chunks)
