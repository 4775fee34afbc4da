"""What a fuzzer has found: bodies and numbers that Python reads in a way of its own."""

import time

import pytest
from fastapi.testclient import TestClient

from burnish.serve.jobs.graders.similarity import rouge_l
from burnish.serve.json_values import MAX_DEPTH, check_json_value
from tests.serve.jobs.jobs_app import CHAT_ROW, create, jsonl, upload
from tests.serve.jobs.test_files import refused
from tests.serve.jobs.test_graders import RUN, VALIDATE, check, run

MANY_DIGITS = "9" * 5000
"""More than Python turns into a number."""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' + b"[" * 300 + b"]" * 300 + b"}", f"nested more than {MAX_DEPTH} deep"),
        (b'{"a": NaN}', "NaN is no JSON"),
        (b'{"a": [-Infinity]}', "-Infinity is no JSON"),
        (b'{"a": {"\\ud800": 1}}', "half of a character"),
        (b'{"a": ' + MANY_DIGITS.encode() + b"}", "not valid JSON"),
    ],
    ids=["objects", "lists", "deep", "nan", "infinity", "surrogate", "digits"],
)
def test_a_body_that_nothing_could_carry_is_refused(client: TestClient, content: bytes, said: str) -> None:
    for path in ("/fine_tuning/jobs", "/uploads", VALIDATE):
        refused(client.post(path, content=content), 400, said)


def test_a_value_may_be_nested_as_deeply_as_schemas_are() -> None:
    value: object = "a"
    for _ in range(MAX_DEPTH):
        value = {"items": value}
    check_json_value(value)
    with pytest.raises(ValueError, match="nested more than"):
        check_json_value([value])


def test_a_number_of_thousands_of_digits_is_out_of_bounds(client: TestClient) -> None:
    for path in ("/files", "/fine_tuning/jobs"):
        refused(client.get(path, params={"limit": MANY_DIGITS}), 400, "whole number from 1 to 10,000", "limit")
    kept = {"expires_after[anchor]": "created_at", "expires_after[seconds]": MANY_DIGITS}
    refused(upload(client, b"x", **kept), 400, "from 3600 to 2592000", "expires_after[seconds]")
    file_id = upload(client, jsonl([CHAT_ROW] * 10)).json()["id"]
    assert create(client, file_id, {"x-stainless-retry-count": MANY_DIGITS}).status_code == 200
    reply = run(client, check(input="{{ item.list." + MANY_DIGITS + " }}"), "a", {"list": [1], "want": "a"}).json()
    assert reply["metadata"]["errors"]["invalid_variable_error"]


def test_an_answer_that_is_nested_too_deeply_cannot_be_parsed(client: TestClient) -> None:
    reply = run(client, check(input="{{ sample.output_json.a }}"), "[" * 100_000, {"want": "a"}).json()
    assert reply["metadata"]["errors"]["sample_parse_error"]


def test_a_template_does_not_fill_the_memory(client: TestClient) -> None:
    grader = check(input="{{ sample.output_text }}" * 2000)
    reply = client.post(RUN, json={"grader": grader, "model_sample": "a" * 1000, "item": {"want": "a"}})
    refused(reply, 400, "longer than 1,048,576 characters", "grader")


def test_the_longest_common_subsequence_of_long_texts_is_quick() -> None:
    assert rouge_l(["a", "b", "c", "d"], ["b", "x", "d"]) == pytest.approx(4 / 7)
    start = time.perf_counter()
    assert rouge_l(["a", "b"] * 10_000, ["b", "a"] * 10_000) == pytest.approx(19_999 / 20_000)
    assert time.perf_counter() - start < 10  # 400 million steps, one by one, take a minute
