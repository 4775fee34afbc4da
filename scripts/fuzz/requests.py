"""A request before it is bytes, and good ones for every route of the server."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BASE, TUNED, ENCODER = "tiny", "ft:gpt-4o-mini:acemeco:suffix:abc123", "text-embedding-3-small"
FILE, JOB, UPLOAD, PART = "file-abc123", "ft-AF1WoRqd3aJAHsqc9NY7iL8F", "upload_abc123", "string"
"""What the conformance tests' hook puts in place, as often as it is asked."""
ROWS = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}\n' * 12


@dataclass(frozen=True)
class Part:
    """A part of a form."""

    name: str
    value: bytes
    filename: str | None = None


@dataclass(frozen=True)
class Request:
    """What a client means to ask: a body is JSON (`body`), or a form, or neither."""

    method: str
    route: str
    """As the OpenAPI document has it, with {names}."""
    ids: dict[str, str]
    query: dict[str, str]
    body: Any = None
    form: tuple[Part, ...] = ()


def good_request(method: str, route: str, chance: random.Random) -> Request:
    """One that the server would answer, but for an object that another one has deleted."""
    ids = {name: value for name, value in IDS.items() if "{" + name in route}
    make = BODIES.get(f"{method} {route}")
    body = make(chance) if make else None
    if isinstance(body, tuple):
        return Request(method, route, ids, {}, form=body)
    return Request(method, route, ids, _query(method, route, chance), body)


IDS = {"file_id": FILE, "job_id": JOB, "upload_id": UPLOAD, "model": TUNED}
LISTS = ("/v1/files", "/v1/fine_tuning/jobs", "/events", "/checkpoints")


def _query(method: str, route: str, chance: random.Random) -> dict[str, str]:
    if method != "GET" or not route.endswith(LISTS):
        return {}
    known = {"limit": "3", "after": FILE, "order": "asc", "purpose": "fine-tune", "metadata[a]": "b"}
    return {name: known[name] for name in chance.sample(sorted(known), chance.randrange(4))}


def _chat(chance: random.Random) -> dict[str, Any]:
    body = {"model": chance.choice([BASE, BASE, BASE, TUNED]), "max_tokens": 4, **chance.choice(CHAT_EXTRAS)}
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Hello {chance.random()}"}]
    return {"messages": messages, **body}


CHAT_EXTRAS: list[dict[str, Any]] = [
    {},
    {"stream": True, "stream_options": {"include_usage": True}},
    {"temperature": 0.7, "top_p": 0.9, "seed": 3, "presence_penalty": 1, "frequency_penalty": -1, "stop": ["a", "b"]},
    {"logprobs": True, "top_logprobs": 3, "n": 2, "logit_bias": {"5": 10}},
    {"response_format": {"type": "json_object"}},
    {
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "a",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {
                        "a": {"type": "string", "pattern": "^[a-z]{2}$"},
                        "b": {"type": "array", "items": {"enum": [1, 2]}, "maxItems": 3},
                        "c": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/d"}]},
                    },
                    "required": ["a"],
                    "additionalProperties": False,
                    "$defs": {"d": {"type": "number", "minimum": 0}},
                },
            },
        }
    },
    {
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "look_up",
                    "description": "Looks up.",
                    "parameters": {"type": "object", "properties": {"key": {"type": "string", "maxLength": 3}}},
                },
            }
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
    },
    {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
        ]
    },
    {"functions": [{"name": "f", "parameters": {"type": "object"}}], "function_call": {"name": "f"}},
]


def _completion(chance: random.Random) -> dict[str, Any]:
    extra: list[dict[str, Any]] = [
        {"prompt": "Hello"},
        {"prompt": ["Hello", "There"], "n": 2, "best_of": 2, "logprobs": 2},
        {"prompt": [1, 2, 3], "echo": True, "logprobs": 0, "suffix": "!"},
        {"prompt": [[1, 2], [3]], "stream": True, "stop": "x"},
    ]
    return {"model": BASE, "max_tokens": 4, **chance.choice(extra)}


def _embedding(chance: random.Random) -> dict[str, Any]:
    inputs: list[str | list[str]] = ["a text", ["one", "two"]]
    formats: list[dict[str, Any]] = [{}, {"encoding_format": "float", "dimensions": 16}, {"encoding_format": "base64"}]
    return {"model": ENCODER, "input": chance.choice(inputs), **chance.choice(formats)}


def _file(chance: random.Random) -> tuple[Part, ...]:
    kept = (Part("expires_after[anchor]", b"created_at"), Part("expires_after[seconds]", b"3600"))
    return (Part("purpose", b"fine-tune"), *(kept if chance.random() < 0.5 else ()), Part("file", ROWS, "rows.jsonl"))


def _upload(chance: random.Random) -> dict[str, Any]:
    return {
        "bytes": chance.choice([0, 10, 1000]),
        "filename": "rows.jsonl",
        "mime_type": "text/jsonl",
        "purpose": "fine-tune",
        "expires_after": {"anchor": "created_at", "seconds": 3600},
    }


def _job(chance: random.Random) -> dict[str, Any]:
    hyperparameters = {"n_epochs": 1, "batch_size": "auto", "learning_rate_multiplier": 1.5}
    return {
        "model": BASE,
        "training_file": FILE,
        "validation_file": "file_id",
        "suffix": "fuzz",
        "seed": 1,
        "metadata": {"a": "b"},
        "integrations": [{"type": "wandb", "wandb": {"project": "p", "tags": ["t"]}}],
        **chance.choice(
            [
                {"hyperparameters": hyperparameters},
                {"method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}},
            ]
        ),
    }


def _grader(chance: random.Random) -> dict[str, Any]:
    check = {
        "type": "string_check",
        "name": "c",
        "input": "{{sample.output_text}}",
        "reference": "{{item.a}}",
        "operation": "ilike",
    }
    metrics = ["cosine", "fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", "rouge_5", "rouge_l"]
    alike = {**check, "type": "text_similarity", "name": "s", "evaluation_metric": chance.choice(metrics)}
    formula = "0.5 * c + max(s, 0) ** 2 / 3"
    both = {"type": "multi", "name": "m", "graders": {"c": check, "s": alike}, "calculate_output": formula}
    return {
        "grader": chance.choice([check, alike, both]),
        "model_sample": '{"a": 1}',
        "item": {"a": "a text", "b": [1, {"c": 2}]},
    }


BODIES: dict[str, Callable[[random.Random], Any]] = {
    "POST /v1/chat/completions": _chat,
    "POST /v1/completions": _completion,
    "POST /v1/embeddings": _embedding,
    "POST /v1/files": _file,
    "POST /v1/uploads": _upload,
    "POST /v1/uploads/{upload_id}/parts": lambda chance: (Part("data", b"0123456789", "blob"),),
    "POST /v1/uploads/{upload_id}/complete": lambda chance: {"part_ids": [PART], "md5": None},
    "POST /v1/fine_tuning/jobs": _job,
    "POST /v1/fine_tuning/alpha/graders/run": _grader,
    "POST /v1/fine_tuning/alpha/graders/validate": lambda chance: {"grader": _grader(chance)["grader"]},
}
