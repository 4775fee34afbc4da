"""What is asked is what an arm would be asked; what it costs is told before it is asked."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from burnish.cli.main import app
from burnish.conversation import Role, build_conversation
from burnish.errors import DataError
from burnish.files import read_jsonl
from burnish.preparation import prepare_rows
from burnish.recipe import build_recipe, load_recipe
from burnish.recorded import hash_prompt
from burnish.recording import Prices, Question, estimate_cost, read_questions, spell_money
from tests.recording.server import Asked, Reply, completion, serving


def write_rows(folder: Path, count: int = 40) -> Path:
    path = folder / "rows.jsonl"
    rows = [{"text": f"message {n * 7919}", "label": ["good", "bad"][n % 2]} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_questions_are_the_prompts_of_the_examples_each_once(tmp_path: Path) -> None:
    path = write_rows(tmp_path)
    path.write_text(path.read_text() + path.read_text().split("\n")[0] + "\n")
    found = read_questions(build_recipe({"task": "classification", "data": {"train": str(path)}}))
    assert [question.id for question in found] == [f"rows.jsonl:{n + 1}" for n in range(40)]
    assert found[0].prompt == build_conversation(
        "Classify the message. Answer with one of these labels and nothing else: bad, good.", (Role.USER, "message 0")
    )
    told = read_questions(
        build_recipe({"task": "classification", "data": {"train": str(path)}, "prompt": {"system": "Judge."}})
    )
    assert {question.prompt[0].content for question in told} == {"Judge."}


def test_of_the_test_rows_alone_and_also_where_the_recipe_waits_for_the_answers(tmp_path: Path) -> None:
    path = write_rows(tmp_path, 200)
    recipe = {"task": "classification", "data": {"train": str(path)}}
    waiting = build_recipe({**recipe, "evaluate": {"recorded": str(tmp_path / "not-there-yet.jsonl")}})
    found = read_questions(waiting, test_only=True)
    test = prepare_rows(build_recipe(recipe), judges_labels=False).split.test
    assert len(test) == 50
    assert [question.sha256 for question in found] == [hash_prompt(example.prompt) for example in test]


def test_chat_rows_keep_their_own_words_and_a_weight_is_no_part_of_the_prompt(tmp_path: Path) -> None:
    turns = [("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Bye"), ("assistant", "Bye!")]
    plain = [{"role": role, "content": content} for role, content in turns]
    weighted = [{**message, "weight": 0} if message["content"] == "Hello" else message for message in plain]
    hashes = set()
    for number, messages in enumerate((plain, weighted)):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("".join(json.dumps({"messages": messages}) + "\n" for _ in range(3)))
        question = read_questions(build_recipe({"task": "chat", "data": {"train": str(path)}}))[0]
        assert [message.content for message in question.prompt] == ["Be kind.", "Hi", "Hello", "Bye"]
        hashes.add(question.sha256)
    assert len(hashes) == 1


def test_texts_that_ask_nothing_and_rows_with_errors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"text": "A text."}\n' * 3)
    with pytest.raises(DataError, match=r"texts\.jsonl:1: a text that answers nothing"):
        read_questions(build_recipe({"task": "completion", "data": {"train": str(tmp_path / "texts.jsonl")}}))
    path = write_rows(tmp_path)
    path.write_text(path.read_text() + '{"text": "no label"}\n')
    with pytest.raises(DataError, match=r"rows\.jsonl:41"):
        read_questions(build_recipe({"task": "classification", "data": {"train": str(path)}}))


def test_the_cost_counts_characters_and_says_that_it_is_an_estimate() -> None:
    prompt = build_conversation("12345678", (Role.USER, "abcd"))
    questions = [Question("a:1", prompt, (), "x" * 40), Question("a:2", prompt, ("0123",), "x" * 4000)]
    cost = estimate_cost(questions, max_tokens=100, prices=Prices(1.5, 6.0))
    assert (cost.num_requests, cost.prompt_tokens, cost.answer_tokens) == (2, 3 + 4, 10 + 100)
    assert cost.money == pytest.approx((7 * 1.5 + 110 * 6.0) / 1e6)
    assert cost.most_money == pytest.approx((7 * 1.5 + 200 * 6.0) / 1e6)
    assert str(estimate_cost(questions, max_tokens=100)) == (
        "2 requests; an estimate by characters / 4: about 7 prompt tokens, and 110 of answers as long as the wanted "
        "ones. Give --price-in and --price-out, per million tokens, to see money."
    )


def test_little_money_is_not_shown_as_nothing() -> None:
    assert [spell_money(amount) for amount in (0.00123, 0.5, 1234.5)] == ["0.0012", "0.5000", "1,234.50"]


def good(asked: Asked, number: int) -> Reply:
    return completion("good")


def test_the_verb_records_a_recipe_and_tells_what_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MY_KEY", "sk-of-mine")
    write_rows(tmp_path)
    Path("recipe.toml").write_text('task = "classification"\n[data]\ntrain = "rows.jsonl"\n')
    with serving(good) as server:
        command = ["record", "recipe.toml", "--base-url", server.url, "--model", "m", "--api-key-env", "MY_KEY"]
        more = ["data.max_rows=30", "--price-in", "1", "--price-out", "1000", "--json"]
        first, second = (CliRunner().invoke(app, [*command, *more]) for _ in range(2))
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout) == {
        "path": "answers.jsonl",
        "recorded": 30,
        "there_before": 0,
        "refused": 0,
        "cut_at_limit": 0,
        "prompt_tokens": 330,
        "completion_tokens": 120,
        "money": pytest.approx(0.12033),
    }
    assert "30 requests" in first.stderr and "at most 30.72 if every answer is as long as it may be." in first.stderr
    assert json.loads(second.stdout)["there_before"] == 30 and "30 of 30 answers are there" in second.stderr
    assert len(server.asked) == 30 and server.asked[0].headers["authorization"] == "Bearer sk-of-mine"
    assert len(read_jsonl(Path("answers.jsonl"))) == 30
    assert load_recipe(Path("recipe.toml")).recipe.evaluate.recorded is None


def test_one_price_alone_is_refused(tmp_path: Path) -> None:
    command = ["record", str(write_rows(tmp_path)), "--base-url", "http://127.0.0.1:9/v1", "--model", "m"]
    result = CliRunner().invoke(app, [*command, "--price-in", "1"])
    assert result.exit_code == 2 and "--price-in and --price-out go together" in result.output
