"""Graders, through their routes; similarities against values counted by hand."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from burnish.serve.jobs.graders.formula import FormulaError, UnknownName, evaluate_formula
from burnish.serve.jobs.graders.similarity import similarity
from tests.serve.jobs.test_files import refused

RUN, VALIDATE = "/fine_tuning/alpha/graders/run", "/fine_tuning/alpha/graders/validate"


def check(operation: str = "eq", **changes: Any) -> dict[str, Any]:
    grader = {"type": "string_check", "name": "same", "operation": operation}
    return {**grader, "input": "{{ sample.output_text }}", "reference": "{{item.want}}", **changes}


def run(client: TestClient, grader: Any, sample: str, item: Any = None) -> Any:
    return client.post(RUN, json={"grader": grader, "model_sample": sample, "item": item})


@pytest.mark.parametrize(
    ("operation", "sample", "want", "reward"),
    [
        ("eq", "Paris", "Paris", 1), ("eq", "paris", "Paris", 0), ("ne", "paris", "Paris", 1), ("ne", "a", "a", 0),
        ("like", "In Paris.", "Paris", 1), ("like", "In paris.", "Paris", 0), ("ilike", "In paris.", "Paris", 1),
        ("ilike", "Rome", "Paris", 0),
    ],
)  # fmt: skip
def test_a_string_check_gives_one_or_nothing(
    client: TestClient, operation: str, sample: str, want: str, reward: int
) -> None:
    reply = run(client, check(operation), sample, {"want": want}).json()
    assert reply["reward"] == reward
    assert reply["sub_rewards"] == {} == reply["model_grader_token_usage_per_model"]
    metadata = reply["metadata"]
    assert (metadata["name"], metadata["type"], metadata["scores"]) == ("same", "string_check", {"same": reward})
    assert metadata["token_usage"] is None is metadata["sampled_model_name"]
    assert sum(value is False for value in metadata["errors"].values()) == 11


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ sample.output_json.a.b }}", "7"), ("{{sample.output_json.list.1}}", "y"), ("[{{ item.n }}]", "[3]"),
        ("{{ sample.choices.0.message.content }}", '{"a": {"b": 7}, "list": ["x", "y"]}'), ("{ item.n }", "{ item.n }"),
        ("{{ sample.output_tools }}", "[]"), ("{{ item.n }}-{{ item.o.p }}", '3-"{{ item.n }}"'),
    ],
)  # fmt: skip
def test_templates_are_filled_once(client: TestClient, template: str, text: str) -> None:
    item = {"n": 3, "o": {"p": '"{{ item.n }}"'}}
    grader = check(input=template, reference="{{ item.text }}")
    sample = '{"a": {"b": 7}, "list": ["x", "y"]}'
    assert run(client, grader, sample, {**item, "text": text}).json()["reward"] == 1


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{ item.other }}", "invalid_variable_error"), ("{{ sample }}", "invalid_variable_error"),
        ("{{ sample.output_text.x }}", "invalid_variable_error"), ("{{ os.environ }}", "invalid_variable_error"),
        ("{{ sample.output_json.a }}", "sample_parse_error"),
    ],
)  # fmt: skip
def test_what_a_template_does_not_find_is_told_beside_the_reward(client: TestClient, template: str, error: str) -> None:
    reply = run(client, check(input=template), "no JSON", {"want": "x"}).json()
    told = [name for name, is_so in reply["metadata"]["errors"].items() if is_so]
    assert (reply["reward"], told) == (0, [error])


@pytest.mark.parametrize(
    ("metric", "text", "reference", "value"),
    [
        ("rouge_1", "the cat sat", "the cat ran off", 2 * 2 / 7), ("rouge_2", "the cat sat", "the cat ran off", 2 / 5),
        ("rouge_3", "a b", "a b", 1.0), ("rouge_5", "a b c d e f", "a b c d e g", 2 / 4), ("rouge_3", "a b", "b a", 0),
        ("rouge_l", "a b c d", "b d c e f", 2 * 2 / 9), ("rouge_l", "", "a", 0), ("rouge_l", "", "", 1),
        # 4 + 3 grams of two and three words agree: (2 + 1) / max(2 + 1, 3 + 2 + 1)
        ("gleu", "the cat", "The cat sat", 3 / 6), ("gleu", "x", "y", 0), ("fuzzy_match", "ab", "abcd", 2 * 2 / 6),
        ("bleu", "the cat sat on the mat", "the cat sat on the mat", 1), ("bleu", "x", "the cat", 0),
    ],
)  # fmt: skip
def test_similarities_are_those_counted_by_hand(metric: str, text: str, reference: str, value: float) -> None:
    assert similarity(metric, text, reference) == pytest.approx(value, abs=1e-9)


SIMILAR = {"type": "text_similarity", "name": "near", "input": "{{ sample.output_text }}", "reference": "a b"}


@pytest.mark.parametrize("metric", ["cosine", "meteor"])
def test_a_similarity_that_is_not_computed_is_valid_but_not_run(client: TestClient, metric: str) -> None:
    grader = {**SIMILAR, "evaluation_metric": metric}
    assert client.post(VALIDATE, json={"grader": grader}).json() == {"grader": grader}
    refused(run(client, grader, "a b"), 400, f"does not compute {metric}", "grader.evaluation_metric")


@pytest.mark.parametrize("form", ["dict", "list"])
def test_several_graders_are_joined_by_a_formula(client: TestClient, form: str) -> None:
    graders = {"same": check(), "near": {**SIMILAR, "evaluation_metric": "rouge_1"}}
    grader = {
        "type": "multi", "name": "all", "graders": graders if form == "dict" else list(graders.values()),
        "calculate_output": "0.25 * same + 0.75 * near^2",
    }  # fmt: skip
    reply = run(client, grader, "a c", {"want": "a c"}).json()
    assert reply["sub_rewards"] == {"same": 1, "near": 0.5}
    assert reply["reward"] == pytest.approx(0.25 + 0.75 * 0.25)
    assert reply["metadata"]["scores"] == {"same": 1, "near": 0.5, "all": reply["reward"]}


def test_one_grader_in_place_of_several_is_taken(client: TestClient) -> None:
    grader = {"type": "multi", "name": "all", "graders": check(), "calculate_output": "same"}
    assert run(client, grader, "x", {"want": "x"}).json()["reward"] == 1


@pytest.mark.parametrize(("formula", "error"), [("same +", "formula_parse_error"), ("other", "invalid_variable_error")])
def test_a_formula_that_cannot_be_computed_is_told_beside_the_reward(
    client: TestClient, formula: str, error: str
) -> None:
    grader = {"type": "multi", "name": "all", "graders": {"same": check()}, "calculate_output": formula}
    reply = run(client, grader, "x", {"want": "x"}).json()
    assert reply["reward"] == 0 and reply["metadata"]["errors"][error] is True


UNRUN = {
    "python": {"type": "python", "name": "p", "source": "def grade(sample, item): return 1.0"},
    "score_model": {"type": "score_model", "name": "s", "model": "m", "input": [{"role": "user", "content": "?"}]},
    "label_model": {
        "type": "label_model", "name": "l", "model": "m", "input": [{"role": "user", "content": "?"}],
        "labels": ["a", "b"], "passing_labels": ["a"],
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", list(UNRUN))
def test_graders_that_need_code_or_a_model_are_valid_but_not_run(client: TestClient, kind: str) -> None:
    grader = UNRUN[kind]
    assert client.post(VALIDATE, json={"grader": grader}).json() == {"grader": grader}
    refused(run(client, grader, "x"), 400, f"A {kind} grader is not run", "grader.type")


@pytest.mark.parametrize(
    ("grader", "param"),
    [
        (None, "grader"), ({}, "grader"), ({"type": "other"}, "grader"), (check("near"), "grader.operation"),
        ({**SIMILAR, "evaluation_metric": "rouge_6"}, "grader.evaluation_metric"), (check(name=""), "grader.name"),
        ({"type": "multi", "name": "m", "graders": {"a": {**check(), "input": 3}}, "calculate_output": "a"},
         "grader.graders.a.input"),
        ({"type": "multi", "name": "m", "graders": [check(), check()], "calculate_output": "a"}, "grader"),
        ({"type": "python", "name": "p"}, "grader.source"),
    ],
)  # fmt: skip
def test_a_grader_of_a_wrong_shape_is_refused_with_its_place(client: TestClient, grader: Any, param: str) -> None:
    refused(client.post(VALIDATE, json={"grader": grader}), 400, "is not accepted", param)
    refused(run(client, grader, "x"), 400, "is not accepted", param)


def test_a_body_without_a_grader_or_a_sample_is_refused(client: TestClient) -> None:
    refused(client.post(RUN, json={}), 400, "is missing", "grader")
    refused(client.post(RUN, json={"grader": check()}), 400, "is missing", "model_sample")
    refused(client.post(RUN, content=b"{"), 400, "not valid JSON")
    refused(client.post(RUN, json=[1]), 400, "must be a JSON object")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(100 - abs(a - b)) / 100", 0.985), ("2^3^2", 512), ("-a^2", -4), ("min(a, b, 3) + max(1, 0)", 1.5),
        ("floor(2.7) + ceil(2.1) + sqrt(9) + log(exp(2))", 10), ("+a", 2),
    ],
)  # fmt: skip
def test_formulas_are_computed(text: str, value: float) -> None:
    assert evaluate_formula(text, {"a": 2.0, "b": 0.5}) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "", "1 / 0", "9**9**9**9", "exp(1000)", "log(0)", "a if a else 1", "a.real", "[a]", "'x' * 9", "True + 1",
        "__import__('os')", "min()", "abs(x=1)", "(lambda: 1)()", "a < 2", "1j", "a" * 3000, "sqrt(-1)",
        "1 +" * 900 + "1",
        "(" * 200 + "1" + ")" * 200 + ".x", "-" * 100 + "1", "min(*[1])", "\0", "abs(1, 2)",
    ],
)  # fmt: skip
def test_what_is_no_arithmetic_or_has_no_value_is_refused(text: str) -> None:
    with pytest.raises(FormulaError):
        evaluate_formula(text, {"a": 2.0})


def test_a_formula_knows_no_names_but_the_graders() -> None:
    with pytest.raises(UnknownName):
        evaluate_formula("__builtins__ + a", {"a": 1.0})


@given(st.text(alphabet="ab0123.+-*/^() ,minsqrt_", max_size=40))
def test_no_formula_does_anything_but_give_a_number_or_be_refused(text: str) -> None:
    try:
        value = evaluate_formula(text, {"a": 2.0, "b": 0.5})
    except (FormulaError, UnknownName):
        return
    assert isinstance(value, float)
